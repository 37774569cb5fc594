// Input: what a session has received and not yet used, in the order of the stream.
//
// Frames are parsed in place, in the ring's buffers. Only a frame that is cut by the end of what
// was received moves, to memory of the session's own; it is completed there with as few further
// bytes as it takes, and what comes behind it is parsed in place again. A session that waits keeps
// no buffer of the ring (Settle).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "net/session/buffers/output_buffer.h"
#include "runtime/io/operation.h"
#include "runtime/io/ring.h"

namespace pakv {

class Input {
 public:
  // Added to an unfinished frame at once, so that one of many small parts is not fed part by part.
  static constexpr size_t kStepBytes = 512;

  // `received`: the receiver's list of buffers, which are given back to `ring`.
  Input(Ring& ring, IntrusiveList<ReceivedBuffer>& received) : ring_(ring), received_(received) {}
  Input(const Input&) = delete;
  Input& operator=(const Input&) = delete;

  bool empty() const { return held_bytes() == 0 && received_.empty(); }
  // Bytes in the session's own memory.
  size_t held_bytes() const { return held_.size() - held_begin_; }
  size_t memory_bytes() const { return held_.capacity(); }
  // How long the frame that begins there may be without more memory.
  size_t room_bytes() const { return held_.capacity() - held_begin_; }
  // Whether anything is there beyond the session's own memory.
  bool has_received() const { return !received_.empty(); }

  // The bytes to parse next. With bytes of an unfinished frame in the session's own memory, more
  // are added to them: up to `frame_bytes_min` (which the parser asked for) and a few. Below that
  // the view is too short for the parser to get any further, and nothing is left in the ring's
  // buffers. The view is valid until any other call.
  std::string_view Front(size_t frame_bytes_min);
  // What the parser left of the view that Front gave: a suffix of it. `unfinished`: a frame that
  // needs more bytes; otherwise something that the parser was not asked to take yet.
  void Left(std::string_view rest, bool unfinished);

  // Moves all that is received to the session's own memory and gives the ring's buffers back.
  void Settle();
  // Makes room for a frame of `bytes` in one piece: that much memory, if it has less.
  void Reserve(size_t bytes);
  // Where bytes may be received to, in the session's own memory, behind what is held and while
  // nothing is in the ring's buffers: at least `missing`, unless `bytes_max` is less. Then how many
  // were. The memory stays until another call.
  std::span<char> Room(size_t missing, size_t bytes_max);
  void Received(size_t bytes);
  // Bytes of the stream that were received past it.
  void CountElsewhere(size_t bytes) { received_bytes_ += bytes; }
  // Forgets everything.
  void Discard();
  // All that was received so far, to the size of a ring buffer.
  uint64_t received_bytes() const { return received_bytes_; }

 private:
  void Hold(std::string_view bytes);
  void Move(size_t bytes);
  void ReturnFront();
  std::string_view FrontBuffer() { return received_.front().view().substr(front_begin_); }

  Ring& ring_;
  IntrusiveList<ReceivedBuffer>& received_;
  size_t front_begin_ = 0;  // what of the first received buffer is used
  OutputBuffer held_;       // comes before what is received
  size_t held_begin_ = 0;
  uint64_t received_bytes_ = 0;
  size_t last_taken_ = 0;  // of the first received buffer, at the end of held_
};

}  // namespace pakv
