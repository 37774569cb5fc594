#include "net/session/buffers/frame_budget.h"

#include <utility>

namespace pakv {

bool FrameBudget::Take(Holder& holder, size_t bytes) {
  PAKV_CHECK(bytes > holder.bytes_ && !holder.is_waiting());
  holder.Unlink();
  const bool is_first = growing_.empty() && (holder.bytes_ > 0 || turns_.empty());
  const bool takes = favoured_ == &holder || (is_first && Fits(holder, bytes));
  if (takes || favoured_ == nullptr) {
    PAKV_DCHECK(takes || is_first, "there is a favoured one while anybody waits");
    if (!takes) favoured_ = &holder;
    Grant(holder, bytes);
    return true;
  }
  holder.wanted_bytes_ = bytes;
  Enqueue(holder);
  Arm();
  return false;
}

void FrameBudget::Grant(Holder& holder, size_t bytes) {
  used_bytes_ += bytes - holder.bytes_;
  holder.bytes_ = bytes;
}

void FrameBudget::Enqueue(Holder& holder) {
  ++waiting_count_;
  if (holder.bytes_ > 0) return growing_.PushBack(holder);
  Queue& queue = queues_[holder.host_];
  if (!queue.linked()) turns_.PushBack(queue);
  queue.waiting.PushBack(holder);
}

// It has still what it had when it began to wait. Who gives up has not had its host's turn.
void FrameBudget::Dequeue(Holder& holder, bool is_granted) {
  holder.Unlink();
  --waiting_count_;
  if (holder.bytes_ > 0) return;
  const auto found = queues_.find(holder.host_);
  if (found->second.waiting.empty()) {
    found->second.Unlink();
    queues_.erase(found);
  } else if (is_granted) {
    found->second.Unlink();
    turns_.PushBack(found->second);
  }
}

FrameBudget::Holder* FrameBudget::FirstWaiting() {
  if (!growing_.empty()) return &growing_.front();
  return turns_.empty() ? nullptr : &turns_.front().waiting.front();
}

void FrameBudget::Release(Holder& holder) {
  if (holder.is_waiting()) Dequeue(holder, /*is_granted=*/false);
  holder.Unlink();
  holder.wanted_bytes_ = 0;
  PAKV_CHECK(holder.bytes_ <= used_bytes_);
  used_bytes_ -= std::exchange(holder.bytes_, 0);
  if (favoured_ == &holder) favoured_ = nullptr;
  if (leaving_ == &holder) leaving_ = nullptr;
  GrantWaiting();
}

void FrameBudget::GrantWaiting() {
  while (Holder* const first = FirstWaiting()) {
    if (!Fits(*first, first->wanted_bytes_)) {
      if (favoured_ != nullptr) return Arm();
      favoured_ = first;
    }
    Dequeue(*first, /*is_granted=*/true);
    Grant(*first, std::exchange(first->wanted_bytes_, 0));
    first->granted_(*first);
  }
}

void FrameBudget::Listen(Holder& holder, uint64_t received_bytes) {
  PAKV_DCHECK(holder.bytes_ > 0 && !holder.is_waiting());
  const uint64_t sent_bytes = received_bytes - holder.received_bytes_;
  if (holder.linked() && sent_bytes < holder.bytes_ / kProgressShare) return;
  holder.received_bytes_ = received_bytes;
  BeginTime(holder);
  Arm();
}

void FrameBudget::BeginTime(Holder& holder) {
  holder.Unlink();
  holder.since_ns_ = core_.now_ns();
  listening_.PushBack(holder);
}

// For the first whose time is over, if that is of any use; early perhaps, as it may send before.
void FrameBudget::Arm() {
  if (waiting_count_ == 0 || listening_.empty() || leaving_ != nullptr || timer_.armed()) return;
  timer_.Arm(core_.timers(), listening_.front().since_ns_ + kProgressNs);
}

void FrameBudget::CutOffSlow() {
  if (waiting_count_ == 0 || listening_.empty() || leaving_ != nullptr) return;
  Holder& first = listening_.front();
  if (core_.now_ns() >= first.since_ns_ + kProgressNs) {
    if (first.cut_off_(first)) {
      first.Unlink();
      leaving_ = &first;
    } else {
      BeginTime(first);
    }
  }
  Arm();
}

}  // namespace pakv
