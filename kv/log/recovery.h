// Recovery: reads what the last run left, decides what is torn and what corrupt, makes what it
// believes durable, and seals it. docs/format.md, "Recovery's order": a crash in the middle leaves
// a directory that the next recovery reads the same.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kv/log/directory.h"
#include "kv/log/format.h"
#include "kv/log/manifest.h"
#include "kv/log/segment.h"
#include "runtime/core/core.h"
#include "runtime/task/task.h"

namespace pakv {

struct RecoveredRecord {
  Location location;
  RecordFields fields;
};

// Receives every record of the directory, old versions, deletes and drops too: the newest LSN of a
// key wins, whatever the order in which they come. If recovery fails later on, all of it is void.
class RecoverySink {
 public:
  // Records of one call: a bound for those who copy them.
  static constexpr size_t kRecordsMax = 4096;
  virtual ~RecoverySink() = default;
  // The views are valid until the task has ended. An error ends the recovery with it.
  virtual Task<absl::Status> Take(std::span<const RecoveredRecord> records) = 0;
};

struct RecoveryOptions {
  uint64_t run = 0;           // of this start
  bool accept_clock = false;  // data from more than a day ahead of the wall clock is taken
};

// Bytes that were cut off behind the last whole block of a log.
struct RecoveryCut {
  std::string path;  // of the segment
  uint64_t offset = 0;
  uint64_t bytes = 0;
  std::string kept_in;
  std::string reason;
};

struct RecoveryReport {
  uint64_t segments = 0;
  uint64_t blocks = 0;
  uint64_t records = 0;
  uint64_t bytes = 0;  // of blocks
  Lsn lsn_max = kNoLsn;
  uint64_t expiry_clock_ms = 0;
  std::vector<RecoveryCut> cuts;
};

struct Recovered {
  // Of this run, written by this recovery.
  std::unique_ptr<Manifest> manifest;
  RecoveryReport report;
  ReopenedSegment reopened;  // see kReopenTornSegment; none otherwise
};

// On one core, which owns the MANIFEST from then on. Nothing but copies in cut/ is written before
// everything was judged. Errors: kDataLoss (corrupt: file, offset, reason), kFailedPrecondition
// (the clock), kResourceExhausted, kInternal. Suspends.
Task<absl::StatusOr<Recovered>> Recover(Core& core, const StoreDirectory& directory,
                                        RecoverySink& sink, RecoveryOptions options);

// What the logs of this start share. `directory` and `recovered` outlive it.
LogContext ContextOf(const StoreDirectory& directory, const Recovered& recovered,
                     uint64_t segment_bytes);

}  // namespace pakv
