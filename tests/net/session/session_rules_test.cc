// What a session owes its client, its neighbours and the machine, on a whole server in a simulated
// world: timeouts to the nanosecond, bounds, order, and ends of every kind.
// Long because: each rule is a few lines over one fixture that they all share.
#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/prng.h"
#include "tests/net/resp/resp_text.h"
#include "tests/net/server/sim_server.h"

namespace pakv {
namespace {

constexpr uint64_t kMs = kNsPerMs;
constexpr uint64_t kSecond = kNsPerSecond;

// ---- Time ----

TEST(SessionTimeTest, HalfARequestThenSilenceEndsTheConnection) {
  SimServer server({.request_timeout_ns = 30 * kSecond});
  SimConnection client(server);
  client.Expect("PING\r\n", "+PONG\r\n");
  client.SendAlone("*2\r\n$3\r\nGET\r\n$5\r\nab");
  server.world.RunFor(30 * kSecond - 10 * kMs);
  EXPECT_EQ(client.ReceiveNow(), "");
  EXPECT_FALSE(client.ended());
  server.world.RunFor(20 * kMs);
  EXPECT_EQ(client.ReceiveToEnd(),
            "-ERR request timeout: the request was not complete in time\r\n");
  EXPECT_EQ(server.Stats().sessions.request_timeouts, 1u);
}

// While commands of it wait for room, as well as when all are done.
TEST(SessionTimeTest, WhoHasEndedItsStreamAndReadsNothingIsLetGo) {
  SimServer::Options options;
  options.session_limits.output_bytes_max = 64 << 10;
  SimServer server(options);
  SimConnection client(server);
  client.Expect(RespRequest({"SET", "k", std::string(20'000, 'v')}), "+OK\r\n");
  SimConnection open(server);
  for (SimConnection* each : {&client, &open}) each->Send(Times(1000, "GET k\r\n"));
  server.world.RunFor(100 * kMs);
  client.EndSending();
  server.world.RunFor(20 * kSecond);
  // What it takes then shows that it is there.
  EXPECT_NE(client.ReceiveNow(100'000), "");
  server.world.RunFor(29 * kSecond);
  EXPECT_EQ(server.Stats().connections, 2u);
  server.world.RunFor(1100 * kMs);
  EXPECT_EQ(server.Stats().connections, 1u);
  EXPECT_EQ(server.Stats().sessions.ended_by_error, 1u);
  // Who has not ended it is nobody's to judge without --idle-timeout.
  server.world.RunFor(1000 * kSecond);
  EXPECT_EQ(server.Stats().connections, 1u);
  EXPECT_EQ(open.Receive(20'010 * 1000).size(), 20'010u * 1000);
}

TEST(SessionTimeTest, WhoseProtocolIsNotKnownYetIsToldToo) {
  for (const std::string_view begin : {"P", "PI", "GET /", "\x16"}) {
    SimServer server({.request_timeout_ns = 2 * kSecond});
    SimConnection client(server);
    client.SendAlone(begin);
    EXPECT_EQ(client.ReceiveToEnd(),
              "-ERR request timeout: the request was not complete in time\r\n")
        << begin;
    EXPECT_EQ(server.Stats().sessions.request_timeouts, 1u);
  }
}

TEST(SessionTimeTest, DrippingBytesDoesNotExtendIt) {
  SimServer server({.request_timeout_ns = 30 * kSecond});
  SimConnection client(server);
  client.SendAlone("*3\r\n$3\r\nSET\r\n$1\r\na\r\n$100\r\n");
  const uint64_t begin_ns = server.world.now_ns();
  while (client.ReceiveNow().empty() && server.world.now_ns() < begin_ns + 60 * kSecond) {
    client.Send("x");
    server.world.RunFor(kSecond);
  }
  EXPECT_LE(server.world.now_ns(), begin_ns + 32 * kSecond);
  EXPECT_GE(server.world.now_ns(), begin_ns + 30 * kSecond);
}

TEST(SessionTimeTest, ALongUploadMayTakeItsTime) {
  SimServer server({.value_bytes_max = 8 << 20, .request_timeout_ns = 30 * kSecond});
  SimConnection client(server);
  const std::string value(6 << 20, 'v');
  const std::string request = RespRequest({"SET", "k", value});
  // 70 KiB per second: 90 seconds for it all.
  for (size_t at = 0; at < request.size(); at += 70 << 10) {
    client.Send(std::string_view(request).substr(at, 70 << 10));
    server.world.RunFor(kSecond);
    ASSERT_FALSE(client.ended()) << at;
  }
  EXPECT_EQ(client.Receive(5), "+OK\r\n");
  client.Expect("STRLEN k\r\n", ":6291456\r\n");
}

TEST(SessionTimeTest, ARequestInTimeIsNotLateForTheNext) {
  SimServer server({.request_timeout_ns = 30 * kSecond});
  SimConnection client(server);
  for (int round = 0; round < 10; ++round) {
    client.SendAlone("PI");
    server.world.RunFor(20 * kSecond);
    client.Expect("NG\r\n", "+PONG\r\n");
  }
  server.world.RunFor(100 * kSecond);
  client.Expect("PING\r\n", "+PONG\r\n");
}

TEST(SessionTimeTest, AnIdleConnectionEndsAndABusyOneDoesNot) {
  SimServer server({.idle_timeout_ns = 5 * kSecond});
  SimConnection idle(server);
  SimConnection busy(server);
  idle.Expect("PING\r\n", "+PONG\r\n");
  for (int i = 0; i < 10; ++i) {
    busy.Expect("PING\r\n", "+PONG\r\n");
    server.world.RunFor(kSecond);
    EXPECT_EQ(idle.ended(), i >= 4) << i;
  }
  EXPECT_EQ(server.Stats().sessions.idle_timeouts, 1u);
  server.world.RunFor(6 * kSecond);
  EXPECT_TRUE(busy.ended());
}

// ---- Ends ----

TEST(SessionEndTest, BetweenRequestsItIsCleanAndWithinOneItIsAnError) {
  SimServer server;
  {
    SimConnection between(server);
    between.Expect("PING\r\n", "+PONG\r\n");
    SimConnection unused(server);
    SimConnection within(server);
    within.SendAlone("*2\r\n$3\r\nGE");
    SimConnection inline_within(server);
    inline_within.SendAlone("PIN");
  }
  server.world.RunFor(100 * kMs);
  const ServerStats stats = server.Stats();
  EXPECT_EQ(stats.sessions.ended_between_frames, 2u);
  EXPECT_EQ(stats.sessions.ended_within_frame, 2u);
  EXPECT_EQ(stats.sessions.ended_by_error, 0u);
  EXPECT_EQ(stats.connections, 0u);
}

TEST(SessionEndTest, WhatWasReceivedBeforeTheEndIsAnswered) {
  SimServer server({.core_count = 2});
  SimConnection client(server);
  client.Send("SET a 1\r\nGET a\r\nSET b 2\r\nINCR b\r\nDBSIZE\r\nPI");
  client.EndSending();
  EXPECT_EQ(client.ReceiveToEnd(), "+OK\r\n$1\r\n1\r\n+OK\r\n:3\r\n:2\r\n");
}

TEST(SessionEndTest, QuitAndProtocolErrorsAnswerWhatCameBefore) {
  SimServer server;
  struct Case {
    std::string_view request;
    std::string_view reply;
  };
  for (const Case& each : std::vector<Case>{
           {"SET a 1\r\nQUIT\r\nSET a 2\r\n", "+OK\r\n+OK\r\n"},
           {"SET a 1\r\n*1\r\n!\r\nSET a 2\r\n",
            "+OK\r\n-ERR Protocol error: expected '$', got '!'\r\n"},
           {"PING\r\n*x\r\n", "+PONG\r\n-ERR Protocol error: invalid multibulk length\r\n"},
           {"*1\r\n$-5\r\n", "-ERR Protocol error: invalid bulk length\r\n"},
           {"SET \"a\r\n", "-ERR Protocol error: unbalanced quotes in request\r\n"},
           {"*2147483648\r\n", "-ERR Protocol error: invalid multibulk length\r\n"},
           {"*1\r\n$1073741825\r\n", "-ERR Protocol error: invalid bulk length\r\n"},
           {"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            "-ERR Protocol error: HTTP on a data port; health and metrics are on that of "
            "--admin-addr\r\n"},
           {"\x16\x03\x01", "-ERR Protocol error: neither RESP nor the pakv protocol\r\n"},
           {"PING\r\nPOST / HTTP/1.1\r\n",
            "+PONG\r\n-ERR Protocol error: HTTP request (POST or Host:) on a data port\r\n"},
           {"*1\r\n$5\r\nhost:\r\nSET a 2\r\n",
            "-ERR Protocol error: HTTP request (POST or Host:) on a data port\r\n"},
           {"PING\r\n*2\r\n$4\r\nPOST\r\n$1\r\n/\r\nSET a 2\r\n",
            "+PONG\r\n-ERR Protocol error: HTTP request (POST or Host:) on a data port\r\n"},
       }) {
    SimConnection client(server);
    client.Send(each.request);
    EXPECT_EQ(client.ReceiveToEnd(), each.reply) << each.request;
  }
  SimConnection client(server);
  client.Expect("GET a\r\n", "$1\r\n1\r\n");
}

TEST(SessionEndTest, AClientThatGoesWithWritesPendingLeavesThemBehind) {
  for (const bool reset : {false, true}) {
    SimServer server({.core_count = 2});
    StalledDisk stalled(server);
    {
      SimConnection client(server);
      std::string requests;
      for (int i = 0; i < 100; ++i)
        requests += RespRequest({"SET", "key" + std::to_string(i), "v"});
      client.SendAlone(requests);
      if (reset) client.Reset();
    }
    server.world.RunFor(kMs);
    EXPECT_EQ(server.Stats().connections, 1u) << "it lives until its requests are back";
    stalled.Go();
    server.world.RunFor(5 * kSecond);
    EXPECT_EQ(server.Stats().connections, 0u);
    SimConnection other(server);
    other.Expect("DBSIZE\r\n", ":100\r\n");
  }
}

// ---- Order ----

TEST(SessionOrderTest, ABarrierSeesWhatCameBeforeAndNothingAfter) {
  for (const uint32_t cores : {1u, 2u, 3u}) {
    SimServer server({.core_count = cores});
    SimConnection client(server);
    std::string requests;
    std::string replies;
    for (int i = 1; i <= 50; ++i) {
      requests += RespRequest({"SET", "key" + std::to_string(i), "v"}) + "DBSIZE\r\n";
      replies += "+OK\r\n:" + std::to_string(i) + "\r\n";
    }
    requests += "FLUSHALL\r\nSET a 1\r\nKEYS *\r\nRANDOMKEY\r\nSCAN 0\r\nDEL a\r\nDBSIZE\r\n";
    replies +=
        "+OK\r\n+OK\r\n*1\r\n$1\r\na\r\n$1\r\na\r\n*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n:1\r\n:0\r\n";
    client.Expect(requests, replies);
  }
}

TEST(SessionOrderTest, ASessionSeesItsOwnWritesAndOthersDoNotWaitForThem) {
  SimServer server({.core_count = 2});
  SimConnection writer(server);
  SimConnection reader(server);
  for (int i = 0; i < 10; ++i) {
    writer.Expect(RespRequest({"SET", "k" + std::to_string(i), "old"}), "+OK\r\n");
  }
  StalledDisk stalled(server);
  std::string requests;
  std::string replies;
  for (int i = 0; i < 10; ++i) {
    const std::string key = "k" + std::to_string(i);
    requests += RespRequest({"SET", key, "new"}) + RespRequest({"GET", key}) +
                RespRequest({"SET", key, "newer"});
    replies += "+OK\r\n" + RespBulk("new") + "+OK\r\n";
  }
  writer.SendAlone(requests);
  // Nobody is shown what could still be lost, and nobody waits for it.
  for (int i = 0; i < 10; ++i) {
    reader.Expect(RespRequest({"GET", "k" + std::to_string(i)}), RespBulk("old"));
  }
  EXPECT_EQ(writer.ReceiveNow(), "");
  stalled.Go();
  EXPECT_EQ(writer.Receive(replies.size()), replies);
}

TEST(SessionOrderTest, ReadsAreAnsweredWhileTenThousandWritesHang) {
  SimServer server({.core_count = 1, .cache_bytes = 16 << 20});
  SimConnection reader(server);
  reader.Expect("SET k v\r\n", "+OK\r\n");
  StalledDisk stalled(server);
  std::vector<std::unique_ptr<SimConnection>> writers;
  for (int i = 0; i < 20; ++i) {
    writers.push_back(std::make_unique<SimConnection>(server));
    std::string requests;
    for (int k = 0; k < 500; ++k) {
      requests += RespRequest({"SET", std::to_string(i * 1000 + k), "value"});
    }
    writers.back()->SendAlone(requests);
  }
  const uint64_t begin_ns = server.world.now_ns();
  for (int i = 0; i < 100; ++i) reader.Expect("GET k\r\n", "$1\r\nv\r\n");
  EXPECT_LT(server.world.now_ns() - begin_ns, 200 * kMs);
  stalled.Go();
  std::string all_ok;
  for (int k = 0; k < 500; ++k) all_ok += "+OK\r\n";
  for (auto& writer : writers) EXPECT_EQ(writer->Receive(all_ok.size()), all_ok);
}

// ---- Several keys ----

TEST(SessionKeysTest, MoreKeysThanMayBeInFlight) {
  for (const uint32_t cores : {1u, 3u}) {
    SimServer server({.core_count = cores, .session_limits = {.in_flight_max = 64}});
    SimConnection client(server);
    std::vector<std::string> mget = {"MGET"};
    std::vector<std::string> del = {"DEL"};
    std::vector<std::string> exists = {"EXISTS"};
    std::string sets;
    std::string oks;
    std::string values;
    for (int i = 0; i < 1000; ++i) {
      const std::string key = "key" + std::to_string(i);
      sets += RespRequest({"SET", key, key + key});
      oks += "+OK\r\n";
      for (std::vector<std::string>* words : {&mget, &del, &exists}) words->push_back(key);
      mget.push_back("none");
      del.push_back("none");
      values += RespBulk(key + key) + "$-1\r\n";
    }
    client.Expect(sets, oks);
    client.Expect(RespRequest(mget) + "PING\r\n", "*2000\r\n" + values + "+PONG\r\n");
    client.Expect(RespRequest(exists) + RespRequest(del) + RespRequest(exists),
                  ":1000\r\n:1000\r\n:0\r\n");
  }
}

TEST(SessionKeysTest, MsetIsOneWriteWhateverTheNumberOfOwners) {
  std::vector<std::string> mset = {"MSET"};
  for (int i = 0; i < 500; ++i) {
    mset.push_back("key" + std::to_string(i % 400));
    mset.push_back(std::to_string(i));
  }
  for (const uint32_t cores : {1u, 3u}) {
    SimServer server({.core_count = cores, .session_limits = {.in_flight_max = 64}});
    SimConnection client(server);
    client.Expect(RespRequest(mset) + "DBSIZE\r\nGET key5\r\nGET key300\r\n",
                  "+OK\r\n:400\r\n$3\r\n405\r\n$3\r\n300\r\n");
    client.Expect("MSET a 1 b\r\n", "-ERR wrong number of arguments for 'mset' command\r\n");
  }
}

TEST(SessionKeysTest, MsetnxWritesAllOrNone) {
  for (const uint32_t cores : {1u, 3u}) {
    SimServer server({.core_count = cores});
    SimConnection client(server);
    client.Expect("MSETNX a 1 b 2 c 3 a 4\r\nMGET a b c d\r\n",
                  ":1\r\n*4\r\n$1\r\n4\r\n$1\r\n2\r\n$1\r\n3\r\n$-1\r\n");
    client.Expect("MSETNX d 5 c 6\r\nMGET c d\r\n", ":0\r\n*2\r\n$1\r\n3\r\n$-1\r\n");
    client.Expect("MSETNX e 7\r\nMSETNX e 8\r\nGET e\r\n", ":1\r\n:0\r\n$1\r\n7\r\n");
    client.Expect("MSETNX a\r\nMSETNX a 1 b\r\n",
                  "-ERR wrong number of arguments for 'msetnx' command\r\n"
                  "-ERR wrong number of arguments for 'msetnx' command\r\n");
  }
}

// Behind the session's own writes, in one pipeline.
TEST(SessionKeysTest, ReadsOfSeveralKeysComeBehindTheirSessionsWrites) {
  for (const uint32_t cores : {1u, 4u}) {
    SimServer server({.core_count = cores});
    SimConnection client(server);
    client.Expect("SET a 1\r\nMSET b 2 c 3\r\nDEL c\r\nMGET a b c a\r\nEXISTS a a b c\r\n",
                  "+OK\r\n+OK\r\n:1\r\n*4\r\n$1\r\n1\r\n$1\r\n2\r\n$-1\r\n$1\r\n1\r\n"
                  ":3\r\n");
  }
}

// ---- Bounds ----

TEST(SessionBoundTest, TooLongKeysAndValuesAreRefusedAndTheConnectionGoesOn) {
  SimServer server({.key_bytes_max = 10, .value_bytes_max = 100});
  SimConnection client(server);
  const std::string key(10, 'k');
  const std::string value(100, 'v');
  const auto too_long = [](std::string_view what, size_t bytes, std::string_view limit,
                           size_t max) {
    return "-ERR " + std::string(what) + " of " + std::to_string(bytes) +
           " bytes exceeds maximum allowed size (" + std::string(limit) + ", " +
           std::to_string(max) + " bytes)\r\n";
  };
  const std::string key_error = too_long("key", 11, "max-key", 10);
  const std::string value_error = too_long("string", 101, "max-value", 100);
  client.Expect(RespRequest({"SET", key, value}), "+OK\r\n");
  client.Expect(RespRequest({"SET", key + "k", value}), key_error);
  client.Expect(RespRequest({"GET", key + "k"}), key_error);
  client.Expect(RespRequest({"MGET", key, key + "k"}), key_error);
  client.Expect(RespRequest({"DEL", key, key + "k"}), key_error);
  client.Expect(RespRequest({"SET", key, value + "v"}), value_error);
  client.Expect(RespRequest({"MSET", "a", "1", key, value + "v"}), value_error);
  client.Expect(RespRequest({"SET", key, std::string(100'000, 'v')}),
                too_long("string", 100'000, "max-value", 100));
  client.Expect(RespRequest({"APPEND", key, "v"}),
                "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n");
  client.Expect(RespRequest({"EXISTS", key, "a"}), ":1\r\n");
  client.Expect(RespRequest({"GET", key}), RespBulk(value));
}

TEST(SessionBoundTest, AValueAboveTheLargestLimitEndsNoConnection) {
  constexpr size_t kLongest = size_t{512} << 20;
  SimServer server({.value_bytes_max = kLongest});
  SimConnection client(server);
  client.Expect("CONFIG GET proto-max-bulk-len\r\n",
                "*2\r\n$18\r\nproto-max-bulk-len\r\n$9\r\n" + std::to_string(kLongest) + "\r\n");
  client.Send("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$" + std::to_string(kLongest + 1) + "\r\nv");
  server.world.RunFor(kSecond);
  EXPECT_FALSE(client.ended());
  EXPECT_EQ(client.ReceiveNow(), "") << "the error comes when all of it was skipped";
}

TEST(SessionBoundTest, ARequestOfTooManyArgumentsIsRefusedAndTheConnectionGoesOn) {
  constexpr size_t kArgs = (size_t{1} << 20) + 1;
  SimServer server;
  SimConnection client(server);
  std::string request = "*" + std::to_string(kArgs) + "\r\n$3\r\nDEL\r\n";
  for (size_t arg = 1; arg < kArgs; ++arg) request += "$1\r\nk\r\n";
  client.Expect("SET k v\r\n", "+OK\r\n");
  client.Expect(request,
                "-ERR request of 1048577 arguments exceeds maximum allowed number (1048576)\r\n");
  client.Expect("GET k\r\n", "$1\r\nv\r\n");
}

TEST(SessionBoundTest, AClientThatDoesNotReadIsNotReadFrom) {
  for (const uint32_t cores : {1u, 2u}) {
    SimServer server({.core_count = cores,
                      .cache_bytes = 16 << 20,
                      .session_limits = {.output_bytes_max = 256 << 10}});
    SimConnection client(server);
    const std::string value(50'000, 'v');
    for (int i = 0; i < 4; ++i) {
      client.Expect(RespRequest({"SET", "k" + std::to_string(i), value}), "+OK\r\n");
    }
    const uint64_t before = server.Stats().sessions.requests;
    std::string requests;
    for (int i = 0; i < 4000; ++i) requests += RespRequest({"GET", "k" + std::to_string(i % 4)});
    std::string_view rest = requests;
    for (int idle = 0; idle < 100 && !rest.empty(); ++idle) {
      const size_t sent = client.SendSome(rest);
      rest.remove_prefix(sent);
      if (sent > 0) idle = 0;
      server.world.RunFor(kMs);
    }
    // A window's worth of replies is on its way, a bound's worth is held, and no request more.
    EXPECT_LT(server.Stats().sessions.requests - before, 200u);
    SimConnection other(server);
    other.Expect("GET k0\r\n", RespBulk(value));
    size_t received = 0;
    const size_t expected = 4000 * RespBulk(value).size();
    while (received < expected) {
      rest.remove_prefix(client.SendSome(rest));
      received += client.ReceiveNow().size();
      server.world.RunFor(100 * kNsPerUs);
      ASSERT_FALSE(client.ended());
    }
    EXPECT_EQ(received, expected);
  }
}

TEST(SessionBoundTest, RequestsInFlightAreBoundedAndNoneIsLost) {
  SimServer server({.core_count = 2, .session_limits = {.in_flight_max = 100}});
  SimConnection client(server);
  client.Expect("PING\r\n", "+PONG\r\n");
  StalledDisk stalled(server);
  const uint64_t before = server.Stats().sessions.requests;
  std::string requests;
  std::string replies;
  for (int i = 0; i < 5000; ++i) {
    requests += "INCR n\r\n";
    replies += ":" + std::to_string(i + 1) + "\r\n";
  }
  std::string_view rest = requests;
  for (int i = 0; i < 50; ++i) {
    rest.remove_prefix(client.SendSome(rest));
    server.world.RunFor(kNsPerUs * 100);
  }
  EXPECT_LE(server.Stats().sessions.requests - before, 116u);
  stalled.Go();
  client.Send(rest);
  EXPECT_EQ(client.Receive(replies.size()), replies);
}

// Many half uploads of large values: those beyond the core's budget wait, and all get through.
TEST(SessionBoundTest, LargeRequestsShareTheirMemory) {
  SimServer server(
      {.value_bytes_max = 1 << 20,
       .request_timeout_ns = 600 * kSecond,
       .session_limits = {.core_write_bytes_max = 1 << 20, .core_frame_bytes_max = 2 << 20}});
  const std::string value(900'000, 'v');
  std::vector<std::unique_ptr<SimConnection>> clients;
  std::vector<std::string> requests;
  std::vector<size_t> sent(20);
  for (size_t i = 0; i < sent.size(); ++i) {
    clients.push_back(std::make_unique<SimConnection>(server));
    requests.push_back(RespRequest({"SET", "k" + std::to_string(i), value}) + "PING\r\n");
  }
  for (int round = 0; round < 4000; ++round) {
    bool all = true;
    for (size_t i = 0; i < sent.size(); ++i) {
      sent[i] += clients[i]->SendSome(std::string_view(requests[i]).substr(sent[i]));
      all &= sent[i] == requests[i].size();
    }
    server.world.RunFor(100 * kNsPerUs);
    if (all) break;
  }
  for (auto& client : clients) EXPECT_EQ(client->Receive(12), "+OK\r\n+PONG\r\n");
}

TEST(SessionBoundTest, GarbageHarmsNobodyElse) {
  SimServer server({.core_count = 2});
  SimConnection good(server);
  good.Expect("SET k v\r\n", "+OK\r\n");
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    Prng prng(seed);
    SimConnection bad(server);
    std::string bytes;
    const std::string pieces[] = {"*3\r\n",    "$3\r\nSET\r\n",   "$1\r\na\r\n", "\r\n",
                                  "GET k\r\n", "*1\r\n",          "$",           "*-1\r\n",
                                  "\xf7\x01",  "$99999999999\r\n"};
    for (int i = 0; i < 20; ++i) {
      if (prng.Below(2) == 0) {
        bytes += pieces[prng.Below(std::size(pieces))];
      } else {
        for (uint64_t k = prng.Below(20); k > 0; --k) bytes += static_cast<char>(prng.Below(256));
      }
    }
    bad.Send(bytes);
    if (prng.Below(2) == 0) bad.Reset();
  }
  good.Expect("GET k\r\n", "$1\r\nv\r\n");
  server.world.RunFor(40 * kSecond);
  EXPECT_EQ(server.Stats().connections, 1u);
}

// ---- A log that fails ----

TEST(SessionFailureTest, AFailedLogIsToldByItsPrefixAndReadsGoOn) {
  SimServer server({.cache_bytes = 1 << 20});
  server.store_fails = true;
  SimConnection client(server);
  client.Expect("SET k v\r\n", "+OK\r\n");
  server.node.disk().faults.write_error = 10'000;
  client.Send("SET k w\r\nGET k\r\n");
  const std::string unknown = "-MISCONF outcome unknown: ";
  EXPECT_EQ(client.Receive(unknown.size()), unknown);
  server.world.RunFor(kSecond);
  EXPECT_TRUE(client.ReceiveNow().ends_with("$1\r\nv\r\n"));
  server.node.disk().faults.write_error = 0;
  const std::string read_only = "-MISCONF read-only: ";
  for (const char* request : {"SET k x\r\n", "INCR n\r\n", "DEL k\r\n", "MSET a 1 b 2\r\n",
                              "DEL k l\r\n", "FLUSHALL\r\n"}) {
    client.Send(request);
    EXPECT_EQ(client.Receive(read_only.size()), read_only) << request;
    server.world.RunFor(kMs);
    client.ReceiveNow();
  }
  client.Expect("GET k\r\nEXISTS k\r\nDBSIZE\r\n", "$1\r\nv\r\n:1\r\n:1\r\n");
}

// That a key's time is over has to be durable before it is left out, and the log cannot say so any
// more. By then most keys are gathered: they are not sent as if they were all.
TEST(SessionFailureTest, KeysOnAFailedLogAreAllOfThemOrAnError) {
  constexpr size_t kKeys = 2500;  // in several steps
  for (const uint32_t core_count : {1u, 3u}) {
    SCOPED_TRACE(core_count);
    SimServer server({.core_count = core_count});
    server.store_fails = true;
    SimConnection client(server);
    std::string sets;
    std::set<std::string> expected;
    for (size_t i = 0; i < kKeys; ++i) {
      const std::string key = "key" + std::to_string(1000 + i);
      sets += "SET " + key + " v\r\n";
      expected.insert(key);
    }
    client.Expect(sets, Times(kKeys, "+OK\r\n"));
    const auto keys = [&client] {
      client.Send("KEYS *\r\n");
      EXPECT_EQ(client.ReceiveLine(), "*" + std::to_string(kKeys) + "\r\n");
      std::vector<std::string> found;
      for (size_t i = 0; i < kKeys; ++i) {
        EXPECT_EQ(client.ReceiveLine(), "$7\r\n");
        found.push_back(client.ReceiveLine().substr(0, 7));
      }
      return found;
    };
    const std::string last = keys().back();
    client.Expect("PEXPIRE " + last + " 60000\r\n", ":1\r\n");
    server.node.disk().faults.write_error = 10'000;
    client.Send("SET k v\r\n");
    const std::string failed = client.ReceiveLine();
    EXPECT_TRUE(failed.starts_with("-MISCONF ")) << failed;
    // It is there for as long as it lives, so nothing has to be durable.
    const std::vector<std::string> found = keys();
    EXPECT_EQ(std::set<std::string>(found.begin(), found.end()), expected);
    server.world.RunFor(61 * kSecond);
    client.Send("KEYS *\r\n");
    const std::string line = client.ReceiveLine();
    EXPECT_TRUE(line.starts_with("-MISCONF read-only: ")) << line;
    client.Expect("PING\r\n", "+PONG\r\n");
  }
}

}  // namespace
}  // namespace pakv
