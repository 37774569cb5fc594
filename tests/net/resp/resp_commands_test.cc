// The command table and the text functions of the commands. What each command replies is
// resp_replies_test.cc's.
#include <gtest/gtest.h>

#include <limits>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "net/resp/table/command_table.h"
#include "net/resp/wire/words.h"
#include "runtime/base/prng.h"

namespace pakv {
namespace {

TEST(CommandTableTest, EveryCommandIsFoundInAnyCase) {
  for (const CommandRow& row : AllCommands()) {
    std::string name(row.name);
    EXPECT_EQ(FindCommand(name), &row);
    for (size_t index = 0; index < name.size(); index += 2) {
      name[index] = static_cast<char>(name[index] - 'a' + 'A');
    }
    EXPECT_EQ(FindCommand(name), &row) << name;
    EXPECT_EQ(Lower(name), row.name);
  }
}

TEST(CommandTableTest, NothingElseIsFound) {
  for (const CommandRow& row : AllCommands()) {
    const std::string name(row.name);
    EXPECT_EQ(FindCommand(name + "x"), nullptr);
    EXPECT_EQ(FindCommand(std::string(16, 'x') + name), nullptr);
    for (size_t index = 0; index < name.size(); ++index) {
      const std::vector<int> others = {
          0, 1, '@', '[', '{', '`', 0x80 | name[index], name[index] ^ 1};
      for (const int other : others) {
        std::string wrong = name;
        wrong[index] = static_cast<char>(other);
        const CommandRow* const found = FindCommand(wrong);
        EXPECT_TRUE(found == nullptr || IsWord(wrong, found->name)) << wrong;
      }
    }
  }
  EXPECT_EQ(FindCommand(""), nullptr);
  EXPECT_EQ(FindCommand("g"), nullptr);
}

TEST(CommandTableTest, RowsSayWhatTheyNeed) {
  std::set<std::string_view> names;
  for (const CommandRow& row : AllCommands()) {
    EXPECT_TRUE(names.insert(row.name).second) << row.name;
    EXPECT_EQ((row.classes & kClassWrite) != 0, row.is_write()) << row.name;
    EXPECT_NE((row.classes & kClassFast) != 0, (row.classes & kClassSlow) != 0) << row.name;
    switch (row.kind) {
      case CommandKind::kNow:
        EXPECT_TRUE(row.now != nullptr || !row.subcommands.empty()) << row.name;
        EXPECT_EQ(row.first_key, 0) << row.name;
        break;
      case CommandKind::kAlone:
        EXPECT_NE(row.alone, nullptr) << row.name;
        break;
      case CommandKind::kPair:
        EXPECT_NE(row.relocation, nullptr) << row.name;
        EXPECT_TRUE(row.is_write()) << row.name;
        EXPECT_FALSE(row.key_flags.empty()) << row.name;
        EXPECT_EQ(row.second_key_flags.empty(), row.last_key == 1) << row.name;
        break;
      default:
        EXPECT_NE(row.function, nullptr) << row.name;
        EXPECT_EQ(row.first_key, 1) << row.name;
        EXPECT_FALSE(row.key_flags.empty()) << row.name;
    }
    for (const CommandRow& subcommand : row.subcommands) {
      EXPECT_EQ(FindSubcommand(row, subcommand.name.substr(row.name.size() + 1)), &subcommand);
    }
  }
}

TEST(WordsTest, IntegersAreThoseOfRedis) {
  EXPECT_EQ(ParseRespInteger("0"), 0);
  EXPECT_EQ(ParseRespInteger("-1"), -1);
  EXPECT_EQ(ParseRespInteger("9223372036854775807"), INT64_MAX);
  EXPECT_EQ(ParseRespInteger("-9223372036854775808"), INT64_MIN);
  for (const char* wrong :
       {"", "-", "+1", "01", "-0", "00", " 1", "1 ", "1.0", "1e3", "0x1", "9223372036854775808",
        "-9223372036854775809", "99999999999999999999", "--1"}) {
    EXPECT_EQ(ParseRespInteger(wrong), std::nullopt) << wrong;
  }
}

TEST(WordsTest, FloatsAreThoseOfRedis) {
  EXPECT_EQ(ParseRespFloat("1.5"), 1.5L);
  EXPECT_EQ(ParseRespFloat("-inf"), -std::numeric_limits<long double>::infinity());
  for (const std::string& wrong :
       {std::string(), std::string(" 1"), std::string("1 "), std::string("1\0", 2),
        std::string("1x"), std::string("nan"), std::string("1e9999"), std::string("1e-9999"),
        std::string(5120, '1')}) {
    EXPECT_EQ(ParseRespFloat(wrong), std::nullopt) << wrong;
  }
  EXPECT_EQ(FormatRespFloat(10), "10");
  EXPECT_EQ(FormatRespFloat(-0.0L), "0");
  EXPECT_EQ(FormatRespFloat(0.1L + 0.2L), "0.3");
  EXPECT_EQ(FormatRespFloat(1e-18L), "0");
  EXPECT_EQ(FormatRespFloat(std::numeric_limits<long double>::max()).size(), 4933u);
}

TEST(WordsTest, PatternsAreThoseOfRedis) {
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
TEST(WordsTest, AHostilePatternIsNotSlow) {
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

TEST(WordsTest, RandomPatternsMatchWhatTheDefinitionSays) {
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
