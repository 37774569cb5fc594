// What recovery finds, and who receives it.
#pragma once

#include <absl/status/status.h>

#include <cstddef>
#include <span>

#include "kv/log/format/format.h"
#include "runtime/core/core.h"
#include "runtime/task/task.h"

namespace pakv {

struct RecoveredRecord {
  Location location;
  Bytes bytes;  // as they stand in the segment; from recovery: none
  // If it was read from a footer without the value, but for a reference's head (kRecordFile).
  RecordFields fields;
};

// What recovery knows when it has read all there is.
struct RecoveryEnd {
  uint32_t next_namespace = 0;  // MANIFEST has names for those below it
  uint64_t expiry_clock_ms = 0;
};

// Receives every record of the directory, old versions, deletes and drops too: the newest LSN of a
// key wins, whatever the order in which they come. If recovery fails later on, all of it is void.
class RecoverySink {
 public:
  // Records of one call: a bound for those who copy them.
  static constexpr size_t kRecordsMax = 4096;
  virtual ~RecoverySink() = default;
  // On any core, `here`; several calls are under way at a time. The views are valid until the task
  // has ended. An error ends the recovery with it.
  virtual Task<absl::Status> Take(Core& here, std::span<const RecoveredRecord> records) = 0;
  // Once, on the coordinating core: all records were given. So far nothing of the directory has
  // been changed; a salvage has put copies beside. An error ends the recovery, and leaves it so.
  // Suspends.
  virtual Task<absl::Status> End(Core& here, const RecoveryEnd& end) {
    static_cast<void>(here);
    static_cast<void>(end);
    co_return absl::OkStatus();
  }
};

}  // namespace pakv
