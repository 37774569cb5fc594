#include "kv/shard/state/expiry.h"

#include <algorithm>
#include <bit>

namespace pakv {

ExpiryMap::ExpiryMap(HashRange range)
    : range_(range), shift_(std::min(63, std::countl_zero(range.last - range.first))) {
  Clear();
}

uint64_t ExpiryMap::earliest_ms() const {
  return *std::min_element(expiry_ms_.begin(), expiry_ms_.end());
}

std::optional<HashRange> ExpiryMap::TakeDue(uint64_t clock_ms) {
  for (size_t i = 0; i < kParts; ++i) {
    const size_t part = (next_ + i) % kParts;
    if (expiry_ms_[part] > clock_ms) continue;
    expiry_ms_[part] = kNever;
    next_ = part + 1;
    const uint64_t width = (uint64_t{1} << (64 - kPartBits)) >> shift_;
    HashRange due;
    due.first = range_.first + part * width;
    due.last = due.first + std::min(width - 1, range_.last - due.first);
    return due;
  }
  return std::nullopt;
}

}  // namespace pakv
