// Store::Shared: what the parts of a store have in common, from its opening to its stop. For
// kv/store's own sources; what users see is store.h.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "kv/log/files/space_claims.h"
#include "kv/log/files/store_directory.h"
#include "kv/log/read/log_reader.h"
#include "kv/log/read/recovery.h"
#include "kv/shard/shard.h"
#include "kv/shard/values/value_files.h"
#include "kv/store/catalogue.h"
#include "kv/store/compaction/compactor.h"
#include "kv/store/memory/memory_budget.h"
#include "kv/store/store.h"
#include "runtime/base/prng.h"
#include "runtime/core/cores.h"
#include "runtime/task/sync.h"

namespace pakv {

// What all shards of one start share. Constant while they run, but for the flag.
struct Store::Shared {
  explicit Shared(Cores& cores_in) : cores(cores_in), one_check(cores_in.core(0).ready(), 1) {}

  Cores& cores;
  std::unique_ptr<StoreDirectory> directory;
  Recovered recovered;  // with this run's MANIFEST
  LogContext context;
  std::vector<std::unique_ptr<LogReader>> readers;
  ValueFilesShared value_files_shared;
  std::vector<std::unique_ptr<ValueFiles>> value_files;
  std::atomic<bool> read_only{false};
  SpaceClaims claims;

  // One per core: its log has failed, and all others have to know. Each failing core sends its own
  // messages, so that two may fail at the same time.
  struct FailureNotice : Message {
    Shard* shard = nullptr;
  };
  struct PerCore {
    Store* store = nullptr;
    uint32_t core = 0;
    bool is_compaction = false;  // the failing log is no core's own
    std::vector<std::unique_ptr<FailureNotice>> notices;
    Prng prng{0};
  };
  std::vector<PerCore> per_core;
  PerCore compaction;
  std::unique_ptr<Compactor> compactor;
  std::unique_ptr<MemoryBudget> memory;
  std::unique_ptr<Catalogue> catalogue;
  Semaphore one_check;  // core 0's
};

}  // namespace pakv
