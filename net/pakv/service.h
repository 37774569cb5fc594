// The pakv protocol's requests onto the store: what a server does with the frames of one
// connection. docs/protocol.md is the specification, net/pakv/codec.h takes the bytes apart.
//
// - A request on one key (get, set, delete, incr) is one slot of the session: it travels to the
//   key's owner and back, and its reply is encoded as soon as it is there, in any order
//   (ReplyOrder::kAny), under the client's id. The store keeps the order of one key.
// - hello and ping are answered at once. scan, batch, stats, flush, check and compact touch many
//   keys: later requests of the session wait for each, and scan, batch and flush wait for the
//   earlier ones.
// - A value that is longer than the log takes comes in pieces, one such request at a time, and goes
//   to a file as it comes (PakvUpload); other requests may stand between its pieces. It is read in
//   pieces (ReplyStream), with other replies between them.
// - Conditions and old values are decided by plain functions at the owner; a reply tells its status
//   in Reply::integer, and the version that it is about in Request::lsn.
// - A refused frame costs one reply and not the connection; a stream that is not understood gets
//   one reply of type 0, then the connection closes.
// - What the store cannot do yet is answered `unsupported`, never accepted and ignored: relaxed
//   durability.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "runtime/task/task.h"

namespace pakv {

class Core;
class Protocol;
class Session;
struct ServerStats;

// What connections that speak the pakv protocol know of their server. One core's; the same content
// on each.
struct PakvServer {
  uint32_t key_bytes_max = 64 << 10;          // inclusive
  uint32_t value_bytes_max = 1 << 20;         // inclusive
  uint32_t inline_value_bytes_max = 1 << 20;  // longer ones come in pieces
  std::string software;                       // name and version, for hello's reply
  std::function<Task<ServerStats>(Core& here)> stats;
};

// Serves `session`; both outlive it.
std::unique_ptr<Protocol> MakePakvProtocol(Session& session, PakvServer& server);

}  // namespace pakv
