// A set of keys that answers "certainly not" or "perhaps": a split-block Bloom filter (blocks of 32
// bytes, one bit in each of their eight words), ten bits per key. It is wrong for about one in
// eighty of the keys that it does not hold. docs/format.md, "Footer". Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "kv/log/format/format.h"

namespace pakv {

inline constexpr size_t kKeyFilterBlockBytes = 32;

// The filter's size for that many keys: a multiple of kKeyFilterBlockBytes, 0 for none.
size_t KeyFilterBytes(size_t key_count);
// False: the key with this hash (KeyHash) is certainly not among them. `filter` is a multiple of
// kKeyFilterBlockBytes long.
bool KeyFilterMayContain(Bytes filter, uint64_t hash);

class KeyFilter {
 public:
  // For about `key_count` keys, but at least room for one; more of them make it less sure.
  explicit KeyFilter(size_t key_count);
  // One that was built before, as a footer holds it.
  explicit KeyFilter(std::vector<uint8_t> bytes) : bytes_(std::move(bytes)) {}

  // Not of a filter for no keys.
  void Add(uint64_t hash);
  bool MayContain(uint64_t hash) const { return KeyFilterMayContain(bytes_, hash); }
  const std::vector<uint8_t>& bytes() const { return bytes_; }
  std::vector<uint8_t> TakeBytes() { return std::move(bytes_); }

 private:
  std::vector<uint8_t> bytes_;
};

// Hashes of keys, as many as come, for the filter that is made of them once all are there. They lie
// in pieces: nothing is copied as they grow, and no block of memory is so large that the allocator
// would keep others of its size resident for good.
class KeyHashes {
 public:
  void Add(uint64_t hash);
  // The filter of these keys, as a footer holds it; empty for none.
  std::vector<uint8_t> BuildFilter() const;
  size_t memory_bytes() const { return pieces_.size() * kPieceHashes * sizeof(uint64_t); }

 private:
  static constexpr size_t kPieceHashes = 8192;

  std::vector<std::vector<uint64_t>> pieces_;  // all full but for the last
};

}  // namespace pakv
