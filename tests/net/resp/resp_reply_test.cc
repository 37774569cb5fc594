// RESP replies: what the writer appends, what the client's parser makes of it, and both against
// each other with random replies in random pieces.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/resp/wire/reply_parser.h"
#include "net/resp/wire/reply_writer.h"
#include "runtime/base/prng.h"

namespace pakv {
namespace {

class RespWriterTest : public ::testing::Test {
 protected:
  // What both versions write.
  template <typename Write>
  std::pair<std::string, std::string> Both(const Write& write) {
    std::pair<std::string, std::string> both;
    for (const RespVersion version : {RespVersion::kResp2, RespVersion::kResp3}) {
      OutputBuffer output;
      RespWriter writer(output, version);
      write(writer);
      (version == RespVersion::kResp2 ? both.first : both.second) = output.view();
    }
    return both;
  }
  using Pair = std::pair<std::string, std::string>;
};

TEST_F(RespWriterTest, WritesWhatBothVersionsShare) {
  const auto same = [&](const auto& write, const std::string& text) {
    EXPECT_EQ(Both(write), (Pair{text, text}));
  };
  same([](RespWriter& w) { w.Ok(); }, "+OK\r\n");
  same([](RespWriter& w) { w.Simple("PONG"); }, "+PONG\r\n");
  same([](RespWriter& w) { w.Simple("a\r\nb"); }, "+a  b\r\n");
  same([](RespWriter& w) { w.Error("ERR no\n+OK"); }, "-ERR no +OK\r\n");
  same([](RespWriter& w) { w.Error("ERR no \r\n\n"); }, "-ERR no \r\n");
  same([](RespWriter& w) { w.Bulk(""); }, "$0\r\n\r\n");
  same([](RespWriter& w) { w.Bulk(std::string_view("a\0\r\n", 4)); },
       std::string("$4\r\na\0\r\n\r\n", 10));
  same([](RespWriter& w) { w.Bulk(std::string(12345, 'x')); },
       "$12345\r\n" + std::string(12345, 'x') + "\r\n");
  same([](RespWriter& w) { w.BulkInteger(-17); }, "$3\r\n-17\r\n");
  same([](RespWriter& w) { w.Array(0); }, "*0\r\n");
  same([](RespWriter& w) { w.Array(10); }, "*10\r\n");
}

TEST_F(RespWriterTest, WritesIntegersToTheirBounds) {
  for (const int64_t value : {INT64_MIN, int64_t{-1}, int64_t{0}, int64_t{9}, int64_t{10},
                              int64_t{99}, int64_t{100}, INT64_MAX}) {
    const std::string text = ":" + std::to_string(value) + "\r\n";
    EXPECT_EQ(Both([&](RespWriter& w) { w.Integer(value); }), (Pair{text, text}));
  }
}

TEST_F(RespWriterTest, FallsBackToWhatResp2Has) {
  EXPECT_EQ(Both([](RespWriter& w) { w.Null(); }), (Pair{"$-1\r\n", "_\r\n"}));
  EXPECT_EQ(Both([](RespWriter& w) { w.NullArray(); }), (Pair{"*-1\r\n", "_\r\n"}));
  EXPECT_EQ(Both([](RespWriter& w) { w.Map(7); }), (Pair{"*14\r\n", "%7\r\n"}));
  EXPECT_EQ(Both([](RespWriter& w) { w.Set(2); }), (Pair{"*2\r\n", "~2\r\n"}));
  EXPECT_EQ(Both([](RespWriter& w) { w.Push(2); }), (Pair{"*2\r\n", ">2\r\n"}));
  EXPECT_EQ(Both([](RespWriter& w) { w.Double(0.1); }), (Pair{"$3\r\n0.1\r\n", ",0.1\r\n"}));
  EXPECT_EQ(Both([](RespWriter& w) { w.Double(-1e300 * 1e300); }),
            (Pair{"$4\r\n-inf\r\n", ",-inf\r\n"}));
  EXPECT_EQ(Both([](RespWriter& w) { w.Double(-1.7976931348623157e308); }),
            (Pair{"$24\r\n-1.7976931348623157e+308\r\n", ",-1.7976931348623157e+308\r\n"}));
  EXPECT_EQ(Both([](RespWriter& w) { w.Verbatim("txt", "hi"); }),
            (Pair{"$2\r\nhi\r\n", "=6\r\ntxt:hi\r\n"}));
}

TEST(OutputBufferTest, GrowsKeepsAndGivesBack) {
  OutputBuffer output;
  std::string expected;
  for (int piece = 0; piece < 1000; ++piece) {
    output.Append(std::string(static_cast<size_t>(piece), 'a'));
    expected.append(static_cast<size_t>(piece), 'a');
  }
  EXPECT_EQ(output.view(), expected);
  output.Overwrite(0, "xyz");
  output.Truncate(4);
  EXPECT_EQ(output.view(), "xyza");
  OutputBuffer second = std::move(output);
  EXPECT_EQ(second.view(), "xyza");
  EXPECT_TRUE(output.empty());
  second.Clear(1024);
  EXPECT_EQ(second.capacity(), 0u);
}

using Status = RespReplyParser::Status;
using Type = RespValue::Type;

std::string Describe(const RespValue& value) {
  std::string text;
  if (!value.attributes.empty()) {
    text += "|";
    for (const RespValue& attribute : value.attributes) text += Describe(attribute);
    text += "|";
  }
  switch (value.type) {
    case Type::kNull:
      return text + "null ";
    case Type::kSimple:
      return text + "+" + value.text + " ";
    case Type::kError:
      return text + "-" + value.text + " ";
    case Type::kInteger:
      return text + ":" + std::to_string(value.integer) + " ";
    case Type::kBulk:
      return text + "$" + value.text + " ";
    case Type::kBoolean:
      return text + (value.integer == 1 ? "true " : "false ");
    case Type::kDouble:
      return text + "," + value.text + " ";
    case Type::kBigNumber:
      return text + "(" + value.text + " ";
    case Type::kVerbatim:
      return text + "=" + value.text + " ";
    case Type::kArray:
    case Type::kMap:
    case Type::kSet:
    case Type::kPush:
      break;
  }
  text += value.type == Type::kArray ? "["
          : value.type == Type::kMap ? "{"
          : value.type == Type::kSet ? "<"
                                     : ">";
  for (const RespValue& element : value.elements) text += Describe(element);
  return text + "] ";
}

// Every reply of a stream that comes in pieces of `piece_bytes`, then how it ends.
std::string ParseReplies(std::string_view stream, size_t piece_bytes,
                         const RespReplyLimits& limits = {}) {
  RespReplyParser parser(limits);
  std::string held;
  std::string events;
  for (size_t at = 0; at < stream.size(); at += piece_bytes) {
    held = std::string(held).append(stream.substr(at, piece_bytes));
    std::string_view input = held;
    for (;;) {
      RespValue reply;
      const Status status = parser.Next(input, reply);
      if (status == Status::kError) return events + "error: " + std::string(parser.error());
      if (status == Status::kPartial) break;
      events += Describe(reply);
    }
    held = std::string(input);
  }
  return events + (parser.in_reply() || !held.empty() ? "within" : "between");
}

std::string ParseReplies(std::string_view stream, const RespReplyLimits& limits = {}) {
  const std::string whole = ParseReplies(stream, stream.size() + 1, limits);
  for (size_t piece_bytes = 1; piece_bytes <= stream.size(); ++piece_bytes) {
    EXPECT_EQ(ParseReplies(stream, piece_bytes, limits), whole) << stream;
  }
  return whole;
}

TEST(RespReplyParserTest, ReadsEveryType) {
  EXPECT_EQ(ParseReplies("+OK\r\n-ERR no\r\n:-5\r\n$3\r\na\r\n\r\n$0\r\n\r\n$-1\r\n*-1\r\n_\r\n"),
            "+OK -ERR no :-5 $a\r\n $ null null null between");
  EXPECT_EQ(ParseReplies("#t\r\n#f\r\n,1.5\r\n,-inf\r\n(123\r\n=5\r\ntxt:a\r\n!5\r\nERR x\r\n"),
            "true false ,1.5 ,-inf (123 =txt:a -ERR x between");
  EXPECT_EQ(ParseReplies("*0\r\n*2\r\n:1\r\n*1\r\n%1\r\n+k\r\n~1\r\n_\r\n>1\r\n+push\r\n"),
            "[] [:1 [{+k <null ] ] ] ] >+push ] between");
}

TEST(RespReplyParserTest, AttributesBelongToTheNextValue) {
  EXPECT_EQ(ParseReplies("|1\r\n+lsn\r\n:7\r\n+OK\r\n*2\r\n|1\r\n+a\r\n*1\r\n:1\r\n*1\r\n:2\r\n:"
                         "3\r\n|0\r\n:4\r\n"),
            "|+lsn :7 |+OK [|+a [:1 ] |[:2 ] :3 ] :4 between");
}

TEST(RespReplyParserTest, UnfinishedRepliesAreWithin) {
  for (const std::string_view begun :
       {"+", "$3\r\nab", "$3\r\nabc", "*1\r\n", "|1\r\n+a\r\n:1\r\n", "%1\r\n+a\r\n"}) {
    EXPECT_EQ(ParseReplies(begun), "within") << begun;
  }
}

TEST(RespReplyParserTest, HostileRepliesAreErrors) {
  for (const std::string_view hostile :
       {"\r\n", "x\r\n", "+OK\n", ":\r\n", ":1x\r\n", ":9223372036854775808\r\n", "$-2\r\n",
        "$9223372036854775807\r\n", "$18446744073709551615\r\n", "$1\r\nabc", "*-2\r\n",
        "*99999999999\r\n", "%9223372036854775808\r\n", "#x\r\n", ",abc\r\n", "_x\r\n",
        "=3\r\ntxt\r\n", "$?\r\n", "%-1\r\n"}) {
    EXPECT_TRUE(ParseReplies(hostile).starts_with("error: ")) << hostile;
  }
  std::string deep;
  for (int depth = 0; depth < 33; ++depth) deep += "*1\r\n";
  EXPECT_EQ(ParseReplies(deep), "error: aggregates nest too deep");
  EXPECT_EQ(ParseReplies(std::string(70000, '+'), 70001), "error: a line is too long");
}

// A random reply, written and described at once. What no command of ours answers (attributes,
// booleans) is written by hand: other servers send it.
std::string WriteRandom(Prng& prng, OutputBuffer& output, int depth) {
  RespWriter writer(output, RespVersion::kResp3);
  const auto bytes = [&] {
    std::string text;
    for (uint64_t left = prng.Below(20); left > 0; --left) {
      text += static_cast<char>(prng.Below(256));
    }
    return text;
  };
  std::string attributes;
  if (prng.Chance(1, 10)) {
    output.Append("|1\r\n+a\r\n");
    attributes = "|+a " + WriteRandom(prng, output, 9) + "|";
  }
  switch (prng.Below(depth > 3 ? 8 : 12)) {
    case 0:
      writer.Ok();
      return attributes + "+OK ";
    case 1:
      writer.Error("ERR a b");
      return attributes + "-ERR a b ";
    case 2: {
      const int64_t value = static_cast<int64_t>(prng.Next()) >> prng.Below(64);
      writer.Integer(value);
      return attributes + ":" + std::to_string(value) + " ";
    }
    case 3:
    case 4: {
      const std::string text = bytes();
      writer.Bulk(text);
      return attributes + "$" + text + " ";
    }
    case 5:
      writer.Null();
      return attributes + "null ";
    case 6: {
      const bool value = prng.Chance(1, 2);
      output.Append(value ? "#t\r\n" : "#f\r\n");
      return attributes + (value ? "true " : "false ");
    }
    case 7: {
      const std::string text = bytes();
      writer.Verbatim("txt", text);
      return attributes + "=txt:" + text + " ";
    }
    default:
      break;
  }
  const uint64_t kind = prng.Below(4);
  const size_t count = prng.Below(5);
  std::string text = attributes;
  if (kind == 0) writer.Array(count);
  if (kind == 1) writer.Map(count);
  if (kind == 2) writer.Set(count);
  if (kind == 3) writer.Push(count);
  text += std::string_view("[{<>")[kind];
  for (size_t index = 0; index < (kind == 1 ? count * 2 : count); ++index) {
    text += WriteRandom(prng, output, depth + 1);
  }
  return text + "] ";
}

TEST(RespReplyParserTest, ReadsWhatTheWriterWrites) {
  Prng prng(1);
  for (int round = 0; round < 5000; ++round) {
    OutputBuffer output;
    const std::string expected = WriteRandom(prng, output, 0) + "between";
    ASSERT_EQ(ParseReplies(output.view(), 1 + prng.Below(output.size() + 1)), expected);
  }
}

TEST(RespReplyParserTest, DoublesComeBackAsTheyWere) {
  Prng prng(2);
  for (int round = 0; round < 10000; ++round) {
    const double value = std::bit_cast<double>(prng.Next());
    OutputBuffer output;
    RespWriter(output, RespVersion::kResp3).Double(value);
    RespReplyParser parser;
    RespValue reply;
    std::string_view input = output.view();
    ASSERT_EQ(parser.Next(input, reply), Status::kReply) << output.view();
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(reply.number));
    } else {
      EXPECT_EQ(reply.number, value);
    }
  }
}

}  // namespace
}  // namespace pakv
