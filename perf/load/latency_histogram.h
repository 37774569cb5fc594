// Latencies of any number of requests in constant memory: buckets whose width is at most 1/128 of
// their value, so a percentile is exact to 0.8 %.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace pakv {

class LatencyHistogram {
 public:
  void Record(uint64_t value, uint64_t count = 1) {
    counts_[Index(value)] += count;
    count_ += count;
    max_ = std::max(max_, value);
  }

  uint64_t count() const { return count_; }
  uint64_t max() const { return max_; }

  // The smallest value, rounded up to its bucket's end, that `share` (0 to 1) of what was recorded
  // does not exceed. 0 if nothing was.
  uint64_t Percentile(double share) const {
    const auto wanted = static_cast<uint64_t>(share * static_cast<double>(count_) + 0.999999);
    uint64_t seen = 0;
    for (size_t index = 0; index < counts_.size(); ++index) {
      seen += counts_[index];
      if (seen != 0 && seen >= wanted) return std::min(LastOf(index), max_);
    }
    return max_;
  }

 private:
  // A value of b bits lies in the group of its b - 8 dropped bits; values below 256 drop none.
  static constexpr int kKeptBits = 8;
  static constexpr size_t kGroupBuckets = size_t{1} << (kKeptBits - 1);
  static constexpr size_t kBuckets = (64 - kKeptBits + 2) * kGroupBuckets;

  static size_t Index(uint64_t value) {
    const int dropped = std::max(0, static_cast<int>(std::bit_width(value)) - kKeptBits);
    return static_cast<size_t>(dropped) * kGroupBuckets + static_cast<size_t>(value >> dropped);
  }
  // The largest value of a bucket.
  static uint64_t LastOf(size_t index) {
    if (index < 2 * kGroupBuckets) return index;
    const size_t dropped = index / kGroupBuckets - 1;
    const uint64_t kept = index - dropped * kGroupBuckets;
    return ((kept + 1) << dropped) - 1;
  }

  std::array<uint64_t, kBuckets> counts_{};
  uint64_t count_ = 0;
  uint64_t max_ = 0;
};

}  // namespace pakv
