// How much memory a store may use. The defaults are for tests: pakvd sets a limit.
#pragma once

#include <cstdint>

#include "runtime/base/clock.h"

namespace pakv {

struct MemoryOptions {
  // All that is counted, over all cores (kv/store/memory/memory_budget.h). 0: no limit.
  uint64_t limit_bytes = 0;
  // Of it, what the process holds besides, whatever the store does: code, rings, buffers.
  uint64_t base_bytes = 0;
  // How often the limit is divided among the cores anew.
  uint64_t tick_ns = 250 * kNsPerMs;
};

}  // namespace pakv
