#include "runtime/core/thread.h"

#include <utility>

#include "runtime/base/check.h"

namespace pakv {

std::unique_ptr<Thread> Thread::Start(const std::string& name, std::function<void()> function) {
  std::unique_ptr<Thread> thread(new Thread(std::move(function)));
  const int error = pthread_create(
      &thread->thread_, nullptr,
      [](void* self) -> void* {
        static_cast<Thread*>(self)->function_();
        return nullptr;
      },
      thread.get());
  if (error != 0) return nullptr;
  thread->running_ = true;
  pthread_setname_np(thread->thread_, name.substr(0, 15).c_str());
  return thread;
}

Thread::~Thread() { PAKV_CHECK(!running_, "a thread was not joined"); }

void Thread::Join() {
  PAKV_CHECK(pthread_join(thread_, nullptr) == 0);
  running_ = false;
}

}  // namespace pakv
