// Commands on keys, whatever their values.
#include <algorithm>
#include <charconv>
#include <string>
#include <utility>
#include <vector>

#include "net/resp/protocol/alone_reply.h"
#include "net/resp/protocol/gathered_reply.h"
#include "net/resp/protocol/own_keys.h"
#include "net/resp/protocol/resp_protocol.h"
#include "net/resp/table/command_functions.h"
#include "net/text/glob.h"
#include "net/text/numbers.h"
#include "net/text/words.h"

namespace pakv {
namespace {

// What SCAN looks at per step unless it is told, and at most, whatever it is told.
constexpr int64_t kScanCount = 10;
constexpr int64_t kScanCountMax = 10000;
// Cursors have 52 bits, so that clients may keep them in doubles.
constexpr uint64_t kCursorEnd = uint64_t{1} << 52;
// What KEYS takes from the store at once.
constexpr size_t kKeysStep = 1000;
// What the owner of a key spends on matching it with a pattern, and what a session spends at once
// on patterns and keys that take longer; a pass may have several such steps.
constexpr uint64_t kMatchWorkMax = 64 << 10;
constexpr uint64_t kMatchStepWork = 32 << 10;

struct ScanArgs {
  uint64_t cursor = 0;
  size_t count = kScanCount;
  std::string_view pattern = "*";
  bool strings = true;  // keys of the one type that there is are wanted
};

// What Redis takes for a cursor: what strtoul takes, but for leading blanks.
bool ParseCursor(std::string_view text, uint64_t& cursor) {
  cursor = 0;
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  if (text.empty()) return !negative;
  const char* const end = text.data() + text.size();
  const auto [parsed, error] = std::from_chars(text.data(), end, cursor);
  if (negative) cursor = 0 - cursor;
  return error == std::errc() && parsed == end;
}

// The error, if there is one.
std::string_view ParseScan(RespArgs args, ScanArgs& scan) {
  if (!ParseCursor(args[1], scan.cursor)) return "ERR invalid cursor";
  for (size_t index = 2; index < args.size(); index += 2) {
    if (index + 1 == args.size()) return kErrSyntax;
    const std::string_view value = args[index + 1];
    if (IsWord(args[index], "count")) {
      const std::optional<int64_t> count = ParseRespInteger(value);
      if (!count) return kErrNotInteger;
      if (*count < 1) return kErrSyntax;
      scan.count = static_cast<size_t>(std::min(*count, kScanCountMax));
    } else if (IsWord(args[index], "match")) {
      scan.pattern = value;
    } else if (IsWord(args[index], "type")) {
      scan.strings = IsWord(value, "string");
    } else {
      return kErrSyntax;
    }
  }
  return {};
}

// Declines keys that do not match. What it would take long to compare it lets pass: see DropOthers.
// Runs on other cores, so it owns its pattern.
Store::KeyFilter MakeFilter(std::string_view pattern) {
  if (pattern == "*") return [](std::string_view, uint64_t&) { return true; };
  return [pattern = std::string(pattern)](std::string_view key, uint64_t& work) {
    GlobMatcher matcher(pattern, key);
    const GlobMatcher::State state = matcher.Run(kMatchWorkMax);
    work += matcher.work();
    return state != GlobMatcher::State::kDiffers;
  };
}

// Of the keys that passed: compares those to the end whose owner may not have done so. Here, in
// steps between which others have their turn, for as long as there is somebody to be answered.
Task<void> DropOthers(RespProtocol& protocol, std::string_view pattern,
                      std::vector<std::string>& keys) {
  if (pattern == "*") co_return;
  const Session& session = protocol.session();
  size_t kept = 0;
  uint64_t left = kMatchStepWork;
  for (size_t index = 0; index < keys.size() && !session.broken(); ++index) {
    if (GlobMatcher::WorkMax(pattern, keys[index]) > kMatchWorkMax) {
      GlobMatcher matcher(pattern, keys[index]);
      GlobMatcher::State state = GlobMatcher::State::kUndecided;
      while (state == GlobMatcher::State::kUndecided && !session.broken()) {
        const uint64_t before = matcher.work();
        state = matcher.Run(left);
        left -= std::min(left, matcher.work() - before);
        if (left > 0) continue;
        co_await protocol.core().ready().Yield();
        left = kMatchStepWork;
      }
      if (state == GlobMatcher::State::kDiffers) continue;
    }
    if (kept != index) keys[kept] = std::move(keys[index]);
    ++kept;
  }
  keys.resize(kept);
}

}  // namespace

Change DeleteKey(const OldValue& old, Request& request) {
  request.reply.kind = Reply::Kind::kInteger;
  request.reply.integer = old.exists ? 1 : 0;
  Change change;
  if (old.exists) change.action = Change::Action::kDelete;
  return change;
}

Change KeyExists(const OldValue& old, Request& request) {
  request.reply.kind = Reply::Kind::kInteger;
  request.reply.integer = old.exists ? 1 : 0;
  return Change();
}

Change KeyType(const OldValue& old, Request& request) {
  request.reply.kind = Reply::Kind::kBytes;
  request.reply.bytes = old.exists ? "string" : "none";
  return Change();
}

void EncodeType(const ReplySlot& slot, OutputBuffer& output) {
  RespWriter writer(output, RespVersion::kResp2);
  if (slot.outcome == Outcome::kDone) return writer.Simple(slot.reply.bytes);
  writer.Error(OutcomeText(slot.outcome, slot.reply.bytes));
}

Task<void> RunScan(RespProtocol& protocol, RespArgs args) {
  ScanArgs scan;
  const std::string_view error = ParseScan(args, scan);
  if (!error.empty()) {
    AloneReply(protocol)->Error(error);
    co_return;
  }
  // A cursor that no scan ever returned is behind all keys.
  if (scan.cursor >= kCursorEnd) {
    AloneReply reply(protocol);
    reply->Array(2);
    reply->Bulk("0");
    reply->Array(0);
    co_return;
  }
  Store::KeyFilter accept = MakeFilter(scan.pattern);
  if (!scan.strings) accept = [](std::string_view, uint64_t&) { return false; };
  ScanStep step = co_await ScanKeys(protocol, scan.cursor, scan.count, accept);
  co_await DropOthers(protocol, scan.pattern, step.keys);
  AloneReply reply(protocol);
  if (step.outcome != Outcome::kDone) {
    reply->Error(OutcomeText(step.outcome, {}));
    co_return;
  }
  reply->Array(2);
  char digits[24];
  const char* const end = std::to_chars(digits, digits + sizeof(digits), step.cursor).ptr;
  reply->Bulk({digits, static_cast<size_t>(end - digits)});
  reply->Array(step.keys.size());
  for (const std::string& key : step.keys) reply->Bulk(key);
}

// Has to count its keys before it can send the first, so it gathers the whole reply, as far as the
// core has memory for such; then it sends no faster than the client reads.
Task<void> RunKeys(RespProtocol& protocol, RespArgs args) {
  Session& session = protocol.session();
  const Store::KeyFilter accept = MakeFilter(args[1]);
  GatheredReply keys(session);
  size_t count = 0;
  uint64_t cursor = 0;
  do {
    ScanStep step = co_await ScanKeys(protocol, cursor, kKeysStep, accept);
    co_await DropOthers(protocol, args[1], step.keys);
    if (step.outcome != Outcome::kDone) {
      AloneReply(protocol)->Error(OutcomeText(step.outcome, {}));
      co_return;
    }
    count += step.keys.size();
    cursor = step.cursor;
    OutputBuffer encoded;
    for (const std::string& key : step.keys) RespWriter(encoded, protocol.version()).Bulk(key);
    if (!keys.Add(encoded.view())) {
      AloneReply(protocol)->Error("ERR the reply to KEYS is too large; use SCAN");
      co_return;
    }
  } while (cursor != 0 && !session.broken());
  protocol.ForgetArgs();
  AloneReply(protocol)->Array(count);
  co_await keys.Send(protocol);
}

Task<void> RunRandomKey(RespProtocol& protocol, RespArgs) {
  const RandomDraw draw = co_await DrawKey(protocol);
  AloneReply reply(protocol);
  if (draw.outcome != Outcome::kDone) {
    reply->Error(OutcomeText(draw.outcome, {}));
  } else if (draw.key) {
    reply->Bulk(*draw.key);
  } else {
    reply->Null();
  }
}

Task<void> RunDbSize(RespProtocol& protocol, RespArgs) {
  const uint64_t keys = co_await CountKeys(protocol);
  AloneReply(protocol)->Integer(static_cast<int64_t>(keys));
}

// Either way, ASYNC or SYNC, it is one record, and what it drops is given back in the background.
std::optional<uint32_t> FlushedNamespace(RespArgs args, uint32_t selected) {
  if (args.size() > 2) return std::nullopt;
  if (args.size() == 2 && !IsWord(args[1], "async") && !IsWord(args[1], "sync")) {
    return std::nullopt;
  }
  return IsWord(args[0], "flushall") ? kEveryNamespace : selected;
}

Task<void> RunFlush(RespProtocol& protocol, RespArgs args) {
  const std::optional<uint32_t> namespace_id = FlushedNamespace(args, protocol.namespace_id());
  if (!namespace_id) {
    AloneReply(protocol)->Error(kErrSyntax);
    co_return;
  }
  const Outcome outcome = co_await protocol.store().Flush(protocol.core(), *namespace_id);
  AloneReply reply(protocol);
  if (outcome == Outcome::kDone) {
    reply->Ok();
  } else {
    reply->Error(OutcomeText(outcome, {}));
  }
}

}  // namespace pakv
