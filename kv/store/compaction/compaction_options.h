// When compaction works, and how much it takes at a time. The defaults are what users get; tests
// and simulations make it greedy.
#pragma once

#include <cstdint>

#include "runtime/base/clock.h"

namespace pakv {

struct CompactionOptions {
  // Segments may take this much of the live data; beyond it writers are slowed.
  uint32_t space_percent = 220;
  // ... but these many segments, beside those that each log has open or in reserve, are always
  // allowed.
  uint32_t segments_min = 4;
  // Below this part of what is allowed nothing is compacted; nor below what leaves each log room
  // for a segment more.
  uint32_t begin_percent = 90;
  // Bytes of deletes that had to be kept, beyond which other segments are read for filters of their
  // keys; 0: a new segment's.
  uint64_t grave_bytes_max = 0;
  // How often it looks at the space when there is nothing to do.
  uint64_t tick_ns = 100 * kNsPerMs;
  // Bytes read at a time, and copied with one flush.
  uint64_t read_bytes = uint64_t{256} << 10;
  uint64_t batch_bytes = uint64_t{256} << 10;
};

}  // namespace pakv
