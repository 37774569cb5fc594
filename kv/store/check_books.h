// A check of a running store's books: what compaction and recovery go by, against what is there.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kv/log/files/manifest.h"
#include "kv/log/files/store_directory.h"
#include "kv/shard/shard.h"
#include "runtime/core/core.h"
#include "runtime/task/task.h"

namespace pakv {

struct CheckReport {
  struct Finding {
    std::string file;
    std::string what;
  };
  static constexpr size_t kFindingsMax = 1000;  // kept; the others are counted alone

  uint64_t segments = 0;    // that MANIFEST lists
  uint64_t live_bytes = 0;  // of records that the index refers to
  uint64_t finding_count = 0;
  std::vector<Finding> findings;

  void Add(std::string file, std::string what);
};

// Counts again what lives in each segment and compares it with the running sums; each segment that
// something lives in has to be listed by MANIFEST, and each listed one to have its file, long
// enough. Values are not read (`pakvctl verify` does). On core 0, which owns MANIFEST, one at a
// time; serving goes on. Suspends.
Task<CheckReport> CheckBooks(Core& here, const std::vector<std::unique_ptr<Shard>>& shards,
                             const StoreDirectory& directory, const Manifest& manifest);

}  // namespace pakv
