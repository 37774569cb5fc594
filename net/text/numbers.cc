#include "net/text/numbers.h"

#include <array>
#include <cctype>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>

#include "runtime/base/check.h"

namespace pakv {
namespace {

// A number's text is shorter, read or written: the largest has 4,933 digits before the point.
constexpr size_t kFloatBytesMax = 5 << 10;
static_assert(std::numeric_limits<long double>::max_exponent10 + 20 < kFloatBytesMax);

}  // namespace

std::optional<int64_t> ParseRespInteger(std::string_view text) {
  if (text == "0") return 0;
  const bool negative = !text.empty() && text[0] == '-';
  if (negative) text.remove_prefix(1);
  if (text.empty() || text[0] < '1' || text[0] > '9') return std::nullopt;
  const uint64_t limit = negative ? uint64_t{1} << 63 : (uint64_t{1} << 63) - 1;
  uint64_t magnitude = 0;
  for (const char letter : text) {
    if (letter < '0' || letter > '9') return std::nullopt;
    const auto digit = static_cast<uint64_t>(letter - '0');
    if (magnitude > (limit - digit) / 10) return std::nullopt;
    magnitude = magnitude * 10 + digit;
  }
  return static_cast<int64_t>(negative ? 0 - magnitude : magnitude);
}

std::optional<long double> ParseRespFloat(std::string_view text) {
  if (text.empty() || text.size() >= kFloatBytesMax) return std::nullopt;
  if (std::isspace(static_cast<unsigned char>(text[0])) != 0) return std::nullopt;
  const std::string terminated(text);
  char* end = nullptr;
  errno = 0;
  const long double number = std::strtold(terminated.c_str(), &end);
  if (end != terminated.c_str() + text.size()) return std::nullopt;
  if (errno == ERANGE && (std::isinf(number) || number == 0)) return std::nullopt;
  if (std::isnan(number)) return std::nullopt;
  return number;
}

std::string FormatRespFloat(long double number) {
  std::array<char, kFloatBytesMax> digits;
  const int length = std::snprintf(digits.data(), digits.size(), "%.17Lf", number);
  PAKV_CHECK(length > 0 && static_cast<size_t>(length) < digits.size());
  std::string_view text(digits.data(), static_cast<size_t>(length));
  while (text.ends_with('0')) text.remove_suffix(1);
  if (text.ends_with('.')) text.remove_suffix(1);
  return std::string(text == "-0" ? "0" : text);
}

}  // namespace pakv
