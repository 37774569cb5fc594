#include "kv/shard/value_upload.h"

#include <cerrno>
#include <cstring>

#include "kv/log/file_io.h"
#include "kv/log/segment.h"
#include "runtime/base/check.h"
#include "runtime/base/coverage.h"
#include "runtime/base/crc32c.h"
#include "runtime/base/log.h"
#include "runtime/base/seeded_bug.h"

namespace pakv {

Outcome ValueUpload::Failed(const absl::Status& status) {
  if (absl::IsResourceExhausted(status)) {
    PAKV_COVERED(kValueFileWithoutRoom);
    return Outcome::kDiskFull;
  }
  error_ = MessageOf(status);
  LogError("a value is not stored: {}", error_);
  return Outcome::kFileError;
}

Task<Outcome> ValueUpload::Begin(uint64_t length_bytes) {
  const bool granted = co_await files_.uploads_.Acquire();
  PAKV_CHECK(granted, "nothing stops this wait");
  has_turn_ = true;
  if (files_.shared_.read_only->load(std::memory_order_relaxed)) co_return Outcome::kReadOnly;
  // What is refused here was not written in vain.
  SpaceStat space;
  const std::string& directory = files_.directory_.path();
  const IoResult asked = co_await StatSpace(files_.core_.io(), directory.c_str(), space);
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
  chunk_length_ += static_cast<uint32_t>(bytes.size());
  length_ += bytes.size();
}

Task<Outcome> ValueUpload::WriteChunk() {
  PAKV_CHECK(chunk_length_ > 0);
  checksums_.push_back(Crc32c(0, chunk_.data(), chunk_length_));
  // The last chunk ends anywhere; the device takes whole units, and zeros belong to nobody.
  const size_t padded = RoundUp(chunk_length_, files_.directory_.transfer_unit());
  std::memset(chunk_.data() + chunk_length_, 0, padded - chunk_length_);
  const absl::Status status =
      co_await WriteAll(file_, Bytes(chunk_.data(), padded), offset_bytes_,
                        files_.directory_.transfer_unit(), /*sync=*/false, path_);
  if (!status.ok()) co_return Failed(status);
  offset_bytes_ += padded;
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
  if (!PAKV_BUG(kValueFileNameNotSynced)) {
    const absl::Status named = co_await SyncNames(files_.core_, files_.directory_.path());
    if (!named.ok()) co_return Failed(named);
  }
  DropChunk();
  reference_ = EncodeValueReference({.file = number_, .length = length_},
                                    files_.options_.chunk_bytes, checksums_);
  ++files_.counters_.written;
  co_return Outcome::kDone;
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
  if (has_turn_) files_.uploads_.Release();
  has_turn_ = false;
}

}  // namespace pakv
