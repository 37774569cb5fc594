// Tells systemd, or whoever else has set NOTIFY_SOCKET, how far the server is: sd_notify(3)'s
// protocol, a datagram of NAME=value lines. It is stable and small enough to be spoken without
// libsystemd, as that page itself advises.
//
// Nobody waits for a manager that does not read: what its socket does not take is kept, in order,
// and sent again by a timer until it is taken. So READY=1 arrives, however late.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <deque>
#include <string>
#include <string_view>

#include "runtime/base/clock.h"
#include "runtime/core/core.h"
#include "runtime/io/timer.h"

namespace pakv {

class ServiceManager {
 public:
  // How soon what was not taken is sent again.
  static constexpr uint64_t kRetryNs = 100 * kNsPerMs;

  // `notify_socket`: what NOTIFY_SOCKET says, a path or an abstract name (@NAME); nullptr: nobody
  // wants to be told. A warning if it is neither. `core` outlives it.
  ServiceManager(Core& core, const char* notify_socket);
  ServiceManager(const ServiceManager&) = delete;
  ServiceManager& operator=(const ServiceManager&) = delete;

  // On the core. `state`: READY=1, STOPPING=1 or empty; `status` is for people, one line, and takes
  // the place of one that has not been sent. Never blocks. If there is no such manager there is a
  // warning, and the server goes on.
  void Tell(std::string_view state, std::string_view status);

 private:
  struct Message {
    std::string state;
    std::string status;
  };
  struct RetryTimer : Timer {
    explicit RetryTimer(ServiceManager& manager_in)
        : Timer([](Timer& self) { static_cast<RetryTimer&>(self).manager.SendAll(); }),
          manager(manager_in) {}
    ServiceManager& manager;
  };
  void SendAll();
  int Send(const Message& message) const;

  Core& core_;
  sockaddr_un address_{};
  socklen_t address_bytes_ = 0;  // 0: nobody is told
  // The oldest first. Only the newest may have no state, so there are few.
  std::deque<Message> unsent_;
  bool is_told_late_ = false;  // that they wait is in the log
  RetryTimer retry_{*this};
};

}  // namespace pakv
