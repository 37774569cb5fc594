#include "runtime/io/system_calls.h"

#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <vector>

#include "runtime/base/check.h"
#include "runtime/io/address.h"
#include "runtime/io/buffer_pool.h"

namespace pakv {
namespace {

int ResultOf(int64_t returned) { return returned < 0 ? -errno : static_cast<int>(returned); }

int DescriptorOf(Handle handle) { return static_cast<int>(handle); }

IoResult ListNames(const char* path, std::vector<std::string>& names) {
  DIR* directory = opendir(path);
  if (directory == nullptr) return IoResult(-errno);
  names.clear();
  while (true) {
    errno = 0;
    const dirent* entry = readdir(directory);
    if (entry == nullptr) break;
    if (std::strcmp(entry->d_name, ".") != 0 && std::strcmp(entry->d_name, "..") != 0) {
      names.emplace_back(entry->d_name);
    }
  }
  const int error = errno;
  closedir(directory);
  if (error != 0) return IoResult(-error);
  std::sort(names.begin(), names.end());
  return IoResult(static_cast<int32_t>(names.size()));
}

int Space(const IoRequest& request) {
  struct statvfs space{};
  const int result = ResultOf(statvfs(request.path, &space));
  if (result < 0) return result;
  request.space->total_bytes = static_cast<uint64_t>(space.f_blocks) * space.f_frsize;
  request.space->free_bytes = static_cast<uint64_t>(space.f_bavail) * space.f_frsize;
  rlimit limit{};
  const bool is_limited = getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
  request.space->file_bytes_max = is_limited ? limit.rlim_cur : UINT64_MAX;
  return 0;
}

std::string BoundAddress(int socket) {
  SocketAddress address;
  address.length = sizeof(address.storage);
  const int result =
      getsockname(socket, reinterpret_cast<sockaddr*>(&address.storage), &address.length);
  return result == 0 ? AddressText(address) : "unknown";
}

int Resolve(const IoRequest& request) {
  std::vector<std::string>& texts = *request.names;
  texts.clear();
  for (const SocketAddress& address : ResolveAddresses(request.path)) {
    std::string text = AddressText(address);
    // A host may be listed twice.
    if (std::find(texts.begin(), texts.end(), text) == texts.end()) {
      texts.push_back(std::move(text));
    }
  }
  return texts.empty() ? -EADDRNOTAVAIL : static_cast<int>(texts.size());
}

// A socket that nobody listens on any more is left over from a server that was killed. What else
// has that name is somebody's, and makes bind fail.
void RemoveAbandoned(const SocketAddress& address) {
  const char* const path = reinterpret_cast<const sockaddr_un&>(address.storage).sun_path;
  struct stat named{};
  if (lstat(path, &named) != 0 || !S_ISSOCK(named.st_mode)) return;
  // A queue that is full of those who wait is somebody's, too; joining it would block.
  const int probe = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (probe < 0) return;
  if (connect(probe, address.get(), address.length) < 0 && errno == ECONNREFUSED) unlink(path);
  close(probe);
}

int Listen(const IoRequest& request) {
  const std::optional<SocketAddress> address = ResolveAddress(request.path);
  if (!address) return -EADDRNOTAVAIL;
  const int family = address->storage.ss_family;
  const int socket = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return -errno;
  if (family == AF_UNIX) {
    RemoveAbandoned(*address);
  } else {
    const int on = 1;
    static_cast<void>(setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)));
  }
  if (bind(socket, address->get(), address->length) < 0 ||
      listen(socket, static_cast<int>(request.length)) < 0) {
    const int error = errno;
    close(socket);
    return -error;
  }
  *request.text = family == AF_UNIX ? std::string(request.path) : BoundAddress(socket);
  return socket;
}

}  // namespace

FileStat StatOf(const struct statx& attributes) {
  FileStat stat;
  stat.size_bytes = attributes.stx_size;
  stat.is_directory = (attributes.stx_mode & S_IFMT) == S_IFDIR;
  stat.direct_alignment = kDirectAlignment;
  if ((attributes.stx_mask & STATX_DIOALIGN) != 0) {
    stat.direct_alignment = std::max(attributes.stx_dio_mem_align, attributes.stx_dio_offset_align);
  }
  return stat;
}

void SetSocketOptions(int socket, int family) {
  const int on = 1;
  if (family != AF_INET && family != AF_INET6) return;
  // A socket that refuses these still works; nothing to report.
  static_cast<void>(setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)));
  static_cast<void>(setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)));
}

void PrepareAcceptedSocket(int socket, std::string& peer) {
  SocketAddress address;
  address.length = sizeof(address.storage);
  if (getpeername(socket, reinterpret_cast<sockaddr*>(&address.storage), &address.length) != 0) {
    peer = "unknown";
    return;
  }
  peer = AddressText(address);
  SetSocketOptions(socket, address.storage.ss_family);
}

int32_t RunSystemCall(const IoRequest& request) {
  switch (request.opcode) {
    case Opcode::kTruncate:
      return ResultOf(ftruncate(DescriptorOf(request.handle), static_cast<off_t>(request.offset)));
    case Opcode::kList:
      return ListNames(request.path, *request.names).value();
    case Opcode::kLock:
      return ResultOf(flock(DescriptorOf(request.handle), LOCK_EX | LOCK_NB));
    case Opcode::kSpace:
      return Space(request);
    case Opcode::kResolve:
      return Resolve(request);
    case Opcode::kListen:
      return Listen(request);
    default:
      PAKV_CHECK(false, "not one of these system calls");
      return -EINVAL;
  }
}

}  // namespace pakv
