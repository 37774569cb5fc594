// What is owed to a client that has ended its stream, or that the server has done with: all of it,
// as long as it reads. Who reads nothing for half a minute is let go: session_rules_test.
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "tests/net/resp/resp_text.h"
#include "tests/net/server/sim_server.h"

namespace pakv {
namespace {

// A bit now and then, which takes far longer than anybody is waited for who reads nothing.
void ExpectSlowly(SimServer& server, SimConnection& client, const std::string& reply) {
  constexpr size_t kPieceBytes = 30'000;
  std::string received;
  while (received.size() < reply.size()) {
    server.world.RunFor(20 * kNsPerSecond);
    const std::string piece = client.ReceiveNow(kPieceBytes);
    ASSERT_NE(piece, "") << "cut after " << received.size() << " of " << reply.size();
    received += piece;
  }
  EXPECT_TRUE(received == reply);
}

TEST(HalfClosedTest, ASlowReaderGetsAllOfALargeReply) {
  SimServer server;
  SimConnection client(server);
  const std::string value(1'000'000, 'v');
  client.Expect(RespRequest({"SET", "k", value}), "+OK\r\n");
  client.Send("GET k\r\n");
  client.EndSending();
  ExpectSlowly(server, client, RespBulk(value));
  EXPECT_EQ(client.ReceiveToEnd(), "");
  EXPECT_EQ(server.Stats().sessions.ended_by_error, 0u);
}

TEST(HalfClosedTest, SoDoesOneThatHasQuit) {
  SimServer server;
  SimConnection client(server);
  const std::string value(500'000, 'v');
  client.Expect(RespRequest({"SET", "k", value}), "+OK\r\n");
  client.Send("GET k\r\nGET k\r\nQUIT\r\n");
  ExpectSlowly(server, client, RespBulk(value) + RespBulk(value) + "+OK\r\n");
  EXPECT_EQ(client.ReceiveToEnd(), "");
  EXPECT_EQ(server.Stats().sessions.ended_by_error, 0u);
}

// Its time begins with the reply, not with the end of its stream: here the one begins right before
// the other's half minute is over, and nothing of it can be sent before the client reads.
TEST(HalfClosedTest, ALateReplyIsWaitedForFromItsBegin) {
  constexpr size_t kPings = 8000;
  SimServer server({.core_count = 2, .publish_pause_ns = 30 * kNsPerSecond - 100 * kNsPerMs});
  SimConnection client(server);
  std::string requests = "MULTI\r\n";
  std::string queued = "+OK\r\n";
  std::string reply = "*" + std::to_string(10 + kPings) + "\r\n";
  for (int i = 0; i < 10; ++i) {  // keys of both cores: their transaction takes its time
    requests += RespRequest({"SET", "key" + std::to_string(i), "v"});
    queued += "+QUEUED\r\n";
    reply += "+OK\r\n";
  }
  requests += Times(kPings, "PING\r\n") + "EXEC\r\n";
  queued += Times(kPings, "+QUEUED\r\n");
  reply += Times(kPings, "+PONG\r\n");
  client.Send(requests);
  client.EndSending();
  // What comes of the first replies is as much as may be unread.
  server.world.RunFor(kNsPerSecond);
  const size_t unread_max = client.arrived_bytes();
  ASSERT_LT(unread_max, queued.size()) << "the connection takes more than the test sends";
  EXPECT_EQ(client.Receive(queued.size() - unread_max),
            queued.substr(0, queued.size() - unread_max));
  server.world.RunFor(45 * kNsPerSecond);
  EXPECT_EQ(client.arrived_bytes(), unread_max) << "not full: the test shows nothing";
  EXPECT_TRUE(client.Receive(unread_max + reply.size()) ==
              queued.substr(queued.size() - unread_max) + reply);
  EXPECT_EQ(client.ReceiveToEnd(), "");
  EXPECT_EQ(server.Stats().sessions.ended_by_error, 0u);
}

}  // namespace
}  // namespace pakv
