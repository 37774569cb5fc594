// Tells systemd, or whoever else has set NOTIFY_SOCKET, how far the server is: sd_notify(3)'s
// protocol, a datagram of NAME=value lines. It is stable and small enough to be spoken without
// libsystemd, as that page itself advises.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <string>
#include <string_view>

namespace pakv {

class ServiceManager {
 public:
  // `notify_socket`: what NOTIFY_SOCKET says, a path or an abstract name (@NAME); nullptr: nobody
  // wants to be told. A warning if it is neither.
  explicit ServiceManager(const char* notify_socket);

  // `state`: READY=1, STOPPING=1 or empty; `status` is for people, one line. Blocks briefly. If it
  // cannot be sent there is a warning, and the server goes on.
  void Tell(std::string_view state, std::string_view status) const;

 private:
  bool Send(const std::string& message) const;

  sockaddr_un address_{};
  socklen_t address_bytes_ = 0;  // 0: nobody is told
};

}  // namespace pakv
