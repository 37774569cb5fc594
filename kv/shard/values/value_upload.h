// ValueUpload: one value on its way into a file of its own, from whoever receives it. When Finish
// has returned kDone the file is on stable storage with its name, and a write of reference() may be
// started (Request::file_admitted). Until that write has become part of the log the file is
// nobody's: Close removes it unless it was kept.
//
// Turns. A core has ValueFilesOptions::uploads_max of them, first come, first served. With its turn
// an upload has a buffer of a chunk's length, and its file is open. Who waits for a client on the
// way does not keep the turn meanwhile:
//
//   Begin ─► has a turn ──(Rest: nothing to receive, and turns are short;────► has none
//               ▲          LetOthers: others wait for one)                        │
//               └──────────────(MakeRoom, Finish: its unit is full)───────────────┘
//
// What the buffer holds by then goes to the file, but for the bytes behind the last whole unit of
// direct I/O, since no unit is written twice: those stay in memory, in a unit of their own, where
// the next ones are added. The checksum of the chunk goes on over all that. So an upload without a
// turn costs a unit, 4 bytes per chunk, and what of its file is on the disk.
//
// Space. What is still to be written of the bytes that Begin is told of is claimed
// (kv/log/files/space_claims.h), as if it was on the disk already, with or without a turn: so no
// two uploads are begun for the same space, nor does one take what deletes and compaction need.
// What is written counts as used instead. The rest of the claim ends with Finish, or with Close,
// whatever has become of the upload and its client; a client that sends nothing holds it until his
// connection ends, or the time for his request. Of bytes that Begin was not told of, those of one
// write are claimed before it.
//
// Whoever rests keeps his turn while half of all are free. So at most half of them wait for
// clients, and the others for the disk alone, whatever those who wait for a turn hold.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kv/shard/messages/request.h"
#include "kv/shard/values/value_files.h"
#include "runtime/io/buffer_pool.h"
#include "runtime/io/file.h"
#include "runtime/task/task.h"

namespace pakv {

class ValueUpload {
 public:
  // Whose turns it waits for. Edits have their own, as they keep them while they read what others
  // have to let go of.
  enum class Turns : uint8_t { kOfUploads, kOfEdits };
  // `files` are those of the core on which everything here is called; they outlive it.
  explicit ValueUpload(ValueFiles& files, Turns turns = Turns::kOfUploads)
      : files_(files), turns_(turns == Turns::kOfEdits ? files.edits_ : files.uploads_) {}
  ValueUpload(const ValueUpload&) = delete;
  ValueUpload& operator=(const ValueUpload&) = delete;
  // Close was awaited, or the core is torn down.
  ~ValueUpload() = default;

  // Waits for its turn, and makes the file. `length_bytes`: about how many there will be, which it
  // claims; see above.
  // kReadOnly, kDiskFull, kNoDescriptors, kFileError (error() says why); after an error of this or
  // any other step nothing but Close is called. Suspends.
  Task<Outcome> Begin(uint64_t length_bytes);
  // Bytes that Add takes; 0: MakeRoom comes before.
  size_t room() const { return capacity() - buffered_; }
  // After Begin: more of the value, at most room() bytes. Copied.
  void Add(std::string_view bytes);
  // The same in place of Add: where the next room() bytes belong, until any other call, and that so
  // many of them are there.
  std::span<char> memory() const { return {reinterpret_cast<char*>(data()) + buffered_, room()}; }
  void Added(size_t bytes);
  // Takes what is full to the file, or waits for its turn first. Errors as Begin. Suspends.
  Task<Outcome> MakeRoom();

  // There is nothing to receive, or to be done before more of it is: lets go of the turn unless
  // half of them are free. Waits for the disk alone. Errors as Begin. Suspends.
  Task<Outcome> Rest();
  // The same between two buffers, when one was written: if others wait for a turn.
  Task<Outcome> LetOthers();

  // Writes what is left, and makes all of it last. At least one byte was added. Holds nothing when
  // it is done. Errors as Begin. Suspends.
  Task<Outcome> Finish();

  // In place of all that: the value that `source` refers to, whose file is pinned, once more, in a
  // file of its own. That is another name for the same bytes, which are never written again, so
  // that it costs the same however long the value is; where the file system has no such thing, or
  // no more of them, the bytes are copied, chunk by chunk. Errors as Begin, and kDamaged. Suspends.
  Task<Outcome> CopyFrom(ValueReference source);

  std::string_view reference() const { return reference_; }
  uint64_t length() const { return length_; }
  const std::string& error() const { return error_; }

  // Ends it, always, and in any state; again does nothing. `kept`: the write of its reference was
  // admitted (Request::file_admitted), so the file belongs to the store. Suspends.
  Task<void> Close(bool kept);

 private:
  Outcome Failed(const absl::Status& status);
  // Whole ones of these are written. Without direct I/O any number of bytes could be.
  uint32_t unit_bytes() const { return files_.directory_.alignment(); }
  uint8_t* data() const { return buffer_.valid() ? buffer_.data() : unit_.data(); }
  size_t capacity() const {
    if (buffer_.valid()) return files_.options_.chunk_bytes;
    return unit_.valid() ? unit_bytes() : 0;
  }
  Task<void> AwaitTurn();
  Task<Outcome> StartTurn(int open_flags);
  Task<Outcome> GiveTurnBack();
  Task<void> EndTurn();
  Task<void> CloseFile();
  Task<Outcome> Claim(uint64_t bytes);
  void Unclaim(uint64_t bytes);
  uint64_t OthersBytes() const;
  Task<Outcome> Write(size_t bytes);
  Task<Outcome> WriteUnits();
  Task<Outcome> MakeNameLast();
  Task<Outcome> CopyBytes(ValueReference source);

  ValueFiles& files_;
  Semaphore& turns_;
  bool has_turn_ = false;
  uint64_t number_ = 0;  // 0: no file was made, or it is no more
  std::string path_;
  File file_;             // open with a turn
  AlignedBuffer buffer_;  // there with a turn
  AlignedBuffer unit_;    // what there is in place of it without one
  size_t buffered_ = 0;   // in one of them, and not in the file
  uint64_t offset_bytes_ = 0;
  uint64_t claimed_bytes_ = 0;  // of those behind it in the file
  uint64_t length_ = 0;
  uint32_t chunk_checksum_ = 0;  // of what was added of the present chunk
  std::vector<uint32_t> checksums_;
  std::string reference_;
  std::string error_;
};

}  // namespace pakv
