// The echo server over both rings, on one core and on two: whatever is sent comes back, in order,
// however it is cut, with few buffers and with clients that read late.
#include "tests/runtime/io/echo.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "runtime/base/prng.h"
#include "tests/runtime/io/ring_contract_test.h"

namespace pakv {
namespace {

class EchoTest : public RingContractTest {
 protected:
  void RunClients(uint32_t core_count, int client_count, size_t bytes_max);
};
INSTANTIATE_TEST_SUITE_P(Rings, EchoTest, RingParams(), RingParamName);

std::string RandomBytes(Prng& prng, size_t count) {
  std::string bytes(count, '\0');
  for (char& each : bytes) each = static_cast<char>(prng.Next());
  return bytes;
}

Task<void> SendInPieces(Core& core, Socket& socket, std::string_view bytes, uint64_t seed) {
  Prng prng(seed);
  while (!bytes.empty()) {
    const size_t count = 1 + prng.Below(bytes.size());
    IoResult sent = co_await socket.SendAll(bytes.substr(0, count));
    EXPECT_TRUE(sent.ok()) << sent.text();
    if (!sent.ok()) co_return;
    bytes.remove_prefix(count);
    if (prng.Chance(1, 4)) co_await core.timers().SleepUntil(core.now_ns() + prng.Below(kNsPerMs));
  }
}

// Sends and receives at once, checks that all came back, and closes.
Task<void> Client(Core& core, std::string address, uint64_t seed, size_t bytes_max) {
  Prng prng(seed);
  IoResult connected = co_await Socket::Connect(core.io(), address.c_str());
  EXPECT_TRUE(connected.ok()) << connected.text();
  if (!connected.ok()) co_return;
  Socket socket(core.io(), core.ring().Adopt(Handle{connected.value()}));
  ReceiveStream stream(core.io(), socket.handle());
  const std::string bytes = RandomBytes(prng, 1 + prng.Below(bytes_max));
  Nursery sending(core.ready());
  sending.Spawn(SendInPieces(core, socket, bytes, prng.Next()));
  std::string echoed;
  while (echoed.size() < bytes.size()) {
    const std::string received = co_await stream.Next();
    if (received.empty()) break;
    echoed += received;
    if (prng.Chance(1, 8)) co_await core.timers().SleepUntil(core.now_ns() + prng.Below(kNsPerMs));
  }
  EXPECT_TRUE(echoed == bytes) << "seed " << seed << ": " << echoed.size() << " of " << bytes.size()
                               << " bytes, end " << stream.end().text();
  co_await sending.Join();
  co_await stream.Stop();
  IoResult closed = co_await socket.Close();
  EXPECT_TRUE(closed.ok());
}

Task<bool> RunAll(Core& core, std::string address, int client_count, size_t bytes_max) {
  Nursery clients(core.ready());
  for (int i = 0; i < client_count; ++i) {
    clients.Spawn(Client(core, address, static_cast<uint64_t>(i) + 1, bytes_max));
  }
  co_await clients.Join();
  co_return true;
}

// The clients have a core of their own: while the server's buffers are full of what is to be sent
// back, they have some to receive it.
void EchoTest::RunClients(uint32_t core_count, int client_count, size_t bytes_max) {
  RingHarness& rings = Make({.core_count = core_count + 1});
  EchoServer server(rings.cores(), core_count);
  const auto test = [](Core& core, EchoServer& echo, int clients, size_t most) -> Task<void> {
    std::string bound;
    IoResult listening = co_await Socket::Listen(core.io(), "127.0.0.1:0", 64, bound);
    EXPECT_TRUE(listening.ok()) << listening.text();
    Socket listener(core.io(), Handle{listening.value()});
    Nursery serving(core.ready());
    serving.Spawn(echo.Serve(core, listener, serving.token()));
    auto run = [&bound, clients, most](Core& there) { return RunAll(there, bound, clients, most); };
    co_await core.CallTaskOn(core.count() - 1, run);
    serving.RequestStop();
    co_await serving.Join();
    IoResult closed = co_await listener.Close();
    EXPECT_TRUE(closed.ok());
  };
  ASSERT_TRUE(rings.Run(test(rings.core(0), server, client_count, bytes_max)));
}

TEST_P(EchoTest, EchoesOnOneCore) { RunClients(1, 10, 20000); }

TEST_P(EchoTest, EchoesOnTwoCores) { RunClients(2, 20, 20000); }

// 64 buffers of 4 KiB, and connections that want more.
TEST_P(EchoTest, EchoesMoreThanAllBuffersHold) { RunClients(1, 30, 400000); }

Task<bool> RoundTripBesideAFlood(Core& core, std::string address) {
  IoResult first = co_await Socket::Connect(core.io(), address.c_str());
  IoResult second = co_await Socket::Connect(core.io(), address.c_str());
  EXPECT_TRUE(first.ok() && second.ok());
  if (!first.ok() || !second.ok()) co_return false;
  Socket flooded(core.io(), core.ring().Adopt(Handle{first.value()}));
  Socket other(core.io(), core.ring().Adopt(Handle{second.value()}));
  ReceiveStream flood(core.io(), flooded.handle());
  ReceiveStream reply(core.io(), other.handle());
  const std::string much(size_t{1} << 20, 'x');
  Nursery sending(core.ready());
  sending.Spawn(SendInPieces(core, flooded, much, 1));
  // Long enough for all buffers to be filled by what nobody takes.
  for (int round = 0; round < 100; ++round) {
    IoResult sent = co_await other.SendAll("ping");
    EXPECT_TRUE(sent.ok());
    std::string echoed;
    while (echoed.size() < 4) {
      const std::string received = co_await reply.Next();
      if (received.empty()) break;
      echoed += received;
    }
    EXPECT_EQ(echoed, "ping");
  }
  std::string echoed;
  while (echoed.size() < much.size()) {
    const std::string received = co_await flood.Next();
    if (received.empty()) break;
    echoed += received;
  }
  EXPECT_TRUE(echoed == much) << echoed.size();
  co_await sending.Join();
  co_await flood.Stop();
  co_await reply.Stop();
  IoResult closed = co_await flooded.Close();
  EXPECT_TRUE(closed.ok());
  closed = co_await other.Close();
  EXPECT_TRUE(closed.ok());
  co_return true;
}

// Who takes nothing from one stream may be waiting for another of the same core.
TEST_P(EchoTest, AStreamThatNobodyTakesLeavesBuffersToOthers) {
  RingHarness& rings = Make({.core_count = 2});
  EchoServer server(rings.cores(), 1);
  const auto test = [](Core& core, EchoServer& echo) -> Task<void> {
    std::string bound;
    IoResult listening = co_await Socket::Listen(core.io(), "127.0.0.1:0", 64, bound);
    EXPECT_TRUE(listening.ok()) << listening.text();
    Socket listener(core.io(), Handle{listening.value()});
    Nursery serving(core.ready());
    serving.Spawn(echo.Serve(core, listener, serving.token()));
    auto run = [&bound](Core& there) { return RoundTripBesideAFlood(there, bound); };
    co_await core.CallTaskOn(core.count() - 1, run);
    serving.RequestStop();
    co_await serving.Join();
    IoResult closed = co_await listener.Close();
    EXPECT_TRUE(closed.ok());
  };
  ASSERT_TRUE(rings.Run(test(rings.core(0), server)));
}

}  // namespace
}  // namespace pakv
