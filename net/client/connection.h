// One connection to a server, speaking the pakv protocol: requests leave together, once per pass
// of the loop; replies come in any order and are awaited in any order.
//
// What it holds is bounded: a reply that nobody has awaited yet is kept; when those fill their
// bound, nothing more is received until some are taken or discarded, and whoever awaits a reply
// that is still to come gets kHeldTooMuch (it could never come). Parts of a reply that is taken in
// parts have a bound of their own, at which nothing more is received until some are taken. Unsent
// requests have a bound too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "net/client/client_error.h"
#include "net/pakv/codec.h"
#include "net/session/buffers/output_buffer.h"
#include "runtime/core/core.h"
#include "runtime/io/socket.h"
#include "runtime/task/nursery.h"
#include "runtime/task/stop.h"
#include "runtime/task/sync.h"
#include "runtime/task/task.h"

namespace pakv {

struct ConnectionOptions {
  std::string software;  // name and version, for the server's logs
  // From the start of a request to its reply. 0: no limit.
  uint64_t request_timeout_ns = 60 * kNsPerSecond;
  size_t reply_bytes_max = size_t{64} << 20;    // one reply, as a frame
  size_t held_bytes_max = size_t{64} << 20;     // replies that came and were not awaited yet
  size_t part_bytes_max = size_t{1} << 20;      // parts of replies that were not taken yet
  size_t unsent_bytes_max = size_t{256} << 20;  // requests that the socket has not taken
};

// What a reply held, owned. Which fields there are: docs/protocol.md.
struct ClientReply {
  struct Entry {
    std::string key;
    int64_t number = 0;
    std::string text;
    uint64_t lsn = 0;
    uint64_t expires_at_ms = 0;
    uint64_t total_bytes = 0;
    std::string value;
    PakvStatus status = PakvStatus::kOk;
    std::optional<uint64_t> ttl_ms;
    std::optional<std::string> old_value;
  };

  PakvStatus status = PakvStatus::kOk;
  uint64_t lsn = 0;
  std::optional<uint64_t> ttl_ms;
  std::optional<int64_t> number;
  uint64_t namespace_id = 0;
  uint64_t frame_bytes_max = 0;  // hello's
  uint64_t key_bytes_max = 0;
  uint64_t expires_at_ms = 0;
  uint64_t total_bytes = 0;  // of a value that comes in parts
  std::optional<std::string> value;
  std::optional<std::string> old_value;
  std::string cursor;
  std::string text;
  std::vector<Entry> entries;
};

class ClientConnection {
 public:
  ClientConnection(Core& core, const ConnectionOptions& options);
  ClientConnection(const ClientConnection&) = delete;
  ClientConnection& operator=(const ClientConnection&) = delete;
  // Close was awaited, or Open never called.
  ~ClientConnection();

  // Connects to one address ("127.0.0.1:7379", "unix:/path") and greets. Once. Whatever comes of
  // it, Close is due.
  Task<ClientError> Open(std::string address, uint64_t deadline_ns);

  // Starts a request; `fill` is called with its PakvWriter, before Start returns, to write the
  // fields. Returns the id to await or discard. Never suspends; a request that cannot be sent says
  // so when it is awaited. `is_write`: whether its type says that it may change something, unless
  // given.
  template <typename Fill>
  uint64_t Start(PakvType type, const Fill& fill, std::optional<bool> is_write = std::nullopt) {
    const uint64_t id = Prepare(type, is_write);
    if (!error_.ok()) return id;
    const size_t begin = output_.size();
    PakvWriter writer(output_, type, id);
    fill(writer);
    writer.Finish();
    Started(id, begin);
    return id;
  }

  // The reply to a request: once for each id that was not discarded. A reply with a status other
  // than kOk is a reply; an error is that there is none.
  Task<ClientResult<ClientReply>> Await(uint64_t id);
  // The reply is not wanted: its bytes are skipped when they come.
  void Discard(uint64_t id);

  // As Start, of a request whose reply may come in parts: AwaitPart in place of Await.
  template <typename Fill>
  uint64_t StartParts(PakvType type, const Fill& fill) {
    const uint64_t id = Start(type, fill);
    TakeParts(id);
    return id;
  }
  // The next part of the reply, with the status kPart; behind the last one the reply itself, or an
  // error, as Await has them, and the id is over. The time that it may take counts from this call.
  Task<ClientResult<ClientReply>> AwaitPart(uint64_t id);

  // A set whose value goes in pieces; one at a time. Returns the id for the calls below, which is
  // awaited after SendLast.
  uint64_t OpenPieces();
  // Copied. `total_bytes`: of all pieces, with any of them; 0: not known.
  void SendPiece(uint64_t id, std::string_view piece, uint64_t total_bytes);
  // The last piece, which is the set: `fill` as for Start.
  template <typename Fill>
  void SendLast(uint64_t id, const Fill& fill) {
    if (!error_.ok()) return;
    PakvWriter writer(output_, PakvType::kSet, id);
    fill(writer);
    writer.Finish();
    SentLast(id);
  }
  // It has its reply already, or will never have one: further pieces are in vain.
  bool IsSettled(uint64_t id) const;
  // Until it is settled, or at most so many bytes of requests are left to be sent.
  Task<void> UnsentBelow(uint64_t id, size_t bytes);

  // Stops when the connection is of no more use.
  StopToken lost() { return lost_.token(); }

  // Ends the connection; requests that are unanswered fail.
  Task<void> Close();

  size_t frame_bytes_max() const { return frame_bytes_max_; }
  // The longest value that goes in one frame.
  size_t whole_value_bytes_max() const { return whole_value_bytes_max_; }
  size_t part_bytes() const { return part_bytes_; }
  size_t held_bytes() const { return held_bytes_; }
  // The most memory that frames which came in pieces have had so far.
  size_t receive_buffer_bytes_peak() const { return receive_buffer_bytes_peak_; }
  size_t request_count() const { return requests_.size(); }
  uint64_t sends() const { return sends_; }

 private:
  struct PendingRequest;
  struct SocketReceiver;
  class PassEnd;

  uint64_t Prepare(PakvType type, std::optional<bool> is_write);
  void Started(uint64_t id, size_t begin);
  void TakeParts(uint64_t id);
  void SentLast(uint64_t id);
  size_t unsent_bytes() const { return output_.size() + sending_.size() - sent_bytes_; }

  Task<void> ReadLoop();
  Task<void> WriteLoop();
  // Takes frames off `bytes`; what is left of them is kept in partial_.
  void Receive(std::string_view bytes);
  // Takes whole frames off the front of `input`.
  void TakeFrames(std::string_view& input);
  void TakeFrame(const PakvFrame& frame);
  void TakeConnectionError(const PakvFrame& frame);
  // `input` begins with what is no frame.
  void FailUnreadable(std::string_view input);
  // The request that a frame answers. Null: there is none, and the connection has failed.
  PendingRequest* FindRequest(uint64_t id);
  // The request's reply has come, or never will.
  void Settle(PendingRequest& request);
  void SettleWithError(PendingRequest& request, ClientFault fault, std::string text);
  void Erase(PendingRequest& request);
  void AddPart(PendingRequest& request, ClientReply reply, size_t bytes);
  // Nothing more is received until replies are taken, or parts.
  bool IsPaused() const { return held_bytes_ > options_.held_bytes_max; }
  bool IsFull() const { return part_bytes_ > options_.part_bytes_max; }
  void FailAwaited();
  // Ends the connection's use: all that is unanswered fails, and what is started later.
  void Fail(ClientFault fault, std::string text, PakvStatus status = PakvStatus::kOk);

  Core& core_;
  const ConnectionOptions options_;
  Socket socket_;
  std::string address_;
  bool closing_ = false;
  ClientError error_;  // why the connection is of no more use
  StopSource lost_;

  std::unordered_map<uint64_t, std::unique_ptr<PendingRequest>> requests_;
  uint64_t next_id_ = 1;
  size_t held_bytes_ = 0;
  size_t part_bytes_ = 0;
  size_t frame_bytes_max_;  // that the server takes
  size_t whole_value_bytes_max_ = 0;

  PakvFrameReader reader_;
  std::string partial_;  // a frame that is not whole yet
  std::string aside_;    // came while it rests; at most what the ring's buffers hold
  size_t receive_buffer_bytes_peak_ = 0;
  Event news_;  // something was received, room was made, or the end is wanted
  std::unique_ptr<SocketReceiver> receiver_;

  OutputBuffer output_;    // requests to send
  OutputBuffer sending_;   // requests that the kernel reads
  size_t sent_bytes_ = 0;  // of these
  Event output_ready_;
  Event room_;  // something was sent, or a request is settled
  uint64_t sends_ = 0;

  Nursery nursery_;
};

}  // namespace pakv
