// Timers of one core: a binary heap of deadlines on the core's monotonic clock. The loop waits no
// longer than the earliest.
#pragma once

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/base/clock.h"
#include "runtime/task/ready_queue.h"

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
  // Arms it, or moves its deadline. kNever disarms.
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
  // Calls the functions of all timers that are due at `now_ns`. Returns how many.
  size_t Fire(uint64_t now_ns);

  // co_await timers.SleepUntil(deadline_ns)
  class SleepAwaiter;
  SleepAwaiter SleepUntil(uint64_t deadline_ns);

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
};

class TimerQueue::SleepAwaiter : private Timer {
 public:
  SleepAwaiter(TimerQueue& queue, uint64_t deadline_ns)
      : Timer([](Timer& self) { static_cast<SleepAwaiter&>(self).handle_.resume(); }),
        timers_(queue),
        wake_ns_(deadline_ns) {}
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> handle) {
    handle_ = handle;
    Arm(timers_, wake_ns_);
  }
  void await_resume() const {}

 private:
  TimerQueue& timers_;
  uint64_t wake_ns_;
  std::coroutine_handle<> handle_;
};

inline TimerQueue::SleepAwaiter TimerQueue::SleepUntil(uint64_t deadline_ns) {
  return SleepAwaiter(*this, deadline_ns);
}

}  // namespace pakv
