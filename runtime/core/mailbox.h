// How cores talk: messages travel in chains. A core links what it sends to each other core during
// a pass, and hands each chain over with one entry of a bounded single-producer ring at the pass's
// end. If the ring is full the chain waits for the next pass: nothing is allocated, nobody blocks,
// nothing deadlocks. Messages from one core to another keep their order.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "runtime/base/check.h"

namespace pakv {

class Core;

// Something that another core is to do. Its sender owns it until it is run; whoever runs it may
// send it back or on. A message in a chain is linked, never copied.
class Message {
 public:
  // Runs on the target core, from its loop.
  using Function = void (*)(Message&, Core& here);
  Message() = default;
  explicit Message(Function function) : function_(function) {}
  Message(const Message&) = delete;
  Message& operator=(const Message&) = delete;

  void set_function(Function function) { function_ = function; }
  void Run(Core& here) { function_(*this, here); }
  // While it is run, before it is sent on: the one that is run next if it has the same function, so
  // that what several of them need can be fetched side by side; else nullptr.
  Message* NextAlike() const {
    return next_ != nullptr && next_->function_ == function_ ? next_ : nullptr;
  }

 private:
  friend class MessageChain;
  friend class ForeignInbox;
  Function function_ = nullptr;
  Message* next_ = nullptr;
};

// Messages linked in order. Not thread-safe; handed over whole.
class MessageChain {
 public:
  bool empty() const { return head_ == nullptr; }
  void Append(Message& message) {
    message.next_ = nullptr;
    if (head_ == nullptr) {
      head_ = &message;
    } else {
      tail_->next_ = &message;
    }
    tail_ = &message;
  }
  // The caller reads what it needs of the message before it runs it: running may free it.
  Message* PopFront() {
    Message* message = head_;
    if (message != nullptr) head_ = message->next_;
    return message;
  }
  Message* Release() {
    Message* head = head_;
    head_ = nullptr;
    return head;
  }
  // Takes a chain that another one's Release gave, to pop from it.
  void Assign(Message* head) { head_ = head; }
  // Takes back what Release gave, as long as nothing was appended since.
  void Reassign(Message* head) { head_ = head; }

 private:
  Message* head_ = nullptr;
  Message* tail_ = nullptr;
};

// A ring of chains from one core to one other: single producer, single consumer.
class Mailbox {
 public:
  // Chains that may wait; one is handed over per pass of the sender.
  static constexpr uint32_t kCapacity = 16;
  static_assert((kCapacity & (kCapacity - 1)) == 0);

  // Producer. `stamp` travels with the chain. False if `chains_max`, at most kCapacity, wait.
  bool TryPush(Message* chain, uint64_t stamp, uint32_t chains_max = kCapacity) {
    const uint32_t tail = tail_.load(std::memory_order_relaxed);
    if (tail - head_.load(std::memory_order_acquire) >= chains_max) return false;
    entries_[tail % kCapacity] = {chain, stamp};
    tail_.store(tail + 1, std::memory_order_release);
    return true;
  }
  // Consumer. False if it is empty.
  bool TryPop(Message*& chain, uint64_t& stamp) {
    const uint32_t head = head_.load(std::memory_order_relaxed);
    if (head == tail_.load(std::memory_order_acquire)) return false;
    chain = entries_[head % kCapacity].chain;
    stamp = entries_[head % kCapacity].stamp;
    head_.store(head + 1, std::memory_order_release);
    return true;
  }

 private:
  struct Entry {
    Message* chain;
    uint64_t stamp;
  };
  std::array<Entry, kCapacity> entries_;
  alignas(64) std::atomic<uint32_t> head_{0};
  alignas(64) std::atomic<uint32_t> tail_{0};
};

// Who may wake a core, and whether it needs it. The owner announces that it is about to sleep and
// then looks once more; a sender leaves its mark and then asks whether the owner sleeps. Both
// sides' steps are sequentially consistent, so one of them sees the other: no wake-up is lost.
class SleepFlag {
 public:
  // Owner: about to wait. Looks for mail after this call, and does not wait if there is any.
  void AnnounceSleep() { asleep_.store(true, std::memory_order_seq_cst); }
  // Owner: awake again.
  void AnnounceAwake() { asleep_.store(false, std::memory_order_relaxed); }
  // Sender, after its mail is visible: true if it is the one who has to wake the owner.
  bool TakeWakeDuty() {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    return asleep_.load(std::memory_order_relaxed) &&
           asleep_.exchange(false, std::memory_order_seq_cst);
  }

 private:
  alignas(64) std::atomic<bool> asleep_{false};
};

// Messages from threads that are no core: a lock-free stack, taken whole and reversed into the
// order in which they were pushed.
class ForeignInbox {
 public:
  // Any thread.
  void Push(Message& message) {
    message.next_ = head_.load(std::memory_order_relaxed);
    while (!head_.compare_exchange_weak(message.next_, &message, std::memory_order_seq_cst,
                                        std::memory_order_relaxed)) {
    }
  }
  // Owner.
  bool empty() const { return head_.load(std::memory_order_seq_cst) == nullptr; }
  Message* TakeAll() {
    Message* reversed = head_.exchange(nullptr, std::memory_order_acquire);
    Message* ordered = nullptr;
    while (reversed != nullptr) {
      Message* next = reversed->next_;
      reversed->next_ = ordered;
      ordered = reversed;
      reversed = next;
    }
    return ordered;
  }

 private:
  std::atomic<Message*> head_{nullptr};
};

}  // namespace pakv
