// DurableEntry: somebody who waits for a block of the log to be on stable storage: a record's
// writer, or an answer that depends on one. It is embedded in what waits (kv/shard/request.h), so
// waiting allocates nothing; the log calls all entries of a block in order, once, when the block is
// durable or the log has failed.
#pragma once

#include <cstdint>

#include "kv/log/format.h"
#include "runtime/base/intrusive_list.h"

namespace pakv {

class DurableEntry : public ListHook {
 public:
  // `durable` false: the log has failed, the outcome is unknown. May append further entries.
  using Function = void (*)(DurableEntry& entry, bool durable);

  DurableEntry() = default;
  explicit DurableEntry(Function settled) : settled_(settled) {}
  void set_settled(Function settled) { settled_ = settled; }
  void Settle(bool durable) { settled_(*this, durable); }

  // Of an entry with a record: set by the log; valid when it settles as durable.
  Location location;
  // The log's own: which block it waits for.
  uint64_t block_sequence = 0;

 private:
  Function settled_ = nullptr;
};

}  // namespace pakv
