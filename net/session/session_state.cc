// The part of Session that tells about it.
#include "net/session/session_state.h"

#include "net/session/session.h"

namespace pakv {

SessionState Session::State() const {
  SessionState state;
  const uint64_t now_ns = core_.now_ns();
  state.age_ns = now_ns - opened_ns_;
  state.idle_ns = batching_ ? 0 : now_ns - last_active_ns_;
  state.handle = static_cast<int32_t>(socket_.handle());
  state.input_bytes = input_.held_bytes();
  state.input_free_bytes = input_.memory_bytes() - state.input_bytes;
  state.request_bytes = request_bytes_;
  state.ready_bytes = queue_.output().size();
  if (send_.in_flight) state.ready_bytes += sending_.size() - sent_bytes_;
  state.ready_bytes_max = queue_.output().capacity() + sending_.capacity();
  state.waiting_replies = queue_.count();
  state.waiting_bytes = queue_.unsent_bytes() - queue_.output().size();
  state.memory_bytes = sizeof(Session) + SessionGroup::kBytesPerSession + input_.memory_bytes() +
                       request_bytes_ + queue_.memory_bytes() + sending_.capacity();
  state.is_sending = send_.in_flight;
  state.is_ending = discarding_ || closing_ || draining_;
  if (protocol_ != nullptr) protocol_->Describe(state);
  state.memory_bytes += state.queued_bytes;
  return state;
}

}  // namespace pakv
