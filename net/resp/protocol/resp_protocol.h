// RespProtocol: RESP2 and RESP3 on one connection: requests through the command table onto the
// store.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/resp/protocol/large_value.h"
#include "net/resp/protocol/multi.h"
#include "net/resp/protocol/resp_server.h"
#include "net/resp/table/command_table.h"
#include "net/resp/wire/codec.h"
#include "net/resp/wire/reply_writer.h"
#include "net/session/protocol.h"
#include "net/session/session.h"

namespace pakv {

class OwnKeys;

class RespProtocol final : public Protocol {
 public:
  // Both outlive it.
  RespProtocol(Session& session, RespServer& server);

  Progress Consume(std::string_view& input) override;
  Task<void> RunSlow() override;
  bool finished() const override { return quitting_; }
  size_t frame_bytes_min() const override { return parser_.frame_bytes_min(); }
  bool in_frame() const override { return parser_.in_request(); }
  Task<void> BeforeLongRequest() override;
  Task<void> BeforeWait() override;
  std::span<char> PayloadMemory() override { return large_->memory(); }
  void PayloadReceived(size_t bytes) override;
  void EncodePiece(const ReplySlot& slot, std::string_view piece, bool is_last,
                   OutputBuffer& output) override;
  Task<void> EndInput() override;
  Task<void> End() override { return EndMulti(); }
  void SayGoodbye(ProtocolEnd end) override;
  void Describe(SessionState& state) const override;

  // ---- For the commands ----
  Session& session() { return session_; }
  RespServer& server() { return server_; }
  Store& store() { return session_.store(); }
  Core& core() { return session_.core(); }
  RespVersion version() const { return version_; }
  void set_version(RespVersion version) { version_ = version; }
  // SELECT's: of the commands that are started from now on.
  uint32_t namespace_id() const { return namespace_id_; }
  void set_namespace_id(uint32_t namespace_id) { namespace_id_ = namespace_id; }
  // No further request is taken; the connection ends when all is answered.
  void Quit() { quitting_ = true; }
  // CLIENT REPLY's: kOff drops the replies to all that comes, kSkipNext that to the next command.
  enum class ReplyMode : uint8_t { kOn, kOff, kSkipNext, kSkipping };
  ReplyMode reply_mode() const { return reply_mode_; }
  void set_reply_mode(ReplyMode mode) {
    reply_mode_ = mode;
    session_.set_drops_replies(mode == ReplyMode::kOff || mode == ReplyMode::kSkipping);
  }
  void set_exempt_from_eviction(bool is_exempt) { is_exempt_from_eviction_ = is_exempt; }
  // Keeps an error's text for a function that returns a view of it.
  std::string_view ErrorText(std::string text) { return error_text_ = std::move(text); }
  // The error of a key or value that is too long, empty for others.
  std::string_view CheckKey(std::string_view key);
  std::string_view CheckValue(std::string_view value);
  // Fills in everything of a request on one key but its hash; the error, if it is one.
  std::string_view FillSlot(const CommandRow& row, RespArgs args, std::string_view key,
                            std::string_view value, ReplySlot& slot);
  ReplySlot::Encode EncoderOf(const CommandRow& row) const;

  // Between MULTI and EXEC; `multi` makes its state if there is none.
  bool in_multi() const { return multi_ != nullptr && multi_->is_open(); }
  MultiState& multi();
  // Of the EXEC whose replies are being written; nullptr outside of it.
  OwnKeys* own_keys() const { return own_keys_; }
  void set_own_keys(OwnKeys* own_keys) { own_keys_ = own_keys; }
  // A command that runs alone needs its arguments no more: they may be long, and its reply too.
  // What was granted for them goes back before its client has to read anything.
  void ForgetArgs() {
    slow_args_.Clear();
    NoteMemory();
    session_.EndGrant();
  }
  // Forgets what is watched, or what is queued as well. Suspend.
  Task<void> Unwatch();
  Task<void> EndMulti();

  std::string name;  // as CLIENT SETNAME gave it
  std::string library_name;
  std::string library_version;

 private:
  // The slow request's own copy of its arguments.
  struct OwnedArgs {
    std::string bytes;
    std::vector<std::string_view> args;
    void Assign(RespArgs source);
    void Clear();
    size_t memory_bytes() const {
      return bytes.capacity() + args.capacity() * sizeof(std::string_view);
    }
  };

  // A request begins.
  void NextReplyMode() {
    if (reply_mode_ == ReplyMode::kOn) [[likely]]
      return;
    if (reply_mode_ == ReplyMode::kSkipping) set_reply_mode(ReplyMode::kOn);
    if (reply_mode_ == ReplyMode::kSkipNext) set_reply_mode(ReplyMode::kSkipping);
  }
  ReplySlot::Encode Wanted(ReplySlot::Encode encode) const {
    return session_.drops_replies() ? &ReplySlot::EncodeNothing : encode;
  }
  // True: done with; false: it has to wait (slow_).
  bool Run(RespArgs args);
  bool Dispatch(const CommandRow& row, RespArgs args);
  bool RunRow(const CommandRow& row, RespArgs args);
  void Queue(const CommandRow& row, RespArgs args);
  // A command that cannot be: its error, which ends a transaction.
  void Refuse(std::string_view text);
  bool Defer(const CommandRow& row, RespArgs args);
  void NoteMemory();
  bool RunsAlone(RespArgs begin) const;
  void RunUnknown(RespArgs args);
  // Fills in a slot for one key of a command; nullptr if that was answered with an error.
  ReplySlot* Fill(const CommandRow& row, RespArgs args, std::string_view key,
                  std::string_view value);
  void StartOne(const CommandRow& row, RespArgs args);
  bool MayStartKeys(const CommandRow& row, size_t count) const;
  bool CheckKeys(const CommandRow& row, RespArgs args);
  bool RunsTogether(const CommandRow& row, RespArgs args);
  void StartValues(const CommandRow& row, RespArgs args);
  void StartSum(const CommandRow& row, RespArgs args);
  void RunGroup(const CommandRow& row, RespArgs args);
  Task<void> RunKeysSlowly(const CommandRow& row, RespArgs args);
  void ReplyError(std::string_view text);
  // resp_protocol_large.cc
  bool StartLarge(std::string_view& input);
  bool TakePieces(std::string_view& input);
  Task<void> RunLarge();
  Task<void> RunComplete(bool& kept);

  Session& session_;
  RespServer& server_;
  RespRequestParser parser_;
  RespVersion version_ = RespVersion::kResp2;
  uint32_t namespace_id_ = kDefaultNamespace;
  bool quitting_ = false;
  bool is_exempt_from_eviction_ = false;
  ReplyMode reply_mode_ = ReplyMode::kOn;
  const CommandRow* last_ = nullptr;  // that was called
  std::string error_text_;
  std::unique_ptr<MultiState> multi_;
  OwnKeys* own_keys_ = nullptr;
  bool long_runs_alone_ = false;  // the long request that is being received
  const CommandRow* slow_ = nullptr;
  OwnedArgs slow_args_;
  std::unique_ptr<LargeValue> large_;  // a request that is received in pieces
};

// The text of an outcome that is not kDone, with its prefix.
std::string OutcomeText(Outcome outcome, std::string_view detail);

}  // namespace pakv
