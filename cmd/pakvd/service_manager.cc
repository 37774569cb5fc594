#include "cmd/pakvd/service_manager.h"

#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "runtime/base/log.h"
#include "runtime/base/utf8.h"

namespace pakv {
namespace {

// As long as a message may wait for a manager that does not read.
constexpr timeval kSendTimeout = {.tv_sec = 1, .tv_usec = 0};

}  // namespace

ServiceManager::ServiceManager(const char* notify_socket) {
  if (notify_socket == nullptr) return;
  const std::string_view name = notify_socket;
  const bool is_name = name.size() > 1 && (name[0] == '/' || name[0] == '@');
  if (!is_name || name.size() >= sizeof(address_.sun_path)) {
    LogWarning("NOTIFY_SOCKET is {}, which is no path or @NAME: nobody is told when it is ready",
               name);
    return;
  }
  address_.sun_family = AF_UNIX;
  std::copy(name.begin(), name.end(), address_.sun_path);
  if (name[0] == '@') address_.sun_path[0] = '\0';
  address_bytes_ = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
}

void ServiceManager::Tell(std::string_view state, std::string_view status) const {
  if (address_bytes_ == 0) return;
  std::string message(state);
  if (!message.empty()) message += '\n';
  message += "STATUS=" + EscapeControls(status);
  if (!Send(message)) {
    LogWarning("the service manager cannot be told {}: {}", state.empty() ? "a status" : state,
               std::strerror(errno));
  }
}

// False: errno says why.
bool ServiceManager::Send(const std::string& message) const {
  const int descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return false;
  const bool sent =
      setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &kSendTimeout, sizeof(kSendTimeout)) == 0 &&
      sendto(descriptor, message.data(), message.size(), MSG_NOSIGNAL,
             reinterpret_cast<const sockaddr*>(&address_), address_bytes_) >= 0;
  const int error = errno;
  close(descriptor);
  errno = error;
  return sent;
}

}  // namespace pakv
