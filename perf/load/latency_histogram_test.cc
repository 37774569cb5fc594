#include "perf/load/latency_histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "runtime/base/prng.h"

namespace pakv {
namespace {

TEST(LatencyHistogram, NothingRecordedIsZero) {
  const LatencyHistogram histogram;
  EXPECT_EQ(histogram.Percentile(0.5), 0u);
  EXPECT_EQ(histogram.count(), 0u);
}

TEST(LatencyHistogram, SmallValuesAreExact) {
  LatencyHistogram histogram;
  for (uint64_t value = 1; value <= 100; ++value) histogram.Record(value);
  EXPECT_EQ(histogram.Percentile(0.5), 50u);
  EXPECT_EQ(histogram.Percentile(0.99), 99u);
  EXPECT_EQ(histogram.Percentile(1.0), 100u);
}

TEST(LatencyHistogram, TheLargestValuesHaveABucket) {
  LatencyHistogram histogram;
  histogram.Record(UINT64_MAX);
  histogram.Record(0);
  EXPECT_EQ(histogram.Percentile(0.5), 0u);
  EXPECT_EQ(histogram.Percentile(1.0), UINT64_MAX);
}

TEST(LatencyHistogram, PercentilesAreWithinOneInAHundredAndTwentyEight) {
  Prng prng(7);
  LatencyHistogram histogram;
  std::vector<uint64_t> values;
  for (int i = 0; i < 100'000; ++i) {
    const uint64_t value = prng.Next() >> prng.Below(60);
    values.push_back(value);
    histogram.Record(value);
  }
  std::sort(values.begin(), values.end());
  for (const double share : {0.001, 0.1, 0.5, 0.9, 0.99, 0.999}) {
    const uint64_t exact = values[static_cast<size_t>(share * 100'000) - 1];
    const uint64_t told = histogram.Percentile(share);
    EXPECT_GE(told, exact) << share;
    EXPECT_LE(told - exact, exact / 128) << share;
  }
}

TEST(LatencyHistogram, ACountRecordsAsManyTimes) {
  LatencyHistogram histogram;
  histogram.Record(10, 99);
  histogram.Record(5000);
  EXPECT_EQ(histogram.count(), 100u);
  EXPECT_EQ(histogram.Percentile(0.99), 10u);
  EXPECT_EQ(histogram.max(), 5000u);
}

}  // namespace
}  // namespace pakv
