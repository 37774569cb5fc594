// ReplyStream: sends the replies of one session whose values lie in files, one after the other,
// chunk by chunk at the client's pace. Each chunk is read and checked before a byte of it is sent;
// the next one is read when the last is on its way, so that a session holds about two of them. It
// is copied, and sent, a part per pass of the core, so that others have their turn in between.
// While a client does not read, neither memory beyond these nor a descriptor is held. A chunk that
// is found damaged after others have left ends the connection where there is no other way to say so
// (Protocol::pieces_are_messages).
#pragma once

#include <cstdint>

#include "kv/log/format/format_value_file.h"
#include "runtime/task/nursery.h"
#include "runtime/task/sync.h"
#include "runtime/task/task.h"

namespace pakv {

class ReplySlot;
class Session;

class ReplyStream {
 public:
  explicit ReplyStream(Session& session);
  ReplyStream(const ReplyStream&) = delete;
  ReplyStream& operator=(const ReplyStream&) = delete;

  // Such a reply is due, perhaps: begins with it, unless one is under way.
  void Start();
  // Something was sent, or the connection is gone.
  void Sent() { sent_.Set(); }
  bool running() const { return running_; }

 private:
  Task<void> Run();
  Task<void> Send(ReplySlot& slot);

  Session& session_;
  bool running_ = false;
  Event sent_;
  Nursery nursery_;  // last: its task uses all of the above
};

}  // namespace pakv
