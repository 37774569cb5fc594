// LogWriter: one log's group commit. Records are encoded straight into the open block; when the
// block before it is durable, and at the end of a pass, it is sealed and written with one
// operation whose completion means stable storage. While it is under way the next one fills. So a
// lone writer never waits for company, and a flush serves all who came during the one before.
//
//   Append ─► open block ─(pass end, nothing in flight)─► in flight ─(durable)─► settled, in order
//
// One core's; nothing here suspends its caller except Stop. No coroutine per write: an entry is a
// link and a function.
//
// With LogContext::discards nothing is written: a block is settled at the end of its pass.
//
// A write that fails settles everything that is pending as unknown, in order, and the log refuses
// all further records. Nothing is retried as success.
//
// Where no segment can be made for the block that is to be written next, all that is queued is
// refused, as it would have been at its admission had that been known: the queue as a whole, as
// what is behind may have been decided by what is before it. None of it was written. The reserve is
// for blocks that hold something that frees space.
#pragma once

#include <absl/status/status.h>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "kv/log/files/shortage.h"
#include "kv/log/format/block_builder.h"
#include "kv/log/format/format.h"
#include "kv/log/write/durable_entry.h"
#include "kv/log/write/footer_writer.h"
#include "kv/log/write/log_context.h"
#include "kv/log/write/segment_supply.h"
#include "runtime/base/histogram.h"
#include "runtime/base/intrusive_list.h"
#include "runtime/core/core.h"
#include "runtime/io/operation.h"
#include "runtime/io/timer.h"
#include "runtime/task/nursery.h"
#include "runtime/task/task.h"

namespace pakv {

// A record in a block that is not settled yet: `data` stays valid until the settled functions of
// all entries of its block have returned.
struct Appended {
  const uint8_t* data = nullptr;
  uint32_t length = 0;
  uint32_t key_length = 0;
  std::string_view key() const {
    return {reinterpret_cast<const char*>(data) + kRecordHeaderSize, key_length};
  }
  std::string_view value() const {
    return {reinterpret_cast<const char*>(data) + kRecordHeaderSize + key_length,
            length - kRecordHeaderSize - key_length};
  }
};

struct LogWriterOptions {
  uint32_t log = 0;  // the log's number in this run: the core's
  SegmentKind kind = SegmentKind::kCommit;
  uint64_t expiry_clock_ms = 0;  // recovered: the largest that any block has held
  FlushApart flush_apart;
  Lsn lsn_before = kNoLsn;  // every record of a commit log has a larger LSN
  // Called once, before anything is settled, when a write has failed: the store goes read-only.
  void (*failed)(void* owner, const absl::Status& why) = nullptr;
  void* owner = nullptr;
  // Called before each few entries are settled as durable, with their settles_hash: a flush has
  // hundreds of writers, whose keys are cold by then and can be fetched side by side.
  void (*settling)(void* settler, std::span<const uint64_t> hashes) = nullptr;
  void* settler = nullptr;
};

// One core's counters.
struct LogWriterCounters {
  uint64_t blocks = 0;  // durable, marks included
  uint64_t marks = 0;
  uint64_t records = 0;
  uint64_t record_bytes = 0;  // encoded
  uint64_t block_bytes = 0;   // with headers and padding
  uint64_t segments = 0;      // begun
  uint64_t short_writes = 0;
  // Of each block, marks included, the ns from the pass that gave it to the ring to the pass that
  // found it durable. Nothing if the log discards.
  Histogram commit_ns;
};

class LogWriter {
 public:
  // How long a stop goes on with footers that are missing.
  static constexpr uint64_t kStopFootersNs = 2 * kNsPerSecond;
  // After the last commit, a log that falls idle says by a mark block that it was durable.
  static constexpr uint64_t kMarkDelayNs = 1 * kNsPerMs;
  // While keys expire, so much of the expiry clock may be in memory alone.
  static constexpr uint64_t kClockIntervalNs = 1 * kNsPerSecond;
  // In place of a record's length, for AllFit: what was copied until then is flushed.
  static constexpr uint32_t kBatchEnds = 0;
  // Hashes that `settling` is told of at a time, at most.
  static constexpr size_t kSettlingMax = 16;

  // `context` outlives the writer.
  LogWriter(Core& core, const LogContext& context, const LogWriterOptions& options);
  LogWriter(const LogWriter&) = delete;
  LogWriter& operator=(const LogWriter&) = delete;
  // Stop() was awaited, or the whole core is torn down.
  ~LogWriter();

  // Begins to make segments in the background. Records may be appended at once; they are written
  // when the first segment is ready.
  void Start();
  // Waits until all that was appended is settled, writes a last mark block, closes everything. Then
  // the last segment is sealed, so that the next start reads what lies in it and no zeros, and gets
  // a footer if it is worth one; or it is removed, if nothing lies in it. After a failed write it
  // is left for the next start to judge. Nothing is appended meanwhile. Suspends.
  Task<void> Stop();

  // Whether a record of `bytes` (EncodedRecordSize), or several together, may be appended now.
  // `frees_space`: a delete, an expiry or a drop, which a shortage does not refuse as long as the
  // reserve lasts.
  Admission Admit(size_t bytes, bool frees_space) const;

  // For compaction, whose records free space: whether one of `bytes` fits, with all that is queued,
  // where there is space for certain, so that it does not wait for the end of a shortage.
  bool FitsForCertain(size_t bytes) const {
    return refusing_ == Shortage::kNone && RoomNeeded(bytes) <= RoomForCertain(true);
  }
  // No mark block is written until it is false again: further records come soon, and say as much.
  void HoldMarks(bool hold);
  // Whether records of these lengths, copied one by one as FitsForCertain says, with a flush where
  // it says no and at each kBatchEnds, fit into what is left of the segment and what is ready, with
  // nothing made meanwhile, and two blocks without records (a clock and a mark) behind them. For a
  // log at rest; exact.
  bool AllFit(std::span<const uint32_t> lengths) const;
  // Bytes of blocks that fit there at most.
  uint64_t ready_bytes() const;
  // Its clock is at least this from now on.
  void ShowClock(uint64_t expiry_clock_ms) {
    expiry_clock_ms_ = std::max(expiry_clock_ms_, expiry_clock_ms);
  }
  // The largest clock in a durable block of the segment that is written now; 0 if it has none.
  uint64_t segment_clock_ms() const {
    return durable_segment_ == segment_ && segment_ != 0 ? durable_clock_ms_ : 0;
  }
  // Goes on in another segment, so that the present one is sealed; nothing if it is empty or the
  // log is not at rest.
  void RollNow();
  // The segment that is written now, if nothing was begun in it yet; else 0.
  uint32_t empty_segment() const {
    return segment_offset_ == 0 && queue_.empty() && in_flight_ == nullptr && !rolling_ ? segment_
                                                                                        : 0;
  }
  // Bytes of the segment that is written now in which nothing lies yet.
  uint64_t unwritten_bytes() const { return segment_size_ - segment_offset_; }
  // Space was freed: a full disk is asked again at once.
  void SpaceFreed() { supply_.Retry(); }
  // The store has grown or shrunk (SpaceClaims::SetFiles).
  void FilesChanged() { supply_.FilesChanged(); }

  // Encodes `fields` into the open block and hangs `entry` on it. Admit said kOk in this pass.
  Appended Append(const RecordFields& fields, DurableEntry& entry);
  // For compaction: a verified record of another segment, which is copied as it is.
  void AppendCopy(Bytes record, DurableEntry& entry);
  // Several records that are atomic together: they lie in one block. records[i] belongs to
  // entries[i]; `appended`, if not empty, receives as many results.
  void AppendGroup(std::span<const RecordFields> records, std::span<DurableEntry* const> entries,
                   std::span<Appended> appended);

  // The same of so many that they are encoded in several passes. Their block has its place in the
  // queue from the beginning, and with it their LSN: what is appended meanwhile goes behind it, and
  // is not written before it. Admit said kOk of all their `bytes` (EncodedRecordSize) in this pass,
  // in which the first of them is added, too: LsnFloor looks for it.
  struct Block;
  Block& BeginGroup(size_t bytes);
  // `place` is not hung: it only learns where its record lies, see DurableEntry::PlaceIn.
  void AddToGroup(Block& group, const RecordFields& fields, DurableEntry& place);
  // All are added. `entry` is settled with them, and its location is the block's then; or nothing
  // is hung, and this is what has become of the group meanwhile.
  [[nodiscard]] std::optional<Settlement> EndGroup(Block& group, DurableEntry& entry);

  // Hangs `entry`, which has no record, behind everything that is pending now. False, and nothing
  // done, if nothing is pending.
  [[nodiscard]] bool WaitNewest(DurableEntry& entry);
  // Hangs `entry`, which has no record, directly behind `pending`, which is not settled yet.
  static void InsertBehind(DurableEntry& pending, DurableEntry& entry);

  // A write has failed here, or Refuse was called.
  bool read_only() const { return read_only_; }
  // Another log of the store has failed: refuses further records; what is pending goes on.
  void Refuse() { read_only_ = true; }
  // Nothing is pending.
  bool idle() const { return queue_.empty() && in_flight_ == nullptr; }
  // Bytes of records that are pending: what back-pressure goes by.
  size_t pending_bytes() const { return pending_bytes_; }

  // Memory of blocks and of a footer in the making, the core's registered buffers not counted.
  size_t memory_bytes() const;

  // Of what the next segment is made of: ordinary records may be refused; see Admit.
  Shortage shortage() const {
    return refusing_ != Shortage::kNone ? refusing_ : supply_.shortage();
  }
  bool disk_full() const { return shortage() == Shortage::kSpace; }
  // Zeros written ahead since the start.
  uint64_t zeroed_bytes() const { return supply_.zeroed_bytes(); }

  // The clock that expiry is judged by: the wall clock, but never behind what it has shown before
  // or what was recovered. Milliseconds since 1970. Every block holds it.
  uint64_t ExpiryClockMs();
  // What of it is on stable storage: no later start's clock begins behind it.
  uint64_t durable_clock_ms() const { return durable_clock_ms_; }
  // Hangs `entry`, which has no record, on a block that holds the present expiry clock: behind all
  // that is pending now. Refusals as Admit's for what frees space.
  [[nodiscard]] Admission WaitClock(DurableEntry& entry);
  // Writes a mark block if the clock has moved and nothing was written for kClockIntervalNs, but
  // not from the reserve that a shortage leaves. When to call it again: never later than that.
  uint64_t PersistClock();

  // Writes footers behind sealed segments of this log, and of others that are given to it.
  FooterWriter& footers() { return footers_; }

  const LogWriterCounters& counters() const { return counters_; }

 private:
  struct WriteOperation : Operation {
    explicit WriteOperation(LogWriter& writer_in);
    LogWriter& writer;
  };
  struct Kick : Runnable {
    explicit Kick(LogWriter& writer_in);
    LogWriter& writer;
  };
  struct MarkTimer : Timer {
    explicit MarkTimer(LogWriter& writer_in);
    LogWriter& writer;
  };

  // A segment that the log is about to leave holds nothing more.
  uint64_t LeftOfSegment() const { return rolling_ ? 0 : segment_size_ - segment_offset_; }
  size_t CapacityFor(size_t bytes) const;
  size_t CopyCapacity(size_t own, uint64_t left) const;
  uint64_t RoomNeeded(size_t bytes) const;
  uint64_t RoomForCertain(bool frees_space) const;
  Lsn LsnFloor() const;
  Block& OpenBlock(size_t bytes);
  std::unique_ptr<Block> TakeBlock(size_t capacity);
  void Recycle(std::unique_ptr<Block> block);
  void Place(Block& block, const RecordFields& fields, DurableEntry& entry, Appended& appended);
  void Hang(Block& block, DurableEntry& entry, uint32_t offset, uint32_t length);
  void CountRecord(uint32_t length);
  void WriteNext();
  void SettleUnwritten();
  void SubmitRest();
  void Written();
  void Durable();
  void Settle(Block& block);
  void AnnounceSettling(IntrusiveList<DurableEntry>& entries);
  void Fail(const absl::Status& why);
  void RefuseQueue(Shortage why);
  void EndQueue(Settlement settlement);
  bool MayUseReserve() const;
  bool NextHasRoom() const;
  Task<void> Roll(uint64_t bytes);
  Task<absl::Status> List(const NewSegment& next);
  void NotRolled(const absl::Status& why);
  Task<void> Reopen();
  Task<void> WaitUntilIdle();
  Task<bool> GiveUpLast();
  Task<void> CloseLast(bool remove);
  bool Blocked() const { return in_flight_ != nullptr || rolling_ || failed_; }
  void ArmMark();
  void MarkDue();
  bool MarkFits() const;
  bool HasSpace(size_t bytes, bool frees_space) const;
  void CallKick() { core_.AtPassEnd(kick_); }

  Core& core_;
  const LogContext& context_;
  const LogWriterOptions options_;
  const uint32_t alignment_;
  const size_t block_bytes_max_;  // of ordinary blocks; a larger record has one of its own

  // The segment that is written now, without one `segment_` is 0.
  File file_;
  uint32_t segment_ = 0;
  uint64_t segment_size_ = 0;
  uint64_t segment_offset_ = 0;
  bool segment_is_reserve_ = false;  // taken from the reserve, in a shortage

  // The next block's, and the newest that is durable.
  uint64_t sequence_ = 1;
  uint32_t chain_ = 0;
  uint64_t durable_sequence_ = 0;
  uint64_t expiry_clock_ms_ = 0;
  uint64_t durable_clock_ms_ = 0;

  std::deque<std::unique_ptr<Block>> queue_;  // the last one is open, those before it are full
  std::unique_ptr<Block> in_flight_;
  std::vector<std::unique_ptr<Block>> given_up_groups_;  // not ended yet, see Block::given_up
  std::vector<std::unique_ptr<Block>> free_blocks_;
  IntrusiveList<DurableEntry> ending_;  // being settled as not durable
  bool is_ending_ = false;
  size_t pending_bytes_ = 0;

  WriteOperation write_;
  uint32_t written_bytes_ = 0;  // of the block in flight
  uint64_t submitted_ns_ = 0;   // when it was given to the ring
  int fruitless_ = 0;           // short writes that brought nothing, in a row
  Kick kick_;
  MarkTimer mark_timer_;
  uint64_t settled_ns_ = 0;     // when the last block was durable
  bool newest_is_mark_ = true;  // nothing to say yet
  bool holds_marks_ = false;
  uint32_t durable_segment_ = 0;  // of the newest block that is durable
  Lsn newest_lsn_ = kNoLsn;       // of the records that were appended
  bool rolling_ = false;
  bool read_only_ = false;
  bool failed_ = false;
  bool stopping_ = false;
  // What is queued is being refused, or MANIFEST cannot list the next segment for now: nothing is
  // admitted.
  Shortage refusing_ = Shortage::kNone;
  Event idle_;
  LogWriterCounters counters_;
  SegmentSupply supply_;
  FooterWriter footers_;
  Nursery nursery_;
};

}  // namespace pakv
