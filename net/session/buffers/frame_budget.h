// FrameBudget: the memory that the long requests of one core share, from before they are received
// until they are done with.
//
// A request takes it in steps, as its bytes come, so that who announces much and sends little holds
// little. Who wants more than there is waits, first come first served: those that have some first,
// as what was begun is to be finished, then those that have none. Of these the hosts that clients
// are at take turns, so that however many of one wait, those of another do not wait for all of
// them. As holders of a part each could block one another for ever, one at a time is favoured,
// and takes what it wants: whoever finds no room first, or waits first when there is none such;
// until it holds nothing any more. Used are therefore at most bytes_max and one request.
//
// A holder says when it waits for its client. While others wait for memory, clients that in
// kProgressNs have not sent a kProgressShare-th of what they hold lose it, whose time began first,
// and no more of them than it takes. So memory that others wait for costs its holder as much of its
// line, and whoever goes on has sent the rest in a time that can be told.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>

#include "runtime/base/check.h"
#include "runtime/base/clock.h"
#include "runtime/base/intrusive_list.h"
#include "runtime/core/core.h"
#include "runtime/io/timer.h"

namespace pakv {

class FrameBudget {
 public:
  static constexpr uint64_t kProgressNs = 2 * kNsPerSecond;
  static constexpr uint64_t kProgressShare = 64;

  // One request's part. Was released when it is destroyed, unless all is torn down.
  class Holder : public ListHook {
   public:
    // Called, from within Release, when the holder has what it waited for.
    using Granted = void (*)(Holder&);
    // Called when the client has sent too little for too long. False: it is not the client that is
    // waited for; else Release follows, not at once.
    using CutOff = bool (*)(Holder&);
    // `host`: a number that those at one host have in common.
    Holder(uint64_t host, Granted granted, CutOff cut_off)
        : host_(host), granted_(granted), cut_off_(cut_off) {}

    size_t bytes() const { return bytes_; }
    bool is_waiting() const { return wanted_bytes_ > 0; }

   private:
    friend class FrameBudget;
    const uint64_t host_;
    const Granted granted_;
    const CutOff cut_off_;
    size_t bytes_ = 0;
    size_t wanted_bytes_ = 0;      // it is in a queue if not 0, else perhaps in listening_
    uint64_t received_bytes_ = 0;  // when it last had sent enough
    uint64_t since_ns_ = 0;
  };

  // On its core, which outlives it; everything here is called there, and nothing suspends.
  FrameBudget(Core& core, size_t bytes_max) : core_(core), bytes_max_(bytes_max), timer_(*this) {}
  FrameBudget(const FrameBudget&) = delete;
  FrameBudget& operator=(const FrameBudget&) = delete;

  size_t used_bytes() const { return used_bytes_; }
  size_t waiting_count() const { return waiting_count_; }

  // `holder`, which does not wait, is to have `bytes`, more than it has. False: it waits for them.
  bool Take(Holder& holder, size_t bytes);
  // Gives all back, and waits for nothing any more. Grants what others wait for.
  void Release(Holder& holder);

  // `holder`, which has some, waits for its client from now on, or does so still, of whom
  // `received_bytes` have come since any time before. Until Take, Release or StopListening, behind
  // which its time begins anew.
  void Listen(Holder& holder, uint64_t received_bytes);
  void StopListening(Holder& holder) {
    PAKV_DCHECK(!holder.is_waiting());
    holder.Unlink();
  }

 private:
  struct ProgressTimer : Timer {
    explicit ProgressTimer(FrameBudget& budget)
        : Timer([](Timer& self) { static_cast<ProgressTimer&>(self).owner.CutOffSlow(); }),
          owner(budget) {}
    FrameBudget& owner;
  };

  bool Fits(const Holder& holder, size_t bytes) const {
    return used_bytes_ + (bytes - holder.bytes_) <= bytes_max_;
  }
  // Those at a host who wait and have none.
  struct Queue : ListHook {
    IntrusiveList<Holder> waiting;
  };

  void Grant(Holder& holder, size_t bytes);
  void Enqueue(Holder& holder);
  void Dequeue(Holder& holder, bool is_granted);
  Holder* FirstWaiting();
  void GrantWaiting();
  void Arm();
  void BeginTime(Holder& holder);
  void CutOffSlow();

  Core& core_;
  const size_t bytes_max_;
  size_t used_bytes_ = 0;
  size_t waiting_count_ = 0;
  Holder* favoured_ = nullptr;     // not null while anybody waits
  Holder* leaving_ = nullptr;      // was cut off, and is about to give back what it has
  IntrusiveList<Holder> growing_;  // who waits and has some
  std::unordered_map<uint64_t, Queue> queues_;  // none is empty
  IntrusiveList<Queue> turns_;                  // all of them, whose turn is next first
  IntrusiveList<Holder> listening_;             // to their clients, whose time began first
  ProgressTimer timer_;
};

}  // namespace pakv
