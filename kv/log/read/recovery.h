// Recovery: reads what the last run left, decides what is torn and what corrupt, makes what it
// believes durable, and seals it. docs/format.md, "Recovery's order": a crash in the middle leaves
// a directory that the next recovery reads the same.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kv/log/files/manifest.h"
#include "kv/log/files/store_directory.h"
#include "kv/log/format/format.h"
#include "kv/log/read/recovery_sink.h"
#include "kv/log/read/scan.h"
#include "kv/log/write/footer_writer.h"
#include "kv/log/write/log_context.h"
#include "runtime/core/core.h"
#include "runtime/task/task.h"

namespace pakv {

struct RecoveryOptions {
  uint64_t run = 0;           // of this start
  bool salvage = false;       // what is damaged is left out (kv/log/read/salvage.h)
  bool accept_clock = false;  // data from more than a day ahead of the wall clock is taken
  ScanOptions scan;
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
  uint64_t bytes = 0;    // of blocks
  uint64_t footers = 0;  // segments of which only the footer was read
  Lsn lsn_max = kNoLsn;
  uint64_t expiry_clock_ms = 0;
  std::vector<RecoveryCut> cuts;
  std::vector<std::string> salvage;  // what was left out, one line each
};

struct Recovered {
  // Of this run, written by this recovery.
  std::unique_ptr<Manifest> manifest;
  RecoveryReport report;
  // Segments that have no footer, or none that is right.
  std::vector<FooterJob> without_footer;
  ReopenedSegment reopened;  // see kReopenTornSegment; none otherwise
};

// `core` coordinates and owns the MANIFEST from then on; all cores read and judge. Before
// everything was judged, and the sink agrees, nothing is written but what a salvage puts beside: a
// directory that is refused stays as it was, byte for byte. Errors: kDataLoss (corrupt: file,
// offset, reason), kFailedPrecondition (the clock), kCancelled, kResourceExhausted, kInternal, the
// sink's. Suspends.
Task<absl::StatusOr<Recovered>> Recover(Core& core, const StoreDirectory& directory,
                                        RecoverySink& sink, RecoveryOptions options);

// What the logs of this start share. `directory` and `recovered` outlive it.
LogContext ContextOf(const StoreDirectory& directory, const Recovered& recovered,
                     uint64_t segment_bytes, uint64_t segment_bytes_min = UINT64_MAX);

}  // namespace pakv
