// The admin port's reader of HTTP requests on any bytes. The first byte chooses where the stream is
// cut; what is read must not depend on that, what is held never exceeds the bound of a head, and
// every view lies in its input (ASan sees it: unfinished bytes move to memory of exactly their
// size). A request that was read is read again when it is written down plainly.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/admin/http.h"
#include "runtime/base/check.h"
#include "runtime/base/prng.h"
#include "tests/fuzz/pieces.h"

namespace pakv {
namespace {

struct Request {
  std::string method;
  std::string path;
  bool keep_alive = false;

  bool operator==(const Request&) const = default;
};

struct Outcome {
  std::vector<Request> requests;
  std::string end;

  bool operator==(const Outcome&) const = default;
};

Outcome ReadAll(std::string_view stream, size_t piece_bytes_max, Prng& prng) {
  HttpRequestReader reader;
  Outcome outcome;
  Pieces pieces(stream, piece_bytes_max, prng);
  while (!pieces.at_end()) {
    std::string_view input = pieces.Next();
    for (;;) {
      HttpRequest request;
      const HttpRequestReader::Status status = reader.Next(input, request);
      if (status == HttpRequestReader::Status::kPartial) break;
      if (status == HttpRequestReader::Status::kError) {
        PAKV_CHECK(!reader.error().empty());
        PAKV_CHECK(reader.status() != HttpStatus::kOk);
        outcome.end = reader.error();
        return outcome;
      }
      PAKV_CHECK(!request.method.empty());
      PAKV_CHECK(request.path == "*" || request.path.starts_with('/'));
      PAKV_CHECK(request.path.find_first_of(" ?\r\n") == std::string_view::npos);
      outcome.requests.push_back(
          {std::string(request.method), std::string(request.path), request.keep_alive});
    }
    PAKV_CHECK(reader.bytes_min() > input.size(), "else it would have got further");
    PAKV_CHECK(input.size() <= kHttpHeadBytesMax);
    pieces.Keep(input);
  }
  outcome.end = reader.in_request() ? "within" : "between";
  return outcome;
}

void CheckOnce(const uint8_t* data, size_t size) {
  if (size < 1) return;
  Prng prng(data[0]);
  const std::string_view stream(reinterpret_cast<const char*>(data) + 1, size - 1);
  const Outcome whole = ReadAll(stream, SIZE_MAX, prng);
  PAKV_CHECK(ReadAll(stream, 1 + data[0] % 32, prng) == whole);
  PAKV_CHECK(ReadAll(stream, 1, prng) == whole);

  std::string plain;
  for (const Request& request : whole.requests) {
    plain += request.method + " " + request.path + " HTTP/1.1\r\nHost: a\r\n";
    if (!request.keep_alive) plain += "Connection: close\r\n";
    plain += "\r\n";
  }
  PAKV_CHECK(ReadAll(plain, 1 + data[0], prng) == (Outcome{whole.requests, "between"}));
}

}  // namespace
}  // namespace pakv

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  pakv::CheckOnce(data, size);
  return 0;
}
