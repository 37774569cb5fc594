#include "cmd/pakvd/port_file.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace pakv {

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
