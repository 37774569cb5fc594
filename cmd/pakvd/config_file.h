// The configuration file: TOML, taken apart into keys and values as text. What keys there are and
// what their values mean is the option table's business (config.h).
#pragma once

#include <absl/status/statusor.h>

#include <cstddef>
#include <string>
#include <vector>

namespace pakv {

struct ConfigFileEntry {
  std::string key;
  size_t line = 0;                  // where the key stands
  std::vector<std::string> values;  // one, or an array's
  bool is_array = false;
  std::string fault;  // why the value cannot be an option's, if so
};

inline constexpr size_t kConfigFileBytesMax = 1024 * 1024;

// Entries in the file's order. An error names the file, and the line if there is one.
absl::StatusOr<std::vector<ConfigFileEntry>> ReadConfigFile(const std::string& path);

}  // namespace pakv
