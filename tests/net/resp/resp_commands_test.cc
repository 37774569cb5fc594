// The command table. What each command replies is resp_replies_test.cc's.
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "net/resp/table/command_table.h"
#include "net/text/words.h"

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

}  // namespace
}  // namespace pakv
