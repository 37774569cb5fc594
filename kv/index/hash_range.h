// Which core owns a hash, and which hashes a core owns: N cores cut the 64-bit space of hashes into
// N contiguous ranges, in order. One file, so that no two places can disagree.
#pragma once

#include <cstdint>

#include "runtime/base/check.h"

namespace pakv {

// Hashes from `first` to `last`, both included (the whole space has no end that fits 64 bits).
struct HashRange {
  uint64_t first = 0;
  uint64_t last = ~uint64_t{0};

  bool Contains(uint64_t hash) const { return hash >= first && hash <= last; }
};

// The core among `cores` (> 0) that owns `hash`.
inline uint32_t OwnerOf(uint64_t hash, uint32_t cores) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<uint32_t>((static_cast<Wide>(hash) * cores) >> 64);
}

// All hashes whose owner among `cores` is `core` (< cores).
inline HashRange RangeOf(uint32_t core, uint32_t cores) {
  __extension__ using Wide = unsigned __int128;
  PAKV_CHECK(core < cores);
  // The smallest hash with hash * cores >= core * 2^64.
  const auto first_of = [cores](uint32_t owner) {
    return static_cast<uint64_t>(((static_cast<Wide>(owner) << 64) + cores - 1) / cores);
  };
  HashRange range;
  range.first = first_of(core);
  if (core + 1 < cores) range.last = first_of(core + 1) - 1;
  return range;
}

}  // namespace pakv
