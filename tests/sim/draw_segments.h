// Whether the sizes of segments vary within a simulated life, and how fast they follow the load.
#pragma once

#include <algorithm>

#include "kv/store/options.h"
#include "runtime/base/prng.h"

namespace pakv {

// options.segment_bytes, a power of two, is the largest. A third of the stores have but that.
inline void DrawSegmentSizes(Prng& prng, StoreOptions& options) {
  const uint64_t smaller = prng.Chance(1, 3) ? 0 : prng.Between(1, 6);
  options.segment_bytes_min = std::max<uint64_t>(options.segment_bytes >> smaller, 512);
  // From what a block or two fill in it to what a whole life does; or by what lives alone.
  options.segment_fill_ns = prng.Chance(1, 3) ? 0 : kNsPerUs << prng.Between(4, 14);
}

}  // namespace pakv
