// LogWriter's way from one segment to the next, its marks, and its end.
#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kv/log/files/file_io.h"
#include "kv/log/write/log_writer.h"
#include "kv/log/write/log_writer_block.h"
#include "runtime/base/check.h"
#include "runtime/base/coverage.h"
#include "runtime/base/log.h"
#include "runtime/base/seeded_bug.h"

namespace pakv {

// ---- Segments ----

Task<void> LogWriter::Roll(uint64_t bytes) {
  absl::StatusOr<NewSegment> next = co_await supply_.Take(bytes);
  if (ShortageOf(next.status()) != Shortage::kNone && MayUseReserve()) {
    // The block has grown meanwhile, perhaps.
    if (!queue_.empty()) {
      const Block& first = *queue_.front();
      bytes = std::max<uint64_t>(bytes, first.builder->padded_length(first.bytes_to_come));
    }
    std::optional<NewSegment> reserve = supply_.TakeReserve(bytes);
    if (reserve) next = std::move(*reserve);
  }
  if (!next.ok()) co_return NotRolled(next.status());
  const absl::Status listed = co_await List(*next);
  if (!listed.ok()) {
    const IoResult closed = co_await next->file.Close();
    if (!closed.ok()) LogWarning("cannot close a segment: {}", closed.text());
    co_return NotRolled(listed);
  }
  if (segment_ != 0) {
    footers_.Add({.run = context_.run,
                  .log = options_.log,
                  .segment = segment_,
                  .end_offset = segment_offset_});
  }
  File old = std::exchange(file_, std::move(next->file));
  segment_ = next->segment;
  segment_size_ = next->size;
  segment_offset_ = 0;
  segment_is_reserve_ = next->reserve;
  rolling_ = false;
  ++counters_.segments;
  if (queue_.empty()) {
    idle_.Set();
  } else {
    CallKick();
  }
  if (old.valid()) {
    const IoResult closed = co_await old.Close();
    if (!closed.ok()) LogWarning("cannot close a segment: {}", closed.text());
  }
}

// In MANIFEST, with the one before it as sealed. While it lacks space or descriptors for that,
// nothing has begun, and nothing that is queued waits for the end of it.
Task<absl::Status> LogWriter::List(const NewSegment& next) {
  std::vector<ManifestEntry> entries;
  if (segment_ != 0) {
    entries.push_back(
        {.type = ManifestEntry::Type::kSealed, .segment = segment_, .end_offset = segment_offset_});
  }
  entries.push_back({.type = ManifestEntry::Type::kCreated,
                     .segment = next.segment,
                     .log = options_.log,
                     .run = context_.run,
                     .kind = options_.kind,
                     .size = next.size,
                     .first_sequence = sequence_,
                     .first_chain = chain_,
                     .lsn_floor = LsnFloor()});
  absl::Status status = co_await context_.manifest->Append(core_, entries);
  while (ShortageOf(status) != Shortage::kNone && !stopping_) {
    if (refusing_ == Shortage::kNone) {
      LogWarning("{}; writes are refused until that passes, which is tried each second",
                 MessageOf(status));
    }
    refusing_ = ShortageOf(status);
    RefuseQueue(refusing_);
    const uint64_t retry_ns = core_.now_ns() + SegmentSupply::kRetryNs;
    co_await core_.timers().SleepUntil(retry_ns);
    status = co_await context_.manifest->Append(core_, entries);
  }
  refusing_ = Shortage::kNone;
  co_return status;
}

// The log stays where it is.
void LogWriter::NotRolled(const absl::Status& why) {
  rolling_ = false;
  const Shortage shortage = ShortageOf(why);
  if (shortage != Shortage::kNone) {
    // It may have been asked for while nothing was queued.
    if (!queue_.empty() && !NextHasRoom()) RefuseQueue(shortage);
  } else if (!stopping_ || !queue_.empty()) {
    return Fail(why);
  }
  if (queue_.empty()) {
    idle_.Set();
  } else {
    CallKick();
  }
}

void LogWriter::RollNow() {
  if (Blocked() || !queue_.empty() || stopping_ || segment_offset_ == 0 || supply_.is_short()) {
    return;
  }
  rolling_ = true;
  nursery_.Spawn(Roll(alignment_));
}

// Appends behind the last whole block of a torn segment, as kReopenTornSegment wants it.
Task<void> LogWriter::Reopen() {
  const std::string path = context_.directory->PathOf(SegmentName(context_.reopened.segment));
  const int flags = O_RDWR | context_.directory->direct_flag();
  absl::StatusOr<File> file = co_await OpenFile(core_, path, flags);
  rolling_ = false;
  if (!file.ok()) {
    Fail(file.status());
    co_return;
  }
  file_ = std::move(*file);
  segment_ = context_.reopened.segment;
  segment_size_ = context_.reopened.size;
  segment_offset_ = context_.reopened.offset;
  idle_.Set();
  CallKick();
}

// ---- Marks and the end ----

void LogWriter::MarkDue() {
  if (Blocked() || !queue_.empty() || newest_is_mark_ || holds_marks_ || stopping_) return;
  if (core_.now_ns() < settled_ns_ + kMarkDelayNs) {
    mark_timer_.Arm(core_.timers(), settled_ns_ + kMarkDelayNs);
    return;
  }
  if (MarkFits()) OpenBlock(0);
}

// A mark is not worth the reserve that a shortage leaves.
bool LogWriter::MarkFits() const { return segment_offset_ < segment_size_ || !supply_.is_short(); }

Task<void> LogWriter::WaitUntilIdle() {
  while (!failed_ && (rolling_ || !idle())) {
    idle_.Reset();
    co_await idle_.Wait();
  }
}

// All that lies in the last segment is durable, and MANIFEST says so: it is sealed, or dropped if
// nothing lies in it. Before that sector is on stable storage a crash leaves the segment as every
// crash does, to be judged; from then on as when a log moves on, or a file that the next start
// removes. True: the file may go.
Task<bool> LogWriter::GiveUpLast() {
  if (segment_ == 0 || (read_only_ && !PAKV_BUG(kFailedLogSealed))) co_return false;
  const bool empty = segment_offset_ == 0;
  if (PAKV_BUG(kEmptySegmentRemovedEarly) && empty) co_await CloseLast(/*remove=*/true);
  std::vector<ManifestEntry> entries(1);
  entries[0].type = empty ? ManifestEntry::Type::kDropped : ManifestEntry::Type::kSealed;
  entries[0].segment = segment_;
  entries[0].end_offset = segment_offset_;
  const absl::Status status = co_await context_.manifest->Append(core_, std::move(entries));
  if (!status.ok()) {
    LogWarning("{}; the next start reads all of {}", MessageOf(status),
               context_.directory->PathOf(SegmentName(segment_)));
    co_return false;
  }
  if (empty) {
    PAKV_COVERED(kStopRemovedSegment);
    co_return true;
  }
  PAKV_COVERED(kStopSealedSegment);
  footers_.Add({.run = context_.run,
                .log = options_.log,
                .segment = segment_,
                .end_offset = segment_offset_});
  co_return false;
}

Task<void> LogWriter::CloseLast(bool remove) {
  if (!file_.valid()) co_return;
  const std::string path = context_.directory->PathOf(SegmentName(segment_));
  const IoResult closed = co_await file_.Close();
  if (!closed.ok()) LogWarning("{}", MessageOf(IoError("close", path, closed)));
  if (!remove) co_return;
  const IoResult unlinked = co_await UnlinkFile(core_.io(), path.c_str());
  if (!unlinked.ok()) LogWarning("{}", MessageOf(IoError("remove", path, unlinked)));
}

Task<void> LogWriter::Stop() {
  stopping_ = true;
  co_await WaitUntilIdle();
  if (!failed_ && !newest_is_mark_ && MarkFits()) {
    OpenBlock(0);
    co_await WaitUntilIdle();
  }
  mark_timer_.Disarm();
  co_await supply_.Stop();
  co_await nursery_.Join();
  const bool remove = co_await GiveUpLast();
  co_await footers_.Stop(failed_ ? 0 : kStopFootersNs);
  free_blocks_.clear();
  co_await CloseLast(remove);
}

}  // namespace pakv
