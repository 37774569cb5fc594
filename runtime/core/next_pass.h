// NextPass: how a long task lets others have their turn.
#pragma once

#include <coroutine>

#include "runtime/core/core.h"

namespace pakv {

// `co_await NextPass(core)` goes on in the core's next pass, which does not wait.
class [[nodiscard]] NextPass : private Runnable {
 public:
  explicit NextPass(Core& core)
      : Runnable([](Runnable& self) {
          auto& pass = static_cast<NextPass&>(self);
          pass.core_.MakeReady(pass.waiter_);
        }),
        core_(core) {}
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> handle) {
    waiter_.set_handle(handle);
    core_.AtPassEnd(*this);
  }
  void await_resume() const {}

 private:
  Core& core_;
  Waiter waiter_;
};

}  // namespace pakv
