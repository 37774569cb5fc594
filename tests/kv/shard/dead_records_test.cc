#include "kv/shard/state/dead_records.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace pakv {
namespace {

constexpr uint32_t kLength = 40;  // of the shortest record

TEST(DeadRecordsTest, GivesWhatIsKnownOfOneSegmentAwayWithItsMemory) {
  DeadRecords records;
  records.Note({.segment = 2, .offset = 4096, .length = kLength});
  records.Note({.segment = 1, .offset = 4096, .length = kLength});
  const size_t both = records.bytes_used();
  const RecordPlaces taken = records.Take(1);
  EXPECT_LE(records.bytes_used(), both - RecordPlaces::kPageBytes);
  EXPECT_TRUE(taken.Has(4096));
  EXPECT_FALSE(taken.Has(4096 + kLength));
  EXPECT_EQ(records.Take(1).page_count(), 0u);
  EXPECT_EQ(records.Take(3).page_count(), 0u);
  // What comes later is there for the next who asks.
  records.Note({.segment = 1, .offset = 8192, .length = kLength});
  const RecordPlaces later = records.Take(1);
  EXPECT_TRUE(later.Has(8192));
  EXPECT_FALSE(later.Has(4096));
  EXPECT_TRUE(records.Take(2).Has(4096));
}

TEST(DeadRecordsTest, GivesAllItsMemoryBack) {
  DeadRecords records;
  EXPECT_FALSE(records.Clear());
  const Location location{.segment = 1, .offset = 4096, .length = kLength};
  records.Note(location);
  EXPECT_TRUE(records.Clear());
  EXPECT_EQ(records.bytes_used(), 0u);
  EXPECT_FALSE(records.Take(1).Has(4096));
  records.Note(location);
  EXPECT_TRUE(records.Take(1).Has(4096));
}

TEST(DeadRecordsTest, BeyondItsMemoryItNotesNoMoreAndLosesNothing) {
  DeadRecords records;
  constexpr uint32_t kSegments = 80;
  constexpr uint32_t kSegmentBytes = 64 << 20;
  for (uint32_t segment = 1; segment <= kSegments; ++segment) {
    for (uint32_t offset = 0; offset < kSegmentBytes; offset += 1 << 20) {
      records.Note({.segment = segment, .offset = offset, .length = kLength});
    }
  }
  EXPECT_LE(records.bytes_used(), DeadRecords::kBytesMax);
  // Where a page stands already there is room for more, and a segment that goes gives its back.
  records.Note({.segment = 1, .offset = (5 << 20) + 64, .length = kLength});
  const RecordPlaces first = records.Take(1);
  EXPECT_TRUE(first.Has(5 << 20));
  EXPECT_TRUE(first.Has((5 << 20) + 64));
  const Location late{.segment = kSegments, .offset = 63 << 20, .length = kLength};
  EXPECT_FALSE(records.Take(kSegments).Has(late.offset));
  records.Note(late);
  EXPECT_TRUE(records.Take(kSegments).Has(late.offset));
}

}  // namespace
}  // namespace pakv
