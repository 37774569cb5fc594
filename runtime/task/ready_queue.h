// What a core runs next. Waking somebody means appending to this queue, never resuming in place:
// no surprise re-entrancy, a bounded stack, and batching for free.
#pragma once

#include <coroutine>
#include <cstddef>

#include "runtime/base/intrusive_list.h"

namespace pakv {

// One thing to run: a coroutine to resume or a function of the object that holds it. A runnable
// that is destroyed while it is queued leaves the queue.
class Runnable : public ListHook {
 public:
  using Function = void (*)(Runnable&);
  explicit Runnable(Function function) : run_(function) {}
  void Run() { run_(*this); }

 private:
  Function run_;
};

// A suspended coroutine, waiting for its turn or for an event.
class Waiter : public Runnable {
 public:
  Waiter() : Runnable([](Runnable& self) { static_cast<Waiter&>(self).handle_.resume(); }) {}
  void set_handle(std::coroutine_handle<> handle) { handle_ = handle; }

 private:
  std::coroutine_handle<> handle_;
};

// First in, first out; one core's. Does not own what is queued.
class ReadyQueue {
 public:
  bool empty() const { return queue_.empty(); }
  void MakeReady(Runnable& runnable) { queue_.PushBack(runnable); }
  void MakeReady(IntrusiveList<Runnable>& runnables) { queue_.Splice(runnables); }

  // Runs what is queued now; what is queued meanwhile waits for the next call. Returns how many.
  size_t RunReady() {
    IntrusiveList<Runnable> batch;
    batch.Splice(queue_);
    size_t count = 0;
    while (!batch.empty()) {
      batch.PopFront().Run();
      ++count;
    }
    return count;
  }

  // Runs the one that is queued longest. Not empty.
  void RunOne() { queue_.PopFront().Run(); }

  // co_await queue.Yield(): lets everything that is ready run first.
  auto Yield() { return YieldAwaiter(*this); }

 private:
  class YieldAwaiter {
   public:
    explicit YieldAwaiter(ReadyQueue& queue) : queue_(queue) {}
    bool await_ready() const { return false; }
    void await_suspend(std::coroutine_handle<> handle) {
      waiter_.set_handle(handle);
      queue_.MakeReady(waiter_);
    }
    void await_resume() const {}

   private:
    ReadyQueue& queue_;
    Waiter waiter_;
  };

  IntrusiveList<Runnable> queue_;
};

}  // namespace pakv
