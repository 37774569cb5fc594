// RESP replies: encoders for both versions that append to an OutputBuffer.
//
// One call writes one element; an aggregate's header is followed by calls for its elements. What
// RESP2 does not have is written as Redis writes it there: a map is an array of twice the length,
// a set or a push an array, a double or a big number a bulk, a boolean 1 or 0, the null `$-1`.
// The writer holds no state beside the version, so it is made where it is needed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "net/session/buffers/output_buffer.h"

namespace pakv {

enum class RespVersion : uint8_t { kResp2 = 2, kResp3 = 3 };

class RespWriter {
 public:
  RespWriter(OutputBuffer& output, RespVersion version) : output_(output), version_(version) {}

  RespVersion version() const { return version_; }
  OutputBuffer& output() const { return output_; }

  // `+OK`
  void Ok() { output_.Append("+OK\r\n"); }
  // A simple string; line ends within are written as blanks.
  void Simple(std::string_view text) { Line('+', text); }
  // An error; `text` begins with its prefix ("ERR …"), without `-`. As in Redis, line ends behind
  // it are cut off, others become blanks.
  void Error(std::string_view text) {
    Line('-', text.substr(0, text.find_last_not_of("\r\n") + 1));
  }
  void Integer(int64_t value);
  void Bulk(std::string_view bytes);
  // What stands before a bulk of `bytes`; the caller adds these and CR LF.
  void BulkHeader(size_t bytes) { Header('$', bytes); }
  // A bulk that holds a number's decimal digits.
  void BulkInteger(int64_t value);
  // The null of a missing value.
  void Null() { output_.Append(version_ == RespVersion::kResp3 ? "_\r\n" : "$-1\r\n"); }
  // The null in place of an array (an EXEC that a WATCH stopped).
  void NullArray() { output_.Append(version_ == RespVersion::kResp3 ? "_\r\n" : "*-1\r\n"); }
  void Double(double value);
  // `format`: three bytes, such as "txt"; RESP2: a bulk without it.
  void Verbatim(std::string_view format, std::string_view bytes);
  // What stands before one of `bytes`; the caller adds these and CR LF.
  void VerbatimHeader(std::string_view format, size_t bytes);

  void Array(size_t elements) { Header('*', elements); }
  // `pairs` keys and values follow.
  void Map(size_t pairs) { is3() ? Header('%', pairs) : Header('*', pairs * 2); }
  void Set(size_t elements) { Header(is3() ? '~' : '*', elements); }
  void Push(size_t elements) { Header(is3() ? '>' : '*', elements); }

 private:
  bool is3() const { return version_ == RespVersion::kResp3; }
  void Header(char type, size_t count);
  void Line(char type, std::string_view text);

  OutputBuffer& output_;
  RespVersion version_;
};

}  // namespace pakv
