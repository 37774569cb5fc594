// Long because: appending, writing, rolling, failing and stopping are one state machine over the
// same few variables.

#include "kv/log/write/log_writer.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "kv/log/files/file_io.h"
#include "runtime/base/check.h"
#include "runtime/base/coverage.h"
#include "runtime/base/log.h"
#include "runtime/base/seeded_bug.h"

namespace pakv {
namespace {

// Blocks whose memory is kept for the next ones: one in flight, one open, one being settled.
constexpr size_t kFreeBlocksMax = 3;
// So many short writes in a row that bring nothing are an error.
constexpr int kFruitlessMax = 100;

}  // namespace

struct LogWriter::Block {
  AlignedBuffer buffer;
  std::optional<BlockBuilder> builder;
  IntrusiveList<DurableEntry> entries;
  bool is_filling = false;   // by a group: what it is to hold is not all there
  size_t bytes_to_come = 0;  // of that
  // Once sealed.
  uint64_t sequence = 0;
  uint64_t expiry_clock_ms = 0;
  uint32_t offset = 0;
  Bytes bytes;
};

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

// ---- Appending ----

std::unique_ptr<LogWriter::Block> LogWriter::TakeBlock(size_t capacity) {
  const size_t buffer_bytes = std::max(capacity, block_bytes_max_);
  std::unique_ptr<Block> block;
  if (buffer_bytes == block_bytes_max_ && !free_blocks_.empty()) {
    block = std::move(free_blocks_.back());
    free_blocks_.pop_back();
  } else {
    block = std::make_unique<Block>();
    // The registered buffers are for those whom somebody waits for.
    if (options_.kind == SegmentKind::kCompaction) {
      block->buffer = AlignedBuffer(buffer_bytes);
    } else {
      block->buffer = core_.buffers().Take(buffer_bytes);
    }
  }
  block->builder.emplace(std::span(block->buffer.data(), capacity), alignment_);
  return block;
}

void LogWriter::Recycle(std::unique_ptr<Block> block) {
  PAKV_CHECK(block->entries.empty());
  if (block->builder->capacity() <= block_bytes_max_ && free_blocks_.size() < kFreeBlocksMax) {
    block->builder.reset();
    free_blocks_.push_back(std::move(block));
  }
}

// Of a block that begins with `bytes` of records. Compaction's blocks are long, and what is left at
// a segment's end lost: there the last one is as long as what is left.
size_t LogWriter::CapacityFor(size_t bytes) const {
  const size_t own = RoundUp(kBlockHeaderSize + bytes, alignment_);
  if (options_.kind != SegmentKind::kCompaction) return std::max(block_bytes_max_, own);
  uint64_t queued = 0;
  for (const auto& block : queue_) queued += block->builder->padded_length();
  return CopyCapacity(own, LeftOfSegment() - std::min(LeftOfSegment(), queued));
}

size_t LogWriter::CopyCapacity(size_t own, uint64_t left) const {
  const size_t capacity = std::max(block_bytes_max_, own);
  return own <= left ? std::min<uint64_t>(capacity, left) : capacity;
}

LogWriter::Block& LogWriter::OpenBlock(size_t bytes) {
  if (queue_.empty() || queue_.back()->is_filling || !queue_.back()->builder->Fits(bytes)) {
    queue_.push_back(TakeBlock(CapacityFor(bytes)));
    CallKick();
  }
  return *queue_.back();
}

void LogWriter::Place(Block& block, const RecordFields& fields, DurableEntry& entry,
                      Appended& appended) {
  const auto length = static_cast<uint32_t>(EncodedRecordSize(fields.key, fields.value));
  const uint32_t offset = block.builder->Append(fields);
  Hang(block, entry, offset, length);
  appended.data = block.builder->at(offset);
  appended.length = length;
  appended.key_length = static_cast<uint32_t>(fields.key.size());
  newest_lsn_ = std::max(newest_lsn_, fields.lsn);
}

void LogWriter::Hang(Block& block, DurableEntry& entry, uint32_t offset, uint32_t length) {
  entry.location_ = {.segment = 0, .offset = offset, .length = length};
  block.entries.PushBack(entry);
  CountRecord(length);
}

void LogWriter::CountRecord(uint32_t length) {
  pending_bytes_ += length;
  ++counters_.records;
  counters_.record_bytes += length;
}

void LogWriter::AppendCopy(Bytes record, DurableEntry& entry) {
  PAKV_CHECK(options_.kind == SegmentKind::kCompaction, "a commit log's LSNs grow");
  PAKV_CHECK(!read_only_ && !stopping_, "FitsForCertain was not asked");
  Block& block = OpenBlock(record.size());
  Hang(block, entry, block.builder->AppendCopy(record), static_cast<uint32_t>(record.size()));
}

Appended LogWriter::Append(const RecordFields& fields, DurableEntry& entry) {
  PAKV_CHECK(!read_only_ && !stopping_, "Admit was not asked");
  Appended appended;
  Place(OpenBlock(EncodedRecordSize(fields.key, fields.value)), fields, entry, appended);
  return appended;
}

void LogWriter::AppendGroup(std::span<const RecordFields> records,
                            std::span<DurableEntry* const> entries, std::span<Appended> appended) {
  PAKV_CHECK(!read_only_ && !stopping_, "Admit was not asked");
  PAKV_CHECK(records.size() == entries.size());
  PAKV_CHECK(appended.empty() || appended.size() == records.size());
  size_t bytes = 0;
  for (const RecordFields& fields : records) bytes += EncodedRecordSize(fields.key, fields.value);
  Block& block = OpenBlock(bytes);
  for (size_t i = 0; i < records.size(); ++i) {
    Appended ignored;
    Place(block, records[i], *entries[i], appended.empty() ? ignored : appended[i]);
  }
}

LogWriter::Block& LogWriter::BeginGroup(size_t bytes) {
  PAKV_CHECK(!read_only_ && !stopping_, "Admit was not asked");
  Block& block = OpenBlock(bytes);
  block.is_filling = true;
  block.bytes_to_come = bytes;
  return block;
}

void LogWriter::AddToGroup(Block& group, const RecordFields& fields, DurableEntry& place) {
  const auto length = static_cast<uint32_t>(EncodedRecordSize(fields.key, fields.value));
  PAKV_CHECK(length <= group.bytes_to_come, "it was not asked for");
  group.bytes_to_come -= length;
  place.location_ = {.segment = 0, .offset = group.builder->Append(fields), .length = length};
  if (failed_) return;  // all that was pending is not any more
  CountRecord(length);
  newest_lsn_ = std::max(newest_lsn_, fields.lsn);
}

bool LogWriter::EndGroup(Block& group, DurableEntry& entry) {
  PAKV_CHECK(group.bytes_to_come == 0, "its records are not all there");
  group.is_filling = false;
  const auto is_it = [&group](const std::unique_ptr<Block>& block) {
    return block.get() == &group;
  };
  if (std::erase_if(failed_groups_, is_it) > 0) return false;
  entry.location_ = {.segment = 0, .offset = 0, .length = kBlockHeaderSize};
  group.entries.PushBack(entry);
  CallKick();
  return true;
}

size_t LogWriter::memory_bytes() const {
  const auto own = [](const std::unique_ptr<Block>& block) {
    return block == nullptr || block->buffer.pooled() ? 0 : block->buffer.size();
  };
  size_t bytes = own(in_flight_) + footers_.memory_bytes();
  for (const auto& block : queue_) bytes += own(block);
  for (const auto& block : free_blocks_) bytes += own(block);
  return bytes;
}

bool LogWriter::WaitNewest(DurableEntry& entry) {
  entry.location_ = {};
  if (settling_failure_) {
    failing_.PushBack(entry);
  } else if (!queue_.empty()) {
    queue_.back()->entries.PushBack(entry);
  } else if (in_flight_ != nullptr) {
    in_flight_->entries.PushBack(entry);
  } else {
    return false;
  }
  return true;
}

void LogWriter::InsertBehind(DurableEntry& pending, DurableEntry& entry) {
  PAKV_CHECK(pending.linked(), "it is settled already");
  entry.location_ = {};
  IntrusiveList<DurableEntry>().InsertAfter(pending, entry);
}

Admission LogWriter::Admit(size_t bytes, bool frees_space) const {
  if (read_only_) return Admission::kReadOnly;
  return HasSpace(bytes, frees_space) ? Admission::kOk : RefusalFor(supply_.shortage());
}

bool LogWriter::HasSpace(size_t bytes, bool frees_space) const {
  return !supply_.is_short() || RoomNeeded(bytes) <= RoomForCertain(frees_space);
}

// What is queued, padded as it will be, and `bytes` of records more.
uint64_t LogWriter::RoomNeeded(size_t bytes) const {
  uint64_t needed = 0;
  for (const auto& block : queue_) needed += block->builder->padded_length(block->bytes_to_come);
  if (!queue_.empty() && !queue_.back()->is_filling && queue_.back()->builder->Fits(bytes)) {
    needed +=
        queue_.back()->builder->padded_length(bytes) - queue_.back()->builder->padded_length();
  } else {
    needed += RoundUp(kBlockHeaderSize + bytes, alignment_);
  }
  return needed;
}

// Where there is space for certain: what is left of the segment, or else one of those that are
// ready.
uint64_t LogWriter::RoomForCertain(bool frees_space) const {
  const uint64_t left = LeftOfSegment();
  uint64_t available = std::max(supply_.spare_bytes(), segment_is_reserve_ ? 0 : left);
  if (frees_space) available = std::max({available, left, supply_.reserve_bytes()});
  return available;
}

uint64_t LogWriter::ready_bytes() const {
  uint64_t bytes = LeftOfSegment();
  for (const uint64_t length : supply_.ReadyBytes()) bytes += length;
  return bytes;
}

// As FitsForCertain, AppendCopy, WriteNext and SegmentSupply::Take would go about it.
bool LogWriter::AllFit(std::span<const uint32_t> lengths) const {
  struct Queued {
    uint64_t used;
    uint64_t capacity;
  };
  uint64_t left = LeftOfSegment();
  std::vector<uint64_t> ready = supply_.ReadyBytes();
  std::sort(ready.begin(), ready.end());
  std::vector<Queued> queue;
  uint64_t queued = 0;  // padded
  const auto write = [&](uint64_t length) {
    if (length > left) {
      const auto next = std::lower_bound(ready.begin(), ready.end(), length);
      if (next == ready.end()) return false;
      left = *next;
      ready.erase(next);
    }
    left -= length;
    return true;
  };
  const auto flush = [&] {
    for (const Queued& block : queue) {
      if (!write(RoundUp(block.used, alignment_))) return false;
    }
    queue.clear();
    queued = 0;
    return true;
  };
  const auto append = [&](uint64_t length) {
    const bool opens = queue.empty() || queue.back().used + length > queue.back().capacity;
    const uint64_t used = opens ? kBlockHeaderSize : queue.back().used;
    const uint64_t padded = RoundUp(used + length, alignment_);
    const uint64_t needed = queued + padded - (opens ? 0 : RoundUp(used, alignment_));
    if (needed > std::max(left, ready.empty() ? 0 : ready.back())) return false;
    if (opens) {
      queue.push_back({.used = 0, .capacity = CopyCapacity(padded, left - std::min(left, queued))});
    }
    queue.back().used = used + length;
    queued = needed;
    return true;
  };
  for (const uint32_t length : lengths) {
    if (length == kBatchEnds) {
      if (!flush()) return false;
    } else if (!append(length) && (queue.empty() || !flush() || !append(length))) {
      return false;
    }
  }
  return flush() && write(alignment_) && write(alignment_);
}

void LogWriter::HoldMarks(bool hold) {
  holds_marks_ = hold;
  if (!hold) ArmMark();
}

// Another log's failure is no reason: what this one shows as expired it can still make durable.
Admission LogWriter::WaitClock(DurableEntry& entry) {
  if (failed_) return Admission::kReadOnly;
  if (!HasSpace(0, /*frees_space=*/true)) return RefusalFor(supply_.shortage());
  entry.location_ = {};
  OpenBlock(0).entries.PushBack(entry);
  return Admission::kOk;
}

uint64_t LogWriter::PersistClock() {
  const uint64_t due_ns = settled_ns_ + kClockIntervalNs;
  if (core_.now_ns() < due_ns) return due_ns;
  const bool has_moved = ExpiryClockMs() > durable_clock_ms_;
  if (has_moved && !Blocked() && queue_.empty() && !stopping_ && MarkFits()) OpenBlock(0);
  return core_.now_ns() + kClockIntervalNs;
}

// No record of the segment that begins with the queue's first block is older: in a commit log LSNs
// grow. Compaction's records have any. A block without records may be before the oldest.
Lsn LogWriter::LsnFloor() const {
  if (options_.kind == SegmentKind::kCompaction) return kNoLsn;
  for (const auto& block : queue_) {
    if (block->builder->record_count() == 0) continue;
    return LsnOfRecord(block->builder->at(kBlockHeaderSize));
  }
  return newest_lsn_;
}

// ---- Writing ----

// At the end of a pass: everything that came in it shares the block.
void LogWriter::WriteNext() {
  if (Blocked() || queue_.empty() || queue_.front()->is_filling) return;
  if (context_.discards) [[unlikely]] {
    return SettleUnwritten();
  }
  const uint64_t length = queue_.front()->builder->padded_length();
  if (length > segment_size_ - segment_offset_) {
    rolling_ = true;
    nursery_.Spawn(Roll(length));
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
                       in_flight_->builder->record_count() < options_.flush_apart_records;
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
    entry.settled_(entry, true);
  }
}

void LogWriter::Fail(const absl::Status& why) {
  if (PAKV_BUG(kGoOnAfterFailedFlush) && in_flight_ != nullptr) {
    const std::unique_ptr<Block> block = std::move(in_flight_);
    durable_sequence_ = block->sequence;
    pending_bytes_ -= block->builder->used() - kBlockHeaderSize;
    while (!block->entries.empty()) {
      DurableEntry& entry = block->entries.PopFront();
      entry.settled_(entry, false);
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
  // The blocks stay until all are told: their records are still looked at.
  const std::unique_ptr<Block> block = std::move(in_flight_);
  std::deque<std::unique_ptr<Block>> queue;
  queue.swap(queue_);
  pending_bytes_ = 0;
  if (block != nullptr) failing_.Splice(block->entries);
  for (auto& queued : queue) {
    failing_.Splice(queued->entries);
    if (queued->is_filling) failed_groups_.push_back(std::move(queued));
  }
  settling_failure_ = true;
  while (!failing_.empty()) {
    DurableEntry& entry = failing_.PopFront();
    entry.location_ = {};
    entry.settled_(entry, false);
  }
  settling_failure_ = false;
  idle_.Set();
}

Task<void> LogWriter::Roll(uint64_t bytes) {
  absl::StatusOr<NewSegment> next = co_await supply_.Take(bytes);
  absl::Status status = next.status();
  if (status.ok()) {
    std::vector<ManifestEntry> entries;
    if (segment_ != 0) {
      entries.push_back({.type = ManifestEntry::Type::kSealed,
                         .segment = segment_,
                         .end_offset = segment_offset_});
    }
    entries.push_back({.type = ManifestEntry::Type::kCreated,
                       .segment = next->segment,
                       .log = options_.log,
                       .run = context_.run,
                       .kind = options_.kind,
                       .size = next->size,
                       .first_sequence = sequence_,
                       .first_chain = chain_,
                       .lsn_floor = LsnFloor()});
    status = co_await context_.manifest->Append(core_, entries);
    while (ShortageOf(status) != Shortage::kNone && waits_) {
      const uint64_t retry_ns = core_.now_ns() + SegmentSupply::kRetryNs;
      co_await core_.timers().SleepUntil(retry_ns);
      status = co_await context_.manifest->Append(core_, entries);
    }
  }
  if (!status.ok()) {
    if (next.ok()) {
      const IoResult closed = co_await next->file.Close();
      if (!closed.ok()) LogWarning("cannot close a segment: {}", closed.text());
    }
    rolling_ = false;
    // A log that is being closed and has nothing to write does not need the segment.
    if (!stopping_ || !queue_.empty()) Fail(status);
    idle_.Set();
    co_return;
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

void LogWriter::DoNotWait() {
  waits_ = false;
  supply_.DoNotWait();
}

Task<void> LogWriter::Stop() {
  stopping_ = true;
  DoNotWait();
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
