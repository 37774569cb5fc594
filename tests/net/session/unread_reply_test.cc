// Replies that are far longer than what asked for them, to clients that do not read: the server
// holds no more than it says, and everybody else is served meanwhile. Then they are read to their
// end, or their clients go, and nothing is left.
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "tests/net/resp/resp_text.h"
#include "tests/net/server/sim_server.h"
#include "tests/net/session/large_reply.h"

namespace pakv {
namespace {

constexpr size_t kOutputBytesMax = 64 << 10;
constexpr size_t kValueBytes = 20'000;

// With the command's name before `count` times `arg`.
std::vector<std::string> Names(std::vector<std::string> args, size_t count,
                               const std::string& arg) {
  args.insert(args.end(), count, arg);
  return args;
}
// What this program has allocated; nothing where the allocator does not tell (sanitizers).
class UnreadReplyTest : public testing::TestWithParam<uint32_t> {
 protected:
  static SimServer::Options Options() {
    SimServer::Options options;
    options.core_count = GetParam();
    options.cache_bytes = 4 << 20;
    options.session_limits.output_bytes_max = kOutputBytesMax;
    return options;
  }
  void Start(const SimServer::Options& options) {
    server_.reset();
    server_ = std::make_unique<SimServer>(options);
  }
  // On a connection of its own, which has ended then.
  void Expect(std::string_view request, std::string_view reply) {
    SimConnection client(*server_, server_->data_address());
    Expect(client, request, reply);
  }
  void Expect(SimConnection& client, std::string_view request, std::string_view reply) {
    client.Send(request);
    const std::string received = client.Receive(reply.size());
    EXPECT_TRUE(received == reply) << received.substr(0, 200) << "\nin place of\n"
                                   << reply.substr(0, 200);
  }
  // A client that sends this and reads nothing.
  std::unique_ptr<SimConnection> Unread(std::string_view request) {
    auto client = std::make_unique<SimConnection>(*server_, server_->data_address());
    client->Send(request);
    server_->world.RunFor(kNsPerSecond);
    return client;
  }
  // What counts as memory of clients and transactions, of all cores.
  uint64_t CountedBytes() {
    server_->world.RunFor(kNsPerSecond);
    const auto stats = server_->node.Run(server_->server->Stats(server_->node.core(0)));
    return stats->store.memory_bytes;
  }
  void SetValues(size_t count, size_t bytes) {
    std::string sets;
    for (size_t i = 0; i < count; ++i) {
      sets += RespRequest({"SET", "k" + std::to_string(i), std::string(bytes, 'v')});
    }
    Expect(sets, Times(count, "+OK\r\n"));
  }

  std::unique_ptr<SimServer> server_;
};
INSTANTIATE_TEST_SUITE_P(Cores, UnreadReplyTest, testing::Values(1u, 2u));

const std::string kTooMuch =
    "-ERR too many keys or bytes for one command that is all or nothing (65536 keys, 16 MiB "
    "written, 64 MiB read; in EXEC also 64 MiB of replies, and 64 MiB written one after another)"
    "\r\n";

// ---- MGET ----

TEST_P(UnreadReplyTest, AValueThatIsNamedOftenIsHeldOnce) {
  constexpr size_t kNames = 1000;
  Start(Options());
  SetValues(1, kValueBytes);
  const std::string one = RespBulk(std::string(kValueBytes, 'v'));
  const size_t heap = HeapBytes();
  const uint64_t counted = CountedBytes();
  const std::string request = RespRequest(Names({"MGET"}, kNames, "k0"));
  const auto slow = Unread(request);
  // It would be 20 MB.
  EXPECT_LT(HeapBytes(), heap + (4 << 20));
  EXPECT_LT(CountedBytes(), counted + (1 << 20));
  Expect("GET k0\r\n", one);
  // All of it comes, as fast as it is read.
  EXPECT_TRUE(slow->Receive(7 + kNames * one.size()) == "*1000\r\n" + Times(kNames, one));
  // What fits is answered from one pass, or as a snapshot: the same.
  Expect(RespRequest(Names({"MGET"}, 2, "k0")), "*2\r\n" + one + one);
  Expect(RespRequest(Names({"MGET", "nosuch"}, 20, "k0")), "*21\r\n$-1\r\n" + Times(20, one));
}

// Key reads of the core, which wait for memory when they come from the device, do not wait for it.
TEST_P(UnreadReplyTest, HoldsUpNoOtherReads) {
  SimServer::Options options = Options();
  options.inline_value_bytes_max = 256;
  options.cache_bytes = 0;
  options.session_limits.core_read_bytes_max = 64 << 10;
  Start(options);
  const std::string large(100'000, 'l');
  Expect(RespRequest({"SET", "large", large}) + "SET small 1\r\n", "+OK\r\n+OK\r\n");
  // Behind a write of its own, so as a snapshot also on one core; twice what the budget has.
  const std::string request =
      "SET e 1\r\n" + RespRequest(Names({"MGET", "large", "large", "large"}, 32, "small"));
  const auto slow = Unread(request);
  for (int i = 0; i < 10; ++i)
    Expect("GET small\r\nGET large\r\n", "$1\r\n1\r\n" + RespBulk(large));
  const std::string reply = "+OK\r\n*35\r\n" + Times(3, RespBulk(large)) + Times(32, "$1\r\n1\r\n");
  EXPECT_TRUE(slow->Receive(reply.size()) == reply);
}

// A core has eight chunks for those who read values in files: none is kept by who does not read.
TEST_P(UnreadReplyTest, KeepsNoChunkOfAFile) {
  SimServer::Options options = Options();
  options.inline_value_bytes_max = 256;
  options.session_limits.output_bytes_max = 1000;
  Start(options);
  const std::string large(100'000, 'l');
  Expect(RespRequest({"SET", "large", large}), "+OK\r\n");
  std::vector<std::unique_ptr<SimConnection>> slow;
  for (int i = 0; i < 20; ++i) slow.push_back(Unread("SET e 1\r\nMGET large large large\r\n"));
  Expect("GET large\r\nMGET large e\r\n",
         RespBulk(large) + "*2\r\n" + RespBulk(large) + "$1\r\n1\r\n");
  const std::string reply = "+OK\r\n*3\r\n" + Times(3, RespBulk(large));
  for (const auto& client : slow) EXPECT_TRUE(client->Receive(reply.size()) == reply);
}

// Many values at one moment are held until they are read, all together within a bound; beyond it
// large replies are refused, and small ones are not.
TEST_P(UnreadReplyTest, WhatSeveralHoldIsBounded) {
  constexpr size_t kValues = 200;
  SimServer::Options options = Options();
  options.transaction_bytes_max = 6 << 20;
  Start(options);
  SetValues(kValues, kValueBytes);
  std::vector<std::string> mget = {"MGET"};
  for (size_t i = 0; i < kValues; ++i) mget.push_back("k" + std::to_string(i));
  const std::string all = "*200\r\n" + Times(kValues, RespBulk(std::string(kValueBytes, 'v')));
  const size_t heap = HeapBytes();
  const uint64_t counted = CountedBytes();
  std::vector<std::unique_ptr<SimConnection>> slow;
  for (int i = 0; i < 12; ++i) slow.push_back(Unread(RespRequest(mget)));
  // 4 MiB each, were it not for the bound of each core.
  const size_t bound = GetParam() * (options.transaction_bytes_max + (4 << 20));
  EXPECT_LT(HeapBytes(), heap + bound);
  EXPECT_LT(CountedBytes(), counted + bound);
  Expect(RespRequest(mget), kReplyRefused);
  Expect("MGET k0 k1 nosuch\r\n",
         "*3\r\n" + Times(2, RespBulk(std::string(kValueBytes, 'v'))) + "$-1\r\n");
  // The first of them was not refused; and what it held is there again when it has gone.
  EXPECT_TRUE(slow[0]->Receive(all.size()) == all);
  slow.clear();
  server_->world.RunFor(kNsPerSecond);
  Expect(RespRequest(mget), all);
  EXPECT_LT(CountedBytes(), counted + (1 << 20));
}

// ---- EXEC ----

TEST_P(UnreadReplyTest, ExecIsRefusedBeforeItWritesIfItsRepliesAreTooMuch) {
  Start(Options());
  SetValues(1, 1'000'000);
  const size_t heap = HeapBytes();
  const std::string get = "GET k0\r\n";
  Expect("MULTI\r\nSET a 1\r\n" + Times(68, get) + "SET b 1\r\nEXEC\r\n",
         "+OK\r\n" + Times(70, "+QUEUED\r\n") + kTooMuch);
  Expect("MULTI\r\n" + RespRequest(Names({"MGET"}, 70'000, "k0")) + "SET a 1\r\nEXEC\r\n",
         "+OK\r\n+QUEUED\r\n+QUEUED\r\n" + kTooMuch);
  Expect("EXISTS a b\r\n", ":0\r\n");
  server_->world.RunFor(kNsPerSecond);  // what was held for many keys goes piece by piece
  EXPECT_LT(HeapBytes(), heap + (8 << 20));
  const std::string value = RespBulk(std::string(1'000'000, 'v'));
  Expect("MULTI\r\nSET a 1\r\n" + Times(60, get) + "EXEC\r\n",
         "+OK\r\n" + Times(61, "+QUEUED\r\n") + "*61\r\n+OK\r\n" + Times(60, value));
}

TEST_P(UnreadReplyTest, ExecIsRefusedIfItWritesTooMuchOneAfterAnother) {
  Start(Options());
  SetValues(1, 1'000'000);
  const auto exec = [](size_t count, std::string_view command) {
    return "MULTI\r\nSET a 1\r\n" + Times(count, command) + "EXEC\r\n";
  };
  const auto queued = [](size_t count) { return "+OK\r\n" + Times(count + 1, "+QUEUED\r\n"); };
  Expect(exec(68, "APPEND k0 x\r\n"), queued(68) + kTooMuch);
  Expect(exec(68, "COPY k0 k1 REPLACE\r\n"), queued(68) + kTooMuch);
  Expect("EXISTS a k1\r\nSTRLEN k0\r\n", ":0\r\n:1000000\r\n");
  std::string lengths;
  for (int i = 1; i <= 60; ++i) lengths += ":" + std::to_string(1'000'000 + i) + "\r\n";
  Expect(exec(60, "APPEND k0 x\r\n"), queued(60) + "*61\r\n+OK\r\n" + lengths);
}

TEST_P(UnreadReplyTest, RepliesToExecShareTheirMemory) {
  SimServer::Options options = Options();
  options.transaction_bytes_max = 4 << 20;
  Start(options);
  SetValues(1, kValueBytes);
  const std::string value = RespBulk(std::string(kValueBytes, 'v'));
  const std::string get = "MULTI\r\n" + Times(150, "GET k0\r\n") + "INCR n\r\nEXEC\r\n";
  const std::string queued = "+OK\r\n" + Times(151, "+QUEUED\r\n");
  const size_t heap = HeapBytes();
  const uint64_t counted = CountedBytes();
  std::vector<std::unique_ptr<SimConnection>> slow;
  for (int i = 0; i < 8; ++i) slow.push_back(Unread(get));
  // They would be 3 MB each, and as much again that is unsent.
  const size_t bound = GetParam() * (options.transaction_bytes_max + (4 << 20));
  EXPECT_LT(HeapBytes(), heap + bound);
  EXPECT_LT(CountedBytes(), counted + bound);
  Expect(get, queued + kReplyRefused);
  Expect("MULTI\r\nGET k0\r\nINCR m\r\nEXEC\r\n",
         "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n" + value + ":1\r\n");
  // Who was answered has incremented; who was refused has not.
  int answered = 0;
  for (const auto& client : slow) {
    EXPECT_EQ(client->Receive(queued.size()), queued);
    if (client->Receive(1) != "*") continue;
    ++answered;
    const std::string rest =
        "151\r\n" + Times(150, value) + ":" + std::to_string(answered) + "\r\n";
    EXPECT_TRUE(client->Receive(rest.size()) == rest) << answered;
  }
  EXPECT_GE(answered, 1);
  EXPECT_LT(answered, 8);
  slow.clear();
  server_->world.RunFor(kNsPerSecond);
  EXPECT_LT(CountedBytes(), counted + (1 << 20));
  Expect("GET n\r\n", RespBulk(std::to_string(answered)));
}

// ---- SCAN and KEYS ----

TEST_P(UnreadReplyTest, AStepOfScanIsBoundedInBytes) {
  constexpr size_t kKeys = 120;
  Start(Options());
  std::string sets;
  std::set<std::string> expected;
  for (size_t i = 0; i < kKeys; ++i) {
    std::string key = std::to_string(i) + std::string(60'000, 'k');
    sets += RespRequest({"SET", key, "v"});
    expected.insert(std::move(key));
  }
  Expect(sets, Times(kKeys, "+OK\r\n"));
  SimConnection client(*server_, server_->data_address());
  std::set<std::string> found;
  std::string cursor = "0";
  int steps = 0;
  const auto line = [&client] {
    std::string text;
    while (!text.ends_with("\r\n")) text += client.Receive(1);
    return text.substr(0, text.size() - 2);
  };
  do {
    client.Send(RespRequest({"SCAN", cursor, "COUNT", "10000"}));
    EXPECT_EQ(line(), "*2");
    line();
    cursor = line();
    const size_t count = std::stoul(line().substr(1));
    size_t bytes = 0;
    for (size_t i = 0; i < count; ++i) {
      const size_t length = std::stoul(line().substr(1));
      found.insert(client.Receive(length));
      client.Receive(2);
      bytes += length;
    }
    EXPECT_LE(bytes, Store::kScanBytesMax + (512 << 10));
    ++steps;
  } while (cursor != "0");
  EXPECT_TRUE(found == expected);
  EXPECT_GE(steps, 5);
}

// Patterns that cost the product of their length and the keys' are compared bit by bit.
TEST_P(UnreadReplyTest, APatternThatIsHardToMatchHoldsNobodyUp) {
  SimServer::Options options = Options();
  Start(options);
  const std::string key(30'000, 'a');
  std::string sets;
  for (int i = 0; i < 8; ++i) sets += RespRequest({"SET", std::to_string(i) + key, "v"});
  sets += RespRequest({"SET", key + "b", "v"});
  Expect(sets, Times(9, "+OK\r\n"));
  // About 30,000 x 200 steps for each key.
  const std::string pattern = "*" + std::string(200, 'a') + "b";
  SimConnection client(*server_, server_->data_address());
  const auto passes = [this] {
    uint64_t sum = 0;
    for (uint32_t id = 0; id < GetParam(); ++id) sum += server_->node.core(id).counters().passes;
    return sum;
  };
  const std::string found = "*1\r\n" + RespBulk(key + "b");
  for (const std::string& request :
       {RespRequest({"KEYS", pattern}),
        RespRequest({"SCAN", "0", "MATCH", pattern, "COUNT", "1000"})}) {
    const uint64_t before = passes();
    const bool is_scan = request.find("SCAN") != std::string::npos;
    Expect(client, request, is_scan ? "*2\r\n$1\r\n0\r\n" + found : found);
    EXPECT_GT(passes() - before, 8u * 30'000 * 200 / (512 << 10));
  }
  // Who goes is not compared for any longer.
  SimConnection gone(*server_, server_->data_address());
  gone.SendAlone(RespRequest({"KEYS", "*" + std::string(15'000, 'a') + "b"}));
  gone.Reset();
  server_->world.RunFor(kNsPerMs);
  const uint64_t before = passes();
  server_->world.RunFor(10 * kNsPerMs);
  EXPECT_LT(passes() - before, 200u);
}

// ---- What the server tells of itself, and what it is told ----

TEST_P(UnreadReplyTest, CommandTellsOfSoManyAtOnce) {
  Start(Options());
  const std::string refused = "-ERR at most 1024 commands may be named at once\r\n";
  Expect(RespRequest(Names({"COMMAND", "INFO"}, 1025, "client")), refused);
  Expect(RespRequest(Names({"COMMAND", "DOCS"}, 100'000, "client")), refused);
  Expect(RespRequest(Names({"COMMAND", "INFO"}, 1024, "nosuch")),
         "*1024\r\n" + Times(1024, "$-1\r\n"));
  const std::string long_pattern(4097, '*');
  const std::string pattern_error =
      "-ERR patterns for names of commands and parameters have at most 4096 bytes\r\n";
  Expect(RespRequest({"CONFIG", "GET", long_pattern}), pattern_error);
  Expect(RespRequest(Names({"CONFIG", "GET"}, 3000, "a")), pattern_error);
  Expect(RespRequest({"COMMAND", "LIST", "FILTERBY", "PATTERN", long_pattern}), pattern_error);
  Expect(RespRequest({"CONFIG", "GET", "maxclient*"}),
         "*2\r\n$10\r\nmaxclients\r\n$5\r\n10240\r\n");
}

TEST_P(UnreadReplyTest, NamesOfClientsAreShort) {
  Start(Options());
  const std::string refused =
      "-ERR names of clients and libraries, and versions, have at most 256 bytes\r\n";
  const std::string name(256, 'n');
  SimConnection client(*server_, server_->data_address());
  Expect(client, RespRequest({"CLIENT", "SETNAME", name}), "+OK\r\n");
  Expect(client, RespRequest({"CLIENT", "SETNAME", name + "n"}), refused);
  Expect(client, RespRequest({"CLIENT", "SETINFO", "LIB-NAME", name + "n"}), refused);
  Expect(client, RespRequest({"CLIENT", "SETINFO", "LIB-VER", name + "n"}), refused);
  Expect(client, RespRequest({"HELLO", "2", "SETNAME", name + "n"}), refused);
  Expect(client, "CLIENT GETNAME\r\n", RespBulk(name));
}

// ---- All together ----

// Whatever the command: so much is held for a client that does not read, and nothing once it has
// gone.
TEST_P(UnreadReplyTest, EveryLongReplyWaitsForItsReader) {
  Start(Options());
  SetValues(100, kValueBytes);
  const std::string each_read = "GET k0\r\n";
  std::string transaction = "MULTI\r\n" + Times(200, "GET k1\r\n");
  transaction += Times(50, "COMMAND\r\n") + "EXEC\r\n";
  std::vector<std::string> many = {"MGET"};
  for (int i = 0; i < 1000; ++i) many.push_back("k" + std::to_string(i % 100));
  std::string keys;
  for (int i = 0; i < 100; ++i)
    keys += RespRequest({"SET", std::to_string(i) + std::string(9000, 'x'), ""});
  Expect(keys, Times(100, "+OK\r\n"));
  const std::string value = RespBulk(std::string(kValueBytes, 'v'));
  struct Case {
    std::string name;
    std::string request;
    size_t held_bytes_max;  // beside what any session may have unsent
  };
  for (const Case& each : std::vector<Case>{
           {"GET", Times(2000, "GET k2\r\n"), 16 * kValueBytes},
           {"MGET", RespRequest(many), 100 * (kValueBytes + 1024)},
           {"EXEC", transaction, 200 * (kValueBytes + 1024) + (128 << 10)},
           {"KEYS", Times(5, "KEYS *x\r\n"), 2 * 100 * 9100},
           {"SCAN", Times(50, "SCAN 0 MATCH *x COUNT 10000\r\n"), 2 << 20},
           {"COMMAND", Times(200, "COMMAND\r\n"), 256 << 10},
           {"COMMAND DOCS", Times(200, "COMMAND DOCS\r\n"), 256 << 10},
           {"COMMAND INFO", RespRequest(Names({"COMMAND", "INFO"}, 1000, "client")), 4 << 20},
           {"INFO", Times(1000, "INFO\r\n"), 64 << 10},
           {"ECHO", Times(100, RespRequest({"ECHO", std::string(50'000, 'e')})), 256 << 10},
       }) {
    const size_t heap = HeapBytes();
    const uint64_t counted = CountedBytes();
    constexpr int kClients = 3;
    std::vector<std::unique_ptr<SimConnection>> slow;
    for (int i = 0; i < kClients; ++i) {
      slow.push_back(std::make_unique<SimConnection>(*server_, server_->data_address()));
      slow.back()->SendSome(each.request);
    }
    server_->world.RunFor(kNsPerSecond);
    // Twice of it: buffers grow by doubling. And what is on the way.
    const size_t bound = kClients * (2 * (each.held_bytes_max + kOutputBytesMax) + (512 << 10));
    EXPECT_LT(HeapBytes(), heap + bound) << each.name;
    EXPECT_LT(CountedBytes(), counted + bound) << each.name;
    for (int i = 0; i < 3; ++i)
      Expect(each_read + "MGET k0 k1\r\n", value + "*2\r\n" + value + value);
    slow.clear();
    EXPECT_LT(CountedBytes(), counted + (1 << 20)) << each.name;
  }
}

}  // namespace
}  // namespace pakv
