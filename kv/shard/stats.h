// Counters of a store, over all its cores: plain numbers that each core adds its own to.
#pragma once

#include <cstdint>

namespace pakv {

struct StoreStats {
  uint64_t keys = 0;  // those too whose time is over, until they are taken out
  uint64_t keys_expiring = 0;
  uint64_t index_bytes = 0;
  uint64_t cached_bytes = 0;
  uint64_t reads = 0;
  uint64_t read_hits = 0;       // found, in memory
  uint64_t read_device = 0;     // found, from the device
  uint64_t read_misses = 0;     // not found
  uint64_t expired = 0;         // taken out because their time was over
  uint64_t writes = 0;          // acknowledged as durable
  uint64_t writes_unknown = 0;  // failed after admission
  uint64_t blocks = 0;          // commits, marks included: each is one flush
  uint64_t block_bytes = 0;     // with headers and padding
  uint64_t record_bytes = 0;
  bool read_only = false;  // a log has failed
  bool disk_full = false;  // some core refuses writes for now
};

}  // namespace pakv
