// Commands on the time that a key lives, and SET's options for it. Replies and texts are those of
// Redis 7.0; a key lives until its time, Redis' until a millisecond later.
#include <algorithm>
#include <limits>
#include <string>

#include "net/resp/protocol/resp_protocol.h"
#include "net/resp/table/command_functions.h"
#include "net/text/numbers.h"
#include "net/text/words.h"

namespace pakv {
namespace {

constexpr int64_t kMsMax = std::numeric_limits<int64_t>::max();

// In Request::options, beside kTimeIsRelative.
enum ExpireOption : uint32_t { kExpireNx = 1, kExpireXx = 2, kExpireGt = 4, kExpireLt = 8 };
enum GetExOption : uint32_t {
  kGetExPersist = 1,
  kGetExTime = 2,
  kGetExNotInteger = 4,
  kGetExBad = 8
};
enum TimeLeftOption : uint32_t { kInMs = 1, kAsTime = 2 };

int64_t NowMs(RespProtocol& protocol) {
  return static_cast<int64_t>(protocol.core().wall_us() / 1000);
}

int64_t ClockMs(const Request& request) { return static_cast<int64_t>(request.ExpiryClockMs()); }

// The owner's clock may be ahead of the one that the argument was checked by.
int64_t AddSaturating(int64_t clock_ms, int64_t ms) {
  int64_t sum;
  return __builtin_add_overflow(clock_ms, ms, &sum) ? kMsMax : sum;
}

Change ReplyAndKeep(int64_t value, Request& request) {
  request.reply.kind = Reply::Kind::kInteger;
  request.reply.integer = value;
  return {};
}

Change WriteUntil(std::string_view value, uint64_t expiry_ms) {
  return {.action = Change::Action::kWrite, .expiry_ms = expiry_ms, .value = value};
}

std::string_view CheckTime(RespProtocol& protocol, std::string_view command, std::string_view text,
                           TimeWord word, int64_t& ms) {
  const std::optional<int64_t> number = ParseRespInteger(text);
  if (!number) return kErrNotInteger;
  ms = *number;
  bool fits = ms > 0;
  if (fits && word.in_seconds) fits = !__builtin_mul_overflow(ms, 1000, &ms);
  if (fits && word.is_relative) fits = ms <= kMsMax - NowMs(protocol);
  return fits ? std::string_view() : protocol.ErrorText(InvalidTime(command));
}

std::string_view FillExpire(RespProtocol& protocol, RespArgs args, ReplySlot& slot,
                            std::string_view command, TimeWord word) {
  for (const std::string_view option : args.subspan(3)) {
    if (IsWord(option, "nx")) {
      slot.options |= kExpireNx;
    } else if (IsWord(option, "xx")) {
      slot.options |= kExpireXx;
    } else if (IsWord(option, "gt")) {
      slot.options |= kExpireGt;
    } else if (IsWord(option, "lt")) {
      slot.options |= kExpireLt;
    } else {
      return protocol.ErrorText("ERR Unsupported option " + std::string(option));
    }
  }
  const auto has = [&slot](uint32_t option) { return (slot.options & option) != 0; };
  if (has(kExpireNx) && has(kExpireXx | kExpireGt | kExpireLt)) {
    return "ERR NX and XX, GT or LT options at the same time are not compatible";
  }
  if (has(kExpireGt) && has(kExpireLt)) {
    return "ERR GT and LT options at the same time are not compatible";
  }
  const std::optional<int64_t> number = ParseRespInteger(args[2]);
  if (!number) return kErrNotInteger;
  slot.number = *number;
  bool fits = true;
  if (word.in_seconds) fits = !__builtin_mul_overflow(slot.number, 1000, &slot.number);
  const int64_t base_ms = word.is_relative ? NowMs(protocol) : 0;
  if (!fits || slot.number > kMsMax - base_ms) return protocol.ErrorText(InvalidTime(command));
  if (word.is_relative) slot.options |= kTimeIsRelative;
  slot.value = {};
  return {};
}

std::string_view FillSetFor(RespProtocol& protocol, RespArgs args, ReplySlot& slot,
                            std::string_view command, TimeWord word) {
  int64_t ms = 0;
  const std::string_view error = CheckTime(protocol, command, args[2], word, ms);
  if (!error.empty()) return error;
  slot.expiry_ms = static_cast<uint64_t>(ms);
  slot.options |= kTimeIsRelative;
  slot.value = args[3];
  return protocol.CheckValue(slot.value);
}

}  // namespace

std::string InvalidTime(std::string_view command) {
  return "ERR invalid expire time in '" + std::string(command) + "' command";
}

std::optional<TimeWord> ParseTimeWord(std::string_view word) {
  if (IsWord(word, "ex")) return TimeWord{.in_seconds = true, .is_relative = true};
  if (IsWord(word, "px")) return TimeWord{.in_seconds = false, .is_relative = true};
  if (IsWord(word, "exat")) return TimeWord{.in_seconds = true, .is_relative = false};
  if (IsWord(word, "pxat")) return TimeWord{.in_seconds = false, .is_relative = false};
  return std::nullopt;
}

std::string_view FillTime(RespProtocol& protocol, std::string_view command, std::string_view text,
                          TimeWord word, ReplySlot& slot) {
  int64_t ms = 0;
  const std::string_view error = CheckTime(protocol, command, text, word, ms);
  slot.expiry_ms = static_cast<uint64_t>(ms);
  if (word.is_relative) slot.options |= kTimeIsRelative;
  return error;
}

uint64_t ExpiryOf(const Request& request) {
  if ((request.options & kTimeIsRelative) == 0) return request.expiry_ms;
  return static_cast<uint64_t>(
      AddSaturating(ClockMs(request), static_cast<int64_t>(request.expiry_ms)));
}

Change WriteOrDelete(std::string_view value, uint64_t expiry_ms, const Request& request) {
  if (expiry_ms == kNoExpiry || expiry_ms > request.ExpiryClockMs()) {
    return WriteUntil(value, expiry_ms);
  }
  return {.action = Change::Action::kDelete, .value = {}};
}

Change SetFor(const OldValue&, Request& request) {
  request.reply.kind = Reply::Kind::kOk;
  return WriteOrDelete(request.value, ExpiryOf(request), request);
}

Change ExpireKey(const OldValue& old, Request& request) {
  if (!old.exists) return ReplyAndKeep(0, request);
  const auto has = [&request](uint32_t option) { return (request.options & option) != 0; };
  const int64_t when_ms =
      has(kTimeIsRelative) ? AddSaturating(ClockMs(request), request.number) : request.number;
  const bool expires = old.expiry_ms != kNoExpiry;
  // A key that does not expire has the latest of all times.
  const int64_t current_ms =
      expires
          ? static_cast<int64_t>(std::min<uint64_t>(old.expiry_ms, static_cast<uint64_t>(kMsMax)))
          : kMsMax;
  if ((has(kExpireNx) && expires) || (has(kExpireXx) && !expires) ||
      (has(kExpireGt) && (when_ms <= current_ms || !expires)) ||
      (has(kExpireLt) && expires && when_ms >= current_ms)) {
    return ReplyAndKeep(0, request);
  }
  ReplyAndKeep(1, request);
  // Any time that is over will do for one before 1970.
  return WriteOrDelete(old.value, static_cast<uint64_t>(std::max<int64_t>(when_ms, 1)), request);
}

Change PersistKey(const OldValue& old, Request& request) {
  if (old.expiry_ms == kNoExpiry) return ReplyAndKeep(0, request);
  ReplyAndKeep(1, request);
  return WriteUntil(old.value, kNoExpiry);
}

Change TimeLeft(const OldValue& old, Request& request) {
  if (!old.exists) return ReplyAndKeep(-2, request);
  if (old.expiry_ms == kNoExpiry) return ReplyAndKeep(-1, request);
  auto ms = static_cast<int64_t>(old.expiry_ms);
  // A read that waited is of the moment at which it began.
  if ((request.options & kAsTime) == 0) ms = std::max<int64_t>(ms - ClockMs(request), 0);
  return ReplyAndKeep((request.options & kInMs) != 0 ? ms : (ms / 500 + 1) / 2, request);
}

Change GetAndExpire(const OldValue& old, Request& request) {
  request.reply.kind = !old.exists   ? Reply::Kind::kNull
                       : old.in_file ? Reply::Kind::kFile
                                     : Reply::Kind::kBytes;
  request.reply.bytes = old.value;
  if (!old.exists) return {};
  if ((request.options & (kGetExNotInteger | kGetExBad)) != 0) {
    request.reply.kind = Reply::Kind::kError;
    request.reply.bytes = (request.options & kGetExBad) != 0
                              ? "ERR invalid expire time in 'getex' command"
                              : kErrNotInteger;
    return {};
  }
  if ((request.options & kGetExPersist) != 0) {
    return old.expiry_ms == kNoExpiry ? Change() : WriteUntil(old.value, kNoExpiry);
  }
  if ((request.options & kGetExTime) == 0) return {};
  return WriteOrDelete(old.value, ExpiryOf(request), request);
}

// As Redis, it looks at its time after the key: what is wrong with it is an option.
std::string_view FillGetEx(RespProtocol& protocol, RespArgs args, ReplySlot& slot) {
  slot.value = {};
  std::string_view time;
  std::optional<TimeWord> time_word;
  for (size_t index = 2; index < args.size(); ++index) {
    const std::optional<TimeWord> as_time = ParseTimeWord(args[index]);
    if (IsWord(args[index], "persist") && !time_word) {
      slot.options |= kGetExPersist;
    } else if (as_time && index + 1 < args.size() && (slot.options & kGetExPersist) == 0 &&
               time_word.value_or(*as_time) == *as_time) {
      time_word = as_time;
      time = args[++index];
    } else {
      return kErrSyntax;
    }
  }
  if (!time_word) return {};
  slot.options |= kGetExTime;
  const std::string_view error = FillTime(protocol, "getex", time, *time_word, slot);
  if (!error.empty()) slot.options |= error == kErrNotInteger ? kGetExNotInteger : kGetExBad;
  return {};
}

std::string_view FillExpireSeconds(RespProtocol& protocol, RespArgs args, ReplySlot& slot) {
  return FillExpire(protocol, args, slot, "expire", {.in_seconds = true, .is_relative = true});
}
std::string_view FillExpireMs(RespProtocol& protocol, RespArgs args, ReplySlot& slot) {
  return FillExpire(protocol, args, slot, "pexpire", {.in_seconds = false, .is_relative = true});
}
std::string_view FillExpireAtSeconds(RespProtocol& protocol, RespArgs args, ReplySlot& slot) {
  return FillExpire(protocol, args, slot, "expireat", {.in_seconds = true, .is_relative = false});
}
std::string_view FillExpireAtMs(RespProtocol& protocol, RespArgs args, ReplySlot& slot) {
  return FillExpire(protocol, args, slot, "pexpireat", {.in_seconds = false, .is_relative = false});
}

std::string_view FillSetForSeconds(RespProtocol& protocol, RespArgs args, ReplySlot& slot) {
  return FillSetFor(protocol, args, slot, "setex", {.in_seconds = true, .is_relative = true});
}
std::string_view FillSetForMs(RespProtocol& protocol, RespArgs args, ReplySlot& slot) {
  return FillSetFor(protocol, args, slot, "psetex", {.in_seconds = false, .is_relative = true});
}

std::string_view FillTimeLeftMs(RespProtocol&, RespArgs, ReplySlot& slot) {
  slot.options = kInMs;
  return {};
}
std::string_view FillExpireTime(RespProtocol&, RespArgs, ReplySlot& slot) {
  slot.options = kAsTime;
  return {};
}
std::string_view FillExpireTimeMs(RespProtocol&, RespArgs, ReplySlot& slot) {
  slot.options = kAsTime | kInMs;
  return {};
}

}  // namespace pakv
