// HTTP/1.1, as much as an admin port needs: requests without a body off a byte stream, and
// responses. Pure: no socket, no clock.
//
// Requests are taken in place, restartable at any byte: the method, the target and the headers are
// views into the caller's bytes, nothing is allocated. A head is bounded; one that is longer, or
// that two readers could understand differently (RFC 9112: folded lines, blanks before a colon,
// control characters, two Hosts, a body of unclear length), is an error, after which the stream is
// not read any further.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "net/session/buffers/output_buffer.h"

namespace pakv {

enum class HttpStatus : uint16_t {
  kOk = 200,
  kBadRequest = 400,
  kNotFound = 404,
  kMethodNotAllowed = 405,
  kRequestTimeout = 408,
  kContentTooLarge = 413,
  kUriTooLong = 414,
  kHeadersTooLarge = 431,
  kServiceUnavailable = 503,
  kVersionNotSupported = 505,
};

// Bytes of a request's first line, and of that and all headers together, line ends included.
inline constexpr size_t kHttpLineBytesMax = 2048;
inline constexpr size_t kHttpHeadBytesMax = 8192;

struct HttpRequest {
  std::string_view method;  // as sent; methods are case-sensitive
  std::string_view path;    // without the query; of an absolute target, what follows the host
  // The client may send further requests. Of HTTP/1.0 one request per connection is served.
  bool keep_alive = false;
};

class HttpRequestReader {
 public:
  enum class Status : uint8_t {
    kRequest,  // a whole request
    kPartial,  // none; what is left in `input` belongs to an unfinished one: see Next
    kError,    // status() is due, then the connection closes. Final.
  };

  HttpRequestReader() = default;
  HttpRequestReader(const HttpRequestReader&) = delete;
  HttpRequestReader& operator=(const HttpRequestReader&) = delete;

  // Takes one request off the front of `input`. On kPartial the bytes left in `input` have to come
  // again at the front of the next call's input with more behind them, moved or not; no byte is
  // searched twice. The views in `request` are valid while the caller keeps the bytes of `input`.
  [[nodiscard]] Status Next(std::string_view& input, HttpRequest& request);

  // After kPartial: how many bytes, those left included, the next call needs to get any further.
  size_t bytes_min() const { return searched_bytes_ + 1; }
  // After kPartial: an end of the stream now is in the middle of a request.
  bool in_request() const { return searched_bytes_ > 0; }

  HttpStatus status() const { return status_; }
  // For people, in the response's body.
  std::string_view error() const { return error_; }

 private:
  Status Fail(HttpStatus status, std::string_view text);
  bool MethodGoesOn(std::string_view line);
  // Each: whether it is as it should be; if not, after Fail.
  bool TakeRequestLine(std::string_view line, HttpRequest& request);
  bool TakeTarget(std::string_view target, HttpRequest& request);
  bool TakeHeaders(std::string_view lines, HttpRequest& request);

  bool failed_ = false;
  bool blank_line_seen_ = false;
  size_t searched_bytes_ = 0;  // of what was left: no head ends there
  size_t method_bytes_ = 0;    // of the first line, at its beginning: part of a method
  size_t line_begin_ = 0;      // of the line that is not whole yet, in what was left
  bool is_http_1_0_ = false;
  HttpStatus status_ = HttpStatus::kOk;
  std::string_view error_;
};

struct HttpResponse {
  HttpStatus status = HttpStatus::kOk;
  std::string_view content_type = "text/plain; charset=utf-8";
  std::string_view allow;  // for kMethodNotAllowed: the methods that are
  std::string_view body;
  bool without_body = false;  // the answer to HEAD: the headers of the body, and not the body
  bool close = false;         // says that the connection is closed behind it
};

void WriteHttpResponse(OutputBuffer& output, const HttpResponse& response);

}  // namespace pakv
