// RecoveryMemory: whether the index that recovery makes fits --memory, and if not, what it needs.
#pragma once

#include <absl/status/status.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "kv/store/memory/memory_options.h"
#include "kv/store/start/recovery_progress.h"

namespace pakv {

class RecoveryMemory {
 public:
  // `progress` outlives it; nullptr: nobody wants to know.
  RecoveryMemory(const MemoryOptions& options, std::string directory, uint32_t core_count,
                 RecoveryProgress* progress)
      : options_(options),
        directory_(std::move(directory)),
        progress_(progress != nullptr ? *progress : own_progress_),
        owners_(core_count) {}

  // How much of the log the scan holds at a time: it is over when the store begins to fill its
  // cache, but has to fit until then.
  uint64_t scan_bytes_max() const;
  // Told by the scan.
  ScanProgress& scan_progress() { return progress_.scan; }

  // Any core: so large has this owner's index become.
  void Note(uint32_t owner, uint64_t index_bytes, uint64_t keys);
  // Any core. kResourceExhausted: it does not fit; says what is needed at least.
  absl::Status Check() const;

 private:
  const MemoryOptions options_;
  const std::string directory_;
  struct Owner {
    std::atomic<uint64_t> index_bytes{0};
    std::atomic<uint64_t> keys{0};
  };
  uint64_t IndexBytes() const;

  RecoveryProgress own_progress_;
  RecoveryProgress& progress_;
  std::vector<Owner> owners_;  // by core
};

}  // namespace pakv
