// The log-linear histogram, against sorted values.
#include "runtime/base/histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "runtime/base/prng.h"

namespace pakv {
namespace {

template <typename Type>
class HistogramTest : public ::testing::Test {};
using Precisions = ::testing::Types<Histogram, FineHistogram>;
TYPED_TEST_SUITE(HistogramTest, Precisions);

TYPED_TEST(HistogramTest, BucketsFollowOneAnotherWithoutGaps) {
  for (size_t bucket = 0; bucket + 1 < TypeParam::kBuckets; ++bucket) {
    const uint64_t largest = TypeParam::LargestOf(bucket);
    ASSERT_EQ(TypeParam::BucketOf(largest), bucket);
    ASSERT_EQ(TypeParam::BucketOf(largest + 1), bucket + 1);
  }
}

TYPED_TEST(HistogramTest, AnEmptyOneSaysZero) {
  const TypeParam histogram;
  EXPECT_EQ(histogram.count(), 0u);
  EXPECT_EQ(histogram.Percentile(50), 0u);
  EXPECT_EQ(histogram.CountBelow(UINT64_MAX), 0u);
}

TYPED_TEST(HistogramTest, SmallValuesAreExact) {
  TypeParam histogram;
  for (uint64_t value = 0; value < 2 * TypeParam::kParts; ++value) histogram.Record(value);
  EXPECT_EQ(histogram.Percentile(50), TypeParam::kParts - 1);
  EXPECT_EQ(histogram.Percentile(100), 2 * TypeParam::kParts - 1);
  EXPECT_EQ(histogram.CountBelow(TypeParam::kParts + 1), TypeParam::kParts + 1);
}

TYPED_TEST(HistogramTest, ExtremesAreHeld) {
  TypeParam histogram;
  histogram.Record(0);
  histogram.Record(UINT64_MAX);
  EXPECT_EQ(histogram.Percentile(0), 0u);
  EXPECT_EQ(histogram.Percentile(50), 0u);
  EXPECT_EQ(histogram.Percentile(100), UINT64_MAX);
  EXPECT_EQ(histogram.max(), UINT64_MAX);
}

// Durations as a server sees them: most about the same, some far off.
uint64_t Draw(Prng& prng) { return prng.Below(uint64_t{1} << (1 + prng.Below(44))); }

TYPED_TEST(HistogramTest, PercentilesAreAtMostOnePartTooHigh) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Prng prng(seed);
    TypeParam histogram;
    std::vector<uint64_t> values(1 + prng.Below(3000));
    uint64_t sum = 0;
    for (uint64_t& value : values) {
      value = Draw(prng);
      sum += value;
      histogram.Record(value);
    }
    std::sort(values.begin(), values.end());
    EXPECT_EQ(histogram.count(), values.size());
    EXPECT_EQ(histogram.sum(), sum);
    EXPECT_EQ(histogram.max(), values.back());
    for (const double percent : {0.0, 1.0, 50.0, 90.0, 99.0, 99.9, 100.0}) {
      const double rank = std::ceil(percent / 100 * static_cast<double>(values.size()));
      const uint64_t exact = values[static_cast<size_t>(std::max(rank, 1.0)) - 1];
      const uint64_t got = histogram.Percentile(percent);
      EXPECT_GE(got, exact) << "seed " << seed << ", percentile " << percent;
      EXPECT_LE(got, exact + exact / TypeParam::kParts)
          << "seed " << seed << ", percentile " << percent;
    }
    for (uint64_t bound = 1; bound < uint64_t{1} << 50; bound *= 2) {
      const auto below = std::lower_bound(values.begin(), values.end(), bound) - values.begin();
      EXPECT_EQ(histogram.CountBelow(bound), static_cast<uint64_t>(below));
    }
  }
}

TYPED_TEST(HistogramTest, MergingIsRecordingBoth) {
  Prng prng(5);
  TypeParam all;
  std::vector<TypeParam> cores(3);
  for (int i = 0; i < 3000; ++i) {
    const uint64_t value = Draw(prng);
    const uint64_t count = 1 + prng.Below(3);
    all.Record(value, count);
    cores[prng.Below(cores.size())].Record(value, count);
  }
  TypeParam merged;
  for (const TypeParam& core : cores) merged.Merge(core);
  EXPECT_EQ(merged.count(), all.count());
  EXPECT_EQ(merged.sum(), all.sum());
  EXPECT_EQ(merged.max(), all.max());
  for (int percent = 0; percent <= 100; ++percent) {
    EXPECT_EQ(merged.Percentile(percent), all.Percentile(percent));
  }
}

}  // namespace
}  // namespace pakv
