// RENAME, RENAMENX, COPY, MOVE, and DEL of several keys, between connections, on one core and on
// several. What each answers beside redis-server is resp_replies_test.cc's; values in files are
// large_value_test.cc's, crashes the simulator's.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "tests/net/sim_server.h"

namespace pakv {
namespace {

class RespRelocationTest : public testing::TestWithParam<uint32_t> {
 protected:
  static SimServer::Options Options() {
    SimServer::Options options;
    options.core_count = GetParam();
    return options;
  }
  static void Expect(SimConnection& client, std::string_view request, std::string_view reply) {
    client.Send(request);
    EXPECT_EQ(client.Receive(reply.size()), reply) << request;
  }

  SimServer server_{Options()};
};
INSTANTIATE_TEST_SUITE_P(Cores, RespRelocationTest, testing::Values(1u, 2u, 4u));

// A name that moves through all keys, so between all pairs of owners, is always somewhere, and
// never twice.
TEST_P(RespRelocationTest, AnotherClientSeesAValueOnce) {
  SimConnection mover(server_, server_.data_address());
  SimConnection watcher(server_, server_.data_address());
  constexpr int kKeys = 6;
  std::string count = "EXISTS";
  for (int i = 0; i < kKeys; ++i) count += " k" + std::to_string(i);
  count += "\r\n";
  Expect(mover, "SET k0 value PXAT 99999999999123\r\n", "+OK\r\n");
  int at = 0;
  for (int step = 1; step < kKeys; ++step) {
    for (int i = 0; i < 2 * kKeys; ++i) {
      const int to = (at + step) % kKeys;
      mover.Send("RENAME k" + std::to_string(at) + " k" + std::to_string(to) + "\r\n");
      // At different moments of it.
      server_.world.RunFor(static_cast<uint64_t>(i) * 7 * kNsPerUs);
      for (int k = 0; k < 3; ++k) Expect(watcher, count, ":1\r\n");
      EXPECT_EQ(mover.Receive(5), "+OK\r\n");
      at = to;
    }
  }
  Expect(watcher, "PEXPIRETIME k" + std::to_string(at) + "\r\n", ":99999999999123\r\n");
}

TEST_P(RespRelocationTest, SeveralKeysGoTogether) {
  SimConnection client(server_, server_.data_address());
  SimConnection watcher(server_, server_.data_address());
  for (int i = 0; i < 40; ++i) {
    Expect(client, "MSET a 1 b 2 c 3 d 4\r\n", "+OK\r\n");
    client.Send(i % 2 == 0 ? "DEL a b c d a nosuch\r\n" : "UNLINK d c b a\r\n");
    server_.world.RunFor(static_cast<uint64_t>(i) * 5 * kNsPerUs);
    watcher.Send("EXISTS a b c d\r\n");
    const std::string seen = watcher.Receive(4);
    EXPECT_TRUE(seen == ":0\r\n" || seen == ":4\r\n") << seen;
    EXPECT_EQ(client.Receive(4), ":4\r\n");
    Expect(watcher, "EXISTS a b c d\r\n", ":0\r\n");
  }
}

TEST_P(RespRelocationTest, DeletesAreBounded) {
  SimConnection client(server_, server_.data_address());
  const auto keys = [](const char* command, int count) {
    std::string request = "*" + std::to_string(count + 1) + "\r\n$" +
                          std::to_string(std::string_view(command).size()) + "\r\n" + command +
                          "\r\n";
    for (int i = 0; i < count; ++i) {
      const std::string key = std::to_string(i);
      request += "$" + std::to_string(key.size()) + "\r\n" + key + "\r\n";
    }
    return request;
  };
  Expect(client, "MSET 0 x 65535 x 65536 x 40000 x\r\n", "+OK\r\n");
  const std::string error =
      "-ERR too many keys or bytes for one command that is all or nothing (65536 keys, 16 MiB "
      "written, 64 MiB read; in EXEC also 64 MiB of replies, and 64 MiB written one after "
      "another)\r\n";
  Expect(client, keys("DEL", 65'537), error);
  Expect(client, "EXISTS 0 65535 65536 40000\r\n", ":4\r\n");
  Expect(client, keys("UNLINK", 65'536), ":3\r\n");
  Expect(client, "EXISTS 0 65535 65536 40000\r\n", ":1\r\n");
}

TEST_P(RespRelocationTest, KeysThatAreTooLongAreRefused) {
  SimConnection client(server_, server_.data_address());
  const std::string key((64 << 10) + 1, 'k');
  const std::string bulk = "$65537\r\n" + key + "\r\n";
  const std::string error =
      "-ERR key of 65537 bytes exceeds maximum allowed size (max-key, 65536 bytes)\r\n";
  Expect(client, "SET a 1\r\n", "+OK\r\n");
  Expect(client, "*3\r\n$6\r\nRENAME\r\n$1\r\na\r\n" + bulk, error);
  Expect(client, "*3\r\n$4\r\nCOPY\r\n" + bulk + "$1\r\na\r\n", error);
  Expect(client, "*3\r\n$4\r\nMOVE\r\n" + bulk + "$1\r\n1\r\n", error);
  Expect(client, "MULTI\r\nGET a\r\n", "+OK\r\n+QUEUED\r\n");
  Expect(client, "*3\r\n$6\r\nRENAME\r\n$1\r\na\r\n" + bulk, "+QUEUED\r\n");
  Expect(client, "EXEC\r\n", "*2\r\n$1\r\n1\r\n" + error);
}

TEST_P(RespRelocationTest, AKeyThatIsReplacedOrGoesBreaksAWatch) {
  SimConnection client(server_, server_.data_address());
  SimConnection other(server_, server_.data_address());
  for (const std::string watched : {"from", "to"}) {
    Expect(client, "SET from 1\r\nWATCH " + watched + "\r\n", "+OK\r\n+OK\r\n");
    Expect(other, "RENAME from to\r\n", "+OK\r\n");
    Expect(client, "MULTI\r\nPING\r\nEXEC\r\n", "+OK\r\n+QUEUED\r\n*-1\r\n");
  }
  Expect(client, "SET from 1\r\nWATCH from\r\n", "+OK\r\n+OK\r\n");
  Expect(other, "COPY from to REPLACE\r\nRENAMENX from to\r\nMOVE nosuch 1\r\n",
         ":1\r\n:0\r\n:0\r\n");
  Expect(client, "MULTI\r\nPING\r\nEXEC\r\n", "+OK\r\n+QUEUED\r\n*1\r\n+PONG\r\n");
}

// Its own earlier commands come before it, its later ones behind it.
TEST_P(RespRelocationTest, APipelineKeepsItsOrder) {
  SimConnection client(server_, server_.data_address());
  std::string requests;
  std::string replies;
  for (int i = 0; i < 50; ++i) {
    const std::string value = std::to_string(100 + i);
    requests += "SET a " + value + "\r\nRENAME a b\r\nGET b\r\nEXISTS a\r\nDEL b a\r\nGET b\r\n";
    replies += "+OK\r\n+OK\r\n$3\r\n" + value + "\r\n:0\r\n:1\r\n$-1\r\n";
  }
  Expect(client, requests, replies);
}

}  // namespace
}  // namespace pakv
