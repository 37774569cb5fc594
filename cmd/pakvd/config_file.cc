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
#include <string_view>

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

// What is most often wrong with a line that TOML cannot read; empty: not that.
std::string_view QuotesHint(std::string_view text, size_t line) {
  for (size_t i = 1; i < line; ++i) {
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) return "";
    text.remove_prefix(end + 1);
  }
  text = text.substr(0, text.find('\n'));
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos) return "";
  const std::string_view value = text.substr(equals + 1);
  const bool is_bare = value.find_first_of("\"'[{#") == std::string_view::npos;
  const bool is_number = value.find_first_not_of("0123456789+-_ \t\r") == std::string_view::npos;
  return is_bare && !is_number ? " (text stands in quotes, as in memory = \"64MiB\")" : "";
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
    const size_t line = error.source().begin.line;
    return absl::InvalidArgumentError(
        fmt::format("{}:{}: {}{}", path, line, error.description(), QuotesHint(*text, line)));
  }
  std::stable_sort(entries.begin(), entries.end(),
                   [](const auto& left, const auto& right) { return left.line < right.line; });
  return entries;
}

}  // namespace pakv
