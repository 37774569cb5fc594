// SegmentScanner: reads a sealed segment from its beginning to its end, some blocks at a time, in
// bounded memory, while the store serves. Each block and record is checked before it is handed on.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "kv/log/files/manifest.h"
#include "kv/log/files/store_directory.h"
#include "kv/log/read/recovery_sink.h"
#include "runtime/core/core.h"
#include "runtime/io/buffer_pool.h"
#include "runtime/io/file.h"
#include "runtime/task/task.h"

namespace pakv {

class SegmentScanner {
 public:
  // `info` is sealed. About `read_bytes` are read at a time, but at least one block.
  SegmentScanner(Core& core, const StoreDirectory& directory, const SegmentInfo& info,
                 uint64_t read_bytes);
  SegmentScanner(const SegmentScanner&) = delete;
  SegmentScanner& operator=(const SegmentScanner&) = delete;

  // Errors as the system says. Suspends.
  Task<absl::Status> Open();
  // The records of the next blocks, each checked; their views are valid until the next call. False:
  // no blocks are left. kDataLoss: a block is not what was written, and no record counts. Suspends.
  Task<absl::StatusOr<bool>> Next(std::vector<RecoveredRecord>& records);
  // Of the blocks so far, the largest.
  uint64_t expiry_clock_ms() const { return expiry_clock_ms_; }
  // After Open has ended well. Suspends.
  Task<void> Close();

 private:
  absl::Status Fill(uint64_t got_end, std::vector<RecoveredRecord>& records);
  Task<absl::StatusOr<uint64_t>> ReadAt(uint64_t begin, uint64_t bytes);

  Core& core_;
  const StoreDirectory& directory_;
  const SegmentInfo info_;
  const uint64_t end_;
  const uint64_t read_bytes_;
  const std::string path_;
  File file_;
  AlignedBuffer buffer_;
  uint64_t buffer_begin_ = 0;  // its place in the file
  uint64_t offset_ = 0;        // of the next block
  uint64_t expiry_clock_ms_ = 0;
  uint64_t block_bytes_ = 0;  // of the next block, if it was longer than what was read; else 0
};

}  // namespace pakv
