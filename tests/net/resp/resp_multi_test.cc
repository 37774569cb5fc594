// MULTI, EXEC and WATCH between connections, on one core and on two. What each command answers
// beside redis-server is resp_replies_test.cc's.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "tests/net/resp/resp_text.h"
#include "tests/net/server/sim_server.h"

namespace pakv {
namespace {

const std::string kLongSet = RespRequest({"SET", "a", std::string(900'000, 'v')});
constexpr std::string_view kTooMuch =
    "-ERR too many bytes: what a connection watches and queues for EXEC takes at most 16777216 "
    "bytes\r\n";

class RespMultiTest : public testing::TestWithParam<uint32_t> {
 protected:
  static SimServer::Options Options() {
    SimServer::Options options;
    options.core_count = GetParam();
    return options;
  }

  SimServer server_{Options()};
};
INSTANTIATE_TEST_SUITE_P(Cores, RespMultiTest, testing::Values(1u, 2u));

TEST_P(RespMultiTest, AnotherClientsWriteBreaksAWatch) {
  SimConnection client(server_);
  SimConnection other(server_);
  client.Expect("SET a 1\r\nSET b 1\r\nWATCH a b\r\n", "+OK\r\n+OK\r\n+OK\r\n");
  other.Expect("SET b 2\r\n", "+OK\r\n");
  client.Expect("MULTI\r\nSET a 5\r\nEXEC\r\n", "+OK\r\n+QUEUED\r\n*-1\r\n");
  // It is watched no more, and nothing was done.
  client.Expect("MULTI\r\nGET a\r\nINCR b\r\nEXEC\r\n",
                "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n$1\r\n1\r\n:3\r\n");
}

// The write is answered, the drop is durable before it, and the key is as absent as it was.
TEST_P(RespMultiTest, AWriteThatAFlushOvertakesBreaksAWatch) {
  SimConnection client(server_);
  SimConnection writer(server_);
  SimConnection flusher(server_);
  for (int round = 0; round < 60; ++round) {
    const std::string key = std::to_string(round);
    client.Expect("WATCH " + key + "\r\n", "+OK\r\n");
    server_.node.disk().faults.stall = 5000;
    writer.SendAlone("SET " + key + " v\r\n");
    flusher.Expect("FLUSHALL\r\n", "+OK\r\n");
    EXPECT_EQ(writer.Receive(5), "+OK\r\n");
    server_.node.disk().faults.stall = 0;
    client.Expect("MULTI\r\nEXISTS " + key + "\r\nEXEC\r\n", "+OK\r\n+QUEUED\r\n*-1\r\n");
  }
}

TEST_P(RespMultiTest, AWatchThatNobodyTouchesIsNone) {
  SimConnection client(server_);
  SimConnection other(server_);
  client.Expect("WATCH a\r\n", "+OK\r\n");
  other.Expect("GET a\r\nSET b 1\r\nSELECT 1\r\nSET a 1\r\nFLUSHDB\r\n",
               "$-1\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n");
  client.Expect("MULTI\r\nSET a 2\r\nEXEC\r\nGET a\r\n",
                "+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n$1\r\n2\r\n");
}

TEST_P(RespMultiTest, AConnectionThatEndsLeavesNothingBehind) {
  for (int round = 0; round < 3; ++round) {
    SimConnection client(server_);
    client.Expect("WATCH a b c\r\nMULTI\r\nSET a 1\r\n", "+OK\r\n+OK\r\n+QUEUED\r\n");
  }
  SimConnection client(server_);
  client.Expect("WATCH a\r\nQUIT\r\n", "+OK\r\n+OK\r\n");
  SimConnection other(server_);
  other.Expect("GET a\r\nSET a 2\r\nSET b 2\r\n", "$-1\r\n+OK\r\n+OK\r\n");
}

TEST_P(RespMultiTest, ATransactionSpansDatabasesAndKeys) {
  SimConnection client(server_);
  std::string requests = "MULTI\r\n";
  std::string replies = "+OK\r\n";
  std::string results = "*400\r\n";
  for (int i = 0; i < 200; ++i) {
    requests += "SELECT " + std::to_string(i % 3) + "\r\nINCR n" + std::to_string(i % 7) + "\r\n";
    replies += "+QUEUED\r\n+QUEUED\r\n";
    results += "+OK\r\n:" + std::to_string(1 + i / 21) + "\r\n";
  }
  client.Expect(requests + "EXEC\r\n", replies + results);
  // Each of the 21 was met ten times, or nine; the last SELECT was that of 199 % 3.
  client.Expect("GET n3\r\nSELECT 0\r\nGET n0\r\n", "$2\r\n10\r\n+OK\r\n$2\r\n10\r\n");
}

TEST_P(RespMultiTest, WhatIsQueuedIsBounded) {
  SimConnection client(server_);
  client.Expect("MULTI\r\n", "+OK\r\n");
  for (int i = 0; i < 18; ++i) client.Expect(kLongSet, "+QUEUED\r\n");
  client.Expect(kLongSet, kTooMuch);
  client.Expect("EXEC\r\nGET a\r\n",
                "-EXECABORT Transaction discarded because of previous errors.\r\n$-1\r\n");
}

TEST_P(RespMultiTest, WhatIsWatchedIsBounded) {
  SimConnection client(server_);
  SimConnection other(server_);
  // A key that no write could have is refused with all the others.
  const std::string too_long(65537, 'k');
  client.Expect(RespRequest({"WATCH", "a", too_long}),
                "-ERR key of 65537 bytes exceeds maximum allowed size (max-key, 65536 bytes)\r\n");
  other.Expect("SET a 1\r\n", "+OK\r\n");
  client.Expect("MULTI\r\nEXEC\r\n", "+OK\r\n*0\r\n");

  const auto watch = [](size_t first, size_t count, size_t key_bytes) {
    std::vector<std::string> words = {"WATCH"};
    for (size_t i = first; i < first + count; ++i) {
      std::string& key = words.emplace_back("k" + std::to_string(i));
      key.resize(std::max(key.size(), key_bytes), '.');
    }
    return RespRequest(words);
  };
  const uint64_t before = server_.MemoryBytes();
  client.Expect(watch(0, 65'535, 0), "+OK\r\n");
  EXPECT_GT(server_.MemoryBytes(), before + 65'535 * 100);
  client.Expect(watch(100'000, 2, 0), "-ERR a connection watches at most 65536 keys\r\n");
  client.Expect("WATCH last\r\nUNWATCH\r\n", "+OK\r\n+OK\r\n");
  EXPECT_LT(server_.MemoryBytes(), before + 65'535 * 10);
  // Their bytes are, too, together with those of the commands.
  client.Expect(watch(0, 100, 65'536), "+OK\r\n");
  client.Expect(watch(0, 100, 65'536), "+OK\r\n");  // the same
  client.Expect(watch(100, 200, 65'536), kTooMuch);
  client.Expect(watch(300, 100, 65'536) + "MULTI\r\n", "+OK\r\n+OK\r\n");
  for (int i = 0; i < 4; ++i) client.Expect(kLongSet, "+QUEUED\r\n");
  client.Expect(kLongSet, kTooMuch);
}

// Few clients cannot take it all from the others.
TEST_P(RespMultiTest, ALittleMayAlwaysBeQueued) {
  SimServer::Options options;
  options.core_count = 1;
  options.session_limits.core_queued_bytes_max = 8 << 20;
  SimServer server(options);
  constexpr std::string_view kBusy =
      "-ERR the server's connections watch and queue too much for EXEC as a whole; try again when "
      "some of them are done\r\n";
  // Each may hold as much as is left then.
  std::vector<std::unique_ptr<SimConnection>> greedy;
  std::vector<int> queued;
  for (int i = 0; i < 5; ++i) {
    SimConnection& client = *greedy.emplace_back(std::make_unique<SimConnection>(server));
    client.Expect("MULTI\r\n", "+OK\r\n");
    queued.push_back(0);
    while (true) {
      client.Send(kLongSet);
      const std::string reply = client.Receive(9);
      if (reply != "+QUEUED\r\n") {
        EXPECT_EQ(reply + client.Receive(kBusy.size() - 9), kBusy);
        break;
      }
      ++queued.back();
    }
  }
  EXPECT_EQ(queued, (std::vector<int>{4, 2, 1, 1, 0}));
  SimConnection other(server);
  other.Expect("WATCH w\r\nMULTI\r\n", "+OK\r\n+OK\r\n");
  const std::string kilobyte(1000, 'v');
  for (int i = 0; i < 14; ++i) other.Expect("SET b " + kilobyte + "\r\n", "+QUEUED\r\n");
  other.Expect("EXEC\r\nGET b\r\n",
               "*14\r\n" + Times(14, "+OK\r\n") + "$1000\r\n" + kilobyte + "\r\n");
  // And all of it again when they are gone.
  greedy.clear();
  server.world.RunFor(kNsPerSecond);
  other.Expect("MULTI\r\n", "+OK\r\n");
  for (int i = 0; i < 4; ++i) other.Expect(kLongSet, "+QUEUED\r\n");
}

// ---- Commands that look at all keys ----

TEST_P(RespMultiTest, WhatLooksAtAllKeysRunsInItsPlace) {
  SimConnection client(server_);
  std::string sets;
  for (int i = 0; i < 40; ++i) sets += "SET k" + std::to_string(i) + " v\r\n";
  client.Expect(sets, Times(40, "+OK\r\n"));
  const std::string commands =
      "DBSIZE\r\nSET k0 w\r\nSET new w\r\nDBSIZE\r\nKEYS n*\r\nDEL k1 k2 new\r\nDBSIZE\r\n"
      "KEYS n*\r\nKEYS k1\r\nSET k1 again\r\nKEYS k1\r\nRENAME k3 other\r\nKEYS other\r\nKEYS "
      "k3\r\n"
      "SELECT 4\r\nDBSIZE\r\nRANDOMKEY\r\nMSET a 1 b 2\r\nDBSIZE\r\nSELECT 0\r\nDBSIZE\r\n";
  client.Expect(
      "MULTI\r\n" + commands + "EXEC\r\nDBSIZE\r\n",
      "+OK\r\n" + Times(21, "+QUEUED\r\n") +
          "*21\r\n:40\r\n+OK\r\n+OK\r\n:41\r\n*1\r\n$3\r\nnew\r\n:3\r\n:38\r\n*0\r\n*0\r\n"
          "+OK\r\n*1\r\n$2\r\nk1\r\n+OK\r\n*1\r\n$5\r\nother\r\n*0\r\n+OK\r\n:0\r\n$-1\r\n"
          "+OK\r\n:2\r\n+OK\r\n:39\r\n:39\r\n");
}

// Whatever others make of the keys meanwhile: a key counts as the transaction has left it.
TEST_P(RespMultiTest, OthersDoNotMoveWhatIsCountedOfItsOwn) {
  SimConnection client(server_);
  SimConnection other(server_);
  client.Expect("MSET a 1 b 2 c 3\r\n", "+OK\r\n");
  // The same keys come and go there.
  const std::string toggles = Times(40, "SET mine 1\r\nSET my2 1\r\nDEL mine\r\nDEL my2\r\n");
  size_t asked = 0;
  for (int round = 0; round < 30; ++round) {
    if (round % 5 == 0) {
      other.Send(toggles);
      asked += 80 * 5 + 80 * 4;
    }
    client.Expect(
        "MULTI\r\nSET mine 1\r\nDBSIZE\r\nSET my2 1\r\nDBSIZE\r\nKEYS m*\r\nDEL mine "
        "my2\r\nDBSIZE\r\n"
        "KEYS m*\r\nRANDOMKEY\r\nDEL a\r\nSET a 1\r\nSET mine 2\r\nDBSIZE\r\nEXEC\r\n",
        "+OK\r\n" + Times(13, "+QUEUED\r\n") + "*13\r\n+OK\r\n:4\r\n+OK\r\n:5\r\n*2\r\n");
    const std::string first = client.Receive(10);
    const std::string second = client.Receive(9);
    EXPECT_TRUE((first + second).find("mine") != std::string::npos &&
                (first + second).find("my2") != std::string::npos)
        << first << second;
    client.ExpectReply(":2\r\n:3\r\n*0\r\n$1\r\n");
    const std::string drawn = client.Receive(3);
    EXPECT_TRUE(drawn[0] >= 'a' && drawn[0] <= 'c') << drawn;
    client.ExpectReply(":1\r\n+OK\r\n+OK\r\n:4\r\n");
  }
  other.Receive(asked);
}

// Step by step, over keys of others and its own, of which some are gone again at the end.
TEST_P(RespMultiTest, AScanWithinExecFindsEachKeyOnce) {
  SimConnection client(server_);
  std::string sets;
  std::string deletes = "DEL";
  std::set<std::string> expected;
  for (int i = 0; i < 300; ++i) {
    sets += "SET other" + std::to_string(i) + " v\r\n";
    expected.insert("other" + std::to_string(i));
  }
  client.Expect(sets, Times(300, "+OK\r\n"));
  std::string own = "DEL other7\r\n";
  expected.erase("other7");
  for (int i = 0; i < 200; ++i) {
    own += "SET own" + std::to_string(i) + " v\r\n";
    expected.insert("own" + std::to_string(i));
    deletes += " own" + std::to_string(i);
  }
  std::multiset<std::string> found;
  std::string cursor = "0";
  do {
    client.Expect("MULTI\r\n" + own + "SCAN " + cursor + " COUNT 30\r\n" + deletes +
                      "\r\nSET other7 v\r\nEXEC\r\n",
                  "+OK\r\n" + Times(204, "+QUEUED\r\n") + "*204\r\n:1\r\n" + Times(200, "+OK\r\n") +
                      "*2\r\n");
    client.ReceiveLine();
    cursor = client.ReceiveLine();
    cursor.resize(cursor.size() - 2);
    const int count = std::stoi(client.ReceiveLine().substr(1));
    for (int i = 0; i < count; ++i) {
      client.ReceiveLine();
      std::string key = client.ReceiveLine();
      key.resize(key.size() - 2);
      found.insert(key);
    }
    client.ExpectReply(":200\r\n+OK\r\n");
  } while (cursor != "0" && !HasFailure());
  EXPECT_EQ(found, std::multiset<std::string>(expected.begin(), expected.end()));
}

TEST_P(RespMultiTest, InfoTellsOfTheServerAsExecLeavesIt) {
  SimConnection client(server_);
  client.Expect("SET a 1\r\nMULTI\r\nINFO keyspace\r\nSET b 1\r\nCONFIG RESETSTAT\r\nEXEC\r\n",
                "+OK\r\n+OK\r\n" + Times(3, "+QUEUED\r\n") + "*3\r\n" +
                    RespBulk("# Keyspace\r\ndb0:keys=2,expires=0,avg_ttl=0\r\n") +
                    "+OK\r\n+OK\r\n");
}

// ---- FLUSH ----

TEST_P(RespMultiTest, AFlushWithinExecIsOneWithTheReadsBehindIt) {
  SimConnection client(server_);
  SimConnection other(server_);
  client.Expect("MSET a 1 b 2 c 3\r\nSELECT 3\r\nSET in3 1\r\nSELECT 0\r\n",
                "+OK\r\n+OK\r\n+OK\r\n+OK\r\n");
  // Writes that come while it is under way are behind it, and its reads are not.
  server_.node.disk().faults.stall = 5000;
  client.SendAlone(
      "MULTI\r\nPING\r\nFLUSHDB\r\nGET a\r\nEXISTS b c\r\nDBSIZE\r\nKEYS *\r\nEXEC\r\n");
  other.SendAlone("SET a late\r\nSET d late\r\n");
  client.ExpectReply("+OK\r\n" + Times(6, "+QUEUED\r\n") +
                     "*6\r\n+PONG\r\n+OK\r\n$-1\r\n:0\r\n:0\r\n*0\r\n");
  other.ExpectReply("+OK\r\n+OK\r\n");
  client.Expect("MGET a b c d\r\nSELECT 3\r\nGET in3\r\n",
                "*4\r\n$4\r\nlate\r\n$-1\r\n$-1\r\n$4\r\nlate\r\n+OK\r\n$1\r\n1\r\n");
  client.Expect("MULTI\r\nFLUSHALL\r\nSELECT 0\r\nGET a\r\nEXEC\r\n",
                "+OK\r\n" + Times(3, "+QUEUED\r\n") + "*3\r\n+OK\r\n+OK\r\n$-1\r\n");
}

TEST_P(RespMultiTest, WhatCannotBeOneWithAFlushIsRefused) {
  SimConnection client(server_);
  constexpr std::string_view kRefused =
      "-ERR Command not allowed inside a transaction: FLUSHDB and FLUSHALL come before all that is "
      "about keys, and without WATCH; behind them what they have emptied may be read, and nothing "
      "written\r\n";
  const std::string aborted = "-EXECABORT Transaction discarded because of previous errors.\r\n";
  client.Expect("SET a 1\r\n", "+OK\r\n");
  for (const std::string_view before :
       {"SET b 1\r\n", "GET a\r\n", "DBSIZE\r\n", "KEYS *\r\n", "COPY a b\r\n", "MGET a b\r\n"}) {
    client.Expect("MULTI\r\n" + std::string(before) + "FLUSHDB\r\nEXEC\r\n",
                  "+OK\r\n+QUEUED\r\n" + std::string(kRefused) + aborted);
  }
  for (const std::string_view behind :
       {"SET b 1\r\n", "GETDEL a\r\n", "MOVE a 1\r\n", "DEL b\r\n", "MSET b 1 c 2\r\n"}) {
    client.Expect("MULTI\r\nFLUSHALL\r\n" + std::string(behind) + "EXEC\r\n",
                  "+OK\r\n+QUEUED\r\n" + std::string(kRefused) + aborted);
  }
  // What it has not emptied.
  for (const std::string_view behind : {"GET a\r\n", "DBSIZE\r\n", "FLUSHDB\r\n"}) {
    client.Expect("MULTI\r\nFLUSHDB\r\nSELECT 1\r\n" + std::string(behind) + "EXEC\r\n",
                  "+OK\r\n+QUEUED\r\n+QUEUED\r\n" + std::string(kRefused) + aborted);
  }
  client.Expect("WATCH b\r\nMULTI\r\nFLUSHALL\r\nEXEC\r\n",
                "+OK\r\n+OK\r\n" + std::string(kRefused) + aborted);
  client.Expect("GET a\r\nMULTI\r\nFLUSHDB\r\nDISCARD\r\nMULTI\r\nSET b 1\r\nEXEC\r\nGET a\r\n",
                "$1\r\n1\r\n+OK\r\n+QUEUED\r\n+OK\r\n+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n$1\r\n1\r\n");
}

// Of one that is sent at once all replies leave together, since the last of them is what a client
// waits for. What it is owed for other requests does not wait for the transaction.
TEST_P(RespMultiTest, AllRepliesOfOneSentAtOnceLeaveTogether) {
  const auto first_piece = [this](SimConnection& client, std::string_view requests) {
    std::string piece;
    client.Send(requests);
    EXPECT_TRUE(server_.world.RunUntil([&] { return !(piece += client.ReceiveNow()).empty(); }));
    return piece;
  };
  SimConnection client(server_);
  const std::string exec = "MULTI\r\nSET a 1\r\nSET b 1\r\nEXEC\r\n";
  const std::string queued = "+OK\r\n+QUEUED\r\n+QUEUED\r\n";
  const std::string done = "*2\r\n+OK\r\n+OK\r\n";
  for (int round = 0; round < 3; ++round) EXPECT_EQ(first_piece(client, exec), queued + done);
  EXPECT_EQ(first_piece(client, "PING\r\n" + exec), "+PONG\r\n" + queued);
  EXPECT_EQ(client.Receive(done.size()), done);
  EXPECT_EQ(first_piece(client, "MULTI\r\nSET a 2\r\n"), "+OK\r\n+QUEUED\r\n");
  EXPECT_EQ(first_piece(client, "SET b 2\r\nEXEC\r\n"), "+QUEUED\r\n" + done);
  // It is over with the transaction, whatever that has come to.
  SimConnection other(server_);
  client.Expect("WATCH a\r\n", "+OK\r\n");
  other.Expect("SET a 3\r\n", "+OK\r\n");
  EXPECT_EQ(first_piece(client, exec), queued + "*-1\r\n");
  client.Expect("GET b\r\n", "$1\r\n2\r\n");
}

// Whatever an EXEC does about each of its keys beside the transaction itself is done in pieces,
// with passes of the core between them in which others are served.
TEST_P(RespMultiTest, AnExecOfManyKeysLetsOthersHaveTheirTurn) {
  constexpr size_t kKeys = 65'536;
  constexpr size_t kKeysPerPass = 1024;
  SimConnection client(server_);
  std::vector<std::string> mget = {"MGET"};
  for (size_t i = 0; i < kKeys; ++i) mget.push_back("key" + std::to_string(i));
  client.Expect("SET other 1\r\nMULTI\r\n" + RespRequest(mget) + "DBSIZE\r\n",
                "+OK\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n");
  const uint64_t passes = server_.Stats().passes;
  client.Expect("EXEC\r\n",
                "*2\r\n*" + std::to_string(kKeys) + "\r\n" + Times(kKeys, "$-1\r\n") + ":1\r\n");
  client.Expect("PING\r\n", "+PONG\r\n");  // behind all that it frees
  // Filled in, added, encoded, freed; and put in order, of which there is more in one pass.
  EXPECT_GT(server_.Stats().passes, passes + 4 * kKeys / kKeysPerPass);
}

}  // namespace
}  // namespace pakv
