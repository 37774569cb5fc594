// Patterns for names, as Redis has them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace pakv {

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
