// ValueFiles: the files of values that are too long for the log, as one core sees them. Its
// sessions read and write them here, whoever owns the keys; its shard, as the owner of keys, says
// here which of them are read and which are to go.
//
// The order that makes a crash harmless, from a file's beginning to its end:
//
//   written ─► synced ─► its name synced ─► record durable ─► published ... newer record durable
//     ─► published, so nobody is referred to it any more ─► not read any more ─► unlinked
//
// A crash before the record is durable leaves a file that no record refers to; so does one before
// the unlink has reached the disk. The next start removes those (Store, "Value files"). A file's
// number is never used again, so such a file can only ever be its own record's.
//
// Value files are no segments: compaction copies their records alone, and neither counts their
// bytes as live nor as used. Their space comes back with the unlink, not by compaction.
#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kv/log/files/space_claims.h"
#include "kv/log/files/store_directory.h"
#include "kv/log/format/format_value_file.h"
#include "runtime/core/core.h"
#include "runtime/io/buffer_pool.h"
#include "runtime/task/nursery.h"
#include "runtime/task/sync.h"

namespace pakv {

struct ValueFilesOptions {
  // A power of two, and a multiple of the device's alignment: of new files.
  uint32_t chunk_bytes = kValueChunkBytes;
  // Turns of uploads on this core (ValueUpload): each has a chunk in memory and its file open.
  // Further uploads wait, and who receives nothing for now lets go of its turn.
  uint32_t uploads_max = 16;
  // The same of values that are written anew with a part changed (Shard::Edit), each to its end.
  uint32_t edits_max = 4;
  // Chunks that this core has in memory for those who read; further reads wait.
  uint32_t chunks_max = 8;
};

// A key whose value cannot be had: its file is missing, or too short.
struct LostValue {
  uint32_t namespace_id = 0;
  std::string key;
  std::string why;  // file, offset and key
};

// What the keys of one owner refer to, found when it starts.
struct ValueFileList {
  std::vector<uint64_t> files;  // that are there, and long enough
  std::vector<LostValue> lost;
};

// What all cores of a store have in common.
struct ValueFilesShared {
  std::atomic<uint64_t> next_file{0};
  const std::atomic<bool>* read_only = nullptr;
  SpaceClaims* claims = nullptr;  // what a file leaves free, and counts in until it is written
};

class ValueFiles;

// A chunk that was read and is right, in memory that is its own.
class ValueChunk {
 public:
  ValueChunk() = default;
  ValueChunk(ValueChunk&& other) noexcept
      : memory_(std::move(other.memory_)),
        length_(other.length_),
        files_(std::exchange(other.files_, nullptr)) {}
  ValueChunk& operator=(ValueChunk&& other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(length_, other.length_);
    std::swap(files_, other.files_);
    return *this;
  }
  ~ValueChunk();
  std::string_view view() const { return {reinterpret_cast<const char*>(memory_.data()), length_}; }

 private:
  friend class ValueFiles;
  AlignedBuffer memory_;
  uint32_t length_ = 0;
  ValueFiles* files_ = nullptr;  // whose permit it has
};

class ValueFiles {
 public:
  // All outlive it.
  ValueFiles(Core& core, const StoreDirectory& directory, ValueFilesShared& shared,
             const ValueFilesOptions& options);
  ValueFiles(const ValueFiles&) = delete;
  ValueFiles& operator=(const ValueFiles&) = delete;
  // Stop was awaited, or the core is torn down.
  ~ValueFiles();

  // ---- For whoever reads, on this core ----
  // Chunk `index` of a file that is pinned. The reference's bytes stay valid until the task has
  // ended. While it waits for others to let go of their chunks it holds nothing. kDataLoss: the
  // bytes are not what was written (file and offset in the message, logged and counted here); other
  // errors as the device gives them. Suspends.
  Task<absl::StatusOr<ValueChunk>> ReadChunk(ValueReference reference, uint32_t index);
  // The read of a reply (Reply::Kind::kFile) has ended, or is not wanted: the pin that it came with
  // goes back to `owner`, the owner core's files.
  void Release(ValueFiles& owner, uint64_t file);

  // ---- For the owner of keys, on its core ----
  // A pinned file stays until it is unpinned as often.
  void Pin(uint64_t file) { ++pins_[file].count; }
  void Unpin(uint64_t file);
  // No key refers to the file any more, for good: it goes when nobody reads it, in the background.
  void Remove(uint64_t file);

  // Files that wait for their removal are left to the next start. Suspends.
  Task<void> Stop();

  struct Counters {
    uint64_t written = 0;
    uint64_t removed = 0;
    uint64_t damaged = 0;  // chunks
  };
  const Counters& counters() const { return counters_; }
  // Held on this core: the chunks of uploads and of those who read, and what is noted of files.
  uint64_t memory_bytes() const {
    return chunk_bytes_ + pins_.capacity() * (sizeof(uint64_t) + sizeof(Pins) + 1) +
           removals_.size() * sizeof(uint64_t);
  }

 private:
  friend class ValueChunk;
  friend class ValueUpload;
  struct Pins {
    uint32_t count = 0;
    bool removed = false;
  };

  std::string PathOf(uint64_t file) const { return directory_.PathOf(ValueFileName(file)); }
  Task<absl::Status> ReadInto(ValueReference reference, uint32_t index, AlignedBuffer& memory);
  Task<void> SendBack(ValueFiles& owner, uint64_t file);
  // In the log, now and then: a value was refused (kv/log/files/shortage.h).
  void TellOfShortage(const absl::Status& why);
  void RemoveSoon(uint64_t file);
  Task<void> RemoveAll();

  Core& core_;
  const StoreDirectory& directory_;
  ValueFilesShared& shared_;
  const ValueFilesOptions options_;
  Semaphore uploads_;
  Semaphore edits_;
  Semaphore chunks_;
  absl::flat_hash_map<uint64_t, Pins> pins_;
  std::deque<uint64_t> removals_;
  bool removing_ = false;
  bool stopping_ = false;
  uint64_t chunk_bytes_ = 0;  // in memory
  uint64_t tell_again_ns_ = 0;
  Counters counters_;
  Nursery nursery_;  // last: its tasks use all of the above
};

}  // namespace pakv
