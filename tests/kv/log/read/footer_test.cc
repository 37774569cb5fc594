// kv/log: footers. Their bytes against docs/format.md are format_test's; here: what is written
// behind a sealed segment, what a start reads of it, and that nothing depends on it.
//
// Long because: KeyFilter, the entries, and the footers of whole segments are one file's story.
#include "kv/log/read/footer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "kv/log/format/format_footer.h"
#include "kv/log/format/format_value_file.h"
#include "kv/log/format/key_filter.h"
#include "kv/log/format/key_hash.h"
#include "runtime/base/prng.h"
#include "tests/kv/log/log_fixture.h"
#include "tests/sim/world/sim_node.h"

namespace pakv {
namespace {

// ---- The filter ----

TEST(KeyFilterTest, HoldsItsKeysAndFewOthers) {
  for (const size_t count : {size_t{1}, size_t{7}, size_t{1000}, size_t{50'000}}) {
    KeyHashes hashes;
    for (size_t i = 0; i < count; ++i) hashes.Add(KeyHash(7, 0, "in" + std::to_string(i)));
    EXPECT_GE(hashes.memory_bytes(), count * sizeof(uint64_t));
    const std::vector<uint8_t> filter = hashes.BuildFilter();
    EXPECT_EQ(filter.size(), KeyFilterBytes(count));
    EXPECT_LE(filter.size(), count * 10 / 8 + 64);
    for (size_t i = 0; i < count; ++i) {
      ASSERT_TRUE(KeyFilterMayContain(filter, KeyHash(7, 0, "in" + std::to_string(i))));
    }
    if (count < 1000) continue;
    int wrong = 0;
    for (int i = 0; i < 20'000; ++i) {
      wrong += KeyFilterMayContain(filter, KeyHash(7, 0, "out" + std::to_string(i))) ? 1 : 0;
    }
    EXPECT_LT(wrong, 20'000 / 40);
  }
}

// They share the top bits of their hashes, as do those that it is asked for.
TEST(KeyFilterTest, OneCoresKeysFillAllOfIt) {
  KeyHashes hashes;
  constexpr uint64_t kSpread = ~uint64_t{0} >> 4;
  for (int i = 0; i < 20'000; ++i) {
    hashes.Add(KeyHash(7, 0, "in" + std::to_string(i)) & kSpread);
  }
  const std::vector<uint8_t> filter = hashes.BuildFilter();
  int wrong = 0;
  for (int i = 0; i < 20'000; ++i) {
    wrong += KeyFilterMayContain(filter, KeyHash(7, 0, "out" + std::to_string(i)) & kSpread);
  }
  EXPECT_LT(wrong, 20'000 / 40);
}

TEST(KeyFilterTest, EmptyFilterHoldsNothing) {
  EXPECT_EQ(KeyFilterBytes(0), 0u);
  EXPECT_TRUE(KeyHashes().BuildFilter().empty());
  EXPECT_FALSE(KeyFilterMayContain({}, KeyHash(7, 0, "key")));
}

// ---- Entries ----

TEST(FooterEntriesTest, AnyRecordsAreReadBackAsTheyWere) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(seed);
    Prng prng(seed);
    struct Given {
      RecordFields fields;
      std::string key;
      std::string value;
      uint32_t offset = 0;
    };
    std::vector<Given> given(prng.Below(60));
    FooterEntries entries;
    std::vector<uint8_t> bytes;
    uint64_t at = 0;
    for (Given& one : given) {
      one.fields.lsn = prng.Chance(1, 3) ? prng.Between(1, kLsnMax) : prng.Between(1, 1000);
      if (prng.Chance(1, 3)) one.fields.namespace_id = static_cast<uint32_t>(prng.Next()) | 1;
      const uint64_t kind = prng.Below(6);
      if (kind == 0) {
        one.fields.flags = kRecordDrop;
      } else {
        one.key = std::string(prng.Below(200), 'k');
        if (kind == 1) {
          one.fields.flags = kRecordDelete;
        } else if (kind == 2) {
          const std::vector<uint32_t> checksums(prng.Between(1, 40));
          one.fields.flags = kRecordFile;
          one.value = EncodeValueReference(
              {.file = prng.Between(1, UINT64_MAX), .length = checksums.size() * 512}, 512,
              checksums);
          if (prng.Chance(1, 3)) one.fields.expiry_ms = prng.Between(1, UINT64_MAX);
        } else {
          one.value = std::string(prng.Below(3000), 'v');
          if (prng.Chance(1, 3)) one.fields.expiry_ms = prng.Between(1, UINT64_MAX);
        }
      }
      one.fields.key = one.key;
      one.fields.value = one.value;
      if (prng.Chance(1, 4)) at += prng.Below(5000);
      one.offset = static_cast<uint32_t>(at);
      at += EncodedRecordSize(one.key, one.value);
      ASSERT_TRUE(entries.Append(one.fields, one.offset));
      if (prng.Chance(1, 5)) {
        bytes.insert(bytes.end(), entries.bytes().begin(), entries.bytes().end());
        entries.Clear();
      }
    }
    bytes.insert(bytes.end(), entries.bytes().begin(), entries.bytes().end());
    FooterEntriesReader reader(bytes, at);
    for (const Given& one : given) {
      const auto found = reader.Next();
      ASSERT_TRUE(found.has_value());
      EXPECT_EQ(found->fields.lsn, one.fields.lsn);
      EXPECT_EQ(found->fields.expiry_ms, one.fields.expiry_ms);
      EXPECT_EQ(found->fields.namespace_id, one.fields.namespace_id);
      EXPECT_EQ(found->fields.flags, one.fields.flags);
      EXPECT_EQ(found->fields.key, one.key);
      const bool in_file = found->fields.flags == kRecordFile;
      EXPECT_EQ(found->fields.value, in_file ? one.value.substr(0, kValueFileHeadSize) : "");
      EXPECT_EQ(found->offset, one.offset);
      EXPECT_EQ(found->length, EncodedRecordSize(one.key, one.value));
    }
    EXPECT_FALSE(reader.Next().has_value());
    EXPECT_FALSE(reader.damaged());
  }
}

// Whatever the bytes are, reading ends, and no record lies beyond the segment's end.
TEST(FooterEntriesTest, RandomBytesNeverLeadOutside) {
  for (uint64_t seed = 1; seed <= 20'000; ++seed) {
    Prng prng(seed);
    std::vector<uint8_t> bytes(prng.Below(60));
    for (uint8_t& byte : bytes) {
      byte = static_cast<uint8_t>(prng.Chance(1, 2) ? prng.Below(8) : prng.Next());
    }
    FooterEntriesReader reader(bytes, 4096);
    while (const auto found = reader.Next()) {
      ASSERT_LE(uint64_t{found->offset} + found->length, 4096u);
    }
  }
}

TEST(FooterEntriesTest, KeyThatIsTooLongHasNoEntry) {
  FooterEntries entries;
  const std::string key(kFooterKeyBytesMax + 1, 'k');
  EXPECT_FALSE(entries.Append({.lsn = 1, .key = key}, 0));
  EXPECT_TRUE(entries.bytes().empty());
}

// ---- On disk ----

using Keys = std::map<std::string, Lsn>;

struct Found {
  absl::Status status;
  Keys keys;  // the newest LSN of each
  RecoveryReport report;
  Lsn lsn_max = 0;
  std::map<uint32_t, SegmentInfo> segments;
};

class FooterTest : public ::testing::Test {
 protected:
  // Opens the store, writes, and stops well.
  void Write(int keys, size_t value_bytes, uint64_t footer_min = 1) {
    TestCore core;
    TestLog log(*core.core, store(), ++run_);
    log.footer_segment_bytes_min = footer_min;
    core.Run(WriteLife(log, keys, value_bytes));
  }
  // Recovers, and closes again without a writer.
  Found Recover() {
    TestCore core;
    TestLog log(*core.core, store(), ++run_);
    Found found;
    core.Run(RecoverLife(log, found));
    return found;
  }
  std::string store() const { return directory_.store(); }
  std::string PathOf(uint32_t segment) const { return store() + "/" + SegmentName(segment); }
  ManifestState Manifest() {
    const std::string bytes = ReadFile(store() + "/MANIFEST");
    const auto state =
        ParseManifest(Bytes(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()));
    EXPECT_TRUE(state.ok()) << state.status();
    return state.ok() ? *state : ManifestState();
  }

  struct Summary {
    absl::Status status;
    std::optional<FooterSummary> found;
  };
  Summary ReadSummary(const SegmentInfo& info) {
    TestCore core;
    Summary summary;
    core.Run(SummaryLife(*core.core, store(), info, summary));
    return summary;
  }

  TempDirectory directory_;
  uint64_t run_ = 500;

 private:
  static Task<void> SummaryLife(Core& core, std::string path, SegmentInfo info, Summary& summary) {
    DirectoryOptions options;
    options.path = path;
    auto directory = co_await StoreDirectory::Open(core, options);
    EXPECT_TRUE(directory.ok()) << directory.status();
    if (!directory.ok()) co_return;
    auto found = co_await ReadFooterSummary(core, **directory, info);
    summary.status = found.status();
    if (found.ok()) summary.found = std::move(*found);
    co_await (*directory)->Close();
  }
  static Task<void> WriteLife(TestLog& log, int keys, size_t value_bytes) {
    const absl::Status opened = co_await log.Open();
    EXPECT_TRUE(opened.ok()) << opened;
    for (int i = 0; i < keys; ++i) {
      const bool ok = co_await log.Put("k" + std::to_string(i), std::string(value_bytes, 'v'));
      EXPECT_TRUE(ok);
    }
    co_await log.Close();
  }
  static Task<void> RecoverLife(TestLog& log, Found& found) {
    found.status = co_await log.Recover();
    if (!found.status.ok()) co_return;
    for (const CopiedRecord& record : log.records) {
      Lsn& lsn = found.keys[record.key];
      lsn = std::max(lsn, record.lsn);
    }
    found.report = log.recovered.report;
    co_await log.Close();
  }
};

TEST_F(FooterTest, CleanStopLeavesAFooterBehindEverySegment) {
  Write(60, 5000);
  const ManifestState state = Manifest();
  int with_blocks = 0;
  for (const auto& [segment, info] : state.segments) {
    if (!info.sealed_end) continue;
    ++with_blocks;
    ASSERT_NE(info.footer_bytes, 0u) << segment;
    const std::string bytes = ReadFile(PathOf(segment));
    const auto footer = DecodeFooter(Bytes(
        reinterpret_cast<const uint8_t*>(bytes.data()) + *info.sealed_end, info.footer_bytes));
    ASSERT_TRUE(footer.has_value()) << segment;
    FooterCheck check(*footer);
    while (!check.Advance(10)) {
    }
    EXPECT_TRUE(check.right());
    // The filter knows the keys by the store's own hash.
    FooterEntriesReader entries(footer->entries, *info.sealed_end);
    while (const auto entry = entries.Next()) {
      EXPECT_TRUE(KeyFilterMayContain(footer->filter, KeyHash(7, 0, entry->fields.key)));
    }
  }
  EXPECT_GT(with_blocks, 4);
}

TEST_F(FooterTest, StartReadsFootersAndFindsTheSame) {
  Write(60, 5000);
  CopyDirectory(store(), directory_.Path("copy"));
  const Found by_footers = Recover();
  ASSERT_TRUE(by_footers.status.ok()) << by_footers.status;
  EXPECT_EQ(by_footers.report.footers, by_footers.report.segments);
  EXPECT_EQ(by_footers.keys.size(), 60u);
  // And again: recovery carries them over.
  const Found again = Recover();
  EXPECT_EQ(again.report.footers, by_footers.report.footers);
  EXPECT_EQ(again.keys, by_footers.keys);
  // Without them.
  CopyDirectory(directory_.Path("copy"), store());
  for (const auto& [segment, info] : Manifest().segments) {
    std::filesystem::resize_file(PathOf(segment), *info.sealed_end);
  }
  const Found by_blocks = Recover();
  ASSERT_TRUE(by_blocks.status.ok()) << by_blocks.status;
  EXPECT_EQ(by_blocks.report.footers, 0u);
  EXPECT_EQ(by_blocks.keys, by_footers.keys);
  EXPECT_EQ(by_blocks.report.records, by_footers.report.records);
  EXPECT_EQ(by_blocks.report.blocks, by_footers.report.blocks);
  EXPECT_EQ(by_blocks.report.lsn_max, by_footers.report.lsn_max);
  EXPECT_EQ(by_blocks.report.expiry_clock_ms, by_footers.report.expiry_clock_ms);
}

TEST_F(FooterTest, DamageAnywhereInAFooterOnlyMeansThatTheSegmentIsReadWhole) {
  Write(30, 5000);
  const Found good = Recover();
  const ManifestState state = Manifest();
  const auto& [segment, info] = *state.segments.begin();
  ASSERT_NE(info.footer_bytes, 0u);
  const std::string bytes = ReadFile(PathOf(segment));
  ASSERT_EQ(bytes.size(), *info.sealed_end + info.footer_bytes);
  CopyDirectory(store(), directory_.Path("copy"));
  for (size_t at = *info.sealed_end; at < bytes.size(); at += 61) {
    CopyDirectory(directory_.Path("copy"), store());
    std::string flipped = bytes;
    flipped[at] = static_cast<char>(flipped[at] ^ 1 << (at % 8));
    WriteFile(PathOf(segment), flipped);
    const Found found = Recover();
    ASSERT_TRUE(found.status.ok()) << at << ": " << found.status;
    ASSERT_EQ(found.keys, good.keys) << at;
    ASSERT_EQ(found.report.footers, good.report.footers - 1) << at;
    // What MANIFEST says now no longer trusts it.
    ASSERT_EQ(Manifest().segments.at(segment).footer_bytes, 0u);
  }
}

TEST_F(FooterTest, FooterOfAnotherSegmentIsNotBelieved) {
  Write(30, 5000);
  const Found good = Recover();
  const ManifestState state = Manifest();
  auto first = state.segments.begin();
  auto second = std::next(first);
  std::string bytes = ReadFile(PathOf(first->first));
  const std::string other = ReadFile(PathOf(second->first));
  ASSERT_EQ(first->second.footer_bytes, second->second.footer_bytes);
  bytes.replace(*first->second.sealed_end, std::string::npos,
                other.substr(*second->second.sealed_end));
  WriteFile(PathOf(first->first), bytes);
  const Found found = Recover();
  ASSERT_TRUE(found.status.ok()) << found.status;
  EXPECT_EQ(found.keys, good.keys);
  EXPECT_EQ(found.report.footers, good.report.footers - 1);
}

TEST_F(FooterTest, FootersThatAreMissingAreWrittenLater) {
  Write(30, 5000, /*footer_min=*/UINT64_MAX);
  EXPECT_EQ(Recover().report.footers, 0u);
  {
    TestCore core;
    TestLog log(*core.core, store(), ++run_);
    log.footer_segment_bytes_min = 1;
    core.Run([](TestLog& opened) -> Task<void> {
      const absl::Status status = co_await opened.Open();
      EXPECT_TRUE(status.ok());
      for (const FooterJob& job : opened.recovered.without_footer) {
        opened.writer->footers().Add(job);
      }
      co_await opened.Close();
    }(log));
  }
  const Found found = Recover();
  EXPECT_EQ(found.report.footers, Manifest().segments.size());
  EXPECT_EQ(found.keys.size(), 30u);
}

// How long the footers of a few segments take, in virtual time, once the log has fallen idle; with
// or without a user who asks for something every 100 us.
class FooterPace {
 public:
  explicit FooterPace(bool is_used) {
    SimWorld world(1);
    SimNode node(world, "10.0.0.1");
    node.disk().MakeDirectories("/pakv");
    node.Start({});
    log_.emplace(node.core(0), "/pakv/store", 1, kSegmentBytes);
    log_->footer_segment_bytes_min = 1;
    if (is_used) node.Spawn(0, Use(node.core(0)));
    EXPECT_TRUE(node.Run(Live(node.core(0)))) << world.failure();
    log_.reset();
    node.Stop();
  }
  uint64_t ns = 0;
  uint64_t windows = 0;

 private:
  static constexpr uint64_t kSegmentBytes = 2 << 20;
  static constexpr uint64_t kSegments = 3;

  Task<bool> Live(Core& core) {
    const absl::Status opened = co_await log_->Open();
    EXPECT_TRUE(opened.ok()) << opened;
    FooterWriter& footers = log_->writer->footers();
    uint64_t written_bytes = 0;
    for (int i = 0; written_bytes < kSegments * kSegmentBytes; ++i) {
      const std::string value(32 << 10, 'v');
      const bool put = co_await log_->Put("k" + std::to_string(i), value);
      EXPECT_TRUE(put);
      written_bytes += value.size();
    }
    EXPECT_LT(footers.written(), kSegments);
    co_await log_->Sleep(FooterWriter::kBusyNs);
    const uint64_t begin_ns = core.now_ns();
    const uint64_t left = kSegments - footers.written();
    while (footers.written() < kSegments) co_await log_->Sleep(kNsPerMs);
    ns = core.now_ns() - begin_ns;
    windows = left * kSegmentBytes / FooterWriter::kWindowBytes;
    done_ = true;
    co_await log_->Close();
    co_return true;
  }
  Task<void> Use(Core& core) {
    while (!done_) {
      SpaceStat space;
      const IoResult asked = co_await StatSpace(core.io(), "/pakv", space);
      EXPECT_TRUE(asked.ok());
      co_await core.timers().SleepUntil(core.now_ns() + kNsPerMs / 10);
    }
  }

  std::optional<TestLog> log_;
  bool done_ = false;
};

TEST(FooterPaceTest, UsersGoFirstAlsoThoseWhoOnlyRead) {
  const FooterPace alone(false);
  const FooterPace beside(true);
  ASSERT_GT(beside.windows, 8u);
  EXPECT_GE(beside.ns, (beside.windows - 2) * FooterWriter::kPauseNs);
  EXPECT_LT(alone.ns, alone.windows * FooterWriter::kPauseNs / 2);
}

TEST_F(FooterTest, MissingOrShortSegmentIsRefusedThoughItHadAFooter) {
  Write(30, 5000);
  ASSERT_TRUE(Recover().status.ok());
  const uint32_t segment = Manifest().segments.begin()->first;
  const std::string bytes = ReadFile(PathOf(segment));
  std::filesystem::resize_file(PathOf(segment), 8192);
  EXPECT_TRUE(absl::IsDataLoss(Recover().status));
  std::filesystem::remove(PathOf(segment));
  EXPECT_TRUE(absl::IsDataLoss(Recover().status));
  WriteFile(PathOf(segment), bytes);
  EXPECT_TRUE(Recover().status.ok());
}

// Damage of the blocks themselves is met when they are read: by a GET, or here by whoever makes a
// footer again.
// What compaction reads of it: the trailer and the filter, each checked.
TEST_F(FooterTest, SummaryIsTheFootersOrNothing) {
  Write(20, 3000);
  SegmentInfo info;
  for (const auto& [segment, listed] : Manifest().segments) {
    if (listed.footer_bytes != 0) info = listed;
  }
  ASSERT_NE(info.footer_bytes, 0u);
  const std::string good = ReadFile(PathOf(info.segment));
  const auto footer = DecodeFooter(
      Bytes(reinterpret_cast<const uint8_t*>(good.data()) + *info.sealed_end, info.footer_bytes));
  ASSERT_TRUE(footer);
  const Summary whole = ReadSummary(info);
  ASSERT_TRUE(whole.found);
  EXPECT_EQ(whole.found->plain_lsn_min, footer->trailer.plain_lsn_min);
  EXPECT_EQ(whole.found->filter,
            std::vector<uint8_t>(footer->filter.begin(), footer->filter.end()));
  // Any bit of either.
  const size_t filter_begin = *info.sealed_end + footer->entries.size();
  const size_t trailer_begin = *info.sealed_end + info.footer_bytes - kSectorSize;
  for (const size_t begin : {filter_begin, trailer_begin}) {
    const size_t length = begin == filter_begin ? footer->filter.size() : size_t{80};
    for (size_t at = begin; at < begin + length; at += 5) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ 1 << at % 8);
      WriteFile(PathOf(info.segment), bad);
      const Summary none = ReadSummary(info);
      EXPECT_TRUE(none.status.ok());
      EXPECT_FALSE(none.found) << at;
    }
  }
  // Cut off anywhere.
  WriteFile(PathOf(info.segment), good.substr(0, trailer_begin));
  EXPECT_FALSE(ReadSummary(info).found);
}

TEST_F(FooterTest, NoFooterIsMadeOfADamagedSegment) {
  Write(30, 5000, /*footer_min=*/UINT64_MAX);
  ASSERT_TRUE(Recover().status.ok());
  const uint32_t segment = Manifest().segments.begin()->first;
  TestCore core;
  TestLog log(*core.core, store(), ++run_);
  log.footer_segment_bytes_min = 1;
  uint64_t written = 1;
  size_t jobs = 0;
  core.Run([](TestLog& opened, std::string path, uint64_t& made, size_t& count) -> Task<void> {
    const absl::Status status = co_await opened.Open();
    EXPECT_TRUE(status.ok());
    Patch(path, 2000, "x");
    const uint64_t before = opened.writer->footers().written();
    for (const FooterJob& job : opened.recovered.without_footer) {
      opened.writer->footers().Add(job);
      ++count;
    }
    FooterWriter& footers = opened.writer->footers();
    co_await opened.writer->Stop();
    made = footers.written() - before;
    opened.writer.reset();
    co_await opened.Close();
  }(log, PathOf(segment), written, jobs));
  EXPECT_EQ(written + 1, jobs);
}

}  // namespace
}  // namespace pakv
