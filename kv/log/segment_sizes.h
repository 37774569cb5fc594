// SegmentSizes: how large the next segments of a store are made. Beside the segments that are
// closed a log has one that it writes to, a spare that is made ahead, and a reserve. Those cost
// space however little lives, so they follow what lives:
//
//   a core's log    max(live / 16 / logs, what the busiest of them writes in `fill_ns`)
//   compaction's    max(live / 16, that of a core's log)
//
// rounded down to a power of two, from `bytes_min` to `bytes_max` (which need not be one).
//
// Why a sixteenth: written and spare of all cores, and compaction's written, spare and reserve, are
// five of them, with one core or many: less than a third of what lives, so that of 2.2 times the
// live data the rest is for what compaction works on. Why the rate: each segment is a file to be
// made, and some syncs and appends to MANIFEST; a log does not move on more than about ten times a
// second, however small the store is, and a bulk load has large segments after its first tenth of a
// second. Compaction's are not smaller than its victims, or what lives of one would not fit the
// reserve.
//
// A segment keeps the size that it was made with, which `created` in MANIFEST states
// (docs/format.md): any mixture of sizes is one that every reader knows.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "kv/log/format.h"
#include "runtime/base/clock.h"

namespace pakv {

class SegmentSizes {
 public:
  // The least by default: any record fits (1 MiB of value, 64 KiB of key), and three of the longest
  // do, so that no more than a quarter of it is too short for the next one.
  static constexpr uint64_t kBytesMin = uint64_t{4} << 20;
  static constexpr uint64_t kFillNs = 200 * kNsPerMs;
  // One that was made for a store this many times as large is not kept for later.
  static constexpr uint64_t kTooLarge = 4;

  struct Limits {
    uint64_t bytes_min = kBytesMin;  // multiples of the device's alignment; min <= max
    uint64_t bytes_max = 0;
    uint32_t logs = 1;           // of cores
    uint64_t fill_ns = kFillNs;  // 0: whatever the rate
  };
  explicit SegmentSizes(const Limits& limits);
  SegmentSizes(const SegmentSizes&) = delete;
  SegmentSizes& operator=(const SegmentSizes&) = delete;

  // Any core: bytes of the next segment of such a log.
  uint64_t Of(SegmentKind kind) const {
    return (kind == SegmentKind::kCompaction ? of_compaction_ : of_commit_)
        .load(std::memory_order_relaxed);
  }
  uint64_t bytes_min() const { return limits_.bytes_min; }

  // One core, the same each time: this much lives, and each core's log has written so many bytes of
  // blocks since the start (nothing: not known yet).
  void Decide(uint64_t now_ns, uint64_t live_bytes, std::span<const uint64_t> written_bytes);

 private:
  void NoteRate(uint64_t now_ns, std::span<const uint64_t> written_bytes);
  uint64_t Fit(uint64_t bytes) const;

  const Limits limits_;
  std::atomic<uint64_t> of_commit_;
  std::atomic<uint64_t> of_compaction_;
  // When the rate was looked at last, and what had been written by then.
  uint64_t looked_ns_ = 0;
  std::vector<uint64_t> written_bytes_;
  uint64_t filled_bytes_ = 0;  // by the busiest log in fill_ns
};

}  // namespace pakv
