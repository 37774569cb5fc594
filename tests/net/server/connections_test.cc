// Connections of a server, on a whole one in a simulated world: how many there may be, that their
// places come back, and how a server that stops lets them go.
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/base/prng.h"
#include "tests/net/resp/resp_text.h"
#include "tests/net/server/sim_server.h"

namespace pakv {
namespace {

constexpr uint64_t kMs = kNsPerMs;
constexpr uint64_t kSecond = kNsPerSecond;

TEST(ConnectionsTest, BeyondTheLimitTheyWaitForAPlace) {
  SimServer server({.connection_count_max = 2});
  auto first = std::make_unique<SimConnection>(server);
  SimConnection second(server);
  first->Expect("PING\r\n", "+PONG\r\n");
  second.Expect("PING\r\n", "+PONG\r\n");
  SimConnection third(server);
  third.Send("PING\r\n");
  server.world.RunFor(kSecond);
  EXPECT_EQ(third.ReceiveNow(), "");
  first.reset();
  EXPECT_EQ(third.Receive(7), "+PONG\r\n");
}

TEST(ConnectionsTest, BeyondTheLimitTheyAreRefused) {
  SimServer server({.connection_count_max = 2, .overflow = OverflowPolicy::kReject});
  auto first = std::make_unique<SimConnection>(server);
  SimConnection second(server);
  first->Expect("PING\r\n", "+PONG\r\n");
  second.Expect("PING\r\n", "+PONG\r\n");
  SimConnection third(server);
  EXPECT_EQ(third.ReceiveToEnd(), "-ERR max number of clients reached\r\n");
  first.reset();
  server.world.RunFor(100 * kMs);
  SimConnection fourth(server);
  fourth.Expect("PING\r\n", "+PONG\r\n");
  EXPECT_EQ(server.Stats().connections_rejected, 1u);
}

TEST(ConnectionsTest, AfterTenThousandConnectsAndCutsAllPlacesAreFree) {
  constexpr uint32_t kPlaces = 50;
  SimServer server({.core_count = 3, .connection_count_max = kPlaces});
  Prng prng(1);
  std::vector<std::unique_ptr<SimConnection>> clients;
  for (int i = 0; i < 10'000; ++i) {
    if (clients.size() == kPlaces) clients.erase(clients.begin() + prng.Below(kPlaces));
    clients.push_back(std::make_unique<SimConnection>(server));
    SimConnection& client = *clients.back();
    switch (prng.Below(8)) {
      case 0:
        client.Send("*2\r\n$3\r\nGE");
        break;
      case 1:
        client.Send("SET key value\r\n");
        break;
      case 2:
        client.Send("SET key value\r\nGET key\r\n");
        client.Reset();
        break;
      case 3:
        client.Reset();
        break;
      case 4:
        client.EndSending();
        break;
      case 5:
        client.Send("*1\r\n!");
        break;
      case 6:
        client.Send("QUIT\r\nPING\r\n");
        break;
      default:
        break;
    }
    if (prng.Below(4) == 0) clients.erase(clients.begin() + prng.Below(clients.size()));
  }
  clients.clear();
  server.world.RunFor(5 * kSecond);
  const ServerStats stats = server.Stats();
  EXPECT_EQ(stats.connections, 0u);
  EXPECT_EQ(stats.sessions.opened, 10'000u);
  for (uint32_t i = 0; i < kPlaces; ++i) {
    clients.push_back(std::make_unique<SimConnection>(server));
    clients.back()->Expect("PING\r\n", "+PONG\r\n");
  }
}

TEST(ConnectionsTest, ADrainAnswersWhatWasReceivedAndEndsByItself) {
  SimServer server({.core_count = 2});
  SimConnection idle(server);
  idle.Expect("PING\r\n", "+PONG\r\n");
  StalledDisk stalled(server);
  SimConnection busy(server);
  busy.SendAlone("SET a 1\r\nGET a\r\nGET");
  std::optional<bool> drained;
  const auto drain = [](Server& drained_server, std::optional<bool>& result) -> Task<void> {
    result = co_await drained_server.Drain(10 * kNsPerSecond);
  };
  server.node.core(0).nursery().Spawn(drain(*server.server, drained));
  server.world.RunFor(kMs);
  EXPECT_FALSE(drained.has_value());
  stalled.Go();
  EXPECT_EQ(busy.ReceiveToEnd(), "+OK\r\n$1\r\n1\r\n");
  EXPECT_EQ(idle.ReceiveToEnd(), "");
  busy.Close();
  idle.Close();
  EXPECT_TRUE(server.world.RunUntil([&] { return drained.has_value(); }));
  EXPECT_TRUE(*drained);
}

TEST(ConnectionsTest, ADrainDoesNotWaitForEverForWhoNeverReads) {
  SimServer server({.cache_bytes = 4 << 20});
  SimConnection client(server);
  client.Expect(RespRequest({"SET", "k", std::string(200'000, 'v')}), "+OK\r\n");
  client.Send("GET k\r\nGET k\r\nGET k\r\nGET k\r\n");
  server.world.RunFor(100 * kMs);
  const uint64_t begin_ns = server.world.now_ns();
  std::optional<bool> drained = server.node.Run(server.server->Drain(3 * kSecond));
  ASSERT_TRUE(drained.has_value());
  EXPECT_FALSE(*drained);
  EXPECT_NEAR(static_cast<double>(server.world.now_ns() - begin_ns), 3e9, 1e8);
}

}  // namespace
}  // namespace pakv
