// How much compaction there is in a simulated life: as users have it, all the time, or between.
#pragma once

#include "kv/store/compaction/compaction_options.h"
#include "runtime/base/prng.h"

namespace pakv {

inline CompactionOptions DrawCompaction(Prng& prng) {
  CompactionOptions options;
  if (prng.Chance(1, 4)) return options;
  options.space_percent = static_cast<uint32_t>(prng.Between(100, 220));
  options.segments_min = static_cast<uint32_t>(prng.Below(3));
  options.begin_percent = prng.Chance(2, 3) ? 0 : 90;
  if (prng.Chance(1, 2)) options.grave_bytes_max = prng.Between(1, 500);
  options.tick_ns = kNsPerUs << prng.Between(6, 17);
  options.read_bytes = uint64_t{512} << prng.Below(8);
  options.batch_bytes = uint64_t{128} << prng.Below(8);
  return options;
}

}  // namespace pakv
