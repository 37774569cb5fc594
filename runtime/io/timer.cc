#include "runtime/io/timer.h"

#include <algorithm>

#include "runtime/base/check.h"

namespace pakv {

void Timer::Arm(TimerQueue& queue, uint64_t deadline_ns) {
  Disarm();
  if (deadline_ns == kNever) return;
  deadline_ns_ = deadline_ns;
  queue.Insert(*this);
}

void Timer::Disarm() {
  if (queue_ != nullptr) queue_->Remove(*this);
}

TimerQueue::~TimerQueue() {
  for (Timer* timer : heap_) timer->queue_ = nullptr;
}

bool TimerQueue::Before(const Timer& left, const Timer& right) {
  return left.deadline_ns_ != right.deadline_ns_ ? left.deadline_ns_ < right.deadline_ns_
                                                 : left.sequence_ < right.sequence_;
}

void TimerQueue::Place(size_t index, Timer* timer) {
  heap_[index] = timer;
  timer->index_ = index;
}

void TimerQueue::MoveUp(size_t index) {
  Timer* timer = heap_[index];
  while (index > 0) {
    const size_t parent = (index - 1) / 2;
    if (!Before(*timer, *heap_[parent])) break;
    Place(index, heap_[parent]);
    index = parent;
  }
  Place(index, timer);
}

void TimerQueue::MoveDown(size_t index) {
  Timer* timer = heap_[index];
  while (true) {
    size_t child = 2 * index + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && Before(*heap_[child + 1], *heap_[child])) ++child;
    if (!Before(*heap_[child], *timer)) break;
    Place(index, heap_[child]);
    index = child;
  }
  Place(index, timer);
}

void TimerQueue::Insert(Timer& timer) {
  timer.queue_ = this;
  timer.deadline_ns_ = std::max(timer.deadline_ns_, deadline_ns_min_);
  timer.sequence_ = next_sequence_++;
  heap_.push_back(&timer);
  MoveUp(heap_.size() - 1);
}

void TimerQueue::Remove(Timer& timer) {
  const size_t index = timer.index_;
  PAKV_DCHECK(heap_[index] == &timer);
  timer.queue_ = nullptr;
  Timer* last = heap_.back();
  heap_.pop_back();
  if (last == &timer) return;
  Place(index, last);
  MoveUp(index);
  MoveDown(last->index_);
}

size_t TimerQueue::Fire(uint64_t now_ns) {
  size_t count = 0;
  deadline_ns_min_ = now_ns + 1;
  while (!heap_.empty() && heap_[0]->deadline_ns_ <= now_ns) {
    Timer& timer = *heap_[0];
    Remove(timer);
    ++count;
    timer.function_(timer);
  }
  deadline_ns_min_ = 0;
  return count;
}

}  // namespace pakv
