#include "net/session/session_group.h"

#include <utility>

#include "net/session/session.h"
#include "runtime/base/check.h"

namespace pakv {
namespace {

Task<void> RunSession(std::unique_ptr<Session> session) { co_await session->Serve(); }

}  // namespace

SessionGroup::SessionGroup(Core& core, Store* store, const SessionLimits& limits)
    : write_budget(limits.core_write_bytes_max),
      transaction_budget(limits.core_transaction_bytes_max),
      read_budget(limits.core_read_bytes_max),
      frame_budget(core, limits.core_frame_bytes_max),
      unread_budget(limits.core_unread_bytes_max),
      queued_budget(limits.core_queued_bytes_max),
      core_(core),
      store_(store),
      limits_(limits),
      empty_(core.ready()) {
  empty_.Set();
}

SessionGroup::~SessionGroup() = default;

void SessionGroup::Serve(NewConnection connection) {
  empty_.Reset();
  core_.nursery().Spawn(RunSession(std::make_unique<Session>(*this, std::move(connection))));
}

void SessionGroup::RequestDrain() {
  draining_ = true;
  for (Session* session = sessions_.First(); session != nullptr;) {
    Session* const next = sessions_.Next(*session);
    session->RequestDrain();
    session = next;
  }
}

void SessionGroup::RequestKill() {
  draining_ = true;
  for (Session* session = sessions_.First(); session != nullptr;) {
    Session* const next = sessions_.Next(*session);
    session->RequestKill();
    session = next;
  }
}

bool SessionGroup::VisitNext(SessionWalk& walk, absl::FunctionRef<void(Session&)> visit) {
  if (!walk.linked()) {
    walk.next = sessions_.First();
    walks_.PushBack(walk);
  }
  for (size_t count = 0; count < kVisitedPerStep && walk.next != nullptr; ++count) {
    Session& session = *walk.next;
    walk.next = sessions_.Next(session);
    visit(session);
  }
  if (walk.next == nullptr) walk.Unlink();
  return walk.linked();
}

void SessionGroup::PassBy(Session& session) {
  for (SessionWalk* walk = walks_.First(); walk != nullptr; walk = walks_.Next(*walk)) {
    if (walk->next == &session) walk->next = sessions_.Next(session);
  }
}

Task<void> SessionGroup::WaitUntilEmpty() {
  while (session_count_ > 0) co_await empty_.Wait();
}

// What the kernel does for those that are armed for many buffers is bounded by the ring's: until
// the cancellations are submitted, that is once more, and by what was received in this pass.
void SessionGroup::NoteAhead(size_t bytes_before, size_t bytes) {
  ahead_bytes_ += bytes - bytes_before;
  if (receives_once_) {
    receives_once_ = ahead_bytes_ > limits_.core_ahead_bytes_max / 2;
    return;
  }
  if (ahead_bytes_ <= limits_.core_ahead_bytes_max) return;
  receives_once_ = true;
  for (Session* each = sessions_.First(); each != nullptr; each = sessions_.Next(*each)) {
    each->StopReceiving();
  }
}

uint64_t SessionGroup::memory_bytes() const {
  return session_count_ * (sizeof(Session) + kBytesPerSession) +
         slots_.slots() * sizeof(ReplySlot) + slots_.kept_bytes() + write_budget.used_bytes() +
         transaction_budget.used_bytes() + read_budget.used_bytes() + unread_budget.used_bytes() +
         queued_budget.used_bytes() + buffer_bytes_ + kept_buffer_bytes_;
}

void SessionGroup::BorrowBuffer(OutputBuffer& buffer) {
  if (buffers_.empty()) return;
  buffer.Swap(buffers_.back());
  buffers_.pop_back();
  kept_buffer_bytes_ -= buffer.capacity();
}

void SessionGroup::ReturnBuffer(OutputBuffer& buffer) {
  PAKV_DCHECK(buffer.empty());
  if (buffer.capacity() == 0) return;
  if (buffer.capacity() > kKeptBufferBytes || buffers_.size() == kKeptBuffers) {
    buffer.Clear(0);
    return;
  }
  kept_buffer_bytes_ += buffer.capacity();
  buffers_.emplace_back();
  buffers_.back().Swap(buffer);
}

}  // namespace pakv
