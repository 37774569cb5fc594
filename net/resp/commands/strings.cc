// Commands on string values.
#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <limits>

#include "net/resp/protocol/resp_protocol.h"
#include "net/resp/table/command_functions.h"
#include "net/text/numbers.h"
#include "net/text/words.h"

namespace pakv {
namespace {

constexpr std::string_view kErrOverflow = "ERR increment or decrement would overflow";

constexpr std::string_view kErrTooLong =
    "ERR string exceeds maximum allowed size (proto-max-bulk-len)";

// SET's conditions, its GET and KEEPTTL, in Request::options.
enum SetOption : uint32_t {
  kSetIfAbsent = 1,
  kSetIfPresent = 2,
  kSetAndGet = 4,
  kSetKeepTtl = 8,
};

// GETRANGE has two numbers; what it reads has an expiry of its own, so this field is free.
void SetRangeEnd(Request& request, int64_t last) {
  request.expiry_ms = std::bit_cast<uint64_t>(last);
}
int64_t RangeEnd(const Request& request) { return std::bit_cast<int64_t>(request.expiry_ms); }

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
  request.edit_begin = old.exists ? old.value_length : 0;
  const uint64_t length = request.edit_begin + request.value.size();
  if (length > static_cast<uint64_t>(request.number)) {
    ReplyError(kErrTooLong, request);
    return Keep();
  }
  ReplyInteger(static_cast<int64_t>(length), request);
  if (old.in_file && request.value.empty()) return Keep();
  return {.action = Change::Action::kEdit, .expiry_ms = old.expiry_ms, .value = request.value};
}

// `number`: where it begins, which FillSetRange has found to fit.
Change SetRange(const OldValue& old, Request& request) {
  request.edit_begin = static_cast<uint64_t>(request.number);
  const uint64_t length = old.exists ? old.value_length : 0;
  const bool changes = !request.value.empty();
  const uint64_t end = request.edit_begin + request.value.size();
  ReplyInteger(static_cast<int64_t>(changes ? std::max(length, end) : length), request);
  if (!changes) return Keep();
  return {.action = Change::Action::kEdit, .expiry_ms = old.expiry_ms, .value = request.value};
}

// `number` and RangeEnd: from where to where, both from the end if they are negative.
Change GetRange(const OldValue& old, Request& request) {
  request.reply.kind = Reply::Kind::kBytes;
  request.reply.bytes = {};
  const auto length = static_cast<int64_t>(old.exists ? old.value_length : 0);
  int64_t first = request.number;
  int64_t last = RangeEnd(request);
  if (first < 0 && last < 0 && first > last) return Keep();
  if (first < 0) first = std::max<int64_t>(first + length, 0);
  if (last < 0) last = std::max<int64_t>(last + length, 0);
  last = std::min(last, length - 1);
  if (first > last) return Keep();
  const auto begin = static_cast<uint64_t>(first);
  const auto count = static_cast<uint64_t>(last - first) + 1;
  if (old.in_file) {
    request.reply.kind = Reply::Kind::kFile;
    request.reply.bytes = old.value;
    request.file_range = {.begin = begin, .length = count};
  } else {
    request.reply.bytes = old.value.substr(begin, count);
  }
  return Keep();
}

Change AddFloat(const OldValue& old, Request& request) {
  const std::optional<long double> before = old.exists ? ParseRespFloat(old.value) : 0;
  const std::optional<long double> delta = ParseRespFloat(request.value);
  if (!before || !delta || old.in_file) {
    ReplyError("ERR value is not a valid float", request);
    return Keep();
  }
  const long double after = *before + *delta;
  if (!std::isfinite(after)) {
    ReplyError("ERR increment would produce NaN or Infinity", request);
    return Keep();
  }
  request.scratch = FormatRespFloat(after);
  request.reply.kind = Reply::Kind::kBytes;
  request.reply.bytes = request.scratch;
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

std::string_view FillGetRange(RespProtocol&, RespArgs args, ReplySlot& slot) {
  const std::optional<int64_t> first = ParseRespInteger(args[2]);
  const std::optional<int64_t> last = ParseRespInteger(args[3]);
  if (!first || !last) return kErrNotInteger;
  slot.number = *first;
  SetRangeEnd(slot, *last);
  slot.value = {};
  return {};
}

std::string_view FillSetRange(RespProtocol& protocol, RespArgs args, ReplySlot& slot) {
  const std::optional<int64_t> begin = ParseRespInteger(args[2]);
  if (!begin) return kErrNotInteger;
  if (*begin < 0) return "ERR offset is out of range";
  slot.number = *begin;
  slot.value = args[3];
  const uint64_t end = static_cast<uint64_t>(*begin) + slot.value.size();
  if (!slot.value.empty() && end > protocol.server().value_bytes_max) return kErrTooLong;
  return {};
}

std::string_view FillAppend(RespProtocol& protocol, RespArgs, ReplySlot& slot) {
  slot.number = protocol.server().value_bytes_max;
  return {};
}

}  // namespace pakv
