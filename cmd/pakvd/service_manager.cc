#include "cmd/pakvd/service_manager.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>

#include "runtime/base/log.h"
#include "runtime/base/utf8.h"

namespace pakv {
namespace {

// It would be another time: its queue is full, or the system is short of something.
bool IsPassing(int error) {
  return error == EAGAIN || error == EINTR || error == ENOBUFS || error == ENOMEM ||
         error == EMFILE || error == ENFILE;
}

}  // namespace

ServiceManager::ServiceManager(Core& core, const char* notify_socket) : core_(core) {
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

void ServiceManager::Tell(std::string_view state, std::string_view status) {
  if (address_bytes_ == 0) return;
  if (!unsent_.empty() && unsent_.back().state.empty()) unsent_.pop_back();
  unsent_.push_back({std::string(state), EscapeControls(status)});
  SendAll();
}

void ServiceManager::SendAll() {
  while (!unsent_.empty()) {
    const Message& message = unsent_.front();
    const int error = Send(message);
    const std::string& what = message.state.empty() ? message.status : message.state;
    if (IsPassing(error)) {
      if (!std::exchange(is_told_late_, true)) {
        LogWarning("the service manager does not take {} now ({}): it is sent again until it does",
                   what, std::strerror(error));
      }
      retry_.Arm(core_.timers(), core_.now_ns() + kRetryNs);
      return;
    }
    if (error != 0) {
      LogWarning("the service manager cannot be told {}: {}", what, std::strerror(error));
    }
    unsent_.pop_front();
  }
  if (std::exchange(is_told_late_, false)) LogInfo("the service manager has been told");
}

// 0, or why not.
int ServiceManager::Send(const Message& message) const {
  std::string text = message.state;
  if (!text.empty()) text += '\n';
  text += "STATUS=" + message.status;
  const int descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (descriptor < 0) return errno;
  const ssize_t sent = sendto(descriptor, text.data(), text.size(), MSG_NOSIGNAL,
                              reinterpret_cast<const sockaddr*>(&address_), address_bytes_);
  const int error = sent < 0 ? errno : 0;
  close(descriptor);
  return error;
}

}  // namespace pakv
