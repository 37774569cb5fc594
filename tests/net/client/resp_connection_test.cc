// net/client/resp_connection against a whole server, in a simulated world and virtual time.
#include "net/client/resp_connection.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/net/server/sim_server.h"

namespace pakv {
namespace {

class RespConnectionTest : public testing::Test {
 protected:
  // Opens a connection on the server's own node, runs `body` on it, closes it.
  using Body = Task<void> (*)(RespConnection&);
  static Task<bool> Connected(Core& core, std::string address, Body body) {
    RespConnection connection(core, {.reply_timeout_ns = 10 * kNsPerSecond});
    const ClientError opened =
        co_await connection.Open(std::move(address), core.now_ns() + kNsPerSecond);
    EXPECT_TRUE(opened.ok()) << opened.text;
    co_await body(connection);
    co_await connection.Close();
    co_return true;
  }
  static void Run(SimServer& server, Body body) {
    EXPECT_TRUE(server.node.Run(Connected(server.node.core(0), server.data_address(), body)))
        << server.world.failure();
  }
};

TEST_F(RespConnectionTest, RepliesComeInTheOrderOfTheirRequests) {
  SimServer server({.core_count = 2});
  Run(server, [](RespConnection& connection) -> Task<void> {
    for (int i = 0; i < 300; ++i) {
      connection.Start({"SET", "k" + std::to_string(i), std::to_string(i)});
      connection.Start({"GET", "k" + std::to_string(i)});
    }
    connection.Start({"GET"});
    for (int i = 0; i < 300; ++i) {
      const auto set = co_await connection.Next();
      EXPECT_TRUE(set.ok() && set->text == "OK");
      const auto get = co_await connection.Next();
      EXPECT_TRUE(get.ok() && get->text == std::to_string(i));
    }
    const auto error = co_await connection.Next();
    EXPECT_TRUE(error.ok() && error->IsError()) << "an error reply is a reply";
  });
}

// Far more than the buffers between the two hold: the server waits, and nothing is lost.
TEST_F(RespConnectionTest, ManyLargeRepliesWaitForWhoeverTakesThem) {
  SimServer server;
  Run(server, [](RespConnection& connection) -> Task<void> {
    const std::string value(1 << 20, 'v');
    const std::string key(60'000, 'k');
    connection.Start({"SET", key, value});
    for (int i = 0; i < 40; ++i) connection.Start({"GET", key});
    const auto set = co_await connection.Next();
    EXPECT_TRUE(set.ok());
    for (int i = 0; i < 40; ++i) {
      const auto get = co_await connection.Next();
      EXPECT_TRUE(get.ok() && get->text == value);
    }
  });
}

TEST_F(RespConnectionTest, AServerThatDoesNotAnswerIsATimeoutForGood) {
  SimServer server({.start = false});
  const uint64_t begin_ns = server.node.core(0).now_ns();
  Run(server, [](RespConnection& connection) -> Task<void> {
    connection.Start({"PING"});
    const auto late = co_await connection.Next();
    EXPECT_EQ(late.error().fault, ClientFault::kTimeout);
    EXPECT_EQ(late.error().text, "10.0.0.1:7379: no reply within 10000 ms");
    const auto again = co_await connection.Next();
    EXPECT_EQ(again.error().fault, ClientFault::kTimeout);
  });
  EXPECT_GE(server.node.core(0).now_ns(), begin_ns + 10 * kNsPerSecond);
}

TEST_F(RespConnectionTest, AConnectionThatEndsIsToldBehindWhatCameBefore) {
  SimServer server;
  Run(server, [](RespConnection& connection) -> Task<void> {
    connection.Start({"PING"});
    connection.Start({"QUIT"});
    connection.Start({"PING"});
    const auto pong = co_await connection.Next();
    EXPECT_TRUE(pong.ok() && pong->text == "PONG");
    const auto bye = co_await connection.Next();
    EXPECT_TRUE(bye.ok() && bye->text == "OK");
    const auto gone = co_await connection.Next();
    EXPECT_EQ(gone.error().fault, ClientFault::kConnectionLost);
  });
}

}  // namespace
}  // namespace pakv
