// The admin port's HTTP: what is a request, what is none, and that it does not matter where the
// stream is cut.
#include "net/admin/http.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/prng.h"

namespace pakv {
namespace {

// "GET /path keep" or "GET /path close" for each request, then the status that ends the stream.
// Feeds as a session does: what was left, moved, with more behind it, as soon as that is enough.
std::vector<std::string> Read(const std::vector<std::string_view>& pieces) {
  HttpRequestReader reader;
  std::vector<std::string> seen;
  std::string held;
  for (const std::string_view piece : pieces) {
    held.append(piece);
    if (held.size() < reader.bytes_min()) continue;
    const std::string moved = held;
    std::string_view input = moved;
    while (true) {
      HttpRequest request;
      const HttpRequestReader::Status status = reader.Next(input, request);
      if (status == HttpRequestReader::Status::kPartial) break;
      if (status == HttpRequestReader::Status::kError) {
        seen.push_back(std::to_string(static_cast<int>(reader.status())));
        EXPECT_FALSE(reader.error().empty());
        EXPECT_EQ(reader.Next(input, request), HttpRequestReader::Status::kError);
        return seen;
      }
      seen.push_back(std::string(request.method) + " " + std::string(request.path) +
                     (request.keep_alive ? " keep" : " close"));
    }
    EXPECT_EQ(reader.in_request(), !input.empty());
    held = input;
  }
  return seen;
}

TEST(HttpTest, WhatIsARequest) {
  const struct {
    std::string bytes;
    std::vector<std::string> seen;
  } kCases[] = {
      {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", {"GET / keep"}},
      {"GET /metrics?x=1&y HTTP/1.1\r\nHost: a\r\n\r\n", {"GET /metrics keep"}},
      {"HEAD /readyz HTTP/1.1\r\nhOsT:a\r\nConnection: close\r\n\r\n", {"HEAD /readyz close"}},
      {"GET / HTTP/1.1\r\nHost: a\r\nConnection: te , Close\t\r\n\r\n", {"GET / close"}},
      {"GET / HTTP/1.1\r\nHost: a\r\nConnection: closed\r\n\r\n", {"GET / keep"}},
      {"GET / HTTP/1.0\r\n\r\n", {"GET / close"}},
      {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", {"GET / close"}},
      {"GET / HTTP/1.9\r\nHost: a\r\n\r\n", {"GET / keep"}},
      {"GET / HTTP/1.1\nHost: a\n\n", {"GET / keep"}},
      {"GET http://a:1/healthz?q HTTP/1.1\r\nHost: a\r\n\r\n", {"GET /healthz keep"}},
      {"GET HTTPS://a HTTP/1.1\r\nHost: a\r\n\r\n", {"GET / keep"}},
      {"GET http://a?q HTTP/1.1\r\nHost: a\r\n\r\n", {"GET / keep"}},
      {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", {"OPTIONS * keep"}},
      {"X-Y!z /a HTTP/1.1\r\nHost: a\r\n\r\n", {"X-Y!z /a keep"}},
      {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", {"POST / keep"}},
      {"GET / HTTP/1.1\r\nHost:\r\nEmpty:\r\nBytes: \xc3\xa4\t\xff\r\n\r\n", {"GET / keep"}},
      {"\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n",
       {"GET /a keep", "GET /b keep"}},
  };
  for (const auto& each : kCases) EXPECT_EQ(Read({each.bytes}), each.seen) << each.bytes;
}

TEST(HttpTest, WhatIsNone) {
  const std::string host = "Host: a\r\n";
  const struct {
    std::string bytes;
    std::string status;
  } kCases[] = {
      {"\r\n\r\n", "400"},
      {"GET\r\n", "400"},
      {"GET /\r\n", "400"},
      {"GET / HTTP/1.1 \r\n", "400"},
      {"GET  / HTTP/1.1\r\n", "400"},
      {" GET / HTTP/1.1\r\n", "400"},
      {"GET / a HTTP/1.1\r\n", "400"},
      {"G(T / HTTP/1.1\r\n", "400"},
      {"GET /\x01 HTTP/1.1\r\n", "400"},
      {"GET /\xc3\xa4 HTTP/1.1\r\n", "400"},
      {"GET a HTTP/1.1\r\n", "400"},
      {"CONNECT a:1 HTTP/1.1\r\n", "400"},
      {"GET / HTTP/11\r\n", "400"},
      {"GET / HTTP/1.10\r\n", "400"},
      {"GET / http/1.1\r\n", "400"},
      {"GET / HTTP/1.\r\n", "400"},
      {"GET / HTTP/2.0\r\n", "505"},
      {"GET / HTTP/0.9\r\n", "505"},
      {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505"},
      {"GET / HTTP/1.1\r\n\r\n", "400"},
      {"GET / HTTP/1.1\r\n" + host + host + "\r\n", "400"},
      {"GET / HTTP/1.0\r\n" + host + host + "\r\n", "400"},
      {"GET / HTTP/1.1\r\n" + host + "no colon\r\n\r\n", "400"},
      {"GET / HTTP/1.1\r\n" + host + "a : b\r\n\r\n", "400"},
      {"GET / HTTP/1.1\r\n" + host + " folded\r\n\r\n", "400"},
      {"GET / HTTP/1.1\r\n" + host + ": b\r\n\r\n", "400"},
      {"GET / HTTP/1.1\r\n" + host + "a: b\rc: d\r\n\r\n", "400"},
      {"GET / HTTP/1.1\r\n" + host + std::string("a: b\0c\r\n\r\n", 10), "400"},
      {"GET / HTTP/1.1\r\n" + host + "a: \x7f\r\n\r\n", "400"},
      {"POST / HTTP/1.1\r\n" + host + "Content-Length: 5\r\n\r\nhello", "413"},
      {"GET / HTTP/1.1\r\n" + host + "Content-Length: 99999999999999999999999\r\n\r\n", "413"},
      {"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "413"},
      {"POST / HTTP/1.1\r\n" + host + "Content-Length: -5\r\n\r\n", "400"},
      {"POST / HTTP/1.1\r\n" + host + "Content-Length: +5\r\n\r\n", "400"},
      {"POST / HTTP/1.1\r\n" + host + "Content-Length:\r\n\r\n", "400"},
      {"POST / HTTP/1.1\r\n" + host + "Content-Length: 5, 5\r\n\r\n", "400"},
      {"POST / HTTP/1.1\r\n" + host + "Content-Length: 5\r\nContent-Length: 0\r\n\r\n", "400"},
      {"POST / HTTP/1.1\r\n" + host + "Content-Length: 5\r\nTransfer-Encoding: x\r\n\r\n", "400"},
      {std::string("\xf7\x01\x01\0\n", 5), "400"},
      {"*1\r\n$4\r\nPING\r\n", "400"},
      // The rest of what can become no request is not waited for.
      {"\x16\x03\x01", "400"},
      {std::string(1, '\0'), "400"},
      {"\r\n\xf7", "400"},
      {"GET / HTTP/1.1\r\n" + host + "\r\nG\x01", "400"},
  };
  for (const auto& each : kCases) {
    EXPECT_EQ(Read({each.bytes}).back(), each.status) << each.bytes;
  }
}

TEST(HttpTest, AHeadIsBounded) {
  const std::string line = "GET /" + std::string(kHttpLineBytesMax - 16, 'a') + " HTTP/1.1\r\n";
  ASSERT_EQ(line.size(), kHttpLineBytesMax);
  EXPECT_EQ(Read({line + "Host: a\r\n\r\n"}).at(0).substr(0, 7), "GET /aa");
  EXPECT_EQ(Read({line.substr(0, 5) + "a" + line.substr(5)}), std::vector<std::string>{"414"});
  EXPECT_EQ(Read({std::string(kHttpLineBytesMax, 'a')}), std::vector<std::string>{});
  EXPECT_EQ(Read({std::string(kHttpLineBytesMax + 1, 'a')}), std::vector<std::string>{"414"});

  std::string head = "GET / HTTP/1.1\r\nHost: a\r\n";
  const size_t filler = kHttpHeadBytesMax - head.size() - 4 - 3;
  const std::string largest = head + "b: " + std::string(filler, 'c') + "\r\n\r\n";
  ASSERT_EQ(largest.size(), kHttpHeadBytesMax);
  EXPECT_EQ(Read({largest}), std::vector<std::string>{"GET / keep"});
  EXPECT_EQ(Read({head + "b: " + std::string(filler + 1, 'c') + "\r\n\r\n"}),
            std::vector<std::string>{"431"});
  while (head.size() <= kHttpHeadBytesMax) head += "d: e\r\n";
  EXPECT_EQ(Read({head}), std::vector<std::string>{"431"});
}

TEST(HttpTest, AStreamMayBeCutAtEveryPairOfOffsets) {
  const std::string stream =
      "\r\nGET /a?b HTTP/1.1\r\nHost: a\r\n\r\nHEAD http://c/d HTTP/1.1\nHost: e\nf: g\n\n"
      "GET /h HTTP/1.1\r\nHost: i\r\nConnection: close\r\n\r\nGET / HTTP/3.0\r\n";
  const std::string_view view = stream;
  const std::vector<std::string> expected = {"GET /a keep", "HEAD /d keep", "GET /h close", "505"};
  ASSERT_EQ(Read({view}), expected);
  for (size_t first = 0; first <= view.size(); ++first) {
    for (size_t second = first; second <= view.size(); ++second) {
      ASSERT_EQ(
          Read({view.substr(0, first), view.substr(first, second - first), view.substr(second)}),
          expected)
          << first << ' ' << second;
    }
  }
  std::vector<std::string_view> bytes;
  for (size_t at = 0; at < view.size(); ++at) bytes.push_back(view.substr(at, 1));
  EXPECT_EQ(Read(bytes), expected);
}

// Streams put together at random from what matters to the reader: however they are cut, they are
// read in the same way, and nothing is held beyond the bound.
TEST(HttpTest, RandomStreamsAreReadInTheSameWayHoweverTheyAreCut) {
  const std::vector<std::string> parts = {"GET",
                                          " ",
                                          "/",
                                          "HTTP/1.1",
                                          "\r\n",
                                          "\n",
                                          "\r",
                                          "Host: a\r\n",
                                          ":",
                                          "close",
                                          "a",
                                          "\r\n\r\n",
                                          "HTTP/1.0",
                                          "\t",
                                          "?",
                                          "Connection: ",
                                          "http://",
                                          "HEAD",
                                          ",",
                                          "0",
                                          "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
                                          "Content-Length: ",
                                          "Transfer-Encoding: x\r\n",
                                          std::string(1, '\0'),
                                          "\xff"};
  Prng prng(7);
  for (int round = 0; round < 20'000; ++round) {
    std::string stream = prng.Chance(1, 2) ? "GET / HTTP/1.1\r\n" : "";
    for (uint64_t count = prng.Below(30); count > 0; --count) {
      stream += parts[prng.Below(parts.size())];
    }
    if (prng.Chance(1, 50)) stream += std::string(prng.Below(9000), 'x');
    const std::string_view view = stream;
    const std::vector<std::string> whole = Read({view});
    std::vector<std::string_view> pieces;
    for (size_t at = 0; at < view.size();) {
      const size_t length = 1 + prng.Below(view.size() - at);
      pieces.push_back(view.substr(at, length));
      at += length;
    }
    ASSERT_EQ(Read(pieces), whole) << stream;
  }
}

TEST(HttpTest, Responses) {
  OutputBuffer output;
  HttpResponse response;
  response.body = "ok\n";
  WriteHttpResponse(output, response);
  EXPECT_EQ(output.view(),
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 3\r\n"
            "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\r\nok\n");
  output.Clear();
  response.status = HttpStatus::kMethodNotAllowed;
  response.allow = "GET, HEAD";
  response.without_body = true;
  response.close = true;
  WriteHttpResponse(output, response);
  EXPECT_EQ(output.view(),
            "HTTP/1.1 405 Method Not Allowed\r\nContent-Type: text/plain; charset=utf-8\r\n"
            "Content-Length: 3\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
            "Allow: GET, HEAD\r\nConnection: close\r\n\r\n");
}

}  // namespace
}  // namespace pakv
