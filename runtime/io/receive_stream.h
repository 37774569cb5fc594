// ReceiveStream: what a socket receives, as something to await; for servers and clients that are
// one coroutine per connection. (A session that is not to be resumed per buffer has a Receiver of
// its own.) It copies what comes and gives the ring's buffers back at once, whether anybody takes
// the bytes or not: whoever reads one stream may be waiting for another, and that one must not
// lack buffers because of the first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "runtime/io/io_context.h"
#include "runtime/task/sync.h"
#include "runtime/task/task.h"

namespace pakv {

class ReceiveStream : private Receiver {
 public:
  // Bytes that it keeps before it stops receiving until they are taken. What was on its way then
  // still arrives, at most what the ring's buffers hold.
  static constexpr size_t kKeptBytesMax = size_t{64} << 10;

  // `handle` was adopted by the core's ring and stays open until Stop has ended.
  ReceiveStream(IoContext& io, Handle handle);
  ReceiveStream(const ReceiveStream&) = delete;
  ReceiveStream& operator=(const ReceiveStream&) = delete;

  // All bytes that have come, as soon as there are some; none when there will be no more: end()
  // says why. Suspends.
  Task<std::string> Next();
  // 0: the peer closed its end; else an error.
  IoResult end() const { return Receiver::end; }

  // Awaited before it is destroyed: ends receiving and drops what was not taken.
  Task<void> Stop();

 private:
  // As News knows it: what the ring has changed since is not looked at before News runs.
  enum class State : uint8_t {
    kArmed,
    kPausing,  // to be disarmed, since it keeps too much
    kPaused,   // until nothing is kept
    kOver,
  };
  void Arm();
  void News();

  IoContext& io_;
  Event news_;
  State state_ = State::kArmed;
  std::string kept_;  // came and was not taken
  bool stopping_ = false;
};

}  // namespace pakv
