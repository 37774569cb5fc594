// FooterWriter: writes footers behind sealed segments, in the background of a core. It reads the
// segment back, so that nothing is kept or done for it when records are committed, and it goes
// slowly while the log is being written to, or the core serves anybody. The newest segments wait
// until the log has gone on, or falls idle: where keys are overwritten fast, compaction takes most
// of them before that. A footer that cannot be written is left out: the segment is then read whole
// at the next start, which is all that is lost.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <deque>
#include <vector>

#include "kv/log/format/format_footer.h"
#include "kv/log/write/log_context.h"
#include "runtime/core/core.h"
#include "runtime/task/nursery.h"
#include "runtime/task/sync.h"
#include "runtime/task/task.h"

namespace pakv {

// A sealed segment without a footer.
struct FooterJob {
  uint64_t run = 0;
  uint32_t log = 0;
  uint32_t segment = 0;
  uint64_t end_offset = 0;
};

class FooterWriter {
 public:
  // Bytes of a segment that are read at a time; a longer block is read whole. About 0.4 ms of work,
  // which whoever asks for something meanwhile waits for.
  static constexpr uint64_t kWindowBytes = uint64_t{256} << 10;
  // The pause after each, as long as the last commit was less than kBusyNs ago, or the ring had
  // more completions since the pause before than its own work makes.
  static constexpr uint64_t kPauseNs = 10 * kNsPerMs;
  static constexpr uint64_t kOwnCompletions = 4;
  static constexpr uint64_t kBusyNs = 50 * kNsPerMs;
  // As long as it is, so many segments wait, the newest.
  static constexpr size_t kYoungMax = 4;
  // A footer of more than this part of its segment spares too little.
  static constexpr uint64_t kPartMax = 4;

  // `context` outlives it.
  FooterWriter(Core& core, const LogContext& context);
  FooterWriter(const FooterWriter&) = delete;
  FooterWriter& operator=(const FooterWriter&) = delete;

  void Start() { nursery_.Spawn(Work()); }
  // True if a segment of this length gets a footer.
  bool Wanted(uint64_t end_offset) const;
  // The segment is sealed, and MANIFEST says so. Before Stop.
  void Add(const FooterJob& job);
  // Writes what is left, without pauses, for at most `limit_ns`. Suspends.
  Task<void> Stop(uint64_t limit_ns);

  // Users write: called for each commit.
  void NoteCommit(uint64_t now_ns) { committed_ns_ = now_ns; }
  uint64_t written() const { return written_; }
  // Of the footer that is being made.
  size_t memory_bytes() const { return draft_bytes_; }

 private:
  class Draft;

  Task<void> Work();
  Task<absl::Status> Write(FooterJob job);
  Task<absl::Status> Read(File& file, const FooterJob& job, const std::string& path, Draft& draft);
  Task<absl::Status> Pause();
  Task<bool> SpaceIsShort();
  bool Busy() const { return committed_ns_ != 0 && core_.now_ns() < committed_ns_ + kBusyNs; }
  bool GivenUp() const { return stopping_ && core_.now_ns() >= deadline_ns_; }

  Core& core_;
  const LogContext& context_;
  std::deque<FooterJob> queue_;
  uint64_t committed_ns_ = 0;
  uint64_t completions_seen_ = 0;  // of the core's ring, at the last pause
  bool stopping_ = false;
  uint64_t deadline_ns_ = 0;
  uint64_t written_ = 0;
  size_t draft_bytes_ = 0;
  Event needed_;
  Nursery nursery_;
};

}  // namespace pakv
