// DeadRecords: places in the log whose records are dead for certain, as each was overtaken by a
// durable write of this run. Compaction reads every record once, and as a rule nine of ten in a
// victim are dead: those that are noted here it steps over, and need not reach for the index.
//
// What is not noted may be dead all the same: notes are not kept over a restart, nor beyond
// kBytesMax, nor where keys lack the memory.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <cstddef>
#include <cstdint>

#include "kv/log/format/format.h"
#include "kv/log/read/record_places.h"

namespace pakv {

// Of one core's keys; that core alone calls. Nothing suspends.
class DeadRecords {
 public:
  // Memory for notes: enough for 4 GiB of segments.
  static constexpr size_t kBytesMax = 16 << 20;

  // The record that begins at `location` is dead, for ever: a place means one record.
  void Note(const Location& location);
  // Begins to fetch what Note will change.
  void Prefetch(const Location& location) const;
  // Of this segment, all that was noted since it was asked last. They are the caller's now.
  RecordPlaces Take(uint32_t segment);
  // Forgets all, and gives the memory back; false if there was none.
  bool Clear();
  size_t bytes_used() const;

 private:
  absl::flat_hash_map<uint32_t, RecordPlaces> segments_;
  size_t pages_ = 0;
};

}  // namespace pakv
