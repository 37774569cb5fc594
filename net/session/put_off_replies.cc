#include "net/session/put_off_replies.h"

#include <utility>

#include "net/session/session.h"

namespace pakv {

PutOffReplies::PutOffReplies(Session& session) : session_(session) {}

void PutOffReplies::Add(ReplySlot& slot) {
  slot.put_off_ = true;
  waiting_.PushBack(slot);
  Resume();
}

void PutOffReplies::Resume() {
  if (!waiting_.empty() && !asking_.linked()) session_.core().MakeReady(asking_);
}

void PutOffReplies::AskAgain() {
  while (!waiting_.empty()) {
    // In the queue's order that one is first, whoever has come back before it: all others wait for
    // it, with what they hold.
    Request* next = session_.queue_.PutOffNext();
    if (next == nullptr && session_.queue_.has_room_for_due()) next = waiting_.First();
    if (next == nullptr) return;
    next->Unlink();
    auto& slot = static_cast<ReplySlot&>(*next);
    slot.put_off_ = false;
    session_.StartDue(slot);
  }
}

void PutOffReplies::Drop() {
  while (!waiting_.empty()) {
    auto& slot = static_cast<ReplySlot&>(waiting_.PopFront());
    slot.put_off_ = false;
    session_.DropPutOff(slot);
  }
}

}  // namespace pakv
