#include "net/resp/wire/reply_parser.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <utility>

namespace pakv {
namespace {

using Type = RespValue::Type;

constexpr size_t kLineBytesMax = size_t{64} << 10;

template <typename Number>
bool Parse(std::string_view text, Number& number) {
  if (text.starts_with('+')) text.remove_prefix(1);
  const char* const begin = text.data();
  const char* const end = begin + text.size();
  const auto [stop, error] = std::from_chars(begin, end, number);
  return error == std::errc() && stop == end && !text.empty();
}

}  // namespace

RespReplyParser::Status RespReplyParser::Next(std::string_view& input, RespValue& reply) {
  if (!error_.empty()) return Status::kError;
  for (;;) {
    if (in_bulk_) {
      if (const Status status = TakeBulk(input); status != Status::kReply) return status;
    } else {
      const size_t bytes = input.find('\n', searched_);
      if (bytes == std::string_view::npos || bytes > kLineBytesMax) {
        if (input.size() > kLineBytesMax) return Fail("a line is too long");
        searched_ = input.size();
        return Status::kPartial;
      }
      searched_ = 0;
      const std::string_view line = input.substr(0, bytes);
      input.remove_prefix(bytes + 1);
      if (line.size() < 2 || line.back() != '\r') return Fail("a line without type or CR");
      const Status status = TakeLine(line.substr(0, line.size() - 1));
      if (status == Status::kError) return status;
    }
    if (done_) {
      done_ = false;
      reply = std::move(value_);
      value_ = RespValue();
      return Status::kReply;
    }
  }
}

// kError, or anything else: go on.
RespReplyParser::Status RespReplyParser::TakeLine(std::string_view line) {
  const std::string_view rest = line.substr(1);
  RespValue value;
  value.text = rest;
  switch (line[0]) {
    case '+':
      value.type = Type::kSimple;
      break;
    case '-':
      value.type = Type::kError;
      break;
    case '(':
      value.type = Type::kBigNumber;
      break;
    case ':':
      value.type = Type::kInteger;
      if (!Parse(rest, value.integer)) return Fail("an integer that is none");
      value.text.clear();
      break;
    case ',':
      value.type = Type::kDouble;
      if (!Parse(rest, value.number)) return Fail("a double that is none");
      break;
    case '#':
      value.type = Type::kBoolean;
      if (rest != "t" && rest != "f") return Fail("a boolean that is none");
      value.integer = rest == "t" ? 1 : 0;
      value.text.clear();
      break;
    case '_':
      if (!rest.empty()) return Fail("a null with bytes");
      break;
    case '$':
      return OpenBulk(Type::kBulk, rest);
    case '!':
      return OpenBulk(Type::kError, rest);
    case '=':
      return OpenBulk(Type::kVerbatim, rest);
    case '*':
      return OpenAggregate(Type::kArray, rest, 1, false);
    case '~':
      return OpenAggregate(Type::kSet, rest, 1, false);
    case '>':
      return OpenAggregate(Type::kPush, rest, 1, false);
    case '%':
      return OpenAggregate(Type::kMap, rest, 2, false);
    case '|':
      return OpenAggregate(Type::kMap, rest, 2, true);
    default:
      return Fail("an unknown type");
  }
  Close(std::move(value));
  return Status::kPartial;
}

// kReply: the bulk is whole.
RespReplyParser::Status RespReplyParser::TakeBulk(std::string_view& input) {
  const size_t taken = std::min(bulk_missing_, input.size());
  value_.text.append(input.substr(0, taken));
  input.remove_prefix(taken);
  bulk_missing_ -= taken;
  if (bulk_missing_ > 0 || input.size() < 2) return Status::kPartial;
  if (!input.starts_with("\r\n")) return Fail("a bulk without its CR LF");
  input.remove_prefix(2);
  in_bulk_ = false;
  Close(std::exchange(value_, RespValue()));
  return Status::kReply;
}

RespReplyParser::Status RespReplyParser::OpenBulk(Type type, std::string_view digits) {
  if (digits == "-1" && type == Type::kBulk) {
    Close(RespValue());
    return Status::kPartial;
  }
  size_t bytes;
  if (!Parse(digits, bytes) || bytes > limits_.bulk_bytes_max) return Fail("a bulk's length");
  if (type == Type::kVerbatim && bytes < 4) return Fail("a verbatim string without format");
  value_.type = type;
  bulk_missing_ = bytes;
  in_bulk_ = true;
  return Status::kPartial;
}

RespReplyParser::Status RespReplyParser::OpenAggregate(Type type, std::string_view digits,
                                                       size_t factor, bool is_attribute) {
  if (digits == "-1" && type == Type::kArray) {
    Close(RespValue());
    return Status::kPartial;
  }
  size_t count;
  if (!Parse(digits, count) || count > limits_.elements_max / factor) {
    return Fail("an aggregate's length");
  }
  if (open_.size() == limits_.depth_max) return Fail("aggregates nest too deep");
  if (count == 0 && is_attribute) return Status::kPartial;
  Open open;
  open.value.type = type;
  open.is_attribute = is_attribute;
  open.missing = count * factor;
  if (count == 0) {
    Close(std::move(open.value));
  } else {
    open_.push_back(std::move(open));
  }
  return Status::kPartial;
}

// A value is whole; so may be the aggregates around it.
void RespReplyParser::Close(RespValue value) {
  bool is_attribute = false;
  for (;;) {
    std::vector<RespValue>& waiting = open_.empty() ? attributes_ : open_.back().attributes;
    if (is_attribute) {
      std::move(value.elements.begin(), value.elements.end(), std::back_inserter(waiting));
      return;
    }
    value.attributes = std::exchange(waiting, {});
    if (open_.empty()) {
      value_ = std::move(value);
      done_ = true;
      return;
    }
    Open& parent = open_.back();
    parent.value.elements.push_back(std::move(value));
    if (--parent.missing > 0) return;
    value = std::move(parent.value);
    is_attribute = parent.is_attribute;
    open_.pop_back();
  }
}

RespReplyParser::Status RespReplyParser::Fail(std::string_view text) {
  error_ = text;
  return Status::kError;
}

}  // namespace pakv
