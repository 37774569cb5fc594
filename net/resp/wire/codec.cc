// Long because: the ways through one request, and those out of it, share one state.
#include "net/resp/wire/codec.h"

#include <algorithm>
#include <cstring>

#include "runtime/base/check.h"

namespace pakv {
namespace {

constexpr size_t kArgsInitial = 8;
// What is kept from one request to the next; more is given back.
constexpr size_t kArgsKept = 1024;
constexpr size_t kUnquotedBytesKept = 4096;
// Digits that fit an int64_t whatever they are.
constexpr ptrdiff_t kSafeDigits = 18;

bool EqualsIgnoringCase(std::string_view a, std::string_view lower) {
  return a.size() == lower.size() &&
         std::equal(a.begin(), a.end(), lower.begin(), [](char x, char y) {
           return (x >= 'A' && x <= 'Z' ? static_cast<char>(x + ('a' - 'A')) : x) == y;
         });
}

// isspace of the C locale.
bool IsSpace(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// As in sdssplitargs, not the same as IsSpace.
bool EndsInlineArg(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }
bool IsQuote(char c) { return c == '"' || c == '\''; }

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Redis' string2ll: an optional minus and digits without leading zeros, nothing else.
bool ParseInt64(std::string_view text, int64_t& value) {
  if (text == "0") {
    value = 0;
    return true;
  }
  const bool negative = !text.empty() && text[0] == '-';
  if (negative) text.remove_prefix(1);
  if (text.empty() || text[0] < '1' || text[0] > '9') return false;
  const uint64_t limit = negative ? uint64_t{1} << 63 : (uint64_t{1} << 63) - 1;
  uint64_t magnitude = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
    const uint64_t digit = static_cast<uint64_t>(c - '0');
    if (magnitude > (limit - digit) / 10) return false;
    magnitude = magnitude * 10 + digit;
  }
  value = static_cast<int64_t>(negative ? 0 - magnitude : magnitude);
  return true;
}

}  // namespace

bool IsRespCrossProtocolWord(std::string_view word) {
  return EqualsIgnoringCase(word, "post") || EqualsIgnoringCase(word, "host:");
}

RespRequestParser::RespRequestParser(const RespLimits& limits) : limits_(limits) {
  PAKV_CHECK(limits.args_max >= 1);
  PAKV_CHECK(limits.skip_bytes_max >= limits.bulk_bytes_max);
  PAKV_CHECK(limits.skip_bytes_max <= size_t{1} << 62, "sums of lengths stay far from overflow");
  PAKV_CHECK(limits.request_bytes_max <= size_t{1} << 62);
  set_unauthenticated(false);
}

void RespRequestParser::set_unauthenticated(bool unauthenticated) {
  unauthenticated_ = unauthenticated;
  args_limit_ = limits_.args_max;
  bulk_bytes_limit_ = std::min(limits_.bulk_bytes_max, limits_.whole_bulk_bytes_max);
  if (unauthenticated) {
    args_limit_ = std::min(args_limit_, kRespUnauthenticatedArgsMax);
    bulk_bytes_limit_ = std::min(bulk_bytes_limit_, kRespUnauthenticatedBulkBytesMax);
  }
}

// Reads the digits at `at` and the CR LF behind them; `at` moves only when done.
inline RespRequestParser::Count RespRequestParser::ReadCount(const char*& at, const char* end,
                                                             int64_t& value) {
  const char* const stop = end - at > kSafeDigits ? at + kSafeDigits : end;
  const char* digit = at;
  uint64_t number = 0;
  while (digit < stop && static_cast<unsigned char>(*digit - '0') <= 9) {
    number = number * 10 + static_cast<unsigned char>(*digit - '0');
    ++digit;
  }
  const ptrdiff_t digits = digit - at;
  if (digits == 0 || (digits > 1 && *at == '0') || end - digit < 2 || digit[0] != '\r' ||
      digit[1] != '\n') [[unlikely]] {
    return ReadCountSlowly(at, end, value);
  }
  value = static_cast<int64_t>(number);
  at = digit + 2;
  return Count::kDone;
}

RespRequestParser::Count RespRequestParser::ReadCountSlowly(const char*& at, const char* end,
                                                            int64_t& value) {
  const size_t available = static_cast<size_t>(end - at);
  const std::string_view line(at, std::min(available, kRespCountLineBytesMax + 1));
  const size_t length = line.find('\r');
  if (length == std::string_view::npos) {
    return line.size() > kRespCountLineBytesMax ? Count::kTooLong : Count::kPartial;
  }
  if (length + 1 == available) return Count::kPartial;
  if (at[length + 1] != '\n' || !ParseInt64(line.substr(0, length), value)) return Count::kInvalid;
  at += length + 2;
  return Count::kDone;
}

RespRequestParser::Status RespRequestParser::Next(std::string_view& input) {
  for (;;) {
    if (phase_ != Phase::kStart) [[unlikely]] {
      const Status status = Resume(input);
      if (large_taken_ && phase_ == Phase::kStart) {
        large_taken_ = false;
        return status == Status::kRequest ? Status::kLargeEnd : status;
      }
      if (status != Status::kRequest || arg_count_ > 0) return status;
    }
    // At the start of a request; blank lines and empty arrays pass.
    arg_count_ = 0;
    args_in_parser_ = false;
    const char* at = input.data();
    const char* const end = at + input.size();
    if (at == end) {
      frame_bytes_min_ = 1;
      ReleaseLarge();
      return Status::kPartial;
    }
    if (*at != '*') [[unlikely]] {
      phase_ = Phase::kInline;
      offset_ = 0;
      continue;
    }
    ++at;
    int64_t count;
    const Count outcome = ReadCount(at, end, count);
    if (outcome != Count::kDone) [[unlikely]] {
      if (outcome != Count::kPartial) return FailCount(outcome, true);
      frame_bytes_min_ = input.size() + 1;  // the few bytes of this line are read again
      return Status::kPartial;
    }
    if (count <= 0) [[unlikely]] {
      input.remove_prefix(static_cast<size_t>(at - input.data()));
      continue;
    }
    if (static_cast<uint64_t>(count) > args_limit_) [[unlikely]] {
      return StartSkipArgs(input, at, static_cast<size_t>(count));
    }
    args_expected_ = static_cast<size_t>(count);
    return ParseBulks(input, at, false);
  }
}

// Goes on within a request. kRequest without arguments: that was a blank line.
RespRequestParser::Status RespRequestParser::Resume(std::string_view& input) {
  switch (phase_) {
    case Phase::kInline:
      return ParseInline(input);
    case Phase::kBulkLength:
    case Phase::kBulk:
      if (input.size() < frame_bytes_min_) return Status::kPartial;
      if (const char* const base = input.data(); base != base_) Rebase(base);
      return ParseBulks(input, base_ + offset_, phase_ == Phase::kBulk);
    case Phase::kSkipLength:
    case Phase::kSkipBulk:
    case Phase::kSkipTerminator:
      return Skip(input);
    case Phase::kLargeBulk:
      return EndLarge(input);
    case Phase::kStart:
    case Phase::kFailed:
      break;
  }
  return Status::kError;
}

// Reads the arguments that are missing; `at` stands before a `$`, or behind its line when
// `within` the bulk of bulk_bytes_.
inline RespRequestParser::Status RespRequestParser::ParseBulks(std::string_view& input,
                                                               const char* at, bool within) {
  const char* const end = input.data() + input.size();
  size_t length = bulk_bytes_;
  do {
    if (!within) {
      const char* line = at;
      if (line == end) return Partial(input, at, Phase::kBulkLength, 1);
      if (*line != '$') [[unlikely]]
        return FailByte(*line);
      ++line;
      int64_t count;
      const Count outcome = ReadCount(line, end, count);
      if (outcome != Count::kDone) [[unlikely]] {
        if (outcome != Count::kPartial) return FailCount(outcome, false);
        return Partial(input, at, Phase::kBulkLength, static_cast<size_t>(end - at) + 1);
      }
      length = static_cast<size_t>(count);
      const size_t held = static_cast<size_t>(line - input.data());
      if (count < 0 || length > bulk_bytes_limit_ || held + length + 2 > limits_.request_bytes_max)
          [[unlikely]] {
        if (count < 0) return FailCount(Count::kInvalid, false);
        return StartSkip(input, line, length);
      }
      at = line;
    }
    within = false;
    if (static_cast<size_t>(end - at) < length + 2) [[unlikely]] {
      bulk_bytes_ = length;
      return Partial(input, at, Phase::kBulk, length + 2);
    }
    if (at[length] != '\r' || at[length + 1] != '\n') [[unlikely]] {
      return Fail("ERR Protocol error: expected CRLF after bulk");
    }
    AddArg(std::string_view(at, length));
    at += length + 2;
  } while (arg_count_ < args_expected_);
  return Done(input, at);
}

inline RespRequestParser::Status RespRequestParser::Done(std::string_view& input, const char* at) {
  input.remove_prefix(static_cast<size_t>(at - input.data()));
  phase_ = Phase::kStart;
  return Status::kRequest;
}

// The request goes on at `at` once `more` bytes stand there.
RespRequestParser::Status RespRequestParser::Partial(std::string_view& input, const char* at,
                                                     Phase phase, size_t more) {
  phase_ = phase;
  base_ = input.data();
  offset_ = static_cast<size_t>(at - base_);
  frame_bytes_min_ = offset_ + more;
  return Status::kPartial;
}

// The caller moved the unfinished request: the arguments found so far point to its new place.
void RespRequestParser::Rebase(const char* base) {
  const uintptr_t from = reinterpret_cast<uintptr_t>(base_);
  for (size_t index = 0; index < arg_count_; ++index) {
    std::string_view& arg = args_[index];
    arg = std::string_view(base + (reinterpret_cast<uintptr_t>(arg.data()) - from), arg.size());
  }
  base_ = base;
}

RespRequestParser::Status RespRequestParser::StartSkip(std::string_view& input, const char* at,
                                                       size_t bulk_bytes) {
  if (bulk_bytes > limits_.whole_bulk_bytes_max && bulk_bytes <= limits_.bulk_bytes_max &&
      !unauthenticated_ && !large_taken_) {
    bulk_bytes_ = bulk_bytes;
    base_ = input.data();
    offset_ = static_cast<size_t>(at - base_);
    phase_ = Phase::kLargeBulk;
    return Status::kLarge;
  }
  if (bulk_bytes > limits_.skip_bytes_max) {
    return Fail("ERR Protocol error: invalid bulk length");
  }
  if (unauthenticated_ && bulk_bytes > bulk_bytes_limit_) {
    return Fail("ERR Protocol error: unauthenticated bulk length");
  }
  if (bulk_bytes > limits_.bulk_bytes_max) {
    error_ = "ERR string of " + std::to_string(bulk_bytes) +
             " bytes exceeds maximum allowed size (max-value, " +
             std::to_string(limits_.bulk_bytes_max) + " bytes)";
  } else if (bulk_bytes > limits_.whole_bulk_bytes_max) {
    error_ = "ERR a request may have one argument of more than " +
             std::to_string(limits_.whole_bulk_bytes_max) + " bytes";
  } else {
    error_ = "ERR request exceeds maximum allowed size (" +
             std::to_string(limits_.request_bytes_max) + " bytes)";
  }
  input.remove_prefix(static_cast<size_t>(at - input.data()));
  bulk_bytes_ = bulk_bytes;
  phase_ = Phase::kSkipBulk;
  return Skip(input);
}

// A request of `args` arguments, the first of which stands at `at`.
RespRequestParser::Status RespRequestParser::StartSkipArgs(std::string_view& input, const char* at,
                                                           size_t args) {
  if (args > kRespProtocolArgsMax) return FailCount(Count::kInvalid, true);
  if (unauthenticated_) return Fail("ERR Protocol error: unauthenticated multibulk length");
  error_ = "ERR request of " + std::to_string(args) +
           " arguments exceeds maximum allowed number (" + std::to_string(limits_.args_max) + ")";
  input.remove_prefix(static_cast<size_t>(at - input.data()));
  args_expected_ = args;
  phase_ = Phase::kSkipLength;
  return Skip(input);
}

// ---- Large bulks ----

void RespRequestParser::TakeLarge(std::string_view& input) {
  input.remove_prefix(offset_);
  args_expected_ -= arg_count_ + 1;
  arg_count_ = 0;
  large_taken_ = true;
  frame_bytes_min_ = 1;
}

std::string_view RespRequestParser::TakePiece(std::string_view& input, size_t bytes_max) {
  const std::string_view piece = input.substr(0, std::min(bytes_max, bulk_bytes_));
  input.remove_prefix(piece.size());
  bulk_bytes_ -= piece.size();
  return piece;
}

void RespRequestParser::TakeElsewhere(size_t bytes) {
  PAKV_CHECK(phase_ == Phase::kLargeBulk && bytes <= bulk_bytes_);
  bulk_bytes_ -= bytes;
}

void RespRequestParser::SkipLarge(std::string_view& input, std::string error) {
  input.remove_prefix(offset_);
  error_ = std::move(error);
  phase_ = Phase::kSkipBulk;
}

// Behind the bulk's last byte: its CR LF, and then the arguments that come after it.
RespRequestParser::Status RespRequestParser::EndLarge(std::string_view& input) {
  PAKV_CHECK(bulk_bytes_ == 0, "the pieces come first");
  frame_bytes_min_ = 2;
  if (input.size() < 2) return Status::kPartial;
  if (!input.starts_with("\r\n")) return Fail("ERR Protocol error: expected CRLF after bulk");
  input.remove_prefix(2);
  if (args_expected_ == 0) return Done(input, input.data());
  return ParseBulks(input, input.data(), false);
}

// Throws away the rest of an over-limit request; arg_count_ goes on counting its arguments.
RespRequestParser::Status RespRequestParser::Skip(std::string_view& input) {
  for (;;) {
    frame_bytes_min_ = 1;
    if (phase_ == Phase::kSkipBulk) {
      const size_t skipped = std::min(bulk_bytes_, input.size());
      input.remove_prefix(skipped);
      bulk_bytes_ -= skipped;
      if (bulk_bytes_ > 0) return Status::kPartial;
      phase_ = Phase::kSkipTerminator;
    }
    if (phase_ == Phase::kSkipTerminator) {
      frame_bytes_min_ = 2;
      if (input.size() < 2) return Status::kPartial;
      if (!input.starts_with("\r\n")) return Fail("ERR Protocol error: expected CRLF after bulk");
      input.remove_prefix(2);
      if (++arg_count_ == args_expected_) {
        arg_count_ = 0;
        phase_ = Phase::kStart;
        return Status::kTooLarge;
      }
      phase_ = Phase::kSkipLength;
      frame_bytes_min_ = 1;
    }
    if (input.empty()) return Status::kPartial;
    if (input[0] != '$') return FailByte(input[0]);
    const char* at = input.data() + 1;
    int64_t count;
    const Count outcome = ReadCount(at, input.data() + input.size(), count);
    if (outcome == Count::kPartial) {
      frame_bytes_min_ = input.size() + 1;
      return Status::kPartial;
    }
    if (outcome != Count::kDone) return FailCount(outcome, false);
    if (count < 0 || static_cast<uint64_t>(count) > limits_.skip_bytes_max) {
      return FailCount(Count::kInvalid, false);
    }
    input.remove_prefix(static_cast<size_t>(at - input.data()));
    bulk_bytes_ = static_cast<size_t>(count);
    phase_ = Phase::kSkipBulk;
  }
}

// kRequest with no arguments for a blank line.
RespRequestParser::Status RespRequestParser::ParseInline(std::string_view& input) {
  const size_t searched = std::min(input.size(), kRespInlineBytesMax + 1);
  PAKV_CHECK(searched >= offset_, "the bytes left over come again");
  const void* const newline = std::memchr(input.data() + offset_, '\n', searched - offset_);
  if (newline == nullptr) {
    if (searched > kRespInlineBytesMax) return Fail("ERR Protocol error: too big inline request");
    return Partial(input, input.data() + searched, Phase::kInline, 1);
  }
  const size_t length = static_cast<size_t>(static_cast<const char*>(newline) - input.data());
  std::string_view line = input.substr(0, length);
  input.remove_prefix(length + 1);
  phase_ = Phase::kStart;
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (!SplitInline(line)) return Fail("ERR Protocol error: unbalanced quotes in request");
  if (arg_count_ == 0) return Status::kRequest;
  if (IsRespCrossProtocolWord(args_[0])) {
    return Fail(kRespCrossProtocolError);
  }
  for (const std::string_view arg : args()) {
    if (arg.size() <= limits_.bulk_bytes_max) continue;
    error_ = "ERR string of " + std::to_string(arg.size()) +
             " bytes exceeds maximum allowed size (max-value, " +
             std::to_string(limits_.bulk_bytes_max) + " bytes)";
    arg_count_ = 0;
    return Status::kTooLarge;
  }
  return Status::kRequest;
}

// Redis' sdssplitargs, but that a zero byte is a byte like others. False: unbalanced quotes.
bool RespRequestParser::SplitInline(std::string_view line) {
  arg_count_ = 0;
  unquoted_.clear();
  const size_t size = line.size();
  size_t at = 0;
  for (;;) {
    while (at < size && IsSpace(line[at])) ++at;
    if (at == size) return true;
    const size_t begin = at;
    while (at < size && !EndsInlineArg(line[at]) && !IsQuote(line[at])) ++at;
    if (at == size || !IsQuote(line[at])) {
      AddArg(line.substr(begin, at - begin));
      continue;
    }
    // An argument with quotes: what it decodes to is never longer than the line, so that the
    // storage reserved here does not move under the views into it.
    if (unquoted_.empty()) unquoted_.reserve(size);
    const size_t decoded_begin = unquoted_.size();
    unquoted_.append(line, begin, at - begin);
    char quote = '\0';
    for (;; ++at) {
      if (at == size) {
        if (quote != '\0') return false;
        break;
      }
      const char c = line[at];
      const size_t rest = size - at;
      if (quote == '"' && c == '\\' && rest >= 4 && line[at + 1] == 'x' &&
          HexDigit(line[at + 2]) >= 0 && HexDigit(line[at + 3]) >= 0) {
        unquoted_ += static_cast<char>(HexDigit(line[at + 2]) * 16 + HexDigit(line[at + 3]));
        at += 3;
      } else if (quote == '"' && c == '\\' && rest >= 2) {
        constexpr std::string_view kEscapes = "nrtba";
        constexpr std::string_view kEscaped = "\n\r\t\b\a";
        const char escape = line[++at];
        const size_t index = kEscapes.find(escape);
        unquoted_ += index == std::string_view::npos ? escape : kEscaped[index];
      } else if (quote == '\'' && c == '\\' && rest >= 2 && line[at + 1] == '\'') {
        unquoted_ += '\'';
        ++at;
      } else if (quote != '\0' && c == quote) {
        // A closing quote ends the argument.
        if (rest >= 2 && !IsSpace(line[at + 1])) return false;
        ++at;
        break;
      } else if (quote == '\0' && IsQuote(c)) {
        quote = c;
      } else if (quote == '\0' && EndsInlineArg(c)) {
        break;
      } else {
        unquoted_ += c;
      }
    }
    args_in_parser_ = true;
    AddArg(std::string_view(unquoted_).substr(decoded_begin));
  }
}

RespRequestParser::Status RespRequestParser::Fail(std::string_view text) {
  error_ = text;
  arg_count_ = 0;
  phase_ = Phase::kFailed;
  return Status::kError;
}

RespRequestParser::Status RespRequestParser::FailCount(Count count, bool multibulk) {
  if (count == Count::kTooLong) {
    return Fail(multibulk ? "ERR Protocol error: too big mbulk count string"
                          : "ERR Protocol error: too big bulk count string");
  }
  return Fail(multibulk ? "ERR Protocol error: invalid multibulk length"
                        : "ERR Protocol error: invalid bulk length");
}

RespRequestParser::Status RespRequestParser::FailByte(char got) {
  std::string text = "ERR Protocol error: expected '$', got '";
  if (got >= ' ' && got <= '~') {
    text += got;
  } else {
    constexpr char kHex[] = "0123456789abcdef";
    text += "\\x";
    text += kHex[static_cast<unsigned char>(got) >> 4];
    text += kHex[static_cast<unsigned char>(got) & 15];
  }
  text += '\'';
  return Fail(text);
}

void RespRequestParser::GrowArgs() {
  args_.resize(args_.empty() ? kArgsInitial : args_.size() * 2);
}

// Called between requests, when no view is in use any more.
void RespRequestParser::ReleaseLarge() {
  if (args_.size() > kArgsKept) [[unlikely]] {
    args_ = std::vector<std::string_view>();
  }
  if (unquoted_.capacity() > kUnquotedBytesKept) [[unlikely]] {
    unquoted_ = std::string();
  }
}

}  // namespace pakv
