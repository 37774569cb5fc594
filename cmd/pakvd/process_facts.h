// What this process may use, asked of the system once at the start: the defaults stand on it.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>

namespace pakv {

struct ProcessFacts {
  uint32_t cpu_count = 1;       // in the affinity mask that the process inherited
  uint64_t memory_bytes = 0;    // the least of: machine, control group, resource limits
  uint64_t resident_bytes = 0;  // of it, what the program takes by now
};

ProcessFacts AskProcessFacts();

// Descriptors that this process may open, after raising its soft limit to the hard one.
uint64_t RaiseFileLimit();

}  // namespace pakv
