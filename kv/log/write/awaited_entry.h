// AwaitedEntry: a coroutine's place in the log's queue.
#pragma once

#include "kv/log/write/durable_entry.h"
#include "runtime/task/sync.h"

namespace pakv {

// co_await entry.settled.Wait(); then `settlement` tells. Without a record, or with one.
class AwaitedEntry : public DurableEntry {
 public:
  explicit AwaitedEntry(ReadyQueue& ready)
      : DurableEntry([](DurableEntry& entry, Settlement ended) {
          auto& awaited = static_cast<AwaitedEntry&>(entry);
          awaited.settlement = ended;
          awaited.settled.Set();
        }),
        settled(ready) {}

  Event settled;
  Settlement settlement = Settlement::kUnknown;
};

}  // namespace pakv
