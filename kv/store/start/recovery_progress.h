// How far the reading of a store's data has come, for whoever waits for it.
#pragma once

#include <atomic>
#include <cstdint>

#include "kv/log/read/scan.h"

namespace pakv {

// Written by the cores while a store opens, read by any thread.
struct RecoveryProgress {
  ScanProgress scan;
  std::atomic<uint64_t> keys{0};  // that are in the index by now
};

}  // namespace pakv
