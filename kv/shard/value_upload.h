// ValueUpload: one value on its way into a file of its own, from whoever receives it, in memory of
// one chunk. When Finish has returned kDone the file is on stable storage with its name, and a
// write of reference() may be started (Request::file_admitted). Until that write has become part of
// the log the file is nobody's: Close removes it unless it was kept.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kv/shard/request.h"
#include "kv/shard/value_files.h"
#include "runtime/io/buffer_pool.h"
#include "runtime/io/file.h"
#include "runtime/task/task.h"

namespace pakv {

class ValueUpload {
 public:
  // Whose turns it waits for. Edits have their own: an upload keeps its turn until its key can be
  // written, which may be behind an edit.
  enum class Turns : uint8_t { kOfUploads, kOfEdits };
  // `files` are those of the core on which everything here is called; they outlive it.
  explicit ValueUpload(ValueFiles& files, Turns turns = Turns::kOfUploads)
      : files_(files), turns_(turns == Turns::kOfEdits ? files.edits_ : files.uploads_) {}
  ValueUpload(const ValueUpload&) = delete;
  ValueUpload& operator=(const ValueUpload&) = delete;
  // Close was awaited, or the core is torn down.
  ~ValueUpload() = default;

  // Waits for its turn among the uploads of this core, unless it has it. Suspends.
  Task<void> TakeTurn();
  // Waits for its turn, and makes the file. `length_bytes`: about how many there will be.
  // kReadOnly, kDiskFull, kFileError (error() says why). Suspends.
  Task<Outcome> Begin(uint64_t length_bytes);
  // Bytes that Add takes; 0: the chunk is to be written.
  size_t room() const { return files_.options_.chunk_bytes - chunk_length_; }
  // After Begin: more of the value, at most room() bytes. Copied.
  void Add(std::string_view bytes);
  // The same in place of Add: where the next room() bytes belong, until any other call, and that so
  // many of them are there.
  std::span<char> memory() const {
    return {reinterpret_cast<char*>(chunk_.data()) + chunk_length_, room()};
  }
  void Added(size_t bytes);
  // Writes the chunk to the file; with room() == 0, as a rule. Errors as Begin, after which nothing
  // but Close is called. Suspends.
  Task<Outcome> WriteChunk();
  // Writes what is left, and makes all of it last. At least one byte was added. Suspends.
  Task<Outcome> Finish();

  // In place of all that: the value that `source` refers to, whose file is pinned, once more, in a
  // file of its own. That is another name for the same bytes, which are never written again, so
  // that it costs the same however long the value is; where the file system has no such thing, or
  // no more of them, the bytes are copied, chunk by chunk. Errors as Begin, and kDamaged. Suspends.
  Task<Outcome> CopyFrom(ValueReference source);

  std::string_view reference() const { return reference_; }
  uint64_t length() const { return length_; }
  const std::string& error() const { return error_; }

  // Ends it, always. `kept`: the write of its reference was admitted (Request::file_admitted), so
  // the file belongs to the store. Suspends.
  Task<void> Close(bool kept);

 private:
  Outcome Failed(const absl::Status& status);
  void DropChunk();
  Task<Outcome> MakeNameLast();
  Task<Outcome> CopyBytes(ValueReference source);

  ValueFiles& files_;
  Semaphore& turns_;
  bool has_turn_ = false;
  uint64_t number_ = 0;  // 0: no file was made
  std::string path_;
  File file_;
  AlignedBuffer chunk_;
  uint32_t chunk_length_ = 0;
  uint32_t chunk_checksum_ = 0;  // of those
  uint64_t offset_bytes_ = 0;
  uint64_t length_ = 0;
  std::vector<uint32_t> checksums_;
  std::string reference_;
  std::string error_;
};

}  // namespace pakv
