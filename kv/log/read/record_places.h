// RecordPlaces: a set of places in one segment, at each of which a record begins.
//
// A bit for each 32 bytes: a record takes more, so at most one begins there. Pages of bits are made
// as places are added.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kv/log/format/format.h"
#include "runtime/base/prefetch.h"

namespace pakv {

// Owned by one core at a time; nothing suspends.
class RecordPlaces {
 public:
  // The memory of a page, the notes on 1 MiB.
  static constexpr size_t kPageBytes = 4096;

  // The page that tells of `offset` (bytes within the segment) is there: Add makes none.
  bool HasPageFor(uint32_t offset) const { return Find(BitOf(offset)) != nullptr; }
  void Add(uint32_t offset);
  bool Has(uint32_t offset) const {
    const uint32_t bit = BitOf(offset);
    const Page* const page = Find(bit);
    return page != nullptr && ((*page)[WordOf(bit)] >> (bit % kWordBits) & 1) != 0;
  }
  // Begins to fetch what Add will change.
  void Prefetch(uint32_t offset) const {
    const uint32_t bit = BitOf(offset);
    if (const Page* const page = Find(bit)) PrefetchLine(&(*page)[WordOf(bit)]);
  }
  // Adds all of the other's, whose pages it takes where it has none.
  void Merge(RecordPlaces other);

  size_t page_count() const { return page_count_; }
  size_t bytes_used() const {
    return page_count_ * kPageBytes + pages_.capacity() * sizeof(pages_[0]);
  }

 private:
  static constexpr uint32_t kGranule = 32;  // bytes
  static_assert(kGranule <= kRecordHeaderSize);
  static constexpr uint32_t kWordBits = 64;
  using Page = std::array<uint64_t, kPageBytes / sizeof(uint64_t)>;
  static constexpr uint32_t kPageBits = kPageBytes * 8;

  static uint32_t BitOf(uint32_t offset) { return offset / kGranule; }
  static uint32_t WordOf(uint32_t bit) { return bit % kPageBits / kWordBits; }
  Page* Find(uint32_t bit) const {
    const size_t page = bit / kPageBits;
    return page < pages_.size() ? pages_[page].get() : nullptr;
  }

  std::vector<std::unique_ptr<Page>> pages_;  // nullptr: nothing was added there
  size_t page_count_ = 0;
};

}  // namespace pakv
