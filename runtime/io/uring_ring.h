// UringRing: the kernel's io_uring behind the Ring boundary; the only file that knows liburing.
//
// Set up with SINGLE_ISSUER and DEFER_TASKRUN (Linux 6.1): completions are gathered only when the
// owner enters, which saves interrupts of the loop.
#pragma once

#include <liburing.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "runtime/base/clock.h"
#include "runtime/io/ring.h"

namespace pakv {

struct UringOptions {
  uint32_t entries = 1024;
  // Sockets of this ring that the kernel keeps a registered file for; further ones work too.
  uint32_t registered_files = 4096;
  // Buffers for multishot receives; a power of two.
  uint32_t receive_buffer_count = 1024;
  uint32_t receive_buffer_bytes = 8192;
};

class UringRing final : public Ring {
 public:
  // nullptr if this kernel or sandbox cannot run it; `error` then says why and what to do.
  static std::unique_ptr<UringRing> Create(const UringOptions& options, std::string& error);
  ~UringRing() override;

  // The memlock limit was too low for what the options ask for: queues or receive buffers are
  // fewer.
  bool degraded() const { return degraded_; }

  void Start() override;
  void Stop() override;
  void Submit(Operation& operation) override;
  void RequestCancel(Operation& operation) override;
  void SubmitReceive(Receiver& receiver) override;
  void RequestCancel(Receiver& receiver) override;
  void ReturnBuffer(ReceivedBuffer& buffer) override;
  void Enter(uint64_t deadline_ns, IntrusiveList<Completion>& completed) override;
  void Wake() override;
  Handle Adopt(Handle plain) override;
  IoResult RegisterBuffers(std::span<const std::span<std::byte>> buffers) override;

 private:
  struct Arrived {
    uint64_t user_data;
    int32_t result;
    uint32_t flags;
  };
  struct Connecting;

  UringRing() = default;
  bool SetUp(const UringOptions& options, std::string& error);
  int SetUpQueues(uint32_t entries);
  int SetUpReceiveBuffers(uint32_t count, uint32_t bytes);
  void SetUpRegisteredFiles(uint32_t slots);
  void Begin(Operation& operation);

  io_uring_sqe* NextSqe();
  void SetTarget(io_uring_sqe* sqe, Handle handle);
  bool TakeCompletion(Arrived& arrived);
  void SetCompletionsAside();
  void HandleCompletions();
  void ArmWake();
  void SetAlarm(uint64_t deadline_ns);
  void ArmReceive(Receiver& receiver);
  void ProvideBuffer(ReceivedBuffer& buffer);
  void SubmitConnect(Operation& operation);
  int32_t ConnectCompleted(Operation& operation, int32_t result);
  void SubmitStat(Operation& operation);
  void SubmitNow(Operation& operation);
  void FinishAtOnce(Operation& operation, int32_t result);
  void CompletionArrived(const Arrived& arrived);
  void OperationCompleted(Operation& operation, int32_t result);
  void ReceiverCompleted(Receiver& receiver, int32_t result, uint32_t flags);

  io_uring ring_{};
  bool ring_ready_ = false;
  bool degraded_ = false;
  bool started_ = false;
  std::vector<Operation*> early_;  // submitted before Start: the kernel takes nothing until then
  int wake_fd_ = -1;
  uint64_t alarm_ns_ = kNever;  // when the kernel's timer completes, kNever if none is set
  __kernel_timespec alarm_time_{};
  std::vector<int32_t> free_slots_;

  io_uring_buf_ring* buffer_ring_ = nullptr;
  uint32_t buffer_count_ = 0;
  uint32_t buffer_bytes_ = 0;
  char* buffer_memory_ = nullptr;
  std::vector<ReceivedBuffer> buffers_;
  uint32_t lent_count_ = 0;
  IntrusiveList<Receiver> starved_;  // in flight, and not armed before a buffer is returned

  IntrusiveList<Completion> done_;  // what goes out with the next Enter
  std::vector<Arrived> aside_;      // completions taken out early, to be handled by it
};

}  // namespace pakv
