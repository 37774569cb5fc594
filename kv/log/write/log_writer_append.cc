// LogWriter's records on their way into blocks: what fits, and where they are put.
#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "kv/log/write/log_writer.h"
#include "kv/log/write/log_writer_block.h"
#include "runtime/base/check.h"

namespace pakv {
namespace {

// Blocks whose memory is kept for the next ones: one in flight, one open, one being settled.
constexpr size_t kFreeBlocksMax = 3;

}  // namespace

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
  block->frees_space = false;
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
  block.frees_space = block.frees_space || !HoldsValue(fields.flags);
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
  PAKV_CHECK(!read_only_ && !stopping_ && !is_ending_, "FitsForCertain was not asked");
  Block& block = OpenBlock(record.size());
  Hang(block, entry, block.builder->AppendCopy(record), static_cast<uint32_t>(record.size()));
}

Appended LogWriter::Append(const RecordFields& fields, DurableEntry& entry) {
  PAKV_CHECK(!read_only_ && !stopping_ && !is_ending_, "Admit was not asked");
  Appended appended;
  Place(OpenBlock(EncodedRecordSize(fields.key, fields.value)), fields, entry, appended);
  return appended;
}

void LogWriter::AppendGroup(std::span<const RecordFields> records,
                            std::span<DurableEntry* const> entries, std::span<Appended> appended) {
  PAKV_CHECK(!read_only_ && !stopping_ && !is_ending_, "Admit was not asked");
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
  PAKV_CHECK(!read_only_ && !stopping_ && !is_ending_, "Admit was not asked");
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
  group.frees_space = group.frees_space || !HoldsValue(fields.flags);
  if (group.given_up) return;  // it is not pending any more
  CountRecord(length);
  newest_lsn_ = std::max(newest_lsn_, fields.lsn);
}

std::optional<Settlement> LogWriter::EndGroup(Block& group, DurableEntry& entry) {
  PAKV_CHECK(group.bytes_to_come == 0, "its records are not all there");
  group.is_filling = false;
  const auto is_it = [&group](const std::unique_ptr<Block>& block) {
    return block.get() == &group;
  };
  const std::optional<Settlement> given_up = group.given_up;
  if (std::erase_if(given_up_groups_, is_it) > 0) return given_up;
  entry.location_ = {.segment = 0, .offset = 0, .length = kBlockHeaderSize};
  group.entries.PushBack(entry);
  CallKick();
  return std::nullopt;
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
  if (is_ending_) {
    ending_.PushBack(entry);
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
  if (refusing_ != Shortage::kNone) return RefusalFor(refusing_);
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

// A log takes its first segment from it, if there is no other: what it writes by itself needs one.
bool LogWriter::MayUseReserve() const {
  if (options_.kind == SegmentKind::kCompaction) return true;
  if (queue_.empty()) return segment_ == 0;
  return queue_.front()->frees_space || queue_.front()->builder->record_count() == 0;
}

// Whether the queue's first block goes into the segment that is written now.
bool LogWriter::NextHasRoom() const {
  const Block& next = *queue_.front();
  const uint64_t length = next.builder->padded_length(next.bytes_to_come);
  if (length > segment_size_ - segment_offset_) return false;
  return !segment_is_reserve_ || !supply_.is_short() || MayUseReserve();
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
  if (refusing_ != Shortage::kNone) return RefusalFor(refusing_);
  if (!HasSpace(0, /*frees_space=*/true)) return RefusalFor(supply_.shortage());
  entry.location_ = {};
  Block& block = OpenBlock(0);
  block.frees_space = true;
  block.entries.PushBack(entry);
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

}  // namespace pakv
