// What I/O objects of one core need of it, and the awaiter through which all I/O goes.
#pragma once

#include <coroutine>
#include <cstdint>

#include "runtime/base/clock.h"
#include "runtime/io/operation.h"
#include "runtime/io/ring.h"
#include "runtime/io/timer.h"
#include "runtime/task/ready_queue.h"
#include "runtime/task/stop.h"

namespace pakv {

class BufferPool;

// Owned by the core, which outlives everything that refers to it.
struct IoContext {
  Ring& ring;
  TimerQueue& timers;
  ReadyQueue& ready;
  BufferPool& buffers;
};

// `IoResult result = co_await awaiter;` — one operation. With a deadline (monotonic) it ends in
// -ETIME when it is not done by then; with a token in -ECANCELED when a stop is requested. Either
// way it resumes only after the kernel has let go of the operation and its buffer. If the
// operation succeeds while its cancellation is on the way, its success is the result: a handle that
// was opened is the caller's to close.
class [[nodiscard]] IoAwaiter : private Operation {
 public:
  IoAwaiter(IoContext& io, const IoRequest& what)
      : Operation([](Completion& self) { static_cast<IoAwaiter&>(self).Finish(); }, what),
        io_(io) {}
  IoAwaiter(const IoAwaiter&) = delete;
  IoAwaiter& operator=(const IoAwaiter&) = delete;

  IoAwaiter& WithDeadline(uint64_t deadline_ns) {
    deadline_ns_ = deadline_ns;
    return *this;
  }
  IoAwaiter& WithStop(StopToken token) {
    token_ = token;
    return *this;
  }

  // What is awaited refers to this object. GCC 12 would copy into the frame what a call returns by
  // reference, so `co_await file.Read(...).WithDeadline(...)` needs a type that may be copied.
  class Reference {
   public:
    explicit Reference(IoAwaiter& awaiter) : awaiter_(awaiter) {}
    bool await_ready() { return awaiter_.Ready(); }
    void await_suspend(std::coroutine_handle<> handle) { awaiter_.Start(handle); }
    IoResult await_resume() const { return awaiter_.result; }

   private:
    IoAwaiter& awaiter_;
  };
  Reference operator co_await() { return Reference(*this); }

 private:
  struct Timeout : Timer {
    explicit Timeout(IoAwaiter& awaiter_in)
        : Timer([](Timer& self) {
            IoAwaiter& owner = static_cast<Timeout&>(self).awaiter;
            owner.timed_out_ = true;
            owner.Cancel();
          }),
          awaiter(awaiter_in) {}
    IoAwaiter& awaiter;
  };
  struct Stop : StopCallback {
    explicit Stop(IoAwaiter& awaiter_in)
        : StopCallback([](StopCallback& self) { static_cast<Stop&>(self).awaiter.Cancel(); }),
          awaiter(awaiter_in) {}
    IoAwaiter& awaiter;
  };

  bool Ready() {
    if (!token_.stop_requested()) return false;
    result = IoResult(-ECANCELED);
    return true;
  }
  void Start(std::coroutine_handle<> handle) {
    handle_ = handle;
    io_.ring.Submit(*this);
    if (deadline_ns_ != kNever) timeout_.Arm(io_.timers, deadline_ns_);
    stop_.Register(token_);
  }
  void Cancel() {
    if (!cancelled) io_.ring.RequestCancel(*this);
  }
  void Finish() {
    timeout_.Disarm();
    stop_.Unlink();
    if (timed_out_ && result.error() == ECANCELED) result = IoResult(-ETIME);
    handle_.resume();
  }

  IoContext& io_;
  std::coroutine_handle<> handle_;
  uint64_t deadline_ns_ = kNever;
  StopToken token_;
  bool timed_out_ = false;
  Timeout timeout_{*this};
  Stop stop_{*this};
};

}  // namespace pakv
