// DurableEntry: somebody who waits for a block of the log to be on stable storage: a record's
// writer, or an answer that depends on one. It is embedded in what waits
// (kv/shard/messages/request.h), so waiting allocates nothing.
#pragma once

#include <cstdint>

#include "kv/log/format/format.h"
#include "runtime/base/intrusive_list.h"

namespace pakv {

// What has become of what an entry waits for. After the last two nothing of it was given to any
// device, and nothing ever will be: it has not happened.
enum class Settlement : uint8_t {
  kDurable,
  kUnknown,        // the log has failed: it may be there after a restart
  kDiskFull,       // there was no segment for it
  kNoDescriptors,  // the same: no further file can be opened
};
inline bool IsRefused(Settlement settlement) {
  return settlement == Settlement::kDiskFull || settlement == Settlement::kNoDescriptors;
}

// Hung on a block by the LogWriter, in the order in which entries are to be settled. Its owner
// keeps it alive until then; one that is destroyed leaves the queue (its record, if any, is written
// all the same).
class DurableEntry : public ListHook {
 public:
  // Called once, from the core's loop, never from within Append. The entry is unlinked by then and
  // may be destroyed or used again. May append, if the log admits it: while it refuses what it
  // holds it does not, so that nothing is built on what is about to be refused.
  using Settled = void (*)(DurableEntry&, Settlement settlement);
  explicit DurableEntry(Settled settled) : settled_(settled) {}

  // The hash of the key that settling it will look up, 0 for none: LogWriterOptions::settling is
  // told of it ahead.
  uint64_t settles_hash = 0;

  // Where its record lies; final when it is settled. Segment 0 for an entry without a record.
  const Location& location() const { return location_; }
  // Of a record that LogWriter::AddToGroup has placed, when its group is durable; `group`: the
  // location of the entry that ended it.
  void PlaceIn(const Location& group) {
    location_.segment = group.segment;
    location_.offset += group.offset;
  }

 private:
  friend class LogWriter;
  const Settled settled_;
  Location location_;
};

}  // namespace pakv
