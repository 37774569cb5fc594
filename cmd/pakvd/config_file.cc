#include "cmd/pakvd/config_file.h"

#include <absl/status/status.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <toml++/toml.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

namespace pakv {
namespace {

absl::StatusOr<std::string> ReadWhole(const std::string& path) {
  const auto failed = [&] {
    return absl::InvalidArgumentError(fmt::format("{}: {}", path, std::strerror(errno)));
  };
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return failed();
  std::string text;
  absl::Status status;
  while (text.size() <= kConfigFileBytesMax) {
    char buffer[16384];
    const ssize_t bytes = read(descriptor, buffer, sizeof buffer);
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes < 0) status = failed();
    if (bytes <= 0) break;
    text.append(buffer, static_cast<size_t>(bytes));
  }
  close(descriptor);
  if (!status.ok()) return status;
  if (text.size() > kConfigFileBytesMax) {
    return absl::InvalidArgumentError(path + ": larger than 1MiB, this is no configuration");
  }
  return text;
}

std::optional<std::string> ScalarText(const toml::node& node) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* number = node.as_integer()) return std::to_string(number->get());
  if (const auto* boolean = node.as_boolean()) return boolean->get() ? "true" : "false";
  return std::nullopt;
}

ConfigFileEntry ToEntry(const toml::key& key, const toml::node& node) {
  ConfigFileEntry entry;
  entry.key = key.str();
  entry.line = key.source().begin.line;
  if (const toml::array* const array = node.as_array()) {
    entry.is_array = true;
    for (const toml::node& element : *array) {
      const auto text = element.is_string() ? ScalarText(element) : std::nullopt;
      if (!text) {
        entry.fault = "an array holds strings alone";
        return entry;
      }
      entry.values.push_back(*text);
    }
  } else if (const auto text = ScalarText(node)) {
    entry.values.push_back(*text);
  } else {
    entry.fault = "must be a string, an integer or a boolean";
  }
  return entry;
}

}  // namespace

absl::StatusOr<std::vector<ConfigFileEntry>> ReadConfigFile(const std::string& path) {
  const auto text = ReadWhole(path);
  if (!text.ok()) return text.status();
  std::vector<ConfigFileEntry> entries;
  try {
    const toml::table table = toml::parse(*text, path);
    for (const auto& [key, node] : table) entries.push_back(ToEntry(key, node));
  } catch (const toml::parse_error& error) {
    return absl::InvalidArgumentError(
        fmt::format("{}:{}: {}", path, error.source().begin.line, error.description()));
  }
  std::stable_sort(entries.begin(), entries.end(),
                   [](const auto& left, const auto& right) { return left.line < right.line; });
  return entries;
}

}  // namespace pakv
