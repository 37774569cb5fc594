// AloneReply: the one reply of a command that runs alone.
#pragma once

#include "net/resp/protocol/resp_protocol.h"
#include "net/resp/wire/reply_writer.h"

namespace pakv {

// Written between its construction and its end, without a wait in between.
class AloneReply {
 public:
  explicit AloneReply(RespProtocol& protocol)
      : protocol_(protocol), writer_(protocol.session().OpenReply(), protocol.version()) {}
  AloneReply(const AloneReply&) = delete;
  AloneReply& operator=(const AloneReply&) = delete;
  ~AloneReply() { protocol_.session().CloseReply(); }
  RespWriter* operator->() { return &writer_; }
  RespWriter& operator*() { return writer_; }

 private:
  RespProtocol& protocol_;
  RespWriter writer_;
};

}  // namespace pakv
