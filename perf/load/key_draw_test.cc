#include "perf/load/key_draw.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace pakv {
namespace {

std::vector<uint64_t> Count(KeyDraw::Kind kind, uint64_t keys, uint64_t draws) {
  const KeyDraw draw(kind, keys);
  Prng prng(7);
  std::vector<uint64_t> counts(keys);
  for (uint64_t i = 0; i < draws; ++i) ++counts.at(draw.Next(prng));
  return counts;
}

TEST(KeyDrawTest, EvenDrawsAllKeysAlike) {
  for (const uint64_t count : Count(KeyDraw::Kind::kEven, 10, 100'000)) {
    EXPECT_NEAR(static_cast<double>(count), 10'000, 500);
  }
}

TEST(KeyDrawTest, ZipfDrawsEachKeyInProportionToItsRank) {
  constexpr uint64_t kKeys = 1000;
  constexpr uint64_t kDraws = 1'000'000;
  double sum = 0;
  for (uint64_t rank = 1; rank <= kKeys; ++rank) sum += std::pow(rank, -0.99);
  const std::vector<uint64_t> counts = Count(KeyDraw::Kind::kZipf, kKeys, kDraws);
  for (const uint64_t rank : {1, 2, 3, 10, 100, 1000}) {
    const double expected = kDraws * std::pow(rank, -0.99) / sum;
    EXPECT_NEAR(static_cast<double>(counts[rank - 1]), expected, 5 * std::sqrt(expected)) << rank;
  }
}

TEST(KeyDrawTest, OneKeyIsAlwaysDrawn) {
  EXPECT_EQ(Count(KeyDraw::Kind::kZipf, 1, 10)[0], 10u);
  EXPECT_EQ(Count(KeyDraw::Kind::kZipf, 2, 100)[0] + Count(KeyDraw::Kind::kZipf, 2, 100)[1], 100u);
}

}  // namespace
}  // namespace pakv
