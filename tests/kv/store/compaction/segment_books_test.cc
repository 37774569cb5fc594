// Which segment is worth compacting, by what it needs and what there is.
#include "kv/store/compaction/segment_books.h"

#include <gtest/gtest.h>

#include <map>

namespace pakv {
namespace {

using Need = SegmentBooks::Need;
constexpr uint64_t kSize = 1 << 20;

class SegmentBooksTest : public testing::Test {
 protected:
  // A segment of which so much lives.
  void Add(uint32_t segment, uint64_t live_bytes) {
    listed_[segment] = {.segment = segment, .run = 1, .size = kSize, .sealed_end = kSize};
    live_[segment] = live_bytes;
  }
  uint32_t Pick(Need need, uint64_t room_bytes = UINT64_MAX) const {
    return books_.PickVictim(live_, need, room_bytes);
  }
  static uint64_t AllBut(uint64_t part) { return kSize - kSize / part; }

  std::map<uint32_t, SegmentInfo> listed_;
  LiveBySegment live_;
  SegmentBooks books_{
      {.listed = &listed_, .run = 2, .block_bytes_max = 64 << 10, .alignment = 512}};
};

TEST_F(SegmentBooksTest, TheMoreIsLackingTheLessAVictimHasToGiveBack) {
  Add(1, AllBut(20));
  EXPECT_EQ(Pick(Need::kNone), 0u);
  EXPECT_EQ(Pick(Need::kSpace), 1u);
  Add(1, AllBut(60));
  EXPECT_EQ(Pick(Need::kSpace), 0u);
  EXPECT_EQ(Pick(Need::kReserve), 1u);
  Add(1, AllBut(200));
  EXPECT_EQ(Pick(Need::kReserve), 0u);
}

TEST_F(SegmentBooksTest, WhatManifestTakesForItIsNoGain) {
  listed_[1] = {.segment = 1, .run = 1, .size = 8192, .sealed_end = 8192};
  live_[1] = 8192 - 3 * 512;
  EXPECT_EQ(Pick(Need::kReserve), 0u);
  live_[1] = 8192 - 6 * 512;
  EXPECT_EQ(Pick(Need::kReserve), 1u);
}

TEST_F(SegmentBooksTest, OneThatFitsComesBeforeABetterOneThatDoesNot) {
  Add(1, kSize / 2);
  Add(2, kSize / 4);
  EXPECT_EQ(Pick(Need::kSpace), 2u);
  EXPECT_EQ(Pick(Need::kSpace, kSize / 3), 2u);
  EXPECT_EQ(Pick(Need::kSpace, kSize / 5), 0u);
  Add(2, kSize / 8);
  EXPECT_EQ(Pick(Need::kSpace, kSize / 5), 2u);
}

TEST_F(SegmentBooksTest, AWorseOneThatFitsIsTakenWhereABetterOneDoesNot) {
  // Twice as much has to stay of the longer one, but that is a smaller part of it.
  Add(1, kSize / 2);
  Add(2, kSize);
  listed_[2].size = 4 * kSize;
  listed_[2].sealed_end = 4 * kSize;
  EXPECT_EQ(Pick(Need::kSpace), 2u);
  EXPECT_EQ(Pick(Need::kSpace, kSize - 1), 1u);
}

TEST_F(SegmentBooksTest, WhatWasMeasuredCountsUntilSomethingChanges) {
  Add(1, kSize / 4);
  Add(2, kSize / 2);
  // Deletes have to stay that nobody knew of.
  books_.NoteNeed(listed_[1], kSize / 4, kSize - 100);
  EXPECT_EQ(Pick(Need::kSpace), 2u);
  EXPECT_EQ(books_.BytesAfter(listed_[1], kSize / 4 - 1000), kSize - 1100);
  // A segment has gone, which those deletes may have stayed for.
  books_.Forget(3);
  EXPECT_EQ(Pick(Need::kSpace), 1u);
}

TEST_F(SegmentBooksTest, OneThatIsPutOffIsLeftOutUntilAllAreTriedAgain) {
  Add(1, kSize / 4);
  Add(2, kSize / 2);
  books_.PutOff(1);
  EXPECT_EQ(Pick(Need::kNone), 2u);
  const SegmentBooks::Worth worth = books_.WorthCompacting(live_, 10, 2, UINT64_MAX);
  EXPECT_EQ(worth.oldest, 2u);
  EXPECT_EQ(worth.segments, 2u);
  EXPECT_EQ(worth.put_off, 1u);
  books_.TryAllAgain();
  EXPECT_EQ(Pick(Need::kNone), 1u);
}

TEST_F(SegmentBooksTest, OneThatCannotBeReadKeepsNoOtherFromBeingSummarized) {
  for (const uint32_t segment : {1, 2, 3}) Add(segment, kSize);
  books_.NoteCopy(3, {.hash = 7, .lsn = 100, .bytes = 50, .is_grave = true});
  books_.SetAside(3);
  EXPECT_EQ(books_.LackingSummary(), 1u);
  books_.PutOff(1);
  EXPECT_EQ(books_.LackingSummary(), 2u);
  books_.PutOff(2);
  EXPECT_EQ(books_.LackingSummary(), 0u);
  books_.TryAllAgain();
  EXPECT_EQ(books_.LackingSummary(), 1u);
}

TEST_F(SegmentBooksTest, AFooterThatCannotBeReadKeepsNoOtherFromBeingRead) {
  for (const uint32_t segment : {1, 2, 3}) {
    Add(segment, kSize);
    listed_[segment].footer_bytes = 512;
  }
  using Segments = std::vector<uint32_t>;
  EXPECT_EQ(books_.WithUnreadFooter(100, 2, 0), (Segments{1, 2}));
  books_.PutOff(1);
  EXPECT_EQ(books_.WithUnreadFooter(100, 2, 0), (Segments{2, 3}));
  books_.NoteUselessFooter(2);
  EXPECT_EQ(books_.WithUnreadFooter(100, 2, 0), Segments{3});
  books_.TryAllAgain();
  EXPECT_EQ(books_.WithUnreadFooter(100, 2, 0), (Segments{1, 3}));
}

TEST_F(SegmentBooksTest, NobodyReadsAVictimsOwnFooter) {
  for (const uint32_t segment : {1, 2}) {
    Add(segment, kSize);
    listed_[segment].footer_bytes = 512;
  }
  EXPECT_EQ(books_.WithUnreadFooter(100, 8, 1), std::vector<uint32_t>{2});
}

// Which of its records is damaged is not known: it may be one that compaction steps over.
TEST_F(SegmentBooksTest, OneThatIsDamagedHasNoSummaryAndMayBeCompacted) {
  for (const uint32_t segment : {1, 2, 3}) Add(segment, segment == 1 ? 0 : kSize);
  books_.NoteCopy(3, {.hash = 7, .lsn = 100, .bytes = 50, .is_grave = true});
  books_.SetAside(3);
  EXPECT_EQ(books_.LackingSummary(), 1u);
  books_.NoteDamage(1);
  EXPECT_EQ(books_.LackingSummary(), 2u);
  EXPECT_EQ(Pick(Need::kNone), 1u);
  EXPECT_TRUE(books_.IsDamaged(1));
  EXPECT_FALSE(books_.IsDamaged(2));
  EXPECT_EQ(books_.DamagedCount(), 1u);
  books_.Forget(1);
  EXPECT_EQ(books_.DamagedCount(), 0u);
}

TEST_F(SegmentBooksTest, ARequestTellsWhatHasNoRoom) {
  Add(1, kSize / 2);
  const SegmentBooks::Worth worth = books_.WorthCompacting(live_, 10, 1, kSize / 4);
  EXPECT_EQ(worth.oldest, 0u);
  EXPECT_EQ(worth.unfit, 1u);
  EXPECT_EQ(worth.segments, 1u);
}

}  // namespace
}  // namespace pakv
