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

// Writes one `name HOST:PORT` per line. A reader sees the whole file or none: it is written beside
// its place and renamed. May block; for the start.
absl::Status WritePortFile(const std::string& path, const std::vector<NamedAddress>& addresses);

}  // namespace pakv
