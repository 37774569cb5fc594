// The Ring contract, the core's loop: time, waking, and messages between cores.
#include <gtest/gtest.h>

#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "runtime/io/io_context.h"
#include "tests/runtime/io/ring_contract_test.h"

namespace pakv {
namespace {

class RingCoreTest : public RingContractTest {};
INSTANTIATE_TEST_SUITE_P(Rings, RingCoreTest, RingParams(), RingParamName);

TEST_P(RingCoreTest, AnOperationCompletesOnce) {
  RingHarness& rings = Make();
  const auto test = [](RingHarness& harness) -> Task<void> {
    for (int i = 0; i < 100; ++i) {
      IoResult result = co_await IoAwaiter(harness.core(0).io(), {.opcode = Opcode::kNop});
      EXPECT_EQ(result.value(), 0);
    }
  };
  ASSERT_TRUE(rings.Run(test(rings)));
}

TEST_P(RingCoreTest, MoreOperationsThanTheRingHasEntries) {
  RingHarness& rings = Make();
  const auto test = [](RingHarness& harness) -> Task<void> {
    Core& core = harness.core(0);
    size_t ended = 0;
    const auto one = [](Core& here, size_t& count) -> Task<void> {
      IoResult result = co_await IoAwaiter(here.io(), {.opcode = Opcode::kNop});
      EXPECT_EQ(result.value(), 0);
      ++count;
    };
    for (int i = 0; i < 1000; ++i) core.nursery().Spawn(one(core, ended));
    while (ended < 1000) co_await core.timers().SleepUntil(core.now_ns() + kNsPerMs);
  };
  ASSERT_TRUE(rings.Run(test(rings)));
}

TEST_P(RingCoreTest, TimersFireInTheOrderOfTheirDeadlines) {
  RingHarness& rings = Make();
  const auto test = [](RingHarness& harness) -> Task<void> {
    Core& core = harness.core(0);
    std::vector<int> order;
    const auto sleeper = [](Core& here, uint64_t until_ns, int name,
                            std::vector<int>& woken) -> Task<void> {
      co_await here.timers().SleepUntil(until_ns);
      EXPECT_GE(here.now_ns(), until_ns);
      woken.push_back(name);
    };
    const uint64_t now_ns = core.now_ns();
    core.nursery().Spawn(sleeper(core, now_ns + 3 * kNsPerMs, 3, order));
    core.nursery().Spawn(sleeper(core, now_ns + 1 * kNsPerMs, 1, order));
    core.nursery().Spawn(sleeper(core, now_ns + 2 * kNsPerMs, 2, order));
    co_await core.timers().SleepUntil(now_ns + 4 * kNsPerMs);
    EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
  };
  ASSERT_TRUE(rings.Run(test(rings)));
}

TEST_P(RingCoreTest, CallsRunOnTheOtherCore) {
  RingHarness& rings = Make({.core_count = 3});
  const auto test = [](RingHarness& harness) -> Task<void> {
    Core& core = harness.core(0);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < 999; ++i) {
      sum += co_await core.CallOn(i % core.count(),
                                  [i](Core& there) { return uint64_t{i} + there.id(); });
    }
    EXPECT_EQ(sum, 998u * 999u / 2 + 333u * (0 + 1 + 2));
  };
  ASSERT_TRUE(rings.Run(test(rings)));
}

struct Numbered : Message {
  explicit Numbered(uint32_t number_in, std::vector<uint32_t>& arrived_in)
      : Message([](Message& self, Core&) {
          auto& numbered = static_cast<Numbered&>(self);
          numbered.arrived.push_back(numbered.number);
        }),
        number(number_in),
        arrived(arrived_in) {}
  uint32_t number;
  std::vector<uint32_t>& arrived;
};

// More chains than a mailbox holds, towards a core that may be slow to look.
TEST_P(RingCoreTest, MessagesToOneCoreKeepTheirOrder) {
  RingHarness& rings = Make({.core_count = 2});
  std::vector<uint32_t> arrived;
  std::vector<std::unique_ptr<Numbered>> messages;
  for (uint32_t i = 0; i < 500; ++i) messages.push_back(std::make_unique<Numbered>(i, arrived));
  const auto test = [](RingHarness& harness,
                       std::vector<std::unique_ptr<Numbered>>& all) -> Task<void> {
    Core& core = harness.core(0);
    for (size_t i = 0; i < all.size(); ++i) {
      core.Send(1, *all[i]);
      if (i % 3 == 0) co_await core.ready().Yield();
    }
    // A call takes the same way, so it comes last.
    size_t last = co_await core.CallOn(1, [](Core&) { return size_t{1}; });
    EXPECT_EQ(last, 1u);
  };
  ASSERT_TRUE(rings.Run(test(rings, messages)));
  ASSERT_EQ(arrived.size(), 500u);
  for (uint32_t i = 0; i < 500; ++i) ASSERT_EQ(arrived[i], i);
}

// The stamp of a chain: what happened before a message was sent is known where it arrives.
TEST_P(RingCoreTest, TheCausalClockTravelsWithMessages) {
  RingHarness& rings = Make({.core_count = 2});
  const auto test = [](RingHarness& harness) -> Task<void> {
    Core& core = harness.core(0);
    core.causal_clock = 77;
    uint64_t there = co_await core.CallOn(1, [](Core& other) {
      const uint64_t seen = other.causal_clock;
      other.causal_clock = 99;
      return seen;
    });
    EXPECT_EQ(there, 77u);
    EXPECT_EQ(core.causal_clock, 99u);
  };
  ASSERT_TRUE(rings.Run(test(rings)));
}

TEST_P(RingCoreTest, AForeignThreadWakesASleepingCore) {
  RingHarness& rings = Make();
  Event woken(rings.core(0).ready());
  struct SetEvent : Message {
    explicit SetEvent(Event& event_in)
        : Message([](Message& self, Core&) { static_cast<SetEvent&>(self).event.Set(); }),
          event(event_in) {}
    Event& event;
  } message(woken);
  const auto test = [](Event& event) -> Task<void> { co_await event.Wait(); };
  std::thread foreign([&] { rings.core(0).Post(message); });
  if (GetParam().kind != RingKind::kUring) foreign.join();  // virtual time does not wait for it
  EXPECT_TRUE(rings.Run(test(woken)));
  if (foreign.joinable()) foreign.join();
}

}  // namespace
}  // namespace pakv
