#include "runtime/task/nursery.h"

#include <coroutine>
#include <utility>

namespace pakv {

// The coroutine around a spawned task: it destroys itself when the task ends.
struct Nursery::RootPromise : RootHook {
  static void* operator new(size_t bytes) { return AllocateFrame(bytes); }
  static void operator delete(void* frame, size_t bytes) { FreeFrame(frame, bytes); }

  Root get_return_object();
  std::suspend_always initial_suspend() noexcept { return {}; }
  std::suspend_never final_suspend() noexcept { return {}; }
  void return_void() {}
  void unhandled_exception() noexcept { PAKV_CHECK(false, "an exception left a task"); }
};

class Nursery::Root {
 public:
  using promise_type = RootPromise;
  explicit Root(std::coroutine_handle<RootPromise> handle) : handle_(handle) {}
  std::coroutine_handle<RootPromise> handle() const { return handle_; }

 private:
  std::coroutine_handle<RootPromise> handle_;
};

Nursery::Root Nursery::RootPromise::get_return_object() {
  return Root(std::coroutine_handle<RootPromise>::from_promise(*this));
}

Nursery::Root Nursery::Run(Nursery& nursery, Task<void> task) {
  co_await std::move(task);
  // Free the task's frame while the nursery still counts it: who joins finds everything gone.
  task = Task<void>();
  if (--nursery.size_ == 0) nursery.empty_.Set();
}

void Nursery::Spawn(Task<void> task) {
  if (size_++ == 0) empty_.Reset();
  Root root = Run(*this, std::move(task));
  RootHook& hook = root.handle().promise();
  hook.handle = root.handle();
  roots_.PushFront(hook);
  root.handle().resume();
}

Nursery::~Nursery() { DestroyTasks(); }

void Nursery::DestroyTasks() {
  while (!roots_.empty()) {
    // Its hook leaves the list with it.
    roots_.front().handle.destroy();
  }
  size_ = 0;
  empty_.Set();
}

}  // namespace pakv
