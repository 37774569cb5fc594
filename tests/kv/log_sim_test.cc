// kv/log in a simulated world: crashes at any operation, also while it recovers; torn blocks, lost
// names, short transfers, failing flushes. And the seeded bugs of this room, each of which has to
// be found.
#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "runtime/base/seeded_bug.h"
#include "tests/kv/log_scenario.h"

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

#ifdef PAKV_SIMULATOR
class SeededBugTest : public ::testing::TestWithParam<SeededBug> {};

TEST_P(SeededBugTest, IsFoundWithin1000Seeds) {
  SetActiveSeededBug(GetParam());
  std::string found;
  uint64_t seed = 1;
  for (; seed <= 1000 && found.empty(); ++seed) found = PlayLogScenario(seed, {});
  SetActiveSeededBug(SeededBug::kNone);
  EXPECT_FALSE(found.empty());
  RecordProperty("found", found);
}

INSTANTIATE_TEST_SUITE_P(
    Log, SeededBugTest,
    ::testing::Values(SeededBug::kAcknowledgeBeforeFlush, SeededBug::kNoDirectorySync,
                      SeededBug::kGoOnAfterFailedFlush, SeededBug::kChecksumMissesLength,
                      SeededBug::kReopenTornSegment, SeededBug::kServeVolatileCache,
                      SeededBug::kLsnFallsBehindAfterRestart));
#endif

}  // namespace
}  // namespace pakv
