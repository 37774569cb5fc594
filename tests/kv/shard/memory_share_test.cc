#include "kv/shard/state/memory_share.h"

#include <gtest/gtest.h>

namespace pakv {
namespace {

constexpr uint64_t kMebibyte = 1 << 20;

TEST(MemoryShareTest, WithoutALimitNothingIsRefusedAndTheCacheHasItsCap) {
  MemoryShare share(5 * kMebibyte);
  share.Look(uint64_t{1} << 40);
  EXPECT_EQ(share.cache_bytes(), 5 * kMebibyte);
  for (int i = 0; i < 100'000; ++i) ASSERT_TRUE(share.Charge(MemoryShare::KeyCost(100)));
  EXPECT_FALSE(share.refusing());
}

TEST(MemoryShareTest, TheCacheGetsWhatIsLeftButForTheRoomToGrow) {
  MemoryShare share(UINT64_MAX);
  share.set_limit(64 * kMebibyte);
  share.Look(10 * kMebibyte);
  EXPECT_EQ(share.cache_bytes(), 53 * kMebibyte);
  // What grows without asking is taken from it.
  share.Look(40 * kMebibyte);
  EXPECT_EQ(share.cache_bytes(), 23 * kMebibyte);
  share.Look(64 * kMebibyte);
  EXPECT_EQ(share.cache_bytes(), 0u);
}

// The system gives the index no more, though there is room below the limit, or there is none.
TEST(MemoryShareTest, WhatMayNotGrowIsRefusedUntilItMay) {
  for (const uint64_t limit : {64 * kMebibyte, MemoryShare::kNoLimit}) {
    MemoryShare share(UINT64_MAX);
    share.set_limit(limit);
    share.Look(10 * kMebibyte);
    EXPECT_TRUE(share.Charge(100));
    share.Look(10 * kMebibyte, 0, /*may_grow=*/false);
    EXPECT_TRUE(share.refusing());
    EXPECT_FALSE(share.Charge(100));
    share.Withdraw(100);
    share.Look(10 * kMebibyte, 0, /*may_grow=*/false);
    EXPECT_TRUE(share.refusing());
    share.Look(10 * kMebibyte);
    EXPECT_FALSE(share.refusing());
    EXPECT_TRUE(share.Charge(100));
  }
}

TEST(MemoryShareTest, TheCacheNeverExceedsItsOwnCap) {
  MemoryShare share(3 * kMebibyte);
  share.set_limit(64 * kMebibyte);
  share.Look(0);
  EXPECT_EQ(share.cache_bytes(), 3 * kMebibyte);
}

TEST(MemoryShareTest, TheCacheDoesNotFollowEachBuffer) {
  MemoryShare share(UINT64_MAX);
  share.set_limit(64 * kMebibyte);
  share.Look(10 * kMebibyte);
  const uint64_t before = share.cache_bytes();
  share.Look(10 * kMebibyte - 1000);
  EXPECT_EQ(share.cache_bytes(), before);
  share.Look(9 * kMebibyte);
  EXPECT_EQ(share.cache_bytes(), before + kMebibyte);
}

TEST(MemoryShareTest, WritesBetweenTwoLooksGrowNoFurtherThanTheRoom) {
  MemoryShare share(UINT64_MAX);
  share.set_limit(64 * kMebibyte);
  share.Look(10 * kMebibyte);
  uint64_t charged = 0;
  while (share.Charge(MemoryShare::KeyCost(100))) charged += MemoryShare::KeyCost(100);
  EXPECT_LE(charged, MemoryShare::StepOf(64 * kMebibyte));
  EXPECT_GT(charged, MemoryShare::StepOf(64 * kMebibyte) / 2);
  // The cache left that room, so the sum is within the limit.
  EXPECT_LE(10 * kMebibyte + charged + share.cache_bytes(), 64 * kMebibyte);
}

TEST(MemoryShareTest, PendingWritesCountUntilTheySettle) {
  MemoryShare share(0);
  share.set_limit(10'000);
  share.Look(0);
  uint64_t admitted = 0;
  for (; share.Charge(MemoryShare::KeyCost(100)); ++admitted) {
  }
  share.Withdraw(MemoryShare::KeyCost(100));
  // None has settled, so none of it is counted yet: there is no more room all the same.
  share.Look(0);
  uint64_t again = 0;
  for (; share.Charge(MemoryShare::KeyCost(100)); ++again) {
  }
  share.Withdraw(MemoryShare::KeyCost(100));
  EXPECT_LE((admitted + again) * MemoryShare::KeyCost(100), 10'000u);
  for (uint64_t i = 0; i < admitted + again; ++i) share.Settled(MemoryShare::KeyCost(100));
  EXPECT_EQ(share.pending_bytes(), 0u);
}

TEST(MemoryShareTest, RefusingEndsWhenAStepIsFreeAndNotBefore) {
  MemoryShare share(UINT64_MAX);
  constexpr uint64_t kLimit = 64 * kMebibyte;
  constexpr uint64_t kStep = MemoryShare::StepOf(kLimit);
  share.set_limit(kLimit);
  share.Look(kLimit + 1);
  EXPECT_TRUE(share.refusing());
  EXPECT_FALSE(share.Charge(MemoryShare::KeyCost(1)));
  share.Withdraw(MemoryShare::KeyCost(1));
  share.Look(kLimit - kStep + 1);
  EXPECT_TRUE(share.refusing());
  share.Look(kLimit - kStep);
  EXPECT_FALSE(share.refusing());
  EXPECT_TRUE(share.Charge(MemoryShare::KeyCost(1)));
}

TEST(MemoryShareTest, TakingTheLimitAwayEndsRefusing) {
  MemoryShare share(UINT64_MAX);
  share.set_limit(1000);
  share.Look(2000);
  EXPECT_TRUE(share.refusing());
  share.set_limit(MemoryShare::kNoLimit);
  share.Look(2000);
  EXPECT_FALSE(share.refusing());
  EXPECT_TRUE(share.Charge(MemoryShare::KeyCost(100)));
}

}  // namespace
}  // namespace pakv
