#include "runtime/core/blocking_pool.h"

namespace pakv {

std::unique_ptr<BlockingPool> BlockingPool::Create(const BlockingPoolOptions& options) {
  std::unique_ptr<BlockingPool> pool(new BlockingPool(options));
  for (size_t i = 0; i < options.thread_count; ++i) {
    auto thread = options.start_thread(options.thread_name + "-" + std::to_string(i),
                                       [&self = *pool] { self.Work(); });
    if (thread == nullptr) return nullptr;  // the destructor stops those that run
    pool->threads_.push_back(std::move(thread));
  }
  return pool;
}

BlockingPool::~BlockingPool() { Stop(); }

void BlockingPool::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (auto& thread : threads_) thread->Join();
  threads_.clear();
}

bool BlockingPool::TrySubmit(Job& job) {
  {
    const std::lock_guard lock(mutex_);
    if (queue_.size() >= options_.queue_count_max) return false;
    queue_.push_back(&job);
  }
  wake_.notify_one();
  return true;
}

void BlockingPool::Work() {
  while (true) {
    Job* job = nullptr;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (queue_.empty()) return;
      job = queue_.front();
      queue_.pop_front();
    }
    job->Execute();
  }
}

}  // namespace pakv
