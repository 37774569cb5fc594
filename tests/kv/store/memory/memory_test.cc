// --memory in a simulated world: the cache gives way, then new keys are refused, and nothing else;
// what is deleted brings room back; a recovery that does not fit says so and changes nothing.
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kv/store/memory/memory_budget.h"
#include "kv/store/start/recovery_progress.h"
#include "kv/store/store.h"
#include "runtime/base/crc32c.h"
#include "tests/kv/store/store_call.h"
#include "tests/kv/store/store_tasks.h"
#include "tests/sim/world/sim_node.h"

namespace pakv {
namespace {

// Keys of more than 8 KiB have memory of their own, which is counted to the byte.
constexpr size_t kKeyBytes = 9000;
// With the tables of three caches, which LimitTo takes off although they are counted.
constexpr uint64_t kSlack = 480'000;

class MemoryTest : public testing::TestWithParam<uint32_t> {
 protected:
  void SetUp() override {
    world_ = std::make_unique<SimWorld>(11);
    node_ = std::make_unique<SimNode>(*world_, "10.0.0.1");
    node_->disk().MakeDirectories("/data");
  }

  StoreOptions Options() {
    StoreOptions options;
    options.directory = "/data/store";
    options.segment_bytes = 256 << 10;
    options.cache_bytes = cache_bytes_;
    options.memory.limit_bytes = limit_bytes_;
    // What footers and compaction take now and then is counted too, and large beside these limits.
    options.footer_segment_bytes_min = UINT64_MAX;
    options.compaction.segments_min = 1000;
    options.entropy = StoreEntropy{{}, 17, ++run_};
    options.progress = &progress_;
    return options;
  }
  absl::Status TryOpen() {
    node_->Start({.core_count = GetParam(), .core = {.buffer_bytes = 64 << 10}});
    auto opened = node_->Run(Store::Open(node_->cores(), Options(), report_));
    EXPECT_TRUE(opened) << world_->failure();
    if (!opened->ok()) return opened->status();
    store_ = &node_->Own(std::move(**opened));
    return absl::OkStatus();
  }
  void Open() {
    const absl::Status status = TryOpen();
    ASSERT_TRUE(status.ok()) << status;
  }
  void Stop() {
    ASSERT_TRUE(node_->Run(StopStore(*store_)).value_or(false)) << world_->failure();
    node_->Stop();
  }
  // What is held now, and `more` of it. By now each core has begun its chunks of the index, which
  // come 64 KiB at a time.
  void LimitTo(uint64_t more) {
    for (int i = 0; i < 30; ++i) ASSERT_EQ(Set(Key(i), "v"), Outcome::kDone);
    for (int i = 0; i < 30; ++i) ASSERT_EQ(Set("value" + std::to_string(i), "v"), Outcome::kDone);
    for (int i = 0; i < 30; ++i) ASSERT_EQ(Delete(Key(i)), Outcome::kDone);
    world_->RunFor(kNsPerSecond);
    limit_bytes_ = Stats().memory_bytes - Stats().cached_bytes + more;
    ASSERT_TRUE(node_->Run(store_->SetMemoryLimit(node_->core(0), limit_bytes_)));
  }

  Outcome Update(KeyFunction what, OldState needs, const std::string& key,
                 const std::string& value) {
    return node_->Run(UpdateOne(*store_, node_->core(0), what, needs, key, value))
        .value_or(Outcome::kStopping);
  }
  Outcome Set(const std::string& key, const std::string& value) {
    const Outcome outcome = Update(SetFunction, OldState::kNothing, key, value);
    if (outcome == Outcome::kDone) expected_[key] = value;
    return outcome;
  }
  Outcome Delete(const std::string& key) {
    expected_.erase(key);
    return Update(DeleteFunction, OldState::kExistence, key, "");
  }
  std::string Get(const std::string& key) {
    return node_->Run(GetOne(*store_, node_->core(0), key)).value_or("nothing");
  }
  StoreStats Stats() { return node_->Run(store_->Stats(node_->core(0))).value_or(StoreStats()); }
  static std::string Key(int number) {
    std::string key = "key" + std::to_string(number) + "-";
    key.resize(kKeyBytes, 'k');
    return key;
  }
  // Until the first is refused; how many there are then.
  int FillUp(const std::string& value) {
    for (int i = 0; i < 10'000; ++i) {
      if (Set(Key(i), value) != Outcome::kDone) return i;
    }
    ADD_FAILURE() << "nothing was refused";
    return 0;
  }
  void ExpectAllThere() {
    for (const auto& [key, value] : expected_) ASSERT_EQ(Get(key), value) << key.substr(0, 10);
  }
  // By name: length and checksum.
  std::map<std::string, std::pair<size_t, uint32_t>> Files() {
    std::vector<std::string> names;
    EXPECT_GE(node_->disk().List("/data/store", names), 0);
    std::map<std::string, std::pair<size_t, uint32_t>> files;
    for (const std::string& name : names) {
      const auto bytes = node_->disk().Contents(("/data/store/" + name).c_str()).value_or("");
      files[name] = {bytes.size(), Crc32c(0, bytes.data(), bytes.size())};
    }
    return files;
  }

  std::unique_ptr<SimWorld> world_;
  std::unique_ptr<SimNode> node_;
  Store* store_ = nullptr;
  OpenReport report_;
  RecoveryProgress progress_;
  uint64_t run_ = 0;
  uint64_t limit_bytes_ = 0;
  uint64_t cache_bytes_ = UINT64_MAX;
  std::map<std::string, std::string> expected_;
};
INSTANTIATE_TEST_SUITE_P(Cores, MemoryTest, testing::Values(1, 3));

TEST_P(MemoryTest, NewKeysAreRefusedAndNothingElse) {
  Open();
  LimitTo(kSlack);
  const int count = FillUp("v");
  EXPECT_GT(count, 5);
  StoreStats stats = Stats();
  EXPECT_LE(stats.memory_bytes, limit_bytes_);
  EXPECT_GT(stats.memory_bytes, limit_bytes_ - kSlack / 2);
  EXPECT_GE(stats.new_keys_refused, 1u);
  EXPECT_TRUE(stats.memory_full);
  EXPECT_EQ(stats.keys, expected_.size());
  // On every core: overwrites, also longer ones, read-modify-writes, reads and deletes.
  for (int i = 0; i < count; ++i) {
    ASSERT_EQ(Set(Key(i), "another"), Outcome::kDone) << i;
    ASSERT_EQ(Set(Key(i), std::string(5000, 'x')), Outcome::kDone) << i;
    ASSERT_EQ(Update(AppendFunction, OldState::kValue, Key(i), "y"), Outcome::kDone) << i;
    expected_[Key(i)] += "y";
  }
  ExpectAllThere();
  EXPECT_EQ(Get(Key(5000)), "missing");
  for (int i = 0; i < count; i += 2) ASSERT_EQ(Delete(Key(i)), Outcome::kDone);
  ExpectAllThere();
}

TEST_P(MemoryTest, TheLeastThatAServerStartsWithHoldsTheLongestKeys) {
  limit_bytes_ = GetParam() * MemoryBudget::kLeastBytesPerCore;
  Open();
  for (int i = 0; i < 3; ++i) {
    std::string key = std::to_string(i);
    key.resize(64 << 10, 'k');
    EXPECT_EQ(Set(key, "v"), Outcome::kDone) << i;
  }
  for (int i = 0; i < 100; ++i) EXPECT_EQ(Set("key" + std::to_string(i), "v"), Outcome::kDone) << i;
  ExpectAllThere();
}

TEST_P(MemoryTest, AnOpenTellsHowFarItHasCome) {
  Open();
  EXPECT_EQ(progress_.keys.load(), 0u);
  for (int i = 0; i < 200; ++i) ASSERT_EQ(Set("key" + std::to_string(i), "v"), Outcome::kDone);
  for (int i = 0; i < 50; ++i) ASSERT_EQ(Delete("key" + std::to_string(i)), Outcome::kDone);
  node_->Crash(CrashKind::kProcessKill);
  progress_.scan.done_bytes = 0;
  Open();
  EXPECT_EQ(progress_.keys.load(), 150u);
  EXPECT_GT(progress_.scan.total_bytes.load(), 0u);
  EXPECT_EQ(progress_.scan.done_bytes.load(), progress_.scan.total_bytes.load());
}

TEST_P(MemoryTest, TheLogSaysOnceThatNewKeysAreRefusedAndOnceThatThatIsOver) {
  const std::string begin = "new keys are refused (-OOM)";
  const std::string end = "new keys are accepted";
  const auto told = [](const std::string& log, const std::string& what) {
    int count = 0;
    for (size_t at = log.find(what); at != std::string::npos; at = log.find(what, at + 1)) ++count;
    return count;
  };
  Open();
  LimitTo(kSlack);
  testing::internal::CaptureStderr();
  world_->RunFor(kNsPerSecond);
  std::string log = testing::internal::GetCapturedStderr();
  EXPECT_EQ(told(log, begin) + told(log, end), 0) << log;
  testing::internal::CaptureStderr();
  int count = 0;
  do {  // also once the core has got what others had left
    count = FillUp("v");
    world_->RunFor(kNsPerSecond);
  } while (Set(Key(count), "v") == Outcome::kDone);
  for (int second = 0; second < 120; ++second) {
    if (Set(Key(count), "v") == Outcome::kDone) ++count;
    world_->RunFor(kNsPerSecond);
  }
  // What ends and begins again all the time is no news.
  for (int round = 0; round < 10; ++round) {
    for (int i = 0; i < count; ++i) ASSERT_EQ(Delete(Key(i)), Outcome::kDone);
    world_->RunFor(kNsPerSecond);
    FillUp("v");
    world_->RunFor(kNsPerSecond);
  }
  log = testing::internal::GetCapturedStderr();
  EXPECT_EQ(told(log, begin), 1) << log;
  EXPECT_EQ(told(log, end), 0) << log;
  testing::internal::CaptureStderr();
  for (int i = 0; i < count; ++i) ASSERT_EQ(Delete(Key(i)), Outcome::kDone);
  world_->RunFor(10 * kNsPerSecond);
  log = testing::internal::GetCapturedStderr();
  EXPECT_EQ(told(log, begin), 0) << log;
  EXPECT_EQ(told(log, end), 1) << log;
}

TEST_P(MemoryTest, ARefusedKeyHasNeverBeen) {
  Open();
  LimitTo(kSlack);
  const int count = FillUp("v");
  EXPECT_EQ(Get(Key(count)), "missing");
  // Not appended either: it does not come back.
  Stop();
  limit_bytes_ = 0;
  Open();
  EXPECT_EQ(Get(Key(count)), "missing");
  ExpectAllThere();
}

TEST_P(MemoryTest, DeletesBringRoomBack) {
  Open();
  LimitTo(kSlack);
  for (int round = 0; round < 3; ++round) {
    const int count = FillUp("v");
    for (int i = 0; i < count; ++i) ASSERT_EQ(Delete(Key(i)), Outcome::kDone);
    world_->RunFor(kNsPerSecond);
    EXPECT_FALSE(Stats().memory_full);
    // As many as before, about: what came free is there to be used.
    const int again = FillUp("v");
    EXPECT_GE(again, count * 3 / 4) << round;
    for (int i = 0; i < again; ++i) ASSERT_EQ(Delete(Key(i)), Outcome::kDone);
    world_->RunFor(kNsPerSecond);
  }
}

TEST_P(MemoryTest, AtTheEdgeItDoesNotFlap) {
  Open();
  LimitTo(kSlack);
  const int count = FillUp("v");
  // Refused also once the core has got what others had left.
  int smalls = 0;
  const auto small = [&smalls] { return "small" + std::to_string(smalls); };
  do {
    while (Set(small(), "v") == Outcome::kDone) ++smalls;
    world_->RunFor(kNsPerSecond);
  } while (Set(small(), "v") == Outcome::kDone);
  const std::string refused = small();
  // One small key's worth is no reason to begin again.
  ASSERT_EQ(Delete("value0"), Outcome::kDone);
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(Set(refused, "v"), Outcome::kOutOfMemory);
    world_->RunFor(100 * kNsPerMs);
  }
  for (int i = 0; i < count; ++i) ASSERT_EQ(Delete(Key(i)), Outcome::kDone);
  world_->RunFor(kNsPerSecond);
  EXPECT_EQ(Set(refused, "v"), Outcome::kDone);
}

TEST_P(MemoryTest, TheCacheGivesWayToKeys) {
  Open();
  LimitTo(uint64_t{4} << 20);
  // Values fill the cache up to the limit.
  const std::string value(4000, 'v');
  for (int i = 0; i < 2000; ++i) ASSERT_EQ(Set("value" + std::to_string(i), value), Outcome::kDone);
  world_->RunFor(kNsPerSecond);
  StoreStats stats = Stats();
  EXPECT_LE(stats.memory_bytes, limit_bytes_);
  EXPECT_GT(stats.cached_bytes, limit_bytes_ / 4);
  const uint64_t cached = stats.cached_bytes;
  // Then keys take its place, and none is refused as long as there is a cache to be had.
  for (int i = 0; i < 150; ++i) ASSERT_EQ(Set(Key(i), ""), Outcome::kDone) << i;
  world_->RunFor(kNsPerSecond);
  stats = Stats();
  EXPECT_LE(stats.memory_bytes, limit_bytes_);
  EXPECT_LT(stats.cached_bytes, cached - 1'000'000);
  EXPECT_EQ(stats.new_keys_refused, 0u);
  FillUp("");
  world_->RunFor(kNsPerSecond);
  EXPECT_LT(Stats().cache_cap_bytes, limit_bytes_ / 8);
  ExpectAllThere();
}

// Writes the value again as it is in the cache, as EXPIRE and PERSIST do.
Change TouchFunction(const OldValue& old, Request&) {
  return {.action = Change::Action::kWrite, .value = old.value};
}

Task<void> TouchMany(Store& store, Core& here, std::vector<std::string> keys, int* done) {
  std::vector<std::unique_ptr<StoreCall>> calls;
  Nursery nursery(here.ready());
  for (std::string& key : keys) {
    calls.push_back(std::make_unique<StoreCall>(store, here));
    nursery.Spawn(calls.back()->Update(TouchFunction, OldState::kValue, std::move(key)));
  }
  co_await nursery.Join();
  for (const auto& call : calls) *done += call->outcome == Outcome::kDone ? 1 : 0;
}

// A write for which there is no room looks at memory and has the cache shrink: not before it has
// taken its own value from there (zeros were written, with a right checksum).
TEST_P(MemoryTest, TheCacheDoesNotShrinkUnderAWriteThatTakesItsValueFromIt) {
  constexpr int kKeys = 60;  // no more values than one step of shrinking drops
  constexpr size_t kValueBytes = 7000;
  Open();
  LimitTo(uint64_t{4} << 20);
  uint64_t held = 0;
  for (uint32_t id = 0; id < GetParam(); ++id) {
    store_->SetClientMemory(node_->core(id), [&held] { return held; });
  }
  std::vector<std::string> keys;
  for (int i = 0; i < kKeys; ++i) {
    keys.push_back(Key(i));
    const std::string value(kValueBytes, static_cast<char>('a' + i % 26));
    ASSERT_EQ(Set(keys.back(), value), Outcome::kDone);
  }
  ASSERT_GE(Stats().cached_bytes, kKeys * kValueBytes);
  // From now on there is room for no cache at all, which some write is the first to notice.
  held = 8 << 20;
  int done = 0;
  ASSERT_TRUE(node_->Run(TouchMany(*store_, node_->core(0), keys, &done)));
  EXPECT_EQ(done, kKeys);
  world_->RunFor(kNsPerSecond);
  EXPECT_EQ(Stats().cache_cap_bytes, 0u);
  ExpectAllThere();
  for (uint32_t id = 0; id < GetParam(); ++id) {
    store_->SetClientMemory(node_->core(id), nullptr);
  }
}

TEST_P(MemoryTest, WithoutACacheAllIsReadFromTheDevice) {
  cache_bytes_ = 0;
  Open();
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(Set("key" + std::to_string(i), std::string(1000, 'v')), Outcome::kDone);
  }
  ExpectAllThere();
  const StoreStats stats = Stats();
  EXPECT_EQ(stats.read_device, 100u);
  EXPECT_EQ(stats.cache_cap_bytes, 0u);
}

// Writes that are under way together: what is pending is in no index yet, and counts.
Task<void> SetMany(Store& store, Core& here, int count, int* refused) {
  std::vector<std::unique_ptr<StoreCall>> calls;
  Nursery nursery(here.ready());
  for (int i = 0; i < count; ++i) {
    calls.push_back(std::make_unique<StoreCall>(store, here));
    std::string key = "many" + std::to_string(i);
    key.resize(kKeyBytes, 'm');
    nursery.Spawn(calls.back()->Update(SetFunction, OldState::kNothing, std::move(key), "v"));
  }
  co_await nursery.Join();
  for (const auto& call : calls) *refused += call->outcome == Outcome::kOutOfMemory ? 1 : 0;
}

TEST_P(MemoryTest, PendingKeysAreBoundedToo) {
  Open();
  LimitTo(kSlack);
  int refused = 0;
  ASSERT_TRUE(node_->Run(SetMany(*store_, node_->core(0), 200, &refused)));
  EXPECT_GT(refused, 100);
  EXPECT_LT(refused, 200);
  EXPECT_LE((200 - refused) * MemoryShare::KeyCost(kKeyBytes), kSlack);
}

TEST_P(MemoryTest, ARecoveryThatDoesNotFitSaysWhatItNeedsAndChangesNothing) {
  Open();
  for (int i = 0; i < 300; ++i) ASSERT_EQ(Set(Key(i), "v"), Outcome::kDone);
  Stop();
  const auto before = Files();
  limit_bytes_ = 1 << 20;
  const absl::Status status = TryOpen();
  ASSERT_TRUE(absl::IsResourceExhausted(status)) << status;
  const std::string text(status.message());
  EXPECT_NE(text.find("/data/store: needs at least "), std::string::npos) << text;
  EXPECT_NE(text.find("may use 1MiB"), std::string::npos) << text;
  EXPECT_NE(text.find("nothing was changed"), std::string::npos) << text;
  node_->Crash(CrashKind::kProcessKill);
  EXPECT_EQ(Files(), before);
  limit_bytes_ = 8 << 20;
  Open();
  ExpectAllThere();
}

TEST_P(MemoryTest, AStoreThatIsFullOpensWithTheSameLimit) {
  Open();
  LimitTo(kSlack);
  const int count = FillUp("v");
  for (int i = 0; i < count; i += 3) ASSERT_EQ(Delete(Key(i)), Outcome::kDone);
  for (int i = 0; i < count; i += 3) Set(Key(i), "w");
  Stop();
  Open();
  ExpectAllThere();
}

TEST_P(MemoryTest, WhatAFlushLeavesBehindIsCountedUntilItIsFreed) {
  Open();
  LimitTo(kSlack);
  const int count = FillUp("v");
  ASSERT_EQ(node_->Run(store_->Flush(node_->core(0), kDefaultNamespace)), Outcome::kDone);
  expected_.clear();
  world_->RunFor(kNsPerSecond);
  EXPECT_FALSE(Stats().memory_full);
  EXPECT_GE(FillUp("v"), count * 3 / 4);
}

TEST_P(MemoryTest, ClientsAreCounted) {
  Open();
  uint64_t held = 0;
  store_->SetClientMemory(node_->core(0), [&held] { return held; });
  const uint64_t before = Stats().memory_bytes;
  held = 1 << 20;
  EXPECT_GE(Stats().memory_bytes, before + held);
  EXPECT_LT(Stats().memory_bytes, before + held + 10'000);
  // They take what the cache would have had.
  LimitTo(4 << 20);
  const uint64_t cap = Stats().cache_cap_bytes;
  held += 2 << 20;
  world_->RunFor(kNsPerSecond);
  EXPECT_LE(Stats().cache_cap_bytes + (2 << 20), cap);
  store_->SetClientMemory(node_->core(0), nullptr);
}

}  // namespace
}  // namespace pakv
