// What a store is opened with. Units are in the names; defaults are contract.md's.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "kv/log/files/store_directory.h"
#include "kv/log/write/log_context.h"
#include "kv/shard/messages/request.h"
#include "kv/shard/messages/transaction_part.h"
#include "kv/shard/state/reply_room.h"
#include "kv/shard/state/transaction_memory.h"
#include "kv/shard/values/value_files.h"
#include "kv/store/compaction/compaction_options.h"
#include "kv/store/memory/memory_options.h"

namespace pakv {

struct RecoveryProgress;

struct StoreOptions {
  std::string directory = "pakv-data";
  // kMemory: the same store, the log discards. Nothing of it is on disk but whose directory it is.
  EngineKind engine = EngineKind::kLog;
  // Bytes of values that all cores together keep in memory at most; 0: only what is in flight.
  uint64_t cache_bytes = 0;
  MemoryOptions memory;
  // Bytes of a log segment; 0: by the sizes of the store and of the disk. Then, or where the
  // shortest is not 0, new segments are the longer the larger the store is, up to this.
  uint64_t segment_bytes = 0;
  uint64_t segment_bytes_min = 0;
  FlushApart flush_apart;
  // Inclusive.
  uint32_t key_bytes_max = 64 << 10;
  uint32_t value_bytes_max = 1 << 20;
  // Longer values go to files of their own.
  uint32_t inline_value_bytes_max = 1 << 20;
  ValueFilesOptions value_files;
  // Segments that each core keeps open for reading.
  size_t open_segments_max = 64;
  // Bytes of one read when the log is recovered; several are under way per core.
  uint64_t recovery_read_bytes = uint64_t{1} << 20;
  // Shorter segments get no footer; and whether one that spares little is written all the same.
  uint64_t footer_segment_bytes_min = kFooterSegmentBytesMin;
  bool footers_of_any_size = false;
  // Another thread sets it: an Open that is still reading ends soon, with kCancelled and
  // nothing changed. Outlives Open. May be nullptr.
  const std::atomic<bool>* cancel_open = nullptr;
  // Tells how far an Open has come; then the log does not. Outlives Open. May be nullptr.
  RecoveryProgress* progress = nullptr;
  // Entries of the index that one pass of a core looks at to take out what was dropped: about 50 us
  // of work.
  uint32_t sweep_dropped_step = 64;
  // Random numbers for the identity of a new store and for this start; the system's if not given.
  std::optional<StoreEntropy> entropy;
  CompactionOptions compaction;
  // MANIFEST is written afresh after so many appends.
  uint32_t manifest_appends_max = 1024;
  // Of one core: old values and replies that transactions hold; above it large ones are refused.
  uint64_t transaction_bytes_max = TransactionMemory::kBytesMax;
  // Keys of a transaction that one pass of a core works on.
  size_t part_keys_max = kPartKeysMax;
  // Of one core: large replies that were not passed on to their clients yet, and from how many
  // bytes on a reply is large; beyond it reads wait for their clients to read
  // (kv/shard/state/reply_room.h).
  uint64_t reply_bytes_max = ReplyRoom::kBytesMax;
  size_t large_reply_bytes = kLargeReplyBytes;
  // Of one core: buffers that records are read into, beside one that may be larger; a quarter of
  // them is for short records (of no more than large_reply_bytes).
  uint64_t device_read_bytes_max = uint64_t{64} << 20;
  // For the simulator: how long a transaction that is durable waits before its owners publish it,
  // and between the passes that work on its keys.
  uint64_t publish_pause_ns = 0;
  // Goes on without what is damaged (kv/log/read/salvage.h).
  bool salvage = false;
  // Opens data that is from far in this clock's future.
  bool accept_clock = false;
  // Called on core 0 when the directory is locked, before anything else of it is read or written.
  std::function<void()> on_locked;
};

}  // namespace pakv
