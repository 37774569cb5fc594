#include "kv/log/read/segment_scanner.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "kv/log/files/file_io.h"
#include "runtime/base/check.h"
#include "runtime/base/log.h"

namespace pakv {

SegmentScanner::SegmentScanner(Core& core, const StoreDirectory& directory, const SegmentInfo& info,
                               uint64_t read_bytes)
    : core_(core),
      directory_(directory),
      info_(info),
      end_(info.sealed_end.value_or(0)),
      read_bytes_(read_bytes),
      path_(directory.PathOf(SegmentName(info.segment))) {
  PAKV_CHECK(info.sealed_end.has_value());
}

Task<absl::Status> SegmentScanner::Open() {
  absl::StatusOr<File> file = co_await OpenFile(core_, path_, O_RDONLY | directory_.direct_flag());
  if (!file.ok()) co_return file.status();
  file_ = std::move(*file);
  co_return absl::OkStatus();
}

Task<absl::StatusOr<uint64_t>> SegmentScanner::ReadAt(uint64_t begin, uint64_t bytes) {
  if (buffer_.size() < bytes) buffer_ = AlignedBuffer(bytes);
  buffer_begin_ = begin;
  co_return co_await ReadAll(file_, buffer_.data(), bytes, begin, directory_.transfer_unit(),
                             path_);
}

Task<absl::StatusOr<bool>> SegmentScanner::Next(std::vector<RecoveredRecord>& records) {
  const uint64_t unit = directory_.alignment();
  records.clear();
  while (offset_ < end_) {
    const uint64_t begin = RoundDown(offset_, unit);
    const uint64_t wanted_end = std::min(offset_ + std::max(read_bytes_, block_bytes_), end_);
    const absl::StatusOr<uint64_t> read = co_await ReadAt(begin, RoundUp(wanted_end - begin, unit));
    if (!read.ok()) co_return read.status();
    const absl::Status status = Fill(std::min(begin + *read, end_), records);
    if (!status.ok()) co_return status;
    // A block that is longer than what was read is read whole now.
    if (block_bytes_ == 0) co_return true;
  }
  co_return false;
}

// Walks over the whole blocks in the buffer, which ends at `got_end`.
absl::Status SegmentScanner::Fill(uint64_t got_end, std::vector<RecoveredRecord>& records) {
  const uint64_t first = offset_;
  while (offset_ < got_end) {
    const Bytes rest(buffer_.data() + (offset_ - buffer_begin_), got_end - offset_);
    const std::optional<DecodedBlockHeader> decoded = DecodeBlockHeader(rest);
    if (!decoded || decoded->header.run != info_.run || decoded->header.log != info_.log ||
        decoded->header.segment != info_.segment || decoded->header.offset != offset_ ||
        decoded->header.length > end_ - offset_) {
      return Damaged(path_, offset_, "a block's header is not the one that was written");
    }
    const BlockHeader& header = decoded->header;
    if (header.length > rest.size()) {
      if (offset_ != first) return absl::OkStatus();
      // The file ends early if even asking for all of the block did not bring it.
      if (block_bytes_ == header.length) {
        return Damaged(path_, offset_, "the file ends within a block");
      }
      block_bytes_ = header.length;
      return absl::OkStatus();
    }
    block_bytes_ = 0;
    const Bytes block = rest.first(header.length);
    BlockRecords walk(block, header.record_count);
    while (const std::optional<Record> record = walk.Next()) {
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
  if (offset_ == first) return Damaged(path_, offset_, "the file ends before its last block");
  return absl::OkStatus();
}

Task<void> SegmentScanner::Close() {
  const IoResult closed = co_await file_.Close();
  if (!closed.ok()) LogWarning("cannot close a segment: {}", closed.text());
}

}  // namespace pakv
