#include "net/session/buffers/reply_queue.h"

#include <algorithm>
#include <new>

#include "runtime/base/check.h"
#include "runtime/base/coverage.h"
#include "runtime/base/seeded_bug.h"

namespace pakv {

SlotPool::~SlotPool() = default;

void SlotPool::AddChunk() {
  chunks_.push_back(std::make_unique<ReplySlot[]>(kChunkSlots));
  for (size_t index = kChunkSlots; index-- > 0;) {
    ReplySlot& slot = chunks_.back()[index];
    slot.next_ = free_;
    free_ = &slot;
  }
}

ReplySlot& SlotPool::Take() {
  ReplySlot& slot = Peek();
  free_ = slot.next_;
  slot.next_ = nullptr;
  kept_bytes_ -= slot.kept_bytes_;
  ++taken_;
  return slot;
}

void SlotPool::Give(ReplySlot& slot) {
  PAKV_DCHECK(slot.parts_ == 0);
  slot.Reset();
  slot.parent_ = nullptr;
  slot.filled_ = false;
  slot.due_bytes_ = 0;
  if (slot.is_text_) {
    slot.is_text_ = false;
    slot.text_.Clear(0);
  }
  size_t bytes = slot.memory_bytes();
  if (kept_bytes_ + bytes > kKeptBytesMax) [[unlikely]] {
    slot.~ReplySlot();
    new (&slot) ReplySlot();
    bytes = slot.memory_bytes();
  }
  slot.kept_bytes_ = static_cast<uint32_t>(bytes);
  kept_bytes_ += bytes;
  slot.next_ = free_;
  free_ = &slot;
  --taken_;
}

OutputBuffer& ReplyQueue::Open() {
  OutputBuffer* buffer = &output_;
  if (head_ != nullptr && order_ == ReplyOrder::kAsRequested) {
    if (!tail_->is_text_) {
      ReplySlot& slot = pool_.Take();
      slot.is_text_ = true;
      slot.filled_ = true;
      Append(slot);
    }
    buffer = &tail_->text_;
  }
  open_bytes_ = buffer->size();
  return *buffer;
}

void ReplyQueue::Close() {
  if (head_ != nullptr && order_ == ReplyOrder::kAsRequested) {
    held_bytes_ += tail_->text_.size() - open_bytes_;
  } else if (discarding_) {
    output_.Clear(0);
  }
}

void ReplyQueue::Append(ReplySlot& slot) {
  ++count_;
  if (slot.filled_ && !slot.is_text_) Keep(slot);
  if (order_ == ReplyOrder::kAny) {
    if (slot.filled_) Link(slot);  // its value lies in a file, or the output is full
    return;
  }
  if (PAKV_BUG(kReplyOutOfOrder) && head_ != nullptr && !slot.is_text_) {
    slot.next_ = head_;
    head_ = &slot;
    return;
  }
  Link(slot);
}

void ReplyQueue::Keep(ReplySlot& slot) {
  slot.KeepReply();
  held_bytes_ += slot.reply.bytes.size();
  room_bytes_ += std::min(slot.room_bytes(), slot.reply.bytes.size());
}

void ReplyQueue::Forget(const ReplySlot& slot) {
  held_bytes_ -= slot.is_text_ ? slot.text_.size() : slot.reply.bytes.size();
  room_bytes_ -= std::min(slot.room_bytes(), slot.reply.bytes.size());
}

void ReplyQueue::Link(ReplySlot& slot) {
  slot.next_ = nullptr;
  if (head_ == nullptr) {
    head_ = &slot;
  } else {
    tail_->next_ = &slot;
  }
  tail_ = &slot;
}

void ReplyQueue::Pass(ReplySlot& slot) {
  --count_;
  due_bytes_ -= slot.due_bytes_;
  if (discarding_) {
    // Nobody reads it.
  } else if (slot.is_text_) {
    output_.Append(slot.text_.view());
  } else {
    slot.encode(slot, output_);
  }
  pool_.Give(slot);
}

void ReplyQueue::Fill(ReplySlot& slot) {
  slot.filled_ = true;
  const bool in_file = slot.reply.kind == Reply::Kind::kFile;
  const bool waits = is_full();
  if (waits) [[unlikely]]
    PAKV_COVERED(kReplyWaitedForOutput);
  if (order_ == ReplyOrder::kAny) {
    if (!in_file && !waits) return Pass(slot);
    Keep(slot);
    Link(slot);
    return;
  }
  if (head_ != &slot || in_file || waits) return Keep(slot);
  // Its turn; the first is passed as it is, since it has not kept anything.
  head_ = slot.next_;
  Pass(slot);
  PassFilled();
}

void ReplyQueue::PassFilled() {
  if (order_ == ReplyOrder::kAny) return PassAny();
  while (head_ != nullptr && head_->filled_ && FileDue() == nullptr && !is_full()) {
    ReplySlot& next = *head_;
    head_ = next.next_;
    Forget(next);
    Pass(next);
  }
}

// Around those whose values lie in files: these have turns of their own.
void ReplyQueue::PassAny() {
  ReplySlot* before = nullptr;
  for (ReplySlot* slot = head_; slot != nullptr && !is_full();) {
    ReplySlot* const next = slot->next_;
    if (slot->reply.kind == Reply::Kind::kFile) {
      before = slot;
    } else {
      (before == nullptr ? head_ : before->next_) = next;
      if (tail_ == slot) tail_ = before;
      Forget(*slot);
      Pass(*slot);
    }
    slot = next;
  }
}

void ReplyQueue::EndFile() {
  ReplySlot& slot = *FileDue();
  head_ = slot.next_;
  Forget(slot);
  --count_;
  pool_.Give(slot);
  PassFilled();
}

void ReplyQueue::Discard() {
  discarding_ = true;
  output_.Clear(0);
  PassFilled();
}

}  // namespace pakv
