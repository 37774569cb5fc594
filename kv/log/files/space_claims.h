// SpaceClaims: who comes first where space on the disk is short. All that a store makes new
// segments for has a rank; whoever wants a file leaves as much free as those of a lower rank still
// lack, so that none of them waits for long, whoever asks first, also at a start. In this order:
//
//   0  each log's reserve for what frees space (deletes, expiry, FLUSH), the least that there is
//   1  compaction's first segment: what it copies into; nothing else gives space back
//   2  the logs' first whole reserve segments
//   3  their second ones: filled while compaction makes the first free again
//   4  compaction's second: so that any victim fits, whatever is left of the one that is open
//   5  all else: segments for what users write, and large values. These also leave free what
//      deletes may come to need beyond the reserve, see kDeletesPart
//
// What is begun, with all that comes before it left free, is nobody else's any more: it counts as
// if it was written, until it is.
//
// Any core may call anything here; nothing suspends.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace pakv {

class SpaceClaims {
 public:
  static constexpr size_t kRankOfSeconds = 3;
  static constexpr size_t kRankOfOthers = 5;
  // Bytes by rank, of those that may lack any.
  using Bytes = std::array<uint64_t, kRankOfOthers>;
  // One part in so many of the store's files is for deletes alone. Each leaves a record until the
  // last copy of its key's value has gone: no longer than what it makes dead, so that once they
  // have filled that part, at least as large a part of what was there before is dead, and some
  // segment holds its share of that. Compaction then takes segments that give back half as much.
  static constexpr uint64_t kDeletesPart = 64;

  // Bytes that those of a lower rank than `rank` still lack, and that anybody is writing now; for
  // kRankOfOthers, and what is for deletes alone.
  uint64_t Before(size_t rank) const {
    uint64_t bytes = rank < kRankOfOthers ? 0 : files_bytes() / kDeletesPart;
    for (size_t i = 0; i < rank; ++i) bytes += lacking_[i].load(std::memory_order_acquire);
    // Behind them: what is begun counts here before it is lacked no more.
    return bytes + making_.load(std::memory_order_relaxed);
  }
  // Whether somebody lacks what comes before the second ones.
  bool FirstsLack() const {
    for (size_t i = 0; i < kRankOfSeconds; ++i) {
      if (lacking_[i].load(std::memory_order_relaxed) != 0) return true;
    }
    return false;
  }
  // Somebody has said that he lacks `before`, and lacks `after` now.
  void Change(const Bytes& before, const Bytes& after) {
    for (size_t i = 0; i < kRankOfOthers; ++i) {
      if (after[i] == before[i]) continue;
      lacking_[i].fetch_add(after[i] - before[i], std::memory_order_release);
    }
  }
  // A file of so many bytes is begun (a segment, which its maker does not lack any more, or a large
  // value), or they have come to the disk, or will not.
  void Begin(uint64_t bytes) { making_.fetch_add(bytes, std::memory_order_relaxed); }
  void End(uint64_t bytes) { making_.fetch_sub(bytes, std::memory_order_relaxed); }
  // Of the segments that the store has: the bytes of all, and of the longest.
  void SetFiles(uint64_t bytes, uint64_t bytes_longest) {
    files_bytes_.store(bytes, std::memory_order_relaxed);
    longest_bytes_.store(bytes_longest, std::memory_order_relaxed);
  }
  uint64_t files_bytes() const { return files_bytes_.load(std::memory_order_relaxed); }
  uint64_t longest_bytes() const { return longest_bytes_.load(std::memory_order_relaxed); }

 private:
  std::array<std::atomic<uint64_t>, kRankOfOthers> lacking_{};
  std::atomic<uint64_t> making_{0};
  std::atomic<uint64_t> files_bytes_{0};
  std::atomic<uint64_t> longest_bytes_{0};
};

}  // namespace pakv
