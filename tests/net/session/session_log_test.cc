// What the log says of connections that end otherwise than their clients wanted, and what it does
// not: nothing at the level that servers run with, but of refused ones, and no client's bytes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "runtime/base/log.h"
#include "tests/net/server/sim_server.h"

namespace pakv {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr uint64_t kMs = kNsPerMs;
constexpr uint64_t kSecond = kNsPerSecond;

// What is logged from its making on.
class LogLines {
 public:
  explicit LogLines(LogLevel level) {
    LogOptions options;
    options.level = level;
    InitLogging(options);
    testing::internal::CaptureStderr();
  }
  LogLines(const LogLines&) = delete;
  LogLines& operator=(const LogLines&) = delete;
  ~LogLines() {
    if (!taken_) Take();
  }
  std::string Take() {
    taken_ = true;
    InitLogging({});
    return testing::internal::GetCapturedStderr();
  }

 private:
  bool taken_ = false;
};

size_t CountOf(std::string_view part, const std::string& text) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

TEST(SessionLogTest, AProtocolErrorIsToldWithItsReasonAndNoByteOfTheClients) {
  LogLines lines(LogLevel::kDebug);
  SimServer server;
  SimConnection expected(server);
  expected.Send("*2\r\n$3\r\nGET\r\nSECRET\r\n");
  EXPECT_EQ(expected.ReceiveToEnd(), "-ERR Protocol error: expected '$', got 'S'\r\n");
  SimConnection quoted(server);
  quoted.Send("SET key \"SECRET\r\n");
  EXPECT_EQ(quoted.ReceiveToEnd(), "-ERR Protocol error: unbalanced quotes in request\r\n");
  SimConnection http(server);
  http.Send("GET /SECRET HTTP/1.1\r\nHost: a\r\n\r\n");
  http.ReceiveToEnd();
  SimConnection crossing(server);
  crossing.Send("*1\r\n$5\r\nHost:\r\n");
  crossing.ReceiveToEnd();
  const std::string log = lines.Take();
  EXPECT_THAT(log, HasSubstr("debug [core 0] connection 1 of 10.0.0.9"));
  EXPECT_THAT(log, HasSubstr(" ends: Protocol error: expected '$'\n"));
  EXPECT_THAT(log, HasSubstr(" ends: Protocol error: unbalanced quotes in request\n"));
  EXPECT_THAT(log, HasSubstr(" ends: neither RESP nor the pakv protocol\n"));
  EXPECT_THAT(log, HasSubstr(" ends: an HTTP request (POST or Host:) on a data port\n"));
  EXPECT_THAT(log, Not(HasSubstr("SECRET")));
}

TEST(SessionLogTest, TimeoutsAndCutsAreTold) {
  LogLines lines(LogLevel::kDebug);
  SimServer server({.request_timeout_ns = 30 * kSecond, .idle_timeout_ns = 60 * kSecond});
  SimConnection slow(server);
  SimConnection idle(server);
  {
    SimConnection clean(server);
    clean.Expect("PING\r\n", "+PONG\r\n");
    SimConnection cut(server);
    cut.SendAlone("*2\r\n$3\r\nGE");
    SimConnection reset(server);
    reset.Expect("PING\r\n", "+PONG\r\n");
    reset.Reset();
    server.world.RunFor(100 * kMs);
  }
  slow.SendAlone("*2\r\n$3\r\nGE");
  server.world.RunFor(61 * kSecond);
  EXPECT_THAT(slow.ReceiveNow(), HasSubstr("-ERR request timeout"));
  EXPECT_TRUE(slow.ended());
  EXPECT_TRUE(idle.ended());
  const std::string log = lines.Take();
  EXPECT_THAT(log, HasSubstr("connection 1 of 10.0.0.9"));
  EXPECT_THAT(log, HasSubstr(" ends: its request was not complete in time (request-timeout)\n"));
  EXPECT_THAT(log, HasSubstr(" ends: it was idle for too long (idle-timeout)\n"));
  EXPECT_THAT(log, HasSubstr(" ends: the client ended it in the middle of a request\n"));
  EXPECT_THAT(log, HasSubstr(" ends: the connection broke, or its client did not read\n"));
  EXPECT_EQ(CountOf(" ends: ", log), 4u) << "a clean end is none of these\n" << log;
}

TEST(SessionLogTest, RefusedConnectionsAreOneWarningPerTenSeconds) {
  LogLines lines(LogLevel::kInfo);
  SimServer server({.connection_count_max = 1, .overflow = OverflowPolicy::kReject});
  SimConnection served(server);
  served.Expect("PING\r\n", "+PONG\r\n");
  const auto refuse = [&server] {
    SimConnection refused(server);
    EXPECT_EQ(refused.ReceiveToEnd(), "-ERR max number of clients reached\r\n");
  };
  for (int i = 0; i < 20; ++i) refuse();
  server.world.RunFor(10 * kSecond);
  refuse();
  const std::string log = lines.Take();
  EXPECT_THAT(log,
              HasSubstr("warn [core 0] all 1 places for connections are taken: 1 refused since"));
  EXPECT_THAT(log,
              HasSubstr("warn [core 0] all 1 places for connections are taken: 20 refused since"));
  EXPECT_EQ(CountOf(" refused ", log), 2u) << log;
}

TEST(SessionLogTest, EachRefusedConnectionIsToldToThoseWhoLook) {
  LogLines lines(LogLevel::kDebug);
  SimServer server({.connection_count_max = 1, .overflow = OverflowPolicy::kReject});
  SimConnection served(server);
  served.Expect("PING\r\n", "+PONG\r\n");
  for (int i = 0; i < 3; ++i) SimConnection(server).ReceiveToEnd();
  EXPECT_EQ(CountOf("debug [core 0] a connection of 10.0.0.9", lines.Take()), 3u);
}

}  // namespace
}  // namespace pakv
