// Core: one thread's event loop over one Ring. Each pass collects what has completed, takes the
// mail of other cores, fires timers, runs what is ready, calls the pass-end hooks (replies are
// sent, log blocks are started, chains are handed over), and enters the ring again with all of it
// in one system call.
//
// Everything a core owns is touched by its own loop only. The exceptions are Post, which any
// thread may call, and what other cores' Send leaves in its mailboxes.
#pragma once

#include <array>
#include <atomic>
#include <coroutine>
#include <cstdint>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "runtime/base/clock.h"
#include "runtime/core/mailbox.h"
#include "runtime/core/stall.h"
#include "runtime/io/buffer_pool.h"
#include "runtime/io/io_context.h"
#include "runtime/io/ring.h"
#include "runtime/io/timer.h"
#include "runtime/task/nursery.h"
#include "runtime/task/ready_queue.h"
#include "runtime/task/task.h"

namespace pakv {

class BlockingPool;

// Of one process: what --cores takes at most.
inline constexpr uint32_t kCoresMax = 256;

struct CoreOptions {
  // Registered buffers of this core for direct I/O.
  size_t buffer_count = 4;
  size_t buffer_bytes = 1 << 20;
  // Chains of messages that wait at each other core, at most Mailbox::kCapacity: for simulations.
  uint32_t mailbox_chains_max = Mailbox::kCapacity;
  // For check messages.
  uint64_t seed = 0;
  // For what io_uring cannot do; nullptr: the ring does it in place. Destroyed when the cores have
  // left their loops, before they are.
  BlockingPool* blocking_pool = nullptr;
  // For questions about this process, which wait for no disk: one that has stalled, and holds all
  // of blocking_pool, leaves it free. nullptr: there are no answers. Destroyed as that.
  BlockingPool* monitor_pool = nullptr;
};

// Counters of one core; read by others through a message.
struct CoreCounters {
  uint64_t passes = 0;
  uint64_t completions = 0;
  uint64_t chains_sent = 0;
  uint64_t wakes_sent = 0;
};

class Core {
 public:
  // `clock` and `ring` as the core's alone. Mailboxes are connected by Cores.
  Core(uint32_t id, uint32_t count, Clock& clock, std::unique_ptr<Ring> ring,
       const CoreOptions& options);
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;
  ~Core();

  uint32_t id() const { return id_; }
  uint32_t count() const { return count_; }

  // The monotonic clock, as read at the start of this pass.
  uint64_t now_ns() const { return now_ns_; }
  // The wall clock, as read when this pass first asked for it.
  uint64_t wall_us();

  // A clock that is never behind any message that this core has received: it travels with every
  // chain, and the larger value wins. The store keeps its LSN clock in it.
  uint64_t causal_clock = 0;

  IoContext& io() { return io_; }
  Ring& ring() { return *ring_; }
  ReadyQueue& ready() { return ready_; }
  TimerQueue& timers() { return timers_; }
  BufferPool& buffers() { return buffers_; }
  BlockingPool* blocking_pool() const { return blocking_pool_; }
  BlockingPool* monitor_pool() const { return monitor_pool_; }
  // Root tasks that live as long as the core.
  Nursery& nursery() { return nursery_; }
  const CoreCounters& counters() const { return counters_; }
  const StallDetector& stalls() const { return stalls_; }
  // There is somebody to serve: from the next pass on, those that take long are counted and told.
  void CountStalls() { stalls_.Begin(now_ns_); }

  void MakeReady(Runnable& runnable) { ready_.MakeReady(runnable); }
  // Runs `runnable` once at the end of this pass, before the ring is entered; what is asked for by
  // another one at a pass's end runs at the end of the next, which does not wait. Asking again
  // before it ran changes nothing.
  void AtPassEnd(Runnable& runnable) {
    if (!runnable.linked()) pass_end_.PushBack(runnable);
  }

  // co_await core.WhenIdle(): goes on when the core has nothing else to do, or has been busy for
  // as long as what waited here took before: for work that nobody waits for. In pieces of some
  // 100 us it takes the time in which the core would have slept, and half of it if there is none.
  auto WhenIdle() { return idle_.Yield(); }

  // Gives `message` to core `target` (to itself, too: it then runs in the next pass). It belongs to
  // the target until that sends it on. Messages to one core arrive in the order of their sending.
  void Send(uint32_t target, Message& message) { outgoing_[target].Append(message); }
  // Any thread: gives `message` to this core. Threads that are no core's have been joined before
  // the core is destroyed: a posted message may have been run before Post returns.
  void Post(Message& message);

  // R result = co_await core.CallOn(target, function): runs function(Core& target) there. The
  // function owns what it captures; it is moved into the awaiter's frame, used there by the
  // target core while this coroutine is suspended, and destroyed here.
  template <typename Call>
  class CallAwaiter;
  template <typename Call>
  CallAwaiter<Call> CallOn(uint32_t target, Call function) {
    return CallAwaiter<Call>(*this, target, std::move(function));
  }
  // The same for function(Core&) -> Task<R>, awaited on the target core in its nursery. R is not
  // void. A plain function without captures, or one that owns them until the task has ended.
  template <typename Call>
  class CallTaskAwaiter;
  template <typename Call>
  CallTaskAwaiter<Call> CallTaskOn(uint32_t target, Call function) {
    return CallTaskAwaiter<Call>(*this, target, std::move(function));
  }

  // Runs passes until Leave is called. On the core's own thread.
  void Run();
  // Ends Run after the present pass.
  void Leave() { leaving_ = true; }
  bool leaving() const { return leaving_; }

  // One pass. Waits in the ring only if the last pass left nothing to do (`runnable()` false) and
  // the ring can wait; a simulated ring never does.
  void RunPass();
  // There is something to do now, apart from what the ring may have.
  bool runnable() const { return !asleep_; }
  // When it is due by itself, for a timer or for a chain that found a mailbox full; kNever if
  // only its ring can wake it.
  uint64_t next_deadline_ns() const;

 private:
  friend class Cores;
  void ReadClock();
  void TakeMail();
  // What waits for the core to be idle.
  void RunIdle();
  void RunChain(Message* chain);
  void HandOverChains();
  bool MailWaits() const;
  // Decides whether the next pass may wait; when it may, senders know that they have to wake us.
  void PrepareToSleep();

  const uint32_t id_;
  const uint32_t count_;
  Clock& clock_;
  uint64_t now_ns_ = 0;
  uint64_t wall_us_ = 0;  // 0: not read in this pass
  const uint64_t seed_;
  BlockingPool* const blocking_pool_;
  BlockingPool* const monitor_pool_;

  std::unique_ptr<Ring> ring_;
  ReadyQueue ready_;
  TimerQueue timers_;
  BufferPool buffers_;
  IoContext io_;
  IntrusiveList<Completion> completed_;
  IntrusiveList<Runnable> pass_end_;
  ReadyQueue idle_;             // see WhenIdle
  int64_t idle_credit_ns_ = 0;  // what it may take although there is other work

  // Mail. The mailboxes are this core's incoming ones, by source.
  std::vector<Core*> peers_;
  std::unique_ptr<Mailbox[]> mailboxes_;
  alignas(64) std::array<std::atomic<uint64_t>, kCoresMax / 64> mail_from_{};
  SleepFlag sleep_;
  ForeignInbox foreign_;
  std::vector<MessageChain> outgoing_;
  bool chain_waits_ = false;  // a mailbox was full
  const uint32_t mailbox_chains_max_;

  bool asleep_ = false;
  bool leaving_ = false;
  CoreCounters counters_;
  StallDetector stalls_;
  Nursery nursery_;  // last: its tasks use all of the above while they are destroyed
};

template <typename Call>
class [[nodiscard]] Core::CallAwaiter : private Message {
 public:
  using Result = std::invoke_result_t<Call&, Core&>;
  static_assert(!std::is_void_v<Result>,
                "return something: a call that answers nothing cannot fail");

  CallAwaiter(Core& source, uint32_t target, Call function)
      : source_(source), target_(target), function_call_(std::move(function)) {}
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> handle) {
    handle_ = handle;
    set_function([](Message& self, Core& here) {
      auto& call = static_cast<CallAwaiter&>(self);
      call.result_.emplace(call.function_call_(here));
      call.set_function(
          [](Message& done, Core&) { static_cast<CallAwaiter&>(done).handle_.resume(); });
      here.Send(call.source_.id(), call);
    });
    source_.Send(target_, *this);
  }
  Result await_resume() { return std::move(*result_); }

 private:
  Core& source_;
  uint32_t target_;
  Call function_call_;
  std::optional<Result> result_;
  std::coroutine_handle<> handle_;
};

template <typename Call>
class [[nodiscard]] Core::CallTaskAwaiter : private Message {
 public:
  using ResultTask = std::invoke_result_t<Call&, Core&>;
  using Result = decltype(std::declval<typename ResultTask::Awaiter&>().await_resume());

  CallTaskAwaiter(Core& source, uint32_t target, Call function)
      : source_(source), target_(target), function_call_(std::move(function)) {}
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> handle) {
    handle_ = handle;
    set_function([](Message& self, Core& here) {
      here.nursery().Spawn(RunThere(static_cast<CallTaskAwaiter&>(self), here));
    });
    source_.Send(target_, *this);
  }
  Result await_resume() { return std::move(*result_); }

 private:
  static Task<void> RunThere(CallTaskAwaiter& call, Core& here) {
    Result result = co_await call.function_call_(here);
    call.result_.emplace(std::move(result));
    call.set_function(
        [](Message& done, Core&) { static_cast<CallTaskAwaiter&>(done).handle_.resume(); });
    here.Send(call.source_.id(), call);
  }

  Core& source_;
  uint32_t target_;
  Call function_call_;
  std::optional<Result> result_;
  std::coroutine_handle<> handle_;
};

}  // namespace pakv
