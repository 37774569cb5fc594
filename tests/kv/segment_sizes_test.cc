// How large segments are: the rule alone, and what a log that goes by it makes of a load.
#include "kv/log/segment_sizes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

namespace pakv {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kGiB = uint64_t{1} << 30;

uint64_t CommitBytes(const SegmentSizes& sizes) { return sizes.Of(SegmentKind::kCommit); }
uint64_t CompactionBytes(const SegmentSizes& sizes) { return sizes.Of(SegmentKind::kCompaction); }

TEST(SegmentSizesTest, FollowWhatLives) {
  SegmentSizes sizes({.bytes_max = 64 * kMiB});
  EXPECT_EQ(CommitBytes(sizes), 4 * kMiB) << "before anything is known";
  const struct {
    uint64_t live_bytes;
    uint64_t segment_bytes;
  } cases[] = {
      {0, 4 * kMiB},          {114 * kMiB, 4 * kMiB},   {128 * kMiB - 1, 4 * kMiB},
      {128 * kMiB, 8 * kMiB}, {600 * kMiB, 32 * kMiB},  {kGiB - 1, 32 * kMiB},
      {kGiB, 64 * kMiB},      {1000 * kGiB, 64 * kMiB}, {30 * kMiB, 4 * kMiB},
  };
  for (const auto& [live_bytes, segment_bytes] : cases) {
    sizes.Decide(0, live_bytes, {});
    EXPECT_EQ(CommitBytes(sizes), segment_bytes) << live_bytes;
    EXPECT_EQ(CompactionBytes(sizes), segment_bytes) << live_bytes;
  }
}

// Each core's log by its share, compaction's by all.
TEST(SegmentSizesTest, ManyLogsShareWhatLives) {
  SegmentSizes sizes({.bytes_max = 64 * kMiB, .logs = 4});
  sizes.Decide(0, kGiB, {});
  EXPECT_EQ(CommitBytes(sizes), 16 * kMiB);
  EXPECT_EQ(CompactionBytes(sizes), 64 * kMiB);
}

// What is written to, made ahead and held in reserve takes less than a third of what lives, however
// many cores there are, from where segments are larger than the least.
TEST(SegmentSizesTest, WhatLogsHoldStaysSmallBesideWhatLives) {
  for (const uint32_t logs : {1u, 2u, 3u, 8u, 64u, 256u}) {
    SegmentSizes sizes({.bytes_max = 64 * kMiB, .logs = logs});
    for (uint64_t live = 64 * kMiB * logs; live < 4000 * kGiB; live += live / 7) {
      sizes.Decide(0, live, {});
      const uint64_t held = 2 * logs * CommitBytes(sizes) + 3 * CompactionBytes(sizes);
      ASSERT_LE(held * 16, live * 5) << logs << " logs, " << live;
      ASSERT_GE(CompactionBytes(sizes), CommitBytes(sizes));
    }
  }
}

TEST(SegmentSizesTest, ALimitBelowTheLeastIsTheSize) {
  SegmentSizes sizes({.bytes_min = 64 << 10, .bytes_max = 64 << 10});
  sizes.Decide(0, 1000 * kGiB, {});
  EXPECT_EQ(CommitBytes(sizes), 64u << 10);
}

TEST(SegmentSizesTest, ALimitThatIsNoPowerOfTwoIsReached) {
  SegmentSizes sizes({.bytes_max = 6 * kMiB});
  sizes.Decide(0, 95 * kMiB, {});
  EXPECT_EQ(CommitBytes(sizes), 4 * kMiB);
  sizes.Decide(0, 96 * kMiB, {});
  EXPECT_EQ(CommitBytes(sizes), 6 * kMiB);
}

TEST(SegmentSizesTest, ABusyLogHasLargerOnesWhateverLives) {
  SegmentSizes sizes({.bytes_max = 64 * kMiB, .logs = 2});
  std::vector<uint64_t> written{0, 50 * kMiB};
  sizes.Decide(5 * kNsPerSecond, 0, written);
  EXPECT_EQ(CommitBytes(sizes), 4 * kMiB) << "what was before is no rate";
  // 100 MiB per second by one of them: 20 in 200 ms.
  written = {kMiB, 60 * kMiB};
  sizes.Decide(5 * kNsPerSecond + 99 * kNsPerMs, 0, written);
  EXPECT_EQ(CommitBytes(sizes), 4 * kMiB) << "looked at too soon";
  sizes.Decide(5 * kNsPerSecond + 100 * kNsPerMs, 0, written);
  EXPECT_EQ(CommitBytes(sizes), 16 * kMiB);
  EXPECT_EQ(CompactionBytes(sizes), 16 * kMiB) << "as large as its victims";
  // It rests: that is forgotten slowly, so that bursts do not change sizes to and fro.
  uint64_t now_ns = 5 * kNsPerSecond + 100 * kNsPerMs;
  const auto rest = [&](uint64_t seconds) {
    for (uint64_t i = 0; i < seconds * 10; ++i) {
      now_ns += 100 * kNsPerMs;
      sizes.Decide(now_ns, 0, written);
    }
  };
  rest(0);
  EXPECT_EQ(CommitBytes(sizes), 16 * kMiB);
  rest(2);
  EXPECT_EQ(CommitBytes(sizes), 8 * kMiB);
  rest(8);
  EXPECT_EQ(CommitBytes(sizes), 4 * kMiB);
}

TEST(SegmentSizesTest, WithoutAFillTimeRatesDoNotCount) {
  SegmentSizes sizes({.bytes_max = 64 * kMiB, .fill_ns = 0});
  sizes.Decide(0, 0, std::vector<uint64_t>{0});
  sizes.Decide(kNsPerSecond, 0, std::vector<uint64_t>{kGiB});
  EXPECT_EQ(CommitBytes(sizes), 4 * kMiB);
}

// Rolls of one log in each second of a load, and how many in all. The spare is made when the one
// before is taken; what lives is known every 100 ms.
struct Rolls {
  std::vector<uint64_t> per_second;
  uint64_t all = 0;
  uint64_t size_last = 0;
};
Rolls Load(uint64_t bytes_per_second, uint64_t bytes, uint64_t live_max) {
  SegmentSizes sizes({.bytes_max = 64 * kMiB});
  Rolls rolls;
  uint64_t open = CommitBytes(sizes);
  uint64_t spare = CommitBytes(sizes);
  uint64_t left = open;
  uint64_t written = 0;
  for (uint64_t ms = 0; written < bytes; ++ms) {
    if (ms % 100 == 0) {
      sizes.Decide(ms * kNsPerMs, std::min(written, live_max), std::vector<uint64_t>{written});
    }
    if (ms % 1000 == 0) rolls.per_second.push_back(0);
    uint64_t step = bytes_per_second / 1000;
    written += step;
    while (step >= left) {
      step -= left;
      open = left = spare;
      spare = CommitBytes(sizes);
      ++rolls.per_second.back();
      ++rolls.all;
    }
    left -= step;
  }
  rolls.size_last = open;
  return rolls;
}

TEST(SegmentSizesTest, ABulkLoadSoonHasLargeOnes) {
  // 5 M keys of 120 bytes: 600 MB at 100 MB/s.
  const Rolls rolls = Load(100'000'000, 600'000'000, UINT64_MAX);
  for (const uint64_t in_second : rolls.per_second) EXPECT_LE(in_second, 10u);
  EXPECT_LE(rolls.all, 40u);
  EXPECT_GE(rolls.size_last, 16 * kMiB);
}

TEST(SegmentSizesTest, FastOverwritesOfASmallStoreDoNotRollAllTheTime) {
  for (const uint64_t rate : {uint64_t{60'000'000}, uint64_t{100'000'000}, uint64_t{300'000'000}}) {
    const Rolls rolls = Load(rate, 10 * rate, 20 * kMiB);
    // In the first second, the first 100 ms by small ones.
    EXPECT_LE(rolls.per_second[0], rate / 10 / (4 * kMiB) + 2 + 10) << rate;
    for (size_t i = 1; i < rolls.per_second.size(); ++i) {
      EXPECT_LE(rolls.per_second[i], 10u) << rate << " in second " << i;
    }
  }
}

// 30 k requests per second, half of them of 120 bytes that are written: 4 MiB do.
TEST(SegmentSizesTest, AModestRateChangesNothing) {
  const Rolls rolls = Load(4'000'000, 100'000'000, 114 * kMiB);
  EXPECT_EQ(rolls.size_last, 4 * kMiB);
}

}  // namespace
}  // namespace pakv
