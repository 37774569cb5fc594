#include "cmd/pakvd/port_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace pakv {

absl::Status CheckPortFile(const std::string& path) {
  const size_t slash = path.rfind('/');
  std::string parent = slash == std::string::npos ? "." : path.substr(0, slash);
  if (parent.empty()) parent = "/";
  const auto wrong = [&path](const std::string& why) {
    return absl::InvalidArgumentError("cannot create the port file " + path + ": " + why);
  };
  struct stat at_path{};
  if (slash + 1 == path.size() || (stat(path.c_str(), &at_path) == 0 && S_ISDIR(at_path.st_mode))) {
    return wrong("it is a directory; add the name of a file");
  }
  struct stat at_parent{};
  if (stat(parent.c_str(), &at_parent) != 0) {
    return wrong(parent + ": " + std::strerror(errno) + "; make that directory, or name another");
  }
  if (!S_ISDIR(at_parent.st_mode)) return wrong(parent + " is no directory; name another");
  if (access(parent.c_str(), W_OK | X_OK) != 0) {
    return wrong(parent + ": " + std::strerror(errno) + "; give user " + std::to_string(geteuid()) +
                 " the right to write there, or name another directory");
  }
  return absl::OkStatus();
}

absl::Status WritePortFile(const std::string& path, const std::vector<NamedAddress>& addresses) {
  const std::string beside = path + ".tmp" + std::to_string(getpid());
  const auto error = [&](const char* what) {
    const absl::Status status = absl::InvalidArgumentError(
        "cannot " + std::string(what) + " the port file " + path + ": " + std::strerror(errno));
    // Whether it was made or not; there is nothing more to say about it.
    static_cast<void>(unlink(beside.c_str()));
    return status;
  };
  std::string text;
  for (const NamedAddress& named : addresses) text += named.name + " " + named.address + "\n";
  FILE* file = std::fopen(beside.c_str(), "we");
  if (file == nullptr) return error("create");
  const bool written = std::fputs(text.c_str(), file) >= 0;
  if (std::fclose(file) != 0 || !written) return error("write");
  if (std::rename(beside.c_str(), path.c_str()) != 0) return error("rename");
  return absl::OkStatus();
}

void RemovePortFile(const std::string& path) {
  // What cannot be removed cannot be written either, and that is reported.
  static_cast<void>(unlink(path.c_str()));
}

}  // namespace pakv
