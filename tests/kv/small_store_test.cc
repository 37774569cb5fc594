// A store's files stay small beside what lives in it: segments follow the live data up and down.
// All sizes are a 256th of what users have, so that a small store is one of some hundred KiB.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kv/store/store.h"
#include "tests/kv/store_call.h"
#include "tests/sim/sim_node.h"

namespace pakv {
namespace {

constexpr uint64_t kKiB = uint64_t{1} << 10;
constexpr uint64_t kLeast = 16 * kKiB;
constexpr uint64_t kMost = 1024 * kKiB;

class SmallStoreTest : public testing::TestWithParam<uint32_t> {
 protected:
  void Start(uint64_t seed = 7, SimDiskOptions disk = {.direct_alignment = 512}) {
    node_.reset();
    expected_.clear();
    live_bytes_ = 0;
    world_ = std::make_unique<SimWorld>(seed);
    node_ = std::make_unique<SimNode>(*world_, "10.0.0.1", disk);
    node_->disk().MakeDirectories("/data");
    Open(GetParam());
  }
  void Open(uint32_t core_count) {
    cores_ = core_count;
    node_->Start({.core_count = core_count, .core = {.buffer_bytes = 8 << 10}});
    options_.directory = "/data/store";
    ++run_;
    options_.entropy = StoreEntropy{{}, 17, run_};
    auto opened = node_->Run(Store::Open(node_->cores(), options_, report_));
    ASSERT_TRUE(opened) << world_->failure();
    ASSERT_TRUE(opened->ok()) << opened->status();
    store_ = &node_->Own(std::move(**opened));
  }
  void Reopen(uint32_t core_count) {
    ASSERT_TRUE(node_->Run(StopStore(*store_)).value_or(false)) << world_->failure();
    node_->Stop();
    Open(core_count);
  }
  void CrashAndReopen(uint32_t core_count) {
    node_->Crash(CrashKind::kPowerCut);
    Open(core_count);
  }
  static Task<bool> StopStore(Store& store) {
    const absl::Status stopped = co_await store.Stop();
    EXPECT_TRUE(stopped.ok()) << stopped;
    co_return stopped.ok();
  }
  static Task<Outcome> SetOne(Store& store, Core& here, std::string key, std::string value) {
    StoreCall call(store, here);
    co_await call.Update(SetFunction, OldState::kNothing, std::move(key), std::move(value));
    co_return call.outcome;
  }
  static Task<Outcome> DeleteOne(Store& store, Core& here, std::string key) {
    StoreCall call(store, here);
    co_await call.Update(DeleteFunction, OldState::kExistence, std::move(key));
    co_return call.outcome;
  }
  static Task<std::string> GetOne(Store& store, Core& here, std::string key) {
    StoreCall call(store, here);
    co_await call.Read(GetFunction, OldState::kValue, std::move(key));
    if (call.outcome != Outcome::kDone) co_return "failed: " + std::string(call.reply.bytes);
    co_return call.reply.kind == Reply::Kind::kNull ? "missing" : std::string(call.reply.bytes);
  }
  void Set(const std::string& key, size_t length) {
    std::string value = std::to_string(++values_) + "-";
    value.resize(std::max(length, value.size()), 'v');
    ASSERT_EQ(node_->Run(SetOne(*store_, node_->core(0), key, value)), Outcome::kDone);
    Forget(key);
    live_bytes_ += EncodedRecordSize(key, value);
    expected_[key] = std::move(value);
  }
  void Delete(const std::string& key) {
    ASSERT_EQ(node_->Run(DeleteOne(*store_, node_->core(0), key)), Outcome::kDone);
    Forget(key);
  }
  void Forget(const std::string& key) {
    const auto found = expected_.find(key);
    if (found == expected_.end()) return;
    live_bytes_ -= EncodedRecordSize(key, found->second);
    expected_.erase(found);
  }
  void Flush() {
    ASSERT_EQ(node_->Run(store_->Flush(node_->core(0), kDefaultNamespace)), Outcome::kDone);
    expected_.clear();
    live_bytes_ = 0;
  }
  StoreStats Stats() { return node_->Run(store_->Stats(node_->core(0))).value_or(StoreStats()); }
  void Rest(uint64_t seconds) { world_->RunFor(seconds * kNsPerSecond); }

  // Bytes of the store's segments as the disk has them: all that is written, spare or in reserve,
  // with footers; and how large the largest is.
  struct Files {
    uint64_t count = 0;
    uint64_t bytes = 0;
    uint64_t largest = 0;
  };
  Files LookAtFiles() {
    Files files;
    std::vector<std::string> names;
    EXPECT_GE(node_->disk().List("/data/store", names), 0);
    for (const std::string& name : names) {
      if (!name.ends_with(".seg")) continue;
      FileStat stat;
      EXPECT_EQ(node_->disk().StatPath(("/data/store/" + name).c_str(), stat), 0);
      ++files.count;
      files.bytes += stat.size_bytes;
      files.largest = std::max(files.largest, stat.size_bytes);
    }
    return files;
  }
  // Written, spare and reserve of each core's log and of compaction's, at `segment_bytes`.
  uint64_t LogsBytes(uint64_t segment_bytes) const { return 3 * (cores_ + 1) * segment_bytes; }

  void ExpectAllThere() {
    for (const auto& [key, value] : expected_) {
      ASSERT_EQ(node_->Run(GetOne(*store_, node_->core(0), key)).value_or("nothing"), value) << key;
    }
    EXPECT_EQ(node_->Run(store_->CountKeys(node_->core(0), kDefaultNamespace)), expected_.size());
    const auto report = node_->Run(store_->Check(node_->core(0)));
    ASSERT_TRUE(report) << world_->failure();
    EXPECT_TRUE(report->findings.empty()) << report->findings.front().what;
    EXPECT_EQ(report->live_bytes, live_bytes_);
  }

  static StoreOptions SmallSizes() {
    StoreOptions options;
    options.segment_bytes = kMost;
    options.segment_bytes_min = kLeast;
    options.segment_fill_ns = 0;
    options.footer_segment_bytes_min = 1;
    options.compaction.read_bytes = 8 << 10;
    options.compaction.batch_bytes = 4 << 10;
    return options;
  }

  StoreOptions options_ = SmallSizes();
  OpenReport report_;
  uint64_t run_ = 0;
  uint32_t cores_ = 1;
  std::unique_ptr<SimWorld> world_;
  std::unique_ptr<SimNode> node_;
  Store* store_ = nullptr;
  std::map<std::string, std::string> expected_;
  uint64_t live_bytes_ = 0;
  uint64_t values_ = 0;
};
INSTANTIATE_TEST_SUITE_P(Cores, SmallStoreTest, testing::Values(1u, 2u));

TEST_P(SmallStoreTest, AnEmptyStoreHasTheLeast) {
  options_ = StoreOptions();
  options_.segment_bytes = uint64_t{64} << 20;
  Start();
  Rest(10);
  // Compaction has not begun to write.
  const Files files = LookAtFiles();
  EXPECT_EQ(files.count, 3 * cores_ + 2);
  EXPECT_EQ(files.bytes, (3 * cores_ + 2) * SegmentSizes::kBytesMin);
}

// From where what logs have ready leaves room: at no moment is more there than 2.2 times what
// lives, all files counted. Below that the logs' own files are beside half as much dead as lives.
TEST_P(SmallStoreTest, OverwritesStayWithinTheirShare) {
  for (const uint64_t keys : {100, 250, 600, 1400}) {
    Start(keys);
    for (uint64_t i = 0; i < keys; ++i) Set("key" + std::to_string(i), 1800);
    Prng prng(3);
    double share_max = 0;
    uint64_t beside_max = 0;
    for (uint64_t i = 0; i < 6 * keys; ++i) {
      Set("key" + std::to_string(prng.Below(keys)), 1800);
      world_->RunFor(500 * kNsPerUs);
      const uint64_t bytes = LookAtFiles().bytes;
      share_max =
          std::max(share_max, static_cast<double>(bytes) / static_cast<double>(live_bytes_));
      beside_max = std::max(beside_max, bytes);
    }
    const bool is_small = live_bytes_ * 7 / 10 < LogsBytes(kLeast);
    if (is_small) {
      EXPECT_LE(beside_max, LogsBytes(kLeast) + live_bytes_ * 3 / 2 + (cores_ + 5) * kLeast);
    } else {
      EXPECT_LE(share_max, 2.2) << keys << " keys, " << live_bytes_ << " bytes live";
    }
    EXPECT_GT(Stats().compacted_segments, 10u);
    EXPECT_EQ(Stats().slowed_permille, 0u);
    ExpectAllThere();
    Reopen(3 - cores_);
    ExpectAllThere();
  }
}

TEST_P(SmallStoreTest, SegmentsGrowWithTheStoreAndShrinkWithIt) {
  Start();
  uint64_t keys = 0;
  const auto grow = [&](uint64_t live_bytes) {
    while (live_bytes_ < live_bytes) {
      Set("key" + std::to_string(keys++), 3000);
      world_->RunFor(100 * kNsPerUs);
    }
  };
  EXPECT_LE(LookAtFiles().largest, kLeast);
  grow(6 * kMost);
  // A sixteenth, down to a power of two; a footer may lie behind it.
  EXPECT_EQ(std::bit_floor(LookAtFiles().largest), kMost / 4);
  const uint64_t count = LookAtFiles().count;
  EXPECT_LE(count, 130u * cores_);
  ExpectAllThere();

  // The next start begins with sizes for what is there.
  Reopen(cores_);
  const uint64_t made_before = LookAtFiles().count;
  Rest(1);
  EXPECT_EQ(std::bit_floor(LookAtFiles().largest), kMost / 4);
  EXPECT_LE(LookAtFiles().count, made_before + 3 * cores_ + 3);

  Flush();
  Rest(20);
  // All that was large is gone: what was written, the spares, the reserves.
  const Files files = LookAtFiles();
  EXPECT_LT(files.largest, SegmentSizes::kTooLarge * kLeast);
  EXPECT_LE(files.bytes, 2 * LogsBytes(kLeast) + (cores_ + 5) * kLeast);
  for (uint64_t i = 0; i < 20; ++i) Set("after" + std::to_string(i), 500);
  ExpectAllThere();
  CrashAndReopen(3 - cores_);
  ExpectAllThere();
}

// As fast as it goes: sizes rise with the rate, before what lives would make them.
TEST_P(SmallStoreTest, ABulkLoadIsNoMultitudeOfSegments) {
  options_.segment_fill_ns = 200 * kNsPerMs;
  Start();
  const uint64_t begin_ns = world_->now_ns();
  uint64_t keys = 0;
  // The first tenth of a second by the least size.
  while (world_->now_ns() < begin_ns + 150 * kNsPerMs) {
    Set("key" + std::to_string(keys++), 6000);
  }
  const uint64_t before = LookAtFiles().count;
  const uint64_t from_ns = world_->now_ns();
  while (live_bytes_ < 24 * kMost) Set("key" + std::to_string(keys++), 6000);
  const uint64_t tenths = (world_->now_ns() - from_ns) / (100 * kNsPerMs) + 1;
  // One core's log gets two tenths of a second's worth, or the most that there is.
  const uint64_t by_size = 24 * kMost / (kMost / 2) + cores_;
  EXPECT_LE(LookAtFiles().count - before, std::max(tenths * cores_, by_size));
  EXPECT_GE(LookAtFiles().largest, kMost);
  ExpectAllThere();
}

// A store that has shrunk has smaller segments than some of its records are long: compaction's
// reserve grows for them, and none is left aside.
TEST_P(SmallStoreTest, CompactionCopiesRecordsLongerThanASegmentOfToday) {
  options_.compaction.segments_min = 1000;  // only on request
  Start();
  for (uint64_t i = 0; i < 1200; ++i) {
    Set("small" + std::to_string(i), 1800);
    if (i > 900 && i % 30 == 0) Set("long" + std::to_string(i), 40 * kKiB);
  }
  for (uint64_t i = 0; i < 1200; ++i) Delete("small" + std::to_string(i));
  Rest(2);
  const CompactionProgress asked =
      node_->Run(store_->RequestCompaction(node_->core(0), 10)).value();
  std::optional<CompactionProgress> done;
  for (int i = 0; i < 1000; ++i) {
    done = node_->Run(store_->CompactionProgressOf(node_->core(0), asked.number)).value();
    if (done->done) break;
    world_->RunFor(10 * kNsPerMs);
  }
  ASSERT_TRUE(done->done);
  EXPECT_EQ(done->outcome, Outcome::kDone) << done->why;
  EXPECT_EQ(done->set_aside, 0u);
  EXPECT_GT(done->copied_bytes, 4 * 40 * kKiB);
  ExpectAllThere();
  CrashAndReopen(3 - cores_);
  ExpectAllThere();
}

// Segments of a time when the store was large, on a disk that has become full: compaction can take
// one of them up, although its own are small now.
TEST_P(SmallStoreTest, AFullDiskIsFreedAlsoOfLargeSegments) {
  options_.segment_bytes_min = kMost / 2;
  Start(7, {.capacity_bytes = 16 << 20, .direct_alignment = 512});
  for (uint64_t i = 0; i < 1000; ++i) Set("key" + std::to_string(i), 1800);
  for (uint64_t i = 0; i < 1000; i += 2) Delete("key" + std::to_string(i));
  options_.segment_bytes_min = kLeast;
  Reopen(cores_);
  Rest(2);
  // But for what is left to the file system whatever the sizes are.
  const uint64_t taken = node_->disk().used_bytes() + SegmentSupply::kSpaceMarginBytes;
  node_->disk().SetBallast(node_->disk().options().capacity_bytes - taken);
  // All that lives is overwritten: each segment of before has to go for that.
  for (uint64_t i = 1; i < 1000; i += 2) {
    const std::string key = "key" + std::to_string(i);
    const std::string value = std::to_string(i) + std::string(1800, 'w');
    std::optional<Outcome> outcome;
    for (int tries = 0; tries < 60 && outcome != Outcome::kDone; ++tries) {
      outcome = node_->Run(SetOne(*store_, node_->core(0), key, value));
      if (outcome == Outcome::kDiskFull) Rest(1);
    }
    ASSERT_EQ(outcome, Outcome::kDone) << key;
    Forget(key);
    live_bytes_ += EncodedRecordSize(key, value);
    expected_[key] = value;
  }
  EXPECT_GT(Stats().compacted_segments, 2u);
  ExpectAllThere();
}

}  // namespace
}  // namespace pakv
