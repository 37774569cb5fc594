// Values that users write: numbers, sizes, durations. InvalidArgument says what is wrong in words
// that follow the value's name.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace pakv {

// Decimal digits alone.
absl::StatusOr<uint64_t> ParseCount(std::string_view text);
// A decimal number, also negative.
absl::StatusOr<int64_t> ParseInteger(std::string_view text);
// Bytes: digits alone, or followed by KB MB GB TB (powers of 1000) or KiB MiB GiB TiB.
absl::StatusOr<uint64_t> ParseSize(std::string_view text);
// Nanoseconds: 0, or digits followed by us, ms, s, m, h or d.
absl::StatusOr<uint64_t> ParseDuration(std::string_view text);
// true, false, 1 or 0.
absl::StatusOr<bool> ParseBool(std::string_view text);

// What the parsers above read back to the same value: in the largest unit that divides it.
std::string FormatSize(uint64_t bytes);
std::string FormatDuration(uint64_t ns);

// `text` in quotes, with what a terminal would obey escaped: for messages.
std::string Quoted(std::string_view text);

}  // namespace pakv
