#include "cmd/pakvd/file_system.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "runtime/base/log.h"

namespace pakv {

void AvoidCopyOnWrite(const std::string& directory) {
  const int file = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (file < 0) return;  // the store says what is wrong with it
  struct statfs system{};
  if (fstatfs(file, &system) == 0 && system.f_type == BTRFS_SUPER_MAGIC) {
    int flags = 0;
    bool is_set = ioctl(file, FS_IOC_GETFLAGS, &flags) == 0;
    if (is_set && (flags & FS_NOCOW_FL) == 0) {
      flags |= FS_NOCOW_FL;
      is_set = ioctl(file, FS_IOC_SETFLAGS, &flags) == 0;
    }
    if (!is_set) {
      LogWarning(
          "{}: copy on write cannot be switched off here ({}): when this disk is full the "
          "store goes read-only until a restart, where else it refuses writes",
          directory, std::strerror(errno));
    }
  }
  close(file);
}

std::string_view MemoryFileSystem(const std::string& directory) {
  struct statfs system{};
  if (statfs(directory.c_str(), &system) != 0) return {};  // the store says what is wrong with it
  switch (system.f_type) {
    case TMPFS_MAGIC:
      return "tmpfs";
    case RAMFS_MAGIC:
      return "ramfs";
    default:
      return {};
  }
}

}  // namespace pakv
