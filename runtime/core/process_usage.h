// What this process uses of its machine. Asking walks lists of the kernel's, longer ones the more
// descriptors are open: a serving core has it done by another thread. These lists lie in memory, so
// that thread is one that nothing with a disk is given to (CoreOptions::monitor_pool).
#pragma once

#include <cstdint>
#include <optional>

#include "runtime/core/core.h"
#include "runtime/task/task.h"

namespace pakv {

struct ProcessUsage {
  uint64_t user_cpu_us = 0;  // of all threads, since the start
  uint64_t system_cpu_us = 0;
  uint64_t resident_bytes = 0;
  uint64_t resident_bytes_max = 0;  // ever
  uint64_t virtual_bytes = 0;
  // Of the process's table; a connection that lies in a ring's table alone is not among them.
  uint64_t open_descriptors = 0;
  uint64_t descriptors_max = 0;
  uint64_t machine_bytes = 0;  // of memory, whoever uses it
  uint64_t started_ms = 0;     // since 1970; the same in every answer
};

// Any thread that may wait. What the system does not tell is 0.
ProcessUsage ReadProcessUsage();
// What of this process lies in memory now; 0 if the system does not tell.
uint64_t ResidentBytes();
// Descriptors that this process has open now, at least the standard three.
uint64_t OpenDescriptorCount();

// ReadProcessUsage by the monitor pool. Nothing if there is no pool, as in the simulator, where
// the process is not the server's, or if too much waits for it. Suspends.
Task<std::optional<ProcessUsage>> AskProcessUsage(Core& core);

}  // namespace pakv
