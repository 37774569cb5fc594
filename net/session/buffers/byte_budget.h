// ByteBudget: a bound on the memory that the sessions of one core hold together for one purpose.
//
// Who wants bytes while the budget is used up waits, in the order of coming. A taker may overdraw
// it by what he takes, so that nothing is too large to ever pass.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/base/check.h"
#include "runtime/base/intrusive_list.h"

namespace pakv {

class ByteBudget {
 public:
  // Somebody who takes and waits; leaves the queue when destroyed, after giving all back.
  class Taker : public ListHook {
   public:
    // Called when it may be worth trying again; from within Give. Must not take at once.
    using Retry = void (*)(Taker&);
    explicit Taker(Retry retry) : retry_(retry) {}

   private:
    friend class ByteBudget;
    Retry retry_;
  };

  explicit ByteBudget(size_t bytes_max) : bytes_max_(bytes_max) {}

  size_t used_bytes() const { return used_bytes_; }
  size_t free_bytes() const { return has_room() ? bytes_max_ - used_bytes_ : 0; }
  bool has_room() const { return used_bytes_ < bytes_max_; }
  void Take(size_t bytes) { used_bytes_ += bytes; }
  void Give(size_t bytes) {
    PAKV_DCHECK(bytes <= used_bytes_);
    used_bytes_ -= bytes;
    if (!waiting_.empty()) [[unlikely]]
      WakeSome();
  }

  // Queues `taker` until a Retry, unless he is queued already.
  void Wait(Taker& taker) {
    if (!taker.linked()) waiting_.PushBack(taker);
  }
  // `taker` does not wait any more.
  void Leave(Taker& taker) { taker.Unlink(); }

 private:
  // Wakes a few, since each may use the room up; all once nothing is held that would be given back.
  void WakeSome() {
    constexpr int kWokenMax = 16;
    for (int woken = 0; has_room() && !waiting_.empty(); ++woken) {
      if (woken == kWokenMax && used_bytes_ > 0) break;
      Taker& taker = waiting_.PopFront();
      taker.retry_(taker);
    }
  }

  const size_t bytes_max_;
  size_t used_bytes_ = 0;
  IntrusiveList<Taker> waiting_;
};

// Bytes of a budget, taken whether or not there is room, and held meanwhile.
class BudgetCharge {
 public:
  BudgetCharge(ByteBudget& budget, size_t bytes) : budget_(budget), bytes_(bytes) {
    budget_.Take(bytes_);
  }
  BudgetCharge(const BudgetCharge&) = delete;
  BudgetCharge& operator=(const BudgetCharge&) = delete;
  ~BudgetCharge() { budget_.Give(bytes_); }

 private:
  ByteBudget& budget_;
  const size_t bytes_;
};

}  // namespace pakv
