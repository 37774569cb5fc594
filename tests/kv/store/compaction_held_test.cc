// Compaction beside transactions that hold keys all the time: a segment waits only for those that
// may have written in it.
#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "tests/kv/store/transaction_fixture.h"

namespace pakv {
namespace {

class CompactionHeldTest : public TransactionTest {
 public:
  // One transaction after the other, until told to end: each holds all keys, and writes the last.
  static Task<void> HoldAgainAndAgain(TransactionTest& test, Core& here,
                                      std::vector<std::string> keys, const bool& ends) {
    while (!ends) {
      Transaction transaction(7);
      for (const std::string& key : keys) test.Add(transaction, key, OldState::kExistence);
      const auto decide = [](Transaction& decided) {
        decided.Write(decided.key_count() - 1, "again", kNoExpiry);
        return true;
      };
      const Outcome outcome = co_await test.store_->Transact(here, transaction, decide);
      EXPECT_EQ(outcome, Outcome::kDone);
    }
  }
};

// In each segment lies a record that lives, of a key that is held at any time. The rest is dead.
TEST_F(CompactionHeldTest, KeysThatAreAlwaysHeldKeepNoSegment) {
  compaction_.segments_min = 1000;
  publish_pause_ns_ = 5 * kNsPerMs;
  Open(2);
  std::array<std::vector<std::string>, 2> held;
  const std::string filler(1400, 'x');
  for (int i = 0; i < 60; ++i) {
    const auto owner = static_cast<uint32_t>(i % 2);
    held[owner].push_back(KeyOn(owner, 100 + i));
    ASSERT_EQ(Set(held[owner].back(), "held"), Outcome::kDone);
    for (int k = 0; k < 32; ++k) ASSERT_EQ(Set(KeyOn(owner, k % 10), filler), Outcome::kDone);
  }
  // Each writes a key of its own at the other core. So those that wait for one core's keys are in
  // one queue, and whoever lets them go hands them on.
  bool ends = false;
  for (int i = 0; i < 6; ++i) {
    const auto owner = static_cast<uint32_t>(i % 2);
    std::vector<std::string> keys = held[owner];
    keys.push_back(KeyOn(1 - owner, 50 + i));
    node_->Spawn(0, HoldAgainAndAgain(*this, node_->core(0), keys, ends));
  }
  world_->RunFor(100 * kNsPerMs);
  const auto asked = node_->Run(store_->RequestCompaction(node_->core(0), 10));
  CompactionProgress progress = *asked;
  for (int i = 0; i < 100 && !progress.done; ++i) {
    world_->RunFor(20 * kNsPerMs);
    progress = **node_->Run(store_->CompactionProgressOf(node_->core(0), asked->number));
  }
  EXPECT_TRUE(progress.done);
  EXPECT_GE(progress.segments, 30u);
  EXPECT_EQ(progress.segments_left, 0u);
  ends = true;
  world_->RunFor(kNsPerSecond);
  for (const auto& of_owner : held) {
    for (const std::string& key : of_owner) EXPECT_EQ(Get(key), "held");
  }
}

}  // namespace
}  // namespace pakv
