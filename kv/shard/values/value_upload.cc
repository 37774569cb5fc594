#include "kv/shard/values/value_upload.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "kv/log/files/file_io.h"
#include "kv/log/files/shortage.h"
#include "runtime/base/check.h"
#include "runtime/base/coverage.h"
#include "runtime/base/crc32c.h"
#include "runtime/base/log.h"
#include "runtime/base/seeded_bug.h"
#include "runtime/core/space.h"

namespace pakv {
namespace {

// One write of an upload, and one is under way at a time: a commit has the device in between, and
// its flush has less to wait for. Beside 256 KiB others' SETs have a p90 that is two fifths longer;
// the value itself comes at three fifths of that rate.
constexpr size_t kWriteBytesMax = 64 << 10;

}  // namespace

Outcome ValueUpload::Failed(const absl::Status& status) {
  const Shortage shortage = ShortageOf(status);
  if (shortage == Shortage::kSpace) PAKV_COVERED(kValueFileWithoutRoom);
  if (shortage == Shortage::kDescriptors) PAKV_COVERED(kValueFileNoDescriptor);
  if (shortage != Shortage::kNone) {
    files_.TellOfShortage(status);
    return OutcomeOf(RefusalFor(shortage));
  }
  error_ = MessageOf(status);
  LogError("a value is not stored: {}", error_);
  return Outcome::kFileError;
}

// ---- Turns ----

Task<void> ValueUpload::AwaitTurn() {
  const bool granted = co_await turns_.Acquire();
  PAKV_CHECK(granted, "nothing stops this wait");
  has_turn_ = true;
}

// What it has comes along.
Task<Outcome> ValueUpload::StartTurn(int open_flags) {
  absl::StatusOr<File> file = co_await OpenFile(
      files_.core_, path_, O_WRONLY | open_flags | files_.directory_.direct_flag());
  if (!file.ok()) co_return Failed(file.status());
  file_ = std::move(*file);
  buffer_ = AlignedBuffer(files_.options_.chunk_bytes);
  files_.chunk_bytes_ += buffer_.size();
  if (buffered_ > 0) std::memcpy(buffer_.data(), unit_.data(), buffered_);
  if (PAKV_BUG(kTurnRestartsChecksum)) chunk_checksum_ = 0;
  co_return Outcome::kDone;
}

Task<Outcome> ValueUpload::GiveTurnBack() {
  const Outcome written = co_await WriteUnits();
  if (written != Outcome::kDone) co_return written;
  if (files_.directory_.direct_flag() == 0 && !PAKV_BUG(kRestNotSynced)) {
    // Who opens the file again may not be told what became of bytes that the page cache held, once
    // nobody has had it open (fsync(2), close(2)).
    const IoResult synced = co_await file_.SyncData();
    if (!synced.ok()) co_return Failed(IoError("sync", path_, synced));
  }
  if (offset_bytes_ % files_.options_.chunk_bytes != 0) PAKV_COVERED(kUploadRestedWithinChunk);
  if (!unit_.valid()) {
    unit_ = AlignedBuffer(unit_bytes());
    files_.chunk_bytes_ += unit_.size();
  }
  if (buffered_ > 0) std::memcpy(unit_.data(), buffer_.data(), buffered_);
  if (PAKV_BUG(kUploadForgetsItsRest)) std::memset(unit_.data(), 0, unit_bytes());
  co_await EndTurn();
  co_return Outcome::kDone;
}

Task<void> ValueUpload::EndTurn() {
  co_await CloseFile();
  if (std::exchange(has_turn_, false)) turns_.Release();
}

Task<void> ValueUpload::CloseFile() {
  files_.chunk_bytes_ -= buffer_.size();
  buffer_ = AlignedBuffer();
  if (!file_.valid()) co_return;
  const IoResult closed = co_await file_.Close();
  if (!closed.ok()) LogWarning("{}", MessageOf(IoError("close", path_, closed)));
}

Task<Outcome> ValueUpload::Rest() {
  if (!has_turn_ || files_.uploads_.count() * 2 >= files_.options_.uploads_max) {
    co_return Outcome::kDone;
  }
  if (PAKV_BUG(kRestKeepsTurn)) co_return Outcome::kDone;
  co_return co_await GiveTurnBack();
}

Task<Outcome> ValueUpload::LetOthers() {
  if (!has_turn_ || buffered_ > 0 || !turns_.has_waiters()) co_return Outcome::kDone;
  co_return co_await GiveTurnBack();
}

// ---- Space ----

// So many bytes more than are claimed already.
Task<Outcome> ValueUpload::Claim(uint64_t bytes) {
  const uint64_t others_before = OthersBytes();
  SpaceStat space;
  const IoResult asked = co_await AskSpace(files_.core_, files_.directory_.path(), space);
  if (asked.ok() && offset_bytes_ + claimed_bytes_ + bytes > space.file_bytes_max) {
    co_return Failed(IoError("make a value's file in", files_.directory_.path(), IoResult(-EFBIG)));
  }
  claimed_bytes_ += bytes;
  if (files_.shared_.claims != nullptr) files_.shared_.claims->Begin(bytes);
  // Once more: what others have written since is free no more, or still is, as it was asked. And
  // behind the claim: of two who claim the same at once, on two cores, one sees the other.
  const uint64_t others = std::max(others_before, OthersBytes());
  if (!asked.ok() || space.free_bytes >= claimed_bytes_ + others + kSpaceMarginBytes) {
    co_return Outcome::kDone;
  }
  Unclaim(bytes);
  co_return Outcome::kDiskFull;
}

void ValueUpload::Unclaim(uint64_t bytes) {
  PAKV_CHECK(bytes <= claimed_bytes_);
  claimed_bytes_ -= bytes;
  if (files_.shared_.claims != nullptr) files_.shared_.claims->End(bytes);
}

// What is to stay free beside what this upload has claimed.
uint64_t ValueUpload::OthersBytes() const {
  const SpaceClaims* const claims = files_.shared_.claims;
  return claims == nullptr ? 0 : claims->Before(SpaceClaims::kRankOfOthers) - claimed_bytes_;
}

// ---- Bytes ----

Task<Outcome> ValueUpload::Begin(uint64_t length_bytes) {
  co_await AwaitTurn();
  if (files_.shared_.read_only->load(std::memory_order_relaxed)) co_return Outcome::kReadOnly;
  // What is refused here was not written in vain.
  const Outcome claimed = co_await Claim(RoundUp(length_bytes, files_.directory_.transfer_unit()));
  if (claimed != Outcome::kDone) co_return claimed;
  number_ = files_.shared_.next_file.fetch_add(1, std::memory_order_relaxed);
  path_ = files_.PathOf(number_);
  co_return co_await StartTurn(O_CREAT | O_EXCL);
}

void ValueUpload::Add(std::string_view bytes) {
  PAKV_CHECK(bytes.size() <= room());
  if (bytes.empty()) return;
  std::memcpy(data() + buffered_, bytes.data(), bytes.size());
  Added(bytes.size());
}

// Piece by piece, so that no pass of the core has all of the chunk's to do. Where buffers begin
// says nothing about where chunks do.
void ValueUpload::Added(size_t bytes) {
  PAKV_CHECK(bytes <= room());
  const uint64_t chunk_bytes = files_.options_.chunk_bytes;
  while (bytes > 0) {
    const size_t piece = std::min<uint64_t>(bytes, chunk_bytes - length_ % chunk_bytes);
    chunk_checksum_ = Crc32c(chunk_checksum_, data() + buffered_, piece);
    buffered_ += piece;
    length_ += piece;
    bytes -= piece;
    if (length_ % chunk_bytes == 0) checksums_.push_back(std::exchange(chunk_checksum_, 0));
  }
}

Task<Outcome> ValueUpload::MakeRoom() {
  if (!has_turn_) {
    co_await AwaitTurn();
    const Outcome started = co_await StartTurn(0);
    if (started != Outcome::kDone) co_return started;
  }
  if (room() > 0) co_return Outcome::kDone;
  co_return co_await WriteUnits();
}

// `bytes`: whole transfers.
Task<Outcome> ValueUpload::Write(size_t bytes) {
  if (bytes > claimed_bytes_) {
    // There is more of it than was said.
    const Outcome claimed = co_await Claim(bytes - claimed_bytes_);
    if (claimed == Outcome::kDiskFull) co_return Failed(IoError("write", path_, IoResult(-ENOSPC)));
    if (claimed != Outcome::kDone) co_return claimed;
  }
  for (size_t at = 0; at < bytes; at += kWriteBytesMax) {
    const size_t length = std::min(bytes - at, kWriteBytesMax);
    const absl::Status status =
        co_await WriteAll(file_, Bytes(buffer_.data() + at, length), offset_bytes_,
                          files_.directory_.transfer_unit(), /*sync=*/false, path_);
    if (!status.ok()) co_return Failed(status);
    offset_bytes_ += length;
    Unclaim(length);
  }
  co_return Outcome::kDone;
}

// What is behind them moves to the front.
Task<Outcome> ValueUpload::WriteUnits() {
  const size_t whole = RoundDown(buffered_, unit_bytes());
  const Outcome written = co_await Write(whole);
  if (written != Outcome::kDone) co_return written;
  buffered_ -= whole;
  std::memmove(buffer_.data(), buffer_.data() + whole, buffered_);
  co_return Outcome::kDone;
}

// An operation of its own on the device: no commit waits for it.
Task<Outcome> ValueUpload::Finish() {
  PAKV_CHECK(length_ > 0);
  if (!has_turn_) {
    co_await AwaitTurn();
    const Outcome started = co_await StartTurn(0);
    if (started != Outcome::kDone) co_return started;
  }
  if (length_ % files_.options_.chunk_bytes != 0) checksums_.push_back(chunk_checksum_);
  // The last chunk ends anywhere; the device takes whole units, and zeros belong to nobody.
  const size_t padded = RoundUp(buffered_, files_.directory_.transfer_unit());
  std::memset(buffer_.data() + buffered_, 0, padded - buffered_);
  const Outcome written = co_await Write(padded);
  if (written != Outcome::kDone) co_return written;
  buffered_ = 0;
  Unclaim(claimed_bytes_);
  if (!PAKV_BUG(kValueFileNotSynced)) {
    const IoResult synced = co_await file_.SyncData();
    if (!synced.ok()) co_return Failed(IoError("sync", path_, synced));
  }
  co_await CloseFile();
  reference_ = EncodeValueReference({.file = number_, .length = length_},
                                    files_.options_.chunk_bytes, checksums_);
  const Outcome named = co_await MakeNameLast();
  if (named == Outcome::kDone) co_await EndTurn();
  co_return named;
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
  if (PAKV_BUG(kCopyNameNotSynced)) co_return Outcome::kDone;
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
      if (room() == 0) outcome = co_await MakeRoom();
    }
  }
  if (outcome == Outcome::kDone) outcome = co_await Finish();
  co_return outcome;
}

Task<void> ValueUpload::Close(bool kept) {
  co_await EndTurn();
  files_.chunk_bytes_ -= unit_.size();
  unit_ = AlignedBuffer();
  buffered_ = 0;
  Unclaim(claimed_bytes_);
  const uint64_t number = std::exchange(number_, 0);
  if (number == 0 || kept) co_return;
  PAKV_COVERED(kValueFileNotKept);
  files_.Remove(number);
}

}  // namespace pakv
