// PutOffReplies: reads of one session whose replies are large, and for which their owners had no
// room (Reply::Kind::kLater). They are asked for again at the client's pace: as many as the
// session's output has room for, and the one whose turn it is in any case. So a client that does
// not read keeps no more than that, keeps nobody else from room, and what it has asked for comes in
// order once it reads.
#pragma once

#include <cstdint>

#include "kv/shard/messages/request.h"
#include "runtime/base/intrusive_list.h"
#include "runtime/task/ready_queue.h"

namespace pakv {

class ReplySlot;
class Session;

class PutOffReplies {
 public:
  explicit PutOffReplies(Session& session);
  PutOffReplies(const PutOffReplies&) = delete;
  PutOffReplies& operator=(const PutOffReplies&) = delete;

  // `slot`, in the session's queue, has come back; it is asked for again as soon as there is room.
  void Add(ReplySlot& slot);
  // There is more room for output, perhaps. Asks later in this pass, never from within.
  void Resume();
  // The connection is gone: nobody wants them.
  void Drop();

 private:
  void AskAgain();

  struct Asking : Runnable {
    explicit Asking(PutOffReplies& owner_in)
        : Runnable([](Runnable& self) { static_cast<Asking&>(self).owner.AskAgain(); }),
          owner(owner_in) {}
    PutOffReplies& owner;
  };

  Session& session_;
  IntrusiveList<Request> waiting_;  // as they have come back
  Asking asking_{*this};
};

}  // namespace pakv
