#include "kv/log/format/key_filter.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "runtime/base/check.h"

namespace pakv {
namespace {

constexpr size_t kBitsPerKey = 10;
constexpr size_t kWords = kKeyFilterBlockBytes / sizeof(uint32_t);
// Odd, one per word: those of Parquet's filter.
constexpr std::array<uint32_t, kWords> kSalts = {0x47b6137b, 0x44974d91, 0x8824ad5b, 0xa2b7289d,
                                                 0x705495c7, 0x2df1424b, 0x9efc4947, 0x5c6bfb31};

// The keys of one core's segments have hashes that share their top bits, so that the upper half of
// the hash itself would leave most of the blocks empty.
constexpr uint64_t kBlockMultiplier = 0x9e3779b97f4a7c15;

// The product's upper half picks the block, the hash's lower half the bits in it.
size_t BlockOf(size_t filter_bytes, uint64_t hash) {
  const uint64_t blocks = filter_bytes / kKeyFilterBlockBytes;
  return static_cast<size_t>((hash * kBlockMultiplier >> 32) * blocks >> 32) * kKeyFilterBlockBytes;
}
uint32_t BitIn(size_t word, uint64_t hash) {
  return uint32_t{1} << (static_cast<uint32_t>(hash) * kSalts[word] >> 27);
}

}  // namespace

size_t KeyFilterBytes(size_t key_count) {
  return RoundUp((key_count * kBitsPerKey + 7) / 8, kKeyFilterBlockBytes);
}

KeyFilter::KeyFilter(size_t key_count) : bytes_(KeyFilterBytes(std::max<size_t>(key_count, 1))) {}

void KeyFilter::Add(uint64_t hash) {
  PAKV_CHECK(!bytes_.empty());
  uint8_t* block = bytes_.data() + BlockOf(bytes_.size(), hash);
  for (size_t word = 0; word < kWords; ++word) {
    uint32_t bits;
    std::memcpy(&bits, block + word * sizeof(bits), sizeof(bits));
    bits |= BitIn(word, hash);
    std::memcpy(block + word * sizeof(bits), &bits, sizeof(bits));
  }
}

void KeyHashes::Add(uint64_t hash) {
  if (pieces_.empty() || pieces_.back().size() == kPieceHashes) {
    pieces_.emplace_back().reserve(kPieceHashes);
  }
  pieces_.back().push_back(hash);
}

std::vector<uint8_t> KeyHashes::BuildFilter() const {
  if (pieces_.empty()) return {};
  KeyFilter filter((pieces_.size() - 1) * kPieceHashes + pieces_.back().size());
  for (const std::vector<uint64_t>& piece : pieces_) {
    for (const uint64_t hash : piece) filter.Add(hash);
  }
  return filter.TakeBytes();
}

bool KeyFilterMayContain(Bytes filter, uint64_t hash) {
  PAKV_CHECK(filter.size() % kKeyFilterBlockBytes == 0);
  if (filter.empty()) return false;
  const uint8_t* block = filter.data() + BlockOf(filter.size(), hash);
  for (size_t word = 0; word < kWords; ++word) {
    uint32_t bits;
    std::memcpy(&bits, block + word * sizeof(bits), sizeof(bits));
    if ((bits & BitIn(word, hash)) == 0) return false;
  }
  return true;
}

}  // namespace pakv
