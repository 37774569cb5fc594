// The parts of RespProtocol that are about values in files: requests that are received in pieces
// (LargeValue) and replies that are sent in pieces.
#include "net/resp/protocol/large_value.h"
#include "net/resp/protocol/resp_protocol.h"

namespace pakv {
namespace {

// Of what stands before the value beside the key: a command's name, a number.
constexpr size_t kWordsBytesMax = 256;

}  // namespace

// Takes the request on, or has it skipped with an error. True: it has to wait.
bool RespProtocol::StartLarge(std::string_view& input) {
  const RespArgs before = parser_.args();
  const CommandRow* const row = before.empty() ? nullptr : FindCommand(before[0]);
  size_t before_bytes = 0;
  for (const std::string_view arg : before) before_bytes += arg.size();
  const bool takes = row != nullptr && row->value_arg == before.size() && !in_multi() &&
                     before[1].size() <= server_.key_bytes_max &&
                     before_bytes <= before[1].size() + kWordsBytesMax;
  if (!takes) {
    parser_.SkipLarge(
        input, "ERR string of " + std::to_string(parser_.large_bytes()) + " bytes exceeds the " +
                   std::to_string(server_.inline_value_bytes_max) +
                   " bytes that an argument may have here; the value of SET, SETEX, PSETEX, SETNX "
                   "and GETSET may have up to max-value (" +
                   std::to_string(server_.value_bytes_max) + " bytes)");
    return false;
  }
  large_ = std::make_unique<LargeValue>(store().value_files(core()), *row, before,
                                        parser_.large_bytes());
  parser_.TakeLarge(input);
  parser_.ReleaseArgs();
  session_.EndGrant();
  session_.set_receives_by_turns(true);
  NoteMemory();
  return true;
}

// True: more of its value is wanted, or it is through. False: it has to wait.
bool RespProtocol::TakePieces(std::string_view& input) {
  while (!large_->wants_room() && large_->left_bytes() > 0 && !input.empty()) {
    large_->Add(parser_.TakePiece(input, large_->room()));
  }
  session_.set_receives_by_turns(large_->left_bytes() > 0 && large_->is_taken());
  if (large_->wants_room()) {
    large_->step = LargeValue::Step::kRoom;
  } else if (large_->wants_finish()) {
    large_->step = LargeValue::Step::kFinish;
  } else {
    return true;
  }
  return false;
}

void RespProtocol::PayloadReceived(size_t bytes) {
  parser_.TakeElsewhere(bytes);
  large_->Added(bytes);
  session_.set_receives_by_turns(large_->left_bytes() > 0);
}

Task<void> RespProtocol::BeforeWait() {
  if (large_ == nullptr) co_return;
  co_await large_->Rest();
  session_.set_receives_by_turns(large_->left_bytes() > 0 && large_->is_taken());
}

Task<void> RespProtocol::RunLarge() {
  switch (large_->step) {
    case LargeValue::Step::kBegin:
      co_await large_->Begin();
      co_return;
    case LargeValue::Step::kRoom:
      co_await large_->MakeRoom();
      co_return;
    case LargeValue::Step::kFinish:
      co_await large_->Finish();
      co_return;
    case LargeValue::Step::kGiveUp:
      co_await large_->Close(/*kept=*/false);
      break;
    case LargeValue::Step::kRun: {
      bool kept = false;
      if (!session_.broken()) co_await RunComplete(kept);
      co_await large_->Close(kept);
      break;
    }
  }
  large_.reset();
}

// Its value is on stable storage. `kept` becomes true if it was taken.
Task<void> RespProtocol::RunComplete(bool& kept) {
  if (large_->outcome() != Outcome::kDone) {
    ReplyError(OutcomeText(large_->outcome(), large_->error()));
    co_return;
  }
  const CommandRow& row = large_->row();
  const std::vector<std::string_view> args = large_->args();
  if (!row.Takes(args.size())) {
    ReplyError("ERR wrong number of arguments for '" + std::string(row.name) + "' command");
    co_return;
  }
  server_.calls.Count(row);
  ReplySlot* const slot = Fill(row, args, args[1], {});
  if (slot == nullptr) co_return;
  slot->value = large_->reference();
  slot->file_admitted = &kept;
  session_.StartKey(*slot);
  // Whether or not the client still is there.
  co_await session_.Until(Session::Wait::kReturned);
}

void RespProtocol::EncodePiece(const ReplySlot&, std::string_view piece, bool is_last,
                               OutputBuffer& output) {
  output.Append(piece);
  if (is_last) output.Append("\r\n");
}

Task<void> RespProtocol::EndInput() {
  if (large_ == nullptr) co_return;
  co_await large_->Close(/*kept=*/false);
  large_.reset();
}

}  // namespace pakv
