#include "net/text/glob.h"

#include <algorithm>
#include <utility>

#include "net/text/words.h"

namespace pakv {
namespace {

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
