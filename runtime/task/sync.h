// Waiting for one another on one core: Event and Semaphore. Waiters are woken through the core's
// ready queue, in the order in which they came; one that is destroyed while it waits leaves.
#pragma once

#include <coroutine>
#include <cstdint>

#include "runtime/task/ready_queue.h"
#include "runtime/task/stop.h"

namespace pakv {

// Waiters pass once it is set, until it is reset.
class Event {
 public:
  explicit Event(ReadyQueue& ready) : ready_(ready) {}

  bool is_set() const { return set_; }
  void Set() {
    set_ = true;
    ready_.MakeReady(waiters_);
  }
  void Reset() { set_ = false; }

  class Awaiter {
   public:
    explicit Awaiter(Event& event) : event_(event) {}
    bool await_ready() const { return event_.set_; }
    void await_suspend(std::coroutine_handle<> handle) {
      waiter_.set_handle(handle);
      event_.waiters_.PushBack(waiter_);
    }
    void await_resume() const {}

   private:
    Event& event_;
    Waiter waiter_;
  };
  // Resumes when the event was set after this call, also if it has been reset since.
  Awaiter Wait() { return Awaiter(*this); }

 private:
  ReadyQueue& ready_;
  bool set_ = false;
  IntrusiveList<Runnable> waiters_;
};

// `count` permits. First come, first served: a permit that is given back goes to the waiter at the
// head, so nobody who comes later takes it.
class Semaphore {
 public:
  Semaphore(ReadyQueue& ready, uint64_t count) : ready_(ready), count_(count) {}

  uint64_t count() const { return count_; }
  bool has_waiters() const { return !waiters_.empty(); }
  bool TryAcquire() {
    if (count_ == 0) return false;
    --count_;
    return true;
  }
  void Release();

  class Awaiter : private Waiter, private StopCallback {
   public:
    Awaiter(Semaphore& semaphore, StopToken token);
    ~Awaiter();
    bool await_ready();
    void await_suspend(std::coroutine_handle<> handle);
    bool await_resume();

   private:
    friend class Semaphore;
    enum class State : uint8_t { kNew, kWaiting, kGranted, kStopped, kTaken };
    Semaphore& semaphore_;
    StopToken token_;
    State state_ = State::kNew;
  };
  // Takes a permit. False, without one, if a stop is requested first.
  [[nodiscard]] Awaiter Acquire(StopToken token = {}) { return Awaiter(*this, token); }

 private:
  ReadyQueue& ready_;
  uint64_t count_;
  IntrusiveList<Runnable> waiters_;
};

}  // namespace pakv
