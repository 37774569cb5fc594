// The RESP request parser. The cut tests are the heart: every stream gives the same events however
// it is cut, with the caller moving unfinished bytes as a session does.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/resp/wire/codec.h"
#include "runtime/base/prng.h"

namespace pakv {
namespace {

using Status = RespRequestParser::Status;

// Feeds pieces the way a session does: unfinished bytes move to a buffer of exactly their size.
class Feeder {
 public:
  explicit Feeder(const RespLimits& limits) : parser_(limits) {}

  void Feed(std::string_view piece) {
    held_ = std::string(held_).append(piece);
    held_bytes_max_ = std::max(held_bytes_max_, held_.size());
    std::string_view input = held_;
    for (;;) {
      if (large_ && parser_.large_bytes() > 0 && !large_done_) {
        *large_ += parser_.TakePiece(input, 3);
        large_done_ = parser_.large_bytes() == 0;
        if (large_done_ || !input.empty()) continue;
        break;
      }
      const Status status = parser_.Next(input);
      if (status == Status::kPartial) break;
      if (status == Status::kLarge) {
        if (!parser_.args().empty() && parser_.args()[0] == "SKIP") {
          parser_.SkipLarge(input, "ERR not here");
          continue;
        }
        large_ = ArgsText() + "<";
        large_done_ = false;
        parser_.TakeLarge(input);
        continue;
      }
      if (status == Status::kLargeEnd) {
        events_.push_back(*large_ + ">" + ArgsText());
        large_.reset();
        continue;
      }
      if (status == Status::kError) {
        events_.push_back("error " + std::string(parser_.error()));
        failed_ = true;
        break;
      }
      if (status == Status::kTooLarge) {
        events_.push_back("too large " + std::string(parser_.error()));
        large_.reset();
        continue;
      }
      events_.push_back(ArgsText());
    }
    held_ = std::string(input);
  }
  bool failed() const { return failed_; }
  size_t held_bytes_max() const { return held_bytes_max_; }
  std::vector<std::string> Finish() {
    if (!failed_) events_.push_back(parser_.in_request() ? "within" : "between");
    return events_;
  }
  RespRequestParser& parser() { return parser_; }

 private:
  std::string ArgsText() const {
    std::string text;
    for (const std::string_view arg : parser_.args()) text.append("[").append(arg).append("]");
    return text;
  }

  RespRequestParser parser_;
  std::string held_;
  size_t held_bytes_max_ = 0;
  bool failed_ = false;
  std::optional<std::string> large_;  // a request that is given in pieces
  bool large_done_ = false;
  std::vector<std::string> events_;
};

std::vector<std::string> Parse(const std::vector<std::string_view>& pieces,
                               const RespLimits& limits = {}) {
  Feeder feeder(limits);
  for (const std::string_view piece : pieces) {
    feeder.Feed(piece);
    if (feeder.failed()) break;
  }
  return feeder.Finish();
}

using Events = std::vector<std::string>;

Events ParseByteByByte(std::string_view stream, const RespLimits& limits = {}) {
  std::vector<std::string_view> pieces;
  for (size_t at = 0; at < stream.size(); ++at) pieces.push_back(stream.substr(at, 1));
  return Parse(pieces, limits);
}

// Whole, byte by byte, and cut at every pair of offsets.
Events ParseAllWays(std::string_view stream, const RespLimits& limits = {}) {
  const Events whole = Parse({stream}, limits);
  EXPECT_EQ(ParseByteByByte(stream, limits), whole) << stream;
  for (size_t first = 0; first <= stream.size(); ++first) {
    for (size_t second = first; second <= stream.size(); ++second) {
      const Events cut = Parse(
          {stream.substr(0, first), stream.substr(first, second - first), stream.substr(second)},
          limits);
      if (cut != whole) {
        EXPECT_EQ(cut, whole) << stream << " cut at " << first << " and " << second;
        return whole;
      }
    }
  }
  return whole;
}

TEST(RespRequestParserTest, ReadsPipelinedRequestsHoweverCut) {
  EXPECT_EQ(ParseAllWays("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$12\r\nv\r\n$1\r\n*1\r\n!\r\n"
                         "*2\r\n$3\r\nGET\r\n$0\r\n\r\nPING\r\n\r\n*1\r\n$4\r\nQUIT\r\n"),
            (Events{"[SET][k][v\r\n$1\r\n*1\r\n!]", "[GET][]", "[PING]", "[QUIT]", "between"}));
}

TEST(RespRequestParserTest, OneLargeBulkComesInPiecesHoweverCut) {
  RespLimits limits;
  limits.bulk_bytes_max = 12;
  limits.whole_bulk_bytes_max = 4;
  EXPECT_EQ(ParseAllWays("*2\r\n$1\r\nG\r\n$5\r\n*1\r\n!\r\n*1\r\n$4\r\nPING\r\n", limits),
            (Events{"[G]<*1\r\n!>", "[PING]", "between"}));
  EXPECT_EQ(ParseAllWays("*4\r\n$1\r\nS\r\n$7\r\n$1\r\nxxx\r\n$2\r\nEX\r\n$0\r\n\r\n", limits),
            (Events{"[S]<$1\r\nxxx>[EX][]", "between"}));
  // The first argument of all.
  EXPECT_EQ(ParseAllWays("*1\r\n$5\r\nABCDE\r\n", limits), (Events{"<ABCDE>", "between"}));
  EXPECT_EQ(ParseAllWays("*3\r\n$4\r\nSKIP\r\n$5\r\nABCDE\r\n$1\r\nx\r\n*1\r\n$1\r\nP\r\n", limits),
            (Events{"too large ERR not here", "[P]", "between"}));
  EXPECT_EQ(
      ParseAllWays("*3\r\n$1\r\nS\r\n$5\r\nABCDE\r\n$6\r\nabcdef\r\n*1\r\n$1\r\nP\r\n", limits),
      (Events{"too large ERR a request may have one argument of more than 4 bytes", "[P]",
              "between"}));
  EXPECT_EQ(ParseAllWays("*2\r\n$1\r\nS\r\n$13\r\nABCDEFGHIJKLM\r\n*1\r\n$1\r\nP\r\n", limits),
            (Events{"too large ERR string of 13 bytes exceeds maximum allowed size (max-value, 12 "
                    "bytes)",
                    "[P]", "between"}));
  EXPECT_EQ(ParseAllWays("*2\r\n$1\r\nS\r\n$5\r\nABCDEx", limits), (Events{"within"}));
  EXPECT_EQ(ParseAllWays("*2\r\n$1\r\nS\r\n$5\r\nABCDExy", limits),
            (Events{"error ERR Protocol error: expected CRLF after bulk"}));
}

TEST(RespRequestParserTest, ArgumentsLieInTheCallersBytes) {
  const std::string stream = "*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n";
  RespRequestParser parser{RespLimits{}};
  std::string_view input = stream;
  ASSERT_EQ(parser.Next(input), Status::kRequest);
  EXPECT_EQ(parser.args()[0].data(), stream.data() + 8);
  EXPECT_EQ(parser.args()[1].data(), stream.data() + 17);
  EXPECT_TRUE(input.empty());
}

TEST(RespRequestParserTest, BytesAreBinarySafe) {
  std::string value;
  for (int byte = 0; byte < 256; ++byte) value += static_cast<char>(byte);
  const std::string stream = "*2\r\n$4\r\nECHO\r\n$256\r\n" + value + "\r\n";
  EXPECT_EQ(ParseByteByByte(stream), (Events{"[ECHO][" + value + "]", "between"}));
}

TEST(RespRequestParserTest, EmptyRequestsAreIgnored) {
  EXPECT_EQ(ParseAllWays("\r\n*0\r\n\n*-1\r\n  \t\r\n*-10\r\nPING\r\n"),
            (Events{"[PING]", "between"}));
}

TEST(RespRequestParserTest, TellsWhetherTheEndIsClean) {
  EXPECT_EQ(Parse({""}), (Events{"between"}));
  EXPECT_EQ(Parse({"PING\r\n"}), (Events{"[PING]", "between"}));
  for (const std::string_view begun : {"*", "*1", "*1\r\n", "*1\r\n$4\r\nPI", "P", "PING"}) {
    EXPECT_EQ(Parse({begun}), (Events{"within"})) << begun;
  }
}

struct Failing {
  std::string_view stream;
  std::string_view error;
};

TEST(RespRequestParserTest, ProtocolErrorsReadAsInRedis) {
  const std::string_view kMultibulk = "invalid multibulk length";
  const std::string_view kBulk = "invalid bulk length";
  const Failing cases[] = {
      {"*3000000000\r\n", kMultibulk},
      {"*9223372036854775808\r\n", kMultibulk},
      {"*18446744073709551617\r\n", kMultibulk},
      {"*2147483648\r\n", kMultibulk},
      {"*01\r\n", kMultibulk},
      {"*-0\r\n", kMultibulk},
      {"*+1\r\n", kMultibulk},
      {"* 1\r\n", kMultibulk},
      {"*1 \r\n", kMultibulk},
      {"*\r\n", kMultibulk},
      {"*-\r\n", kMultibulk},
      {"*1x\r\n", kMultibulk},
      {"*1\rx", kMultibulk},
      {"*1\r\r\n", kMultibulk},
      {"*-9223372036854775809\r\n", kMultibulk},
      {"*1\r\n$-10\r\n", kBulk},
      {"*1\r\n$-1\r\n", kBulk},
      {"*1\r\n$2000000000\r\n", kBulk},
      {"*1\r\n$9223372036854775807\r\n", kBulk},
      {"*1\r\n$9223372036854775808\r\n", kBulk},
      {"*1\r\n$18446744073709551612\r\n", kBulk},
      {"*1\r\n$00\r\n", kBulk},
      {"*1\r\n$04\r\nPING\r\n", kBulk},
      {"*1\r\n$+4\r\nPING\r\n", kBulk},
      {"*1\r\n$blabla\r\n", kBulk},
      {"*1\r\n$\r\n", kBulk},
      {"*1\r\nfoo\r\n", "expected '$', got 'f'"},
      {"*3\r\n$3\r\nSET\r\n$1\r\nx\r\nfooz\r\n", "expected '$', got 'f'"},
      {"*1\r\n\r\n", "expected '$', got '\\x0d'"},
      {"*1\r\n*1\r\n", "expected '$', got '*'"},
      {"*1\r\n$4\r\nPINGX\r\n", "expected CRLF after bulk"},
      {"*1\r\n$4\r\nPING\n\r", "expected CRLF after bulk"},
      {"*111111111111111111111111111111111\r\n", "too big mbulk count string"},
      {"*1\r\n$11111111111111111111111111111111111111\r\n", "too big bulk count string"},
      {"set \"\"\"test-key\"\"\" test-value\r\n", "unbalanced quotes in request"},
      {"POST / HTTP/1.1\r\n", "HTTP request (POST or Host:) on a data port"},
      {"host: localhost\r\n", "HTTP request (POST or Host:) on a data port"},
  };
  for (const Failing& failing : cases) {
    const std::string expected = "error ERR Protocol error: " + std::string(failing.error);
    EXPECT_EQ(ParseAllWays(failing.stream), (Events{expected})) << failing.stream;
    EXPECT_EQ(ParseAllWays("PING\r\n" + std::string(failing.stream)), (Events{"[PING]", expected}));
  }
}

TEST(RespRequestParserTest, ErrorIsFinal) {
  RespRequestParser parser{RespLimits{}};
  std::string_view input = "*x\r\n*1\r\n$4\r\nPING\r\n";
  EXPECT_EQ(parser.Next(input), Status::kError);
  input = "*1\r\n$4\r\nPING\r\n";
  EXPECT_EQ(parser.Next(input), Status::kError);
  EXPECT_TRUE(parser.args().empty());
}

TEST(RespRequestParserTest, EndlessLinesAreCutOff) {
  // Redis' own desync tests: a byte that never becomes a line.
  for (const std::string_view begin :
       {std::string_view("\0", 1), std::string_view("*\0", 2), std::string_view("*1\r\n$\0", 6)}) {
    Feeder feeder{RespLimits{}};
    feeder.Feed(begin);
    size_t fed = 0;
    for (; fed < 1000 && !feeder.failed(); ++fed) feeder.Feed(std::string(1024, 'A'));
    EXPECT_TRUE(feeder.failed());
    EXPECT_LE(fed, 65u);
  }
}

TEST(RespRequestParserTest, InlineRequestHasAtMost64KiB) {
  const std::string longest(kRespInlineBytesMax, 'a');
  EXPECT_EQ(Parse({longest + "\n"}), (Events{"[" + longest + "]", "between"}));
  EXPECT_EQ(ParseByteByByte(longest + "\n"), (Events{"[" + longest + "]", "between"}));
  const Events refused{"error ERR Protocol error: too big inline request"};
  EXPECT_EQ(Parse({longest + "a\n"}), refused);
  EXPECT_EQ(ParseByteByByte(longest + "a\n"), refused);
}

TEST(RespRequestParserTest, InlineQuotingIsThatOfRedis) {
  const std::pair<std::string_view, Events> cases[] = {
      {"set  a   b\n", {"[set][a][b]", "between"}},
      {" set a b \r\n", {"[set][a][b]", "between"}},
      {"set \"a b\" 'c d'\r\n", {"[set][a b][c d]", "between"}},
      {"set \"\" ''\r\n", {"[set][][]", "between"}},
      {"set a\"b c\" x\r\n", {"[set][ab c][x]", "between"}},
      {"set \"\\x41\\n\\r\\t\\b\\a\\q\\\"\\\\\" v\r\n", {"[set][A\n\r\t\b\aq\"\\][v]", "between"}},
      {"set \"\\x4\" v\r\n", {"[set][x4][v]", "between"}},
      {"set \"\\xzz\" v\r\n", {"[set][xzz][v]", "between"}},
      {"set 'a\\'b\\n' v\r\n", {"[set][a'b\\n][v]", "between"}},
      {"a\\b c\\\"\r\n", {"error ERR Protocol error: unbalanced quotes in request"}},
      {"a\vb\v c\r\n", {"[a\vb\v][c]", "between"}},
      {"\v\fa b\r\n", {"[a][b]", "between"}},
      {"'a'\vb\r\n", {"[a][b]", "between"}},
      {"a\rb\r\n", {"[a][b]", "between"}},
      {"set \"a\r\n", {"error ERR Protocol error: unbalanced quotes in request"}},
      {"set 'a\r\n", {"error ERR Protocol error: unbalanced quotes in request"}},
      {"set \"a\"b\r\n", {"error ERR Protocol error: unbalanced quotes in request"}},
      {"set 'a'b\r\n", {"error ERR Protocol error: unbalanced quotes in request"}},
      {"set \"a\\\r\n", {"error ERR Protocol error: unbalanced quotes in request"}},
      {"set \"a\\\"\r\n", {"error ERR Protocol error: unbalanced quotes in request"}},
  };
  for (const auto& [line, events] : cases) EXPECT_EQ(ParseAllWays(line), events) << line;
  EXPECT_EQ(Parse({std::string_view("set k\0 \"\0\"\n", 11)}),
            (Events{std::string("[set][k\0][\0]", 12), "between"}));
}

TEST(RespRequestParserTest, OverLimitBulkIsSkippedAndTheConnectionStays) {
  RespLimits limits;
  limits.bulk_bytes_max = 5;
  limits.skip_bytes_max = 40;
  const std::string too_large =
      "too large ERR string of 6 bytes exceeds maximum allowed size (max-value, 5 bytes)";
  EXPECT_EQ(ParseAllWays("*2\r\n$4\r\nECHO\r\n$5\r\n12345\r\n", limits),
            (Events{"[ECHO][12345]", "between"}));
  EXPECT_EQ(
      ParseAllWays("*3\r\n$3\r\nSET\r\n$6\r\n123456\r\n$3\r\nabc\r\n*1\r\n$4\r\nPING\r\n", limits),
      (Events{too_large, "[PING]", "between"}));
  EXPECT_EQ(ParseAllWays("*2\r\n$6\r\n123456\r\n$20\r\n12345678901234567890\r\nPING\r\n", limits),
            (Events{too_large, "[PING]", "between"}));
  EXPECT_EQ(ParseAllWays("*1\r\n$6\r\n123456", limits), (Events{"within"}));
  EXPECT_EQ(ParseAllWays("*2\r\n$6\r\n123456\r\nx", limits),
            (Events{"error ERR Protocol error: expected '$', got 'x'"}));
  EXPECT_EQ(ParseAllWays("*2\r\n$6\r\n123456x\n", limits),
            (Events{"error ERR Protocol error: expected CRLF after bulk"}));
  EXPECT_EQ(ParseAllWays("*2\r\n$6\r\n123456\r\n$41\r\n", limits),
            (Events{"error ERR Protocol error: invalid bulk length"}));
  EXPECT_EQ(ParseAllWays("*2\r\n$41\r\n", limits),
            (Events{"error ERR Protocol error: invalid bulk length"}));
  EXPECT_EQ(ParseAllWays("GET 123456\r\nPING\r\n", limits),
            (Events{too_large, "[PING]", "between"}));
}

TEST(RespRequestParserTest, SkippedBytesAreNotHeld) {
  RespLimits limits;
  limits.bulk_bytes_max = 100;
  Feeder feeder(limits);
  feeder.Feed("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000000\r\n");
  for (int piece = 0; piece < 1000; ++piece) feeder.Feed(std::string(1000, '$'));
  feeder.Feed("\r\nPING\r\n");
  EXPECT_LE(feeder.held_bytes_max(), 1100u);
  EXPECT_EQ(feeder.Finish().back(), "between");
}

TEST(RespRequestParserTest, ARequestOfTooManyArgumentsIsSkippedAndTheConnectionStays) {
  RespLimits limits;
  limits.args_max = 2;
  const std::string too_many =
      "too large ERR request of 3 arguments exceeds maximum allowed number (2)";
  EXPECT_EQ(ParseAllWays("*2\r\n$1\r\na\r\n$1\r\nb\r\n", limits), (Events{"[a][b]", "between"}));
  EXPECT_EQ(ParseAllWays("*3\r\n$1\r\na\r\n$2\r\n\r\n\r\n$0\r\n\r\nPING\r\n", limits),
            (Events{too_many, "[PING]", "between"}));
  EXPECT_EQ(ParseAllWays("*3\r\n$1\r\na\r\n", limits), (Events{"within"}));
  EXPECT_EQ(ParseAllWays("*3\r\n+OK\r\n", limits),
            (Events{"error ERR Protocol error: expected '$', got '+'"}));
}

TEST(RespRequestParserTest, TheMostArgumentsThatRedisTakesAreNotHeld) {
  Feeder feeder{RespLimits{}};
  feeder.Feed("*2147483647\r\n");
  std::string piece;
  for (int arg = 0; arg < 1000; ++arg) piece += "$1\r\na\r\n";
  for (int pieces = 0; pieces < 2000; ++pieces) feeder.Feed(piece);
  EXPECT_LE(feeder.held_bytes_max(), piece.size() + 32);
  EXPECT_LE(feeder.parser().memory_bytes(), 1024u);
  EXPECT_EQ(feeder.Finish(), (Events{"within"}));
}

TEST(RespRequestParserTest, OverLimitRequestIsSkippedWhole) {
  RespLimits limits;
  limits.request_bytes_max = 40;
  const std::string fits = "*3\r\n$1\r\na\r\n$1\r\nb\r\n$14\r\n12345678901234\r\n";
  ASSERT_EQ(fits.size(), 39u);
  EXPECT_EQ(ParseAllWays(fits, limits), (Events{"[a][b][12345678901234]", "between"}));
  EXPECT_EQ(ParseAllWays("*4\r\n$1\r\na\r\n$1\r\nb\r\n$16\r\n1234567890123456\r\n$1\r\nc\r\nPING\n",
                         limits),
            (Events{"too large ERR request exceeds maximum allowed size (40 bytes)", "[PING]",
                    "between"}));
}

TEST(RespRequestParserTest, UnauthenticatedClientsAreHeldShort) {
  RespRequestParser parser{RespLimits{}};
  parser.set_unauthenticated(true);
  std::string_view input = "*2\r\n$4\r\nAUTH\r\n$1\r\nx\r\n";
  EXPECT_EQ(parser.Next(input), Status::kRequest);
  parser.set_unauthenticated(false);
  input = "*11\r\n";
  EXPECT_EQ(parser.Next(input), Status::kPartial);

  RespRequestParser second{RespLimits{}};
  second.set_unauthenticated(true);
  input = "*11\r\n";
  EXPECT_EQ(second.Next(input), Status::kError);
  EXPECT_EQ(second.error(), "ERR Protocol error: unauthenticated multibulk length");

  RespRequestParser third{RespLimits{}};
  third.set_unauthenticated(true);
  input = "*1\r\n$16385\r\n";
  EXPECT_EQ(third.Next(input), Status::kError);
  EXPECT_EQ(third.error(), "ERR Protocol error: unauthenticated bulk length");
}

TEST(RespRequestParserTest, TellsHowManyBytesALargeBulkNeeds) {
  RespRequestParser parser{RespLimits{}};
  const std::string head = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000000\r\n";
  std::string_view input = head;
  ASSERT_EQ(parser.Next(input), Status::kPartial);
  ASSERT_EQ(input.size(), head.size());
  EXPECT_EQ(parser.frame_bytes_min(), head.size() + 1000000 + 2);

  std::string whole = head + std::string(1000000, 'v') + "\r\n";
  input = std::string_view(whole).substr(0, whole.size() - 1);
  EXPECT_EQ(parser.Next(input), Status::kPartial);
  input = whole;
  ASSERT_EQ(parser.Next(input), Status::kRequest);
  EXPECT_EQ(parser.args()[0], "SET");
  EXPECT_EQ(parser.args()[1], "k");
  EXPECT_EQ(parser.args()[2].size(), 1000000u);
}

TEST(RespRequestParserTest, HugeCountsAllocateNothingAhead) {
  RespRequestParser parser{RespLimits{}};
  std::string_view input = "*1048576\r\n$1\r\na\r\n";
  ASSERT_EQ(parser.Next(input), Status::kPartial);
  EXPECT_LE(parser.memory_bytes(), 1024u);
}

TEST(RespRequestParserTest, ManyArgumentsByteByByteTakeLinearTime) {
  // 20,000 arguments in 140,000 pieces, in place: re-parsing would take 10^9 steps and more.
  std::string stream = "*20000\r\n";
  for (int index = 0; index < 20000; ++index) stream += "$1\r\nx\r\n";
  RespRequestParser parser{RespLimits{}};
  for (size_t size = 0; size < stream.size(); ++size) {
    std::string_view input = std::string_view(stream).substr(0, size);
    ASSERT_EQ(parser.Next(input), Status::kPartial);
  }
  std::string_view input = stream;
  ASSERT_EQ(parser.Next(input), Status::kRequest);
  EXPECT_EQ(parser.args().size(), 20000u);
  ASSERT_EQ(parser.Next(input), Status::kPartial);
  EXPECT_LE(parser.memory_bytes(), 1024u) << "memory of a huge request is given back";
}

TEST(RespRequestParserTest, GarbageGivesTheSameHoweverCut) {
  // Streams of plausible pieces, so that most get somewhere before they fail.
  constexpr std::string_view kPieces[] = {"*",           "*1",         "*2\r\n",
                                          "*3\r\n",      "$",          "$3\r\nGET\r\n",
                                          "$1\r\nk\r\n", "$0\r\n\r\n", "$9\r\n",
                                          "$21\r\n",     "123456789",  "\r\n",
                                          "\r",          "\n",         "-1",
                                          "0",           "PING\r\n",   "get 'a b'\n",
                                          "\"",          "x",          std::string_view("\0", 1),
                                          "\xff",        "host:"};
  RespLimits limits;
  limits.bulk_bytes_max = 8;
  limits.request_bytes_max = 30;
  limits.skip_bytes_max = 20;
  Prng prng(1);
  for (int round = 0; round < 20000; ++round) {
    std::string stream;
    for (uint64_t left = 1 + prng.Below(12); left > 0; --left) {
      stream += kPieces[prng.Below(std::size(kPieces))];
    }
    std::vector<std::string_view> pieces;
    for (std::string_view rest = stream; !rest.empty(); rest.remove_prefix(pieces.back().size())) {
      pieces.push_back(rest.substr(0, 1 + prng.Below(8)));
    }
    ASSERT_EQ(Parse(pieces, limits), Parse({stream}, limits)) << stream;
  }
}

TEST(RespCrossProtocolTest, KnowsItsWordsInAnyCase) {
  EXPECT_TRUE(IsRespCrossProtocolWord("POST"));
  EXPECT_TRUE(IsRespCrossProtocolWord("pOsT"));
  EXPECT_TRUE(IsRespCrossProtocolWord("Host:"));
  EXPECT_FALSE(IsRespCrossProtocolWord("HOST"));
  EXPECT_FALSE(IsRespCrossProtocolWord("PING"));
  EXPECT_FALSE(IsRespCrossProtocolWord(""));
}

}  // namespace
}  // namespace pakv
