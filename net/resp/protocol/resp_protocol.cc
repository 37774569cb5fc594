// Long because: how a request is taken off, put off and run is one path, with each kind of command
// on it.
#include "net/resp/protocol/resp_protocol.h"

#include <algorithm>

#include "net/resp/table/command_functions.h"
#include "net/session/session_state.h"
#include "runtime/base/check.h"
#include "runtime/core/next_pass.h"

namespace pakv {
namespace {

// Of a command that is written as one; what bounds its keys: RunsTogether.
constexpr size_t kGroupBytesMax = 16 << 20;
// A request may be longer than its key and value by this much.
constexpr size_t kRequestBytesBeside = 64 << 10;

RespLimits LimitsOf(const RespServer& server) {
  RespLimits limits;
  limits.bulk_bytes_max = std::max(server.key_bytes_max, server.value_bytes_max);
  // What is longer goes to a file while it is received.
  limits.whole_bulk_bytes_max = std::max(server.key_bytes_max, server.inline_value_bytes_max);
  limits.request_bytes_max = std::max<size_t>(
      kGroupBytesMax, server.key_bytes_max + limits.whole_bulk_bytes_max + kRequestBytesBeside);
  return limits;
}

// The reason of a protocol error without its prefix, and without the client's byte that it may end
// with: it may be one of a value.
std::string_view WithoutBytes(std::string_view error) {
  constexpr std::string_view kPrefix = "ERR ";
  if (error.starts_with(kPrefix)) error.remove_prefix(kPrefix.size());
  return error.substr(0, error.find(", got "));
}

void EncodeReply(const ReplySlot& slot, RespWriter writer) {
  if (slot.outcome != Outcome::kDone) [[unlikely]] {
    writer.Error(OutcomeText(slot.outcome, slot.reply.bytes));
    return;
  }
  switch (slot.reply.kind) {
    case Reply::Kind::kOk:
      return writer.Ok();
    case Reply::Kind::kNull:
      return writer.Null();
    case Reply::Kind::kInteger:
      return writer.Integer(slot.reply.integer);
    case Reply::Kind::kBytes:
      return writer.Bulk(slot.reply.bytes);
    case Reply::Kind::kError:
      return writer.Error(slot.reply.bytes);
    case Reply::Kind::kFile:
      return writer.BulkHeader(slot.file_range.length);
    case Reply::Kind::kLater:
      break;
  }
}

void EncodeReply2(const ReplySlot& slot, OutputBuffer& output) {
  EncodeReply(slot, RespWriter(output, RespVersion::kResp2));
}

void EncodeReply3(const ReplySlot& slot, OutputBuffer& output) {
  EncodeReply(slot, RespWriter(output, RespVersion::kResp3));
}

// Of a group: its parts' integers mean nothing.
void EncodeOk(const ReplySlot& slot, OutputBuffer& output) {
  RespWriter writer(output, RespVersion::kResp2);
  if (slot.outcome != Outcome::kDone || slot.reply.kind == Reply::Kind::kError) {
    EncodeReply(slot, writer);
  } else {
    writer.Ok();
  }
}

}  // namespace

std::string OutcomeText(Outcome outcome, std::string_view detail) {
  switch (outcome) {
    case Outcome::kDone:
      return {};
    case Outcome::kUnknown:
      return "MISCONF outcome unknown: the log has failed; the write may appear after a restart";
    case Outcome::kReadOnly:
      return "MISCONF read-only: the log has failed; writes are refused until a restart";
    case Outcome::kDiskFull:
      return "MISCONF disk full: writes are refused until there is space, deletes as soon as their "
             "reserve is used up";
    case Outcome::kNoDescriptors:
      return "MISCONF out of file descriptors: the system opens no further file for this server, "
             "or "
             "has no memory for that; writes are refused until it does, deletes as soon as their "
             "reserve is used up; see ulimit -n, and the server's log";
    case Outcome::kOutOfMemory:
      return "OOM command not allowed when used memory > 'maxmemory'.";
    case Outcome::kDamaged:
      return "ERR damaged: " + std::string(detail);
    case Outcome::kStopping:
      return "ERR the server is stopping";
    case Outcome::kTooLarge:
      return "ERR too many keys or bytes for one command that is all or nothing (65536 keys, 16 "
             "MiB written, 64 MiB read; in EXEC also 64 MiB of replies, and 64 MiB written one "
             "after another)";
    case Outcome::kNoRoom:
      return "ERR no memory for so large a reply now: it is held by others that are under way or "
             "not read by their clients; ask for less at once, or try again";
    case Outcome::kInFile:
      return "ERR the key's value is too long for this command, which works in memory";
    case Outcome::kFileError:
      return "ERR file error: " + std::string(detail) + "; nothing was changed, try again";
  }
  return "ERR internal error";
}

void RespProtocol::OwnedArgs::Assign(RespArgs source) {
  size_t total = 0;
  for (const std::string_view arg : source) total += arg.size();
  bytes.clear();
  bytes.reserve(total);
  args.clear();
  args.reserve(source.size());
  for (const std::string_view arg : source) {
    const size_t begin = bytes.size();
    bytes.append(arg);
    args.emplace_back(bytes.data() + begin, arg.size());
  }
}

void RespProtocol::OwnedArgs::Clear() {
  std::string().swap(bytes);
  std::vector<std::string_view>().swap(args);
}

RespProtocol::RespProtocol(Session& session, RespServer& server)
    : session_(session), server_(server), parser_(LimitsOf(server)) {}

void RespProtocol::SayGoodbye(ProtocolEnd end) {
  switch (end) {
    case ProtocolEnd::kRequestTimeout:
      ReplyError("ERR request timeout: the request was not complete in time");
      break;
    case ProtocolEnd::kTooSlow:
      ReplyError(
          "ERR request given up: its rest did not come, and others waited for the memory it had");
      break;
    case ProtocolEnd::kProtocol:
    case ProtocolEnd::kIdleTimeout:
    case ProtocolEnd::kStopping:
      break;  // as Redis: a line that answers nothing would be taken for an answer
  }
}

void RespProtocol::Describe(SessionState& state) const {
  state.version = static_cast<uint32_t>(version_);
  state.name = name;
  state.library_name = library_name;
  state.library_version = library_version;
  state.namespace_id = namespace_id_;
  if (last_ != nullptr) state.command = last_->name;
  if (multi_ != nullptr) {
    if (multi_->is_open()) state.queued_count = multi_->commands().size();
    state.queued_bytes = multi_->memory_bytes();
  }
  state.is_exempt_from_eviction = is_exempt_from_eviction_;
}

void RespProtocol::ReplyError(std::string_view text) {
  RespWriter(session_.OpenReply(), version_).Error(text);
  session_.CloseReply();
}

Protocol::Progress RespProtocol::Consume(std::string_view& input) {
  while (session_.MayStart()) {
    if (large_ != nullptr && !large_->is_through()) [[unlikely]] {
      if (!TakePieces(input)) return Progress::kSlow;
      if (large_->left_bytes() > 0) return Progress::kInput;
    }
    switch (parser_.Next(input)) {
      case RespRequestParser::Status::kRequest:
        session_.CountRequest();
        NextReplyMode();
        if (!Run(parser_.args())) return Progress::kSlow;
        if (quitting_) return Progress::kClose;
        if (parser_.args_in_parser()) [[unlikely]]
          session_.StartBatch();
        break;
      case RespRequestParser::Status::kPartial:
        session_.set_request_bytes(parser_.memory_bytes());
        if (parser_.frame_bytes_min() > Session::kLongRequestBytes) [[unlikely]]
          long_runs_alone_ = RunsAlone(parser_.args());
        return Progress::kInput;
      case RespRequestParser::Status::kTooLarge:
        session_.CountRequest();
        if (large_ == nullptr) NextReplyMode();
        Refuse(parser_.error());
        if (large_ != nullptr) {
          large_->step = LargeValue::Step::kGiveUp;
          return Progress::kSlow;
        }
        break;
      case RespRequestParser::Status::kLarge:
        if (StartLarge(input)) {
          NextReplyMode();
          return Progress::kSlow;
        }
        break;
      case RespRequestParser::Status::kLargeEnd:
        session_.CountRequest();
        large_->KeepRest(parser_.args());
        parser_.ReleaseArgs();
        NoteMemory();
        large_->step = LargeValue::Step::kRun;
        return Progress::kSlow;
      case RespRequestParser::Status::kError:
        session_.NoteProtocolError(WithoutBytes(parser_.error()));
        ReplyError(parser_.error());
        return Progress::kClose;
    }
  }
  return Progress::kRoom;
}

bool RespProtocol::Run(RespArgs args) {
  const CommandRow* row = FindCommand(args[0]);
  if (row == nullptr) [[unlikely]] {
    RunUnknown(args);
    return true;
  }
  const CommandRow& command = *row;
  if (!row->subcommands.empty() && args.size() > 1) {
    const CommandRow* const subcommand = FindSubcommand(*row, args[1]);
    if (subcommand == nullptr) {
      std::string container(row->name);
      for (char& letter : container) letter = static_cast<char>(letter - 'a' + 'A');
      Refuse("ERR unknown subcommand '" + std::string(args[1].substr(0, 128)) + "'. Try " +
             container + " HELP.");
      return true;
    }
    row = subcommand;
    // One on a key is, from here on, a command like others: its key is the first argument.
    if (row->kind == CommandKind::kKey && row->Takes(args.size())) {
      server_.calls.Count(command);
      return Dispatch(*row, args.subspan(1));
    }
  }
  if (!row->Takes(args.size())) [[unlikely]] {
    if (row->alone == &RunExec) return Defer(*row, args);  // ends the transaction
    Refuse("ERR wrong number of arguments for '" + std::string(row->name) + "' command");
    return true;
  }
  server_.calls.Count(command);
  return Dispatch(*row, args);
}

bool RespProtocol::Dispatch(const CommandRow& row, RespArgs args) {
  last_ = &row;
  if (multi_ != nullptr && multi_->is_open() && !row.runs_in_multi) [[unlikely]] {
    Queue(row, args);
    return true;
  }
  return RunRow(row, args);
}

void RespProtocol::Refuse(std::string_view text) {
  if (multi_ != nullptr) multi_->Break();
  ReplyError(text);
}

void RespProtocol::Queue(const CommandRow& row, RespArgs args) {
  const std::string error = multi_->Queue(row, args);
  if (!error.empty()) return Refuse(error);
  RespWriter(session_.OpenReply(), version_).Simple("QUEUED");
  session_.CloseReply();
}

MultiState& RespProtocol::multi() {
  if (multi_ == nullptr) multi_ = std::make_unique<MultiState>(session_.group().queued_budget);
  return *multi_;
}

Task<void> RespProtocol::Unwatch() {
  if (multi_ != nullptr && !multi_->watches.empty()) {
    co_await store().Unwatch(core(), multi_->watches);
    multi_->NoteWatches();
  }
}

Task<void> RespProtocol::EndMulti() {
  co_await Unwatch();
  while (multi_ != nullptr && multi_->FreeSome()) co_await NextPass(core());
  multi_.reset();
}

bool RespProtocol::RunRow(const CommandRow& row, RespArgs args) {
  switch (row.kind) {
    case CommandKind::kKey:
      if (!session_.MayStartKey(row.is_write())) [[unlikely]]
        return Defer(row, args);
      StartOne(row, args);
      return true;
    case CommandKind::kNow: {
      RespWriter writer(session_.OpenReply(), version_);
      row.now(*this, args, writer);
      session_.CloseReply();
      return true;
    }
    case CommandKind::kValues:
    case CommandKind::kSum:
    case CommandKind::kGroup:
      if (!CheckKeys(row, args)) return true;
      if (RunsTogether(row, args) || !MayStartKeys(row, args.size())) return Defer(row, args);
      if (row.kind == CommandKind::kValues) {
        StartValues(row, args);
      } else if (row.kind == CommandKind::kSum) {
        StartSum(row, args);
      } else {
        RunGroup(row, args);
      }
      return true;
    case CommandKind::kPair:
    case CommandKind::kAlone:
      return Defer(row, args);
  }
  return true;
}

// The bytes of a request that waits may move, so it gets its own.
bool RespProtocol::Defer(const CommandRow& row, RespArgs args) {
  slow_ = &row;
  slow_args_.Assign(args);
  parser_.ReleaseArgs();
  NoteMemory();
  return false;
}

void RespProtocol::NoteMemory() {
  session_.set_request_bytes(parser_.memory_bytes() + slow_args_.memory_bytes() +
                             (large_ != nullptr ? large_->memory_bytes() : 0));
}

// Whether the request that begins so has to wait for the replies before it.
bool RespProtocol::RunsAlone(RespArgs begin) const {
  if (large_ != nullptr || begin.empty()) return false;
  const CommandRow* row = FindCommand(begin[0]);
  if (row != nullptr && !row->subcommands.empty()) {
    if (begin.size() == 1) return !in_multi();  // it may be one that does
    const CommandRow* const subcommand = FindSubcommand(*row, begin[1]);
    if (subcommand != nullptr) row = subcommand;
  }
  if (row == nullptr || row->kind == CommandKind::kKey || row->kind == CommandKind::kNow) {
    return false;
  }
  return !in_multi() || row->runs_in_multi;  // else it is queued, and answered at once
}

// That is to wait until the client has read them: it is received then.
Task<void> RespProtocol::BeforeLongRequest() {
  if (long_runs_alone_) co_await session_.Quiet();
}

Task<void> RespProtocol::RunSlow() {
  if (large_ != nullptr) {
    co_await RunLarge();
    NoteMemory();
    co_return;
  }
  const CommandRow& row = *slow_;
  const RespArgs args = slow_args_.args;
  if (row.kind == CommandKind::kAlone) {
    co_await session_.Quiet();
    if (!session_.broken()) co_await row.alone(*this, args);
  } else if (row.kind == CommandKind::kKey) {
    co_await session_.KeyRoom(row.is_write());
    if (!session_.broken()) StartOne(row, args);
  } else if (!row.is_write() || RunsTogether(row, args)) {
    co_await RunTogether(*this, row, args);
  } else {
    co_await RunKeysSlowly(row, args);
  }
  slow_args_.Clear();
  NoteMemory();
}

void RespProtocol::RunUnknown(RespArgs args) {
  if (IsRespCrossProtocolWord(args[0])) {
    session_.NoteProtocolError("an HTTP request (POST or Host:) on a data port");
    ReplyError(kRespCrossProtocolError);
    Quit();
    return;
  }
  constexpr size_t kShownBytesMax = 128;
  std::string shown;
  for (size_t index = 1; index < args.size() && shown.size() < kShownBytesMax; ++index) {
    shown += "'" + std::string(args[index].substr(0, kShownBytesMax - shown.size())) + "' ";
  }
  Refuse("ERR unknown command '" + std::string(args[0].substr(0, kShownBytesMax)) +
         "', with args beginning with: " + shown);
}

// ---- Commands on keys ----

std::string_view RespProtocol::CheckKey(std::string_view key) {
  if (key.size() <= server_.key_bytes_max) return {};
  return ErrorText("ERR key of " + std::to_string(key.size()) +
                   " bytes exceeds maximum allowed size (max-key, " +
                   std::to_string(server_.key_bytes_max) + " bytes)");
}

std::string_view RespProtocol::CheckValue(std::string_view value) {
  if (value.size() <= server_.value_bytes_max) return {};
  return ErrorText("ERR string of " + std::to_string(value.size()) +
                   " bytes exceeds maximum allowed size (max-value, " +
                   std::to_string(server_.value_bytes_max) + " bytes)");
}

ReplySlot::Encode RespProtocol::EncoderOf(const CommandRow& row) const {
  if (session_.drops_replies()) [[unlikely]]
    return &ReplySlot::EncodeNothing;
  if (version_ == RespVersion::kResp2) return row.encode2 != nullptr ? row.encode2 : &EncodeReply2;
  return row.encode3 != nullptr ? row.encode3 : &EncodeReply3;
}

std::string_view RespProtocol::FillSlot(const CommandRow& row, RespArgs args, std::string_view key,
                                        std::string_view value, ReplySlot& slot) {
  if (key.size() > server_.key_bytes_max) [[unlikely]]
    return CheckKey(key);
  if (value.size() > server_.value_bytes_max) [[unlikely]]
    return CheckValue(value);
  slot.namespace_id = namespace_id_;
  slot.key = key;
  slot.value = value;
  slot.number = 0;
  slot.options = 0;
  slot.expiry_ms = kNoExpiry;
  slot.if_lsn = kNoLsn;
  slot.file_admitted = nullptr;
  slot.outcome = Outcome::kDone;
  slot.reply.bytes = {};
  slot.function = row.function;
  slot.needs = row.needs;
  slot.is_write = row.is_write();
  slot.is_read = !slot.is_write;
  slot.encode = EncoderOf(row);
  return row.fill == nullptr ? std::string_view() : row.fill(*this, args, slot);
}

ReplySlot* RespProtocol::Fill(const CommandRow& row, RespArgs args, std::string_view key,
                              std::string_view value) {
  ReplySlot& slot = session_.NextSlot();
  const std::string_view error = FillSlot(row, args, key, value, slot);
  if (error.empty()) [[likely]]
    return &slot;
  ReplyError(error);
  return nullptr;
}

void RespProtocol::StartOne(const CommandRow& row, RespArgs args) {
  ReplySlot* const slot = Fill(row, args, args[1], args.size() > 2 ? args[2] : std::string_view());
  if (slot != nullptr) session_.StartKey(*slot);
}

bool RespProtocol::MayStartKeys(const CommandRow& row, size_t count) const {
  return session_.MayStartKey(row.is_write()) && count <= session_.free_slots();
}

// All keys of a command are fit for the store, or it is answered with an error and none is.
bool RespProtocol::CheckKeys(const CommandRow& row, RespArgs args) {
  const size_t step = row.key_step;
  for (size_t index = 1; index < args.size(); index += step) {
    const bool has_value = step == 2 && index + 1 < args.size();
    if (Fill(row, args, args[index], has_value ? args[index + 1] : std::string_view()) == nullptr) {
      return false;
    }
  }
  return true;
}

// Whether it takes a transaction or a snapshot to do it as one. Reads that one core serves are
// started in one pass, and so are of one moment, unless one of them has to wait for a write, or
// they would come to more than a session may have unsent.
bool RespProtocol::RunsTogether(const CommandRow& row, RespArgs args) {
  if (row.kind == CommandKind::kPair) return true;
  if (row.kind == CommandKind::kSum && row.is_write()) return args.size() > 2;
  if (!row.is_write()) {
    session_.StartBatch();
    if (args.size() <= 2) return false;
    if (core().count() > 1 || session_.writes_outstanding() > 0) return true;
    return row.kind == CommandKind::kValues && MayBeLarge(*this, args.subspan(1));
  }
  if (args.size() % 2 == 0) return false;
  if (row.needs != OldState::kNothing) return true;
  // A transaction works on them in several passes.
  if (args.size() / 2 > kPartKeysMax) return true;
  const auto owner_of = [&](std::string_view key) {
    return store().OwnerOf(store().Hash(namespace_id_, key));
  };
  for (size_t index = 3; core().count() > 1 && index < args.size(); index += 2) {
    if (owner_of(args[index]) != owner_of(args[1])) return true;
  }
  return false;
}

void RespProtocol::StartValues(const CommandRow& row, RespArgs args) {
  RespWriter(session_.OpenReply(), version_).Array(args.size() - 1);
  session_.CloseReply();
  for (const std::string_view key : args.subspan(1)) session_.StartKey(*Fill(row, args, key, {}));
}

void RespProtocol::StartSum(const CommandRow& row, RespArgs args) {
  ReplySlot& whole = session_.BeginParts(Wanted(&EncodeReply2));
  for (const std::string_view key : args.subspan(1)) {
    session_.StartPart(whole, *Fill(row, args, key, {}));
  }
  session_.EndParts(whole);
}

// A command that writes keys, when there is room for it.
Task<void> RespProtocol::RunKeysSlowly(const CommandRow& row, RespArgs args) {
  if (row.kind == CommandKind::kGroup) {
    // All at once, whatever their number.
    co_await session_.Quiet();
    co_await session_.KeyRoom(true);
    if (!session_.broken()) RunGroup(row, args);
    co_return;
  }
  // One key: several are written as one.
  co_await session_.Room();
  co_await session_.KeyRoom(true);
  if (!session_.broken()) StartSum(row, args);
}

// Writes all keys as one, without a transaction: one core owns them.
void RespProtocol::RunGroup(const CommandRow& row, RespArgs args) {
  struct Given {
    uint64_t hash;
    size_t index;
  };
  if (args.size() % 2 == 0) {
    return ReplyError("ERR wrong number of arguments for '" + std::string(row.name) + "' command");
  }
  std::vector<Given> entries;
  size_t bytes = 0;
  for (size_t index = 1; index < args.size(); index += 2) {
    entries.push_back({store().Hash(namespace_id_, args[index]), index});
    bytes += args[index].size() + args[index + 1].size();
  }
  if (bytes > kGroupBytesMax) {
    return ReplyError(OutcomeText(Outcome::kTooLarge, {}));
  }
  // Of a key that is given twice the last value counts.
  const auto key_of = [args](const Given& entry) { return args[entry.index]; };
  std::sort(entries.begin(), entries.end(), [&](const Given& left, const Given& right) {
    if (left.hash != right.hash) return left.hash < right.hash;
    if (key_of(left) != key_of(right)) return key_of(left) < key_of(right);
    return left.index > right.index;
  });
  entries.erase(std::unique(entries.begin(), entries.end(),
                            [&](const Given& left, const Given& right) {
                              return left.hash == right.hash && key_of(left) == key_of(right);
                            }),
                entries.end());

  ReplySlot& whole = session_.BeginParts(Wanted(&EncodeOk));
  std::vector<ReplySlot*> parts;
  for (const Given& entry : entries) {
    Fill(row, args, args[entry.index], args[entry.index + 1]);
    parts.push_back(&session_.TakePart(whole));
  }
  session_.StartGroup(parts.data(), parts.size());
  session_.EndParts(whole);
}

}  // namespace pakv
