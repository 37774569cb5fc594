#include "runtime/core/cores.h"

#include <string>
#include <utility>

#include "runtime/base/check.h"
#include "runtime/base/log.h"

namespace pakv {

struct Cores::LeaveMessage : Message {
  LeaveMessage() : Message([](Message&, Core& here) { here.Leave(); }) {}
  std::atomic<bool> posted{false};
};

Cores::Cores(Clock& clock, std::vector<std::unique_ptr<Ring>> rings, const CoreOptions& options) {
  const auto count = static_cast<uint32_t>(rings.size());
  for (uint32_t id = 0; id < count; ++id) {
    cores_.push_back(std::make_unique<Core>(id, count, clock, std::move(rings[id]), options));
    leave_messages_.push_back(std::make_unique<LeaveMessage>());
  }
  bool registered = true;
  for (auto& core : cores_) {
    for (auto& peer : cores_) core->peers_.push_back(peer.get());
    registered = registered && core->buffers().registered();
  }
  if (!registered && options.buffer_count > 0) {
    LogWarning(
        "the memlock limit is too low to register the buffers for direct I/O; writes cost more "
        "CPU; raise it with: ulimit -l unlimited (with systemd: LimitMEMLOCK=infinity)");
  }
}

Cores::~Cores() { PAKV_CHECK(threads_.empty(), "Join was not called"); }

bool Cores::Start(const Thread::Starter& start_thread) {
  gate_ = Gate::kClosed;
  for (auto& core : cores_) {
    auto thread = start_thread("pakv-" + std::to_string(core->id()), [this, &core = *core] {
      gate_.wait(Gate::kClosed);
      if (gate_ == Gate::kOpen) core.Run();
    });
    if (thread == nullptr) break;
    threads_.push_back(std::move(thread));
  }
  const bool complete = threads_.size() == cores_.size();
  gate_ = complete ? Gate::kOpen : Gate::kCancelled;
  gate_.notify_all();
  if (!complete) Join();
  return complete;
}

void Cores::Join() {
  for (auto& thread : threads_) thread->Join();
  threads_.clear();
}

void Cores::RequestLeave() {
  for (uint32_t id = 0; id < count(); ++id) {
    if (leave_messages_[id]->posted.exchange(true)) continue;
    cores_[id]->Post(*leave_messages_[id]);
  }
}

}  // namespace pakv
