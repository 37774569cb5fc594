// IoAwaiter: deadlines and stops end an operation early, and whoever awaits it resumes only after
// the ring has let go of it.
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "runtime/io/io_context.h"
#include "runtime/io/socket.h"
#include "tests/runtime/io/ring_contract_test.h"

namespace pakv {
namespace {

class IoAwaiterTest : public RingContractTest {};
INSTANTIATE_TEST_SUITE_P(Rings, IoAwaiterTest, RingParams(), RingParamName);

Task<Socket> Listen(Core& core, std::string& bound) {
  IoResult listening = co_await Socket::Listen(core.io(), "127.0.0.1:0", 16, bound);
  EXPECT_TRUE(listening.ok()) << listening.text();
  co_return Socket(core.io(), Handle{listening.value()});
}

Task<void> Close(Socket& socket) {
  IoResult closed = co_await socket.Close();
  EXPECT_TRUE(closed.ok());
}

Task<void> StopAt(Core& core, uint64_t at_ns, StopSource& source) {
  co_await core.timers().SleepUntil(at_ns);
  source.RequestStop();
}

TEST_P(IoAwaiterTest, DeadlineAndStopMayStandInTheAwaitingExpression) {
  RingHarness& rings = Make();
  const auto test = [](RingHarness& harness) -> Task<void> {
    Core& core = harness.core(0);
    StopSource stop;
    std::string bound;
    std::string peer;
    Socket listener = co_await Listen(core, bound);
    IoResult accepted = co_await listener.Accept(peer)
                            .WithDeadline(core.now_ns() + 5 * kNsPerMs)
                            .WithStop(stop.token());
    EXPECT_EQ(accepted.error(), ETIME);
    co_await Close(listener);
  };
  ASSERT_TRUE(rings.Run(test(rings)));
}

TEST_P(IoAwaiterTest, WhicheverComesFirstNamesTheEnd) {
  RingHarness& rings = Make();
  const auto test = [](RingHarness& harness) -> Task<void> {
    Core& core = harness.core(0);
    std::string bound;
    std::string peer;
    Socket listener = co_await Listen(core, bound);
    for (const bool stop_first : {true, false}) {
      StopSource stop;
      const uint64_t first_ns = core.now_ns() + 2 * kNsPerMs;
      const uint64_t second_ns = core.now_ns() + 600 * kNsPerSecond;
      Nursery nursery(core.ready());
      if (stop_first) nursery.Spawn(StopAt(core, first_ns, stop));
      IoResult accepted = co_await listener.Accept(peer)
                              .WithDeadline(stop_first ? second_ns : first_ns)
                              .WithStop(stop.token());
      EXPECT_EQ(accepted.error(), stop_first ? ECANCELED : ETIME);
    }
    co_await Close(listener);
  };
  ASSERT_TRUE(rings.Run(test(rings)));
}

TEST_P(IoAwaiterTest, ADeadlineInThePastLosesNoResult) {
  RingHarness& rings = Make();
  const auto test = [](RingHarness& harness) -> Task<void> {
    Core& core = harness.core(0);
    for (int i = 0; i < 100; ++i) {
      IoResult result =
          co_await IoAwaiter(core.io(), {.opcode = Opcode::kNop}).WithDeadline(core.now_ns());
      EXPECT_TRUE(result.ok() || result.error() == ETIME) << result.text();
    }
  };
  ASSERT_TRUE(rings.Run(test(rings)));
}

// Sends to somebody who never reads, until a deadline says that it is enough.
TEST_P(IoAwaiterTest, ASendThatNobodyTakesEndsAtItsDeadline) {
  RingHarness& rings = Make();
  const auto test = [](RingHarness& harness) -> Task<void> {
    Core& core = harness.core(0);
    std::string bound;
    std::string peer;
    Socket listener = co_await Listen(core, bound);
    IoResult connected = co_await Socket::Connect(core.io(), bound.c_str());
    EXPECT_TRUE(connected.ok()) << connected.text();
    Socket client(core.io(), core.ring().Adopt(Handle{connected.value()}));
    IoResult accepted = co_await listener.Accept(peer);
    EXPECT_TRUE(accepted.ok()) << accepted.text();
    Socket server(core.io(), Handle{accepted.value()});
    const std::string bytes(1 << 20, 'x');
    IoResult sent;
    uint64_t deadline_ns = 0;
    do {
      deadline_ns = core.now_ns() + 20 * kNsPerMs;
      sent = co_await client.Send(bytes.data(), static_cast<uint32_t>(bytes.size()))
                 .WithDeadline(deadline_ns);
    } while (sent.ok());
    EXPECT_EQ(sent.error(), ETIME);
    EXPECT_GE(core.now_ns(), deadline_ns);
    co_await Close(client);
    co_await Close(server);
    co_await Close(listener);
  };
  ASSERT_TRUE(rings.Run(test(rings)));
}

TEST_P(IoAwaiterTest, AStopEndsManyAtOnce) {
  RingHarness& rings = Make();
  const auto test = [](RingHarness& harness) -> Task<void> {
    Core& core = harness.core(0);
    constexpr int kListeners = 20;
    int cancelled = 0;
    Nursery nursery(core.ready());
    const auto accept_one = [](Core& here, StopToken token, int& count) -> Task<void> {
      std::string bound;
      std::string peer;
      Socket listener = co_await Listen(here, bound);
      IoResult accepted = co_await listener.Accept(peer).WithStop(token);
      EXPECT_EQ(accepted.error(), ECANCELED);
      ++count;
      co_await Close(listener);
    };
    for (int i = 0; i < kListeners; ++i) {
      nursery.Spawn(accept_one(core, nursery.token(), cancelled));
    }
    co_await core.timers().SleepUntil(core.now_ns() + kNsPerSecond / 10);
    EXPECT_EQ(cancelled, 0);
    nursery.RequestStop();
    EXPECT_EQ(cancelled, 0) << "they resumed before the ring had let go";
    co_await nursery.Join();
    EXPECT_EQ(cancelled, kListeners);
  };
  ASSERT_TRUE(rings.Run(test(rings)));
}

TEST(IoAwaiterDeathTest, AnOperationInFlightIsNotDestroyed) {
  EXPECT_DEATH(
      {
        auto rings = MakeRingHarness(RingKind::kUring, 0, {});
        Core& core = rings->core(0);
        Nursery nursery(core.ready());
        nursery.Spawn([](Core& here) -> Task<void> {
          std::string bound;
          IoResult listening = co_await Socket::Listen(here.io(), "127.0.0.1:0", 16, bound);
          static_cast<void>(listening);
        }(core));
      },
      "died before its completion");
}

}  // namespace
}  // namespace pakv
