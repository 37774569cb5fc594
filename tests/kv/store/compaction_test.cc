// Compaction in a simulated world: space stays bounded under the loads that make it hard, a full
// disk comes back by itself, damage is left alone.
//
// Long because: each load that makes space scarce is a test of the same store.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kv/store/store.h"
#include "tests/kv/store/store_call.h"
#include "tests/kv/store/store_tasks.h"
#include "tests/sim/world/sim_node.h"

namespace pakv {
namespace {

constexpr uint64_t kSegmentBytes = 32 << 10;

class CompactionTest : public testing::TestWithParam<uint32_t> {
 protected:
  void Start(const SimDiskOptions& disk, uint64_t seed = 7) {
    node_.reset();
    expected_.clear();
    world_ = std::make_unique<SimWorld>(seed);
    node_ = std::make_unique<SimNode>(*world_, "10.0.0.1", disk);
    node_->disk().MakeDirectories("/data");
    Open(GetParam());
  }
  void Open(uint32_t core_count) {
    node_->Start({.core_count = core_count, .core = {.buffer_bytes = 8 << 10}});
    StoreOptions options;
    options.directory = "/data/store";
    options.segment_bytes = kSegmentBytes;
    options.compaction = compaction_;
    options.footer_segment_bytes_min = footers_ ? 1 : UINT64_MAX;
    options.footers_of_any_size = true;
    options.manifest_appends_max = manifest_appends_max_;
    ++run_;
    options.entropy = StoreEntropy{{}, 17, run_};
    auto opened = node_->Run(Store::Open(node_->cores(), options, report_));
    ASSERT_TRUE(opened) << world_->failure();
    ASSERT_TRUE(opened->ok()) << opened->status();
    store_ = &node_->Own(std::move(**opened));
  }
  void Reopen(uint32_t core_count) {
    ASSERT_TRUE(node_->Run(StopStore(*store_)).value_or(false)) << world_->failure();
    node_->Stop();
    Open(core_count);
  }

  // One operation at a time: a block for each. For an hour, and nobody waits so long.
  static Task<Outcome> SetForAnHourOne(Store& store, Core& here, std::string key,
                                       std::string value) {
    StoreCall call(store, here);
    co_await call.Update(
        [](const OldValue&, Request& request) {
          request.reply.kind = Reply::Kind::kOk;
          return Change{Change::Action::kWrite, request.ExpiryClockMs() + 3'600'000, request.value};
        },
        OldState::kNothing, std::move(key), std::move(value));
    co_return call.outcome;
  }
  Outcome SetForAnHour(const std::string& key, const std::string& value) {
    const auto outcome = node_->Run(SetForAnHourOne(*store_, node_->core(0), key, value));
    if (outcome == Outcome::kDone) expected_[key] = value;
    return outcome.value_or(Outcome::kStopping);
  }
  Outcome Set(const std::string& key, const std::string& value) {
    const auto outcome = node_->Run(SetOne(*store_, node_->core(0), key, value));
    if (outcome == Outcome::kDone) expected_[key] = value;
    return outcome.value_or(Outcome::kStopping);
  }
  Outcome Delete(const std::string& key) {
    const auto outcome = node_->Run(DeleteOne(*store_, node_->core(0), key));
    if (outcome == Outcome::kDone) expected_.erase(key);
    return outcome.value_or(Outcome::kStopping);
  }
  std::string Get(const std::string& key) {
    return node_->Run(GetOne(*store_, node_->core(0), key)).value_or("nothing");
  }
  StoreStats Stats() { return node_->Run(store_->Stats(node_->core(0))).value_or(StoreStats()); }

  uint64_t Files() {
    std::vector<std::string> names;
    EXPECT_GE(node_->disk().List("/data/store", names), 0);
    return static_cast<uint64_t>(std::count_if(
        names.begin(), names.end(), [](const auto& name) { return name.ends_with(".seg"); }));
  }
  // What each log has open and ready, and what is always allowed: beside 2.2 x live data.
  uint64_t FilesAlways() const { return GetParam() * 4 + 4 + compaction_.segments_min; }
  // Until compaction has nothing to do any more.
  void Settle() { world_->RunFor(2 * kNsPerSecond); }

  void ExpectBooksRight() {
    const auto report = node_->Run(store_->Check(node_->core(0)));
    ASSERT_TRUE(report) << world_->failure();
    EXPECT_TRUE(report->findings.empty()) << report->findings.front().what;
    uint64_t live = 0;
    for (const auto& [key, value] : expected_) live += EncodedRecordSize(key, value);
    EXPECT_EQ(report->live_bytes, live);
  }
  void ExpectAllThere() {
    for (const auto& [key, value] : expected_) ASSERT_EQ(Get(key), value) << key;
    EXPECT_EQ(node_->Run(store_->CountKeys(node_->core(0), kDefaultNamespace)), expected_.size());
  }
  CompactionProgress RequestCompaction(uint32_t gain_percent) {
    return node_->Run(store_->RequestCompaction(node_->core(GetParam() - 1), gain_percent)).value();
  }
  std::optional<CompactionProgress> ProgressOf(uint64_t number) {
    return node_->Run(store_->CompactionProgressOf(node_->core(0), number)).value();
  }
  CompactionProgress AwaitCompaction(uint64_t number) {
    for (int i = 0; i < 1000 && !ProgressOf(number)->done; ++i) world_->RunFor(10 * kNsPerMs);
    EXPECT_TRUE(ProgressOf(number)->done);
    return *ProgressOf(number);
  }
  std::string Value(uint64_t number, size_t length) {
    std::string value = std::to_string(number) + "-";
    value.resize(std::max(length, value.size()), 'v');
    return value;
  }

  CompactionOptions compaction_;
  bool footers_ = false;
  uint32_t manifest_appends_max_ = 1024;
  OpenReport report_;
  uint64_t run_ = 0;
  std::unique_ptr<SimWorld> world_;
  std::unique_ptr<SimNode> node_;
  Store* store_ = nullptr;
  std::map<std::string, std::string> expected_;
};
INSTANTIATE_TEST_SUITE_P(Cores, CompactionTest, testing::Values(1u, 2u));

// A block of a whole unit for each write, most of it padding, and few keys. Over many seeds, and
// looked at after each write.
TEST_P(CompactionTest, OverwritesOneAtATimeStayBounded) {
  for (uint64_t seed = 1; seed <= 25; ++seed) {
    Start({.direct_alignment = 4096}, seed);
    uint64_t files_max = 0;
    for (uint64_t i = 0; i < 1500; ++i) {
      ASSERT_EQ(Set("key" + std::to_string(i % 40), Value(i, 100)), Outcome::kDone);
      // Once compaction has found its pace.
      if (i > 300) files_max = std::max(files_max, Files());
    }
    EXPECT_LE(files_max, FilesAlways() + 2) << "seed " << seed;
    EXPECT_GT(Stats().compacted_segments, 20u);
    ExpectBooksRight();
    ExpectAllThere();
    if (seed % 5 != 0) continue;
    Reopen(3 - GetParam());
    ExpectBooksRight();
    ExpectAllThere();
  }
}

// As above, with more data than is always allowed: 2.2 times what lives.
TEST_P(CompactionTest, OverwritesOfManyKeysStayWithinTheirShare) {
  Start({.direct_alignment = 512});
  constexpr uint64_t kKeys = 600;
  for (uint64_t i = 0; i < kKeys; ++i) {
    ASSERT_EQ(Set("key" + std::to_string(i), Value(i, 1800)), Outcome::kDone);
  }
  Prng prng(3);
  uint64_t disk_max = 0;
  for (uint64_t i = 0; i < 3000; ++i) {
    ASSERT_EQ(Set("key" + std::to_string(prng.Below(kKeys)), Value(i, 1800)), Outcome::kDone);
    if (i % 50 == 0) disk_max = std::max(disk_max, Files() * kSegmentBytes);
  }
  const StoreStats stats = Stats();
  EXPECT_LE(disk_max, stats.live_bytes * 220 / 100 + 3 * kSegmentBytes);
  EXPECT_GT(stats.compacted_segments, 20u);
  ExpectBooksRight();
  ExpectAllThere();
}

// Deletes hide older records, and one old key makes every segment that it is in look older than
// all of them: they have to go all the same.
TEST_P(CompactionTest, OneColdKeyBesideManyDeletesKeepsNothing) {
  compaction_.begin_percent = 0;
  compaction_.space_percent = 100;
  compaction_.segments_min = 0;
  Start({.direct_alignment = 512});
  ASSERT_EQ(Set("cold", "a value that nobody changes"), Outcome::kDone);
  uint64_t files_max = 0;
  for (uint64_t i = 0; i < 6000; ++i) {
    const std::string key = "key" + std::to_string(i);
    ASSERT_EQ(Set(key, Value(i, 50)), Outcome::kDone);
    ASSERT_EQ(Delete(key), Outcome::kDone);
    if (i % 50 == 0) files_max = std::max(files_max, Files());
  }
  EXPECT_LE(files_max, FilesAlways() + 6);
  Settle();
  EXPECT_LE(Files(), FilesAlways() + 4);
  ExpectBooksRight();
  ExpectAllThere();
  Reopen(3 - GetParam());
  ExpectBooksRight();
  ExpectAllThere();
}

// The same keys again and again, on one core's log alone: the other log never moves on by itself.
TEST_P(CompactionTest, DeletesOfTheSameKeysKeepNothing) {
  compaction_.begin_percent = 0;
  compaction_.space_percent = 100;
  compaction_.segments_min = 0;
  Start({.direct_alignment = 512});
  ASSERT_EQ(Set("cold", "a value that nobody changes"), Outcome::kDone);
  uint64_t files_max = 0;
  for (uint64_t i = 0; i < 4000; ++i) {
    ASSERT_EQ(Set("hot", Value(i, 50)), Outcome::kDone);
    ASSERT_EQ(Delete("hot"), Outcome::kDone);
    if (i % 50 == 0) files_max = std::max(files_max, Files());
  }
  EXPECT_LE(files_max, FilesAlways() + 6);
  ExpectBooksRight();
  ExpectAllThere();
}

TEST_P(CompactionTest, FlushGivesItsSpaceBack) {
  Start({.direct_alignment = 512});
  for (uint64_t i = 0; i < 300; ++i) {
    ASSERT_EQ(Set("key" + std::to_string(i), Value(i, 3000)), Outcome::kDone);
  }
  const uint64_t files_full = Files();
  EXPECT_GT(files_full, 25u);
  ASSERT_EQ(node_->Run(store_->Flush(node_->core(0), kDefaultNamespace)), Outcome::kDone);
  expected_.clear();
  Settle();
  EXPECT_LE(Files(), FilesAlways());
  ExpectBooksRight();
  ASSERT_EQ(Set("after", "the flush"), Outcome::kDone);
  Reopen(3 - GetParam());
  ExpectAllThere();
}

// Filled to the brim with what lives: writes are refused, deletes are not, and what they free is
// used again without a restart.
TEST_P(CompactionTest, AFullDiskComesBackByDeletes) {
  SimDiskOptions disk{.direct_alignment = 512};
  disk.capacity_bytes = 3 << 20;
  Start(disk);
  uint64_t written = 0;
  for (; written < 2000; ++written) {
    const Outcome outcome = Set("key" + std::to_string(written), Value(written, 3000));
    if (outcome == Outcome::kDiskFull) break;
    ASSERT_EQ(outcome, Outcome::kDone);
  }
  ASSERT_LT(written, 2000u);
  ASSERT_GT(written, 200u);
  ExpectAllThere();
  // More deletes than any reserve of the logs alone could take.
  uint64_t deleted = 0;
  for (uint64_t i = 0; i < written; ++i) {
    if (i % 4 == 0) continue;
    Outcome outcome = Delete("key" + std::to_string(i));
    for (int tries = 0; outcome == Outcome::kDiskFull && tries < 100; ++tries) {
      Settle();
      outcome = Delete("key" + std::to_string(i));
    }
    ASSERT_EQ(outcome, Outcome::kDone) << i;
    ++deleted;
  }
  Settle();
  for (uint64_t i = 0; i < deleted / 2; ++i) {
    ASSERT_EQ(Set("new" + std::to_string(i), Value(i, 3000)), Outcome::kDone) << i;
  }
  ExpectBooksRight();
  ExpectAllThere();
  Reopen(3 - GetParam());
  ExpectBooksRight();
  ExpectAllThere();
}

// Overwrites fill the disk with what is dead: compaction frees it while they wait, none is refused.
TEST_P(CompactionTest, ADiskFullOfTheDeadRefusesNothing) {
  SimDiskOptions disk{.direct_alignment = 512};
  disk.capacity_bytes = 3 << 20;
  Start(disk);
  // 2.2 times what lives is more than the disk has.
  constexpr uint64_t kKeys = 430;
  for (uint64_t i = 0; i < 2000; ++i) {
    ASSERT_EQ(Set("key" + std::to_string(i % kKeys), Value(i, 3000)), Outcome::kDone) << i;
  }
  ExpectBooksRight();
  ExpectAllThere();
}

// Each segment that comes and goes is two appends; MANIFEST is as long as what it lists all the
// same, and what stands in it then is all that there is.
TEST_P(CompactionTest, ManifestIsWrittenAfreshWhenItHasGrown) {
  manifest_appends_max_ = 16;
  Start({.direct_alignment = 512});
  size_t length_max = 0;
  for (uint64_t i = 0; i < 3000; ++i) {
    ASSERT_EQ(Set("key" + std::to_string(i % 20), Value(i, 1800)), Outcome::kDone);
    const auto manifest = node_->disk().Contents("/data/store/MANIFEST");
    ASSERT_TRUE(manifest.has_value());
    length_max = std::max(length_max, manifest->size());
  }
  EXPECT_GT(Stats().compacted_segments, 100u);
  // What is listed, what is appended until it is written afresh, and 64 units of zeros ahead.
  EXPECT_LE(length_max, 512 * (3 + 16 + 2 * 64));
  ExpectBooksRight();
  Reopen(3 - GetParam());
  ExpectBooksRight();
  ExpectAllThere();
}

// It has a segment of its own, that no copy would fit; when it is dead its segment goes.
TEST_P(CompactionTest, RecordsLongerThanASegmentGoWhenTheyAreDead) {
  Start({.direct_alignment = 512});
  uint64_t files_max = 0;
  for (uint64_t i = 0; i < 60; ++i) {
    ASSERT_EQ(Set("long", Value(i, 3 * kSegmentBytes)), Outcome::kDone);
    ASSERT_EQ(Set("short" + std::to_string(i % 5), Value(i, 500)), Outcome::kDone);
    files_max = std::max(files_max, Files());
  }
  EXPECT_LE(files_max, FilesAlways() + 2);
  ExpectBooksRight();
  ASSERT_EQ(Delete("long"), Outcome::kDone);
  for (uint64_t i = 0; i < 400; ++i) {
    ASSERT_EQ(Set("short" + std::to_string(i % 5), Value(i, 500)), Outcome::kDone);
  }
  Settle();
  EXPECT_LE(Files(), FilesAlways());
  ExpectAllThere();
  Reopen(3 - GetParam());
  ExpectAllThere();
}

// Whole segments are read for their keys only when many deletes had to stay. Footers tell at once,
// also of segments that an earlier run has written.
TEST_P(CompactionTest, FootersLetDeletesGoAfterARestart) {
  compaction_.begin_percent = 0;
  compaction_.space_percent = 100;
  compaction_.segments_min = 0;
  compaction_.grave_bytes_max = uint64_t{1} << 40;
  footers_ = true;
  Start({.direct_alignment = 512});
  ASSERT_EQ(Set("cold", "a value that nobody changes"), Outcome::kDone);
  for (uint64_t i = 0; i < 3000; ++i) {
    const std::string key = "key" + std::to_string(i);
    ASSERT_EQ(Set(key, Value(i, 50)), Outcome::kDone);
    ASSERT_EQ(Delete(key), Outcome::kDone);
    if (i == 1000 || i == 2000) Reopen(3 - GetParam());
  }
  Settle();
  EXPECT_LE(Files(), FilesAlways() + 6);
  ExpectBooksRight();
  Reopen(GetParam());
  ExpectAllThere();
}

// A delete and, before it in the same segment, what it hides: a record whose time is far from over.
// As long as footers of other segments are unread a delete would stay. Once they are it goes, and
// what it hid, judged before that, must not stay.
TEST_P(CompactionTest, WhatADeleteHidesIsNoGraveBeforeItsTime) {
  compaction_.segments_min = 1000;  // only on request
  compaction_.read_bytes = 4096;    // the two are judged apart
  footers_ = true;
  // More footers than are read at once, of segments that are not worth compacting: with other
  // counts the last is read at another place.
  for (const uint64_t cold : {200, 300, 400, 500, 600, 700}) {
    Start({.direct_alignment = 512});
    for (uint64_t i = 0; i < cold; ++i) {
      ASSERT_EQ(Set("cold" + std::to_string(i), Value(i, 1800)), Outcome::kDone);
    }
    for (uint64_t round = 0; round < 10; ++round) {
      const uint64_t begin = round * 12 * GetParam();
      const uint64_t end = begin + 12 * GetParam();
      for (uint64_t i = begin; i < end; ++i) {
        ASSERT_EQ(SetForAnHour("key" + std::to_string(i), Value(i, 1000)), Outcome::kDone);
      }
      for (uint64_t i = begin; i < end; ++i) {
        ASSERT_EQ(Delete("key" + std::to_string(i)), Outcome::kDone);
      }
    }
    Settle();
    EXPECT_EQ(Stats().compacted_segments, 0u);
    const CompactionProgress asked = RequestCompaction(30);
    const CompactionProgress done = AwaitCompaction(asked.number);
    EXPECT_EQ(done.outcome, Outcome::kDone);
    EXPECT_GE(done.segments, 3u);
    ExpectBooksRight();
    ExpectAllThere();
    Reopen(3 - GetParam());
    ExpectBooksRight();
    ExpectAllThere();
  }
}

// A segment that has rotted is left as it is: what can be read of it is read, the rest is refused.
TEST_P(CompactionTest, DamageIsLeftAlone) {
  compaction_.begin_percent = 0;
  compaction_.space_percent = 100;
  compaction_.segments_min = 0;
  compaction_.tick_ns = 500 * kNsPerMs;
  Start({.direct_alignment = 512});
  for (uint64_t i = 0; i < 30; ++i) {
    ASSERT_EQ(Set("key" + std::to_string(i), Value(i, 2000)), Outcome::kDone);
  }
  // In the first segment lies key1, from the front on; its last byte turns.
  std::vector<std::string> names;
  ASSERT_GE(node_->disk().List("/data/store", names), 0);
  bool flipped = false;
  for (const std::string& name : names) {
    const std::string path = "/data/store/" + name;
    const std::string bytes = node_->disk().Contents(path.c_str()).value_or("");
    const size_t at = bytes.find("key1" + Value(1, 2000));
    if (!name.ends_with(".seg") || at == std::string::npos) continue;
    node_->disk().FlipBit(path.c_str(), at + 100, 3);
    flipped = true;
  }
  ASSERT_TRUE(flipped);
  // The others of its segment die.
  for (uint64_t i = 2; i < 30; ++i) {
    ASSERT_EQ(Set("key" + std::to_string(i), Value(i + 100, 2000)), Outcome::kDone);
  }
  Settle();
  EXPECT_EQ(Stats().damaged_segments, 1u);
  const CompactionProgress asked = AwaitCompaction(RequestCompaction(10).number);
  EXPECT_EQ(asked.outcome, Outcome::kDone) << asked.why;
  EXPECT_EQ(asked.set_aside, 1u);
  EXPECT_NE(Get("key1").find("damaged"), std::string::npos) << Get("key1");
  expected_.erase("key1");
  for (const auto& [key, value] : expected_) ASSERT_EQ(Get(key), value) << key;
}

// Damage is met, too, where it is looked for deletes that have to stay. Which record has rotted
// that does not tell; as it is dead, its segment goes when others in it have died, too.
TEST_P(CompactionTest, DamageInWhatIsDeadKeepsNoSegment) {
  compaction_.begin_percent = 0;
  compaction_.space_percent = 100;
  compaction_.segments_min = 0;
  compaction_.grave_bytes_max = 1;
  Start({.direct_alignment = 512});
  // Blocks of 2 KiB, which fill a segment: one dead among them is not worth its compaction.
  constexpr size_t kLength = 2048 - kBlockHeaderSize - kRecordHeaderSize - 6;
  const auto key = [](uint64_t number) { return "key" + std::to_string(100 + number); };
  for (uint64_t i = 0; i < 50; ++i) {
    ASSERT_EQ(Set(key(i), Value(i, kLength)), Outcome::kDone);
  }
  ASSERT_EQ(Set(key(1), Value(1000, kLength)), Outcome::kDone);
  std::vector<std::string> names;
  ASSERT_GE(node_->disk().List("/data/store", names), 0);
  std::string damaged;
  for (const std::string& name : names) {
    const std::string path = "/data/store/" + name;
    const std::string bytes = node_->disk().Contents(path.c_str()).value_or("");
    const size_t at = bytes.find(key(1) + Value(1, kLength));
    if (!name.ends_with(".seg") || at == std::string::npos) continue;
    node_->disk().FlipBit(path.c_str(), at + 100, 3);
    damaged = path;
  }
  ASSERT_FALSE(damaged.empty());
  // Their deletes stay, as older values of their keys may be in that segment.
  for (uint64_t i = 0; i < 500; ++i) {
    ASSERT_EQ(Set("gone" + std::to_string(i), Value(i, 50)), Outcome::kDone);
    ASSERT_EQ(Delete("gone" + std::to_string(i)), Outcome::kDone);
  }
  Settle();
  EXPECT_TRUE(node_->disk().Contents(damaged.c_str()));
  EXPECT_EQ(Stats().damaged_segments, 1u);
  for (uint64_t i = 2; i < 50; ++i) {
    ASSERT_EQ(Set(key(i), Value(i + 1000, kLength)), Outcome::kDone);
  }
  Settle();
  EXPECT_FALSE(node_->disk().Contents(damaged.c_str()));
  EXPECT_EQ(Stats().damaged_segments, 0u);
  ExpectBooksRight();
  Reopen(3 - GetParam());
  ExpectBooksRight();
  ExpectAllThere();
}

// One that the system does not let it read is tried again now and then: space comes from the
// others.
TEST_P(CompactionTest, ASegmentThatCannotBeReadHoldsUpNoOther) {
  Start({.direct_alignment = 512});
  for (uint64_t i = 0; i < 30; ++i) {
    ASSERT_EQ(Set("key" + std::to_string(i), Value(i, 2000)), Outcome::kDone);
  }
  // Nearly all that is in the first one is going to be dead.
  std::vector<std::string> names;
  ASSERT_GE(node_->disk().List("/data/store", names), 0);
  const auto first = std::find_if(names.begin(), names.end(), [this](const std::string& name) {
    const std::string bytes = node_->disk().Contents(("/data/store/" + name).c_str()).value_or("");
    return name.ends_with(".seg") && bytes.find(Value(1, 2000)) != std::string::npos;
  });
  ASSERT_NE(first, names.end());
  ASSERT_EQ(node_->disk().Unlink(("/data/store/" + *first).c_str()), 0);
  for (uint64_t i = 0; i < 3000; ++i) {
    ASSERT_EQ(Set("key" + std::to_string(2 + i % 28), Value(i, 2000)), Outcome::kDone);
  }
  Settle();
  EXPECT_GT(Stats().compacted_segments, 100u);
  EXPECT_LE(Files(), FilesAlways() + 6);
  EXPECT_EQ(Stats().slowed_permille, 0u);
  EXPECT_EQ(Stats().damaged_segments, 1u);
  const CompactionProgress asked = AwaitCompaction(RequestCompaction(10).number);
  EXPECT_EQ(asked.outcome, Outcome::kFileError);
  EXPECT_NE(asked.why.find(*first), std::string::npos) << asked.why;
}

// ---- On request, and the check of the books ----

// Nothing is compacted for want of space: what is dead stays until somebody asks.
TEST_P(CompactionTest, OnRequestItGivesBackWhatIsDeadAndEnds) {
  compaction_.segments_min = 1000;
  Start({.direct_alignment = 512});
  for (uint64_t i = 0; i < 3000; ++i) {
    ASSERT_EQ(Set("key" + std::to_string(i % 100), Value(i, 200)), Outcome::kDone);
  }
  Settle();
  ASSERT_EQ(Stats().compacted_segments, 0u);
  const uint64_t files_before = Files();

  const CompactionProgress begun = RequestCompaction(10);
  EXPECT_EQ(begun.number, 1u);
  EXPECT_FALSE(begun.done);
  EXPECT_EQ(RequestCompaction(90).number, 1u) << "who asks meanwhile joins";
  const CompactionProgress ended = AwaitCompaction(begun.number);
  EXPECT_EQ(ended.outcome, Outcome::kDone) << ended.why;
  EXPECT_GT(ended.segments, 10u);
  EXPECT_EQ(ended.segments_left, 0u);
  EXPECT_GT(ended.removed_bytes, 10 * ended.copied_bytes);
  EXPECT_EQ(ended.set_aside, 0u);
  EXPECT_LT(Files() + ended.segments, files_before + 4);
  ExpectBooksRight();
  ExpectAllThere();

  // There is nothing left, and it says so at its first look.
  const CompactionProgress again = AwaitCompaction(RequestCompaction(10).number);
  EXPECT_EQ(again.number, 2u);
  EXPECT_LE(again.segments, 1u) << "one that was open before may be closed by now";
  EXPECT_EQ(ProgressOf(1)->segments, ended.segments);
  EXPECT_FALSE(ProgressOf(0));
  EXPECT_FALSE(ProgressOf(3));
  Reopen(3 - GetParam());
  ExpectAllThere();
}

// Writers go on all the while: new segments are not the request's business, so it ends.
TEST_P(CompactionTest, OnRequestItEndsUnderALoadThatNeverDoes) {
  compaction_.segments_min = 1000;
  Start({.direct_alignment = 512});
  uint64_t i = 0;
  const auto write_some = [&](uint64_t count) {
    for (const uint64_t end = i + count; i < end; ++i) {
      ASSERT_EQ(Set("key" + std::to_string(i % 50), Value(i, 500)), Outcome::kDone);
    }
  };
  write_some(1000);
  const uint64_t number = RequestCompaction(10).number;
  int rounds = 0;
  while (!ProgressOf(number)->done && rounds < 500) {
    write_some(20);
    ++rounds;
  }
  EXPECT_LT(rounds, 500);
  EXPECT_GT(ProgressOf(number)->segments, 5u);
  ExpectAllThere();
}

// Another program takes all that becomes free: the reserve is used up before all is copied.
TEST_P(CompactionTest, OnRequestWithoutRoomItEndsAndSaysSo) {
  compaction_.segments_min = 1000;
  const SimDiskOptions disk{.capacity_bytes = 8 << 20, .direct_alignment = 512};
  Start(disk);
  // Half of each segment lives.
  for (uint64_t i = 0; i < 2000; ++i) {
    ASSERT_EQ(Set("key" + std::to_string(i), Value(i, 1000)), Outcome::kDone);
  }
  for (uint64_t i = 0; i < 2000; i += 2) {
    ASSERT_EQ(Delete("key" + std::to_string(i)), Outcome::kDone);
  }
  Settle();
  const auto take_the_rest = [&] {
    node_->disk().SetBallast(disk.capacity_bytes - node_->disk().used_bytes());
  };
  take_the_rest();
  const uint64_t number = RequestCompaction(10).number;
  for (int i = 0; i < 10'000 && !ProgressOf(number)->done; ++i) {
    world_->RunFor(100 * kNsPerUs);
    take_the_rest();
  }
  const CompactionProgress ended = *ProgressOf(number);
  ASSERT_TRUE(ended.done);
  EXPECT_EQ(ended.outcome, Outcome::kDiskFull);
  EXPECT_NE(ended.why.find("free some space"), std::string::npos) << ended.why;
  EXPECT_GT(ended.segments_left, 0u);
  node_->disk().SetBallast(0);
  Settle();
  const CompactionProgress again = AwaitCompaction(RequestCompaction(10).number);
  EXPECT_EQ(again.outcome, Outcome::kDone) << again.why;
  EXPECT_GT(again.segments, 0u);
  ExpectAllThere();
}

TEST_P(CompactionTest, TheCheckTellsOfAFileThatIsGoneOrCut) {
  compaction_.segments_min = 1000;
  Start({.direct_alignment = 512});
  for (uint64_t i = 0; i < 600; ++i) {
    ASSERT_EQ(Set("key" + std::to_string(i), Value(i, 500)), Outcome::kDone);
  }
  Settle();
  ExpectBooksRight();
  // Two that are full: the numbers before belong to reserves.
  std::vector<std::string> full;
  std::vector<std::string> names;
  ASSERT_GE(node_->disk().List("/data/store", names), 0);
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    const std::string path = "/data/store/" + name;
    const std::string bytes = node_->disk().Contents(path.c_str()).value_or("");
    if (bytes.find("key", kSegmentBytes / 2) != std::string::npos) full.push_back(name);
  }
  ASSERT_GT(full.size(), 4u);
  node_->disk().Put(("/data/store/" + full[0]).c_str(), "short");
  ASSERT_EQ(node_->disk().Unlink(("/data/store/" + full[1]).c_str()), 0);
  const auto report = node_->Run(store_->Check(node_->core(GetParam() - 1)));
  ASSERT_TRUE(report) << world_->failure();
  ASSERT_EQ(report->finding_count, 2u);
  EXPECT_EQ(report->findings[0].file, full[0]);
  EXPECT_NE(report->findings[0].what.find("has 5 bytes"), std::string::npos);
  EXPECT_EQ(report->findings[1].file, full[1]);
  EXPECT_NE(report->findings[1].what.find("MANIFEST lists it"), std::string::npos);
}

}  // namespace
}  // namespace pakv
