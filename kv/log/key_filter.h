// A set of keys that answers "certainly not" or "perhaps": a split-block Bloom filter (blocks of 32
// bytes, one bit in each of their eight words), ten bits per key. It is wrong for about one in
// eighty of the keys that it does not hold. docs/format.md, "Footer". Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kv/log/format.h"

namespace pakv {

inline constexpr size_t kKeyFilterBlockBytes = 32;

// The filter's size for that many keys: a multiple of kKeyFilterBlockBytes, 0 for none.
size_t KeyFilterBytes(size_t key_count);
// The filter of keys with these hashes (KeyHash).
std::vector<uint8_t> BuildKeyFilter(std::span<const uint64_t> hashes);
// False: the key with this hash is certainly not among them. `filter` is a multiple of
// kKeyFilterBlockBytes long.
bool KeyFilterMayContain(Bytes filter, uint64_t hash);

}  // namespace pakv
