#include "runtime/io/receive_stream.h"

#include <cerrno>

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
  while (!received.empty()) {
    ReceivedBuffer& buffer = received.PopFront();
    kept_.append(buffer.view());
    io_.ring.ReturnBuffer(buffer);
  }
  if (in_flight) {
    if (state_ == State::kArmed && kept_.size() >= kKeptBytesMax) {
      state_ = State::kPausing;
      io_.ring.RequestCancel(*this);
    }
  } else if (!stopping_ && (end().error() == ENOBUFS ||
                            (end().error() == ECANCELED && state_ == State::kPausing))) {
    state_ = State::kPaused;
    if (kept_.empty()) Arm();
  } else {
    state_ = State::kOver;
  }
  news_.Set();
}

Task<std::string> ReceiveStream::Next() {
  while (kept_.empty() && state_ != State::kOver) {
    news_.Reset();
    co_await news_.Wait();
  }
  std::string bytes;
  bytes.swap(kept_);
  if (state_ == State::kPaused) Arm();
  co_return bytes;
}

Task<void> ReceiveStream::Stop() {
  stopping_ = true;
  io_.ring.RequestCancel(*this);
  while (in_flight || linked()) {
    news_.Reset();
    co_await news_.Wait();
  }
  while (!received.empty()) io_.ring.ReturnBuffer(received.PopFront());
}

}  // namespace pakv
