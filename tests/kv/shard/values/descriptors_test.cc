// A store for which the system opens no further file, for a while: what needs one is refused and
// never happened, all else goes on, and nothing but the end of the shortage is needed for the rest.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/kv/shard/values/value_file_fixture.h"

namespace pakv {
namespace {

class DescriptorsTest : public ValueFileFixture {
 protected:
  void Lack() { node_->disk().faults.no_descriptor = 10'000; }
  void HaveAgain() {
    node_->disk().faults.no_descriptor = 0;
    world_.RunFor(3 * kNsPerSecond);
  }
  Outcome Set(const std::string& key, const std::string& value) {
    return Call(false, SetFunction, OldState::kNothing, key, value).outcome;
  }
  Outcome Delete(const std::string& key) {
    return Call(false, DeleteFunction, OldState::kExistence, key).outcome;
  }
  StoreStats Stats() {
    auto stats = node_->Run(StatsOf(*store_, node_->core(0)));
    EXPECT_TRUE(stats) << world_.failure();
    return stats.value_or(StoreStats());
  }
  static Task<StoreStats> StatsOf(Store& store, Core& core) { return store.Stats(core); }
  static Task<void> LackOnceThereIsAFile(SimDisk& disk, Core& core) {
    std::vector<std::string> names;
    const auto is_value_file = [](const std::string& name) { return ValueFileOfName(name) != 0; };
    while (disk.List("/store", names) < 0 ||
           std::none_of(names.begin(), names.end(), is_value_file)) {
      co_await core.timers().SleepUntil(core.now_ns() + 10 * kNsPerUs);
    }
    disk.faults.no_descriptor = 10'000;
  }
  static Task<CompactionProgress> CompactAll(Store& store, Core& core) {
    CompactionProgress progress = co_await store.RequestCompaction(core, 1);
    while (!progress.done) {
      co_await core.timers().SleepUntil(core.now_ns() + 10 * kNsPerMs);
      progress = (co_await store.CompactionProgressOf(core, progress.number)).value();
    }
    co_return progress;
  }
  CompactionProgress Compact() {
    auto progress = node_->Run(CompactAll(*store_, node_->core(0)));
    EXPECT_TRUE(progress) << world_.failure();
    return progress.value_or(CompactionProgress());
  }
};
INSTANTIATE_TEST_SUITE_P(Cores, DescriptorsTest, testing::Values(1u, 3u));

TEST_P(DescriptorsTest, WritesAreRefusedDeletesGoOnAndAllResumes) {
  Settle();
  const std::string value(200, 'v');
  Lack();
  int written = 0;
  Outcome outcome = Outcome::kDone;
  while (outcome == Outcome::kDone && written < 5000) {
    outcome = Set("key" + std::to_string(written), value);
    if (outcome == Outcome::kDone) ++written;
  }
  EXPECT_EQ(outcome, Outcome::kNoDescriptors);
  EXPECT_GT(written, 5) << "what is ready is used first";
  EXPECT_TRUE(Stats().no_descriptors);
  EXPECT_FALSE(Stats().disk_full);
  EXPECT_FALSE(store_->read_only());
  EXPECT_EQ(Delete("key1"), Outcome::kDone);
  HaveAgain();
  EXPECT_FALSE(Stats().no_descriptors);
  const std::string next = "key" + std::to_string(written);
  EXPECT_EQ(Get(next), "missing") << "it was refused";
  EXPECT_EQ(Set(next, "now"), Outcome::kDone);
  Restart();
  EXPECT_EQ(Get(next), "now");
  EXPECT_EQ(Get("key1"), "missing");
  for (int i = 2; i < written; ++i) EXPECT_EQ(Get("key" + std::to_string(i)), value) << i;
}

TEST_P(DescriptorsTest, AValueThatNeedsAFileIsRefusedAndNothingIsLeftOfIt) {
  Settle();
  EXPECT_EQ(Put("key", ValueOf('a', 9000)), Outcome::kDone);
  Lack();
  EXPECT_EQ(Put("key", ValueOf('b', 9000)), Outcome::kNoDescriptors);
  EXPECT_EQ(Put("other", ValueOf('c', 9000)), Outcome::kNoDescriptors);
  EXPECT_EQ(Set("small", "s"), Outcome::kDone) << "it needs none";
  HaveAgain();
  EXPECT_EQ(Files().size(), 1u);
  EXPECT_TRUE(Get("key") == ValueOf('a', 9000));
  EXPECT_EQ(Get("other"), "missing");
  EXPECT_EQ(Put("key", ValueOf('b', 9000)), Outcome::kDone);
  Restart();
  EXPECT_TRUE(Get("key") == ValueOf('b', 9000));
  EXPECT_EQ(Get("small"), "s");
}

// The file is written, and its name cannot be made to last.
TEST_P(DescriptorsTest, AValueWhoseFileIsWrittenIsRefusedIfItsNameMayGo) {
  Settle();
  said_bytes_ = 9000;
  node_->Spawn(0, LackOnceThereIsAFile(node_->disk(), node_->core(0)));
  EXPECT_EQ(Put("key", ValueOf('a', 200'000)), Outcome::kNoDescriptors);
  HaveAgain();
  EXPECT_TRUE(Files().empty());
  EXPECT_EQ(Get("key"), "missing");
}

TEST_P(DescriptorsTest, CompactionOnRequestSaysWhatItLacksAndIsDoneLater) {
  const std::string value(200, 'v');
  for (int round = 0; round < 4; ++round) {
    for (int i = 0; i < 200; ++i) EXPECT_EQ(Set("key" + std::to_string(i), value), Outcome::kDone);
  }
  Settle();
  Lack();
  const CompactionProgress refused = Compact();
  EXPECT_EQ(refused.outcome, Outcome::kNoDescriptors) << refused.why;
  EXPECT_NE(refused.why.find("Too many open files"), std::string::npos) << refused.why;
  EXPECT_FALSE(store_->read_only());
  HaveAgain();
  const CompactionProgress done = Compact();
  EXPECT_EQ(done.outcome, Outcome::kDone) << done.why;
  for (int i = 0; i < 200; ++i) EXPECT_EQ(Get("key" + std::to_string(i)), value);
}

}  // namespace
}  // namespace pakv
