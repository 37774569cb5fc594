#include "cmd/pakvd/remedy.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>

#include "kv/log/files/file_io.h"

namespace pakv {
namespace {

// The store says in its text where --salvage is a way out.
std::string RemedyOfDamage(const std::string& what, const std::string& directory) {
  const bool salvages = what.find("--salvage goes on") != std::string::npos;
  return fmt::format(
      "; nothing was changed, but for an empty LOCK if there was none. `pakvctl verify {}` lists "
      "all damage: bring back the "
      "files that it names from a copy, {}or load a dump into an empty directory",
      directory, salvages ? "start with --salvage, which keeps what is damaged in salvage/, " : "");
}

std::string RemedyOfError(int error, const std::string& directory) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return fmt::format(
          "; no data is lost. Free some space on that disk (1 MiB is enough to start; leave the "
          "files in {} alone), or raise the quota, and start again",
          directory);
    case EFBIG:
      return "; no data is lost. Raise the size that a file of this process may have (ulimit -f; "
             "LimitFSIZE= of a systemd unit), and start again";
    case EACCES:
    case EPERM:
      return fmt::format(
          "; give user {} the right to read and write {} and all that is in it "
          "(chown -R {} {}), or start pakvd as the user whose it is",
          geteuid(), directory, geteuid(), directory);
    case EROFS:
      return "; this file system is mounted for reading only, to which the kernel turns also after "
             "errors of the disk (dmesg tells): mount it for writing, or give --dir another "
             "directory";
    case EMFILE:
      return "; raise the number of files that this process may open (ulimit -n; LimitNOFILE= of a "
             "systemd unit), or start with fewer --cores";
    case ENFILE:
      return "; this machine has as many files open as it may: raise fs.file-max (sysctl)";
    case EIO:
      return fmt::format(
          "; the disk has failed (dmesg and smartctl tell more): copy {} to a sound one, and start "
          "there, or load a dump into an empty directory",
          directory);
    case ENOENT:
    case ENOTDIR:
    case ELOOP:
    case ENAMETOOLONG:
      return "; give --dir a directory, or the path of one that can be made";
    case ENOMEM:
      return "; free some memory, or start with fewer --cores";
    case 0:
      return "";  // not the system's: it says itself what to do
    default:
      return "; the system gave no better reason. Try again; if it stays, dmesg may tell more";
  }
}

}  // namespace

absl::Status WithRemedy(const absl::Status& status, const std::string& directory) {
  const std::string what = MessageOf(status);
  const std::string remedy = absl::IsDataLoss(status) ? RemedyOfDamage(what, directory)
                                                      : RemedyOfError(ErrnoOf(status), directory);
  return absl::Status(status.code(), what + remedy);
}

}  // namespace pakv
