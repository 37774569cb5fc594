#include "net/session/buffers/input.h"

#include <algorithm>

#include "runtime/base/check.h"

namespace pakv {
namespace {

// Memory that a session keeps between frames.
constexpr size_t kKeptBytes = 0;
// Longer memory is counted exactly: it does not double, and what is behind a frame keeps no such.
constexpr size_t kLongBytes = 64 << 10;

}  // namespace

std::string_view Input::Front(size_t frame_bytes_min) {
  if (held_bytes() == 0) {
    if (received_.empty()) return {};
    // Otherwise it is the beginning of a frame, left there by Left.
    if (FrontBuffer().size() >= frame_bytes_min) return FrontBuffer();
  }
  while (!received_.empty()) {
    const size_t missing = frame_bytes_min > held_bytes() ? frame_bytes_min - held_bytes() : 0;
    const std::string_view buffer = FrontBuffer();
    // Memory that was made to fit grows for nothing that can wait.
    const size_t spare = held_.capacity() - held_.size();
    const size_t more = missing > 0 && missing <= spare ? std::min(spare, kStepBytes) : kStepBytes;
    const size_t taken = std::min(buffer.size(), std::max(missing, more));
    Hold(buffer.substr(0, taken));
    front_begin_ += taken;
    if (taken >= missing) {
      last_taken_ = taken;
      break;
    }
    ReturnFront();
  }
  return held_.view().substr(held_begin_);
}

void Input::Left(std::string_view rest, bool unfinished) {
  if (held_bytes() == 0) {
    if (received_.empty()) return;
    const std::string_view buffer = FrontBuffer();
    PAKV_DCHECK(rest.size() <= buffer.size());
    front_begin_ += buffer.size() - rest.size();
    if (!rest.empty()) {
      if (!unfinished) return;
      Hold(rest);
    }
    ReturnFront();
    return;
  }
  PAKV_CHECK(rest.size() <= held_bytes());
  held_begin_ = held_.size() - rest.size();
  // The frame that began here is through: what is behind it is parsed where it was received.
  if (last_taken_ > 0 && rest.size() <= last_taken_) {
    front_begin_ -= rest.size();
    held_begin_ = held_.size();
  }
  last_taken_ = 0;
  if (!received_.empty() && front_begin_ == received_.front().length) ReturnFront();
  if (held_bytes() > 0) {
    if (held_.capacity() > kLongBytes && held_bytes() <= held_.capacity() / 2) Move(held_bytes());
    return;
  }
  held_.Clear(kKeptBytes);
  held_begin_ = 0;
}

void Input::Settle() {
  PAKV_DCHECK(last_taken_ == 0);
  while (!received_.empty()) {
    Hold(FrontBuffer());
    ReturnFront();
  }
}

void Input::Reserve(size_t bytes) {
  if (bytes <= held_.capacity() - held_begin_) return;
  if (held_begin_ > 0) return Move(bytes);
  held_.SetCapacity(bytes);
}

// To memory of `bytes`.
void Input::Move(size_t bytes) {
  OutputBuffer target;
  target.SetCapacity(bytes);
  target.Append(held_.view().substr(held_begin_));
  held_.Swap(target);
  held_begin_ = 0;
}

std::span<char> Input::Room(size_t missing, size_t bytes_max) {
  PAKV_DCHECK(received_.empty() && last_taken_ == 0);
  if (held_.capacity() - held_.size() < missing) {
    Reserve(held_bytes() + std::max(missing, bytes_max));
  }
  char* const begin = held_.Reserve(missing);
  return {begin, std::min(held_.capacity() - held_.size(), bytes_max)};
}

void Input::Received(size_t bytes) {
  held_.Commit(held_.data() + held_.size() + bytes);
  received_bytes_ += bytes;
}

void Input::Discard() {
  last_taken_ = 0;
  held_.Clear(0);
  held_begin_ = 0;
  while (!received_.empty()) ReturnFront();
}

void Input::Hold(std::string_view bytes) {
  // What is used up makes room before the memory grows.
  if (bytes.size() > held_.capacity() - held_.size() &&
      (held_begin_ > 0 || held_.size() >= kLongBytes / 2)) {
    Reserve(held_bytes() + bytes.size());
  }
  held_.Append(bytes);
}

void Input::ReturnFront() {
  ReceivedBuffer& buffer = received_.PopFront();
  front_begin_ = 0;
  received_bytes_ += buffer.length;
  ring_.ReturnBuffer(buffer);
}

}  // namespace pakv
