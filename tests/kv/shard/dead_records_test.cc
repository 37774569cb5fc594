#include "kv/shard/state/dead_records.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace pakv {
namespace {

constexpr uint32_t kLength = 40;  // of the shortest record

TEST(DeadRecordsTest, NoNeighbourOfWhatIsNotedIsDead) {
  DeadRecords records;
  for (uint32_t number = 1; number < 4000; number += 2) {
    records.Note({.segment = 7, .offset = 24 + number * kLength, .length = kLength});
  }
  for (uint32_t number = 0; number < 5000; ++number) {
    const Location location{.segment = 7, .offset = 24 + number * kLength, .length = kLength};
    EXPECT_EQ(records.Has(location), number % 2 == 1 && number < 4000) << number;
    EXPECT_FALSE(records.Has({.segment = 8, .offset = location.offset, .length = kLength}));
  }
}

TEST(DeadRecordsTest, HoldsTheEndsOfTheLargestSegment) {
  DeadRecords records;
  const Location first{.segment = 1, .offset = 0, .length = kLength};
  const Location last{.segment = 1, .offset = UINT32_MAX - kLength, .length = kLength};
  records.Note(last);
  EXPECT_TRUE(records.Has(last));
  EXPECT_FALSE(records.Has(first));
  records.Note(first);
  EXPECT_TRUE(records.Has(first));
}

TEST(DeadRecordsTest, ForgetsASegmentWithItsMemory) {
  DeadRecords records;
  const Location gone{.segment = 1, .offset = 4096, .length = kLength};
  const Location stays{.segment = 2, .offset = 4096, .length = kLength};
  records.Note(stays);
  records.Note(gone);
  const size_t both = records.bytes_used();
  records.Forget(1);
  records.Forget(3);
  EXPECT_LE(records.bytes_used(), both - (4 << 10));
  EXPECT_FALSE(records.Has(gone));
  EXPECT_TRUE(records.Has(stays));
}

TEST(DeadRecordsTest, GivesAllItsMemoryBack) {
  DeadRecords records;
  EXPECT_FALSE(records.Clear());
  const Location location{.segment = 1, .offset = 4096, .length = kLength};
  records.Note(location);
  EXPECT_TRUE(records.Clear());
  EXPECT_EQ(records.bytes_used(), 0u);
  EXPECT_FALSE(records.Has(location));
  records.Note(location);
  EXPECT_TRUE(records.Has(location));
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
  EXPECT_TRUE(records.Has({.segment = 1, .offset = 5 << 20, .length = kLength}));
  const Location late{.segment = kSegments, .offset = 63 << 20, .length = kLength};
  EXPECT_FALSE(records.Has(late));
  // Where a page stands already there is room for more, and a segment that goes gives its back.
  const Location more{.segment = 1, .offset = (5 << 20) + 64, .length = kLength};
  records.Note(more);
  EXPECT_TRUE(records.Has(more));
  records.Forget(1);
  records.Note(late);
  EXPECT_TRUE(records.Has(late));
}

}  // namespace
}  // namespace pakv
