// StartCheck: takes what recovery finds, and says, when all of it is there, whether the store can
// be opened as it is. That is before anything of the directory is changed: a start that is refused
// leaves it as it was.
#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kv/log/files/store_directory.h"
#include "kv/shard/shard.h"
#include "kv/store/start/record_router.h"
#include "kv/store/start/recovery_memory.h"
#include "kv/store/start/value_recovery.h"
#include "runtime/core/core.h"
#include "runtime/task/task.h"

namespace pakv {

// "DIR/MANIFEST: has no name for namespace ID": there are keys in it, and MANIFEST has lost it.
std::string NamelessNamespace(const StoreDirectory& directory, uint32_t namespace_id);

class StartCheck final : public RecordRouter {
 public:
  // All outlive it. `salvage`: a namespace without a name, or a value whose file is lost, is no
  // reason to refuse.
  StartCheck(const StoreDirectory& directory, const std::vector<std::unique_ptr<Shard>>& shards,
             RecoveryMemory& memory, ValueFileRecovery& values, bool salvage)
      : RecordRouter(directory.identity().hash_seed, shards, memory),
        directory_(directory),
        shards_(shards),
        values_(values),
        salvage_(salvage) {}

  // The shards' recovery is finished then. kDataLoss: what is missing, and the remedy.
  Task<absl::Status> End(Core& here, const RecoveryEnd& end) override;

 private:
  const StoreDirectory& directory_;
  const std::vector<std::unique_ptr<Shard>>& shards_;
  ValueFileRecovery& values_;
  const bool salvage_;
};

}  // namespace pakv
