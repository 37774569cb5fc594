// kv/log/read/judge: torn or corrupt. Each rule of docs/format.md is a named test on segments built
// here block by block; at the end random damage is held against what may be said of it.
// Long because: each rule is a test of its own on the same log in memory.
#include "kv/log/read/judge.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "kv/log/format/block_builder.h"
#include "runtime/base/prng.h"

namespace pakv {
namespace {

using Outcome = Judgement::Outcome;
using Buffer = std::vector<uint8_t>;

constexpr uint64_t kRun = 77;
constexpr uint32_t kLog = 1;
constexpr size_t kSegmentBytes = 8192;

// A log in memory: segments 10, 11, ... of kSegmentBytes, as a rule.
class LogInMemory {
 public:
  explicit LogInMemory(size_t segment_bytes = kSegmentBytes) : segment_bytes_(segment_bytes) {
    AddSegment();
  }

  void AddSegment() {
    segments_.push_back({.segment = 10 + static_cast<uint32_t>(segments_.size()),
                         .first_sequence = sequence_,
                         .first_chain = chain_,
                         .sealed_end = {}});
    memory_.emplace_back(segment_bytes_, 0);
    offset_ = 0;
  }

  // Appends a block with one record whose value has `value_bytes`, 0: a mark block. Known durable
  // is the block before it, or `durable`.
  void Add(size_t value_bytes, int64_t durable = -1) {
    Buffer buffer(kSegmentBytes);
    BlockBuilder builder(buffer, 512);
    const std::string value(value_bytes, 'v');
    if (value_bytes != 0) builder.Append({.lsn = sequence_, .key = "k", .value = value});
    const auto sealed =
        builder.Seal({.run = kRun,
                      .log = kLog,
                      .segment = segments_.back().segment,
                      .offset = static_cast<uint32_t>(offset_),
                      .sequence = sequence_,
                      .known_durable = durable < 0 ? sequence_ - 1 : static_cast<uint64_t>(durable),
                      .chain = chain_});
    ASSERT_LE(offset_ + sealed.bytes.size(), segment_bytes_);
    std::copy(sealed.bytes.begin(), sealed.bytes.end(), last().begin() + ptrdiff_t(offset_));
    starts_.push_back(offset_);
    offset_ += sealed.bytes.size();
    ++sequence_;
    chain_ = sealed.checksum;
  }

  Buffer& last() { return memory_.back(); }
  Buffer& segment(size_t i) { return memory_[i]; }
  JudgedSegment& info(size_t i) { return segments_[i]; }
  // Where block `sequence` (from 1) starts in its segment.
  size_t start(size_t sequence) const { return starts_[sequence - 1]; }
  size_t end() const { return offset_; }
  void ZeroSector(size_t i, size_t offset) {
    std::fill_n(memory_[i].begin() + ptrdiff_t(offset), kSectorSize, 0);
  }

  class Counter : public BlockVisitor {
   public:
    void OnBlock(const JudgedSegment&, const BlockHeader& header, Bytes) override {
      sequences.push_back(header.sequence);
    }
    std::vector<uint64_t> sequences;
  };

  Judgement Judge() {
    counter_ = Counter();
    return JudgeLog(judged(), &counter_);
  }
  // The same in turns of `turn_bytes`, which are counted.
  Judgement JudgeInTurns(uint64_t turn_bytes, uint64_t& turns) {
    counter_ = Counter();
    const JudgedLog log = judged();
    LogJudge judge(log, &counter_);
    turns = 1;
    while (!judge.Advance(turn_bytes)) ++turns;
    return judge.TakeResult();
  }
  // The blocks that the last Judge believed.
  size_t believed() const { return counter_.sequences.size(); }

 private:
  JudgedLog judged() {
    for (size_t i = 0; i < segments_.size(); ++i) segments_[i].bytes = memory_[i];
    return {.run = kRun, .log = kLog, .segments = segments_};
  }

  const size_t segment_bytes_;
  std::vector<JudgedSegment> segments_;
  std::vector<Buffer> memory_;
  std::vector<size_t> starts_;
  size_t offset_ = 0;
  uint64_t sequence_ = 1;
  uint32_t chain_ = 0;
  Counter counter_;
};

void ExpectEnd(const Judgement& judgement, uint32_t segment, uint64_t offset) {
  EXPECT_EQ(judgement.outcome, Outcome::kEnd) << judgement.reason;
  EXPECT_EQ(judgement.segment, segment);
  EXPECT_EQ(judgement.offset, offset);
}
void ExpectTorn(const Judgement& judgement, uint32_t segment, uint64_t offset) {
  EXPECT_EQ(judgement.outcome, Outcome::kTorn) << judgement.reason;
  EXPECT_EQ(judgement.segment, segment);
  EXPECT_EQ(judgement.offset, offset);
}
void ExpectCorrupt(const Judgement& judgement, uint32_t segment, uint64_t offset) {
  EXPECT_EQ(judgement.outcome, Outcome::kCorrupt);
  EXPECT_EQ(judgement.segment, segment);
  EXPECT_EQ(judgement.offset, offset);
  EXPECT_FALSE(judgement.reason.empty());
}

TEST(JudgeTest, EmptySegmentIsAnEmptyLog) {
  LogInMemory log;
  ExpectEnd(log.Judge(), 10, 0);
  EXPECT_EQ(log.believed(), 0u);
}

TEST(JudgeTest, LogEndsBehindItsLastBlock) {
  LogInMemory log;
  log.Add(100);
  log.Add(2000);
  log.Add(0);
  const Judgement judgement = log.Judge();
  ExpectEnd(judgement, 10, log.end());
  EXPECT_EQ(log.believed(), 3u);
  EXPECT_EQ(judgement.sequence, 4u);
  EXPECT_EQ(judgement.ends.size(), 1u);
  EXPECT_EQ(judgement.ends[0].end, log.end());
  EXPECT_EQ(judgement.ends[0].cut_end, log.end());
}

// ---- (a): the log rolled to its next segment ----

TEST(JudgeTest, RuleA_RollGoesOnInTheNextSegment) {
  LogInMemory log;
  log.Add(100);
  log.AddSegment();
  log.Add(100);
  log.Add(100);
  ExpectEnd(log.Judge(), 11, 1024);
  EXPECT_EQ(log.believed(), 3u);
}

TEST(JudgeTest, RuleA_ExactlyFullSegmentGoesOnInTheNext) {
  LogInMemory log;
  log.Add(kSegmentBytes - kBlockHeaderSize - kRecordHeaderSize - 1);
  ASSERT_EQ(log.end(), kSegmentBytes);
  ExpectEnd(log.Judge(), 10, kSegmentBytes);
  log.AddSegment();
  log.Add(100);
  ExpectEnd(log.Judge(), 11, 512);
  EXPECT_EQ(log.believed(), 2u);
}

TEST(JudgeTest, RuleA_NextSegmentWithoutABlockIsTheEnd) {
  LogInMemory log;
  log.Add(100);
  log.AddSegment();
  ExpectEnd(log.Judge(), 11, 0);
  EXPECT_EQ(log.believed(), 1u);
}

TEST(JudgeTest, RuleA_FirstBlockOfTheNextSegmentTornIsCutThere) {
  LogInMemory log;
  log.Add(100);
  log.AddSegment();
  log.Add(3000);
  log.ZeroSector(1, 0);
  const Judgement judgement = log.Judge();
  ExpectTorn(judgement, 11, 0);
  EXPECT_EQ(log.believed(), 1u);
  ASSERT_EQ(judgement.ends.size(), 2u);
  EXPECT_EQ(judgement.ends[1].end, 0u);
  EXPECT_GT(judgement.ends[1].cut_end, 0u);
}

TEST(JudgeTest, RuleA_NextSegmentThatDoesNotContinueTheChainIsCorrupt) {
  LogInMemory log;
  log.Add(100);
  log.AddSegment();
  log.Add(100);
  log.info(1).first_chain ^= 1;
  EXPECT_EQ(log.Judge().outcome, Outcome::kCorrupt);
}

// ---- (b): the header's sector is zero ----

TEST(JudgeTest, RuleB_ZeroHeaderWithAWitnessInTheSegmentIsCorrupt) {
  LogInMemory log;
  log.Add(100);
  log.Add(100);
  log.Add(0);  // knows that block 2 was durable
  log.ZeroSector(0, log.start(2));
  ExpectCorrupt(log.Judge(), 10, log.start(2));
}

TEST(JudgeTest, RuleB_ZeroHeaderWithAWitnessInALaterSegmentIsCorrupt) {
  LogInMemory log;
  log.Add(100);
  log.Add(100);
  log.AddSegment();
  log.Add(0);
  log.ZeroSector(0, log.start(2));
  ExpectCorrupt(log.Judge(), 10, log.start(2));
}

TEST(JudgeTest, RuleB_CreatedSegmentIsAWitnessWithoutAnyBlock) {
  LogInMemory log;
  log.Add(100);
  log.Add(100);
  log.AddSegment();  // listed only after block 2 was durable
  log.ZeroSector(0, log.start(2));
  ExpectCorrupt(log.Judge(), 10, log.start(2));
}

TEST(JudgeTest, RuleB_LaterBlockThatDoesNotKnowItIsNoWitness) {
  LogInMemory log;
  log.Add(100);
  log.Add(100);
  log.Add(100, /*durable=*/1);  // two blocks in flight: block 2 was not known to be durable
  log.ZeroSector(0, log.start(2));
  ExpectTorn(log.Judge(), 10, log.start(2));
  EXPECT_EQ(log.believed(), 1u);
}

TEST(JudgeTest, RuleB_ZeroHeaderWithRestOfTheBlockBehindItIsTorn) {
  LogInMemory log;
  log.Add(100);
  log.Add(3000);
  log.ZeroSector(0, log.start(2));
  const Judgement judgement = log.Judge();
  ExpectTorn(judgement, 10, log.start(2));
  EXPECT_EQ(judgement.ends[0].end, log.start(2));
  EXPECT_EQ(judgement.ends[0].cut_end, log.end());
}

TEST(JudgeTest, RuleB_NewestBlockZeroedWithoutAWitnessIsTheEnd) {
  // The case that nothing can decide, and which marks make short-lived.
  LogInMemory log;
  log.Add(100);
  log.Add(100);
  log.ZeroSector(0, log.start(2));
  ExpectEnd(log.Judge(), 10, log.start(2));
}

TEST(JudgeTest, RuleB_WitnessOfAnotherRunOrLogOrPlaceIsNone) {
  LogInMemory log;
  log.Add(100);
  log.Add(100);
  log.Add(0);
  const size_t mark = log.start(3);
  Buffer block(log.last().begin() + ptrdiff_t(mark), log.last().begin() + ptrdiff_t(mark) + 512);
  const BlockHeader good = DecodeBlockHeader(block)->header;
  log.ZeroSector(0, log.start(2));
  for (int what = 0; what < 4; ++what) {
    BlockHeader header = good;
    if (what == 0) header.run = kRun + 1;
    if (what == 1) header.log = kLog + 1;
    if (what == 2) header.segment = 99;
    if (what == 3) header.offset += 512;
    EncodeBlockHeader(log.last().data() + mark, header);
    ExpectTorn(log.Judge(), 10, log.start(2));
  }
  EncodeBlockHeader(log.last().data() + mark, good);
  ExpectCorrupt(log.Judge(), 10, log.start(2));
}

// ---- (c): the header's sector is not zero, and wrong ----

TEST(JudgeTest, RuleC_EveryFieldOfAHeaderThatDoesNotBelongIsCorrupt) {
  for (int what = 0; what < 8; ++what) {
    LogInMemory log;
    log.Add(100);
    log.Add(100);
    uint8_t* bytes = log.last().data() + log.start(2);
    BlockHeader header = DecodeBlockHeader(Bytes(bytes, 512))->header;
    switch (what) {
      case 0:
        header.run ^= 1;
        break;
      case 1:
        header.log ^= 1;
        break;
      case 2:
        header.segment ^= 1;
        break;
      case 3:
        header.offset += 512;
        break;
      case 4:
        header.sequence += 1;
        break;
      case 5:
        header.chain ^= 1;
        break;
      case 6:
        header.length = kSegmentBytes;
        break;
      default:
        bytes[0] ^= 1;  // the checksum itself
        break;
    }
    if (what < 7) EncodeBlockHeader(bytes, header);
    ExpectCorrupt(log.Judge(), 10, log.start(2));
    EXPECT_EQ(log.believed(), 1u) << what;
  }
}

TEST(JudgeTest, RuleC_RubbishInTheHeadersSectorIsCorruptAlsoAtTheEnd) {
  LogInMemory log;
  log.Add(100);
  log.last()[log.end() + 300] = 1;  // one bit of the next sector, whose start is zero
  ExpectCorrupt(log.Judge(), 10, log.end());
}

// ---- (d): the header is right and the body wrong ----

TEST(JudgeTest, RuleD_MissingSectorWithoutAWitnessIsTorn) {
  LogInMemory log;
  log.Add(100);
  log.Add(3000);
  for (size_t sector = log.start(2) + 512; sector < log.end(); sector += 512) {
    LogInMemory torn = log;
    torn.ZeroSector(0, sector);
    ExpectTorn(torn.Judge(), 10, log.start(2));
  }
}

TEST(JudgeTest, RuleD_MissingSectorWithAWitnessIsCorrupt) {
  LogInMemory log;
  log.Add(100);
  log.Add(3000);
  log.Add(0);
  log.ZeroSector(0, log.start(2) + 1024);
  ExpectCorrupt(log.Judge(), 10, log.start(2));
}

TEST(JudgeTest, RuleD_ChangedByteWithoutAMissingSectorIsCorrupt) {
  LogInMemory log;
  log.Add(100);
  log.Add(3000);
  log.last()[log.start(2) + 1000] ^= 4;
  ExpectCorrupt(log.Judge(), 10, log.start(2));
}

TEST(JudgeTest, RuleD_ZerosOfTheValueItselfAreNotTakenForMissingSectors) {
  Buffer buffer(kSegmentBytes);
  BlockBuilder builder(buffer, 512);
  const std::string zeros(2000, '\0');
  builder.Append({.lsn = 1, .key = "k", .value = zeros});
  builder.Seal({.run = kRun, .log = kLog, .segment = 10, .sequence = 1});
  const size_t used = builder.padded_length();
  std::fill(buffer.begin() + ptrdiff_t(used), buffer.end(), 0);
  JudgedSegment segment{.segment = 10, .sealed_end = {}, .bytes = buffer};
  const JudgedLog log{.run = kRun, .log = kLog, .segments = std::span(&segment, 1)};
  EXPECT_EQ(JudgeLog(log, nullptr).outcome, Outcome::kEnd);
  // A changed key byte: as many zero sectors as before, so no write is missing.
  buffer[kBlockHeaderSize + kRecordHeaderSize] ^= 1;
  EXPECT_EQ(JudgeLog(log, nullptr).outcome, Outcome::kCorrupt);
}

// ---- Sealed segments ----

TEST(JudgeTest, SealedSegmentEndsWhereItWasSealed) {
  LogInMemory log;
  log.Add(100);
  log.info(0).sealed_end = log.end();
  log.Add(3000);  // what a recovery cut off, and could not truncate
  const Judgement judgement = log.Judge();
  ExpectEnd(judgement, 10, 512);
  EXPECT_EQ(log.believed(), 1u);
}

TEST(JudgeTest, AnythingMissingInASealedSegmentIsCorrupt) {
  for (const size_t sector : {512, 1024, 1536}) {
    LogInMemory log;
    log.Add(100);
    log.Add(1300);
    log.info(0).sealed_end = log.end();
    log.ZeroSector(0, sector);
    ExpectCorrupt(log.Judge(), 10, 512);
  }
}

TEST(JudgeTest, GapAfterASealedSegmentIsWhatDroppedOnesLeave) {
  LogInMemory log;
  log.Add(100);
  log.info(0).sealed_end = log.end();
  log.AddSegment();
  log.Add(100);
  log.info(1).sealed_end = log.end();
  log.AddSegment();
  log.Add(100);
  // Segment 11 is dropped: its blocks are not asked for.
  std::vector<JudgedSegment> left = {log.info(0), log.info(2)};
  left[0].bytes = log.segment(0);
  left[1].bytes = log.segment(2);
  const JudgedLog judged{.run = kRun, .log = kLog, .segments = left};
  LogInMemory::Counter counter;
  EXPECT_EQ(JudgeLog(judged, &counter).outcome, Outcome::kEnd);
  EXPECT_EQ(counter.sequences, (std::vector<uint64_t>{1, 3}));
}

TEST(JudgeTest, FirstBlockTellsWhoseSegmentItIs) {
  LogInMemory log;
  EXPECT_FALSE(StartsWithBlockOf(log.last(), kRun, 10));
  log.Add(100);
  EXPECT_TRUE(StartsWithBlockOf(log.last(), kRun, 10));
  EXPECT_FALSE(StartsWithBlockOf(log.last(), kRun + 1, 10));
  EXPECT_FALSE(StartsWithBlockOf(log.last(), kRun, 11));
  EXPECT_FALSE(StartsWithBlockOf(Bytes(log.last()).first(20), kRun, 10));
}

// ---- In turns ----

constexpr size_t kLargeBytes = size_t{4} << 20;
constexpr uint64_t kTurnBytes = uint64_t{256} << 10;

// Judges in turns, none of which may look at more than it was told, but for a step's worth: of
// `looked_bytes` in all. The judgement is that of all at once.
Judgement JudgeInBoundedTurns(LogInMemory& log, uint64_t looked_bytes) {
  const Judgement whole = log.Judge();
  const size_t believed = log.believed();
  uint64_t turns = 0;
  const Judgement judgement = log.JudgeInTurns(kTurnBytes, turns);
  EXPECT_GE(turns, looked_bytes / (kTurnBytes + LogJudge::kLookBytesMax));
  EXPECT_EQ(log.believed(), believed);
  EXPECT_EQ(judgement.outcome, whole.outcome);
  EXPECT_EQ(judgement.segment, whole.segment);
  EXPECT_EQ(judgement.offset, whole.offset);
  EXPECT_EQ(judgement.reason, whole.reason);
  EXPECT_EQ(judgement.ends.size(), whole.ends.size());
  for (size_t i = 0; i < std::min(judgement.ends.size(), whole.ends.size()); ++i) {
    EXPECT_EQ(judgement.ends[i].end, whole.ends[i].end);
    EXPECT_EQ(judgement.ends[i].cut_end, whole.ends[i].cut_end);
  }
  return judgement;
}

TEST(JudgeTest, ZerosBehindALogsEndAreLookedAtInTurns) {
  LogInMemory log(kLargeBytes);
  log.Add(100);
  ExpectEnd(JudgeInBoundedTurns(log, kLargeBytes), 10, 512);
  // Nor are they left out: the very last byte counts.
  log.last().back() = 1;
  ExpectTorn(JudgeInBoundedTurns(log, 2 * kLargeBytes), 10, 512);
}

TEST(JudgeTest, ZerosBeforeTheNextSegmentAreLookedAtInTurns) {
  LogInMemory log(kLargeBytes);
  log.Add(100);
  log.AddSegment();
  log.Add(100);
  ExpectEnd(JudgeInBoundedTurns(log, 2 * kLargeBytes), 11, 512);
}

// Three times: for a witness, for what is to be cut off, and of the next segment too.
TEST(JudgeTest, TornLogIsLookedAtInTurns) {
  LogInMemory log(kLargeBytes);
  log.Add(100);
  log.AddSegment();
  log.Add(3000);
  log.ZeroSector(1, 512);
  log.AddSegment();
  log.info(2).first_sequence = 2;  // made before block 2 was
  const Judgement judgement = JudgeInBoundedTurns(log, 5 * kLargeBytes);
  ExpectTorn(judgement, 11, 0);
  ASSERT_EQ(judgement.ends.size(), 3u);
  EXPECT_EQ(judgement.ends[1].cut_end, log.start(2) + 3584);
  EXPECT_EQ(judgement.ends[2].cut_end, 0u);
}

TEST(JudgeTest, WitnessAtTheVeryEndIsLookedForInTurns) {
  LogInMemory log(kLargeBytes);
  log.Add(100);
  log.Add(100);
  log.AddSegment();
  log.info(1).first_sequence = 2;
  log.info(1).first_chain = 0;
  Buffer& later = log.segment(1);
  EncodeBlockHeader(later.data() + kLargeBytes - kSectorSize, {.run = kRun,
                                                               .log = kLog,
                                                               .segment = 11,
                                                               .offset = kLargeBytes - kSectorSize,
                                                               .length = kSectorSize,
                                                               .sequence = 9,
                                                               .known_durable = 2});
  log.segment(0)[log.start(2) + kBlockHeaderSize + 5] ^= 1;
  ExpectCorrupt(JudgeInBoundedTurns(log, 2 * kLargeBytes), 10, 512);
}

// ---- Every tear, every bit ----

// Power fails while the last block is written: any set of its sectors is there. Never corrupt, and
// never less than what was durable before.
TEST(JudgeTest, AnyTearOfTheBlockInFlightIsCutAndNeverCorrupt) {
  LogInMemory log;
  log.Add(700);
  log.Add(0);
  log.Add(2500);
  const size_t begin = log.start(3);
  const size_t sectors = (log.end() - begin) / kSectorSize;
  ASSERT_EQ(sectors, 6u);
  for (uint32_t kept = 0; kept < uint32_t{1} << sectors; ++kept) {
    LogInMemory torn = log;
    for (size_t sector = 0; sector < sectors; ++sector) {
      if ((kept >> sector & 1) == 0) torn.ZeroSector(0, begin + sector * kSectorSize);
    }
    const Judgement judgement = torn.Judge();
    const bool whole = kept + 1 == uint32_t{1} << sectors;
    EXPECT_EQ(torn.believed(), whole ? 3u : 2u) << kept;
    EXPECT_NE(judgement.outcome, Outcome::kCorrupt) << kept << " " << judgement.reason;
    EXPECT_EQ(judgement.outcome == Outcome::kEnd, whole || kept == 0) << kept;
  }
}

// One flipped bit anywhere in blocks that are witnessed: never believed, always corrupt.
TEST(JudgeTest, AnyFlippedBitOfADurableBlockIsCorrupt) {
  LogInMemory log;
  log.Add(700);
  log.Add(900);
  const size_t durable_end = log.end();
  log.Add(0);
  Prng prng(5);
  for (size_t byte = 0; byte < durable_end; ++byte) {
    const auto bit = static_cast<uint8_t>(1 << prng.Below(8));
    log.last()[byte] ^= bit;
    EXPECT_EQ(log.Judge().outcome, Outcome::kCorrupt) << byte;
    log.last()[byte] ^= bit;
  }
  EXPECT_EQ(log.Judge().outcome, Outcome::kEnd);
}

// Whatever the bytes: no crash, no read beyond them, and an end within the segment.
TEST(JudgeTest, RandomBytesAreJudgedWithoutHarm) {
  Prng prng(6);
  for (int round = 0; round < 3000; ++round) {
    LogInMemory log;
    for (uint64_t i = prng.Below(4); i > 0; --i) log.Add(prng.Below(1500));
    for (uint64_t i = prng.Below(6); i > 0; --i) {
      const size_t at = prng.Below(kSegmentBytes);
      if (prng.Chance(1, 3)) {
        log.ZeroSector(0, at / kSectorSize * kSectorSize);
      } else {
        log.last()[at] ^= static_cast<uint8_t>(prng.Next());
      }
    }
    const Judgement judgement = log.Judge();
    EXPECT_LE(judgement.offset, kSegmentBytes);
  }
}

}  // namespace
}  // namespace pakv
