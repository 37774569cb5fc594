#include "net/admin/http.h"

#include <fmt/format.h>

#include <algorithm>

#include "net/text/words.h"

namespace pakv {
namespace {

constexpr std::string_view kVersionPrefix = "HTTP/";

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// RFC 9110's tchar: what names of methods and headers are made of.
bool IsTokenByte(char c) {
  if (IsDigit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) return true;
  return c != '\0' && std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}
bool IsToken(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), IsTokenByte);
}

bool IsVisible(char c) { return c > ' ' && c < '\x7f'; }
// Of a header's value: no control characters but tabs.
bool IsValueByte(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte == '\t' || (byte >= ' ' && byte != 0x7f);
}

std::string_view Trim(std::string_view text) {
  constexpr std::string_view kBlanks = " \t";
  const size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1);
}

// Whether a comma-separated list has the element.
bool ListHas(std::string_view list, std::string_view lower) {
  while (true) {
    const size_t comma = list.find(',');
    if (IsWord(Trim(list.substr(0, comma)), lower)) return true;
    if (comma == std::string_view::npos) return false;
    list.remove_prefix(comma + 1);
  }
}

std::string_view ReasonOf(HttpStatus status) {
  switch (status) {
    case HttpStatus::kOk:
      return "OK";
    case HttpStatus::kBadRequest:
      return "Bad Request";
    case HttpStatus::kNotFound:
      return "Not Found";
    case HttpStatus::kMethodNotAllowed:
      return "Method Not Allowed";
    case HttpStatus::kRequestTimeout:
      return "Request Timeout";
    case HttpStatus::kContentTooLarge:
      return "Content Too Large";
    case HttpStatus::kUriTooLong:
      return "URI Too Long";
    case HttpStatus::kHeadersTooLarge:
      return "Request Header Fields Too Large";
    case HttpStatus::kServiceUnavailable:
      return "Service Unavailable";
    case HttpStatus::kVersionNotSupported:
      return "HTTP Version Not Supported";
  }
  return "";
}

// The line without its end, which is CR LF, or LF alone.
std::string_view WithoutEnd(std::string_view line) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

}  // namespace

HttpRequestReader::Status HttpRequestReader::Fail(HttpStatus status, std::string_view text) {
  failed_ = true;
  status_ = status;
  error_ = text;
  return Status::kError;
}

HttpRequestReader::Status HttpRequestReader::Next(std::string_view& input, HttpRequest& request) {
  if (failed_) return Status::kError;
  while (true) {
    const size_t newline = input.find('\n', searched_bytes_);
    const bool whole = newline != std::string_view::npos;
    const size_t searched = whole ? newline + 1 : input.size();
    // Of what can become no request the rest is not waited for: TLS, for one, sends no line's end.
    if (line_begin_ == 0 && !MethodGoesOn(input.substr(0, std::min(searched, kHttpLineBytesMax)))) {
      return Fail(HttpStatus::kBadRequest, "a request begins with METHOD TARGET HTTP/1.1");
    }
    if (line_begin_ == 0 && searched > kHttpLineBytesMax) {
      return Fail(HttpStatus::kUriTooLong, "the request's first line is too long");
    }
    if (searched > kHttpHeadBytesMax) {
      return Fail(HttpStatus::kHeadersTooLarge, "the request's headers are too long");
    }
    searched_bytes_ = searched;
    if (!whole) return Status::kPartial;

    const std::string_view line = WithoutEnd(input.substr(line_begin_, newline - line_begin_));
    if (line_begin_ == 0) {
      if (line.empty()) {
        // What some clients send behind a body.
        if (blank_line_seen_) return Fail(HttpStatus::kBadRequest, "blank lines are no request");
        blank_line_seen_ = true;
        input.remove_prefix(searched_bytes_);
        searched_bytes_ = 0;
        method_bytes_ = 0;
        continue;
      }
      if (!TakeRequestLine(line, request)) return Status::kError;
    }
    if (!line.empty()) {
      line_begin_ = searched_bytes_;
      continue;
    }
    // The bytes may have moved since the first line was whole.
    const std::string_view lines = input.substr(0, line_begin_);
    const size_t first_end = lines.find('\n');
    if (!TakeRequestLine(WithoutEnd(lines.substr(0, first_end)), request) ||
        !TakeHeaders(lines.substr(first_end + 1), request)) {
      return Status::kError;
    }
    input.remove_prefix(searched_bytes_);
    searched_bytes_ = 0;
    method_bytes_ = 0;
    line_begin_ = 0;
    blank_line_seen_ = false;
    return Status::kRequest;
  }
}

// Whether `line`, as far as it has come, may begin a request's first line, or be a blank one.
bool HttpRequestReader::MethodGoesOn(std::string_view line) {
  const auto ends_method = [](char c) { return c == ' ' || c == '\r' || c == '\n'; };
  while (method_bytes_ < line.size() && !ends_method(line[method_bytes_])) {
    if (!IsTokenByte(line[method_bytes_])) return false;
    ++method_bytes_;
  }
  return true;
}

bool HttpRequestReader::TakeRequestLine(std::string_view line, HttpRequest& request) {
  const auto bad = [this](std::string_view text) {
    static_cast<void>(Fail(HttpStatus::kBadRequest, text));
    return false;
  };
  const size_t method_end = line.find(' ');
  const size_t target_end = line.rfind(' ');
  if (method_end == target_end) return bad("a request begins with METHOD TARGET HTTP/1.1");
  request.method = line.substr(0, method_end);
  const std::string_view target = line.substr(method_end + 1, target_end - method_end - 1);
  const std::string_view version = line.substr(target_end + 1);
  if (!IsToken(request.method)) return bad("this is no method");
  if (!version.starts_with(kVersionPrefix)) return bad("this is no HTTP version");
  const std::string_view number = version.substr(kVersionPrefix.size());
  if (number.size() != 3 || !IsDigit(number[0]) || number[1] != '.' || !IsDigit(number[2])) {
    return bad("this is no HTTP version");
  }
  if (number[0] != '1') {
    static_cast<void>(Fail(HttpStatus::kVersionNotSupported, "HTTP/1.1 and HTTP/1.0 are served"));
    return false;
  }
  is_http_1_0_ = number[2] == '0';
  if (target.empty() || !std::all_of(target.begin(), target.end(), IsVisible)) {
    return bad("this is no target of a request");
  }
  return TakeTarget(target, request);
}

bool HttpRequestReader::TakeTarget(std::string_view target, HttpRequest& request) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!IsWord(target.substr(0, scheme.size()), scheme)) continue;
    target.remove_prefix(scheme.size());
    const size_t path = target.find_first_of("/?");
    target = path == std::string_view::npos ? "/" : target.substr(path);
    if (target[0] == '?') target = "/";
    break;
  }
  if (target[0] != '/' && target != "*") {
    static_cast<void>(Fail(HttpStatus::kBadRequest, "a target begins with a slash"));
    return false;
  }
  request.path = target.substr(0, target.find('?'));
  return true;
}

bool HttpRequestReader::TakeHeaders(std::string_view lines, HttpRequest& request) {
  const auto bad = [this](std::string_view text) {
    static_cast<void>(Fail(HttpStatus::kBadRequest, text));
    return false;
  };
  int hosts = 0;
  int lengths = 0;
  bool has_body = false;
  bool has_encoding = false;
  bool closes = is_http_1_0_;
  while (!lines.empty()) {
    const size_t end = lines.find('\n');
    const std::string_view line = WithoutEnd(lines.substr(0, end));
    lines.remove_prefix(end + 1);
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) return bad("a header without a colon");
    const std::string_view name = line.substr(0, colon);
    const std::string_view value = Trim(line.substr(colon + 1));
    if (!IsToken(name)) return bad("this is no name of a header");
    if (!std::all_of(value.begin(), value.end(), IsValueByte)) {
      return bad("a control character in a header");
    }
    if (IsWord(name, "host")) {
      ++hosts;
    } else if (IsWord(name, "connection")) {
      closes = closes || ListHas(value, "close");
    } else if (IsWord(name, "content-length")) {
      ++lengths;
      if (value.empty() || !std::all_of(value.begin(), value.end(), IsDigit)) {
        return bad("the content length is no number");
      }
      has_body = has_body || value.find_first_not_of('0') != std::string_view::npos;
    } else if (IsWord(name, "transfer-encoding")) {
      has_encoding = true;
    }
  }
  if (hosts > 1 || (hosts == 0 && !is_http_1_0_)) return bad("a request names one Host");
  if (lengths > 1 || (lengths == 1 && has_encoding)) return bad("the body's length is not clear");
  if (has_body || has_encoding) {
    static_cast<void>(Fail(HttpStatus::kContentTooLarge, "requests have no body here"));
    return false;
  }
  request.keep_alive = !closes;
  return true;
}

void WriteHttpResponse(OutputBuffer& output, const HttpResponse& response) {
  output.Append(
      fmt::format("HTTP/1.1 {} {}\r\n"
                  "Content-Type: {}\r\n"
                  "Content-Length: {}\r\n"
                  "Cache-Control: no-store\r\n"
                  "X-Content-Type-Options: nosniff\r\n",
                  static_cast<uint16_t>(response.status), ReasonOf(response.status),
                  response.content_type, response.body.size()));
  if (!response.allow.empty()) output.Append(fmt::format("Allow: {}\r\n", response.allow));
  if (response.close) output.Append("Connection: close\r\n");
  output.Append("\r\n");
  if (!response.without_body) output.Append(response.body);
}

}  // namespace pakv
