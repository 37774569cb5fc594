// LogContext: what a start gives to every log that it opens.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kv/log/files/manifest.h"
#include "kv/log/files/space_claims.h"
#include "kv/log/files/store_directory.h"

namespace pakv {

// A segment that recovery found torn and left open to be appended to: what pakv never does, except
// for the seeded bug kReopenTornSegment.
struct ReopenedSegment {
  uint32_t segment = 0;  // 0: none
  uint64_t size = 0;
  uint64_t offset = 0;
  uint32_t log = 0;
};

inline constexpr uint64_t kFooterSegmentBytesMin = uint64_t{256} << 10;

// Blocks of how many records are written and then flushed by an operation of its own; others ask
// for both at once (RWF_DSYNC). At once is cheaper, by two context switches of the core and its
// wait for a pass to ask for the flush. But the kernel finishes such a write in a worker thread on
// the CPU that the device interrupts, which may be busy for most of a millisecond: with 50 writers,
// and a client that saturates that CPU, it costs a third of the throughput (docs/performance.md). A
// flush of its own wakes its waiter directly. A few records do not pay for that, and to many that
// wait is little.
struct FlushApart {
  uint32_t records_min = 8;
  uint32_t records_max = 255;
  bool Has(uint32_t records) const { return records >= records_min && records <= records_max; }
};

// What every log of one start shares. Constant; outlives the logs.
struct LogContext {
  const StoreDirectory* directory = nullptr;
  Manifest* manifest = nullptr;
  uint64_t run = 0;
  // The longest and the shortest that a new segment is made, and the longest block.
  uint64_t segment_bytes = uint64_t{64} << 20;
  uint64_t segment_bytes_min = uint64_t{64} << 20;
  ReopenedSegment reopened;
  // Engine `memory`: blocks are settled without being written, there are no segments. A record's
  // location is segment 0 then: its value is where the index leads to, in memory.
  bool discards = false;
  // Zeroing ahead, while the writer does not need it faster.
  uint64_t zero_bytes_per_second = uint64_t{256} << 20;
  // Shorter segments get no footer: they are as quickly read whole.
  uint64_t footer_segment_bytes_min = kFooterSegmentBytesMin;
  // Also footers that spare little: for simulations.
  bool footers_of_any_size = false;
  // Of all logs of the store; nullptr: this log is alone on its disk.
  SpaceClaims* claims = nullptr;
};

// How long a new segment is: a power of two times the shortest, so that the store's are sixteen to
// thirty-two, or as long as they may be. What every log has open and ready is that long, dead or
// not: in a small store that would be more than all that it holds.
inline uint64_t UsualSegmentBytes(const LogContext& context) {
  constexpr uint64_t kSegmentsMin = 16;
  const uint64_t files_bytes = context.claims == nullptr ? 0 : context.claims->files_bytes();
  uint64_t bytes = context.segment_bytes_min;
  while (bytes < context.segment_bytes && bytes * 2 * kSegmentsMin <= files_bytes) bytes *= 2;
  return std::min(bytes, context.segment_bytes);
}

// ... and those of compaction's reserve: as long as any victim, so that it fits, on a drive whose
// blocks are longer than they were, too.
inline uint64_t CompactionReserveBytes(const LogContext& context) {
  const uint64_t longest = context.claims == nullptr ? 0 : context.claims->longest_bytes();
  return std::min(context.segment_bytes,
                  std::max(UsualSegmentBytes(context), RoundUp(longest, kDirectAlignment)));
}

}  // namespace pakv
