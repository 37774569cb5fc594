// RecoveryMemory: whether the index that recovery makes fits --memory, and if not, what it needs.
#pragma once

#include <absl/status/status.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "kv/log/scan.h"
#include "kv/store/memory_options.h"

namespace pakv {

class RecoveryMemory {
 public:
  RecoveryMemory(const MemoryOptions& options, std::string directory, uint32_t core_count)
      : options_(options), directory_(std::move(directory)), index_bytes_(core_count) {}

  // How much of the log the scan holds at a time: it is over when the store begins to fill its
  // cache, but has to fit until then.
  uint64_t scan_bytes_max() const;
  // Told by the scan.
  ScanProgress progress;

  // Any core: so large has this owner's index become.
  void Note(uint32_t owner, uint64_t bytes) {
    index_bytes_[owner].store(bytes, std::memory_order_relaxed);
  }
  // Any core. kResourceExhausted: it does not fit; says what is needed at least.
  absl::Status Check() const;

 private:
  const MemoryOptions options_;
  const std::string directory_;
  std::vector<std::atomic<uint64_t>> index_bytes_;  // by core
};

}  // namespace pakv
