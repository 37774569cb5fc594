#include "tests/sim/scenarios/clock_steps.h"

#include <algorithm>

namespace pakv {

void ClockSteps::Step() {
  constexpr int64_t kFarthestUs = int64_t{6} * 3600 * 1'000'000;
  Prng& prng = world_.prng();
  oracle_.LookAtClock();
  const int64_t far_us = prng.Chance(1, 2) ? 1'000'000 : kFarthestUs;
  const int64_t step_us =
      static_cast<int64_t>(prng.Below(2 * static_cast<uint64_t>(far_us))) - far_us;
  const int64_t target_us = std::clamp(offset_us_ + step_us, -kFarthestUs, kFarthestUs);
  node_.clock().StepWall(target_us - offset_us_);
  offset_us_ = target_us;
}

void ClockSteps::StepNowAndThen() {
  if (world_.prng().Chance(1, 3)) Step();
}

void ClockSteps::StepUnderLoad(uint64_t within_ns, const bool& clients_work) {
  for (uint64_t steps = world_.prng().Below(3); steps > 0; --steps) {
    world_.agenda().After(world_.prng().Below(within_ns), /*owner=*/0, [this, &clients_work] {
      if (!clients_work) return;
      StepNowAndThen();
      oracle_.LookAtClock();
    });
  }
}

}  // namespace pakv
