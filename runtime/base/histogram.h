// Histograms of durations. Plain memory of one core, no atomics: others ask for a copy by message
// and merge the copies. Memory is fixed, whatever is counted.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace pakv {

// How often which value was seen, as durations in ns: log-linear buckets, each power of two in
// kParts equal parts, so that a percentile is at most 1/kParts above the exact one. All 64 bits
// fit; values below 2 * kParts are exact.
template <uint32_t kPartBits>
class LogLinearHistogram {
 public:
  static constexpr uint64_t kParts = uint64_t{1} << kPartBits;
  static constexpr size_t kBuckets = (64 - kPartBits + 1) << kPartBits;

  void Record(uint64_t value, uint64_t count = 1) {
    buckets_[BucketOf(value)] += count;
    count_ += count;
    sum_ += value * count;
    if (value > max_) max_ = value;
  }
  void Merge(const LogLinearHistogram& other);

  uint64_t count() const { return count_; }
  uint64_t sum() const { return sum_; }  // modulo 2^64: 584 years of ns
  uint64_t max() const { return max_; }  // exact
  // The value that `percent` per cent of all are at most, from above: at most 1/kParts too high,
  // never above max(). 0 if nothing was recorded. percent in [0, 100].
  uint64_t Percentile(double percent) const;
  // How many are below `bound`; exact if it is a power of two or at most 2 * kParts, else
  // those of the bucket that `bound` lies in are left out.
  uint64_t CountBelow(uint64_t bound) const;

  // The bucket of a value, and the largest value of a bucket.
  static constexpr size_t BucketOf(uint64_t value) {
    if (value < kParts) return static_cast<size_t>(value);
    const auto shift = static_cast<uint32_t>(std::bit_width(value)) - kPartBits - 1;
    return (size_t{shift} << kPartBits) + static_cast<size_t>(value >> shift);
  }
  static constexpr uint64_t LargestOf(size_t bucket) {
    if (bucket < 2 * kParts) return bucket;
    const size_t shift = (bucket >> kPartBits) - 1;
    const uint64_t part = (bucket & (kParts - 1)) + kParts;
    return (part << shift) + ((uint64_t{1} << shift) - 1);
  }

 private:
  std::array<uint64_t, kBuckets> buckets_{};
  uint64_t count_ = 0;
  uint64_t sum_ = 0;
  uint64_t max_ = 0;
};

// A server's, to 1/32: 15 KiB.
using Histogram = LogLinearHistogram<5>;
// A load generator's, to 1/128: 58 KiB.
using FineHistogram = LogLinearHistogram<7>;
extern template class LogLinearHistogram<5>;
extern template class LogLinearHistogram<7>;

static_assert(Histogram::BucketOf(UINT64_MAX) == Histogram::kBuckets - 1);
static_assert(Histogram::LargestOf(Histogram::kBuckets - 1) == UINT64_MAX);
static_assert(Histogram::BucketOf(63) == 63 && Histogram::BucketOf(64) == 64);
static_assert(Histogram::LargestOf(64) == 65 && Histogram::BucketOf(66) == 65);

}  // namespace pakv
