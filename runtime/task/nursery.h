// Nursery: the owner of tasks that nobody awaits one by one. It ends when all of them have ended;
// its destructor destroys those that have not, with everything that they await, newest first.
#pragma once

#include <coroutine>
#include <cstddef>

#include "runtime/base/intrusive_list.h"
#include "runtime/task/ready_queue.h"
#include "runtime/task/stop.h"
#include "runtime/task/sync.h"
#include "runtime/task/task.h"

namespace pakv {

class Nursery {
 public:
  // `parent` stops this nursery's tasks too.
  explicit Nursery(ReadyQueue& ready, StopToken parent = {}) : stop_(parent), empty_(ready) {
    empty_.Set();
  }
  ~Nursery();

  // Runs `task` until it first suspends, then in the background. The task owns all its arguments.
  void Spawn(Task<void> task);
  size_t size() const { return size_; }

  StopToken token() { return stop_.token(); }
  bool stop_requested() const { return stop_.stop_requested(); }
  // Asks the tasks to stop, through token(); returns at once.
  void RequestStop() { stop_.RequestStop(); }

  // Destroys all tasks where they stand, newest first, with everything that they await: the end of
  // a simulated crash, in which nothing of theirs may run any more.
  void DestroyTasks();

  // co_await nursery.Join(): all tasks have ended.
  Event::Awaiter Join() { return empty_.Wait(); }

 private:
  // A running root: where its coroutine is, linked for the destructor.
  struct RootHook : ListHook {
    std::coroutine_handle<> handle;
  };
  struct RootPromise;
  class Root;
  static Root Run(Nursery& nursery, Task<void> task);

  StopSource stop_;
  Event empty_;
  IntrusiveList<RootHook> roots_;
  size_t size_ = 0;
};

}  // namespace pakv
