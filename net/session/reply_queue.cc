#include "net/session/reply_queue.h"

#include <new>

#include "runtime/base/check.h"
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
  if (discarding_) {
    output_.Clear(0);
  } else if (head_ != nullptr && order_ == ReplyOrder::kAsRequested) {
    held_bytes_ += tail_->text_.size() - open_bytes_;
  }
}

void ReplyQueue::Append(ReplySlot& slot) {
  ++count_;
  if (slot.filled_ && !slot.is_text_) {
    slot.KeepReply();
    held_bytes_ += slot.reply.bytes.size();
  }
  if (order_ == ReplyOrder::kAny) {
    if (slot.filled_) Link(slot);  // its value lies in a file
    return;
  }
  if (PAKV_BUG(kReplyOutOfOrder) && head_ != nullptr && !slot.is_text_) {
    slot.next_ = head_;
    head_ = &slot;
    return;
  }
  Link(slot);
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
  if (order_ == ReplyOrder::kAny) {
    if (!in_file) return Pass(slot);
    slot.KeepReply();
    held_bytes_ += slot.reply.bytes.size();
    Link(slot);
    return;
  }
  if (head_ != &slot || in_file) {
    slot.KeepReply();
    held_bytes_ += slot.reply.bytes.size();
    return;
  }
  // Its turn; the first is passed as it is, since it has not kept anything.
  head_ = slot.next_;
  Pass(slot);
  PassFilled();
}

void ReplyQueue::PassFilled() {
  while (head_ != nullptr && head_->filled_ && FileDue() == nullptr) {
    ReplySlot& next = *head_;
    head_ = next.next_;
    held_bytes_ -= next.is_text_ ? next.text_.size() : next.reply.bytes.size();
    Pass(next);
  }
}

void ReplyQueue::EndFile() {
  ReplySlot& slot = *FileDue();
  head_ = slot.next_;
  held_bytes_ -= slot.reply.bytes.size();
  --count_;
  pool_.Give(slot);
  PassFilled();
}

void ReplyQueue::Discard() {
  discarding_ = true;
  output_.Clear(0);
}

}  // namespace pakv
