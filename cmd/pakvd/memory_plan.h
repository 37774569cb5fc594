// Whether --memory is enough for the cores that are to share it: each sets buffers aside before it
// holds a key. Where it is not, every new key would be refused from the start; that is told before
// anything is made, not by the first client's error. (What the index of a store that is there needs
// is known once it is read: kv/store/start/recovery_memory.h.)
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <string>

#include "cmd/pakvd/config.h"

namespace pakv {

// What is there whatever the store does (MemoryOptions::base_bytes): the program itself, of which
// so much lies in memory before the cores start, and what each core sets aside.
uint64_t MemoryBaseBytes(uint64_t resident_bytes, uint32_t core_count);

// How many cores --memory is enough for, up to the configured number. Fewer than that only where
// nobody has asked for it; where somebody has, or not even one fits, kResourceExhausted: what they
// need at least, and what to do.
absl::StatusOr<uint32_t> CoresWithinMemory(const ServerConfig& config, uint64_t resident_bytes);

// What to warn of where --memory is more than the `available_bytes` that the system lets this
// process have: it would be ended before it could keep to that. Empty: nothing.
std::string TooMuchMemory(const ServerConfig& config, uint64_t available_bytes);

}  // namespace pakv
