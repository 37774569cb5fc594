// Requests per second, against the times at which they were counted.
#include "net/session/request_rate.h"

#include <gtest/gtest.h>

#include <deque>

#include "runtime/base/prng.h"

namespace pakv {
namespace {

constexpr uint64_t kMs = kNsPerMs;

TEST(RequestRateTest, NothingIsNoRate) {
  RequestRate rate;
  EXPECT_EQ(rate.PerSecond(0, 0), 0u);
  EXPECT_EQ(rate.PerSecond(uint64_t{1} << 60, 0), 0u);
}

TEST(RequestRateTest, ABurstIsForgottenAfterASecond) {
  RequestRate rate;
  const uint64_t begin_ns = 3600 * kNsPerSecond;
  rate.Note(begin_ns, 0);
  EXPECT_EQ(rate.PerSecond(begin_ns + 10 * kMs, 1010), 1000u) << "1010 in 1.01 s";
  EXPECT_EQ(rate.PerSecond(begin_ns + 950 * kMs, 1010), 1010 * 1000 / 1050u);
  EXPECT_EQ(rate.PerSecond(begin_ns + 1100 * kMs, 1010), 0u);
  // An hour in which nobody looked.
  rate.Note(begin_ns + 3600 * kNsPerSecond, 1010);
  EXPECT_EQ(rate.PerSecond(begin_ns + 3600 * kNsPerSecond, 2010), 1000u);
}

// Against all times that were counted, from the beginning of the slot that it looks back to.
TEST(RequestRateTest, ItIsWhatWasCountedInTheWindow) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    Prng prng(seed);
    RequestRate rate;
    std::deque<uint64_t> times;
    uint64_t total = 0;
    uint64_t now_ns = prng.Below(100) * kNsPerSecond;
    for (int step = 0; step < 500; ++step) {
      now_ns += prng.Chance(1, 20) ? prng.Below(3 * kNsPerSecond) : prng.Below(80 * kMs);
      rate.Note(now_ns, total);
      for (uint64_t count = prng.Below(20); count > 0; --count) {
        times.push_back(now_ns);
        ++total;
      }
      const uint64_t slot = now_ns / RequestRate::kSlotNs;
      const uint64_t first = slot < RequestRate::kSlotsBack ? 0 : slot - RequestRate::kSlotsBack;
      const uint64_t begin_ns = first * RequestRate::kSlotNs;
      while (!times.empty() && times.front() < begin_ns) times.pop_front();
      if (now_ns == begin_ns) continue;
      EXPECT_EQ(rate.PerSecond(now_ns, total), times.size() * kNsPerSecond / (now_ns - begin_ns));
    }
  }
}

}  // namespace
}  // namespace pakv
