// MemoryShare: what one core may hold of the store's memory, and what follows from it: what of that
// is left to the cache, and whether keys that are not there yet are refused. Pure: no clock, no
// I/O.
//
//   0                                                       limit
//   | counted: index, buffers, sessions | pending | room | cache |
//
// `counted` is measured now and then (Look). Between two looks the index grows by no more than the
// writes that were appended since: each is charged what its key would cost if it were new, which
// takes no look at the index, and once the room is used up the next write looks again. So the sum
// stays within the limit at any time, but for what grows without asking (sessions' buffers, a chunk
// of the index that is begun), which the next look takes from the cache.
//
// The cache gives way first. When nothing is left of it, new keys are refused, until a step's worth
// has come free. What is there already can be written, deleted and read all the while.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kv/index/item.h"
#include "kv/index/page_runs.h"
#include "kv/index/value_cache.h"

namespace pakv {

// What a core holds, and what for lack of more it has refused.
struct MemoryUse {
  uint64_t counted_bytes = 0;  // all but the cached values; with what pending writes may add
  uint64_t cached_bytes = 0;
  uint64_t refused_count = 0;  // writes of new keys, since the start
};

class MemoryShare {
 public:
  static constexpr uint64_t kNoLimit = UINT64_MAX;

  explicit MemoryShare(uint64_t cache_bytes_max)
      : cache_bytes_max_(cache_bytes_max), cache_bytes_(cache_bytes_max) {}

  // What a key of so many bytes takes of the index at most, with its part of a bucket.
  static constexpr uint64_t KeyCost(size_t key_bytes) { return kItemBytes + key_bytes; }

  // What a kept value takes at most, with its part of a chunk, or of a region of runs: a page of at
  // least 1 MiB.
  static constexpr uint64_t ValueCost(size_t value_bytes) {
    if (!ValueCache::HasRun(value_bytes)) return value_bytes + value_bytes / 8 + kValueBytes;
    const uint64_t run_bytes = PageRuns::RunBytesMax(value_bytes);
    return run_bytes + run_bytes / 256 + kValueBytes;
  }

  // ---- For each write ----

  // A write that may take so much is about to be appended. False: the room is used up; whoever asks
  // looks, and may have to Withdraw.
  [[nodiscard]] bool Charge(uint64_t cost) {
    pending_bytes_ += cost;
    room_bytes_ -= static_cast<int64_t>(cost);
    return room_bytes_ >= 0;
  }
  // It is not appended after all.
  void Withdraw(uint64_t cost) {
    pending_bytes_ -= cost;
    room_bytes_ += static_cast<int64_t>(cost);
  }
  // It has settled: what it has left in the index is seen there.
  void Settled(uint64_t cost) { pending_bytes_ -= cost; }

  // ---- Now and then ----

  void set_limit(uint64_t bytes) { limit_bytes_ = bytes; }
  uint64_t limit_bytes() const { return limit_bytes_; }

  // `counted_bytes`: all that this core holds, but for the cached values and what pending writes
  // may add to the index. `wanted_bytes`: room for so much is asked for, beyond a step. Not
  // `may_grow`: the system has no more memory for the index, whatever the limit allows.
  void Look(uint64_t counted_bytes, uint64_t wanted_bytes = 0, bool may_grow = true);
  // After a look there was no room for a key: new ones are refused from here on.
  void Refuse() { refusing_ = true; }
  bool refusing() const { return refusing_; }
  // At the last look more than a sixteenth beyond the limit was in use, pending writes included.
  bool is_far_over() const {
    return limit_bytes_ != kNoLimit && used_bytes_ > limit_bytes_ + limit_bytes_ / 16;
  }
  // For the cache: see ValueCache::SetCap.
  uint64_t cache_bytes() const { return cache_bytes_; }
  uint64_t pending_bytes() const { return pending_bytes_; }

  // Growth between two looks, and what has to come free before new keys are admitted again.
  static constexpr uint64_t StepOf(uint64_t limit_bytes) {
    return std::clamp(limit_bytes / 64, kStepBytesMin, kStepBytesMax);
  }

 private:
  // An item with an expiry, a slot in a bucket that is half full, and malloc's words for a key that
  // has memory of its own.
  static constexpr uint64_t kItemBytes = sizeof(Item) + 8 + 4 + 16;
  static constexpr uint64_t kValueBytes = 40;
  static constexpr uint64_t kStepBytesMin = 4096;
  static constexpr uint64_t kStepBytesMax = uint64_t{1} << 20;

  uint64_t limit_bytes_ = kNoLimit;
  const uint64_t cache_bytes_max_;
  uint64_t cache_bytes_;
  uint64_t used_bytes_ = 0;
  uint64_t pending_bytes_ = 0;  // what the writes that are not settled may add
  int64_t room_bytes_ = INT64_MAX;
  bool refusing_ = false;
};

}  // namespace pakv
