#include "runtime/io/receive_stream.h"

#include "runtime/base/check.h"

namespace pakv {

ReceiveStream::ReceiveStream(IoContext& io, Handle handle_in)
    : Receiver([](Completion& self) { static_cast<ReceiveStream&>(self).News(); }),
      io_(io),
      news_(io.ready) {
  handle = handle_in;
  Arm();
}

void ReceiveStream::Arm() {
  state_ = State::kArmed;
  io_.ring.SubmitReceive(*this);
}

void ReceiveStream::News() {
  waiting_ = 0;
  for (ReceivedBuffer* each = received.First(); each != nullptr; each = received.Next(*each)) {
    ++waiting_;
  }
  const bool holds_much = taken_ + waiting_ >= kHeldMax;
  if (in_flight) {
    if (state_ == State::kArmed && holds_much) {
      state_ = State::kPausing;
      io_.ring.RequestCancel(*this);
    }
  } else if (!stopping_ && (end().error() == ENOBUFS ||
                            (end().error() == ECANCELED && state_ == State::kPausing))) {
    state_ = State::kPaused;
    if (taken_ + waiting_ == 0) Arm();
  } else {
    state_ = State::kOver;
  }
  news_.Set();
}

Task<ReceivedBuffer*> ReceiveStream::Next() {
  while (received.empty()) {
    if (state_ == State::kOver) co_return nullptr;
    news_.Reset();
    co_await news_.Wait();
  }
  if (waiting_ > 0) --waiting_;
  ++taken_;
  co_return &received.PopFront();
}

void ReceiveStream::Return(ReceivedBuffer& buffer) {
  PAKV_CHECK(taken_ > 0, "more buffers are returned than were taken");
  --taken_;
  io_.ring.ReturnBuffer(buffer);
  if (state_ == State::kPaused && taken_ + waiting_ == 0) Arm();
}

Task<void> ReceiveStream::Stop() {
  PAKV_CHECK(taken_ == 0, "a buffer was not returned");
  stopping_ = true;
  io_.ring.RequestCancel(*this);
  while (in_flight || linked()) {
    news_.Reset();
    co_await news_.Wait();
  }
  while (!received.empty()) io_.ring.ReturnBuffer(received.PopFront());
}

}  // namespace pakv
