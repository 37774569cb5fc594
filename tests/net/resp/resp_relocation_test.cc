// RENAME, RENAMENX, COPY, MOVE, and DEL of several keys, between connections, on one core and on
// several. What each answers beside redis-server is resp_replies_test.cc's; values in files are
// large_value_test.cc's, crashes the simulator's.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "tests/net/resp/resp_text.h"
#include "tests/net/server/sim_server.h"

namespace pakv {
namespace {

class RespRelocationTest : public testing::TestWithParam<uint32_t> {
 protected:
  static SimServer::Options Options() {
    SimServer::Options options;
    options.core_count = GetParam();
    return options;
  }

  SimServer server_{Options()};
};
INSTANTIATE_TEST_SUITE_P(Cores, RespRelocationTest, testing::Values(1u, 2u, 4u));

// A name that moves through all keys, so between all pairs of owners, is always somewhere, and
// never twice.
TEST_P(RespRelocationTest, AnotherClientSeesAValueOnce) {
  SimConnection mover(server_);
  SimConnection watcher(server_);
  constexpr int kKeys = 6;
  std::string count = "EXISTS";
  for (int i = 0; i < kKeys; ++i) count += " k" + std::to_string(i);
  count += "\r\n";
  mover.Expect("SET k0 value PXAT 99999999999123\r\n", "+OK\r\n");
  int at = 0;
  for (int step = 1; step < kKeys; ++step) {
    for (int i = 0; i < 2 * kKeys; ++i) {
      const int to = (at + step) % kKeys;
      mover.Send("RENAME k" + std::to_string(at) + " k" + std::to_string(to) + "\r\n");
      // At different moments of it.
      server_.world.RunFor(static_cast<uint64_t>(i) * 7 * kNsPerUs);
      for (int k = 0; k < 3; ++k) watcher.Expect(count, ":1\r\n");
      EXPECT_EQ(mover.Receive(5), "+OK\r\n");
      at = to;
    }
  }
  watcher.Expect("PEXPIRETIME k" + std::to_string(at) + "\r\n", ":99999999999123\r\n");
}

TEST_P(RespRelocationTest, SeveralKeysGoTogether) {
  SimConnection client(server_);
  SimConnection watcher(server_);
  for (int i = 0; i < 40; ++i) {
    client.Expect("MSET a 1 b 2 c 3 d 4\r\n", "+OK\r\n");
    client.Send(i % 2 == 0 ? "DEL a b c d a nosuch\r\n" : "UNLINK d c b a\r\n");
    server_.world.RunFor(static_cast<uint64_t>(i) * 5 * kNsPerUs);
    watcher.Send("EXISTS a b c d\r\n");
    const std::string seen = watcher.Receive(4);
    EXPECT_TRUE(seen == ":0\r\n" || seen == ":4\r\n") << seen;
    EXPECT_EQ(client.Receive(4), ":4\r\n");
    watcher.Expect("EXISTS a b c d\r\n", ":0\r\n");
  }
}

TEST_P(RespRelocationTest, DeletesAreBounded) {
  SimConnection client(server_);
  const auto keys = [](const char* command, int count) {
    std::vector<std::string> words = {command};
    for (int i = 0; i < count; ++i) words.push_back(std::to_string(i));
    return RespRequest(words);
  };
  client.Expect("MSET 0 x 65535 x 65536 x 40000 x\r\n", "+OK\r\n");
  const std::string error =
      "-ERR too many keys or bytes for one command that is all or nothing (65536 keys, 16 MiB "
      "written, 64 MiB read; in EXEC also 64 MiB of replies, and 64 MiB written one after "
      "another)\r\n";
  client.Expect(keys("DEL", 65'537), error);
  client.Expect("EXISTS 0 65535 65536 40000\r\n", ":4\r\n");
  client.Expect(keys("UNLINK", 65'536), ":3\r\n");
  client.Expect("EXISTS 0 65535 65536 40000\r\n", ":1\r\n");
}

TEST_P(RespRelocationTest, KeysThatAreTooLongAreRefused) {
  SimConnection client(server_);
  const std::string key((64 << 10) + 1, 'k');
  const std::string bulk = "$65537\r\n" + key + "\r\n";
  const std::string error =
      "-ERR key of 65537 bytes exceeds maximum allowed size (max-key, 65536 bytes)\r\n";
  client.Expect("SET a 1\r\n", "+OK\r\n");
  client.Expect("*3\r\n$6\r\nRENAME\r\n$1\r\na\r\n" + bulk, error);
  client.Expect("*3\r\n$4\r\nCOPY\r\n" + bulk + "$1\r\na\r\n", error);
  client.Expect("*3\r\n$4\r\nMOVE\r\n" + bulk + "$1\r\n1\r\n", error);
  client.Expect("MULTI\r\nGET a\r\n", "+OK\r\n+QUEUED\r\n");
  client.Expect("*3\r\n$6\r\nRENAME\r\n$1\r\na\r\n" + bulk, "+QUEUED\r\n");
  client.Expect("EXEC\r\n", "*2\r\n$1\r\n1\r\n" + error);
}

TEST_P(RespRelocationTest, AKeyThatIsReplacedOrGoesBreaksAWatch) {
  SimConnection client(server_);
  SimConnection other(server_);
  for (const std::string watched : {"from", "to"}) {
    client.Expect("SET from 1\r\nWATCH " + watched + "\r\n", "+OK\r\n+OK\r\n");
    other.Expect("RENAME from to\r\n", "+OK\r\n");
    client.Expect("MULTI\r\nPING\r\nEXEC\r\n", "+OK\r\n+QUEUED\r\n*-1\r\n");
  }
  client.Expect("SET from 1\r\nWATCH from\r\n", "+OK\r\n+OK\r\n");
  other.Expect("COPY from to REPLACE\r\nRENAMENX from to\r\nMOVE nosuch 1\r\n",
               ":1\r\n:0\r\n:0\r\n");
  client.Expect("MULTI\r\nPING\r\nEXEC\r\n", "+OK\r\n+QUEUED\r\n*1\r\n+PONG\r\n");
}

// Its own earlier commands come before it, its later ones behind it.
TEST_P(RespRelocationTest, APipelineKeepsItsOrder) {
  SimConnection client(server_);
  std::string requests;
  std::string replies;
  for (int i = 0; i < 50; ++i) {
    const std::string value = std::to_string(100 + i);
    requests += "SET a " + value + "\r\nRENAME a b\r\nGET b\r\nEXISTS a\r\nDEL b a\r\nGET b\r\n";
    replies += "+OK\r\n+OK\r\n$3\r\n" + value + "\r\n:0\r\n:1\r\n$-1\r\n";
  }
  client.Expect(requests, replies);
}

}  // namespace
}  // namespace pakv
