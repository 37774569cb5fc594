// kv/log in a simulated world: crashes at any operation, also while it recovers; torn blocks, lost
// names, short transfers, failing flushes. That it finds seeded bugs is shown by ./dev sim --bugs.
#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "tests/sim/scenarios/log_scenario.h"

namespace pakv {
namespace {

TEST(LogSimTest, KilledProcessesLoseNothing) {
  const LogScenarioOptions options{.power_cuts = false, .disk_errors = false};
  for (uint64_t seed = 1; seed <= 60; ++seed) ASSERT_EQ(PlayLogScenario(seed, options), "");
}

TEST(LogSimTest, PowerCutsLoseNothingThatWasAcknowledged) {
  const LogScenarioOptions options{.disk_errors = false};
  for (uint64_t seed = 1000; seed <= 1200; ++seed) ASSERT_EQ(PlayLogScenario(seed, options), "");
}

TEST(LogSimTest, FailingDisksLoseNothingThatWasAcknowledged) {
  for (uint64_t seed = 2000; seed <= 2200; ++seed) ASSERT_EQ(PlayLogScenario(seed, {}), "");
}

// Without direct I/O a failed flush leaves pages that look clean: the next process reads a block
// that no flush will ever write, seals it, and a power cut takes it away.
TEST(LogSimTest, BlockThatOnlyThePageCacheHoldsIsMadeDurableByRecovery) {
  const LogScenarioOptions options{.short_transfers = false, .buffered = true};
  for (uint64_t seed = 3000; seed <= 3150; ++seed) ASSERT_EQ(PlayLogScenario(seed, options), "");
}

}  // namespace
}  // namespace pakv
