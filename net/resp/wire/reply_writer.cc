#include "net/resp/wire/reply_writer.h"

#include <charconv>
#include <cmath>
#include <cstring>

#include "runtime/base/check.h"

namespace pakv {
namespace {

// A type byte, 20 digits with a minus, CR LF.
constexpr size_t kHeaderBytesMax = 24;
// The shortest text that reads back as the same double has at most 24 characters.
constexpr size_t kDoubleBytesMax = 32;

char* WriteEnd(char* at) {
  at[0] = '\r';
  at[1] = '\n';
  return at + 2;
}

template <typename Number>
char* WriteNumber(char* at, Number value) {
  return std::to_chars(at, at + kHeaderBytesMax, value).ptr;
}

// Room for kHeaderBytesMax at `at`.
char* WriteHeader(char* at, char type, size_t count) {
  at[0] = type;
  if (count < 10) {
    at[1] = static_cast<char>('0' + count);
    return WriteEnd(at + 2);
  }
  return WriteEnd(WriteNumber(at + 1, count));
}

std::string_view FormatDouble(double value, char* buffer) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  return {buffer,
          static_cast<size_t>(std::to_chars(buffer, buffer + kDoubleBytesMax, value).ptr - buffer)};
}

}  // namespace

void RespWriter::Integer(int64_t value) {
  char* const at = output_.Reserve(kHeaderBytesMax);
  at[0] = ':';
  output_.Commit(WriteEnd(WriteNumber(at + 1, value)));
}

void RespWriter::Bulk(std::string_view bytes) {
  char* at = output_.Reserve(kHeaderBytesMax + bytes.size() + 2);
  at = WriteHeader(at, '$', bytes.size());
  if (!bytes.empty()) std::memcpy(at, bytes.data(), bytes.size());
  output_.Commit(WriteEnd(at + bytes.size()));
}

void RespWriter::BulkInteger(int64_t value) {
  char digits[kHeaderBytesMax];
  Bulk({digits, static_cast<size_t>(WriteNumber(digits, value) - digits)});
}

void RespWriter::Double(double value) {
  char buffer[kDoubleBytesMax];
  const std::string_view text = FormatDouble(value, buffer);
  is3() ? Line(',', text) : Bulk(text);
}

void RespWriter::Verbatim(std::string_view format, std::string_view bytes) {
  VerbatimHeader(format, bytes.size());
  output_.Append(bytes);
  output_.Append("\r\n");
}

void RespWriter::VerbatimHeader(std::string_view format, size_t bytes) {
  PAKV_CHECK(format.size() == 3, "RESP3's verbatim strings name their format in three bytes");
  if (!is3()) return BulkHeader(bytes);
  Header('=', bytes + 4);
  output_.Append(format);
  output_.Append(":");
}

void RespWriter::Header(char type, size_t count) {
  output_.Commit(WriteHeader(output_.Reserve(kHeaderBytesMax), type, count));
}

void RespWriter::Line(char type, std::string_view text) {
  char* at = output_.Reserve(text.size() + 3);
  *at++ = type;
  for (const char c : text) *at++ = c == '\r' || c == '\n' ? ' ' : c;
  output_.Commit(WriteEnd(at));
}

}  // namespace pakv
