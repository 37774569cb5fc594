// A thread that may fail to start, which std::thread can only say with an exception.
#pragma once

#include <pthread.h>

#include <functional>
#include <memory>
#include <string>

namespace pakv {

// Joined before it is destroyed.
class Thread {
 public:
  // How those who need threads start them: as Thread::Start; tests put one here that fails.
  using Starter = std::function<std::unique_ptr<Thread>(const std::string& name,
                                                        std::function<void()> function)>;
  // nullptr if the system gives no further thread. `name` (15 characters at most) is what tools
  // show.
  static std::unique_ptr<Thread> Start(const std::string& name, std::function<void()> function);
  Thread(const Thread&) = delete;
  Thread& operator=(const Thread&) = delete;
  ~Thread();
  void Join();

 private:
  explicit Thread(std::function<void()> function) : function_(std::move(function)) {}
  std::function<void()> function_;
  pthread_t thread_{};
  bool running_ = false;
};

}  // namespace pakv
