// The hash of a key: it tells the key's owner and its place in the index, and key filters hold it.
#pragma once

#include <xxhash.h>

#include <cstdint>
#include <string_view>

namespace pakv {

// XXH3-64 of the key; `seed` is the store's (IDENTITY).
inline uint64_t KeyHash(uint64_t seed, uint32_t namespace_id, std::string_view key) {
  return XXH3_64bits_withSeed(key.data(), key.size(),
                              seed + namespace_id * uint64_t{0x9e3779b97f4a7c15});
}

}  // namespace pakv
