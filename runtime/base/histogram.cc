#include "runtime/base/histogram.h"

#include <algorithm>
#include <cmath>

#include "runtime/base/check.h"

namespace pakv {

template <uint32_t kPartBits>
void LogLinearHistogram<kPartBits>::Merge(const LogLinearHistogram& other) {
  for (size_t i = 0; i < kBuckets; ++i) buckets_[i] += other.buckets_[i];
  count_ += other.count_;
  sum_ += other.sum_;
  max_ = std::max(max_, other.max_);
}

template <uint32_t kPartBits>
uint64_t LogLinearHistogram<kPartBits>::Percentile(double percent) const {
  PAKV_CHECK(percent >= 0 && percent <= 100);
  if (count_ == 0) return 0;
  const double exact_rank = std::ceil(percent / 100 * static_cast<double>(count_));
  const uint64_t rank = std::clamp<uint64_t>(static_cast<uint64_t>(exact_rank), 1, count_);
  uint64_t seen = 0;
  for (size_t i = 0; i < kBuckets; ++i) {
    seen += buckets_[i];
    if (seen >= rank) return std::min(LargestOf(i), max_);
  }
  return max_;
}

template <uint32_t kPartBits>
uint64_t LogLinearHistogram<kPartBits>::CountBelow(uint64_t bound) const {
  uint64_t count = 0;
  const size_t end = BucketOf(bound);
  for (size_t i = 0; i < end; ++i) count += buckets_[i];
  return count;
}

template class LogLinearHistogram<5>;
template class LogLinearHistogram<7>;

}  // namespace pakv
