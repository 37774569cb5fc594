// UnreadReply: what a session holds for a reply that is sent piece by piece, no faster than its
// client reads. All replies to commands that may answer with far more than they were asked with are
// sent in this way: a piece is added to the output, then `co_await session.Room()`.
//
// What is held meanwhile is charged to the core's unread_budget; beyond it such a command is
// refused, or answers no more than a session may have unsent anyway (SessionLimits). Who holds no
// more than that is never refused, so that clients who do not read cannot shut out the others.
#pragma once

#include <cstddef>

#include "net/session/session.h"

namespace pakv {

class UnreadReply {
 public:
  explicit UnreadReply(Session& session)
      : budget_(session.group().unread_budget),
        small_bytes_(session.group().limits().output_bytes_max) {}
  UnreadReply(const UnreadReply&) = delete;
  UnreadReply& operator=(const UnreadReply&) = delete;
  ~UnreadReply() { budget_.Give(held_bytes_); }

  // Whether a large one may begin to gather.
  bool has_room() const { return budget_.has_room(); }
  // That many can be sent at once, and need not be held.
  size_t small_bytes() const { return small_bytes_; }

  // Until Drop, or to the end. False: it is more than there is room for (but held all the same).
  bool Hold(size_t bytes) {
    budget_.Take(bytes);
    held_bytes_ += bytes;
    return held_bytes_ <= small_bytes_ || budget_.has_room();
  }
  void Drop(size_t bytes) {
    budget_.Give(bytes);
    held_bytes_ -= bytes;
  }

 private:
  ByteBudget& budget_;
  const size_t small_bytes_;
  size_t held_bytes_ = 0;
};

}  // namespace pakv
