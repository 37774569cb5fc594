// MULTI, EXEC and WATCH between connections, on one core and on two. What each command answers
// beside redis-server is resp_replies_test.cc's.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/net/sim_server.h"

namespace pakv {
namespace {

const std::string kLongSet =
    "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$900000\r\n" + std::string(900'000, 'v') + "\r\n";
constexpr std::string_view kTooMuch =
    "-ERR too many bytes: what a connection watches and queues for EXEC takes at most 16777216 "
    "bytes\r\n";

std::string Repeated(std::string_view text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

class RespMultiTest : public testing::TestWithParam<uint32_t> {
 protected:
  static SimServer::Options Options() {
    SimServer::Options options;
    options.core_count = GetParam();
    return options;
  }
  static void Expect(SimConnection& client, std::string_view request, std::string_view reply) {
    client.Send(request);
    EXPECT_EQ(client.Receive(reply.size()), reply) << request.substr(0, 200);
  }
  uint64_t MemoryBytes() {
    const auto stats = server_.node.Run(server_.store->Stats(server_.node.core(0)));
    return stats ? stats->memory_bytes : 0;
  }

  SimServer server_{Options()};
};
INSTANTIATE_TEST_SUITE_P(Cores, RespMultiTest, testing::Values(1u, 2u));

TEST_P(RespMultiTest, AnotherClientsWriteBreaksAWatch) {
  SimConnection client(server_, server_.data_address());
  SimConnection other(server_, server_.data_address());
  Expect(client, "SET a 1\r\nSET b 1\r\nWATCH a b\r\n", "+OK\r\n+OK\r\n+OK\r\n");
  Expect(other, "SET b 2\r\n", "+OK\r\n");
  Expect(client, "MULTI\r\nSET a 5\r\nEXEC\r\n", "+OK\r\n+QUEUED\r\n*-1\r\n");
  // It is watched no more, and nothing was done.
  Expect(client, "MULTI\r\nGET a\r\nINCR b\r\nEXEC\r\n",
         "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n$1\r\n1\r\n:3\r\n");
}

// The write is answered, the drop is durable before it, and the key is as absent as it was.
TEST_P(RespMultiTest, AWriteThatAFlushOvertakesBreaksAWatch) {
  SimConnection client(server_, server_.data_address());
  SimConnection writer(server_, server_.data_address());
  SimConnection flusher(server_, server_.data_address());
  for (int round = 0; round < 60; ++round) {
    const std::string key = std::to_string(round);
    Expect(client, "WATCH " + key + "\r\n", "+OK\r\n");
    server_.node.disk().faults.stall = 5000;
    writer.SendAlone("SET " + key + " v\r\n");
    Expect(flusher, "FLUSHALL\r\n", "+OK\r\n");
    EXPECT_EQ(writer.Receive(5), "+OK\r\n");
    server_.node.disk().faults.stall = 0;
    Expect(client, "MULTI\r\nEXISTS " + key + "\r\nEXEC\r\n", "+OK\r\n+QUEUED\r\n*-1\r\n");
  }
}

TEST_P(RespMultiTest, AWatchThatNobodyTouchesIsNone) {
  SimConnection client(server_, server_.data_address());
  SimConnection other(server_, server_.data_address());
  Expect(client, "WATCH a\r\n", "+OK\r\n");
  Expect(other, "GET a\r\nSET b 1\r\nSELECT 1\r\nSET a 1\r\nFLUSHDB\r\n",
         "$-1\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n");
  Expect(client, "MULTI\r\nSET a 2\r\nEXEC\r\nGET a\r\n",
         "+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n$1\r\n2\r\n");
}

TEST_P(RespMultiTest, AConnectionThatEndsLeavesNothingBehind) {
  for (int round = 0; round < 3; ++round) {
    SimConnection client(server_, server_.data_address());
    Expect(client, "WATCH a b c\r\nMULTI\r\nSET a 1\r\n", "+OK\r\n+OK\r\n+QUEUED\r\n");
  }
  SimConnection client(server_, server_.data_address());
  Expect(client, "WATCH a\r\nQUIT\r\n", "+OK\r\n+OK\r\n");
  SimConnection other(server_, server_.data_address());
  Expect(other, "GET a\r\nSET a 2\r\nSET b 2\r\n", "$-1\r\n+OK\r\n+OK\r\n");
}

TEST_P(RespMultiTest, ABarrierIsRefusedAndEndsTheTransaction) {
  SimConnection client(server_, server_.data_address());
  for (const std::string barrier : {"KEYS *", "SCAN 0", "DBSIZE", "FLUSHALL", "INFO"}) {
    Expect(client, "MULTI\r\n" + barrier + "\r\nSET a 1\r\nEXEC\r\nGET a\r\n",
           "+OK\r\n-ERR Command not allowed inside a transaction\r\n+QUEUED\r\n"
           "-EXECABORT Transaction discarded because of previous errors.\r\n$-1\r\n");
  }
}

TEST_P(RespMultiTest, ATransactionSpansDatabasesAndKeys) {
  SimConnection client(server_, server_.data_address());
  std::string requests = "MULTI\r\n";
  std::string replies = "+OK\r\n";
  std::string results = "*400\r\n";
  for (int i = 0; i < 200; ++i) {
    requests += "SELECT " + std::to_string(i % 3) + "\r\nINCR n" + std::to_string(i % 7) + "\r\n";
    replies += "+QUEUED\r\n+QUEUED\r\n";
    results += "+OK\r\n:" + std::to_string(1 + i / 21) + "\r\n";
  }
  Expect(client, requests + "EXEC\r\n", replies + results);
  // Each of the 21 was met ten times, or nine; the last SELECT was that of 199 % 3.
  Expect(client, "GET n3\r\nSELECT 0\r\nGET n0\r\n", "$2\r\n10\r\n+OK\r\n$2\r\n10\r\n");
}

TEST_P(RespMultiTest, WhatIsQueuedIsBounded) {
  SimConnection client(server_, server_.data_address());
  Expect(client, "MULTI\r\n", "+OK\r\n");
  for (int i = 0; i < 18; ++i) Expect(client, kLongSet, "+QUEUED\r\n");
  Expect(client, kLongSet, kTooMuch);
  Expect(client, "EXEC\r\nGET a\r\n",
         "-EXECABORT Transaction discarded because of previous errors.\r\n$-1\r\n");
}

TEST_P(RespMultiTest, WhatIsWatchedIsBounded) {
  SimConnection client(server_, server_.data_address());
  SimConnection other(server_, server_.data_address());
  // A key that no write could have is refused with all the others.
  const std::string too_long(65537, 'k');
  Expect(client, "*3\r\n$5\r\nWATCH\r\n$1\r\na\r\n$65537\r\n" + too_long + "\r\n",
         "-ERR key of 65537 bytes exceeds maximum allowed size (max-key, 65536 bytes)\r\n");
  Expect(other, "SET a 1\r\n", "+OK\r\n");
  Expect(client, "MULTI\r\nEXEC\r\n", "+OK\r\n*0\r\n");

  const auto watch = [](size_t first, size_t count, size_t key_bytes) {
    std::string request = "*" + std::to_string(count + 1) + "\r\n$5\r\nWATCH\r\n";
    for (size_t i = first; i < first + count; ++i) {
      std::string key = "k" + std::to_string(i);
      key.resize(std::max(key.size(), key_bytes), '.');
      request += "$" + std::to_string(key.size()) + "\r\n" + key + "\r\n";
    }
    return request;
  };
  const uint64_t before = MemoryBytes();
  Expect(client, watch(0, 65'535, 0), "+OK\r\n");
  EXPECT_GT(MemoryBytes(), before + 65'535 * 100);
  Expect(client, watch(100'000, 2, 0), "-ERR a connection watches at most 65536 keys\r\n");
  Expect(client, "WATCH last\r\nUNWATCH\r\n", "+OK\r\n+OK\r\n");
  EXPECT_LT(MemoryBytes(), before + 65'535 * 10);
  // Their bytes are, too, together with those of the commands.
  Expect(client, watch(0, 100, 65'536), "+OK\r\n");
  Expect(client, watch(0, 100, 65'536), "+OK\r\n");  // the same
  Expect(client, watch(100, 200, 65'536), kTooMuch);
  Expect(client, watch(300, 100, 65'536) + "MULTI\r\n", "+OK\r\n+OK\r\n");
  for (int i = 0; i < 4; ++i) Expect(client, kLongSet, "+QUEUED\r\n");
  Expect(client, kLongSet, kTooMuch);
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
    SimConnection& client =
        *greedy.emplace_back(std::make_unique<SimConnection>(server, server.data_address()));
    Expect(client, "MULTI\r\n", "+OK\r\n");
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
  SimConnection other(server, server.data_address());
  Expect(other, "WATCH w\r\nMULTI\r\n", "+OK\r\n+OK\r\n");
  const std::string kilobyte(1000, 'v');
  for (int i = 0; i < 14; ++i) Expect(other, "SET b " + kilobyte + "\r\n", "+QUEUED\r\n");
  Expect(other, "EXEC\r\nGET b\r\n",
         "*14\r\n" + Repeated("+OK\r\n", 14) + "$1000\r\n" + kilobyte + "\r\n");
  // And all of it again when they are gone.
  greedy.clear();
  server.world.RunFor(kNsPerSecond);
  Expect(other, "MULTI\r\n", "+OK\r\n");
  for (int i = 0; i < 4; ++i) Expect(other, kLongSet, "+QUEUED\r\n");
}

}  // namespace
}  // namespace pakv
