// Small text functions of the RESP commands.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pakv {

// Redis' string2ll: an optional minus and digits without leading zeros, nothing else.
std::optional<int64_t> ParseRespInteger(std::string_view text);
// Redis' string2ld: what strtold takes, whole, finite or not, but no NaN and nothing out of range.
std::optional<long double> ParseRespFloat(std::string_view text);
// Redis' "human" form: 17 digits behind the point, and of these no zeros at the end.
std::string FormatRespFloat(long double number);
// Of what a connection keeps of its client: names of the client, of its library, and a version.
// Redis allows these letters, of any number; here SessionGroup::kBytesPerSession counts them. The
// error, if it is one: `not_plain`, or that it is too long.
inline constexpr size_t kClientNameBytesMax = 256;
std::string_view CheckClientName(std::string_view name, std::string_view not_plain);
// Compares with a word in lower case.
bool IsWord(std::string_view text, std::string_view lower);
std::string Lower(std::string_view text);
// Redis' stringmatchlen: * ? [a-z] [^a] and \ before a byte that means itself. It may cost the
// product of both lengths, so it can be done in steps. The texts outlive it.
class GlobMatcher {
 public:
  GlobMatcher(std::string_view pattern, std::string_view text, bool ignore_case = false)
      : pattern_(pattern), text_(text), ignore_case_(ignore_case) {}

  enum class State : uint8_t { kUndecided, kMatches, kDiffers };
  // Compares on; kUndecided once that has cost about `work_max` bytes.
  State Run(uint64_t work_max = UINT64_MAX);
  // Bytes compared so far.
  uint64_t work() const { return work_; }
  // More than it can cost.
  static uint64_t WorkMax(std::string_view pattern, std::string_view text) {
    return (uint64_t{pattern.size()} + 1) * (uint64_t{text.size()} + 2);
  }

 private:
  std::string_view pattern_;
  std::string_view text_;
  const bool ignore_case_;
  size_t at_ = 0;  // in the pattern
  size_t text_at_ = 0;
  size_t star_ = std::string_view::npos;  // behind the last `*`
  size_t star_text_ = 0;                  // where the text goes on behind what it took
  uint64_t work_ = 0;
};

bool GlobMatches(std::string_view pattern, std::string_view text, bool ignore_case = false);

}  // namespace pakv
