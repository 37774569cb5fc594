// The port file: where a server listens, for scripts that let the system pick the ports.
#pragma once

#include <absl/status/status.h>

#include <string>
#include <vector>

namespace pakv {

struct NamedAddress {
  std::string name;     // "data", "admin"
  std::string address;  // HOST:PORT
};

// Whether WritePortFile could do it by now, in words for who has given the path: told at the start,
// not when all data is read. Changes nothing. May block.
absl::Status CheckPortFile(const std::string& path);

// Removes the file that an earlier run left: it stands for a server that is ready. May block.
void RemovePortFile(const std::string& path);

// Writes one `name HOST:PORT` per line. A reader sees the whole file or none: it is written beside
// its place and renamed, and nothing is left beside it if that fails. May block; for the start.
absl::Status WritePortFile(const std::string& path, const std::vector<NamedAddress>& addresses);

}  // namespace pakv
