#include "kv/log/read/segment_scanner.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "kv/log/files/file_io.h"
#include "runtime/base/check.h"
#include "runtime/base/coverage.h"
#include "runtime/base/log.h"

namespace pakv {

SegmentScanner::SegmentScanner(Core& core, const StoreDirectory& directory, const SegmentInfo& info,
                               uint64_t read_bytes, const RecordPlaces* stepped_over)
    : core_(core),
      directory_(directory),
      info_(info),
      end_(info.sealed_end.value_or(0)),
      read_bytes_(read_bytes),
      stepped_over_(stepped_over),
      path_(directory.PathOf(SegmentName(info.segment))),
      nursery_(core.ready()) {
  PAKV_CHECK(info.sealed_end.has_value());
}

Task<absl::Status> SegmentScanner::Open() {
  absl::StatusOr<File> file = co_await OpenFile(core_, path_, O_RDONLY | directory_.direct_flag());
  if (!file.ok()) co_return file.status();
  file_ = std::move(*file);
  co_return absl::OkStatus();
}

// Behind what is left of the present piece, which it begins with. Of a block that is longer than
// what is read at a time, all the rest at once: so it is moved once.
void SegmentScanner::ReadAhead() {
  const uint64_t unit = directory_.alignment();
  ahead_.begin = std::max(RoundDown(offset_, unit), piece_.begin);
  const uint64_t left = piece_.end - ahead_.begin;
  const uint64_t missing = wanted_ - std::min(wanted_, piece_.end);
  const uint64_t bytes = RoundUp(std::min(std::max(read_bytes_, missing), end_ - piece_.end), unit);
  if (ahead_.buffer.size() < left + bytes) {
    // What is left differs from piece to piece.
    const uint64_t usual = std::min(2 * read_bytes_, RoundUp(end_, unit));
    ahead_.buffer = AlignedBuffer(std::max(left + bytes, usual));
  }
  if (left > 0) {
    std::memcpy(ahead_.buffer.data(), piece_.buffer.data() + (ahead_.begin - piece_.begin), left);
  }
  ahead_.end = piece_.end + bytes;
  reading_ = true;
  nursery_.Spawn(Read());
}

Task<void> SegmentScanner::Read() {
  const uint64_t begin = piece_.end;
  const uint64_t bytes = ahead_.end - begin;
  const absl::StatusOr<uint64_t> read =
      co_await ReadAll(file_, ahead_.buffer.data() + (begin - ahead_.begin), bytes, begin,
                       directory_.transfer_unit(), path_);
  status_ = read.status();
  ahead_.end = begin + read.value_or(0);
  file_ended_ = read.value_or(0) < bytes;
}

Task<absl::StatusOr<bool>> SegmentScanner::Next(std::vector<RecoveredRecord>& records) {
  records.clear();
  while (offset_ < end_) {
    if (!reading_) ReadAhead();
    co_await nursery_.Join();
    reading_ = false;
    if (!status_.ok()) co_return status_;
    std::swap(piece_, ahead_);
    const uint64_t before = offset_;
    const absl::Status status = Fill(records);
    if (!status.ok()) co_return status;
    if (offset_ < end_) {
      if (file_ended_ || piece_.end >= end_) {
        co_return Damaged(path_, offset_, "the file ends before its last block");
      }
      ReadAhead();
    }
    // Else a block is longer than what was read so far.
    if (offset_ > before) co_return true;
  }
  co_return false;
}

// Walks over the whole blocks of the piece.
absl::Status SegmentScanner::Fill(std::vector<RecoveredRecord>& records) {
  const uint64_t got_end = std::min(piece_.end, end_);
  wanted_ = 0;
  while (offset_ < got_end) {
    const Bytes rest(piece_.buffer.data() + (offset_ - piece_.begin), got_end - offset_);
    if (rest.size() < kBlockHeaderSize) break;
    const std::optional<DecodedBlockHeader> decoded = DecodeBlockHeader(rest);
    if (!decoded || decoded->header.run != info_.run || decoded->header.log != info_.log ||
        decoded->header.segment != info_.segment || decoded->header.offset != offset_ ||
        decoded->header.length > end_ - offset_) {
      return Damaged(path_, offset_, "a block's header is not the one that was written");
    }
    const BlockHeader& header = decoded->header;
    if (header.length > rest.size()) {
      wanted_ = offset_ + header.length;
      break;
    }
    const Bytes block = rest.first(header.length);
    BlockRecords walk(block, header.record_count);
    while (true) {
      if (stepped_over_ != nullptr && stepped_over_->Has(header.offset + walk.next_offset())) {
        if (!walk.Skip()) break;
        PAKV_COVERED(kRecordSteppedOver);
        continue;
      }
      const std::optional<Record> record = walk.Next();
      if (!record) break;
      records.push_back({.location = {.segment = info_.segment,
                                      .offset = header.offset + walk.offset(),
                                      .length = record->length},
                         .bytes = block.subspan(walk.offset(), record->length),
                         .fields = record->fields});
    }
    if (!walk.BodyRight(header)) {
      return Damaged(path_, offset_, "a block's records are not those that were written");
    }
    offset_ += header.length;
    expiry_clock_ms_ = std::max(expiry_clock_ms_, header.expiry_clock_ms);
  }
  return absl::OkStatus();
}

Task<void> SegmentScanner::Close() {
  co_await nursery_.Join();
  const IoResult closed = co_await file_.Close();
  if (!closed.ok()) LogWarning("cannot close a segment: {}", closed.text());
}

}  // namespace pakv
