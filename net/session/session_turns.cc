// The part of Session that receives a large value: in turns, one per pass of the core, so that what
// others ask for is done in between. While it goes on (receives_by_turns_) the receiver rests; what
// it had received comes first. No memory waits for a client: the protocol is asked for its own only
// when there are bytes, and gives back what others need before the session waits for any.
#include <algorithm>
#include <span>
#include <utility>

#include "net/session/session.h"
#include "runtime/base/check.h"
#include "runtime/base/seeded_bug.h"

namespace pakv {
namespace {

// Copied and checksummed within a pass: some 10 us. Twice as much makes others wait longer, half of
// it does not make them wait less.
constexpr size_t kTurnBytes = 32 << 10;

}  // namespace

// Waits for one thing: that the receiver rests, that there are bytes, or that some were received.
// True: they are in the protocol's memory, which is to be told. `need`: bytes of a frame that
// begins in the input.
Task<bool> Session::ReceiveTurn(size_t need) {
  if (!receiver_rests()) {
    StopReceiving();
    co_await Until(Wait::kStopped);
    co_return false;
  }
  if (!readable_) {
    if (!turn_.in_flight) SubmitTurn({.opcode = Opcode::kReadable, .handle = socket_.handle()});
    co_await BeforeWait();
    if (receives_by_turns_) co_await Until(Wait::kInput);
    co_return false;
  }
  const std::span<char> payload = protocol_->PayloadMemory();
  PAKV_CHECK(payload.empty() || input_.empty(), "what was received comes before");
  const size_t held = input_.held_bytes();
  const std::span<char> room =
      !payload.empty() ? payload
                       : input_.Room(need > held ? need - held : 1,
                                     frame_.bytes() > 0 ? kTurnBytes : kLongRequestBytes);
  const auto length = static_cast<uint32_t>(std::min(room.size(), kTurnBytes));
  SubmitTurn({.opcode = Opcode::kReceive,
              .handle = socket_.handle(),
              .length = length,
              .buffer = room.data()});
  while (turn_.in_flight) co_await Until(Wait::kTurn);
  const IoResult result = turn_.result;
  // Fewer than there was room for: those were all, and nothing is asked for in vain.
  readable_ = result.ok() && result.count() == length;
  if (!result.ok()) {
    if (result.error() != EAGAIN) Break();
    co_return false;
  }
  if (result.count() == 0) {
    receive_again_ = false;
    receiver_.end = result;
    co_return false;
  }
  if (payload.empty()) {
    input_.Received(result.count());
    co_return false;
  }
  input_.CountElsewhere(result.count());
  protocol_->PayloadReceived(PAKV_BUG(kShortTurnTakenForFull) ? length : result.count());
  co_return true;
}

// That the disk takes its time is not the client's fault.
Task<void> Session::BeforeWait() {
  const uint64_t begin_ns = core_.now_ns();
  co_await protocol_->BeforeWait();
  if (core_.now_ns() == begin_ns) co_return;
  frame_begin_ns_ += core_.now_ns() - begin_ns;
  ArmDeadline();
}

void Session::SubmitTurn(const IoRequest& request) {
  turn_.request = request;
  core_.ring().Submit(turn_);
}

void Session::TurnEnded() {
  if (turn_.request.opcode == Opcode::kReadable) {
    readable_ = turn_.result.ok();
    if (!readable_ && turn_.result.error() != ECANCELED) Break();
  }
  Poke();
}

// The connection ends: what comes is to be seen and thrown away, as of others.
void Session::EndTurns() {
  if (turn_.in_flight) core_.ring().RequestCancel(turn_);
  if (std::exchange(receives_by_turns_, false)) StartReceiving();
}

}  // namespace pakv
