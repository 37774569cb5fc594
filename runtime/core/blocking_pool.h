// BlockingPool: a few threads for what io_uring cannot do. Bounded: a full queue is an error at
// once, not a wait. With no threads (the simulator) a job runs in place.
#pragma once

#include <condition_variable>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "runtime/core/core.h"
#include "runtime/core/mailbox.h"
#include "runtime/core/thread.h"

namespace pakv {

struct BlockingPoolOptions {
  size_t thread_count = 2;
  size_t queue_count_max = 256;           // jobs that may wait for a thread
  std::string thread_name = "pakv-pool";  // a number follows
  Thread::Starter start_thread = Thread::Start;
};

class BlockingPool {
 public:
  // nullptr, with no thread left behind, if the system gives too few threads.
  static std::unique_ptr<BlockingPool> Create(const BlockingPoolOptions& options);
  BlockingPool(const BlockingPool&) = delete;
  BlockingPool& operator=(const BlockingPool&) = delete;
  // Runs what is queued, then stops all threads. Every core that has ever waited for a job lives
  // longer, also when it has its answer: a thread posts that first and wakes the core then.
  ~BlockingPool();

  size_t thread_count() const { return threads_.size(); }

  // auto result = co_await pool.Run(core, function): calls function() on a pool thread and resumes
  // on `core`. nullopt, the function not called, if the queue is full. A job that fails says so by
  // its result; the pool does not care.
  template <typename Call>
  class RunAwaiter;
  template <typename Call>
  RunAwaiter<Call> Run(Core& core, Call function) {
    return RunAwaiter<Call>(*this, core, std::move(function));
  }

 private:
  class Job : public Message {
   public:
    explicit Job(void (*execute)(Job&)) : execute_(execute) {}
    void Execute() { execute_(*this); }

   private:
    void (*execute_)(Job&);
  };

  explicit BlockingPool(const BlockingPoolOptions& options) : options_(options) {}
  bool TrySubmit(Job& job);
  void Work();
  void Stop();

  const BlockingPoolOptions options_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Job*> queue_;  // guarded by mutex_; the oldest at the front
  bool stopping_ = false;   // guarded by mutex_
  std::vector<std::unique_ptr<Thread>> threads_;
};

template <typename Call>
class [[nodiscard]] BlockingPool::RunAwaiter : private Job {
 public:
  using Result = std::invoke_result_t<Call&>;
  static_assert(!std::is_void_v<Result>, "return something: nullopt says that it was not called");
  RunAwaiter(BlockingPool& pool, Core& core, Call function)
      : Job([](Job& self) {
          auto& run = static_cast<RunAwaiter&>(self);
          run.result_.emplace(run.function_call_());
          run.core_.Post(run);
        }),
        pool_(pool),
        core_(core),
        function_call_(std::move(function)) {
    set_function([](Message& self, Core&) { static_cast<RunAwaiter&>(self).handle_.resume(); });
  }
  bool await_ready() {
    if (pool_.thread_count() > 0) return false;
    result_.emplace(function_call_());
    return true;
  }
  bool await_suspend(std::coroutine_handle<> handle) {
    handle_ = handle;
    // A job that is taken resumes from this core's loop, so not before this returns.
    return pool_.TrySubmit(*this);
  }
  std::optional<Result> await_resume() { return std::move(result_); }

 private:
  BlockingPool& pool_;
  Core& core_;
  Call function_call_;
  std::optional<Result> result_;
  std::coroutine_handle<> handle_;
};

}  // namespace pakv
