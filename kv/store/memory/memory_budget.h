// MemoryBudget: divides --memory among the cores. Each counts what it holds and keeps within its
// share by itself (kv/shard/state/memory_share.h); now and then this asks them all, and gives each
// what it holds and an equal part of what is left. So no request touches anything that cores share,
// and the sum of the shares is the limit at any time.
//
// Counted, exactly: the index and the cache with their slack, tables that are being freed after a
// FLUSH, pending writes, blocks of the log, footers in the making, records being read, what
// compaction holds, and of clients their sessions, buffers and requests (what net tells).
// Counted as a sum that is told at the start: code and stacks, the rings with their receive
// buffers, registered buffers (MemoryOptions::base_bytes). Not counted: what the allocator wastes
// on blocks between its sizes and on holes, small lists (open files, timers, MANIFEST), and the
// kernel's memory, such as sockets. The holes go back to the system once the store has fallen idle,
// that is, while it counts the same from tick to tick.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "kv/shard/shard.h"
#include "kv/store/memory/memory_options.h"
#include "runtime/core/core.h"
#include "runtime/io/timer.h"
#include "runtime/task/nursery.h"
#include "runtime/task/sync.h"
#include "runtime/task/task.h"

namespace pakv {

class MemoryBudget {
 public:
  // With less for each core, beside the base, it is not worth while to begin: an empty index, a
  // block of the log, a few sessions and the longest key.
  static constexpr uint64_t kLeastBytesPerCore = uint64_t{1} << 20;
  // What recovery may hold, as it needs some more than the store does later: deletes too are in the
  // index until all is read.
  static constexpr uint64_t RecoveryLimit(const MemoryOptions& options) {
    return options.limit_bytes + options.limit_bytes / 8;
  }

  // `core` is 0. `others` tells what this core holds beside its shard's and net's. The shards
  // outlive it.
  MemoryBudget(Core& core, std::vector<Shard*> shards, std::function<uint64_t()> others,
               const MemoryOptions& options);
  MemoryBudget(const MemoryBudget&) = delete;
  MemoryBudget& operator=(const MemoryBudget&) = delete;
  // Stop was awaited, or the core is torn down.
  ~MemoryBudget();

  // Divides for the first time, and goes on in the background if there is a limit. All shards run.
  // Suspends.
  Task<void> Start();
  // The shards still run. Suspends.
  Task<void> Stop();

  // 0: no limit from now on. Suspends until all cores know.
  Task<void> SetLimit(uint64_t bytes);
  uint64_t limit_bytes() const { return options_.limit_bytes; }
  // What is counted beside the shards'.
  uint64_t fixed_bytes() const { return options_.base_bytes + others_(); }

 private:
  struct TickTimer : Timer {
    explicit TickTimer(MemoryBudget& budget_in);
    MemoryBudget& budget;
  };
  Task<void> Run();
  // What is counted in all.
  Task<uint64_t> Divide();
  // So many writes of new keys were refused by now, by all cores; `refusing`: one of them still
  // does. Says in the log when that begins, and when it is over.
  void TellOfRefusals(uint64_t refused_count, bool refusing);

  Core& core_;
  const std::vector<Shard*> shards_;
  const std::function<uint64_t()> others_;
  MemoryOptions options_;
  uint64_t refused_count_ = 0;  // at the last look
  uint64_t refused_ns_ = 0;     // when it had become more
  bool is_told_ = false;        // that new keys are refused
  uint64_t tell_again_ns_ = 0;
  Event due_;
  TickTimer tick_;
  Nursery nursery_;  // last: its task uses all of the above
};

}  // namespace pakv
