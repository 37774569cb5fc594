// GatheredReply: a reply whose length has to be known before its first byte is sent. It is held in
// pieces, as far as the core has memory for such (UnreadReply), and then sent piece by piece, no
// faster than its client reads.
#pragma once

#include <cstddef>
#include <deque>
#include <string>
#include <string_view>
#include <utility>

#include "net/resp/protocol/alone_reply.h"
#include "net/resp/protocol/resp_protocol.h"
#include "net/session/unread_reply.h"

namespace pakv {

class GatheredReply {
 public:
  explicit GatheredReply(Session& session) : unread_(session) {}

  size_t bytes() const { return bytes_; }
  // False: there is no memory for more.
  bool Add(std::string_view more) {
    bytes_ += more.size();
    for (std::string_view rest = more; !rest.empty();) {
      pieces_.emplace_back(rest.substr(0, kPieceBytes));
      rest.remove_prefix(pieces_.back().size());
    }
    return unread_.Hold(more.size());
  }
  // Nothing is left of it then.
  Task<void> Send(RespProtocol& protocol) {
    Session& session = protocol.session();
    while (!pieces_.empty() && !session.broken()) {
      AloneReply(protocol)->output().Append(TakePiece());
      co_await session.Room();
    }
  }

 private:
  static constexpr size_t kPieceBytes = 64 << 10;

  std::string TakePiece() {
    std::string piece = std::move(pieces_.front());
    pieces_.pop_front();
    unread_.Drop(piece.size());
    return piece;
  }

  UnreadReply unread_;
  std::deque<std::string> pieces_;
  size_t bytes_ = 0;  // all that was added
};

}  // namespace pakv
