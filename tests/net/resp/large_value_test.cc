// Values that are longer than the log takes, over RESP: received and sent in pieces, at every cut,
// in order with everything else, and without a trace when they are refused or cut off; read and
// changed in part, and made another key's.
// Long because: every command that knows of such values is tried on them here.
#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "tests/net/resp/resp_text.h"
#include "tests/net/server/sim_server.h"

namespace pakv {
namespace {

constexpr size_t kInlineBytesMax = 256;
constexpr size_t kValueBytesMax = 100'000;

// Any bytes, CR and LF among them.
std::string ValueOf(char first, size_t length) {
  std::string value(length, '\0');
  for (size_t i = 0; i < length; ++i) value[i] = static_cast<char>(first + i * 7 + i / 4096);
  return value;
}

class LargeValueTest : public testing::TestWithParam<uint32_t> {
 protected:
  LargeValueTest() { Start({}); }
  void Start(SimServer::Options options, uint32_t value_bytes_max = kValueBytesMax,
             uint32_t inline_bytes_max = kInlineBytesMax) {
    client_.reset();
    server_.reset();
    options.core_count = GetParam();
    options.key_bytes_max = 64;
    options.value_bytes_max = value_bytes_max;
    options.inline_value_bytes_max = inline_bytes_max;
    server_ = std::make_unique<SimServer>(options);
    client_ = std::make_unique<SimConnection>(*server_);
  }
  ~LargeValueTest() override { client_.reset(); }

  // A fresh server with a large value under way, cut elsewhere for each `i`.
  void StartWithinAValue(uint64_t i) {
    const std::string request = RespRequest({"SET", "key", ValueOf('a', 50'000)});
    Start({.seed = i + 1});
    Expect({"SET", "small", "1"}, "+OK\r\n");
    if (i % 2 == 0) {
      client_->SendAlone(request.substr(0, 30'000));
    } else {
      client_->Send(request.substr(0, 40'000));
      server_->world.RunFor(i * 10 * kNsPerUs);
    }
  }

  // Sends, and expects exactly this.
  void Expect(const std::vector<std::string>& args, const std::string& reply) {
    client_->Expect(RespRequest(args), reply);
  }
  void ExpectReply(const std::string& reply) { client_->ExpectReply(reply); }
  std::string ErrorOf(const std::vector<std::string>& args) {
    client_->Send(RespRequest(args));
    return Line();
  }
  std::string Line() { return client_->ReceiveLine(); }
  std::vector<std::string> Files() { return server_->ValueFiles(); }

  std::unique_ptr<SimServer> server_;
  std::unique_ptr<SimConnection> client_;
};

INSTANTIATE_TEST_SUITE_P(Cores, LargeValueTest, testing::Values(1, 2));

TEST_P(LargeValueTest, ComesBackWhateverTheCuts) {
  for (const size_t piece : {size_t{1}, size_t{13}, size_t{4096}, size_t{50'000}}) {
    const std::string value = ValueOf(static_cast<char>(piece), piece == 1 ? 5000 : 70'000);
    const std::string request = RespRequest({"SET", "key", value, "EX", "100"});
    for (size_t at = 0; at < request.size(); at += piece) {
      client_->SendAlone(std::string_view(request).substr(at, piece));
    }
    ExpectReply("+OK\r\n");
    Expect({"GET", "key"}, RespBulk(value));
    Expect({"TTL", "key"}, ":100\r\n");
    Expect({"STRLEN", "key"}, ":" + std::to_string(value.size()) + "\r\n");
  }
  EXPECT_EQ(Files().size(), 1u);
}

// Its bytes are received into the value's own memory from its begin on to its end, and not one
// further: wherever the stream was cut, and where chunks end.
TEST_P(LargeValueTest, ComesBackWhereverItIsCut) {
  const std::string value = ValueOf('c', 2 * 4096 + 300);
  const std::string before = RespRequest({"SET", "small", "1"});
  const std::string set = RespRequest({"SET", "key", value, "EX", "100"});
  const std::string stream = before + set + RespRequest({"GET", "key"}) +
                             RespRequest({"INCR", "small"}) + RespRequest({"PING"});
  const std::string reply = "+OK\r\n+OK\r\n" + RespBulk(value) + ":2\r\n+PONG\r\n";
  const size_t begin = before.size() + set.find(value);
  std::set<size_t> cuts;
  for (size_t at = 1; at < begin + 10; ++at) cuts.insert(at);
  for (const size_t around : {begin + 4096, begin + 2 * 4096, begin + value.size()}) {
    for (size_t at = around - 12; at < around + 40; ++at) cuts.insert(at);
  }
  for (const size_t at : cuts) {
    client_->SendAlone(stream.substr(0, at));
    client_->SendAlone(stream.substr(at, 3));
    client_->Send(stream.substr(at + 3));
    ExpectReply(reply);
    ASSERT_FALSE(HasFailure()) << "cut at " << at;
  }
  EXPECT_EQ(Files().size(), 1u);
}

// However fast it comes and goes, a pass of the core has no more than a part of it to copy.
TEST_P(LargeValueTest, ComesAndGoesInTurnsOf32KiB) {
  Start({}, 4 << 20, 64 << 10);
  const std::string value = ValueOf('a', 1'300'000);
  const std::string request = RespRequest({"SET", "key", value});
  SimConnection other(*server_);
  Expect({"SET", "n", "0"}, "+OK\r\n");
  size_t sent = 0;
  int64_t served = 0;
  while (sent < request.size()) {
    sent += client_->SendSome(std::string_view(request).substr(sent));
    other.Send(RespRequest({"INCR", "n"}));
    const std::string reply = ":" + std::to_string(++served) + "\r\n";
    EXPECT_EQ(other.Receive(reply.size()), reply);
  }
  ExpectReply("+OK\r\n");
  Expect({"GET", "key"}, RespBulk(value));
  EXPECT_GT(served, 10);
  EXPECT_GT(server_->node.process().received_at_once_max(), 4096u) << "past the ring's buffers";
  EXPECT_LE(server_->node.process().received_at_once_max(), 32u << 10);
  EXPECT_LE(server_->node.process().sent_at_once_max(), 32u << 10);
}

// A receiver that waits for a buffer and is cancelled is not the end of what the client sends.
TEST_P(LargeValueTest, UploadsGoOnWhereBuffersAreScarce) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Start({.seed = seed, .ring = {.receive_buffer_count = 2, .receive_buffer_bytes = 512}});
    SimConnection other(*server_);
    SimConnection third(*server_);
    const std::string value = ValueOf(static_cast<char>(seed), 90'000);
    // More than a session takes ahead of what it works on.
    const std::string request = RespRequest({"SET", "a", value}) +
                                RespRequest({"SET", "a", value}) + RespRequest({"GET", "a"});
    const std::string reply = "+OK\r\n+OK\r\n" + RespBulk(value);
    client_->Send(request);
    other.Send(request);
    third.Send(request);
    ExpectReply(reply);
    EXPECT_TRUE(other.Receive(reply.size()) == reply) << seed;
    EXPECT_TRUE(third.Receive(reply.size()) == reply) << seed;
  }
}

// It is refused when it comes, and with it all of EXEC; nothing is left of it.
TEST_P(LargeValueTest, NoneWithinMulti) {
  const std::string value = ValueOf('a', 9000);
  Expect({"SET", "key", "old"}, "+OK\r\n");
  Expect({"MULTI"}, "+OK\r\n");
  Expect({"SET", "key", "new"}, "+QUEUED\r\n");
  EXPECT_TRUE(ErrorOf({"SET", "large", value}).starts_with("-ERR string of 9000 bytes exceeds"));
  Expect({"SET", "more", "new"}, "+QUEUED\r\n");
  Expect({"EXEC"}, "-EXECABORT Transaction discarded because of previous errors.\r\n");
  Expect({"GET", "key"}, "$3\r\nold\r\n");
  Expect({"EXISTS", "large", "more"}, ":0\r\n");
  EXPECT_TRUE(Files().empty());
  // Outside it is one again, and what is queued may delete and replace it, but not read it.
  Expect({"SET", "large", value}, "+OK\r\n");
  client_->Send(RespRequest({"MULTI"}) + RespRequest({"STRLEN", "large"}) +
                RespRequest({"SET", "more", "1"}) + RespRequest({"GET", "large"}) +
                RespRequest({"EXEC"}));
  ExpectReply("+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n");
  EXPECT_TRUE(Line().starts_with("-ERR the key's value is too long"));
  Expect({"GET", "more"}, "$-1\r\n");
  client_->Send(RespRequest({"MULTI"}) + RespRequest({"STRLEN", "large"}) +
                RespRequest({"DEL", "large"}) + RespRequest({"EXEC"}));
  ExpectReply("+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:9000\r\n:1\r\n");
  EXPECT_TRUE(Files().empty());
}

TEST_P(LargeValueTest, RepliesStayInOrder) {
  const std::string value = ValueOf('a', 60'000);
  client_->Send(RespRequest({"SET", "small", "1"}) + RespRequest({"SET", "large", value}) +
                RespRequest({"GET", "large"}) + RespRequest({"PING"}) +
                RespRequest({"GET", "large"}) + RespRequest({"GET", "small"}) +
                RespRequest({"INCR", "small"}) + RespRequest({"ECHO", "x"}));
  ExpectReply("+OK\r\n+OK\r\n" + RespBulk(value) + "+PONG\r\n" + RespBulk(value) +
              "$1\r\n1\r\n:2\r\n" + RespBulk("x"));
}

TEST_P(LargeValueTest, EveryWayToWriteOne) {
  const std::string a = ValueOf('a', 9000);
  const std::string b = ValueOf('b', 5000);
  Expect({"SETNX", "key", a}, ":1\r\n");
  Expect({"SETNX", "key", b}, ":0\r\n");
  Expect({"SET", "key", b, "NX"}, "$-1\r\n");
  EXPECT_EQ(Files().size(), 1u);
  Expect({"GETSET", "key", b}, RespBulk(a));
  Expect({"SET", "key", a, "XX", "GET"}, RespBulk(b));
  Expect({"SETEX", "key", "50", b}, "+OK\r\n");
  Expect({"TTL", "key"}, ":50\r\n");
  Expect({"PSETEX", "key", "70000", a}, "+OK\r\n");
  Expect({"GETEX", "key", "PERSIST"}, RespBulk(a));
  Expect({"TTL", "key"}, ":-1\r\n");
  Expect({"EXPIRE", "key", "90"}, ":1\r\n");
  Expect({"SET", "key", b, "KEEPTTL"}, "+OK\r\n");
  Expect({"TTL", "key"}, ":90\r\n");
  Expect({"GETSET", "key", "small"}, RespBulk(b));
  Expect({"GET", "key"}, RespBulk("small"));
  EXPECT_TRUE(Files().empty());
  Expect({"SET", "key", a}, "+OK\r\n");
  Expect({"GETDEL", "key"}, RespBulk(a));
  Expect({"EXISTS", "key"}, ":0\r\n");
  EXPECT_TRUE(Files().empty());
}

// Their condition asks for the existence of what is there, and not for its reference.
TEST_P(LargeValueTest, AConditionalSetThatDeletesOrEmptiesLeavesNoFile) {
  Expect({"SET", "key", ValueOf('a', 5000)}, "+OK\r\n");
  Expect({"SET", "key", ValueOf('b', 5000), "XX", "PXAT", "1"}, "+OK\r\n");
  Expect({"GET", "key"}, "$-1\r\n");
  EXPECT_EQ(Files().size(), 0u);
  for (const char* key : {"one", "two", "three", "four"}) {
    Expect({"SET", key, ValueOf('c', 5000)}, "+OK\r\n");
    Expect({"SET", key, "", "XX"}, "+OK\r\n");
    Expect({"GET", key}, RespBulk(""));
  }
  EXPECT_EQ(Files().size(), 0u);
}

TEST_P(LargeValueTest, ARangeIsReadFromTheChunksThatHoldIt) {
  const std::string value = ValueOf('a', 3 * 4096 + 100);
  const auto length = static_cast<int64_t>(value.size());
  Expect({"SET", "key", value}, "+OK\r\n");
  constexpr int64_t kPlaces[] = {0, 1, 4095, 4096, 4097, 8191, 12'288, 12'387, 12'388, 99'999};
  for (const int64_t first : kPlaces) {
    for (const int64_t last : kPlaces) {
      const std::string part =
          first > last || first >= length
              ? ""
              : value.substr(static_cast<size_t>(first), static_cast<size_t>(last - first + 1));
      Expect({"GETRANGE", "key", std::to_string(first), std::to_string(last)}, RespBulk(part));
    }
  }
  Expect({"GETRANGE", "key", "-101", "-100"}, RespBulk(value.substr(value.size() - 101, 2)));
  Expect({"SUBSTR", "key", "0", "-1"}, RespBulk(value));
  // A chunk that is damaged spoils those ranges alone that it has a part in.
  const std::string path = "/pakv/data/" + Files().at(0);
  server_->node.disk().FlipBit(path.c_str(), 4096 + 5, 0);
  Expect({"GETRANGE", "key", "0", "4095"}, RespBulk(value.substr(0, 4096)));
  Expect({"GETRANGE", "key", "8192", "-1"}, RespBulk(value.substr(8192)));
  EXPECT_EQ(ErrorOf({"GETRANGE", "key", "8000", "8200"}),
            "-ERR damaged: " + path + ": damaged at offset 4096: a chunk's checksum is wrong\r\n");
}

TEST_P(LargeValueTest, BecomesAnotherKeysValue) {
  for (const bool has_links : {true, false}) {
    Start({.disk_has_links = has_links});
    const std::string a = ValueOf('a', 9000);
    const std::string b = ValueOf('b', 5000);
    Expect({"SET", "from", a, "PXAT", "99999999999123"}, "+OK\r\n");
    Expect({"RENAME", "from", "to"}, "+OK\r\n");
    Expect({"GET", "from"}, "$-1\r\n");
    Expect({"GET", "to"}, RespBulk(a));
    Expect({"PEXPIRETIME", "to"}, ":99999999999123\r\n");
    EXPECT_EQ(Files().size(), 1u);
    Expect({"SET", "there", b}, "+OK\r\n");
    Expect({"RENAMENX", "to", "there"}, ":0\r\n");
    Expect({"COPY", "to", "there"}, ":0\r\n");
    Expect({"COPY", "to", "to", "DB", "1"}, ":1\r\n");
    Expect({"MOVE", "to", "1"}, ":0\r\n");
    EXPECT_EQ(Files().size(), 3u);
    Expect({"COPY", "to", "there", "REPLACE"}, ":1\r\n");
    EXPECT_EQ(Files().size(), 3u);
    // What becomes of one is nothing to the others.
    Expect({"SET", "to", b}, "+OK\r\n");
    Expect({"GET", "there"}, RespBulk(a));
    Expect({"MOVE", "there", "2"}, ":1\r\n");
    Expect({"DEL", "to", "there"}, ":1\r\n");
    EXPECT_EQ(Files().size(), 2u);
    Expect({"SELECT", "1"}, "+OK\r\n");
    Expect({"GETDEL", "to"}, RespBulk(a));
    Expect({"SELECT", "2"}, "+OK\r\n");
    Expect({"GET", "there"}, RespBulk(a));
    Expect({"PEXPIRETIME", "there"}, ":99999999999123\r\n");
    Expect({"RENAME", "there", "there"}, "+OK\r\n");
    EXPECT_EQ(Files().size(), 1u);
    Expect({"FLUSHALL"}, "+OK\r\n");
    EXPECT_TRUE(Files().empty());
  }
}

TEST_P(LargeValueTest, IsOneOfSeveralThatAreReadAtOnce) {
  const std::string a = ValueOf('a', 90'000);
  const std::string b = ValueOf('b', 5000);
  Expect({"SET", "a", a}, "+OK\r\n");
  Expect({"SET", "b", b}, "+OK\r\n");
  Expect({"MSET", "c", "small", "d", ""}, "+OK\r\n");
  const std::vector<std::string> all = {"MGET", "a", "nosuch", "b", "c", "a", "d"};
  const std::string values = "*6\r\n" + RespBulk(a) + "$-1\r\n" + RespBulk(b) + RespBulk("small") +
                             RespBulk(a) + RespBulk("");
  Expect(all, values);
  // Behind a write of its own, so as a snapshot also on one core.
  client_->Send(RespRequest({"SET", "e", "1"}) + RespRequest(all) + RespRequest({"GET", "e"}));
  ExpectReply("+OK\r\n" + values + RespBulk("1"));
  // What is read stays, whatever becomes of the keys, at whatever pace it is read.
  std::vector<std::string> many = {"MGET", "b"};
  std::string much = "*41\r\n" + RespBulk(b);
  for (int i = 0; i < 40; ++i) {
    many.push_back("a");
    much += RespBulk(a);
  }
  SimConnection slow(*server_);
  slow.Send(RespRequest({"SET", "e", "1"}) + RespRequest(many));
  server_->world.RunFor(kNsPerSecond);
  Expect({"DEL", "a", "b", "c"}, ":3\r\n");
  EXPECT_EQ(Files().size(), 2u);
  EXPECT_TRUE(slow.Receive(5 + much.size()) == "+OK\r\n" + much);
  EXPECT_TRUE(Files().empty());
}

TEST_P(LargeValueTest, ADamagedOneOfSeveralIsAnErrorOrTheEnd) {
  const std::string value = ValueOf('a', 3 * 4096);
  Expect({"SET", "key", value}, "+OK\r\n");
  Expect({"MSET", "b", "1", "c", "2"}, "+OK\r\n");
  const std::string path = "/pakv/data/" + Files().at(0);
  const std::string request =
      RespRequest({"SET", "e", "1"}) + RespRequest({"MGET", "b", "key", "c"});
  server_->node.disk().FlipBit(path.c_str(), 9, 0);
  client_->Send(request);
  ExpectReply("+OK\r\n*3\r\n" + RespBulk("1") + "-ERR damaged: " + path +
              ": damaged at offset 0: a chunk's checksum is wrong\r\n" + RespBulk("2"));
  server_->node.disk().FlipBit(path.c_str(), 9, 0);
  server_->node.disk().FlipBit(path.c_str(), 5000, 0);
  SimConnection other(*server_);
  other.Send(request);
  EXPECT_TRUE(other.ReceiveToEnd() ==
              "+OK\r\n*3\r\n" + RespBulk("1") + "$12288\r\n" + value.substr(0, 4096));
}

TEST_P(LargeValueTest, IsReadToItsEndAlthoughItsKeyHasGone) {
  const std::string value = ValueOf('a', 90'000);
  Expect({"SET", "key", value}, "+OK\r\n");
  SimConnection slow(*server_);
  for (int i = 0; i < 4; ++i) slow.Send(RespRequest({"GET", "key"}));
  server_->world.RunFor(kNsPerSecond);
  Expect({"RENAME", "key", "other"}, "+OK\r\n");
  EXPECT_EQ(Files().size(), 2u);
  Expect({"DEL", "other", "key"}, ":1\r\n");
  EXPECT_EQ(Files().size(), 1u);
  for (int i = 0; i < 4; ++i) {
    EXPECT_TRUE(slow.Receive(RespBulk(value).size()) == RespBulk(value));
  }
  EXPECT_TRUE(Files().empty());
}

// The value that is renamed is the one that is there then, whatever a copy was made of before.
TEST_P(LargeValueTest, IsRenamedWhileOthersWriteIt) {
  SimConnection other(*server_);
  Expect({"SET", "key", ValueOf('a', 9000)}, "+OK\r\n");
  for (int i = 0; i < 200; ++i) {
    const std::string value = ValueOf(static_cast<char>(i), 5000);
    other.Send(RespRequest({"SET", "key", value}));
    server_->world.RunFor(static_cast<uint64_t>(i) * 3 * kNsPerUs);
    client_->Send(RespRequest({"COPY", "key", "copy", "REPLACE"}));
    EXPECT_EQ(other.Receive(5), "+OK\r\n");
    ExpectReply(":1\r\n");
    Expect({"RENAME", "key", "last"}, "+OK\r\n");
    Expect({"GET", "last"}, RespBulk(value));
    Expect({"RENAME", "last", "key"}, "+OK\r\n");
  }
  EXPECT_EQ(Files().size(), 2u);
}

TEST_P(LargeValueTest, IsNotRenamedWithinATransaction) {
  const std::string value = ValueOf('a', 9000);
  Expect({"SET", "key", value}, "+OK\r\n");
  Expect({"MULTI"}, "+OK\r\n");
  Expect({"SET", "small", "1"}, "+QUEUED\r\n");
  Expect({"RENAME", "key", "other"}, "+QUEUED\r\n");
  EXPECT_EQ(ErrorOf({"EXEC"}),
            "-ERR the key's value is too long for this command, which works in memory\r\n");
  Expect({"EXISTS", "small", "other", "key"}, ":1\r\n");
  Expect({"MULTI"}, "+OK\r\n");
  Expect({"DEL", "key", "small"}, "+QUEUED\r\n");
  Expect({"EXEC"}, "*1\r\n:1\r\n");
  EXPECT_TRUE(Files().empty());
}

TEST_P(LargeValueTest, APartOfItIsChanged) {
  std::string value = ValueOf('a', 3 * 4096 + 100);
  Expect({"SET", "key", value, "EX", "100"}, "+OK\r\n");
  const auto change = [&](size_t begin, const std::string& part) {
    if (value.size() < begin + part.size()) value.resize(begin + part.size(), '\0');
    value.replace(begin, part.size(), part);
    Expect({"SETRANGE", "key", std::to_string(begin), part},
           ":" + std::to_string(value.size()) + "\r\n");
    Expect({"GET", "key"}, RespBulk(value));
  };
  for (const size_t begin : {0, 1, 4090, 4096, 8192, 12'287, 12'380, 12'390, 20'000}) {
    change(begin, "part " + std::to_string(begin));
  }
  for (const std::string& part : {std::string("x"), std::string(256, 'y'), std::string()}) {
    value += part;
    Expect({"APPEND", "key", part}, ":" + std::to_string(value.size()) + "\r\n");
  }
  Expect({"SETRANGE", "key", "3", ""}, ":" + std::to_string(value.size()) + "\r\n");
  Expect({"GET", "key"}, RespBulk(value));
  Expect({"TTL", "key"}, ":100\r\n");
  EXPECT_EQ(Files().size(), 1u);
  const std::string too_long = "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n";
  Expect({"SETRANGE", "key", "99999", "xy"}, too_long);
  Expect({"SETRANGE", "key", "99998", "xy"}, ":100000\r\n");
  Expect({"APPEND", "key", "x"}, too_long);
  Expect({"STRLEN", "key"}, ":100000\r\n");
}

TEST_P(LargeValueTest, AShortOneGrowsBeyondTheLog) {
  std::string value(250, 'a');
  Expect({"SET", "key", value, "PXAT", "99999999999123"}, "+OK\r\n");
  Expect({"APPEND", "key", "123456"}, ":256\r\n");
  EXPECT_TRUE(Files().empty());
  Expect({"APPEND", "key", "7"}, ":257\r\n");
  EXPECT_EQ(Files().size(), 1u);
  Expect({"GET", "key"}, RespBulk(value + "1234567"));
  Expect({"PEXPIRETIME", "key"}, ":99999999999123\r\n");
  Expect({"SETRANGE", "gap", "9000", "x"}, ":9001\r\n");
  Expect({"GET", "gap"}, RespBulk(std::string(9000, '\0') + "x"));
  // In a transaction they stay as they are.
  Expect({"SET", "other", value}, "+OK\r\n");
  Expect({"MULTI"}, "+OK\r\n");
  Expect({"APPEND", "other", "1234567"}, "+QUEUED\r\n");
  Expect({"SETRANGE", "other", "0", "b"}, "+QUEUED\r\n");
  client_->Send(RespRequest({"EXEC"}));
  ExpectReply(
      "*2\r\n-ERR the key's value is too long for this command, which works in memory\r\n:250\r\n");
  EXPECT_EQ(Files().size(), 2u);
}

TEST_P(LargeValueTest, ChangesOfOneKeyKeepTheirOrder) {
  std::string value = ValueOf('a', 9000);
  std::string requests = RespRequest({"SET", "key", value});
  std::string replies = "+OK\r\n";
  for (int i = 0; i < 20; ++i) {
    const std::string part = std::to_string(i) + ".";
    value += part;
    value[static_cast<size_t>(i)] = '!';
    requests += RespRequest({"APPEND", "key", part}) +
                RespRequest({"SETRANGE", "key", std::to_string(i), "!"}) +
                RespRequest({"GET", "key"}) + RespRequest({"GET", "nosuch"});
    replies += ":" + std::to_string(value.size()) + "\r\n:" + std::to_string(value.size()) +
               "\r\n" + RespBulk(value) + "$-1\r\n";
  }
  client_->Send(requests + RespRequest({"SET", "key", "1"}) + RespRequest({"APPEND", "key", "2"}) +
                RespRequest({"GET", "key"}));
  ExpectReply(replies + "+OK\r\n:2\r\n" + RespBulk("12"));
  EXPECT_TRUE(Files().empty());
}

// Each appends to what the others have left.
TEST_P(LargeValueTest, ManyChangeOneKey) {
  Expect({"SET", "key", std::string(9000, 'a')}, "+OK\r\n");
  std::vector<std::unique_ptr<SimConnection>> others;
  for (int i = 0; i < 12; ++i) {
    others.push_back(std::make_unique<SimConnection>(*server_));
    others.back()->Send(RespRequest({"APPEND", "key", "b"}) + RespRequest({"SET", "mine", "1"}));
  }
  std::set<std::string> lengths;
  for (const auto& other : others) {
    const std::string reply = other->Receive(7 + 5);
    EXPECT_TRUE(reply.ends_with("\r\n+OK\r\n")) << reply;
    lengths.insert(reply.substr(0, 5));
  }
  EXPECT_EQ(lengths.size(), others.size());
  EXPECT_EQ(*lengths.begin(), ":9001");
  EXPECT_EQ(*lengths.rbegin(), ":9012");
  Expect({"GET", "key"}, RespBulk(std::string(9000, 'a') + std::string(12, 'b')));
  EXPECT_EQ(Files().size(), 1u);
}

// Uploads that wait for their key's turn do not keep the edit that is before them from its own.
TEST_P(LargeValueTest, UploadsBehindAChangeDoNotStopIt) {
  Expect({"SET", "key", ValueOf('a', 90'000)}, "+OK\r\n");
  std::vector<std::unique_ptr<SimConnection>> others;
  for (int i = 0; i < 40; ++i) {
    others.push_back(std::make_unique<SimConnection>(*server_));
    others.back()->Send(i % 4 == 0 ? RespRequest({"APPEND", "key", "x"})
                                   : RespRequest({"SET", "key", ValueOf('b', 3000)}));
  }
  for (const auto& other : others) {
    const std::string reply = other->Receive(5);
    EXPECT_TRUE(reply == "+OK\r\n" || reply.starts_with(":")) << reply;
  }
}

TEST_P(LargeValueTest, AChangeMayMeetAFlush) {
  for (int i = 0; i < 60; ++i) {
    SimConnection other(*server_);
    Expect({"SET", "key", ValueOf('a', 40'000)}, "+OK\r\n");
    client_->Send(RespRequest({"APPEND", "key", "x"}));
    server_->world.RunFor(static_cast<uint64_t>(i) * 10 * kNsPerUs);
    other.Send(RespRequest({"FLUSHALL"}));
    EXPECT_EQ(other.Receive(5), "+OK\r\n");
    const std::string length = Line();
    EXPECT_TRUE(length == ":40001\r\n" || length == ":1\r\n") << length;
    client_->Send(RespRequest({"STRLEN", "key"}));
    const std::string left = Line();
    EXPECT_TRUE(left == ":0\r\n" || left == length) << left;
    EXPECT_TRUE(length != ":1\r\n" || left == length) << left;
  }
  Expect({"FLUSHALL"}, "+OK\r\n");
  EXPECT_TRUE(Files().empty());
}

TEST_P(LargeValueTest, AChangeThatCannotBeMadeLeavesTheValue) {
  const std::string value = ValueOf('a', 3 * 4096);
  Expect({"SET", "key", value}, "+OK\r\n");
  const std::string path = "/pakv/data/" + Files().at(0);
  server_->node.disk().FlipBit(path.c_str(), 9, 0);
  EXPECT_EQ(ErrorOf({"APPEND", "key", "x"}),
            "-ERR damaged: " + path + ": damaged at offset 0: a chunk's checksum is wrong\r\n");
  EXPECT_EQ(Files().size(), 1u);
  server_->node.disk().FlipBit(path.c_str(), 9, 0);
  Expect({"GET", "key"}, RespBulk(value));
  Expect({"APPEND", "key", "x"}, ":12289\r\n");
  EXPECT_EQ(Files().size(), 1u);
}

TEST_P(LargeValueTest, CommandsThatWorkInMemorySayNo) {
  const std::string value = ValueOf('a', 9000);
  Expect({"SET", "key", value}, "+OK\r\n");
  EXPECT_EQ(ErrorOf({"INCR", "key"}), "-ERR value is not an integer or out of range\r\n");
  EXPECT_EQ(ErrorOf({"INCRBYFLOAT", "key", "1"}), "-ERR value is not a valid float\r\n");
  const std::string too_long = ErrorOf({"MSET", "one", "1", "two", value});
  EXPECT_TRUE(too_long.starts_with(
      "-ERR string of 9000 bytes exceeds the 256 bytes that an argument may have here"))
      << too_long;
  Expect({"GET", "one"}, "$-1\r\n");
  Expect({"GET", "key"}, RespBulk(value));
}

TEST_P(LargeValueTest, TooLongIsSkippedAndNothingHappened) {
  EXPECT_EQ(ErrorOf({"SET", "key", std::string(kValueBytesMax + 1, 'x')}),
            "-ERR string of 100001 bytes exceeds maximum allowed size (max-value, 100000 "
            "bytes)\r\n");
  Expect({"SET", "key", std::string(kValueBytesMax, 'x')}, "+OK\r\n");
  EXPECT_EQ(ErrorOf({"SET", "other", ValueOf('a', 9000), "BOGUS"}), "-ERR syntax error\r\n");
  EXPECT_EQ(ErrorOf({"SETNX", "other", ValueOf('a', 9000), "NX"}),
            "-ERR wrong number of arguments for 'setnx' command\r\n");
  EXPECT_EQ(ErrorOf({"SETEX", "other", "zero", ValueOf('a', 9000)}),
            "-ERR value is not an integer or out of range\r\n");
  EXPECT_EQ(ErrorOf({"SET", "other", ValueOf('a', 9000), ValueOf('b', 9000)}),
            "-ERR a request may have one argument of more than 256 bytes\r\n");
  Expect({"GET", "other"}, "$-1\r\n");
  EXPECT_EQ(Files().size(), 1u);
}

TEST_P(LargeValueTest, AClientThatGoesLeavesNothing) {
  const std::string request = RespRequest({"SET", "key", ValueOf('a', 50'000)});
  const size_t begin = request.size() - 50'002;
  for (const bool reset : {false, true}) {
    // Where it has just begun, within a chunk, between two, and within what comes behind it.
    for (const size_t sent : {begin, begin + 1, size_t{30'000}, begin + 8 * 4096,
                              request.size() - 2, request.size() - 1}) {
      SimConnection other(*server_);
      other.SendAlone(request.substr(0, sent));
      EXPECT_EQ(Files().size(), 1u) << sent;
      if (reset) {
        other.Reset();
      } else {
        other.EndSending();
      }
      EXPECT_TRUE(Files().empty()) << sent;
      EXPECT_EQ(other.ended(), !reset) << sent;
    }
  }
  Expect({"GET", "key"}, "$-1\r\n");
}

// Its client goes while its bytes are on their way: received, or being written.
TEST_P(LargeValueTest, AClientThatGoesAtAnyTimeLeavesNothing) {
  const std::string request = RespRequest({"SET", "key", ValueOf('a', 50'000)});
  for (uint64_t i = 0; i < 100; ++i) {
    SimConnection other(*server_);
    other.Send(request.substr(0, 40'000 + i));
    server_->world.RunFor(i * 7 * kNsPerUs);
    if (i % 2 == 0) {
      other.Reset();
    } else {
      other.EndSending();
    }
    EXPECT_TRUE(Files().empty()) << i;
  }
  Expect({"GET", "key"}, "$-1\r\n");
}

// The server's stop does not wait for the rest of a value, and ends what is under way.
TEST_P(LargeValueTest, AStopDoesNotWaitForTheRest) {
  for (uint64_t i = 0; i < 20; ++i) {
    StartWithinAValue(i);
    const uint64_t begin_ns = server_->world.now_ns();
    server_->Stop();
    EXPECT_LT(server_->world.now_ns() - begin_ns, 5 * kNsPerSecond);
    EXPECT_EQ(client_->ReceiveToEnd(), "") << i;
    EXPECT_TRUE(Files().empty()) << i;
  }
}

TEST_P(LargeValueTest, ADrainDoesNotWaitForTheRest) {
  for (uint64_t i = 0; i < 20; ++i) {
    StartWithinAValue(i);
    EXPECT_EQ(server_->node.Run(server_->server->Drain(5 * kNsPerSecond)), true) << i;
    EXPECT_EQ(client_->ReceiveToEnd(), "") << i;
    EXPECT_TRUE(Files().empty()) << i;
  }
}

TEST_P(LargeValueTest, ASlowReaderHoldsNobodyUpAndMayGo) {
  const std::string value = ValueOf('a', 90'000);
  Expect({"SET", "key", value}, "+OK\r\n");
  {
    SimConnection slow(*server_);
    for (int i = 0; i < 20; ++i) slow.Send(RespRequest({"GET", "key"}));
    server_->world.RunFor(kNsPerSecond);
    Expect({"GET", "key"}, RespBulk(value));
    Expect({"SET", "key", "small"}, "+OK\r\n");
    EXPECT_EQ(Files().size(), 1u);  // it is still read
    EXPECT_EQ(slow.Receive(1000).size(), 1000u);
    slow.Reset();
  }
  EXPECT_TRUE(Files().empty());
}

TEST_P(LargeValueTest, ADamagedChunkIsAnErrorOrTheEnd) {
  Expect({"SET", "key", ValueOf('a', 5 * 4096)}, "+OK\r\n");
  const std::string path = "/pakv/data/" + Files().at(0);
  server_->node.disk().FlipBit(path.c_str(), 3 * 4096 + 5, 0);
  {
    SimConnection other(*server_);
    other.Send(RespRequest({"GET", "key"}) + RespRequest({"PING"}));
    const std::string sound = "$20480\r\n" + ValueOf('a', 5 * 4096).substr(0, 3 * 4096);
    EXPECT_TRUE(other.ReceiveToEnd() == sound);
  }
  server_->node.disk().FlipBit(path.c_str(), 9, 0);
  EXPECT_EQ(ErrorOf({"GET", "key"}),
            "-ERR damaged: " + path + ": damaged at offset 0: a chunk's checksum is wrong\r\n");
  Expect({"PING"}, "+PONG\r\n");
}

TEST_P(LargeValueTest, AFullDiskRefusesIt) {
  SpaceStat space;
  Files();
  server_->node.disk().Space(space);
  server_->node.disk().SetBallast(space.free_bytes - (300 << 10));
  EXPECT_TRUE(ErrorOf({"SET", "key", ValueOf('a', 90'000)}).starts_with("-MISCONF disk full: "));
  Expect({"PING"}, "+PONG\r\n");
  server_->node.disk().SetBallast(0);
  EXPECT_TRUE(Files().empty());
  Expect({"SET", "key", ValueOf('a', 90'000)}, "+OK\r\n");
}

// A second more for each 64 KiB, also of those that no buffer of the ring was needed for.
TEST_P(LargeValueTest, WhatWasReceivedExtendsItsTime) {
  Start({.request_timeout_ns = 2 * kNsPerSecond});
  const std::string request = RespRequest({"SET", "key", ValueOf('a', 90'000)});
  for (const bool in_time : {true, false}) {
    SimConnection other(*server_);
    other.SendAlone(request.substr(0, 80'000));
    server_->world.RunFor((in_time ? 2900 : 3100) * kNsPerMs);
    if (in_time) other.Send(request.substr(80'000));
    const std::string reply =
        in_time ? "+OK\r\n" : "-ERR request timeout: the request was not complete in time\r\n";
    EXPECT_EQ(other.Receive(reply.size()), reply);
  }
  EXPECT_EQ(Files().size(), 1u);
}

TEST_P(LargeValueTest, DrippingBytesDoNotExtendItsTime) {
  Start({.request_timeout_ns = 2 * kNsPerSecond});
  const std::string request = RespRequest({"SET", "key", ValueOf('a', 50'000)});
  client_->SendAlone(request.substr(0, 20'000));
  for (size_t at = 20'000; at < 20'040 && !client_->ended(); ++at) {
    client_->SendAlone(request.substr(at, 1));
    server_->world.RunFor(100 * kNsPerMs);
  }
  EXPECT_EQ(client_->ReceiveToEnd(),
            "-ERR request timeout: the request was not complete in time\r\n");
  EXPECT_TRUE(Files().empty());
}

}  // namespace
}  // namespace pakv
