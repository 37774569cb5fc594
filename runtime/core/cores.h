// Cores: all cores of one server, connected with one another, and their threads.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "runtime/base/clock.h"
#include "runtime/core/core.h"
#include "runtime/core/thread.h"

namespace pakv {

class Cores {
 public:
  // One core per ring.
  Cores(Clock& clock, std::vector<std::unique_ptr<Ring>> rings, const CoreOptions& options);
  Cores(const Cores&) = delete;
  Cores& operator=(const Cores&) = delete;
  // Threads have been joined, or were never started.
  ~Cores();

  uint32_t count() const { return static_cast<uint32_t>(cores_.size()); }
  Core& core(uint32_t id) { return *cores_[id]; }

  // Starts a thread per core that runs its loop; CPU affinity is inherited. False, with no thread
  // left behind and no pass run, if the system gives no further thread. What is to run first is
  // spawned before or, if it starts I/O and has to survive a failure, posted: a task in the midst
  // of I/O cannot be destroyed.
  [[nodiscard]] bool Start(const Thread::Starter& start_thread = Thread::Start);
  // Waits until every core has left its loop (Core::Leave, called on each core).
  void Join();
  // Any thread, any number of times: makes every core leave its loop.
  void RequestLeave();

 private:
  struct LeaveMessage;
  enum class Gate : uint32_t { kClosed, kOpen, kCancelled };

  std::vector<std::unique_ptr<Core>> cores_;
  std::vector<std::unique_ptr<LeaveMessage>> leave_messages_;
  std::vector<std::unique_ptr<Thread>> threads_;
  // What started threads wait at until all of them have been started, or one has not.
  std::atomic<Gate> gate_{Gate::kClosed};
};

}  // namespace pakv
