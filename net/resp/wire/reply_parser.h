// RESP replies off a byte stream, for whoever is the client: tests, load generators, fuzzers.
//
// Checked like everything that is read: lengths, nesting and counts have bounds, and a hostile
// length allocates nothing before its bytes have come. Takes RESP2 and RESP3, without RESP3's
// streamed types (`$?`, `*?`), which no Redis sends.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pakv {

struct RespValue {
  enum class Type : uint8_t {
    kNull,       // `_`, `$-1`, `*-1`
    kSimple,     // text
    kError,      // text
    kInteger,    // integer
    kBulk,       // text
    kBoolean,    // integer: 0 or 1
    kDouble,     // number, and text as it came
    kBigNumber,  // text
    kVerbatim,   // text, its format ("txt:") included
    kArray,      // elements
    kMap,        // elements: key, value, key, value …
    kSet,
    kPush,
  };

  Type type = Type::kNull;
  int64_t integer = 0;
  double number = 0;
  std::string text;
  std::vector<RespValue> elements;
  std::vector<RespValue> attributes;  // as a map's elements: what stood before the value

  bool IsError() const { return type == Type::kError; }
};

struct RespReplyLimits {
  size_t bulk_bytes_max = size_t{512} << 20;
  size_t elements_max = size_t{1} << 20;  // of one aggregate
  size_t depth_max = 32;
};

class RespReplyParser {
 public:
  enum class Status : uint8_t { kReply, kPartial, kError };

  explicit RespReplyParser(const RespReplyLimits& limits = {}) : limits_(limits) {}

  // Takes one reply off the front of `input`. On kPartial the bytes left in `input` (a line that
  // is not whole) have to come again at the front of the next call's input, with more behind
  // them. kError is final: error() says why.
  [[nodiscard]] Status Next(std::string_view& input, RespValue& reply);

  // After kPartial with all input taken: an end of stream now is within a reply.
  bool in_reply() const { return in_bulk_ || !open_.empty() || !attributes_.empty(); }
  std::string_view error() const { return error_; }

 private:
  // An aggregate of which elements are missing.
  struct Open {
    RespValue value;
    bool is_attribute = false;
    size_t missing = 0;
    std::vector<RespValue> attributes;  // of its next element
  };

  Status TakeLine(std::string_view line);
  Status TakeBulk(std::string_view& input);
  Status OpenBulk(RespValue::Type type, std::string_view digits);
  Status OpenAggregate(RespValue::Type type, std::string_view digits, size_t factor,
                       bool is_attribute);
  void Close(RespValue value);
  Status Fail(std::string_view text);

  const RespReplyLimits limits_;
  bool done_ = false;        // value_ is a whole reply
  bool in_bulk_ = false;     // value_ is a bulk of which bytes are missing
  size_t bulk_missing_ = 0;  // its CR LF not counted
  RespValue value_;
  std::vector<Open> open_;
  std::vector<RespValue> attributes_;  // of the next reply
  size_t searched_ = 0;                // bytes of an unfinished line that hold no line end
  std::string_view error_;
};

}  // namespace pakv
