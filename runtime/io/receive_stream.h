// ReceiveStream: what a socket receives, as something to await; for servers and clients that are
// one coroutine per connection. (A session that is not to be resumed per buffer has a Receiver of
// its own.)
#pragma once

#include <cstdint>

#include "runtime/io/io_context.h"
#include "runtime/task/sync.h"
#include "runtime/task/task.h"

namespace pakv {

class ReceiveStream : private Receiver {
 public:
  // Buffers of the ring that it holds before it stops receiving until they are returned. What was
  // on its way then still arrives.
  static constexpr uint32_t kHeldMax = 4;

  // `handle` was adopted by the core's ring and stays open until Stop has ended.
  ReceiveStream(IoContext& io, Handle handle);
  ReceiveStream(const ReceiveStream&) = delete;
  ReceiveStream& operator=(const ReceiveStream&) = delete;

  // The next bytes, the caller's until Return; nullptr when there are no more: end() says why.
  Task<ReceivedBuffer*> Next();
  void Return(ReceivedBuffer& buffer);
  // 0: the peer closed its end; else an error.
  IoResult end() const { return Receiver::end; }

  // Awaited before it is destroyed: ends receiving and gives back what was not taken. What was
  // taken has been returned.
  Task<void> Stop();

 private:
  // As News knows it: what the ring has changed since is not looked at before News runs.
  enum class State : uint8_t {
    kArmed,
    kPausing,  // to be disarmed, since it holds too much
    kPaused,   // until nothing is held
    kOver,
  };
  void Arm();
  void News();

  IoContext& io_;
  Event news_;
  State state_ = State::kArmed;
  uint32_t taken_ = 0;    // by the caller, not yet returned
  uint32_t waiting_ = 0;  // in `received`
  bool stopping_ = false;
};

}  // namespace pakv
