// Session: one client connection. It owns the socket, receives, lets its protocol take requests
// off the bytes, starts them on the store, and sends the replies: at most one send in flight, one
// begun per pass. One coroutine (Serve) with a plain loop; a request costs no coroutine.
//
// Everything is bounded (SessionLimits); at a bound the session takes no further request until
// there is room. A session whose client has gone lives until its last request is back. While it
// waits for anything it holds no buffer of the ring.
#pragma once

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "kv/store/store.h"
#include "net/session/buffers/frame_budget.h"
#include "net/session/buffers/input.h"
#include "net/session/buffers/reply_queue.h"
#include "net/session/protocol.h"
#include "net/session/put_off_replies.h"
#include "net/session/reply_stream.h"
#include "net/session/session_group.h"
#include "runtime/base/seeded_bug.h"
#include "runtime/core/core.h"
#include "runtime/io/socket.h"
#include "runtime/io/timer.h"
#include "runtime/task/task.h"

namespace pakv {

class Session : public ListHook {
 public:
  // A request that is known to be longer is received into memory that grows with what has come.
  static constexpr size_t kLongRequestBytes = 16 << 10;
  // What each session may hold of what it received. What comes beyond that before it is stopped is
  // bounded for all of a core together (SessionLimits::core_ahead_bytes_max). Requests that take
  // more share SessionLimits::core_frame_bytes_max, from before they are received until they are
  // done with.
  static constexpr size_t kOwnBytesMax = 64 << 10;

  // Runs on its core; everything here does.
  Session(SessionGroup& group, SessionGroup::NewConnection connection);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session();

  // Serves the connection to its end. Once.
  Task<void> Serve();

  SessionGroup& group() { return group_; }
  Core& core() { return core_; }
  Store& store() { return group_.store(); }
  const ConnectionInfo& info() const { return info_; }
  // What is told of it to those who list connections.
  SessionState State() const;

  // ---- For the protocol ----

  // Before the first request: in which order replies are sent.
  void set_reply_order(ReplyOrder order) { queue_.set_order(order); }

  // Whether another request may be taken off the input now; if not, Consume returns kRoom.
  bool MayStart() const { return turn_left_ > 0 && HasRoom(); }
  // A request was taken off.
  void CountRequest() {
    if (turn_left_ > 0) --turn_left_;
    ++requests_;
    ++group_.counters().requests;
  }
  // The same of a part of one whose rest is still to come, between other requests perhaps: what it
  // was granted goes back, and its time goes on until CountLastPiece.
  void CountPiece() {
    if (turn_left_ > 0) --turn_left_;
    piece_taken_ = true;
    in_pieces_ = true;
  }
  void CountLastPiece() {
    CountRequest();
    in_pieces_ = false;
  }
  // The beginning of a request was taken off and copied, and its rest needs no memory in one piece:
  // what it was granted goes back.
  void EndGrant() {
    if (frame_.bytes() > 0) ReleaseFrame();
  }
  // What the protocol holds of requests at the moment: of one that is being parsed, or of one that
  // waits (kSlow). It counts as the session's memory.
  void set_request_bytes(size_t bytes) { request_bytes_ = bytes; }
  // Whether a request on a key may be started: there is room for the arguments of a write, or for
  // the reply of a read. If not, it is a slow one, and waits with KeyRoom.
  bool MayStartKey(bool is_write) const {
    return is_write ? group_.write_budget.has_room() : group_.read_budget.has_room();
  }

  // A large value is under way: until it is through, what comes is received in turns of at most 32
  // KiB, one per pass of the core, and into the protocol's own memory where it has some
  // (Protocol::PayloadMemory); and the protocol is told of each wait (BeforeWait).
  void set_receives_by_turns(bool by_turns) { receives_by_turns_ = by_turns; }

  // Writes that were started and are not answered.
  uint32_t writes_outstanding() const { return writes_outstanding_; }

  // How many requests it may start, apart from the turn.
  size_t free_slots() const {
    const size_t max = group_.limits().in_flight_max;
    return in_flight() < max ? max - in_flight() : 0;
  }

  // A slot to fill in for one of the calls below; the next call of NextSlot returns it again until
  // then.
  ReplySlot& NextSlot() {
    ReplySlot*& slot = group_.batch.slots[group_.batch.count];
    if (slot == nullptr) slot = &group_.slots().Take();
    return *slot;
  }
  // Starts the request in `slot` (of NextSlot): key, function, is_read, needs, encode and the
  // command's own fields are set. It is not the caller's any more.
  //
  // How long the bytes of key and value have to last: the store copies what it keeps, but within
  // Consume it is asked later, for a batch at once.
  //  - Within Consume: unchanged until Consume returns, or until the next StartBatch. The session's
  //    input does last so long. What does not, such as a parser's memory that the next request is
  //    decoded into, takes a StartBatch before it changes.
  //  - Elsewhere (RunSlow): during this call. The input may move while RunSlow waits, so a request
  //    that waits owns a copy of its arguments.
  // Builds with PAKV_DCHECK compare the bytes.
  void StartKey(ReplySlot& slot);
  // Starts all requests that StartKey was called for, if any are left.
  void StartBatch() {
    if (group_.batch.count > 0) StartBatchNow();
  }
  // A request on several keys with one reply: Begin makes the slot of that, StartPart starts a
  // slot of NextSlot as a part of it, End is called after the last part. The integers of the parts'
  // replies are summed up in its reply; the first failure is its outcome.
  ReplySlot& BeginParts(ReplySlot::Encode encode);
  void StartPart(ReplySlot& whole, ReplySlot& slot);
  // `count` parts as one write, all or none: each was filled in and then taken with TakePart.
  ReplySlot& TakePart(ReplySlot& whole);
  void StartGroup(ReplySlot* const* parts, size_t count);
  void EndParts(ReplySlot& whole);

  // A reply that is known at once: write it to the buffer, then call CloseReply.
  OutputBuffer& OpenReply() {
    StartBatch();
    return drops_replies_ ? group_.dropped : queue_.Open();
  }
  void CloseReply() {
    if (drops_replies_) [[unlikely]]
      return DropReply();
    queue_.Close();
    HasOutput();
  }
  // For a command whose reply is under way: while it holds the output nothing is sent, so that the
  // few short replies just before it leave together with its own, in one send. Only for as long as
  // its own takes in any case, and only if the client reads, and is owed nothing else that would
  // wait with them: Begin is given what `output_mark` was before the first reply that may.
  uint64_t output_mark() const {
    if (!queue_.empty()) return kNever;
    return queue_.output().empty() ? sends_begun_ : sends_begun_ + 1;
  }
  void BeginHold(uint64_t mark) {
    holds_output_ = sends_begun_ >= mark && !send_.in_flight && unsent_bytes() <= kHeldBytesMax;
  }
  void EndHold() {
    if (std::exchange(holds_output_, false)) HasOutput();
  }
  // The stream cannot be understood, for `reason`, in which no byte of the client's stands:
  // counted, and logged for those who look for it. Consume then returns kClose.
  void NoteProtocolError(std::string_view reason);
  // Nobody wants the replies from now on: what is opened goes nowhere. Slots are the protocol's to
  // encode so (ReplySlot::EncodeNothing). Not between OpenReply and CloseReply.
  void set_drops_replies(bool drops) { drops_replies_ = drops; }
  bool drops_replies() const { return drops_replies_; }

  // ---- For RunSlow: `co_await session.X()`, then look at broken() ----
  enum class Wait : uint8_t {
    kNothing,
    kInput,      // something was received, or receiving ended
    kRoom,       // MayStart, apart from the turn
    kQuiet,      // all earlier requests are answered
    kWriteRoom,  // MayStartKey
    kReadRoom,
    kTransactionRoom,
    kFrameRoom,
    kReturned,      // the store has nothing of this session's
    kStreamed,      // ... nor has it any value in a file to send
    kSent,          // nothing is left to send
    kEnded,         // the peer has ended its stream
    kStopped,       // the receiver rests
    kTurn,          // no turn of receiving is in flight
    kDisconnected,  // neither a send nor a receive is in flight
  };
  class WaitAwaiter;
  WaitAwaiter Until(Wait what);
  WaitAwaiter Room();
  WaitAwaiter Quiet();
  // Until MayStartKey.
  Task<void> KeyRoom(bool is_write);
  // Until a transaction or a snapshot may be started. It charges transaction_budget or read_budget
  // with what it holds.
  Task<void> TransactionRoom(bool is_write);
  // The connection is gone: whatever else is done for it is in vain.
  bool broken() const { return broken_; }

  // ---- For the group ----
  void ArmDeadline();
  void RequestDrain();
  void RequestKill();

 private:
  static constexpr size_t kDroppedBytesPerTurn = 4096;
  // Beyond it a send of its own costs little beside what it carries.
  static constexpr size_t kHeldBytesMax = 4096;
  // How long a client that has ended its stream may read nothing of what is owed to it.
  static constexpr uint64_t kLingerNs = 30 * kNsPerSecond;

  friend class SessionGroup;
  friend class PutOffReplies;
  friend class ReplyStream;
  size_t in_flight() const { return queue_.count() + parts_ + group_.batch.count; }
  bool HasRoom() const {
    return in_flight() < group_.limits().in_flight_max &&
           (unsent_bytes() < group_.limits().output_bytes_max || HoldsDueFrame());
  }
  // The next request to be taken is one that memory was granted for. It is started although the
  // client has not read what is owed to it: it is not to keep that memory until then.
  bool HoldsDueFrame() const {
    return frame_.bytes() > 0 && requests_ == requests_at_grant_ && !piece_taken_;
  }
  size_t unsent_bytes() const {
    return queue_.unsent_bytes() + sending_.size() + reserved_reply_bytes_;
  }
  // A long one ends the turn: what is dropped never fills the output, which else bounds it.
  void DropReply() {
    if (group_.dropped.size() > kDroppedBytesPerTurn) turn_left_ = 0;
    group_.dropped.Clear(0);
  }
  bool Holds(Wait what) const;
  bool waits_for_memory() const {
    return waiting_ == Wait::kWriteRoom || waiting_ == Wait::kReadRoom ||
           waiting_ == Wait::kTransactionRoom || waiting_ == Wait::kFrameRoom;
  }
  // Wakes the coroutine if what it waits for has come.
  void Poke();

  // The steps of Serve.
  Task<void> ServeInput();
  size_t FrameRoom(size_t need) const;
  Task<void> GrantFrame(size_t bytes);
  Task<void> RoomIn(ByteBudget& budget, Wait what);
  void ReleaseFrame() { group_.frame_budget.Release(frame_); }
  bool CutOff();
  uint64_t HostNumber() const;
  void TakenOff(uint64_t requests_before);
  Task<void> Close();
  Protocol::Progress Take(std::string_view& input);
  size_t FrameBytesMin() const {
    return protocol_ != nullptr ? protocol_->frame_bytes_min() : undecided_bytes_ + 1;
  }
  bool InFrame() const {
    return protocol_ != nullptr ? protocol_->in_frame() : undecided_bytes_ > 0;
  }
  void CountReceived();
  void NoteFrame(uint64_t requests_before);
  void CountEnd();
  // One that is still linked has ended, and Received has not been told yet.
  bool receiver_rests() const { return !receiver_.in_flight && !receiver_.linked(); }
  bool receiving_over() const { return receiver_rests() && !receive_again_; }

  void NoteMemory();
  void NoteReceived();

  void StartReceiving();
  void StopReceiving();
  void LogEnd(std::string_view why) const;
  void Received();
  void PeerEnded();
  // session_turns.cc
  Task<bool> ReceiveTurn(size_t need);
  Task<void> BeforeWait();
  void SubmitTurn(const IoRequest& request);
  void TurnEnded();
  void EndTurns();

  void HasOutput();
  void BeginSend();
  void SubmitSend();
  void Sent();
  void Break();
  void DeadlinePassed();
  uint64_t NextDeadlineNs() const;

  // session_requests.cc
  void Reserve(ReplySlot& slot);
  static void Done(Request& request);
  void StartBatchNow();
  bool StartNow(ReplySlot& slot);
  void Returned(ReplySlot& slot);
  bool Keeps(ReplySlot& slot);
  void PutOff(ReplySlot& slot);
  void StartDue(ReplySlot& slot);
  void DropPutOff(ReplySlot& slot);
  void StartStream();
  bool streaming() const { return stream_ != nullptr && stream_->running(); }
  static void AddPart(ReplySlot& whole, const ReplySlot& part);

  struct ReceiveOperation : Receiver {
    explicit ReceiveOperation(Session& session)
        : Receiver([](Completion& self) { static_cast<ReceiveOperation&>(self).owner.Received(); }),
          owner(session) {}
    Session& owner;
  };
  struct SendOperation : Operation {
    explicit SendOperation(Session& session)
        : Operation([](Completion& self) { static_cast<SendOperation&>(self).owner.Sent(); }),
          owner(session) {}
    Session& owner;
  };
  struct TurnOperation : Operation {
    explicit TurnOperation(Session& session)
        : Operation([](Completion& self) { static_cast<TurnOperation&>(self).owner.TurnEnded(); }),
          owner(session) {}
    Session& owner;
  };
  struct Deadline : Timer {
    explicit Deadline(Session& session)
        : Timer([](Timer& self) { static_cast<Deadline&>(self).owner.DeadlinePassed(); }),
          owner(session) {}
    Session& owner;
  };
  struct PassEnd : Runnable {
    explicit PassEnd(Session& session)
        : Runnable([](Runnable& self) { static_cast<PassEnd&>(self).owner.BeginSend(); }),
          owner(session) {}
    Session& owner;
  };
  struct Frame : FrameBudget::Holder {
    explicit Frame(Session& session)
        : Holder(
              session.HostNumber(), [](Holder& self) { static_cast<Frame&>(self).owner.Poke(); },
              [](Holder& self) { return static_cast<Frame&>(self).owner.CutOff(); }),
          owner(session) {}
    Session& owner;
  };
  struct BudgetTaker : ByteBudget::Taker {
    explicit BudgetTaker(Session& session)
        : Taker([](Taker& self) { static_cast<BudgetTaker&>(self).owner.Poke(); }),
          owner(session) {}
    Session& owner;
  };

  SessionGroup& group_;
  Core& core_;
  Store* const store_;
  const ConnectionInfo info_;
  const uint64_t opened_ns_;
  const SessionGroup::MakeProtocol* const make_protocol_;
  std::function<void()> ended_;

  Socket socket_;
  ReceiveOperation receiver_{*this};
  SendOperation send_{*this};
  TurnOperation turn_{*this};
  Deadline deadline_{*this};
  PassEnd pass_end_{*this};
  BudgetTaker taker_{*this};
  Frame frame_{*this};  // memory of the long request that is received, or being run
  Waiter waiter_;
  Wait waiting_ = Wait::kNothing;

  std::unique_ptr<Protocol> protocol_;
  Input input_;
  ReplyQueue queue_;
  std::unique_ptr<PutOffReplies> put_off_;  // from the first reply on that there was no room for
  std::unique_ptr<ReplyStream> stream_;     // from the first value on that lies in a file
  OutputBuffer sending_;
  size_t sent_bytes_ = 0;  // of sending_
  uint64_t sends_begun_ = 0;
  size_t noted_bytes_ = 0;  // of buffers, that the group knows of
  size_t noted_ahead_bytes_ = 0;

  bool batching_ = false;  // within Consume
  bool drops_replies_ = false;
  bool holds_output_ = false;
  uint32_t turn_left_ = 0;
  uint32_t parts_ = 0;        // slots of this session's that are parts
  uint32_t outstanding_ = 0;  // requests that the store has
  uint32_t writes_outstanding_ = 0;
  uint64_t requests_ = 0;
  uint64_t counted_bytes_ = 0;  // of input_.received_bytes()
  size_t reserved_reply_bytes_ = 0;
  // What a reply that is not there at once may come to: the larger ones of late.
  uint32_t reply_bytes_expected_;
  uint64_t requests_at_grant_ = 0;
  size_t request_bytes_ = 0;

  bool receive_again_;  // the receiver is not in flight and can be
  bool receives_by_turns_ = false;
  bool readable_ = false;  // by turns: there are bytes to receive
  bool broken_ = false;    // nothing can be sent, nothing is worth receiving
  bool killed_ = false;    // broken by the server, on request
  bool draining_;
  bool discarding_ = false;  // what is received is not looked at
  bool closing_ = false;     // the protocol has said so
  std::optional<ProtocolEnd> goodbye_;
  size_t undecided_bytes_ = 0;  // received, not enough to tell the protocol

  // The request that is being received.
  bool frame_open_ = false;
  bool in_pieces_ = false;    // others may be complete before it
  bool piece_taken_ = false;  // by the last Consume
  bool request_timed_out_ = false;
  bool idle_timed_out_ = false;
  bool cut_off_ = false;  // by CutOff
  uint64_t frame_begin_ns_ = 0;
  uint64_t frame_begin_bytes_ = 0;
  uint64_t last_active_ns_ = 0;
  uint64_t linger_end_ns_ = kNever;
  bool is_probing_ = false;  // the send is begun anew before the client is given up
};

class [[nodiscard]] Session::WaitAwaiter {
 public:
  WaitAwaiter(Session& session, Wait what) : session_(session), what_(what) {}
  bool await_ready() const { return session_.Holds(what_); }
  void await_suspend(std::coroutine_handle<> handle) {
    session_.waiting_ = what_;
    session_.waiter_.set_handle(handle);
  }
  void await_resume() const {}

 private:
  Session& session_;
  Wait what_;
};

inline Session::WaitAwaiter Session::Until(Wait what) {
  StartBatch();
  return WaitAwaiter(*this, what);
}
inline Session::WaitAwaiter Session::Room() { return Until(Wait::kRoom); }
inline Session::WaitAwaiter Session::Quiet() { return Until(Wait::kQuiet); }

}  // namespace pakv
