// The scenarios over a few seeds, and that each seeded bug has a proof: the proofs themselves run
// in ./dev sim --bugs, which finds each bug within so many seeds that pass without it.
#include "tests/sim/scenario.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "tests/sim/runner.h"

namespace pakv {
namespace {

constexpr uint64_t kQuickSeeds = 30;

class ScenarioTest : public ::testing::TestWithParam<Scenario> {};
INSTANTIATE_TEST_SUITE_P(All, ScenarioTest,
                         ::testing::ValuesIn(Scenarios().begin(), Scenarios().end()),
                         [](const auto& one) { return std::string(one.param.name); });

TEST_P(ScenarioTest, SeedsPass) {
  uint64_t operations = 0;
  const auto failure =
      RunSeeds({&GetParam(), 1, kQuickSeeds, SeededBug::kNone, /*jobs=*/2}, operations);
  EXPECT_FALSE(failure.has_value()) << "seed " << failure->seed << ": " << failure->text;
  EXPECT_GT(operations, 0u);
}

TEST_P(ScenarioTest, ASeedReplaysBitForBit) {
  const ScenarioResult first = GetParam().run(7);
  const ScenarioResult second = GetParam().run(7);
  EXPECT_EQ(first.failure, "");
  EXPECT_EQ(first.digest, second.digest);
  EXPECT_EQ(first.operations, second.operations);
  EXPECT_NE(first.digest, GetParam().run(8).digest);
}

#ifdef PAKV_SIMULATOR
// The sweep demands something: what lies about durability fails it, in a few lives.
TEST(SweepScenarioTest, FindsWhatIsAcknowledgedTooEarlyAndWhatIsNotSynced) {
  for (const SeededBug bug : {SeededBug::kAcknowledgeBeforeFlush, SeededBug::kNoDirectorySync,
                              SeededBug::kServeVolatileCache, SeededBug::kValueFileNotSynced}) {
    uint64_t operations = 0;
    EXPECT_TRUE(RunSeeds({FindScenario("sweep"), 1, 40, bug, /*jobs=*/2}, operations))
        << static_cast<int>(bug);
  }
}

TEST(SeededBugProofTest, EveryBugHasOne) {
  EXPECT_EQ(SeededBugProofs().size(), static_cast<size_t>(SeededBug::kCount) - 1);
}
#endif

}  // namespace
}  // namespace pakv
