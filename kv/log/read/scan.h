// LogScan: reads and judges all segments that MANIFEST lists, on all cores at once, and gives their
// records to a sink.
//
// What is judged by itself is a unit: a sealed segment, or a log's first unsealed segment with all
// that follow it, which are its witnesses. Units stand in a fixed order (run, log, first sequence)
// and workers take them from its front; which core judges which one changes nothing. If several are
// corrupt, the first in that order is the one that is reported: by then every unit before it has
// been judged, so the result is that of one core judging them one by one.
//
// Of a sealed segment with a footer only that is read. A footer that is not right is no damage of
// the log: the segment is then read whole.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <atomic>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "kv/log/files/manifest.h"
#include "kv/log/files/store_directory.h"
#include "kv/log/read/judge.h"
#include "kv/log/read/recovery_sink.h"
#include "runtime/core/core.h"
#include "runtime/io/buffer_pool.h"
#include "runtime/task/task.h"

namespace pakv {

// What of a segment is to be cut off.
struct ScannedCut {
  uint32_t segment = 0;
  uint64_t offset = 0;
  std::vector<uint8_t> bytes;
  std::string reason;
};

struct ScannedSegment {
  uint32_t segment = 0;
  uint64_t end = 0;           // of its blocks
  uint64_t file_bytes = 0;    // as long as the file is
  bool sealed = false;        // MANIFEST said so
  uint32_t footer_bytes = 0;  // of a footer that is right
  bool torn = false;          // the log is torn at `end`
  // Of its blocks, unless it is sealed or read by direct I/O: what is read again may differ.
  uint32_t checksum = 0;
};

// What the scan of one unit, or of all, came to.
struct ScanTotals {
  uint64_t blocks = 0;
  uint64_t records = 0;
  uint64_t block_bytes = 0;
  uint64_t footers = 0;  // segments of which only the footer was read
  Lsn lsn_max = kNoLsn;
  uint64_t expiry_clock_ms = 0;

  void Add(const ScanTotals& other);
};

// How far a scan has come. Read by any core.
struct ScanProgress {
  std::atomic<uint64_t> total_bytes{0};
  std::atomic<uint64_t> done_bytes{0};
};

struct ScanOptions {
  // Bytes of one read; several are under way per worker. A multiple of kDirectAlignment.
  uint64_t read_bytes = uint64_t{1} << 20;
  // Another thread sets it: the scan ends soon, with kCancelled. May be nullptr.
  const std::atomic<bool>* cancel = nullptr;
  // What is damaged is left out and listed, instead of ending the scan.
  bool salvage = false;
  // Outlives the scan. May be nullptr.
  ScanProgress* progress = nullptr;
  // A line of the log each second, of a scan that takes longer.
  bool logs_progress = true;
  // Segments that all workers together hold in memory; but one unit always has room.
  uint64_t memory_bytes_max = uint64_t{256} << 20;
};

class LogScan {
 public:
  static constexpr uint32_t kWorkersPerCore = 2;  // one reads while the other judges
  static constexpr uint32_t kReadsPerWorker = 4;
  // A longer scan says each so often how far it has come.
  static constexpr uint64_t kReportNs = 1 * kNsPerSecond;
  static constexpr uint64_t kMemoryBytesMax = ScanOptions().memory_bytes_max;

  // `core` coordinates. All arguments outlive the scan.
  LogScan(Core& core, const StoreDirectory& directory, const ManifestState& manifest,
          RecoverySink& sink, const ScanOptions& options);
  LogScan(const LogScan&) = delete;
  LogScan& operator=(const LogScan&) = delete;
  ~LogScan();

  // Once. kDataLoss with file and offset: corrupt. Suspends.
  Task<absl::Status> Run();

  // After Run has ended well; in the units' order.
  const ScanTotals& totals() const { return totals_; }
  std::vector<ScannedSegment>& segments() { return segments_; }
  std::vector<ScannedCut>& cuts() { return cuts_; }
  // Segments of which nothing was given to the sink, and why; with ScanOptions::salvage.
  struct Damage {
    std::vector<SegmentInfo> segments;
    absl::Status why;
  };
  const std::vector<Damage>& damages() const { return damages_; }

 private:
  struct Unit;
  class Worker;

  bool LeavesOut(const absl::Status& status) const {
    return options_.salvage && absl::IsDataLoss(status);
  }
  void ListUnits();
  uint32_t WorkerCount() const;
  Task<void> RunWorker(uint32_t target);
  Unit* NextUnit();
  void Done(Core& here, uint64_t bytes);

  Core& core_;
  const StoreDirectory& directory_;
  const ManifestState& manifest_;
  RecoverySink& sink_;
  const ScanOptions options_;
  std::vector<Unit> units_;
  std::atomic<size_t> next_unit_{0};
  std::atomic<bool> failed_{false};
  uint64_t total_bytes_ = 0;
  std::atomic<uint64_t> done_bytes_{0};
  std::atomic<uint64_t> report_ns_{0};  // when the next line of progress is due

  ScanTotals totals_;
  std::vector<ScannedSegment> segments_;
  std::vector<ScannedCut> cuts_;
  std::vector<Damage> damages_;
};

// The bytes of a segment that may hold blocks: up to its end if it is sealed, else all of it. They
// are read into `memory`, which grows as needed. kDataLoss: the file is absent or too short.
// Suspends.
Task<absl::StatusOr<Bytes>> ReadSegment(Core& here, const StoreDirectory& directory,
                                        const SegmentInfo& info, uint64_t read_bytes,
                                        AlignedBuffer& memory, uint64_t& file_bytes);

}  // namespace pakv
