#include "cmd/common/values.h"

#include <fmt/format.h>

#include <charconv>
#include <iterator>
#include <limits>
#include <optional>

#include "runtime/base/clock.h"
#include "runtime/base/utf8.h"

namespace pakv {
namespace {

struct Unit {
  std::string_view name;
  uint64_t factor;
  bool printed;  // FormatX uses it
};

// The largest first, so that the first one that divides a value is the shortest way to say it.
constexpr Unit kSizeUnits[] = {
    {"TiB", uint64_t{1} << 40, true},
    {"TB", 1000000000000, true},
    {"GiB", uint64_t{1} << 30, true},
    {"GB", 1000000000, true},
    {"MiB", uint64_t{1} << 20, true},
    {"MB", 1000000, true},
    {"KiB", uint64_t{1} << 10, true},
    {"KB", 1000, true},
    {"kB", 1000, false},
    {"B", 1, false},
};
constexpr Unit kDurationUnits[] = {
    {"d", 86400 * kNsPerSecond, false},
    {"h", 3600 * kNsPerSecond, true},
    {"m", 60 * kNsPerSecond, false},
    {"s", kNsPerSecond, true},
    {"ms", kNsPerMs, true},
    {"us", kNsPerUs, true},
};

absl::Status Wrong(std::string_view text, std::string_view why) {
  return absl::InvalidArgumentError(fmt::format("{} {}", Quoted(text), why));
}

// The digits that `text` begins with, or nothing if there are none or they overflow.
std::optional<uint64_t> TakeDigits(std::string_view& text) {
  uint64_t number = 0;
  const auto parsed = std::from_chars(text.begin(), text.end(), number);
  if (parsed.ec != std::errc() || parsed.ptr == text.begin()) return std::nullopt;
  text.remove_prefix(static_cast<size_t>(parsed.ptr - text.begin()));
  return number;
}

template <size_t kCount>
const Unit* FindUnit(const Unit (&units)[kCount], std::string_view name) {
  for (const Unit& unit : units) {
    if (unit.name == name) return &unit;
  }
  return nullptr;
}

template <size_t kCount>
std::string FormatWithUnit(const Unit (&units)[kCount], uint64_t value) {
  if (value == 0) return "0";
  for (const Unit& unit : units) {
    if (unit.printed && value % unit.factor == 0) {
      return fmt::format("{}{}", value / unit.factor, unit.name);
    }
  }
  return std::to_string(value);
}

}  // namespace

absl::StatusOr<uint64_t> ParseCount(std::string_view text) {
  std::string_view rest = text;
  const std::optional<uint64_t> number = TakeDigits(rest);
  if (!number || !rest.empty()) return Wrong(text, "is not a number");
  return *number;
}

absl::StatusOr<int64_t> ParseInteger(std::string_view text) {
  int64_t number = 0;
  const auto parsed = std::from_chars(text.begin(), text.end(), number);
  if (parsed.ec == std::errc::result_out_of_range) {
    return Wrong(text, "does not fit a signed 64-bit integer");
  }
  if (parsed.ec != std::errc() || parsed.ptr != text.end()) return Wrong(text, "is not an integer");
  return number;
}

absl::StatusOr<uint64_t> ParseSize(std::string_view text) {
  std::string_view rest = text;
  const std::optional<uint64_t> number = TakeDigits(rest);
  const Unit* const unit =
      rest.empty() ? &kSizeUnits[std::size(kSizeUnits) - 1] : FindUnit(kSizeUnits, rest);
  if (!number || unit == nullptr) {
    return Wrong(text, "is not a size (bytes, or a number with KB, MB, GB, KiB, MiB, GiB)");
  }
  if (*number > std::numeric_limits<uint64_t>::max() / unit->factor) {
    return Wrong(text, "is too large");
  }
  return *number * unit->factor;
}

absl::StatusOr<uint64_t> ParseDuration(std::string_view text) {
  std::string_view rest = text;
  const std::optional<uint64_t> number = TakeDigits(rest);
  if (number == 0 && rest.empty()) return 0;
  const Unit* const unit = FindUnit(kDurationUnits, rest);
  if (!number || unit == nullptr) {
    return Wrong(text, "is not a duration (0, or a number with us, ms, s, m, h, d)");
  }
  if (*number > std::numeric_limits<uint64_t>::max() / unit->factor) {
    return Wrong(text, "is too long");
  }
  return *number * unit->factor;
}

absl::StatusOr<bool> ParseBool(std::string_view text) {
  if (text == "true" || text == "1") return true;
  if (text == "false" || text == "0") return false;
  return Wrong(text, "is neither true nor false");
}

std::string FormatSize(uint64_t bytes) { return FormatWithUnit(kSizeUnits, bytes); }

std::string FormatDuration(uint64_t ns) { return FormatWithUnit(kDurationUnits, ns); }

std::string Quoted(std::string_view text) { return "\"" + EscapeControls(text) + "\""; }

}  // namespace pakv
