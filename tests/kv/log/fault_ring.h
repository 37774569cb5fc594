// FaultRing: a real ring with faults on demand. It passes everything on, except what the test's
// rule shortens, fails or answers itself.
#pragma once

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "runtime/io/ring.h"

namespace pakv {

class FaultRing final : public Ring {
 public:
  // Looks at an operation before it is submitted and may change its request. Returns true if it
  // goes to the kernel; false if it ends with the result that the rule set.
  using Rule = std::function<bool(Operation&)>;
  // Looks at a finished operation and may change its result.
  using AfterRule = std::function<void(Operation&)>;

  explicit FaultRing(std::unique_ptr<Ring> inner) : inner_(std::move(inner)) {}

  Rule rule;
  AfterRule after;

  // In a rule that returns false: the operation ends when Release is called, and not before.
  void Hold() { holds_ = true; }
  bool is_holding() const { return !held_.empty(); }
  void Release() {
    finished_.insert(finished_.end(), held_.begin(), held_.end());
    held_.clear();
  }

  void Start() override { inner_->Start(); }
  void Submit(Operation& operation) override {
    if (rule && !rule(operation)) {
      operation.in_flight = true;
      (std::exchange(holds_, false) ? held_ : finished_).push_back(&operation);
      return;
    }
    inner_->Submit(operation);
  }
  void RequestCancel(Operation& operation) override { inner_->RequestCancel(operation); }
  void SubmitReceive(Receiver& receiver) override { inner_->SubmitReceive(receiver); }
  void RequestCancel(Receiver& receiver) override { inner_->RequestCancel(receiver); }
  void ReturnBuffer(ReceivedBuffer& buffer) override { inner_->ReturnBuffer(buffer); }
  void Enter(uint64_t deadline_ns, IntrusiveList<Completion>& completed) override {
    IntrusiveList<Completion> inner;
    inner_->Enter(finished_.empty() ? deadline_ns : 0, inner);
    while (!inner.empty()) {
      Completion& completion = inner.PopFront();
      if (after) {
        // The log's files are all that these tests use: no receivers.
        after(static_cast<Operation&>(completion));
      }
      completed.PushBack(completion);
    }
    for (Operation* operation : finished_) {
      operation->in_flight = false;
      completed.PushBack(*operation);
    }
    finished_.clear();
  }
  void Wake() override { inner_->Wake(); }
  Handle Adopt(Handle plain) override { return inner_->Adopt(plain); }
  IoResult RegisterBuffers(std::span<const std::span<std::byte>> buffers) override {
    return inner_->RegisterBuffers(buffers);
  }

 private:
  std::unique_ptr<Ring> inner_;
  std::vector<Operation*> finished_;
  bool holds_ = false;
  std::vector<Operation*> held_;
};

}  // namespace pakv
