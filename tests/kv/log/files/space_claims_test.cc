// Who comes first where space is short.
#include "kv/log/files/space_claims.h"

#include <gtest/gtest.h>

#include "kv/log/write/log_context.h"

namespace pakv {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

TEST(SpaceClaimsTest, EachLeavesWhatThoseBeforeHimLack) {
  SpaceClaims claims;
  claims.Change({}, {1, 20, 300, 4000, 50'000});
  claims.Change({}, {1, 0, 300, 0, 0});
  EXPECT_EQ(claims.Before(0), 0u);
  EXPECT_EQ(claims.Before(1), 2u);
  EXPECT_EQ(claims.Before(2), 22u);
  EXPECT_EQ(claims.Before(3), 622u);
  EXPECT_EQ(claims.Before(4), 4622u);
  EXPECT_EQ(claims.Before(SpaceClaims::kRankOfOthers), 54'622u);
  EXPECT_TRUE(claims.FirstsLack());
  claims.Change({1, 20, 300, 4000, 50'000}, {0, 0, 0, 4000, 0});
  claims.Change({1, 0, 300, 0, 0}, {});
  EXPECT_EQ(claims.Before(3), 0u);
  EXPECT_EQ(claims.Before(SpaceClaims::kRankOfOthers), 4000u);
  EXPECT_FALSE(claims.FirstsLack());
}

TEST(SpaceClaimsTest, TheFirstsLackUntilEachOfThemIsThereWhateverElseIsMissing) {
  for (size_t rank = 0; rank < SpaceClaims::kRankOfOthers; ++rank) {
    SpaceClaims claims;
    SpaceClaims::Bytes lacking{};
    lacking[rank] = 1;
    claims.Change({}, lacking);
    // The least, compaction's first, the logs' first.
    EXPECT_EQ(claims.FirstsLack(), rank < 3) << rank;
  }
}

TEST(SpaceClaimsTest, WhatIsBeingWrittenIsNobodyElses) {
  SpaceClaims claims;
  claims.Begin(100);
  EXPECT_EQ(claims.Before(0), 100u);
  EXPECT_EQ(claims.Before(SpaceClaims::kRankOfOthers), 100u);
  claims.End(60);
  EXPECT_EQ(claims.Before(0), 40u);
  claims.End(40);
  EXPECT_EQ(claims.Before(SpaceClaims::kRankOfOthers), 0u);
}

TEST(SpaceClaimsTest, APartOfTheFilesIsLeftToDeletesByAllOthers) {
  SpaceClaims claims;
  claims.SetFiles(640 * kMiB, 64 * kMiB);
  EXPECT_EQ(claims.Before(SpaceClaims::kRankOfOthers), 10 * kMiB);
  EXPECT_EQ(claims.Before(SpaceClaims::kRankOfOthers - 1), 0u);
}

TEST(SegmentBytesTest, FollowTheStore) {
  SpaceClaims claims;
  LogContext context;
  context.segment_bytes = 64 * kMiB;
  context.segment_bytes_min = 4 * kMiB;
  context.claims = &claims;
  EXPECT_EQ(UsualSegmentBytes(context), 4 * kMiB);
  claims.SetFiles(127 * kMiB, 4 * kMiB);
  EXPECT_EQ(UsualSegmentBytes(context), 4 * kMiB);
  claims.SetFiles(128 * kMiB, 4 * kMiB);
  EXPECT_EQ(UsualSegmentBytes(context), 8 * kMiB);
  EXPECT_EQ(CompactionReserveBytes(context), 8 * kMiB);
  claims.SetFiles(1 << 30, 8 * kMiB);
  EXPECT_EQ(UsualSegmentBytes(context), 64 * kMiB);
  claims.SetFiles(uint64_t{1} << 40, 64 * kMiB);
  EXPECT_EQ(UsualSegmentBytes(context), 64 * kMiB);
  // It has shrunk: what is copied may still be as long as the longest.
  claims.SetFiles(100 * kMiB, 64 * kMiB);
  EXPECT_EQ(UsualSegmentBytes(context), 4 * kMiB);
  EXPECT_EQ(CompactionReserveBytes(context), 64 * kMiB);
  // A size that was asked for stays.
  context.segment_bytes_min = context.segment_bytes;
  EXPECT_EQ(UsualSegmentBytes(context), 64 * kMiB);
}

}  // namespace
}  // namespace pakv
