// MULTI, EXEC and WATCH between connections, on one core and on two. What each command answers
// beside redis-server is resp_replies_test.cc's.
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "tests/net/sim_server.h"

namespace pakv {
namespace {

class RespMultiTest : public testing::TestWithParam<uint32_t> {
 protected:
  static SimServer::Options Options() {
    SimServer::Options options;
    options.core_count = GetParam();
    return options;
  }
  static void Expect(SimConnection& client, std::string_view request, std::string_view reply) {
    client.Send(request);
    EXPECT_EQ(client.Receive(reply.size()), reply) << request;
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
  const std::string value(900'000, 'v');
  const std::string set = "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$900000\r\n" + value + "\r\n";
  for (int i = 0; i < 18; ++i) Expect(client, set, "+QUEUED\r\n");
  Expect(client, set,
         "-ERR too many commands or bytes wait for EXEC (at most 65536 commands and 16777216 "
         "bytes)\r\n");
  Expect(client, "EXEC\r\nGET a\r\n",
         "-EXECABORT Transaction discarded because of previous errors.\r\n$-1\r\n");
}

}  // namespace
}  // namespace pakv
