// Timers of one core: a binary heap of deadlines on the core's monotonic clock. The loop waits no
// longer than the earliest.
#pragma once

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/base/clock.h"
#include "runtime/task/ready_queue.h"
#include "runtime/task/stop.h"

namespace pakv {

class TimerQueue;

// Calls its function once, from the core's loop, when its deadline has come. Disarms itself when
// destroyed.
class Timer {
 public:
  using Function = void (*)(Timer&);
  explicit Timer(Function function) : function_(function) {}
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  ~Timer() { Disarm(); }

  bool armed() const { return queue_ != nullptr; }
  uint64_t deadline_ns() const { return deadline_ns_; }
  // Arms it, or moves its deadline. kNever disarms. What is armed while timers fire, a deadline in
  // the past included, fires in a later pass: nobody keeps the loop by sleeping for no time.
  void Arm(TimerQueue& queue, uint64_t deadline_ns);
  void Disarm();

 private:
  friend class TimerQueue;
  Function function_;
  TimerQueue* queue_ = nullptr;
  size_t index_ = 0;
  uint64_t deadline_ns_ = kNever;
  uint64_t sequence_ = 0;  // timers of one deadline fire in the order in which they were armed
};

class TimerQueue {
 public:
  TimerQueue() = default;
  TimerQueue(const TimerQueue&) = delete;
  TimerQueue& operator=(const TimerQueue&) = delete;
  ~TimerQueue();

  bool empty() const { return heap_.empty(); }
  uint64_t next_deadline_ns() const { return heap_.empty() ? kNever : heap_[0]->deadline_ns_; }
  // Calls the functions of all timers that are due at `now_ns`, the earliest deadline first, and
  // of one deadline in the order in which they were armed. Returns how many.
  size_t Fire(uint64_t now_ns);

  // bool slept = co_await timers.SleepUntil(deadline_ns, token): false if a stop is requested
  // first; then it resumes in the loop's next pass.
  class SleepAwaiter;
  SleepAwaiter SleepUntil(uint64_t deadline_ns, StopToken token = {});

 private:
  friend class Timer;
  void Insert(Timer& timer);
  void Remove(Timer& timer);
  void MoveUp(size_t index);
  void MoveDown(size_t index);
  static bool Before(const Timer& left, const Timer& right);
  void Place(size_t index, Timer* timer);

  std::vector<Timer*> heap_;
  uint64_t next_sequence_ = 0;
  uint64_t deadline_ns_min_ = 0;  // while timers fire: later than now
};

class TimerQueue::SleepAwaiter : private Timer, private StopCallback {
 public:
  SleepAwaiter(TimerQueue& queue, uint64_t deadline_ns, StopToken token)
      : Timer([](Timer& self) { static_cast<SleepAwaiter&>(self).handle_.resume(); }),
        StopCallback([](StopCallback& self) {
          auto& sleep = static_cast<SleepAwaiter&>(self);
          sleep.Arm(sleep.timers_, 0);
        }),
        timers_(queue),
        wake_ns_(deadline_ns),
        token_(token) {}
  bool await_ready() const { return token_.stop_requested(); }
  void await_suspend(std::coroutine_handle<> handle) {
    handle_ = handle;
    Arm(timers_, wake_ns_);
    Register(token_);
  }
  bool await_resume() const { return !token_.stop_requested(); }

 private:
  TimerQueue& timers_;
  uint64_t wake_ns_;
  StopToken token_;
  std::coroutine_handle<> handle_;
};

inline TimerQueue::SleepAwaiter TimerQueue::SleepUntil(uint64_t deadline_ns, StopToken token) {
  return SleepAwaiter(*this, deadline_ns, token);
}

}  // namespace pakv
