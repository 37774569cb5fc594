#include "net/text/glob.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/prng.h"

namespace pakv {
namespace {

TEST(GlobTest, PatternsAreThoseOfRedis) {
  struct Case {
    const char* pattern;
    const char* text;
    bool matches;
  };
  for (const Case& each : std::vector<Case>{{"*", "", true},
                                            {"", "", true},
                                            {"", "a", false},
                                            {"a*", "a", true},
                                            {"*a*b*", "xaxxbx", true},
                                            {"*a*b*", "xbxxax", false},
                                            {"?", "", false},
                                            {"h?llo", "hello", true},
                                            {"h[ae]llo", "hallo", true},
                                            {"h[^e]llo", "hello", false},
                                            {"h[a-c]llo", "hbllo", true},
                                            {"h[c-a]llo", "hbllo", true},
                                            {"\\*", "*", true},
                                            {"\\*", "a", false},
                                            {"[\\]]", "]", true},
                                            {"[a", "a", true},
                                            {"[", "[", false},
                                            {"a\\", "a\\", true},
                                            {"**a", "bca", true},
                                            {"[^]", "a", true}}) {
    EXPECT_EQ(GlobMatches(each.pattern, each.text), each.matches)
        << each.pattern << " on " << each.text;
  }
  EXPECT_TRUE(GlobMatches("MAX*", "maxmemory", true));
  EXPECT_FALSE(GlobMatches("MAX*", "maxmemory"));
}

// A pattern of many stars costs no more than the product of the lengths.
TEST(GlobTest, AHostilePatternIsNotSlow) {
  std::string pattern;
  for (int i = 0; i < 500; ++i) pattern += "*a";
  const std::string text(20'000, 'a');
  EXPECT_FALSE(GlobMatches(pattern + "b", text));
  EXPECT_TRUE(GlobMatches(pattern, text));
}

// The same question, answered as slowly as the definition says. Elements: *, ?, or a byte.
bool Matches(std::string_view pattern, std::string_view text) {
  if (pattern.empty()) return text.empty();
  if (pattern[0] == '*') {
    for (size_t taken = 0; taken <= text.size(); ++taken) {
      if (Matches(pattern.substr(1), text.substr(taken))) return true;
    }
    return false;
  }
  if (text.empty() || (pattern[0] != '?' && pattern[0] != text[0])) return false;
  return Matches(pattern.substr(1), text.substr(1));
}

TEST(GlobTest, RandomPatternsMatchWhatTheDefinitionSays) {
  Prng prng(1);
  for (int round = 0; round < 20'000; ++round) {
    std::string pattern;
    std::string text;
    for (uint64_t i = prng.Below(8); i > 0; --i) pattern += "*?ab"[prng.Below(4)];
    for (uint64_t i = prng.Below(8); i > 0; --i) text += "ab"[prng.Below(2)];
    const bool matches = Matches(pattern, text);
    ASSERT_EQ(GlobMatches(pattern, text), matches) << pattern << " on " << text;
    // In steps of any size it is the same, and costs no more than it says.
    GlobMatcher matcher(pattern, text);
    GlobMatcher::State state = GlobMatcher::State::kUndecided;
    while (state == GlobMatcher::State::kUndecided) state = matcher.Run(prng.Between(1, 5));
    ASSERT_EQ(state == GlobMatcher::State::kMatches, matches) << pattern << " on " << text;
    ASSERT_LE(matcher.work(), GlobMatcher::WorkMax(pattern, text)) << pattern << " on " << text;
  }
}

}  // namespace
}  // namespace pakv
