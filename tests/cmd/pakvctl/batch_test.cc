// cmd/pakvctl/commands/batch: how lines become operations, and what is printed of them.
#include "cmd/pakvctl/commands/batch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <streambuf>
#include <string>
#include <utility>
#include <vector>

#include "tests/cmd/pakvctl/command_test.h"

namespace pakv {
namespace {

using testing::HasSubstr;
using Words = std::vector<std::string>;

Words WordsOf(std::string_view line) {
  std::string error;
  const auto words = SplitWords(line, error);
  EXPECT_TRUE(words) << line << ": " << error;
  return words.value_or(Words());
}

TEST(SplitWordsTest, BlanksSeparateAndQuotesHold) {
  EXPECT_EQ(WordsOf(""), Words());
  EXPECT_EQ(WordsOf(" \t \r"), Words());
  EXPECT_EQ(WordsOf("# set a 1"), Words());
  EXPECT_EQ(WordsOf("set a #1"), (Words{"set", "a", "#1"}));
  EXPECT_EQ(WordsOf("  set\ta  1\r"), (Words{"set", "a", "1"}));
  EXPECT_EQ(WordsOf(R"(set "a b" 'c "d\n')"), (Words{"set", "a b", R"(c "d\n)"}));
  EXPECT_EQ(WordsOf(R"(set "" '')"), (Words{"set", "", ""}));
  EXPECT_EQ(WordsOf(R"(a"b c"'d')"), (Words{"ab cd"}));
  EXPECT_EQ(WordsOf(R"("\"\\\n\r\t\x00\xfF")"), (Words{std::string("\"\\\n\r\t\0\xff", 7)}));
  EXPECT_EQ(WordsOf(R"(a\n)"), (Words{R"(a\n)"})) << "outside of quotes it is a byte as any other";
}

TEST(SplitWordsTest, WhatIsNotUnderstoodIsToldAndNotGuessed) {
  for (const char* line :
       {"set \"a", "set 'a", "set \"a\\\"", "\"\\q\"", "\"\\x1\"", "\"\\xg0\""}) {
    std::string error;
    EXPECT_FALSE(SplitWords(line, error)) << line;
    EXPECT_FALSE(error.empty()) << line;
  }
}

TEST(ParseOperationsTest, CommandsWithTheirOptions) {
  const CtlOperations set =
      ParseOperations({"set", "k", "v", "--if-version", "7", "--ttl", "5s", "--old"});
  ASSERT_EQ(set.error, "");
  ASSERT_EQ(set.operations.size(), 1u);
  EXPECT_EQ(set.operations[0].kind, ClientOperation::Kind::kSet);
  EXPECT_EQ(set.operations[0].set.key, "k");
  EXPECT_EQ(set.operations[0].set.value, "v");
  EXPECT_EQ(set.operations[0].set.condition, ClientCondition::kIfVersion);
  EXPECT_EQ(set.operations[0].set.version, 7u);
  EXPECT_EQ(set.operations[0].set.ttl_ms, 5000u);
  EXPECT_TRUE(set.operations[0].set.return_old);

  const CtlOperations remove = ParseOperations({"rm", "--old", "a", "b"});
  ASSERT_EQ(remove.operations.size(), 2u);
  EXPECT_EQ(remove.operations[1].kind, ClientOperation::Kind::kDelete);
  EXPECT_EQ(remove.operations[1].set.key, "b");
  EXPECT_TRUE(remove.operations[1].set.return_old);

  const CtlOperations add = ParseOperations({"incr", "n", "-4"});
  ASSERT_EQ(add.operations.size(), 1u);
  EXPECT_EQ(add.operations[0].kind, ClientOperation::Kind::kIncrement);
  EXPECT_EQ(add.operations[0].delta, -4);
}

TEST(ParseOperationsTest, WhatIsNoOperationIsRefused) {
  const std::vector<std::pair<Words, std::string>> table = {
      {{"scan"}, "a batch is made of set, get, rm and incr"},
      {{"bogus"}, "bogus"},
      {{"--help"}, "help"},
      {{"-q", "set", "k", "v"}, "goes for the whole batch"},
      {{"set", "k", "v", "-n", "7"}, "goes for the whole batch"},
      {{"-V"}, "no command"},
      {{"set", "k", "-"}, "is for set alone"},
      {{"set", "k", "v", "--if-absent", "--if-present"}, "exclude each other"},
      {{"incr", "n", "x"}, "N"},
  };
  for (const auto& [words, told] : table) {
    EXPECT_THAT(ParseOperations(words).error, HasSubstr(told));
  }
}

class BatchTest : public CommandTest {
 protected:
  int Run(const std::string& input, const Words& words = {"batch"}) {
    return CommandTest::Run(words, input);
  }
};

TEST_F(BatchTest, EachLinePrintsWhatItsCommandPrints) {
  EXPECT_EQ(Run("set a 1\nset a 2 --old\nincr n 5\nget a n\nrm a\n"), 0);
  EXPECT_EQ(out_, "OK\nOK old value: 1\n5\n2\n5\nOK\n");
  EXPECT_EQ(err_, "");
  EXPECT_EQ(Run("set b 1\nincr n\n", {"batch", "-q"}), 0);
  EXPECT_EQ(out_, "6\n");
}

TEST_F(BatchTest, AKeyThatIsNotThereIsToldAndNothingPrintedForIt) {
  client_.values["a"] = {"1", 7, std::nullopt};
  EXPECT_EQ(Run("get none a\n"), 1);
  EXPECT_EQ(out_, "1\n");
  EXPECT_EQ(err_, "Key not found: none\n");
}

TEST_F(BatchTest, WhatIsDoneIsNoFailureWhateverElseIsNotThere) {
  EXPECT_EQ(Run("set order:7 lamp --if-absent\nincr orders\nrm cart:7\nget none\n"), 0);
  EXPECT_EQ(out_, "OK\n1\n");
  EXPECT_EQ(err_, "Key not found: cart:7\nKey not found: none\n");
  EXPECT_EQ(client_.values.size(), 2u);
}

TEST_F(BatchTest, ErrorsOfTheServerNameTheLine) {
  const std::string input = "# head\nset a 1\nget a b\nincr c\n";
  client_.failure = {.fault = ClientFault::kRefused,
                     .status = PakvStatus::kNotAnInteger,
                     .text = "operation 4: the value is not an integer of 64 bits",
                     .operation = 3};
  EXPECT_EQ(Run(input), PakvExitCode(PakvStatus::kNotAnInteger));
  EXPECT_EQ(err_, "pakvctl: line 4: the value is not an integer of 64 bits; nothing was done\n");
  // Of no operation alone; and where it is not known whether anything was done.
  client_.failure.operation.reset();
  client_.failure.text = "read-only";
  Run(input);
  EXPECT_EQ(err_, "pakvctl: read-only; nothing was done\n");
  client_.failure.outcome_unknown = true;
  Run(input);
  EXPECT_EQ(err_, "pakvctl: read-only\npakvctl: the write may have taken effect\n");
}

TEST_F(BatchTest, AConditionThatIsNotMetNamesItsLine) {
  EXPECT_EQ(Run("set a 1\n\n# twice\nset b 1\nset a 2 --if-absent\n"), 1);
  EXPECT_EQ(out_, "");
  EXPECT_EQ(err_, "line 5: Condition not met; nothing was done\n");
  EXPECT_TRUE(client_.values.empty());
}

TEST_F(BatchTest, AWrongLineIsAUsageErrorBeforeAnythingIsDone) {
  EXPECT_EQ(Run("set a 1\nset b\n"), 2);
  EXPECT_THAT(err_, testing::StartsWith("pakvctl: stdin, line 2: VALUE is required\n"
                                        "usage: set KEY VALUE ["));
  EXPECT_TRUE(client_.values.empty());
  EXPECT_EQ(Run("set a 1\n\n# b\nsett b 2\n"), 2);
  EXPECT_EQ(err_,
            "pakvctl: stdin, line 4: unknown command: sett (did you mean set? a batch is made of "
            "set, get, rm and incr)\n");
  EXPECT_TRUE(client_.values.empty());
}

// An input that has no end, and tells how much of it was taken.
class EndlessInput : public std::streambuf {
 public:
  explicit EndlessInput(std::string again) : again_(std::move(again)) {}
  size_t taken_bytes() const { return taken_bytes_; }

 protected:
  int_type underflow() override {
    taken_bytes_ += again_.size();
    setg(again_.data(), again_.data(), again_.data() + again_.size());
    return traits_type::to_int_type(again_[0]);
  }

 private:
  std::string again_;
  size_t taken_bytes_ = 0;
};

constexpr char kBounds[] =
    "a batch has at most 65536 operations and 16MiB of keys and values, and with this line there "
    "are more; nothing was done. pakvctl load takes any number of keys, not as one\n";

TEST_F(BatchTest, AnInputWithoutEndIsReadUpToTheBoundsOfABatch) {
  const struct {
    std::string again;
    std::string told;
  } table[] = {
      {"set key value\n", std::string("pakvctl: stdin, line 65537: ") + kBounds},
      {"get a b\n", std::string("pakvctl: stdin, line 32769: ") + kBounds},
      {"set key " + std::string(1 << 20, 'v') + "\n",
       std::string("pakvctl: stdin, line 16: ") + kBounds},
      {"get " + std::string(2000, 'k') + "\n",
       std::string("pakvctl: stdin, line 8389: ") + kBounds},
      {"x ", "pakvctl: stdin, line 1: it is longer than "},
      {std::string(4096, '#'), "pakvctl: stdin, line 1: it is longer than "},
  };
  for (const auto& [again, told] : table) {
    EndlessInput endless(again);
    EXPECT_EQ(RunOn({"batch"}, &endless), 4) << again.substr(0, 20);
    EXPECT_THAT(err_, testing::StartsWith(told));
    EXPECT_LT(endless.taken_bytes(), 70u << 20);
    EXPECT_TRUE(client_.values.empty());
  }
}

TEST_F(BatchTest, ALineOfMoreWordsThanABatchHasKeysIsTooLarge) {
  std::string line = "get";
  for (int i = 0; i < 2'000'000; ++i) line += " k";
  EXPECT_EQ(Run(line + "\n"), 4);
  EXPECT_EQ(err_, std::string("pakvctl: stdin, line 1: ") + kBounds);
}

TEST_F(BatchTest, TheBoundsThemselvesAreWithin) {
  std::string lines;
  for (int i = 0; i < 65536; ++i) lines += "set k 1\n";
  EXPECT_EQ(Run(lines, {"batch", "-q"}), 0) << err_;
  const std::string value((1 << 20) - 1, 'v');
  lines.clear();
  for (int i = 0; i < 16; ++i) lines += "set k " + value + "\n";
  EXPECT_EQ(Run(lines, {"batch", "-q"}), 0) << err_;
}

TEST_F(BatchTest, JsonHoldsAnObjectForEachOperation) {
  EXPECT_EQ(Run("set a 1\nget a none\nincr n\n", {"batch", "-o", "json"}), 0);
  const std::string lsn = std::to_string(uint64_t{1} << 60);
  const std::string last = std::to_string((uint64_t{1} << 60) + 1);
  EXPECT_EQ(out_, "[{\"key\":\"a\",\"lsn\":\"" + last + "\"},\n {\"key\":\"a\",\"value\":\"1\"," +
                      "\"lsn\":\"" + lsn + "\"},\n {\"key\":\"none\",\"found\":false},\n " +
                      "{\"key\":\"n\",\"value\":\"1\",\"lsn\":\"" + last + "\"}]\n");
  EXPECT_EQ(Run("", {"batch", "-o", "json"}), 0);
  EXPECT_EQ(out_, "[]\n");
  one_stream_ = true;
  EXPECT_EQ(Run("get none\nget a\n", {"batch", "-o", "json"}), 1);
  EXPECT_TRUE(out_.ends_with("]\nKey not found: none\n")) << out_;
}

}  // namespace
}  // namespace pakv
