// Commands on string values.
#include <charconv>
#include <limits>

#include "net/resp/commands.h"
#include "net/resp/resp_protocol.h"

namespace pakv {
namespace {

constexpr std::string_view kErrOverflow = "ERR increment or decrement would overflow";

// SET's conditions, its GET and KEEPTTL, in Request::options.
enum SetOption : uint32_t {
  kSetIfAbsent = 1,
  kSetIfPresent = 2,
  kSetAndGet = 4,
  kSetKeepTtl = 8,
};

Change Write(std::string_view value) {
  Change change;
  change.action = Change::Action::kWrite;
  change.value = value;
  return change;
}

Change Keep() { return Change(); }

void ReplyOld(const OldValue& old, Request& request) {
  request.reply.kind = !old.exists   ? Reply::Kind::kNull
                       : old.in_file ? Reply::Kind::kFile
                                     : Reply::Kind::kBytes;
  request.reply.bytes = old.value;
}

void ReplyInteger(int64_t value, Request& request) {
  request.reply.kind = Reply::Kind::kInteger;
  request.reply.integer = value;
}

void ReplyError(std::string_view text, Request& request) {
  request.reply.kind = Reply::Kind::kError;
  request.reply.bytes = text;
}

Change SetWithOptions(const OldValue& old, Request& request) {
  const bool met = (request.options & kSetIfAbsent) != 0    ? !old.exists
                   : (request.options & kSetIfPresent) != 0 ? old.exists
                                                            : true;
  if ((request.options & kSetAndGet) != 0) {
    ReplyOld(old, request);
  } else {
    request.reply.kind = met ? Reply::Kind::kOk : Reply::Kind::kNull;
  }
  if (!met) return Keep();
  const bool keeps = (request.options & kSetKeepTtl) != 0;
  return WriteOrDelete(request.value, keeps ? old.expiry_ms : ExpiryOf(request), request);
}

}  // namespace

Change GetValue(const OldValue& old, Request& request) {
  ReplyOld(old, request);
  return Keep();
}

Change SetValue(const OldValue&, Request& request) {
  request.reply.kind = Reply::Kind::kOk;
  return Write(request.value);
}

Change SetIfAbsent(const OldValue& old, Request& request) {
  ReplyInteger(old.exists ? 0 : 1, request);
  return old.exists ? Keep() : Write(request.value);
}

Change GetAndSet(const OldValue& old, Request& request) {
  ReplyOld(old, request);
  return Write(request.value);
}

Change GetAndDelete(const OldValue& old, Request& request) {
  ReplyOld(old, request);
  if (!old.exists) return Keep();
  Change change;
  change.action = Change::Action::kDelete;
  return change;
}

Change AddInteger(const OldValue& old, Request& request) {
  const std::optional<int64_t> before = old.exists ? ParseRespInteger(old.value) : 0;
  if (!before || old.in_file) {
    ReplyError(kErrNotInteger, request);
    return Keep();
  }
  int64_t after;
  if (__builtin_add_overflow(*before, request.number, &after)) {
    ReplyError(kErrOverflow, request);
    return Keep();
  }
  ReplyInteger(after, request);
  char digits[24];
  const char* const end = std::to_chars(digits, digits + sizeof(digits), after).ptr;
  request.scratch.assign(digits, static_cast<size_t>(end - digits));
  Change change = Write(request.scratch);
  change.expiry_ms = old.expiry_ms;
  return change;
}

// The largest length that the value may come to is in `number`.
Change AppendValue(const OldValue& old, Request& request) {
  const size_t length = old.value.size() + request.value.size();
  if (length > static_cast<size_t>(request.number)) {
    ReplyError("ERR string exceeds maximum allowed size (proto-max-bulk-len)", request);
    return Keep();
  }
  ReplyInteger(static_cast<int64_t>(length), request);
  request.scratch.reserve(length);
  request.scratch.assign(old.value);
  request.scratch.append(request.value);
  Change change = Write(request.scratch);
  change.expiry_ms = old.expiry_ms;
  return change;
}

Change ValueLength(const OldValue& old, Request& request) {
  ReplyInteger(old.exists ? static_cast<int64_t>(old.value_length) : 0, request);
  return Keep();
}

std::string_view FillSet(RespProtocol& protocol, RespArgs args, ReplySlot& slot) {
  if (args.size() == 3) [[likely]]
    return {};
  std::string_view time;
  std::optional<TimeWord> time_word;
  for (size_t index = 3; index < args.size(); ++index) {
    const std::string_view word = args[index];
    const std::optional<TimeWord> as_time = ParseTimeWord(word);
    if (IsWord(word, "nx") && (slot.options & kSetIfPresent) == 0) {
      slot.options |= kSetIfAbsent;
    } else if (IsWord(word, "xx") && (slot.options & kSetIfAbsent) == 0) {
      slot.options |= kSetIfPresent;
    } else if (IsWord(word, "get")) {
      slot.options |= kSetAndGet;
    } else if (IsWord(word, "keepttl") && !time_word) {
      slot.options |= kSetKeepTtl;
    } else if (as_time && index + 1 < args.size() && (slot.options & kSetKeepTtl) == 0 &&
               time_word.value_or(*as_time) == *as_time) {
      time_word = as_time;
      time = args[++index];
    } else {
      return kErrSyntax;
    }
  }
  slot.function = &SetFor;
  if (slot.options != 0) {
    slot.function = &SetWithOptions;
    slot.needs = (slot.options & kSetAndGet) != 0 ? OldState::kValueOrFile : OldState::kExistence;
  }
  return time_word ? FillTime(protocol, "set", time, *time_word, slot) : std::string_view();
}

std::string_view FillIncr(RespProtocol&, RespArgs, ReplySlot& slot) {
  slot.number = 1;
  return {};
}

std::string_view FillDecr(RespProtocol&, RespArgs, ReplySlot& slot) {
  slot.number = -1;
  return {};
}

std::string_view FillIncrBy(RespProtocol&, RespArgs args, ReplySlot& slot) {
  const std::optional<int64_t> delta = ParseRespInteger(args[2]);
  if (!delta) return kErrNotInteger;
  slot.number = *delta;
  slot.value = {};
  return {};
}

std::string_view FillDecrBy(RespProtocol&, RespArgs args, ReplySlot& slot) {
  const std::optional<int64_t> delta = ParseRespInteger(args[2]);
  if (!delta) return kErrNotInteger;
  if (*delta == std::numeric_limits<int64_t>::min()) return "ERR decrement would overflow";
  slot.number = -*delta;
  slot.value = {};
  return {};
}

std::string_view FillAppend(RespProtocol& protocol, RespArgs, ReplySlot& slot) {
  slot.number = protocol.server().inline_value_bytes_max;
  return {};
}

}  // namespace pakv
