// Engine `memory`: the same store, the log discards.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kv/store/store.h"
#include "tests/kv/store/store_tasks.h"
#include "tests/sim/world/sim_node.h"

namespace pakv {
namespace {

class MemoryEngineTest : public testing::TestWithParam<uint32_t> {
 protected:
  void SetUp() override {
    world_ = std::make_unique<SimWorld>(5);
    node_ = std::make_unique<SimNode>(*world_, "10.0.0.1");
    node_->disk().MakeDirectories("/data");
  }
  absl::Status Open(EngineKind engine) {
    node_->Start({.core_count = GetParam(), .core = {.buffer_bytes = 64 << 10}});
    StoreOptions options;
    options.directory = "/data/store";
    options.engine = engine;
    options.segment_bytes = 256 << 10;
    options.memory.limit_bytes = limit_bytes_;
    options.entropy = StoreEntropy{{}, 17, ++run_};
    auto opened = node_->Run(Store::Open(node_->cores(), options, report_));
    EXPECT_TRUE(opened) << world_->failure();
    if (!opened->ok()) return opened->status();
    store_ = &node_->Own(std::move(**opened));
    return absl::OkStatus();
  }
  void Stop() {
    ASSERT_TRUE(node_->Run(StopStore(*store_)).value_or(false)) << world_->failure();
    node_->Stop();
  }
  Outcome Update(KeyFunction what, OldState needs, const std::string& key,
                 const std::string& value) {
    return node_->Run(UpdateOne(*store_, node_->core(0), what, needs, key, value))
        .value_or(Outcome::kStopping);
  }
  Outcome Set(const std::string& key, const std::string& value) {
    return Update(SetFunction, OldState::kNothing, key, value);
  }
  Outcome Delete(const std::string& key) {
    return Update(DeleteFunction, OldState::kExistence, key, "");
  }
  std::string Get(const std::string& key) {
    return node_->Run(GetOne(*store_, node_->core(0), key)).value_or("nothing");
  }
  StoreStats Stats() { return node_->Run(store_->Stats(node_->core(0))).value_or(StoreStats()); }
  static std::string Key(int number) { return "key" + std::to_string(number); }
  std::vector<std::string> Files() {
    std::vector<std::string> names;
    EXPECT_GE(node_->disk().List("/data/store", names), 0);
    return names;
  }

  std::unique_ptr<SimWorld> world_;
  std::unique_ptr<SimNode> node_;
  Store* store_ = nullptr;
  OpenReport report_;
  uint64_t run_ = 0;
  uint64_t limit_bytes_ = 0;
};
INSTANTIATE_TEST_SUITE_P(Cores, MemoryEngineTest, testing::Values(1, 3));

TEST_P(MemoryEngineTest, KeepsEveryValueInMemoryAndNothingOnDisk) {
  ASSERT_TRUE(Open(EngineKind::kMemory).ok());
  const std::vector<std::string> files = Files();
  for (int i = 0; i < 500; ++i) {
    ASSERT_EQ(Set(Key(i), std::string(static_cast<size_t>(i) * 37 % 20'000, 'v')), Outcome::kDone);
  }
  for (int i = 0; i < 500; i += 3) {
    ASSERT_EQ(Update(AppendFunction, OldState::kValue, Key(i), "+"), Outcome::kDone);
  }
  for (int i = 0; i < 500; i += 5) ASSERT_EQ(Delete(Key(i)), Outcome::kDone);
  for (int i = 0; i < 500; ++i) {
    const std::string value(static_cast<size_t>(i) * 37 % 20'000, 'v');
    ASSERT_EQ(Get(Key(i)), i % 5 == 0 ? "missing" : i % 3 == 0 ? value + "+" : value) << i;
  }
  const StoreStats stats = Stats();
  EXPECT_EQ(stats.read_device, 0u);
  EXPECT_EQ(stats.keys, 400u);
  EXPECT_EQ(stats.disk_bytes, 0u);
  EXPECT_EQ(Files(), files);
  for (const std::string& name : files) EXPECT_FALSE(name.ends_with(".seg")) << name;
  const auto report = node_->Run(store_->Check(node_->core(0)));
  ASSERT_TRUE(report);
  EXPECT_TRUE(report->findings.empty());
  Stop();
}

TEST_P(MemoryEngineTest, IsEmptyAfterARestart) {
  ASSERT_TRUE(Open(EngineKind::kMemory).ok());
  ASSERT_EQ(Set("key", "value"), Outcome::kDone);
  Stop();
  ASSERT_TRUE(Open(EngineKind::kMemory).ok());
  EXPECT_EQ(report_.keys, 0u);
  EXPECT_EQ(Get("key"), "missing");
  ASSERT_EQ(Set("key", "again"), Outcome::kDone);
  EXPECT_EQ(Get("key"), "again");
  node_->Crash(CrashKind::kPowerCut);
  ASSERT_TRUE(Open(EngineKind::kMemory).ok());
  EXPECT_EQ(Get("key"), "missing");
  Stop();
}

TEST_P(MemoryEngineTest, ADirectoryRemembersItsEngine) {
  ASSERT_TRUE(Open(EngineKind::kMemory).ok());
  Stop();
  const absl::Status status = Open(EngineKind::kLog);
  EXPECT_TRUE(absl::IsFailedPrecondition(status));
  const std::string text(status.message());
  EXPECT_NE(text.find("made by engine 'memory', opened with engine 'log'"), std::string::npos)
      << text;
  node_->Crash(CrashKind::kProcessKill);
}

TEST_P(MemoryEngineTest, NewKeysAndGrowthAreRefusedWhenMemoryIsFull) {
  ASSERT_TRUE(Open(EngineKind::kMemory).ok());
  for (int i = 0; i < 50; ++i) ASSERT_EQ(Set(Key(i), std::string(3000, 'w')), Outcome::kDone);
  limit_bytes_ = Stats().memory_bytes + 2'000'000;
  ASSERT_TRUE(node_->Run(store_->SetMemoryLimit(node_->core(0), limit_bytes_)));
  int count = 50;
  while (Set(Key(count), std::string(3000, 'v')) == Outcome::kDone) ++count;
  EXPECT_GT(count, 200);
  EXPECT_LT(count, 900);
  EXPECT_LE(Stats().memory_bytes, limit_bytes_ + 300'000);
  EXPECT_EQ(Get(Key(count)), "missing");
  // What is there can be written, and may grow, but not for ever.
  for (int i = 0; i < 50; ++i) ASSERT_EQ(Set(Key(i), std::string(3000, 'x')), Outcome::kDone);
  Outcome grown = Outcome::kDone;
  for (int i = 0; i < count && grown == Outcome::kDone; ++i) {
    grown = Set(Key(i), std::string(60'000, 'y'));
  }
  EXPECT_EQ(grown, Outcome::kOutOfMemory);
  EXPECT_LE(Stats().memory_bytes, limit_bytes_ + limit_bytes_ / 16 + 500'000);
  // No value was dropped for another.
  for (int i = 0; i < count; ++i) {
    const std::string value = Get(Key(i));
    ASSERT_TRUE(value.size() == 3000 || value.size() == 60'000) << i;
  }
  for (int i = 0; i < count; ++i) ASSERT_EQ(Delete(Key(i)), Outcome::kDone);
  world_->RunFor(kNsPerSecond);
  EXPECT_EQ(Set("new", "v"), Outcome::kDone);
  Stop();
}

TEST_P(MemoryEngineTest, FlushLeavesNothing) {
  ASSERT_TRUE(Open(EngineKind::kMemory).ok());
  for (int i = 0; i < 100; ++i) ASSERT_EQ(Set(Key(i), std::string(500, 'v')), Outcome::kDone);
  ASSERT_EQ(node_->Run(store_->Flush(node_->core(0), kDefaultNamespace)), Outcome::kDone);
  EXPECT_EQ(Get(Key(1)), "missing");
  ASSERT_EQ(Set(Key(1), "new"), Outcome::kDone);
  EXPECT_EQ(Get(Key(1)), "new");
  Stop();
}

}  // namespace
}  // namespace pakv
