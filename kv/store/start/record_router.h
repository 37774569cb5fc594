// RecordRouter: brings the records that recovery finds to the owners of their keys, in batches. Any
// core, several at a time.
#pragma once

#include <absl/status/status.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "kv/log/read/recovery_sink.h"
#include "kv/shard/shard.h"
#include "kv/store/start/recovery_memory.h"
#include "runtime/core/core.h"
#include "runtime/task/task.h"

namespace pakv {

class RecordRouter : public RecoverySink {
 public:
  // `shards` are by core. All outlive it.
  RecordRouter(uint64_t hash_seed, const std::vector<std::unique_ptr<Shard>>& shards,
               RecoveryMemory& memory)
      : hash_seed_(hash_seed), shards_(shards), memory_(memory) {}

  // kResourceExhausted: the index does not fit --memory.
  Task<absl::Status> Take(Core& here, std::span<const RecoveredRecord> records) override;

  // All ids of namespaces that were met are below it.
  uint32_t namespaces_end() const { return end_.load(std::memory_order_relaxed); }

 private:
  struct Batch {
    std::vector<Shard::HashedRecord> records;
    std::vector<std::pair<uint32_t, Lsn>> drops;  // by namespace
  };

  void NoteNamespace(uint32_t namespace_id);
  Task<void> Give(Core& here, uint32_t owner, const Batch& batch);

  const uint64_t hash_seed_;
  const std::vector<std::unique_ptr<Shard>>& shards_;
  RecoveryMemory& memory_;
  std::atomic<uint32_t> end_{kNumberedNamespaces};
};

}  // namespace pakv
