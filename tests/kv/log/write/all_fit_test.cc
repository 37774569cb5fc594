// LogWriter::AllFit, by which compaction decides whether a victim's records are copied at all: what
// it says is held against the writer itself, which is given the same records on a full disk, over
// random lengths, batches, and lengths of what is ready. And how copies fill their segments.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "kv/log/format/format.h"
#include "kv/log/write/awaited_entry.h"
#include "kv/log/write/log_writer.h"
#include "runtime/base/prng.h"
#include "tests/kv/log/write/sim_log_fixture.h"

namespace pakv {
namespace {

std::vector<uint8_t> RecordOf(uint32_t length) {
  const std::string value(length - kRecordHeaderSize - 1, 'v');
  std::vector<uint8_t> bytes(length);
  EncodeRecord(bytes.data(), {.lsn = 1, .flags = kRecordPlain, .key = "k", .value = value});
  return bytes;
}

class AllFitTest : public SimLogFixture {
 protected:
  // A compaction log at rest, and what is ready for it, on a disk that is full from now on.
  void Prepare(Prng& prng) {
    alignment_ = prng.Chance(1, 2) ? 512 : 4096;
    segment_bytes_ = uint64_t{alignment_} << prng.Between(2, 5);
    NewNode({.buffer_bytes = size_t{alignment_} << prng.Between(0, 4),
             .alignment = alignment_,
             .segment_bytes = segment_bytes_});
    context_.claims = nullptr;
    block_bytes_max_ = std::min<uint64_t>(node_->core(0).buffers().buffer_bytes(), segment_bytes_);
    writer_ = &node_->Own(std::make_unique<LogWriter>(
        node_->core(0), context_, LogWriterOptions{.kind = SegmentKind::kCompaction}));
    writer_->HoldMarks(true);
    LeaveFree(kSpaceMarginBytes);
    writer_->Start();
    for (uint64_t steps = prng.Between(1, 5); steps > 0; --steps) {
      LeaveFree(kSpaceMarginBytes / 8 + prng.Below(3 * segment_bytes_));
      world_.RunFor(3 * kNsPerSecond);
      if (prng.Chance(1, 3)) continue;
      const std::vector<uint32_t> some(prng.Between(1, 20), kRecordHeaderSize + 100);
      Copy(WithBatchEnds(some, prng));
    }
    LeaveFree(0);
    world_.RunFor(3 * kNsPerSecond);
  }
  std::vector<uint32_t> DrawLengths(Prng& prng) {
    const uint64_t target = prng.Below(writer_->ready_bytes() + 1);
    const uint64_t longest = prng.Chance(1, 4)   ? segment_bytes_ - kBlockHeaderSize
                             : prng.Chance(1, 2) ? block_bytes_max_ - kBlockHeaderSize
                                                 : 300;
    std::vector<uint32_t> lengths;
    for (uint64_t bytes = 0; bytes < target; bytes += lengths.back()) {
      lengths.push_back(static_cast<uint32_t>(prng.Between(kRecordHeaderSize + 1, longest)));
    }
    return lengths;
  }

  // Some of them begin a batch each.
  static std::vector<uint32_t> WithBatchEnds(const std::vector<uint32_t>& lengths, Prng& prng) {
    const uint64_t one_in = uint64_t{1} << prng.Below(6);
    std::vector<uint32_t> with;
    for (const uint32_t length : lengths) {
      if (!with.empty() && prng.Chance(1, one_in)) with.push_back(LogWriter::kBatchEnds);
      with.push_back(length);
    }
    return with;
  }

  // As compaction copies: of each batch what fits for certain, with a flush, then what fits of the
  // rest. False: something does not.
  static Task<bool> CopyAll(LogWriter& writer, Core& here, std::vector<uint32_t> lengths) {
    std::vector<std::unique_ptr<AwaitedEntry>> entries;
    for (const uint32_t length : lengths) {
      const bool is_end = length == LogWriter::kBatchEnds;
      if (is_end || !writer.FitsForCertain(length)) {
        if (!is_end && entries.empty()) co_return false;
        for (const auto& entry : entries) {
          co_await entry->settled.Wait();
          EXPECT_EQ(entry->settlement, Settlement::kDurable);
        }
        entries.clear();
      }
      if (is_end) continue;
      if (!writer.FitsForCertain(length)) co_return false;
      entries.push_back(std::make_unique<AwaitedEntry>(here.ready()));
      const std::vector<uint8_t> record = RecordOf(length);
      writer.AppendCopy(record, *entries.back());
    }
    for (const auto& entry : entries) {
      co_await entry->settled.Wait();
      EXPECT_EQ(entry->settlement, Settlement::kDurable);
    }
    co_return true;
  }
  bool Copy(const std::vector<uint32_t>& lengths) {
    const auto copied = node_->Run(CopyAll(*writer_, node_->core(0), lengths));
    EXPECT_TRUE(copied) << world_.failure();
    return copied.value_or(false);
  }
  // A block without records.
  static Task<bool> WriteClock(LogWriter& writer, Core& here) {
    AwaitedEntry entry(here.ready());
    if (!writer.FitsForCertain(0)) co_return false;
    const Admission admitted = writer.WaitClock(entry);
    EXPECT_EQ(admitted, Admission::kOk);
    co_await entry.settled.Wait();
    co_return entry.settlement == Settlement::kDurable;
  }
  bool KeepClock() {
    const auto kept = node_->Run(WriteClock(*writer_, node_->core(0)));
    EXPECT_TRUE(kept) << world_.failure();
    return kept.value_or(false);
  }

  uint64_t Segments() {
    std::vector<std::string> names;
    EXPECT_GE(node_->disk().List("/data/store", names), 0);
    return static_cast<uint64_t>(std::count_if(
        names.begin(), names.end(), [](const auto& name) { return SegmentOfName(name) != 0; }));
  }

  static constexpr int kRounds = 2000;
  uint32_t alignment_ = 0;
  uint64_t segment_bytes_ = 0;
  uint64_t block_bytes_max_ = 0;
  LogWriter* writer_ = nullptr;
};

TEST_F(AllFitTest, SaysWhetherAllOfItFitsBeforeAnyIsCopied) {
  int fits = 0;
  int does_not_fit = 0;
  for (uint64_t seed = 1; seed <= kRounds; ++seed) {
    SCOPED_TRACE(seed);
    Prng prng(seed);
    ASSERT_NO_FATAL_FAILURE(Prepare(prng));
    const std::vector<uint32_t> lengths = WithBatchEnds(DrawLengths(prng), prng);
    const bool says = writer_->AllFit(lengths);
    const uint64_t segments = Segments();
    ASSERT_EQ(Copy(lengths) && KeepClock() && KeepClock(), says);
    ASSERT_LE(Segments(), segments) << "something was made meanwhile";
    ++(says ? fits : does_not_fit);
  }
  EXPECT_GT(fits, kRounds / 4);
  EXPECT_GT(does_not_fit, kRounds / 4);
}

// Behind a pass that fits its last mark does, too.
TEST_F(AllFitTest, AMarkFitsBehindWhatItSaysYesTo) {
  int marks = 0;
  for (uint64_t seed = 1; seed <= kRounds / 10; ++seed) {
    SCOPED_TRACE(seed);
    Prng prng(seed);
    ASSERT_NO_FATAL_FAILURE(Prepare(prng));
    const std::vector<uint32_t> lengths = WithBatchEnds(DrawLengths(prng), prng);
    if (!writer_->AllFit(lengths)) continue;
    ASSERT_TRUE(Copy(lengths) && KeepClock());
    const bool has_room = writer_->unwritten_bytes() > 0;
    writer_->HoldMarks(false);
    world_.RunFor(10 * LogWriter::kMarkDelayNs);
    ASSERT_TRUE(writer_->idle());
    if (!has_room) continue;
    ASSERT_EQ(writer_->counters().marks, 1u);
    ++marks;
  }
  EXPECT_GT(marks, kRounds / 40);
}

// Not by going through it block by block: were each record a block of its own, and what is left
// unused of each segment as long as a block may be, it still would fit.
TEST_F(AllFitTest, WhatIsPlainlyLessThanThereIsFits) {
  int plain = 0;
  for (uint64_t seed = 1; seed <= kRounds / 2; ++seed) {
    SCOPED_TRACE(seed);
    Prng prng(seed);
    ASSERT_NO_FATAL_FAILURE(Prepare(prng));
    std::vector<uint32_t> lengths(prng.Below(writer_->ready_bytes() / alignment_ + 1));
    uint64_t bytes = 2 * alignment_;
    for (uint32_t& length : lengths) {
      length = static_cast<uint32_t>(prng.Between(kRecordHeaderSize + 1, 600));
      bytes += RoundUp(kBlockHeaderSize + length, alignment_);
    }
    const uint64_t block_bytes = std::max<uint64_t>(block_bytes_max_, 1024);
    constexpr uint64_t kSegmentsReady = 1 + SegmentSupply::kReserveCount;
    if (bytes + kSegmentsReady * block_bytes > writer_->ready_bytes()) continue;
    ASSERT_TRUE(writer_->AllFit(WithBatchEnds(lengths, prng)));
    ++plain;
  }
  EXPECT_GT(plain, kRounds / 40);
}

// Batches that are as long as half of a segment fill it all the same: what is left at its end is
// shorter than the record that did not fit. Otherwise copies are worth compacting as soon as they
// are made.
TEST_F(AllFitTest, LongBatchesFillASegmentToItsEnd) {
  constexpr uint64_t kSegmentBytes = 64 << 10;
  constexpr uint32_t kLength = 1500;
  NewNode({.buffer_bytes = kSegmentBytes,
           .alignment = 512,
           .segment_bytes = kSegmentBytes,
           .capacity_bytes = 64 << 20});
  writer_ = &node_->Own(std::make_unique<LogWriter>(
      node_->core(0), context_, LogWriterOptions{.kind = SegmentKind::kCompaction}));
  writer_->HoldMarks(true);
  writer_->Start();
  world_.RunFor(3 * kNsPerSecond);
  for (const size_t count : {25, 25, 40, 30, 40}) {
    ASSERT_TRUE(Copy(std::vector<uint32_t>(count, kLength)));
    world_.RunFor(3 * kNsPerSecond);  // the reserve is made anew
  }
  int sealed = 0;
  for (const auto& [segment, info] : context_.manifest->segments()) {
    if (!info.sealed_end) continue;
    EXPECT_LE(kSegmentBytes - *info.sealed_end, RoundUp(kBlockHeaderSize + kLength, 512));
    ++sealed;
  }
  EXPECT_EQ(sealed, 3);
}

}  // namespace
}  // namespace pakv
