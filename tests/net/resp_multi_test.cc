// MULTI, EXEC and WATCH between connections, on one core and on two. What each command answers
// beside redis-server is resp_replies_test.cc's.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/net/resp_text.h"
#include "tests/net/sim_server.h"

namespace pakv {
namespace {

const std::string kLongSet = RespRequest({"SET", "a", std::string(900'000, 'v')});
constexpr std::string_view kTooMuch =
    "-ERR too many bytes: what a connection watches and queues for EXEC takes at most 16777216 "
    "bytes\r\n";

class RespMultiTest : public testing::TestWithParam<uint32_t> {
 protected:
  static SimServer::Options Options() {
    SimServer::Options options;
    options.core_count = GetParam();
    return options;
  }

  SimServer server_{Options()};
};
INSTANTIATE_TEST_SUITE_P(Cores, RespMultiTest, testing::Values(1u, 2u));

TEST_P(RespMultiTest, AnotherClientsWriteBreaksAWatch) {
  SimConnection client(server_);
  SimConnection other(server_);
  client.Expect("SET a 1\r\nSET b 1\r\nWATCH a b\r\n", "+OK\r\n+OK\r\n+OK\r\n");
  other.Expect("SET b 2\r\n", "+OK\r\n");
  client.Expect("MULTI\r\nSET a 5\r\nEXEC\r\n", "+OK\r\n+QUEUED\r\n*-1\r\n");
  // It is watched no more, and nothing was done.
  client.Expect("MULTI\r\nGET a\r\nINCR b\r\nEXEC\r\n",
                "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n$1\r\n1\r\n:3\r\n");
}

// The write is answered, the drop is durable before it, and the key is as absent as it was.
TEST_P(RespMultiTest, AWriteThatAFlushOvertakesBreaksAWatch) {
  SimConnection client(server_);
  SimConnection writer(server_);
  SimConnection flusher(server_);
  for (int round = 0; round < 60; ++round) {
    const std::string key = std::to_string(round);
    client.Expect("WATCH " + key + "\r\n", "+OK\r\n");
    server_.node.disk().faults.stall = 5000;
    writer.SendAlone("SET " + key + " v\r\n");
    flusher.Expect("FLUSHALL\r\n", "+OK\r\n");
    EXPECT_EQ(writer.Receive(5), "+OK\r\n");
    server_.node.disk().faults.stall = 0;
    client.Expect("MULTI\r\nEXISTS " + key + "\r\nEXEC\r\n", "+OK\r\n+QUEUED\r\n*-1\r\n");
  }
}

TEST_P(RespMultiTest, AWatchThatNobodyTouchesIsNone) {
  SimConnection client(server_);
  SimConnection other(server_);
  client.Expect("WATCH a\r\n", "+OK\r\n");
  other.Expect("GET a\r\nSET b 1\r\nSELECT 1\r\nSET a 1\r\nFLUSHDB\r\n",
               "$-1\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n");
  client.Expect("MULTI\r\nSET a 2\r\nEXEC\r\nGET a\r\n",
                "+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n$1\r\n2\r\n");
}

TEST_P(RespMultiTest, AConnectionThatEndsLeavesNothingBehind) {
  for (int round = 0; round < 3; ++round) {
    SimConnection client(server_);
    client.Expect("WATCH a b c\r\nMULTI\r\nSET a 1\r\n", "+OK\r\n+OK\r\n+QUEUED\r\n");
  }
  SimConnection client(server_);
  client.Expect("WATCH a\r\nQUIT\r\n", "+OK\r\n+OK\r\n");
  SimConnection other(server_);
  other.Expect("GET a\r\nSET a 2\r\nSET b 2\r\n", "$-1\r\n+OK\r\n+OK\r\n");
}

TEST_P(RespMultiTest, ABarrierIsRefusedAndEndsTheTransaction) {
  SimConnection client(server_);
  for (const std::string barrier : {"KEYS *", "SCAN 0", "DBSIZE", "FLUSHALL", "INFO"}) {
    client.Expect("MULTI\r\n" + barrier + "\r\nSET a 1\r\nEXEC\r\nGET a\r\n",
                  "+OK\r\n-ERR Command not allowed inside a transaction\r\n+QUEUED\r\n"
                  "-EXECABORT Transaction discarded because of previous errors.\r\n$-1\r\n");
  }
}

TEST_P(RespMultiTest, ATransactionSpansDatabasesAndKeys) {
  SimConnection client(server_);
  std::string requests = "MULTI\r\n";
  std::string replies = "+OK\r\n";
  std::string results = "*400\r\n";
  for (int i = 0; i < 200; ++i) {
    requests += "SELECT " + std::to_string(i % 3) + "\r\nINCR n" + std::to_string(i % 7) + "\r\n";
    replies += "+QUEUED\r\n+QUEUED\r\n";
    results += "+OK\r\n:" + std::to_string(1 + i / 21) + "\r\n";
  }
  client.Expect(requests + "EXEC\r\n", replies + results);
  // Each of the 21 was met ten times, or nine; the last SELECT was that of 199 % 3.
  client.Expect("GET n3\r\nSELECT 0\r\nGET n0\r\n", "$2\r\n10\r\n+OK\r\n$2\r\n10\r\n");
}

TEST_P(RespMultiTest, WhatIsQueuedIsBounded) {
  SimConnection client(server_);
  client.Expect("MULTI\r\n", "+OK\r\n");
  for (int i = 0; i < 18; ++i) client.Expect(kLongSet, "+QUEUED\r\n");
  client.Expect(kLongSet, kTooMuch);
  client.Expect("EXEC\r\nGET a\r\n",
                "-EXECABORT Transaction discarded because of previous errors.\r\n$-1\r\n");
}

TEST_P(RespMultiTest, WhatIsWatchedIsBounded) {
  SimConnection client(server_);
  SimConnection other(server_);
  // A key that no write could have is refused with all the others.
  const std::string too_long(65537, 'k');
  client.Expect(RespRequest({"WATCH", "a", too_long}),
                "-ERR key of 65537 bytes exceeds maximum allowed size (max-key, 65536 bytes)\r\n");
  other.Expect("SET a 1\r\n", "+OK\r\n");
  client.Expect("MULTI\r\nEXEC\r\n", "+OK\r\n*0\r\n");

  const auto watch = [](size_t first, size_t count, size_t key_bytes) {
    std::vector<std::string> words = {"WATCH"};
    for (size_t i = first; i < first + count; ++i) {
      std::string& key = words.emplace_back("k" + std::to_string(i));
      key.resize(std::max(key.size(), key_bytes), '.');
    }
    return RespRequest(words);
  };
  const uint64_t before = server_.MemoryBytes();
  client.Expect(watch(0, 65'535, 0), "+OK\r\n");
  EXPECT_GT(server_.MemoryBytes(), before + 65'535 * 100);
  client.Expect(watch(100'000, 2, 0), "-ERR a connection watches at most 65536 keys\r\n");
  client.Expect("WATCH last\r\nUNWATCH\r\n", "+OK\r\n+OK\r\n");
  EXPECT_LT(server_.MemoryBytes(), before + 65'535 * 10);
  // Their bytes are, too, together with those of the commands.
  client.Expect(watch(0, 100, 65'536), "+OK\r\n");
  client.Expect(watch(0, 100, 65'536), "+OK\r\n");  // the same
  client.Expect(watch(100, 200, 65'536), kTooMuch);
  client.Expect(watch(300, 100, 65'536) + "MULTI\r\n", "+OK\r\n+OK\r\n");
  for (int i = 0; i < 4; ++i) client.Expect(kLongSet, "+QUEUED\r\n");
  client.Expect(kLongSet, kTooMuch);
}

// Few clients cannot take it all from the others.
TEST_P(RespMultiTest, ALittleMayAlwaysBeQueued) {
  SimServer::Options options;
  options.core_count = 1;
  options.session_limits.core_queued_bytes_max = 8 << 20;
  SimServer server(options);
  constexpr std::string_view kBusy =
      "-ERR the server's connections watch and queue too much for EXEC as a whole; try again when "
      "some of them are done\r\n";
  // Each may hold as much as is left then.
  std::vector<std::unique_ptr<SimConnection>> greedy;
  std::vector<int> queued;
  for (int i = 0; i < 5; ++i) {
    SimConnection& client = *greedy.emplace_back(std::make_unique<SimConnection>(server));
    client.Expect("MULTI\r\n", "+OK\r\n");
    queued.push_back(0);
    while (true) {
      client.Send(kLongSet);
      const std::string reply = client.Receive(9);
      if (reply != "+QUEUED\r\n") {
        EXPECT_EQ(reply + client.Receive(kBusy.size() - 9), kBusy);
        break;
      }
      ++queued.back();
    }
  }
  EXPECT_EQ(queued, (std::vector<int>{4, 2, 1, 1, 0}));
  SimConnection other(server);
  other.Expect("WATCH w\r\nMULTI\r\n", "+OK\r\n+OK\r\n");
  const std::string kilobyte(1000, 'v');
  for (int i = 0; i < 14; ++i) other.Expect("SET b " + kilobyte + "\r\n", "+QUEUED\r\n");
  other.Expect("EXEC\r\nGET b\r\n",
               "*14\r\n" + Times(14, "+OK\r\n") + "$1000\r\n" + kilobyte + "\r\n");
  // And all of it again when they are gone.
  greedy.clear();
  server.world.RunFor(kNsPerSecond);
  other.Expect("MULTI\r\n", "+OK\r\n");
  for (int i = 0; i < 4; ++i) other.Expect(kLongSet, "+QUEUED\r\n");
}

}  // namespace
}  // namespace pakv
