// DurableEntry: somebody who waits for a block of the log to be on stable storage: a record's
// writer, or an answer that depends on one. It is embedded in what waits
// (kv/shard/messages/request.h), so waiting allocates nothing.
#pragma once

#include "kv/log/format/format.h"
#include "runtime/base/intrusive_list.h"

namespace pakv {

// Hung on a block by the LogWriter, in the order in which entries are to be settled. Its owner
// keeps it alive until then; one that is destroyed leaves the queue (its record, if any, is written
// all the same).
class DurableEntry : public ListHook {
 public:
  // Called once, from the core's loop, never from within Append. `durable` false: the log has
  // failed and the outcome is unknown. The entry is unlinked by then and may be destroyed or used
  // again. May append, if the log admits it.
  using Settled = void (*)(DurableEntry&, bool durable);
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
