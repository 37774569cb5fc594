#include "kv/shard/state/memory_share.h"

#include "runtime/base/coverage.h"

namespace pakv {

void MemoryShare::Look(uint64_t counted_bytes, uint64_t wanted_bytes, bool may_grow) {
  if (limit_bytes_ == kNoLimit) {
    room_bytes_ = may_grow ? INT64_MAX : 0;
    cache_bytes_ = cache_bytes_max_;
    refusing_ = !may_grow;
    return;
  }
  const uint64_t used = counted_bytes + pending_bytes_;
  used_bytes_ = used;
  const uint64_t left = used < limit_bytes_ ? limit_bytes_ - used : 0;
  const uint64_t step = StepOf(limit_bytes_);
  if (refusing_ && may_grow && left >= step) {
    PAKV_COVERED(kNewKeysResumed);
    refusing_ = false;
  } else if (left == 0 || !may_grow) {
    refusing_ = true;
  }
  const uint64_t room = refusing_ ? 0 : std::min(left, std::max(step, wanted_bytes));
  room_bytes_ = static_cast<int64_t>(room);
  const uint64_t cache = std::min(left - room, cache_bytes_max_);
  // Down at once; up only for something worth while, so that it does not follow each buffer.
  if (cache < cache_bytes_ || cache >= cache_bytes_ + step || cache == cache_bytes_max_) {
    cache_bytes_ = cache;
  }
}

}  // namespace pakv
