#include "runtime/task/sync.h"

namespace pakv {

Semaphore::Awaiter::Awaiter(Semaphore& semaphore, StopToken token)
    : StopCallback([](StopCallback& self) {
        auto& awaiter = static_cast<Awaiter&>(self);
        if (awaiter.state_ != State::kWaiting) return;
        awaiter.state_ = State::kStopped;
        Waiter& waiter = awaiter;
        waiter.Unlink();
        awaiter.semaphore_.ready_.MakeReady(waiter);
      }),
      semaphore_(semaphore),
      token_(token) {}

Semaphore::Awaiter::~Awaiter() {
  // Granted, but destroyed before it could be resumed: the permit goes to the next.
  if (state_ == State::kGranted) semaphore_.Release();
}

bool Semaphore::Awaiter::await_ready() {
  if (token_.stop_requested()) {
    state_ = State::kStopped;
    return true;
  }
  if (!semaphore_.TryAcquire()) return false;
  state_ = State::kGranted;
  return true;
}

void Semaphore::Awaiter::await_suspend(std::coroutine_handle<> handle) {
  set_handle(handle);
  state_ = State::kWaiting;
  semaphore_.waiters_.PushBack(static_cast<Waiter&>(*this));
  Register(token_);
}

bool Semaphore::Awaiter::await_resume() {
  const bool granted = state_ == State::kGranted;
  state_ = State::kTaken;
  return granted;
}

void Semaphore::Release() {
  if (waiters_.empty()) {
    ++count_;
    return;
  }
  auto& awaiter = static_cast<Awaiter&>(static_cast<Waiter&>(waiters_.PopFront()));
  awaiter.state_ = Awaiter::State::kGranted;
  ready_.MakeReady(static_cast<Waiter&>(awaiter));
}

}  // namespace pakv
