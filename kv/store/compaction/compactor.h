// Compactor: gives back the space of what is dead. It copies what lives of one sealed segment, the
// victim, into a log of its own, and then removes the victim:
//
//   owners say what they know to be dead ─► read the rest, and verify ─► ask them what of it lives
//     ─► copy, durable ─► owners move to the copies
//     ─► nothing lives in it ─► `dropped` durable in MANIFEST ─► no read under way ─► unlink
//
// A crash at any point leaves the victim, or its copies, or both: the same LSN twice is harmless.
// One per store, on the core that owns MANIFEST: all decisions are made here, one victim at a time;
// what the other cores own is asked and changed by message. It works in steps, and takes no more of
// the time than the shortage of space demands; writers are slowed before space runs out. On request
// it compacts also what shortage does not demand: see CompactionProgress.
#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kv/log/files/manifest.h"
#include "kv/log/read/record_places.h"
#include "kv/log/read/recovery_sink.h"
#include "kv/log/read/segment_scanner.h"
#include "kv/log/write/log_writer.h"
#include "kv/shard/shard.h"
#include "kv/store/compaction/compaction_options.h"
#include "kv/store/compaction/compaction_progress.h"
#include "kv/store/compaction/segment_books.h"
#include "runtime/core/core.h"
#include "runtime/io/timer.h"
#include "runtime/task/nursery.h"
#include "runtime/task/sync.h"

namespace pakv {

struct CompactionCounters {
  uint64_t segments = 0;      // compacted and removed
  uint64_t copied_bytes = 0;  // of records
  uint64_t block_bytes = 0;   // written for that, with headers and padding
  uint64_t disk_bytes = 0;    // of the segments that MANIFEST lists
  uint64_t listed_segments = 0;
  uint64_t slowed_permille = 0;  // of the time writes wait
  uint64_t damaged = 0;          // segments that it has found damaged, or cannot read at present
};

class Compactor {
 public:
  struct Parts {
    Core* core = nullptr;  // the one that owns MANIFEST
    const LogContext* context = nullptr;
    std::vector<Shard*> shards;  // by core
    std::function<uint64_t(uint32_t namespace_id, std::string_view key)> hash;
    std::function<uint32_t(uint64_t hash)> owner_of;
    std::function<bool()> read_only;
    // A write of the log or of MANIFEST has failed.
    void (*failed)(void* owner, const absl::Status& why) = nullptr;
    void* owner = nullptr;
    uint64_t expiry_clock_ms = 0;
  };
  Compactor(Parts parts, const CompactionOptions& options);
  Compactor(const Compactor&) = delete;
  Compactor& operator=(const Compactor&) = delete;
  // Stop was awaited, or the core is torn down.
  ~Compactor();

  // All shards run.
  void Start();
  // Ends the pass where it is, and the log. The shards still run. Suspends.
  Task<void> Stop();

  // On its core.
  CompactionCounters counters() const;
  // What the present pass and the books hold; not exact to the byte.
  uint64_t memory_bytes() const;
  // Begins a compaction on request, or joins the one that there is. `gain_percent`: 1 to 100.
  // Returns how far it is; its number is for ProgressOf.
  CompactionProgress Request(uint32_t gain_percent);
  // Of this run's request of that number; nothing if there was none. Of a request before the last
  // two it tells that it is done, and no more.
  std::optional<CompactionProgress> ProgressOf(uint64_t number) const;

 private:
  // A record that is copied, and waits for its copy to be durable.
  struct Staged : DurableEntry {
    Staged(Compactor& compactor_in, const Shard::Asked& asked, size_t bytes_begin_in);
    Compactor& compactor;
    uint64_t hash;
    Lsn lsn;
    Location source;
    size_t bytes_begin;  // in staged_bytes_
    bool is_value;
    bool is_grave;
    bool is_refused = false;
  };
  enum class Passed : uint8_t {
    kDone,
    kNotNow,      // as something is lacking
    kHeld,        // by a transaction, which has not published a record or holds a key
    kDoesNotFit,  // what has to stay of the victim, or it gives back too little
    kEnded,
  };

  Task<void> Run();
  Task<void> Look();
  Task<void> Press();
  Task<void> Pace();
  bool asked() const { return request_.number != 0 && !request_.done; }
  uint32_t VictimOfRequest();
  void NoteForRequest(const SegmentInfo& victim, Passed passed);
  void EndRequest(Outcome outcome, std::string why);
  Task<Passed> Compact(SegmentInfo victim);
  Task<void> TakeDead(uint32_t segment);
  Lsn NewestOfTransactions(const SegmentInfo& victim) const;
  uint64_t RoomForCopies() const;
  Passed NotReadable(const SegmentInfo& victim, const absl::Status& why);
  Task<Passed> Measure(const SegmentInfo& victim);
  void NoteDoesNotFit(const SegmentInfo& victim, uint64_t need_bytes, bool fits);
  Task<Passed> CopyAll(const SegmentInfo& victim, SegmentScanner& scanner);
  Task<bool> Stage(const SegmentInfo& victim);
  template <typename Call>
  static Task<bool> CallWhenIdle(Core& there, Shard& shard, Call& call);
  template <typename Call>
  Task<void> AtOwner(uint32_t owner, Call call);
  Task<void> AskFates(size_t begin, size_t end);
  Lsn NewestGrave() const;
  bool DeleteMayLeave(const SegmentInfo& victim, const Shard::Asked& grave);
  void StageRecord(const Shard::Asked& asked);
  Task<Passed> MoveStaged(const SegmentInfo& victim, bool last);
  Task<Passed> AppendSome(size_t& next);
  Task<void> MoveDurable(size_t begin, size_t end);
  Task<Passed> KeepClock(const SegmentInfo& victim, uint64_t expiry_clock_ms);
  Task<bool> NothingLivesIn(uint32_t segment);
  Task<bool> Drop(const SegmentInfo& victim);
  Task<void> GiveBack();
  Task<bool> Summarize(SegmentInfo segment);
  Task<bool> TakeFooter(SegmentInfo segment);
  Task<void> LearnFromFooters(Lsn newest, uint32_t victim);
  Task<bool> HelpDeletesToLeave();
  struct TickTimer : Timer {
    explicit TickTimer(Compactor& compactor_in);
    Compactor& compactor;
  };
  void SayOnce(const absl::Status& status);
  void NoteUnreadable(uint32_t segment, const absl::Status& status);
  void PutOffUnreadable();
  bool ended() const { return nursery_.stop_requested() || parts_.read_only() || failed_; }
  uint64_t LimitBytes(uint64_t disk_bytes) const;
  uint64_t BeginBytes(uint64_t limit) const;
  Task<uint64_t> UnwrittenBytes();

  const Parts parts_;
  const CompactionOptions options_;
  Core& core_;
  Manifest& manifest_;
  SegmentBooks books_;
  LogWriter log_;

  // As seen last.
  LiveBySegment live_;
  uint64_t live_bytes_ = 0;
  uint64_t free_bytes_ = 0;
  bool disk_full_ = false;
  bool room_counts_ = false;  // for copies: only what is ready is there for certain
  bool removed_unsynced_ = false;
  SegmentBooks::Need need_ = SegmentBooks::Need::kNone;
  uint64_t looked_ns_ = 0;
  bool wanted_ = false;          // there is more than what is left alone
  bool gains_ = false;           // there is something to be gained
  uint32_t share_permille_ = 0;  // of the time that it may take
  uint32_t slow_permille_ = 0;   // of the time that writes wait
  uint64_t pressed_ns_ = 0;
  uint64_t step_begin_ns_ = 0;

  // On request: the newest one, and the one before it.
  CompactionProgress request_;
  CompactionProgress request_before_;
  uint32_t request_gain_percent_ = 0;
  uint32_t request_segment_last_ = 0;  // newer ones are not its business
  uint64_t request_copied_begin_ = 0;

  // Segments that the system would not read, and when each is tried again.
  std::map<uint32_t, uint64_t> unreadable_until_ns_;

  // What its owners know to be dead in this segment, also for another pass if one was not finished.
  RecordPlaces dead_;
  uint32_t dead_of_ = 0;

  // The present pass.
  Lsn newest_ = kNoLsn;  // see NewestOfTransactions
  std::vector<RecoveredRecord> records_;
  std::vector<std::vector<Shard::Asked>> asked_;  // of some of them, by owner
  std::vector<SegmentBooks::Blocker> blockers_;   // of deletes, once one was met
  bool blockers_known_ = false;
  size_t probes_ = 0;  // of filters, since others had their turn
  std::deque<Staged> staged_;
  std::vector<uint8_t> staged_bytes_;             // their records as they are
  bool measures_ = false;                         // nothing is staged, but
  std::vector<uint32_t> measured_;                // what AllFit is asked about
  uint64_t measured_batch_bytes_ = 0;             // of it, since a batch would have ended
  std::vector<std::vector<Shard::Moved>> moves_;  // of some of them, by owner
  size_t pending_ = 0;                            // of the staged ones, appended and not settled
  bool durable_ = true;
  bool dropped_early_ = false;  // see kUnlinkBeforeCopyDurable
  Event settled_;

  bool failed_ = false;
  std::string said_;
  absl::Status why_;  // the present pass could not be finished
  Event news_;        // a segment was sealed, or it is time to look
  TickTimer tick_;
  CompactionCounters counters_;
  Nursery nursery_;  // last: its task uses all of the above
};

}  // namespace pakv
