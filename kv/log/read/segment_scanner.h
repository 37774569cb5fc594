// SegmentScanner: reads a sealed segment from its beginning to its end, some blocks at a time, in
// bounded memory, while the store serves. Each block and record is checked before it is handed on.
// While a caller looks at one piece the next is read, each byte once.
//
// Records that a caller knows already are stepped over. That costs their first bytes instead of all
// of them; and as a block's header holds a checksum over its records' checksums, one in order, none
// is taken for another, or missed, because what was stepped over is damaged.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "kv/log/files/manifest.h"
#include "kv/log/files/store_directory.h"
#include "kv/log/read/record_places.h"
#include "kv/log/read/recovery_sink.h"
#include "runtime/core/core.h"
#include "runtime/io/buffer_pool.h"
#include "runtime/io/file.h"
#include "runtime/task/nursery.h"
#include "runtime/task/task.h"

namespace pakv {

class SegmentScanner {
 public:
  // `info` is sealed. About `read_bytes` are read at a time, and two pieces held, but at least one
  // block each. `stepped_over`, if any, outlives the scanner, and does not change meanwhile.
  SegmentScanner(Core& core, const StoreDirectory& directory, const SegmentInfo& info,
                 uint64_t read_bytes, const RecordPlaces* stepped_over = nullptr);
  SegmentScanner(const SegmentScanner&) = delete;
  SegmentScanner& operator=(const SegmentScanner&) = delete;

  // Errors as the system says. Suspends.
  Task<absl::Status> Open();
  // The records of the next blocks, each checked, but for those that are stepped over; their views
  // are valid until the next call. False: no blocks are left. kDataLoss: a block is not what was
  // written, and no record counts. Suspends.
  Task<absl::StatusOr<bool>> Next(std::vector<RecoveredRecord>& records);
  // Of the blocks so far, the largest.
  uint64_t expiry_clock_ms() const { return expiry_clock_ms_; }
  // After Open has ended well. Suspends.
  Task<void> Close();

 private:
  // What lies in memory of the file.
  struct Piece {
    AlignedBuffer buffer;
    uint64_t begin = 0;
    uint64_t end = 0;
  };

  void ReadAhead();
  Task<void> Read();
  absl::Status Fill(std::vector<RecoveredRecord>& records);

  Core& core_;
  const StoreDirectory& directory_;
  const SegmentInfo info_;
  const uint64_t end_;
  const uint64_t read_bytes_;
  const RecordPlaces* const stepped_over_;
  const std::string path_;
  File file_;
  Piece piece_;           // the one that is looked at
  uint64_t offset_ = 0;   // of the next block,
  uint64_t wanted_ = 0;   // and where it ends, if its beginning is in the piece
  Piece ahead_;           // the one that is being read
  bool reading_ = false;  // ... or waits to be looked at
  absl::Status status_;   // of reading it
  bool file_ended_ = false;
  uint64_t expiry_clock_ms_ = 0;
  Nursery nursery_;  // last: its task uses all of the above
};

}  // namespace pakv
