// LogWriter's blocks on their way to the device: written, flushed, settled or failed.
#include "kv/log/write/log_writer.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "kv/log/files/file_io.h"
#include "kv/log/write/log_writer_block.h"
#include "runtime/base/check.h"
#include "runtime/base/coverage.h"
#include "runtime/base/log.h"
#include "runtime/base/seeded_bug.h"

namespace pakv {
namespace {

// So many short writes in a row that bring nothing are an error.
constexpr int kFruitlessMax = 100;

}  // namespace

LogWriter::WriteOperation::WriteOperation(LogWriter& writer_in)
    : Operation([](Completion& self) { static_cast<WriteOperation&>(self).writer.Written(); }),
      writer(writer_in) {}
LogWriter::Kick::Kick(LogWriter& writer_in)
    : Runnable([](Runnable& self) { static_cast<Kick&>(self).writer.WriteNext(); }),
      writer(writer_in) {}
LogWriter::MarkTimer::MarkTimer(LogWriter& writer_in)
    : Timer([](Timer& self) { static_cast<MarkTimer&>(self).writer.MarkDue(); }),
      writer(writer_in) {}

LogWriter::LogWriter(Core& core, const LogContext& context, const LogWriterOptions& options)
    : core_(core),
      context_(context),
      options_(options),
      alignment_(context.directory->alignment()),
      block_bytes_max_(
          std::min<uint64_t>(core.buffers().buffer_bytes(), context.segment_bytes_min)),
      expiry_clock_ms_(PAKV_BUG(kExpiryClockForgotten) ? 0 : options.expiry_clock_ms),
      durable_clock_ms_(expiry_clock_ms_),
      write_(*this),
      kick_(*this),
      mark_timer_(*this),
      idle_(core.ready()),
      supply_(core, context, options.kind),
      footers_(core, context),
      nursery_(core.ready()) {
  newest_lsn_ = options.lsn_before;
  PAKV_CHECK(context.run != 0);
  PAKV_CHECK(context.segment_bytes_min % alignment_ == 0 && context.segment_bytes_min > 0);
  PAKV_CHECK(context.segment_bytes % alignment_ == 0);
  PAKV_CHECK(context.segment_bytes_min <= context.segment_bytes);
  PAKV_CHECK(context.segment_bytes <= kSegmentBytesMax / 2);
  PAKV_CHECK(block_bytes_max_ % alignment_ == 0 && block_bytes_max_ > 0);
}

LogWriter::~LogWriter() = default;

void LogWriter::Start() {
  if (context_.discards) return;
  supply_.Start();
  footers_.Start();
  // Compaction may never come to need one.
  if (options_.kind == SegmentKind::kCompaction) return;
  // The first segment at once, so that the first commit does not wait for it.
  rolling_ = true;
  const bool reopens = context_.reopened.segment != 0 && context_.reopened.log == options_.log;
  if (PAKV_BUG(kReopenTornSegment) && reopens) {
    nursery_.Spawn(Reopen());
  } else {
    nursery_.Spawn(Roll(alignment_));
  }
}

uint64_t LogWriter::ExpiryClockMs() {
  const uint64_t wall_ms = core_.wall_us() / 1000;
  if (wall_ms < expiry_clock_ms_) PAKV_COVERED(kExpiryClockStands);
  expiry_clock_ms_ = std::max(expiry_clock_ms_, wall_ms);
  return expiry_clock_ms_;
}

// At the end of a pass: everything that came in it shares the block.
void LogWriter::WriteNext() {
  if (Blocked() || queue_.empty() || queue_.front()->is_filling) return;
  if (context_.discards) [[unlikely]] {
    return SettleUnwritten();
  }
  if (!NextHasRoom()) {
    rolling_ = true;
    nursery_.Spawn(Roll(queue_.front()->builder->padded_length()));
    return;
  }
  in_flight_ = std::move(queue_.front());
  queue_.pop_front();
  Block& block = *in_flight_;
  block.sequence = sequence_;
  block.expiry_clock_ms = ExpiryClockMs();
  block.offset = static_cast<uint32_t>(segment_offset_);
  const BlockBuilder::Sealed sealed = block.builder->Seal({.run = context_.run,
                                                           .log = options_.log,
                                                           .segment = segment_,
                                                           .offset = block.offset,
                                                           .sequence = sequence_,
                                                           .known_durable = durable_sequence_,
                                                           .expiry_clock_ms = block.expiry_clock_ms,
                                                           .chain = chain_});
  block.bytes = sealed.bytes;
  chain_ = sealed.checksum;
  ++sequence_;
  segment_offset_ += block.bytes.size();
  if (segment_offset_ > segment_size_ / 2) supply_.Hurry();
  written_bytes_ = 0;
  fruitless_ = 0;
  submitted_ns_ = core_.now_ns();
  SubmitRest();
  if (PAKV_BUG(kAcknowledgeBeforeFlush)) Settle(block);
}

// It will never be safer than it is now.
void LogWriter::SettleUnwritten() {
  in_flight_ = std::move(queue_.front());
  queue_.pop_front();
  in_flight_->sequence = sequence_++;
  in_flight_->expiry_clock_ms = ExpiryClockMs();
  Durable();
}

void LogWriter::SubmitRest() {
  const Bytes rest = in_flight_->bytes.subspan(written_bytes_);
  const bool at_once = context_.directory->direct() &&
                       !options_.flush_apart.Has(in_flight_->builder->record_count());
  write_.request = {.opcode = Opcode::kWrite,
                    .sync = at_once,
                    .buffer_index = in_flight_->buffer.index(),
                    .handle = file_.handle(),
                    .length = static_cast<uint32_t>(rest.size()),
                    .offset = uint64_t{in_flight_->offset} + written_bytes_,
                    .const_buffer = rest.data()};
  core_.ring().Submit(write_);
}

void LogWriter::Written() {
  const IoResult result = write_.result;
  const bool was_sync = write_.request.opcode == Opcode::kSyncData;
  if (!result.ok() || (!was_sync && result.count() == 0) || fruitless_ == kFruitlessMax) {
    const std::string path = context_.directory->PathOf(SegmentName(segment_));
    Fail(IoErrorAt(was_sync ? "sync" : "write", path, write_.request.offset,
                   result.ok() ? IoResult(-EIO) : result));
    return;
  }
  if (was_sync) return Durable();
  const bool direct = context_.directory->direct();
  fruitless_ = direct && result.count() < alignment_ ? fruitless_ + 1 : 0;
  written_bytes_ += result.count();
  if (written_bytes_ < in_flight_->bytes.size()) {
    // The rest is written and flushed too before anybody is answered. Direct I/O goes on from the
    // last whole unit; what lies behind it is written again with the same bytes.
    ++counters_.short_writes;
    if (direct) written_bytes_ = static_cast<uint32_t>(RoundDown(written_bytes_, alignment_));
    return SubmitRest();
  }
  if (write_.request.sync) return Durable();
  write_.request = {.opcode = Opcode::kSyncData, .handle = file_.handle()};
  core_.ring().Submit(write_);
}

void LogWriter::Durable() {
  std::unique_ptr<Block> block = std::move(in_flight_);
  const bool mark = block->builder->record_count() == 0;
  durable_segment_ = segment_;
  durable_sequence_ = block->sequence;
  durable_clock_ms_ = block->expiry_clock_ms;
  pending_bytes_ -= block->builder->used() - kBlockHeaderSize;
  ++counters_.blocks;
  counters_.marks += mark ? 1 : 0;
  counters_.block_bytes += block->bytes.size();
  settled_ns_ = core_.now_ns();
  if (!context_.discards) counters_.commit_ns.Record(settled_ns_ - submitted_ns_);
  footers_.NoteCommit(settled_ns_);
  newest_is_mark_ = mark;
  Settle(*block);
  Recycle(std::move(block));
  if (!queue_.empty()) {
    CallKick();
    return;
  }
  idle_.Set();
  ArmMark();
}

void LogWriter::ArmMark() {
  if (newest_is_mark_ || holds_marks_ || mark_timer_.armed() || context_.discards) return;
  mark_timer_.Arm(core_.timers(), settled_ns_ + kMarkDelayNs);
}

void LogWriter::AnnounceSettling(IntrusiveList<DurableEntry>& entries) {
  std::array<uint64_t, kSettlingMax> hashes;
  size_t count = 0;
  size_t seen = 0;
  for (DurableEntry* entry = entries.First(); entry != nullptr && seen < kSettlingMax; ++seen) {
    if (entry->settles_hash != 0) hashes[count++] = entry->settles_hash;
    entry = entries.Next(*entry);
  }
  options_.settling(options_.settler, std::span(hashes.data(), count));
}

// Its block is on stable storage: every entry in order, those that are added meanwhile too.
void LogWriter::Settle(Block& block) {
  for (size_t settled = 0; !block.entries.empty(); ++settled) {
    if (options_.settling != nullptr && settled % kSettlingMax == 0) {
      AnnounceSettling(block.entries);
    }
    DurableEntry& entry = block.entries.PopFront();
    if (entry.location_.length != 0) {
      entry.location_.segment = segment_;
      entry.location_.offset += block.offset;
    }
    entry.settled_(entry, Settlement::kDurable);
  }
}

void LogWriter::Fail(const absl::Status& why) {
  if (PAKV_BUG(kGoOnAfterFailedFlush) && in_flight_ != nullptr) {
    const std::unique_ptr<Block> block = std::move(in_flight_);
    durable_sequence_ = block->sequence;
    pending_bytes_ -= block->builder->used() - kBlockHeaderSize;
    while (!block->entries.empty()) {
      DurableEntry& entry = block->entries.PopFront();
      entry.settled_(entry, Settlement::kUnknown);
    }
    if (!queue_.empty()) CallKick();
    idle_.Set();
    return;
  }
  PAKV_CHECK(!failed_);
  failed_ = true;
  read_only_ = true;
  mark_timer_.Disarm();
  LogError("{}; the store is read-only until it is restarted", MessageOf(why));
  if (options_.failed != nullptr) options_.failed(options_.owner, why);
  const std::unique_ptr<Block> block = std::move(in_flight_);
  if (block != nullptr) ending_.Splice(block->entries);
  EndQueue(Settlement::kUnknown);
  idle_.Set();
}

// Nothing of it was given to the device: it has not happened. Nothing is admitted before all are
// told, or it could be decided by what has not happened and is not known as that yet.
void LogWriter::RefuseQueue(Shortage why) {
  PAKV_CHECK(in_flight_ == nullptr, "its block would be told after those that are behind it");
  if (queue_.empty()) return;
  PAKV_COVERED(kQueueRefused);
  const Shortage before = std::exchange(refusing_, why);
  EndQueue(why == Shortage::kSpace ? Settlement::kDiskFull : Settlement::kNoDescriptors);
  refusing_ = before;
}

// The blocks stay until all are told: their records are still looked at.
void LogWriter::EndQueue(Settlement settlement) {
  std::deque<std::unique_ptr<Block>> queue;
  queue.swap(queue_);
  pending_bytes_ = 0;
  for (auto& queued : queue) {
    ending_.Splice(queued->entries);
    if (!queued->is_filling) continue;
    if (IsRefused(settlement)) PAKV_COVERED(kGroupRefused);
    queued->given_up = settlement;
    given_up_groups_.push_back(std::move(queued));
  }
  is_ending_ = true;
  while (!ending_.empty()) {
    DurableEntry& entry = ending_.PopFront();
    entry.location_ = {};
    entry.settled_(entry, settlement);
  }
  is_ending_ = false;
  if (PAKV_BUG(kRefusedWriteStays) && IsRefused(settlement)) {
    std::erase(queue, nullptr);
    queue_.swap(queue);
  }
}

}  // namespace pakv
