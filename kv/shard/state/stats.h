// Counters of a store, over all its cores: plain numbers that each core adds its own to. With its
// histogram 15 KiB.
#pragma once

#include <cstdint>

#include "runtime/base/histogram.h"

namespace pakv {

struct StoreStats {
  uint64_t keys = 0;  // those too whose time is over, until they are taken out
  uint64_t keys_expiring = 0;
  uint64_t index_bytes = 0;
  uint64_t cached_bytes = 0;
  // Memory that is counted (docs/metrics.md says what), and what --memory allows.
  uint64_t memory_bytes = 0;
  uint64_t memory_limit_bytes = 0;  // 0: none
  uint64_t cache_cap_bytes = 0;     // that cached values may take now
  uint64_t new_keys_refused = 0;    // writes
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
  Histogram commit_ns;  // of each block that was written, until it was durable
  // Space, and what compaction has done about it.
  uint64_t segments = 0;                     // that exist
  uint64_t disk_bytes = 0;                   // of them
  uint64_t live_bytes = 0;                   // of the records that keys refer to
  uint64_t value_files = 0;                  // beside them, of values that are too long for them
  uint64_t value_file_bytes = 0;             // of those values
  uint64_t value_chunks_damaged = 0;         // that were met when they were read
  uint64_t compacted_segments = 0;           // removed after what lived in them was copied
  uint64_t compaction_copied_bytes = 0;      // of records
  uint64_t compaction_block_bytes = 0;       // written for that, with headers and padding
  uint64_t write_amplification_percent = 0;  // all block bytes per 100 bytes of records
  uint64_t slowed_permille = 0;              // of the time that writes wait for compaction
  uint64_t damaged_segments = 0;             // that compaction has to leave alone
  bool read_only = false;                    // a log has failed
  bool disk_full = false;                    // some core refuses writes for now
  bool no_descriptors = false;               // ... as the system opens no further file for it
  bool memory_full = false;                  // some core refuses new keys for now
};

}  // namespace pakv
