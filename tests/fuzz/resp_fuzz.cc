// The RESP parsers on any bytes. The input's first bytes choose limits and where the stream is
// cut; what comes of it must not depend on the cuts, the bytes held never exceed the request's
// bound, and every view lies in its input (ASan sees the rest: unfinished bytes move to memory of
// exactly their size). Requests found are encoded again and must come back as they were.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "net/resp/wire/codec.h"
#include "net/resp/wire/reply_parser.h"
#include "net/resp/wire/reply_writer.h"
#include "runtime/base/check.h"
#include "runtime/base/prng.h"
#include "tests/fuzz/pieces.h"

namespace pakv {
namespace {

struct Outcome {
  std::vector<std::vector<std::string>> requests;  // a refusal stands as its text alone
  std::string end;

  bool operator==(const Outcome&) const = default;
};

Outcome ParseRequests(std::string_view stream, const RespLimits& limits, size_t piece_bytes_max,
                      Prng& prng) {
  RespRequestParser parser(limits);
  Outcome outcome;
  Pieces pieces(stream, piece_bytes_max, prng);
  std::vector<std::string> large;  // the request whose bulk comes in pieces
  size_t large_left = 0;
  while (!pieces.at_end()) {
    std::string_view input = pieces.Next();
    for (;;) {
      if (large_left > 0) {
        const std::string_view taken = parser.TakePiece(input, 1 + prng.Below(9));
        large.back().append(taken);
        large_left -= taken.size();
        if (large_left > 0 && input.empty()) break;
        continue;
      }
      const RespRequestParser::Status status = parser.Next(input);
      if (status == RespRequestParser::Status::kPartial) break;
      if (status == RespRequestParser::Status::kLarge) {
        PAKV_CHECK(parser.large_bytes() > limits.whole_bulk_bytes_max);
        large.assign(parser.args().begin(), parser.args().end());
        large.emplace_back();
        large_left = parser.large_bytes();
        parser.TakeLarge(input);
        continue;
      }
      if (status == RespRequestParser::Status::kLargeEnd) {
        large.insert(large.end(), parser.args().begin(), parser.args().end());
        outcome.requests.push_back(std::move(large));
        continue;
      }
      if (status == RespRequestParser::Status::kRequest) {
        PAKV_CHECK(!parser.args().empty());
        PAKV_CHECK(parser.args().size() <= std::max(limits.args_max, kRespInlineBytesMax));
        std::vector<std::string> request;
        for (const std::string_view arg : parser.args()) {
          PAKV_CHECK(arg.size() <= limits.bulk_bytes_max);
          request.emplace_back(arg);
        }
        outcome.requests.push_back(std::move(request));
        continue;
      }
      PAKV_CHECK(parser.error().starts_with("ERR "));
      PAKV_CHECK(parser.error().find_first_of("\r\n") == std::string_view::npos);
      if (status == RespRequestParser::Status::kError) {
        outcome.end = parser.error();
        return outcome;
      }
      outcome.requests.push_back({std::string(parser.error())});
    }
    PAKV_CHECK(parser.frame_bytes_min() > input.size(), "else it would have got further");
    PAKV_CHECK(input.size() <= std::max(limits.request_bytes_max, kRespInlineBytesMax) + 64);
    pieces.Keep(input);
  }
  outcome.end = parser.in_request() ? "within" : "between";
  return outcome;
}

std::string ParseReplies(std::string_view stream, size_t piece_bytes_max, Prng& prng) {
  RespReplyLimits limits;
  limits.depth_max = 8;
  RespReplyParser parser(limits);
  std::string events;
  const auto describe = [&](const auto& self, const RespValue& value) -> void {
    events += static_cast<char>('a' + static_cast<int>(value.type));
    events += std::to_string(value.integer) + value.text;
    for (const RespValue& element : value.attributes) self(self, element);
    for (const RespValue& element : value.elements) self(self, element);
    events += ';';
  };
  Pieces pieces(stream, piece_bytes_max, prng);
  while (!pieces.at_end()) {
    std::string_view input = pieces.Next();
    RespReplyParser::Status status;
    RespValue reply;
    while ((status = parser.Next(input, reply)) == RespReplyParser::Status::kReply) {
      describe(describe, reply);
    }
    if (status == RespReplyParser::Status::kError) return events + std::string(parser.error());
    pieces.Keep(input);
  }
  return events + (parser.in_reply() || pieces.kept_bytes() > 0 ? "within" : "between");
}

void CheckOnce(const uint8_t* data, size_t size) {
  if (size < 4) return;
  RespLimits limits;
  if ((data[0] & 1) != 0) {
    limits.args_max = 1 + data[1] % 16;
    limits.bulk_bytes_max = data[1];
    if ((data[0] & 2) != 0) limits.whole_bulk_bytes_max = data[2] / 2;
    limits.request_bytes_max = 16 + data[2] * size_t{4};
    limits.skip_bytes_max = data[1] + data[2] * size_t{16};
  }
  Prng prng(data[3] | data[0] << 8);
  const std::string_view stream(reinterpret_cast<const char*>(data) + 4, size - 4);

  const Outcome whole = ParseRequests(stream, limits, SIZE_MAX, prng);
  PAKV_CHECK(ParseRequests(stream, limits, 1 + data[3] % 32, prng) == whole);
  PAKV_CHECK(ParseRequests(stream, limits, 1, prng) == whole);
  const std::string replies = ParseReplies(stream, SIZE_MAX, prng);
  PAKV_CHECK(ParseReplies(stream, 1 + data[3] % 32, prng) == replies);

  OutputBuffer output;
  RespWriter writer(output, RespVersion::kResp2);
  Outcome expected;
  for (const std::vector<std::string>& request : whole.requests) {
    writer.Array(request.size());
    for (const std::string& arg : request) writer.Bulk(arg);
  }
  expected = {whole.requests, "between"};
  PAKV_CHECK(ParseRequests(output.view(), RespLimits{}, 1 + data[3], prng) == expected);
}

}  // namespace
}  // namespace pakv

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  pakv::CheckOnce(data, size);
  return 0;
}
