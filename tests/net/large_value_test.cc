// Values that are longer than the log takes, over RESP: received and sent in pieces, at every cut,
// in order with everything else, and without a trace when they are refused or cut off.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/net/sim_server.h"

namespace pakv {
namespace {

constexpr size_t kInlineBytesMax = 256;
constexpr size_t kValueBytesMax = 100'000;

std::string Bulk(std::string_view bytes) {
  return "$" + std::to_string(bytes.size()) + "\r\n" + std::string(bytes) + "\r\n";
}
std::string Request(const std::vector<std::string>& args) {
  std::string request = "*" + std::to_string(args.size()) + "\r\n";
  for (const std::string& arg : args) request += Bulk(arg);
  return request;
}
// Any bytes, CR and LF among them.
std::string ValueOf(char first, size_t length) {
  std::string value(length, '\0');
  for (size_t i = 0; i < length; ++i) value[i] = static_cast<char>(first + i * 7 + i / 4096);
  return value;
}

class LargeValueTest : public testing::TestWithParam<uint32_t> {
 protected:
  LargeValueTest() { Start({}); }
  void Start(SimServer::Options options) {
    client_.reset();
    server_.reset();
    options.core_count = GetParam();
    options.key_bytes_max = 64;
    options.value_bytes_max = kValueBytesMax;
    options.inline_value_bytes_max = kInlineBytesMax;
    server_ = std::make_unique<SimServer>(options);
    client_ = std::make_unique<SimConnection>(*server_, server_->data_address());
  }
  ~LargeValueTest() override { client_.reset(); }

  // Sends, and expects exactly this.
  void Expect(const std::vector<std::string>& args, const std::string& reply) {
    client_->Send(Request(args));
    ExpectReply(reply);
  }
  void ExpectReply(const std::string& reply) {
    const std::string received = client_->Receive(reply.size());
    EXPECT_TRUE(received == reply)
        << received.substr(0, 200) << " in place of " << reply.substr(0, 200);
  }
  std::string ErrorOf(const std::vector<std::string>& args) {
    client_->Send(Request(args));
    return Line();
  }
  std::string Line() {
    std::string line;
    while (!line.ends_with("\r\n")) {
      const std::string byte = client_->Receive(1);
      if (byte.empty()) break;
      line += byte;
    }
    return line;
  }
  std::vector<std::string> Files() {
    server_->world.RunFor(kNsPerSecond);
    std::vector<std::string> names;
    EXPECT_GE(server_->node.disk().List("/pakv/data", names), 0);
    std::erase_if(names, [](const std::string& name) { return !name.ends_with(".val"); });
    return names;
  }

  std::unique_ptr<SimServer> server_;
  std::unique_ptr<SimConnection> client_;
};

INSTANTIATE_TEST_SUITE_P(Cores, LargeValueTest, testing::Values(1, 2));

TEST_P(LargeValueTest, ComesBackWhateverTheCuts) {
  for (const size_t piece : {size_t{1}, size_t{13}, size_t{4096}, size_t{50'000}}) {
    const std::string value = ValueOf(static_cast<char>(piece), piece == 1 ? 5000 : 70'000);
    const std::string request = Request({"SET", "key", value, "EX", "100"});
    for (size_t at = 0; at < request.size(); at += piece) {
      client_->SendAlone(std::string_view(request).substr(at, piece));
    }
    ExpectReply("+OK\r\n");
    Expect({"GET", "key"}, Bulk(value));
    Expect({"TTL", "key"}, ":100\r\n");
    Expect({"STRLEN", "key"}, ":" + std::to_string(value.size()) + "\r\n");
  }
  EXPECT_EQ(Files().size(), 1u);
}

// A receiver that waits for a buffer and is cancelled is not the end of what the client sends.
TEST_P(LargeValueTest, UploadsGoOnWhereBuffersAreScarce) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Start({.seed = seed, .ring = {.receive_buffer_count = 2, .receive_buffer_bytes = 512}});
    SimConnection other(*server_, server_->data_address());
    SimConnection third(*server_, server_->data_address());
    const std::string value = ValueOf(static_cast<char>(seed), 90'000);
    // More than a session takes ahead of what it works on.
    const std::string request =
        Request({"SET", "a", value}) + Request({"SET", "a", value}) + Request({"GET", "a"});
    const std::string reply = "+OK\r\n+OK\r\n" + Bulk(value);
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
  client_->Send(Request({"MULTI"}) + Request({"STRLEN", "large"}) + Request({"SET", "more", "1"}) +
                Request({"GET", "large"}) + Request({"EXEC"}));
  ExpectReply("+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n");
  EXPECT_TRUE(Line().starts_with("-ERR the key's value is too long"));
  Expect({"GET", "more"}, "$-1\r\n");
  client_->Send(Request({"MULTI"}) + Request({"STRLEN", "large"}) + Request({"DEL", "large"}) +
                Request({"EXEC"}));
  ExpectReply("+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:9000\r\n:1\r\n");
  EXPECT_TRUE(Files().empty());
}

TEST_P(LargeValueTest, RepliesStayInOrder) {
  const std::string value = ValueOf('a', 60'000);
  client_->Send(Request({"SET", "small", "1"}) + Request({"SET", "large", value}) +
                Request({"GET", "large"}) + Request({"PING"}) + Request({"GET", "large"}) +
                Request({"GET", "small"}) + Request({"INCR", "small"}) + Request({"ECHO", "x"}));
  ExpectReply("+OK\r\n+OK\r\n" + Bulk(value) + "+PONG\r\n" + Bulk(value) + "$1\r\n1\r\n:2\r\n" +
              Bulk("x"));
}

TEST_P(LargeValueTest, EveryWayToWriteOne) {
  const std::string a = ValueOf('a', 9000);
  const std::string b = ValueOf('b', 5000);
  Expect({"SETNX", "key", a}, ":1\r\n");
  Expect({"SETNX", "key", b}, ":0\r\n");
  Expect({"SET", "key", b, "NX"}, "$-1\r\n");
  EXPECT_EQ(Files().size(), 1u);
  Expect({"GETSET", "key", b}, Bulk(a));
  Expect({"SET", "key", a, "XX", "GET"}, Bulk(b));
  Expect({"SETEX", "key", "50", b}, "+OK\r\n");
  Expect({"TTL", "key"}, ":50\r\n");
  Expect({"PSETEX", "key", "70000", a}, "+OK\r\n");
  Expect({"GETEX", "key", "PERSIST"}, Bulk(a));
  Expect({"TTL", "key"}, ":-1\r\n");
  Expect({"EXPIRE", "key", "90"}, ":1\r\n");
  Expect({"SET", "key", b, "KEEPTTL"}, "+OK\r\n");
  Expect({"TTL", "key"}, ":90\r\n");
  Expect({"GETSET", "key", "small"}, Bulk(b));
  Expect({"GET", "key"}, Bulk("small"));
  EXPECT_TRUE(Files().empty());
  Expect({"SET", "key", a}, "+OK\r\n");
  Expect({"GETDEL", "key"}, Bulk(a));
  Expect({"EXISTS", "key"}, ":0\r\n");
  EXPECT_TRUE(Files().empty());
}

TEST_P(LargeValueTest, CommandsThatWorkInMemorySayNo) {
  const std::string value = ValueOf('a', 9000);
  Expect({"SET", "key", value}, "+OK\r\n");
  EXPECT_EQ(ErrorOf({"INCR", "key"}), "-ERR value is not an integer or out of range\r\n");
  EXPECT_EQ(ErrorOf({"APPEND", "key", "x"}),
            "-ERR the key's value is too long for this command, which works in memory\r\n");
  const std::string too_long = ErrorOf({"MSET", "one", "1", "two", value});
  EXPECT_TRUE(too_long.starts_with(
      "-ERR string of 9000 bytes exceeds the 256 bytes that an argument may have here"))
      << too_long;
  Expect({"GET", "one"}, "$-1\r\n");
  Expect({"GET", "key"}, Bulk(value));
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
  const std::string request = Request({"SET", "key", ValueOf('a', 50'000)});
  for (const bool reset : {false, true}) {
    SimConnection other(*server_, server_->data_address());
    other.SendAlone(request.substr(0, 30'000));
    EXPECT_EQ(Files().size(), 1u);
    if (reset) {
      other.Reset();
    } else {
      other.EndSending();
    }
    EXPECT_TRUE(Files().empty());
  }
  Expect({"GET", "key"}, "$-1\r\n");
}

TEST_P(LargeValueTest, ASlowReaderHoldsNobodyUpAndMayGo) {
  const std::string value = ValueOf('a', 90'000);
  Expect({"SET", "key", value}, "+OK\r\n");
  {
    SimConnection slow(*server_, server_->data_address());
    for (int i = 0; i < 20; ++i) slow.Send(Request({"GET", "key"}));
    server_->world.RunFor(kNsPerSecond);
    Expect({"GET", "key"}, Bulk(value));
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
    SimConnection other(*server_, server_->data_address());
    other.Send(Request({"GET", "key"}) + Request({"PING"}));
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

TEST_P(LargeValueTest, DrippingBytesDoNotExtendItsTime) {
  Start({.request_timeout_ns = 2 * kNsPerSecond});
  const std::string request = Request({"SET", "key", ValueOf('a', 50'000)});
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
