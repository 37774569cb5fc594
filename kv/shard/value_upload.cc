#include "kv/shard/value_upload.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "kv/log/file_io.h"
#include "kv/log/segment.h"
#include "runtime/base/check.h"
#include "runtime/base/coverage.h"
#include "runtime/base/crc32c.h"
#include "runtime/base/log.h"
#include "runtime/base/seeded_bug.h"
#include "runtime/core/space.h"

namespace pakv {
namespace {

// One write of an upload, and one is under way at a time: a commit has the device in between.
constexpr size_t kWriteBytesMax = 256 << 10;

}  // namespace

Outcome ValueUpload::Failed(const absl::Status& status) {
  if (absl::IsResourceExhausted(status)) {
    PAKV_COVERED(kValueFileWithoutRoom);
    return Outcome::kDiskFull;
  }
  error_ = MessageOf(status);
  LogError("a value is not stored: {}", error_);
  return Outcome::kFileError;
}

Task<void> ValueUpload::TakeTurn() {
  if (has_turn_) co_return;
  const bool granted = co_await turns_.Acquire();
  PAKV_CHECK(granted, "nothing stops this wait");
  has_turn_ = true;
}

Task<Outcome> ValueUpload::Begin(uint64_t length_bytes) {
  co_await TakeTurn();
  if (files_.shared_.read_only->load(std::memory_order_relaxed)) co_return Outcome::kReadOnly;
  // What is refused here was not written in vain.
  SpaceStat space;
  const IoResult asked = co_await AskSpace(files_.core_, files_.directory_.path(), space);
  if (asked.ok() && space.free_bytes < length_bytes + SegmentSupply::kSpaceMarginBytes) {
    co_return Outcome::kDiskFull;
  }
  number_ = files_.shared_.next_file.fetch_add(1, std::memory_order_relaxed);
  path_ = files_.PathOf(number_);
  absl::StatusOr<File> file = co_await OpenFile(
      files_.core_, path_, O_WRONLY | O_CREAT | O_EXCL | files_.directory_.direct_flag());
  if (!file.ok()) co_return Failed(file.status());
  file_ = std::move(*file);
  chunk_ = AlignedBuffer(files_.options_.chunk_bytes);
  files_.chunk_bytes_ += chunk_.size();
  co_return Outcome::kDone;
}

void ValueUpload::DropChunk() {
  files_.chunk_bytes_ -= chunk_.size();
  chunk_ = AlignedBuffer();
}

void ValueUpload::Add(std::string_view bytes) {
  PAKV_CHECK(chunk_.valid() && bytes.size() <= room());
  if (bytes.empty()) return;
  std::memcpy(chunk_.data() + chunk_length_, bytes.data(), bytes.size());
  Added(bytes.size());
}

// Piece by piece, so that no pass of the core has all of the chunk's to do.
void ValueUpload::Added(size_t bytes) {
  PAKV_CHECK(bytes <= room());
  chunk_checksum_ = Crc32c(chunk_checksum_, chunk_.data() + chunk_length_, bytes);
  chunk_length_ += static_cast<uint32_t>(bytes);
  length_ += bytes;
}

Task<Outcome> ValueUpload::WriteChunk() {
  PAKV_CHECK(chunk_length_ > 0);
  checksums_.push_back(std::exchange(chunk_checksum_, 0));
  // The last chunk ends anywhere; the device takes whole units, and zeros belong to nobody.
  const size_t padded = RoundUp(chunk_length_, files_.directory_.transfer_unit());
  std::memset(chunk_.data() + chunk_length_, 0, padded - chunk_length_);
  for (size_t at = 0; at < padded; at += kWriteBytesMax) {
    const size_t length = std::min(padded - at, kWriteBytesMax);
    const absl::Status status =
        co_await WriteAll(file_, Bytes(chunk_.data() + at, length), offset_bytes_,
                          files_.directory_.transfer_unit(), /*sync=*/false, path_);
    if (!status.ok()) co_return Failed(status);
    offset_bytes_ += length;
  }
  chunk_length_ = 0;
  co_return Outcome::kDone;
}

// An operation of its own on the device: no commit waits for it.
Task<Outcome> ValueUpload::Finish() {
  PAKV_CHECK(length_ > 0);
  if (chunk_length_ > 0) {
    const Outcome written = co_await WriteChunk();
    if (written != Outcome::kDone) co_return written;
  }
  if (!PAKV_BUG(kValueFileNotSynced)) {
    const IoResult synced = co_await file_.SyncData();
    if (!synced.ok()) co_return Failed(IoError("sync", path_, synced));
  }
  DropChunk();
  reference_ = EncodeValueReference({.file = number_, .length = length_},
                                    files_.options_.chunk_bytes, checksums_);
  co_return co_await MakeNameLast();
}

Task<Outcome> ValueUpload::MakeNameLast() {
  if (!PAKV_BUG(kValueFileNameNotSynced)) {
    const absl::Status named = co_await SyncNames(files_.core_, files_.directory_.path());
    if (!named.ok()) co_return Failed(named);
  }
  ++files_.counters_.written;
  co_return Outcome::kDone;
}

Task<Outcome> ValueUpload::CopyFrom(ValueReference source) {
  if (files_.shared_.read_only->load(std::memory_order_relaxed)) co_return Outcome::kReadOnly;
  number_ = files_.shared_.next_file.fetch_add(1, std::memory_order_relaxed);
  path_ = files_.PathOf(number_);
  const std::string source_path = files_.PathOf(source.file());
  const IoResult linked = co_await LinkFile(files_.core_.io(), source_path.c_str(), path_.c_str());
  if (!linked.ok()) {
    switch (linked.error()) {
      case EMLINK:
      case EOPNOTSUPP:
      case EPERM:
        PAKV_COVERED(kValueFileCopied);
        co_return co_await CopyBytes(source);
      default:
        co_return Failed(IoError("link", source_path, linked));
    }
  }
  PAKV_COVERED(kValueFileLinked);
  for (uint32_t index = 0; index < source.chunk_count(); ++index) {
    checksums_.push_back(source.ChunkChecksum(index));
  }
  length_ = source.length();
  reference_ =
      EncodeValueReference({.file = number_, .length = length_}, source.chunk_bytes(), checksums_);
  // The bytes are on stable storage since the first name is.
  co_return co_await MakeNameLast();
}

Task<Outcome> ValueUpload::CopyBytes(ValueReference source) {
  Outcome outcome = co_await Begin(source.length());
  for (uint32_t index = 0; outcome == Outcome::kDone && index < source.chunk_count(); ++index) {
    const absl::StatusOr<ValueChunk> chunk = co_await files_.ReadChunk(source, index);
    if (!chunk.ok()) {
      error_ = MessageOf(chunk.status());
      co_return OutcomeOfRead(chunk.status());
    }
    std::string_view rest = chunk->view();
    while (outcome == Outcome::kDone && !rest.empty()) {
      const size_t piece = std::min(rest.size(), room());
      Add(rest.substr(0, piece));
      rest.remove_prefix(piece);
      if (room() == 0) outcome = co_await WriteChunk();
    }
  }
  if (outcome == Outcome::kDone) outcome = co_await Finish();
  co_return outcome;
}

Task<void> ValueUpload::Close(bool kept) {
  if (file_.valid()) {
    const IoResult closed = co_await file_.Close();
    if (!closed.ok()) LogWarning("{}", MessageOf(IoError("close", path_, closed)));
  }
  DropChunk();
  if (number_ != 0 && !kept) {
    PAKV_COVERED(kValueFileNotKept);
    files_.Remove(number_);
  }
  if (has_turn_) turns_.Release();
  has_turn_ = false;
}

}  // namespace pakv
