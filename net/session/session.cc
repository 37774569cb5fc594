// Long because: receiving and sending of one connection share one state, whose rules are only seen
// together. What starts requests, and takes them back: session_requests.cc.
#include "net/session/session.h"

#include <algorithm>
#include <utility>

#include "runtime/base/check.h"
#include "runtime/base/log.h"
#include "runtime/core/next_pass.h"

namespace pakv {
namespace {

// What is expected of a reply before any was seen.
constexpr uint32_t kReplyBytesExpected = 16 << 10;
// What it has read shows when the kernel takes bytes again, of a send that has waited only once a
// third of its buffer is free: before the client is given up the send is begun anew, which takes
// what room there is at once.
constexpr uint64_t kProbeNs = 50 * kNsPerMs;
// How long a client may go on sending after it was told that the connection is over.
constexpr uint64_t kFarewellNs = kNsPerSecond;
constexpr size_t kSendBytesMax = 1 << 30;
// The same of a session that is sent values of files: what is copied within a pass of the core, in
// which others wait.
constexpr size_t kStreamSendBytesMax = 32 << 10;

}  // namespace

Session::Session(SessionGroup& group, SessionGroup::NewConnection connection)
    : group_(group),
      core_(group.core()),
      store_(group.store_),
      info_(std::move(connection.info)),
      opened_ns_(group.core().now_ns()),
      make_protocol_(connection.make_protocol),
      ended_(std::move(connection.ended)),
      socket_(core_.io(), core_.ring().Adopt(connection.plain)),
      input_(core_.ring(), receiver_.received),
      queue_(group.slots(), group.limits().output_bytes_max),
      reply_bytes_expected_(kReplyBytesExpected),
      receive_again_(!group.draining()),
      draining_(group.draining()),
      last_active_ns_(opened_ns_) {
  receiver_.handle = socket_.handle();
  group_.sessions_.PushBack(*this);
  ++group_.session_count_;
  ++group_.counters_.opened;
}

Session::~Session() = default;

Task<void> Session::Serve() {
  StartReceiving();
  ArmDeadline();
  co_await ServeInput();
  CountEnd();
  co_await Close();
  if (protocol_ != nullptr) co_await protocol_->End();
  group_.buffer_bytes_ -= noted_bytes_;
  group_.NoteAhead(noted_ahead_bytes_, 0);
  group_.PassBy(*this);
  Unlink();
  if (--group_.session_count_ == 0) group_.empty_.Set();
  if (ended_) ended_();
}

Task<void> Session::ServeInput() {
  bool unfinished = true;  // the parser has seen all that is held and wants more
  while (!broken_ && !cut_off_) {
    if (receives_by_turns_) [[unlikely]]
      StopReceiving();
    const size_t need = unfinished ? FrameBytesMin() : 0;
    size_t step = need;
    if (need > kLongRequestBytes) [[unlikely]] {
      const size_t room = FrameRoom(need);
      const size_t bytes = room + request_bytes_;
      if (bytes > kOwnBytesMax && bytes > frame_.bytes()) {
        co_await GrantFrame(bytes);
        continue;  // more has come meanwhile, perhaps
      }
      input_.Reserve(room);
      step = std::min(need, room);
    }
    std::string_view input = input_.Front(step);
    if (input.empty() || input.size() < step) {
      if (request_timed_out_ || idle_timed_out_ || receiving_over()) break;
      NoteReceived();
      if (queue_.empty() && queue_.output().empty()) group_.ReturnBuffer(queue_.output());
      if (!receives_by_turns_) [[likely]]
        StartReceiving();
      ArmDeadline();
      NoteMemory();
      if (receives_by_turns_) [[unlikely]] {
        const bool is_payload = co_await ReceiveTurn(step);
        if (!is_payload) continue;
        input = {};
      } else {
        co_await Until(Wait::kInput);
        continue;
      }
    }
    if (step < need) {  // there is as much as there was memory for
      input_.Left(input, /*unfinished=*/true);
      continue;
    }
    const uint64_t requests_before = requests_;
    const Protocol::Progress progress = Take(input);
    unfinished = progress == Protocol::Progress::kInput;
    input_.Left(input, unfinished);
    CountReceived();
    if (progress != Protocol::Progress::kSlow) TakenOff(requests_before);
    last_active_ns_ = core_.now_ns();
    switch (progress) {
      case Protocol::Progress::kInput:
        NoteFrame(requests_before);
        break;
      case Protocol::Progress::kRoom: {
        if (in_pieces_) {
          NoteFrame(requests_before);
        } else {
          frame_open_ = false;
        }
        input_.Settle();
        group_.frame_budget.StopListening(frame_);
        const uint64_t begin_ns = core_.now_ns();
        if (turn_left_ == 0) {
          co_await NextPass(core_);
        } else {
          if (receives_by_turns_) [[unlikely]]
            co_await protocol_->BeforeWait();
          co_await Until(Wait::kRoom);
        }
        frame_begin_ns_ += core_.now_ns() - begin_ns;
        break;
      }
      case Protocol::Progress::kSlow: {
        // A request that is received in pieces goes on being the client's to complete, but for the
        // time that it takes here.
        if (requests_ == requests_before || in_pieces_) {
          NoteFrame(requests_before);
        } else {
          frame_open_ = false;
        }
        input_.Settle();
        // The request is the protocol's now, and what was granted for it is held until it is done.
        NoteMemory();
        group_.frame_budget.StopListening(frame_);
        const uint64_t begin_ns = core_.now_ns();
        co_await protocol_->RunSlow();
        frame_begin_ns_ += core_.now_ns() - begin_ns;
        NoteMemory();
        TakenOff(requests_before);
        if (!protocol_->finished()) break;
        closing_ = true;
        co_return;
      }
      case Protocol::Progress::kClose:
        closing_ = true;
        co_return;
    }
  }
}

Protocol::Progress Session::Take(std::string_view& input) {
  turn_left_ = group_.limits().turn_requests;
  group_.request_rate().Note(core_.now_ns(), group_.counters().requests);
  piece_taken_ = false;
  if (queue_.output().capacity() == 0) group_.BorrowBuffer(queue_.output());
  if (protocol_ == nullptr) {
    bool refused = false;
    protocol_ = (*make_protocol_)(*this, input, &refused);
    if (refused) {
      NoteProtocolError("neither RESP nor the pakv protocol");
      return Protocol::Progress::kClose;
    }
    if (protocol_ == nullptr) {
      undecided_bytes_ = input.size();
      return Protocol::Progress::kInput;
    }
  }
  PAKV_DCHECK(group_.batch.count == 0);
  batching_ = true;
  const Protocol::Progress progress = protocol_->Consume(input);
  batching_ = false;
  StartBatch();
  return progress;
}

// Keeps the time of the request that is being received.
void Session::NoteFrame(uint64_t requests_before) {
  const bool was_open = std::exchange(frame_open_, InFrame());
  if (!frame_open_ || (was_open && (requests_ == requests_before || in_pieces_))) return;
  frame_begin_ns_ = core_.now_ns();
  frame_begin_bytes_ = input_.received_bytes();
}

// How much memory a request is to have of which `need` bytes are known to come: what it has, until
// that is full; then twice as much as has come, but not more than it needs; a quarter more at
// least, since one of many small parts never says how much it needs.
size_t Session::FrameRoom(size_t need) const {
  const size_t held = input_.held_bytes();
  const size_t room = input_.room_bytes();
  if (room >= need || held < room) return room;
  return std::clamp(need + Input::kStepBytes, held + held / 4, std::max(kOwnBytesMax, 2 * held));
}

// Waits until the core has memory for a request of `bytes`. That time is not the client's fault.
Task<void> Session::GrantFrame(size_t bytes) {
  const uint64_t begin_ns = core_.now_ns();
  if (frame_.bytes() == 0 && protocol_ != nullptr) {
    input_.Settle();
    NoteMemory();
    co_await protocol_->BeforeLongRequest();
  }
  requests_at_grant_ = requests_;
  if (!broken_ && !group_.frame_budget.Take(frame_, bytes)) {
    input_.Settle();
    if (input_.held_bytes() >= kOwnBytesMax) StopReceiving();
    NoteMemory();
    if (receives_by_turns_) co_await protocol_->BeforeWait();
    co_await Until(Wait::kFrameRoom);
  }
  frame_begin_ns_ += core_.now_ns() - begin_ns;
}

// Of the peer's name without its port.
uint64_t Session::HostNumber() const {
  return std::hash<std::string_view>()(
      std::string_view(info_.peer).substr(0, info_.peer.rfind(':')));
}

// Too little has come of the request, whose memory others wait for. False: it is not the client
// that is waited for.
bool Session::CutOff() {
  if (waiting_ != Wait::kInput) return false;
  cut_off_ = true;
  Poke();
  return true;
}

// A request was taken off, or a part of one: its bytes are held no more.
void Session::TakenOff(uint64_t requests_before) {
  if (frame_.bytes() > 0 && (requests_ != requests_before || piece_taken_)) ReleaseFrame();
}

Task<void> Session::KeyRoom(bool is_write) {
  return is_write ? RoomIn(group_.write_budget, Wait::kWriteRoom)
                  : RoomIn(group_.read_budget, Wait::kReadRoom);
}

Task<void> Session::TransactionRoom(bool is_write) {
  return is_write ? RoomIn(group_.transaction_budget, Wait::kTransactionRoom)
                  : RoomIn(group_.read_budget, Wait::kReadRoom);
}

Task<void> Session::RoomIn(ByteBudget& budget, Wait what) {
  while (!broken_ && !budget.has_room()) {
    budget.Wait(taker_);
    co_await Until(what);
  }
  budget.Leave(taker_);
}

void Session::CountReceived() {
  group_.counters().bytes_received += input_.received_bytes() - counted_bytes_;
  counted_bytes_ = input_.received_bytes();
}

void Session::CountEnd() {
  CountReceived();
  SessionCounters& counters = group_.counters();
  if (request_timed_out_) {
    ++counters.request_timeouts;
    LogEnd("its request was not complete in time (request-timeout)");
    goodbye_ = ProtocolEnd::kRequestTimeout;
  } else if (cut_off_) {
    ++counters.request_timeouts;
    LogEnd("it sent too little of its request while others waited for the memory that it had");
    goodbye_ = ProtocolEnd::kTooSlow;
  } else if (idle_timed_out_) {
    ++counters.idle_timeouts;
    LogEnd("it was idle for too long (idle-timeout)");
    goodbye_ = ProtocolEnd::kIdleTimeout;
  } else if (broken_) {
    ++counters.ended_by_error;
    LogEnd(killed_ ? "the server ended it: CLIENT KILL, a stop, or a value that it cannot read on"
                   : "the connection broke, or its client did not read");
  } else if (closing_) {
    goodbye_ = ProtocolEnd::kProtocol;
  } else if (draining_) {
    goodbye_ = ProtocolEnd::kStopping;
  } else if (InFrame()) {
    ++counters.ended_within_frame;
    LogEnd("the client ended it in the middle of a request");
  } else {
    ++counters.ended_between_frames;
  }
}

void Session::NoteProtocolError(std::string_view reason) {
  ++group_.counters().protocol_errors;
  LogEnd(reason);
}

void Session::LogEnd(std::string_view why) const {
  LogDebug("connection {} of {} ends: {}", info_.id, info_.peer, why);
}

// Sends what is owed, tells the client that it is over, and lets go of the socket once neither the
// store nor the ring has anything of this session's.
Task<void> Session::Close() {
  frame_open_ = false;
  discarding_ = true;
  EndTurns();
  input_.Discard();
  ReleaseFrame();
  NoteMemory();
  if (protocol_ != nullptr) co_await protocol_->EndInput();
  // What is long on its way waits for the client to read what comes before.
  linger_end_ns_ = core_.now_ns() + kLingerNs;
  ArmDeadline();
  while (!Holds(Wait::kQuiet)) co_await Until(Wait::kQuiet);
  if (goodbye_ == ProtocolEnd::kRequestTimeout && protocol_ == nullptr) {
    bool refused = false;
    protocol_ = (*make_protocol_)(*this, {}, &refused);
  }
  if (goodbye_ && protocol_ != nullptr) protocol_->SayGoodbye(*goodbye_);
  linger_end_ns_ = core_.now_ns() + kLingerNs;
  ArmDeadline();
  HasOutput();
  co_await Until(Wait::kSent);
  while (!Holds(Wait::kStreamed)) co_await Until(Wait::kStreamed);

  const bool peer_has_ended = !receiver_.in_flight && receiver_.end.value() == 0;
  if (!broken_ && !peer_has_ended) {
    const IoResult shut = co_await socket_.ShutdownSend();
    linger_end_ns_ = core_.now_ns() + kFarewellNs;
    ArmDeadline();
    receive_again_ = shut.ok() && !receiver_.in_flight;
    StartReceiving();
    co_await Until(Wait::kEnded);
  }
  StopReceiving();
  if (send_.in_flight) core_.ring().RequestCancel(send_);
  while (!Holds(Wait::kDisconnected)) co_await Until(Wait::kDisconnected);
  input_.Discard();
  deadline_.Disarm();
  group_.ReturnBuffer(queue_.output());
  const IoResult closed = co_await socket_.Close();
  // Linux has let go of the descriptor whatever close says.
  static_cast<void>(closed.ok());
}

// ---- Waiting ----

bool Session::Holds(Wait what) const {
  switch (what) {
    case Wait::kNothing:
      return true;
    case Wait::kInput:
      return broken_ || input_.has_received() || request_timed_out_ || idle_timed_out_ ||
             cut_off_ || receiving_over() || (receives_by_turns_ && readable_);
    case Wait::kRoom:
      return broken_ || HasRoom();
    case Wait::kQuiet:
      return broken_ || (queue_.count() == 0 && outstanding_ == 0);
    case Wait::kWriteRoom:
      return broken_ || group_.write_budget.has_room();
    case Wait::kReadRoom:
      return broken_ || group_.read_budget.has_room();
    case Wait::kTransactionRoom:
      return broken_ || group_.transaction_budget.has_room();
    case Wait::kFrameRoom:
      return broken_ || !frame_.is_waiting();
    case Wait::kReturned:
      return outstanding_ == 0;
    case Wait::kStreamed:
      return outstanding_ == 0 && !streaming();
    case Wait::kSent:
      return broken_ || (!send_.in_flight && queue_.output().empty());
    case Wait::kEnded:
      return broken_ || receiving_over();
    case Wait::kStopped:
      return receiver_rests();
    case Wait::kTurn:
      return !turn_.in_flight;
    case Wait::kDisconnected:
      return !send_.in_flight && !turn_.in_flight && receiver_rests();
  }
  return true;
}

void Session::Poke() {
  if (waiting_ == Wait::kNothing || !Holds(waiting_)) return;
  waiting_ = Wait::kNothing;
  core_.MakeReady(waiter_);
}

// Tells the group what the buffers have come to: once per pass, not with each change.
void Session::NoteMemory() {
  const size_t bytes =
      input_.memory_bytes() + request_bytes_ + queue_.memory_bytes() + sending_.capacity();
  group_.buffer_bytes_ += bytes - noted_bytes_;
  noted_bytes_ = bytes;
  const size_t received = input_.memory_bytes();
  const size_t allowed = std::max(kOwnBytesMax, frame_.bytes());
  const size_t ahead = received > allowed ? received - allowed : 0;
  if (ahead == noted_ahead_bytes_) [[likely]]
    return;
  group_.NoteAhead(std::exchange(noted_ahead_bytes_, ahead), ahead);
}

// ---- Receiving ----

// Before a wait for input: what has come since the last one did not make a request whole.
void Session::NoteReceived() {
  if (input_.received_bytes() != counted_bytes_) {
    CountReceived();
    last_active_ns_ = core_.now_ns();
  }
  if (frame_.bytes() > 0) [[unlikely]]
    group_.frame_budget.Listen(frame_, input_.received_bytes());
}

void Session::StartReceiving() {
  if (receiver_.in_flight || !receive_again_ || broken_ || (draining_ && !discarding_)) return;
  receive_again_ = false;
  receiver_.once = group_.receives_once();
  core_.ring().SubmitReceive(receiver_);
}

void Session::StopReceiving() {
  if (receiver_.in_flight) core_.ring().RequestCancel(receiver_);
}

void Session::Received() {
  if (discarding_) {
    input_.Discard();
  } else if (waiting_ != Wait::kInput && waiting_ != Wait::kStopped) {
    // Busy with something else: the ring's buffers are for those who are not.
    input_.Settle();
    if (input_.held_bytes() >= kOwnBytesMax) StopReceiving();
    NoteMemory();
  }
  if (!receiver_.in_flight) {
    const int32_t error = receiver_.end.error();
    if (error == ENOBUFS) ++group_.counters().receives_without_buffer;
    if (receiver_.end.value() > 0 || error == ENOBUFS || error == ECANCELED) {
      receive_again_ = !draining_ || discarding_;
      const bool ahead = waiting_ != Wait::kInput && input_.held_bytes() >= kOwnBytesMax;
      if (!ahead && !broken_ && !receives_by_turns_ && waiting_ != Wait::kDisconnected) {
        StartReceiving();
      }
    } else if (error != 0) {
      Break();
    } else {
      PeerEnded();
    }
  }
  Poke();
}

// Who has ended his stream may read what he is owed, but nobody waits for ever for one who does
// not: of a client that is gone this may be all that is ever seen.
void Session::PeerEnded() {
  if (discarding_) return;
  linger_end_ns_ = core_.now_ns() + kLingerNs;
  ArmDeadline();
}

// ---- Sending ----

void Session::HasOutput() {
  if (broken_) {
    queue_.output().Clear(0);
  } else if (!queue_.output().empty()) {
    core_.AtPassEnd(pass_end_);
  }
}

void Session::BeginSend() {
  if (send_.in_flight || broken_ || holds_output_ || queue_.output().empty()) return;
  sending_.Swap(queue_.output());
  queue_.SetSending(sending_.size());
  sent_bytes_ = 0;
  ++sends_begun_;
  if (linger_end_ns_ != kNever) linger_end_ns_ = core_.now_ns() + kLingerNs;
  NoteMemory();
  if (stream_ != nullptr) stream_->Sent();
  SubmitSend();
}

void Session::SubmitSend() {
  const size_t bytes_max = stream_ != nullptr ? kStreamSendBytesMax : kSendBytesMax;
  send_.request = {
      .opcode = Opcode::kSend,
      .handle = socket_.handle(),
      .length = static_cast<uint32_t>(std::min(sending_.size() - sent_bytes_, bytes_max)),
      .const_buffer = sending_.data() + sent_bytes_};
  core_.ring().Submit(send_);
}

void Session::Sent() {
  if (is_probing_ && !broken_ && send_.result.error() == ECANCELED) return SubmitSend();
  if (!send_.result.ok() || send_.result.value() == 0) {
    Break();
  } else {
    sent_bytes_ += send_.result.count();
    group_.counters().bytes_sent += send_.result.count();
    last_active_ns_ = core_.now_ns();
    // Replies may take any time, as long as they move.
    if (linger_end_ns_ != kNever) linger_end_ns_ = last_active_ns_ + kLingerNs;
    is_probing_ = false;
    if (sent_bytes_ < sending_.size() && !broken_) {
      SubmitSend();
      return;
    }
  }
  sending_.Clear();
  group_.ReturnBuffer(sending_);
  queue_.SetSending(0);
  StartStream();
  if (put_off_ != nullptr) put_off_->Resume();
  NoteMemory();
  HasOutput();
  if (stream_ != nullptr) stream_->Sent();
  Poke();
}

void Session::Break() {
  if (broken_) return;
  broken_ = true;
  queue_.Discard();
  if (put_off_ != nullptr) put_off_->Drop();
  // Also what came behind those that were dropped: its file is let go.
  StartStream();
  if (stream_ != nullptr) stream_->Sent();
  if (send_.in_flight) core_.ring().RequestCancel(send_);
  StopReceiving();
  Poke();
}

void Session::RequestDrain() {
  draining_ = true;
  receive_again_ = false;
  if (!discarding_) StopReceiving();
  Poke();
}

void Session::RequestKill() {
  killed_ = killed_ || !broken_;
  Break();
}

// ---- Time ----

uint64_t Session::NextDeadlineNs() const {
  const SessionLimits& limits = group_.limits();
  uint64_t deadline_ns = linger_end_ns_;
  if (frame_open_ && limits.request_timeout_ns != 0) {
    const uint64_t received = input_.received_bytes() - frame_begin_bytes_;
    deadline_ns =
        std::min(deadline_ns, frame_begin_ns_ + limits.request_timeout_ns +
                                  received / kRequestExtensionBytes * kRequestExtensionNs);
  }
  if (limits.idle_timeout_ns != 0 && !discarding_) {
    deadline_ns = std::min(deadline_ns, last_active_ns_ + limits.idle_timeout_ns);
  }
  return deadline_ns;
}

// The timer may be early, since what it waits for moves with every byte; then it is armed again.
void Session::ArmDeadline() {
  const uint64_t deadline_ns = NextDeadlineNs();
  if (deadline_ns == kNever) return;
  if (deadline_.armed() && deadline_.deadline_ns() <= deadline_ns) return;
  deadline_.Arm(core_.timers(), deadline_ns);
}

void Session::DeadlinePassed() {
  const uint64_t now_ns = core_.now_ns();
  const uint64_t idle_timeout_ns = group_.limits().idle_timeout_ns;
  if (now_ns >= linger_end_ns_) {
    const bool begins_anew = send_.in_flight && !is_probing_;
    if (!begins_anew && (send_.in_flight || (discarding_ && outstanding_ == 0))) return Break();
    if (begins_anew) core_.ring().RequestCancel(send_);
    is_probing_ = begins_anew;
    // Else it is not the client that is waited for.
    linger_end_ns_ = now_ns + (begins_anew ? kProbeNs : kLingerNs);
  }
  if (now_ns < NextDeadlineNs()) return ArmDeadline();
  if (idle_timeout_ns != 0 && !discarding_ && now_ns >= last_active_ns_ + idle_timeout_ns) {
    if (outstanding_ > 0 || waiting_ == Wait::kNothing || waits_for_memory()) {
      last_active_ns_ = now_ns;  // not the client is slow
    } else if (waiting_ == Wait::kInput) {
      idle_timed_out_ = true;
    } else {
      return Break();
    }
  } else if (waiting_ == Wait::kInput) {
    request_timed_out_ = true;
  }
  // Otherwise the next wait for input arms it.
  if (NextDeadlineNs() > now_ns) ArmDeadline();
  Poke();
}

}  // namespace pakv
