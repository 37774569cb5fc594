#include "kv/shard/values/value_files.h"

#include <algorithm>
#include <bit>
#include <cerrno>

#include "kv/log/files/file_io.h"
#include "kv/log/files/shortage.h"
#include "runtime/base/check.h"
#include "runtime/base/coverage.h"
#include "runtime/base/crc32c.h"
#include "runtime/base/log.h"
#include "runtime/base/seeded_bug.h"
#include "runtime/core/next_pass.h"

namespace pakv {
namespace {

// Of a chunk that was read, within a pass of the core.
constexpr size_t kCheckedBytesMax = 32 << 10;

}  // namespace

ValueFiles::ValueFiles(Core& core, const StoreDirectory& directory, ValueFilesShared& shared,
                       const ValueFilesOptions& options)
    : core_(core),
      directory_(directory),
      shared_(shared),
      options_(options),
      uploads_(core.ready(), options.uploads_max),
      edits_(core.ready(), options.edits_max),
      chunks_(core.ready(), options.chunks_max),
      nursery_(core.ready(), core.nursery().token()) {
  PAKV_CHECK(std::has_single_bit(options.chunk_bytes));
  PAKV_CHECK(options.chunk_bytes % directory.alignment() == 0, "a chunk is a direct transfer");
}

ValueFiles::~ValueFiles() = default;

ValueChunk::~ValueChunk() {
  if (files_ == nullptr) return;
  files_->chunk_bytes_ -= memory_.size();
  files_->chunks_.Release();
}

void ValueFiles::TellOfShortage(const absl::Status& why) {
  if (core_.now_ns() < tell_again_ns_) return;
  tell_again_ns_ = core_.now_ns() + kShortageToldEveryNs;
  LogWarning(
      "{}; values that need files of their own are refused until that passes. What to do: {}",
      MessageOf(why), RemedyOfShortage(why));
}

// ---- Reading ----

// The file is open no longer than the read takes: a slow client holds neither memory nor
// descriptor.
Task<absl::Status> ValueFiles::ReadInto(ValueReference reference, uint32_t index,
                                        AlignedBuffer& memory) {
  const std::string path = PathOf(reference.file());
  const uint64_t offset = uint64_t{index} * reference.chunk_bytes();
  const uint32_t length = reference.ChunkLength(index);
  absl::StatusOr<File> file = co_await OpenFile(core_, path, O_RDONLY | directory_.direct_flag());
  if (absl::IsNotFound(file.status())) {
    co_return Damaged(path, 0, "missing, although a key refers to it");
  }
  if (!file.ok()) co_return file.status();
  const absl::StatusOr<uint64_t> read =
      co_await ReadAll(*file, memory.data(), RoundUp(length, directory_.alignment()), offset,
                       directory_.transfer_unit(), path);
  const IoResult closed = co_await file->Close();
  if (!read.ok()) co_return read.status();
  if (!closed.ok()) co_return IoError("close", path, closed);
  if (*read < length) co_return Damaged(path, offset + *read, "shorter than its value");
  // Piece by piece, so that no pass of the core has all of it to do; none of it is used before.
  uint32_t checksum = 0;
  for (size_t at = 0; at < length; at += kCheckedBytesMax) {
    if (at > 0) co_await NextPass(core_);
    checksum =
        Crc32c(checksum, memory.data() + at, std::min<size_t>(length - at, kCheckedBytesMax));
  }
  if (checksum != reference.ChunkChecksum(index)) {
    co_return Damaged(path, offset, "a chunk's checksum is wrong");
  }
  co_return absl::OkStatus();
}

Task<absl::StatusOr<ValueChunk>> ValueFiles::ReadChunk(ValueReference reference, uint32_t index) {
  const bool granted = co_await chunks_.Acquire();
  PAKV_CHECK(granted, "nothing stops this wait");
  ValueChunk chunk;
  chunk.files_ = this;
  chunk.length_ = reference.ChunkLength(index);
  chunk.memory_ = AlignedBuffer(RoundUp(chunk.length_, directory_.alignment()));
  chunk_bytes_ += chunk.memory_.size();
  const absl::Status status = co_await ReadInto(reference, index, chunk.memory_);
  if (!status.ok()) {
    if (absl::IsDataLoss(status)) {
      PAKV_COVERED(kValueChunkDamaged);
      ++counters_.damaged;
    }
    LogError("{}", MessageOf(status));
    co_return status;
  }
  co_return std::move(chunk);
}

void ValueFiles::Release(ValueFiles& owner, uint64_t file) {
  if (&owner == this) {
    Unpin(file);
  } else {
    nursery_.Spawn(SendBack(owner, file));
  }
}

Task<void> ValueFiles::SendBack(ValueFiles& owner, uint64_t file) {
  ValueFiles* const there = &owner;
  const bool unpinned = co_await core_.CallOn(there->core_.id(), [there, file](Core&) {
    there->Unpin(file);
    return true;
  });
  PAKV_CHECK(unpinned);
}

// ---- Going ----

void ValueFiles::Unpin(uint64_t file) {
  const auto found = pins_.find(file);
  PAKV_CHECK(found != pins_.end() && found->second.count > 0, "it was pinned");
  if (--found->second.count > 0) return;
  const bool removed = found->second.removed;
  pins_.erase(found);
  if (removed) RemoveSoon(file);
}

void ValueFiles::Remove(uint64_t file) {
  const auto found = pins_.find(file);
  if (found == pins_.end() || PAKV_BUG(kValueFileRemovedUnderReader)) {
    RemoveSoon(file);
    return;
  }
  PAKV_COVERED(kReaderPinsValueFile);
  found->second.removed = true;
}

void ValueFiles::RemoveSoon(uint64_t file) {
  removals_.push_back(file);
  if (removing_ || stopping_) return;
  removing_ = true;
  nursery_.Spawn(RemoveAll());
}

// That a name is gone need not be durable: if it comes back, the next start finds nobody refers to
// it.
Task<void> ValueFiles::RemoveAll() {
  while (!removals_.empty() && !stopping_) {
    const uint64_t file = removals_.front();
    removals_.pop_front();
    const std::string path = PathOf(file);
    const IoResult unlinked = co_await UnlinkFile(core_.io(), path.c_str());
    if (unlinked.ok()) {
      ++counters_.removed;
    } else if (unlinked.error() != ENOENT) {
      LogWarning("{}; the next start tries again", MessageOf(IoError("remove", path, unlinked)));
    }
  }
  removing_ = false;
}

Task<void> ValueFiles::Stop() {
  stopping_ = true;
  co_await nursery_.Join();
}

}  // namespace pakv
