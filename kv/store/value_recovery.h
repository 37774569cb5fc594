// At start, once the index knows which records count: whether the value files that they refer to
// are there, and which files nobody refers to.
#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "kv/log/directory.h"
#include "kv/shard/shard.h"
#include "kv/shard/value_files.h"
#include "runtime/core/core.h"
#include "runtime/task/task.h"

namespace pakv {

// `shards`, by core, have finished their recovery; `clock_ms` is the recovered expiry clock. Files
// without a durable record, which a crash has left, are removed by `files`, those of this core, in
// the background. kDataLoss: a file is absent or too short, with its key. Suspends.
Task<absl::Status> RecoverValueFiles(Core& here, const StoreDirectory& directory,
                                     const std::vector<std::unique_ptr<Shard>>& shards,
                                     ValueFiles& files, uint64_t clock_ms);

}  // namespace pakv
