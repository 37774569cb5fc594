// DeadRecords: places in the log whose records are dead for certain, as each was overtaken by a
// durable write of this run. Compaction asks about every record once, and as a rule nine of ten in
// a victim are dead: for those that are noted here it need not reach for the index.
//
// A bit for each 32 bytes of a segment; a record takes more, so at most one begins there. What is
// not noted may be dead all the same: notes are not kept over a restart, nor beyond kBytesMax, nor
// where keys lack the memory.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <tuple>
#include <vector>

#include "kv/log/format/format.h"

namespace pakv {

// Of one core's keys; that core alone calls. Nothing suspends.
class DeadRecords {
 public:
  // Memory for notes: enough for 4 GiB of segments.
  static constexpr size_t kBytesMax = 16 << 20;

  // The record that begins at `location` is dead, for ever: a place means one record.
  void Note(const Location& location);
  bool Has(const Location& location) const;
  // Begins to fetch what Note will change.
  void Prefetch(const Location& location) const;
  // The segment goes.
  void Forget(uint32_t segment);
  // Forgets all, and gives the memory back; false if there was none.
  bool Clear();
  size_t bytes_used() const;

 private:
  static constexpr uint32_t kGranule = 32;  // bytes
  static_assert(kGranule <= kRecordHeaderSize);
  static constexpr uint32_t kWordBits = 64;
  using Page = std::array<uint64_t, 512>;  // the notes on 1 MiB
  static constexpr uint32_t kPageBits = kWordBits * std::tuple_size_v<Page>;
  using Pages = std::vector<std::unique_ptr<Page>>;  // nullptr: nothing noted there

  // The page of the notes on `bit`; nullptr if there is none.
  Page* Find(uint32_t segment, uint32_t bit) const;

  absl::flat_hash_map<uint32_t, Pages> segments_;
  size_t pages_ = 0;
};

}  // namespace pakv
