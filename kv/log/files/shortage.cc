#include "kv/log/files/shortage.h"

#include <cerrno>

#include "kv/log/files/file_io.h"

namespace pakv {

Shortage ShortageOf(const absl::Status& status) {
  switch (ErrnoOf(status)) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return Shortage::kSpace;
    case EMFILE:
    case ENFILE:
      return Shortage::kDescriptors;
    case ENOMEM:
    case EINTR:
      return Shortage::kMemory;
    default:
      return Shortage::kNone;
  }
}

std::string_view RemedyOfShortage(const absl::Status& status) {
  switch (ErrnoOf(status)) {
    case ENOSPC:
      return "free some space on that disk";
    case EDQUOT:
      return "raise the quota, or free some space";
    case EFBIG:
      return "raise the size that a file of this process may have (ulimit -f; LimitFSIZE= of a "
             "systemd unit; prlimit --fsize for one that runs)";
    case EMFILE:
      return "raise the number of files that this process may open (ulimit -n; LimitNOFILE= of a "
             "systemd unit; prlimit --nofile for one that runs)";
    case ENFILE:
      return "this machine has as many files open as it may: raise fs.file-max (sysctl)";
    case ENOMEM:
      return "this machine is short of memory: free some";
    default:
      return "nothing has to be done";
  }
}

}  // namespace pakv
