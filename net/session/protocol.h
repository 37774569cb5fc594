// Protocol: what a connection's bytes mean. It takes requests off the bytes that a session has
// received and starts them on that session; it does no I/O and reads no clock. A new protocol is
// one such class, and a line in the factory that picks it (net/server/server.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "runtime/task/task.h"

namespace pakv {

class OutputBuffer;
class ReplySlot;
struct SessionState;

// Why a session ends a connection that its client would go on with.
enum class ProtocolEnd : uint8_t {
  kProtocol,        // the protocol wanted it (kClose, finished)
  kRequestTimeout,  // a started request was not complete in time
  kTooSlow,         // ... nor did enough of it come, while others waited for its memory
  kIdleTimeout,     // nothing was asked for a long time
  kStopping,        // the server is being stopped; what was received is answered
};

class Protocol {
 public:
  // Why Consume returned.
  enum class Progress : uint8_t {
    kInput,  // nothing whole is left: what is left needs frame_bytes_min() bytes
    kRoom,   // the session may not start another request for now (Session::MayStart)
    kSlow,   // a request was taken off that has to wait: RunSlow is to be awaited
    kClose,  // the client is to be sent what is owed to it, and nothing more is taken
  };

  virtual ~Protocol() = default;

  // Takes whole requests off the front of `input` and starts them. What it leaves is given again,
  // moved perhaps, with more behind it.
  virtual Progress Consume(std::string_view& input) = 0;
  // Runs the request that Consume stopped at. Must not use the bytes that were given to Consume
  // after its first suspension.
  virtual Task<void> RunSlow();
  // After RunSlow: as after kClose, nothing more is taken.
  virtual bool finished() const { return false; }

  // After kInput: how many bytes the next Consume needs to get any further, and whether the end
  // of the stream would be in the middle of a request.
  virtual size_t frame_bytes_min() const { return 1; }
  virtual bool in_frame() const { return false; }
  // After kInput: the request is a long one, and there is no memory for it yet. Waits for what it
  // would have to wait for when it is complete, so that who has that memory does not keep it until
  // his client has read something, or until others are done. Suspends.
  virtual Task<void> BeforeLongRequest();

  // While Session::set_receives_by_turns: the session is about to wait for its client, or for
  // memory that others have. Gives back what others need meanwhile; waits for the disk alone.
  // Suspends.
  virtual Task<void> BeforeWait();

  // While Session::set_receives_by_turns, after kInput, when nothing is left to take: where the
  // bytes come that are next in the stream, however few; empty: they are given to Consume. Then, if
  // some did, how many; and Consume with no input at all. The memory stays until that call.
  virtual std::span<char> PayloadMemory() { return {}; }
  virtual void PayloadReceived(size_t bytes);

  // The reply in `slot`, of the kind kFile: its encode has written what comes before the value;
  // this writes a piece of the value, and with the last one what comes behind it.
  virtual void EncodePiece(const ReplySlot& slot, std::string_view piece, bool is_last,
                           OutputBuffer& output);
  // Whether such a piece is a message of its own, so that an error may take the place of the rest.
  virtual bool pieces_are_messages() const { return false; }
  // Nothing more is received: lets go of what is under way. Awaited once, before SayGoodbye.
  virtual Task<void> EndInput();

  // Tells the client, if the protocol has words for it, why the connection is about to be closed.
  // Called once, when all requests are answered; not if the client has ended the stream.
  virtual void SayGoodbye(ProtocolEnd) {}

  // Adds what is the protocol's to know of the connection.
  virtual void Describe(SessionState&) const {}

  // The connection is over, and nothing of it is under way: lets go of what it has in the store.
  // May suspend.
  virtual Task<void> End();
};

}  // namespace pakv
