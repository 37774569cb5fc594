// GrowingKeyFilter: which keys a segment may hold. A Bloom filter over the keys' hashes
// (Store::Hash), all bits of one key in one cache line: about 1 in 80 keys that are not there seem
// to be.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace pakv {

class GrowingKeyFilter {
 public:
  // For about `keys`; more of them only make it less sure.
  explicit GrowingKeyFilter(uint64_t keys) : lines_(keys * kBitsPerKey / kLineBits + 1) {}

  void Add(uint64_t hash) {
    Line& line = lines_[LineOf(hash)];
    uint64_t bits = hash * kMultiplier;
    for (int i = 0; i < kProbes; ++i, bits >>= kProbeBits) {
      line[bits >> 6 & 7] |= uint64_t{1} << (bits & 63);
    }
  }
  bool MayHold(uint64_t hash) const {
    const Line& line = lines_[LineOf(hash)];
    uint64_t bits = hash * kMultiplier;
    for (int i = 0; i < kProbes; ++i, bits >>= kProbeBits) {
      if ((line[bits >> 6 & 7] >> (bits & 63) & 1) == 0) return false;
    }
    return true;
  }
  size_t bytes_used() const { return lines_.capacity() * sizeof(Line); }

 private:
  static constexpr uint64_t kBitsPerKey = 10;
  static constexpr uint64_t kLineBits = 512;
  static constexpr int kProbes = 7;
  static constexpr int kProbeBits = 9;  // a bit of a line
  static_assert(kProbes * kProbeBits <= 64 && uint64_t{1} << kProbeBits == kLineBits);
  static constexpr uint64_t kMultiplier = 0x9e3779b97f4a7c15;
  using Line = std::array<uint64_t, kLineBits / 64>;

  size_t LineOf(uint64_t hash) const {
    __extension__ using Wide = unsigned __int128;
    // Mixed once more: owners and their segments share the top bits.
    return static_cast<size_t>(
        static_cast<Wide>((hash ^ hash >> 29) * 0xbf58476d1ce4e5b9) * lines_.size() >> 64);
  }

  std::vector<Line> lines_;
};

}  // namespace pakv
