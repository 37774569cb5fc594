// Task<T>: a lazy coroutine with one awaiter. It is awaited, or given to a Nursery; there is no
// third way, so whoever started it outlives it, and destroying a root destroys its whole tree.
//
// Awaiting starts the child at once, inside await_ready, and a child that ends without suspending
// costs no suspension of its parent. A child that ends later resumes its parent from its final
// suspend point: the stack is as deep as the chain of awaits, never as long as a loop. (Symmetric
// transfer would need tail calls, which -O0, -O1 and sanitizers do not make.)
#pragma once

#include <coroutine>
#include <optional>
#include <utility>

#include "runtime/base/check.h"
#include "runtime/task/frame_allocator.h"

namespace pakv {

template <typename T>
class Task;

namespace task_internal {

class PromiseBase {
 public:
  static void* operator new(size_t bytes) { return AllocateFrame(bytes); }
  static void operator delete(void* frame, size_t bytes) { FreeFrame(frame, bytes); }

  std::suspend_always initial_suspend() noexcept { return {}; }

  struct FinalAwaiter {
    bool await_ready() noexcept { return false; }
    template <typename Promise>
    void await_suspend(std::coroutine_handle<Promise> self) noexcept {
      // The parent may destroy `self` before resume() returns: nothing of it is touched after.
      if (std::coroutine_handle<> parent = self.promise().continuation_) parent.resume();
    }
    void await_resume() noexcept {}
  };
  FinalAwaiter final_suspend() noexcept { return {}; }
  void unhandled_exception() noexcept { PAKV_CHECK(false, "an exception left a task"); }

  void set_continuation(std::coroutine_handle<> continuation) { continuation_ = continuation; }

 private:
  std::coroutine_handle<> continuation_;
};

template <typename T>
class Promise : public PromiseBase {
 public:
  Task<T> get_return_object();
  template <typename U = T>
  void return_value(U&& value) {
    value_.emplace(std::forward<U>(value));
  }
  T TakeResult() {
    PAKV_DCHECK(value_.has_value(), "a task ended without its value");
    return std::move(*value_);
  }

 private:
  std::optional<T> value_;
};

template <>
class Promise<void> : public PromiseBase {
 public:
  Task<void> get_return_object();
  void return_void() {}
  void TakeResult() {}
};

}  // namespace task_internal

template <typename T = void>
class [[nodiscard]] Task {
 public:
  using promise_type = task_internal::Promise<T>;
  using Handle = std::coroutine_handle<promise_type>;

  Task() = default;
  explicit Task(Handle handle) : handle_(handle) {}
  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      Destroy();
      handle_ = std::exchange(other.handle_, nullptr);
    }
    return *this;
  }
  ~Task() { Destroy(); }

  bool valid() const { return handle_ != nullptr; }

  class Awaiter {
   public:
    explicit Awaiter(Handle handle) : handle_(handle) {}
    bool await_ready() {
      PAKV_CHECK(handle_ != nullptr, "an empty or moved-from task was awaited");
      PAKV_CHECK(!handle_.done(), "a task was awaited twice");
      handle_.resume();
      return handle_.done();
    }
    void await_suspend(std::coroutine_handle<> parent) {
      handle_.promise().set_continuation(parent);
    }
    T await_resume() { return handle_.promise().TakeResult(); }

   private:
    Handle handle_;
  };
  // Starts the task; it has to outlive the await, as it does in `co_await Foo()`.
  Awaiter operator co_await() && { return Awaiter(handle_); }

 private:
  void Destroy() {
    if (handle_ != nullptr) handle_.destroy();
    handle_ = nullptr;
  }
  Handle handle_;
};

namespace task_internal {
template <typename T>
Task<T> Promise<T>::get_return_object() {
  return Task<T>(std::coroutine_handle<Promise<T>>::from_promise(*this));
}
inline Task<void> Promise<void>::get_return_object() {
  return Task<void>(std::coroutine_handle<Promise<void>>::from_promise(*this));
}
}  // namespace task_internal

}  // namespace pakv
