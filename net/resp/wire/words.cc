#include "net/resp/wire/words.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <utility>

#include "runtime/base/check.h"

namespace pakv {
namespace {

// A number's text is shorter, read or written: the largest has 4,933 digits before the point.
constexpr size_t kFloatBytesMax = 5 << 10;
static_assert(std::numeric_limits<long double>::max_exponent10 + 20 < kFloatBytesMax);

char LowerOf(char letter) {
  return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
}

unsigned char Fold(char letter, bool ignore_case) {
  return static_cast<unsigned char>(ignore_case ? LowerOf(letter) : letter);
}

// Matches one element of the pattern other than `*` with `letter`, and moves behind it.
bool MatchOne(std::string_view pattern, size_t& at, char letter, bool ignore_case) {
  const unsigned char byte = Fold(letter, ignore_case);
  if (pattern[at] == '?') {
    ++at;
    return true;
  }
  if (pattern[at] != '[') {
    if (pattern[at] == '\\' && at + 1 < pattern.size()) ++at;
    return Fold(pattern[at++], ignore_case) == byte;
  }
  ++at;
  const bool negated = at < pattern.size() && pattern[at] == '^';
  if (negated) ++at;
  bool matched = false;
  // As in Redis, a class that is not closed ends with the pattern.
  for (; at < pattern.size() && pattern[at] != ']'; ++at) {
    if (pattern[at] == '\\' && at + 1 < pattern.size()) {
      ++at;
      matched |= Fold(pattern[at], ignore_case) == byte;
    } else if (pattern.size() - at >= 3 && pattern[at + 1] == '-') {
      unsigned char first = Fold(pattern[at], ignore_case);
      unsigned char last = Fold(pattern[at + 2], ignore_case);
      if (first > last) std::swap(first, last);
      matched |= byte >= first && byte <= last;
      at += 2;
    } else {
      matched |= Fold(pattern[at], ignore_case) == byte;
    }
  }
  if (at < pattern.size()) ++at;
  return matched != negated;
}

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

std::string_view CheckClientName(std::string_view name, std::string_view not_plain) {
  if (name.size() > kClientNameBytesMax) {
    return "ERR names of clients and libraries, and versions, have at most 256 bytes";
  }
  const auto is_plain = [](char letter) { return letter >= '!' && letter <= '~'; };
  return std::all_of(name.begin(), name.end(), is_plain) ? std::string_view() : not_plain;
}

bool IsWord(std::string_view text, std::string_view lower) {
  return text.size() == lower.size() &&
         std::equal(text.begin(), text.end(), lower.begin(),
                    [](char letter, char expected) { return LowerOf(letter) == expected; });
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& letter : lower) letter = LowerOf(letter);
  return lower;
}

// Only the last `*` ever needs to be tried again: what it took grows by one.
GlobMatcher::State GlobMatcher::Run(uint64_t work_max) {
  for (const uint64_t begin = work_; work_ - begin < work_max;) {
    if (at_ < pattern_.size() && pattern_[at_] == '*') {
      ++work_;
      star_ = ++at_;
      star_text_ = text_at_;
      continue;
    }
    if (text_at_ == text_.size()) {
      return at_ == pattern_.size() ? State::kMatches : State::kDiffers;
    }
    size_t next = at_;
    const bool matches =
        at_ < pattern_.size() && MatchOne(pattern_, next, text_[text_at_], ignore_case_);
    work_ += std::max<size_t>(1, next - at_);
    if (matches) {
      at_ = next;
      ++text_at_;
      continue;
    }
    if (star_ == std::string_view::npos) return State::kDiffers;
    at_ = star_;
    text_at_ = ++star_text_;
  }
  return State::kUndecided;
}

bool GlobMatches(std::string_view pattern, std::string_view text, bool ignore_case) {
  return GlobMatcher(pattern, text, ignore_case).Run() == GlobMatcher::State::kMatches;
}

}  // namespace pakv
