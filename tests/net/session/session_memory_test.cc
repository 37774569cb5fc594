// What a session holds of requests that wait: it is counted, it is bounded for all sessions of a
// core together, and nobody keeps it from others by not reading.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kv/shard/state/memory_share.h"
#include "tests/net/pakv/pakv_connection.h"
#include "tests/net/pakv/pakv_frames.h"
#include "tests/net/resp/resp_text.h"
#include "tests/net/server/sim_server.h"

namespace pakv {
namespace {

constexpr uint64_t kSecond = kNsPerSecond;
constexpr std::string_view kGivenUp =
    "-ERR request given up: its rest did not come, and others waited for the memory it had\r\n";

// Sends what is taken of `bytes`, whose rest is returned, until nothing more is.
std::string_view SendUntilStuck(SimServer& server, SimConnection& client, std::string_view bytes) {
  for (int idle = 0; idle < 20 && !bytes.empty(); ++idle) {
    const size_t sent = client.SendSome(bytes);
    if (sent > 0) idle = 0;
    bytes.remove_prefix(sent);
    server.world.RunFor(kNsPerMs);
  }
  return bytes;
}

// A command with so many words of a kilobyte behind it.
std::string LongRequest(std::vector<std::string> words, size_t keys) {
  for (size_t i = 0; i < keys; ++i) {
    words.push_back(std::to_string(i));
    words.back().resize(1000, '.');
  }
  return RespRequest(words);
}

// DEL of so many keys, none of which is there.
std::string LongDelete(size_t keys) { return LongRequest({"DEL"}, keys); }

// Values over 2048 bytes lie in files.
SimServer::Options WithFiles() {
  SimServer::Options options;
  options.value_bytes_max = 8 << 20;
  options.inline_value_bytes_max = 2048;
  return options;
}

// It waits for the reply before it, which nobody reads. Its bytes stay where they are.
TEST(SessionMemoryTest, ALongCommandBehindAReplyThatIsNotReadIsNotReceived) {
  SimServer::Options options = WithFiles();
  options.session_limits.core_frame_bytes_max = 1 << 20;
  SimServer server(options);
  const std::string value(4 << 20, 'v');
  const std::string remove = LongDelete(2000);
  SimConnection other(server);
  other.Expect(RespRequest({"SET", "big", value}), "+OK\r\n");
  const uint64_t before = server.MemoryBytes();
  struct Slow {
    std::unique_ptr<SimConnection> client;
    std::string_view rest;
  };
  std::vector<Slow> slow;
  for (int i = 0; i < 5; ++i) {
    slow.push_back({std::make_unique<SimConnection>(server), remove});
    slow.back().client->Send("GET big\r\n");
    slow.back().rest = SendUntilStuck(server, *slow.back().client, remove);
    EXPECT_GT(slow.back().rest.size(), remove.size() / 2);
  }
  EXPECT_LT(server.MemoryBytes(), before + 5 * (256 << 10));
  // The others have all the memory for theirs.
  other.Expect(LongDelete(500), ":0\r\n");
  other.Expect(RespRequest({"SET", std::string(20'000, 'k'), "v"}), "+OK\r\n");
  for (Slow& each : slow) {
    const std::string expected = RespBulk(value) + ":0\r\n";
    std::string received;
    while (received.size() < expected.size()) {
      each.rest.remove_prefix(each.client->SendSome(each.rest));
      received += each.client->ReceiveNow();
      server.world.RunFor(kNsPerMs);
      ASSERT_FALSE(each.client->ended());
    }
    EXPECT_TRUE(received == expected);
  }
}

// A pipeline that is sent as a whole, and read afterwards, gets through where each of its commands
// can be started.
TEST(SessionMemoryTest, NorIsASubcommandOfWhichThatIsTrue) {
  SimServer::Options options = WithFiles();
  options.session_limits.core_frame_bytes_max = 1 << 20;
  SimServer server(options);
  SimConnection slow(server);
  slow.Expect(RespRequest({"SET", "big", std::string(4 << 20, 'v')}), "+OK\r\n");
  slow.Send("GET big\r\n");
  const std::string kill = LongRequest({"CLIENT", "KILL"}, 2000);
  EXPECT_GT(SendUntilStuck(server, slow, kill).size(), kill.size() / 2);
  SimConnection other(server);
  other.Expect(RespRequest({"SET", "other", std::string(900'000, 'v')}), "+OK\r\n");
}

TEST(SessionMemoryTest, LongRequestsThatNeedNotWaitAreReceivedBehindOne) {
  SimServer::Options options = WithFiles();
  SimServer server(options);
  const std::string value(4 << 20, 'v');
  SimConnection client(server);
  client.Expect(RespRequest({"SET", "big", value}), "+OK\r\n");
  std::string requests = "GET big\r\n";
  std::string replies = RespBulk(value);
  for (int i = 0; i < 30; ++i) {
    requests += RespRequest({"SET", std::to_string(i) + std::string(60'000, 'k'), "v"});
    replies += "+OK\r\n";
  }
  EXPECT_TRUE(SendUntilStuck(server, client, requests).empty());
  EXPECT_TRUE(client.Receive(replies.size()) == replies);
}

TEST(SessionMemoryTest, ACommandThatWaitsForTheStoreIsCountedAndBoundsTheOthers) {
  SimServer::Options options;
  options.session_limits.core_frame_bytes_max = 1 << 20;
  options.request_timeout_ns = 600 * kSecond;
  SimServer server(options);
  const std::string remove = LongDelete(2000);
  const std::string set = RespRequest({"SET", "other", std::string(900'000, 'v')});
  SimConnection client(server);
  SimConnection other(server);
  client.Expect("PING\r\n", "+PONG\r\n");
  other.Expect(RespRequest({"SET", "7" + std::string(999, '.'), "v"}), "+OK\r\n");
  const uint64_t before = server.MemoryBytes();
  server.node.disk().faults.stall = 10'000;
  EXPECT_TRUE(SendUntilStuck(server, client, remove).empty());
  // Its bytes and where its words are, and what the transaction takes.
  EXPECT_GE(server.MemoryBytes(),
            before + 4'000'000 + 2000 * (sizeof(std::string_view) + sizeof(TransactionKey)));
  std::string_view rest = SendUntilStuck(server, other, set);
  EXPECT_GT(rest.size(), set.size() / 2) << "there is no memory for another one";
  // With what the keys may come to, as long as they are held.
  EXPECT_LT(server.MemoryBytes(), before + 6'000'000 + 2000 * MemoryShare::KeyCost(1000));
  server.node.disk().faults.stall = 0;
  other.Send(rest);
  EXPECT_EQ(other.Receive(5), "+OK\r\n");
  EXPECT_EQ(client.Receive(4), ":1\r\n");
  client.Expect("PING\r\n", "+PONG\r\n");
  EXPECT_LT(server.MemoryBytes(), before + 1'500'000) << "but for the value and what is kept";
}

// What the core holds for one of many keys is not so much that all other writes wait for its end.
TEST(SessionMemoryTest, ATransactionLeavesRoomForTheWritesOfOthers) {
  const auto mset = [](size_t keys) {
    std::vector<std::string> words = {"MSET"};
    for (size_t i = 0; i < keys; ++i) {
      words.push_back("key" + std::to_string(i));
      words.push_back("value");
    }
    return RespRequest(words);
  };
  struct Case {
    std::string request;
    std::string reply;
  };
  for (const Case& each : {Case{mset(kTransactionKeysMax), "+OK\r\n"},
                           Case{"MULTI\r\n" + mset(kTransactionKeysMax) + "EXEC\r\n",
                                "+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n"}}) {
    SimServer::Options options;
    options.publish_pause_ns = 10 * kNsPerMs;  // for each step
    SimServer server(options);
    SimConnection client(server);
    EXPECT_TRUE(SendUntilStuck(server, client, each.request).empty());
    SimConnection other(server);
    other.Expect("SET other value\r\n", "+OK\r\n");
    const std::string before = client.ReceiveNow();
    EXPECT_LT(before.size(), each.reply.size()) << "it was waited for";
    EXPECT_EQ(before + client.Receive(each.reply.size() - before.size()), each.reply);
  }
}

// ... but others of its kind wait, so that what all hold has a bound.
TEST(SessionMemoryTest, TransactionsWaitForTheRoomThatOthersHave) {
  SimServer::Options options;
  options.session_limits.core_transaction_bytes_max = 1;
  SimServer server(options);
  SimConnection client(server);
  SimConnection other(server);
  SimConnection third(server);
  client.Expect("MULTI\r\nSET key value\r\n", "+OK\r\n+QUEUED\r\n");
  other.Expect("MULTI\r\nGET other\r\n", "+OK\r\n+QUEUED\r\n");
  StalledDisk disk(server);
  for (SimConnection* sender : {&client, &other}) {
    sender->Send("EXEC\r\n");
    server.world.RunFor(300 * kNsPerUs);  // a stall takes a millisecond at least
  }
  third.Expect("GET other\r\n", "$-1\r\n");
  EXPECT_EQ(client.ReceiveNow(), "");
  EXPECT_EQ(other.ReceiveNow(), "") << "it did not wait";
  disk.Go();
  EXPECT_EQ(client.Receive(9), "*1\r\n+OK\r\n");
  EXPECT_EQ(other.Receive(9), "*1\r\n$-1\r\n");
}

// The words of a request that is still coming count too, and are part of what it is granted.
TEST(SessionMemoryTest, ShortWordsCount) {
  SimServer server;
  SimConnection client(server);
  client.Expect("PING\r\n", "+PONG\r\n");
  const uint64_t before = server.MemoryBytes();
  std::string half = "*1000000\r\n$3\r\nDEL\r\n";
  for (int i = 0; i < 300'000; ++i) half += "$1\r\nx\r\n";
  EXPECT_TRUE(SendUntilStuck(server, client, half).empty());
  EXPECT_GE(server.MemoryBytes(), before + half.size() + 300'000 * sizeof(std::string_view));
  client.Reset();
  server.world.RunFor(kSecond);
  EXPECT_LT(server.MemoryBytes(), before + 100'000);
}

// Memory that others wait for is not kept for one who sends nothing, and reads nothing either; as
// long as nobody waits he may take his time.
TEST(SessionMemoryTest, WhoKeepsOthersFromItIsCutOff) {
  SimServer::Options options;
  options.session_limits.core_frame_bytes_max = 1 << 20;
  SimServer server(options);
  SimConnection other(server);
  other.Expect(RespRequest({"SET", "value", std::string(500'000, 'v')}), "+OK\r\n");
  // The reply is not read. The request is so long that it has 180 s and more to be complete.
  std::vector<std::string> words = {"MSET"};
  for (int i = 0; i < 100; ++i) {
    words.push_back(std::to_string(i));
    words.push_back(std::string(100'000, 'v'));
  }
  const std::string mset = RespRequest(words);
  SimConnection slow(server);
  slow.Send("GET value\r\n");
  EXPECT_TRUE(
      SendUntilStuck(server, slow, std::string_view(mset).substr(0, mset.size() - 1)).empty());
  server.world.RunFor(100 * kSecond);
  ASSERT_FALSE(slow.ended());
  SimConnection first(server);
  first.Send(std::string_view(mset).substr(0, 200'000));
  other.Send(RespRequest({"SET", "o", std::string(100'000, 'o')}));
  server.world.RunFor(kSecond);
  EXPECT_EQ(other.ReceiveNow(), "+OK\r\n");
  EXPECT_FALSE(first.ended());
  const std::string told = slow.ReceiveToEnd();
  EXPECT_EQ(told.size(), RespBulk(std::string(500'000, 'v')).size() + kGivenUp.size());
  EXPECT_TRUE(told.ends_with(kGivenUp));
}

// Who has only to read what he has asked for keeps no such memory.
TEST(SessionMemoryTest, WhatWasAskedForAtLengthMayBeReadSlowly) {
  SimServer::Options options;
  options.session_limits.core_frame_bytes_max = 70'000;
  options.session_limits.output_bytes_max = 10'000;
  SimServer server(options);
  SimConnection other(server);
  constexpr int kKeys = 2000;
  for (int i = 0; i < kKeys; ++i) {
    std::string key = std::to_string(i);
    key.resize(100, '.');
    other.Expect(RespRequest({"SET", key, "v"}), "+OK\r\n");
  }
  std::vector<std::unique_ptr<SimConnection>> slow;
  for (int i = 0; i < 3; ++i) {
    slow.push_back(std::make_unique<SimConnection>(server));
    slow[i]->Send(RespRequest({"KEYS", std::string(70'000, '*')}));
  }
  server.world.RunFor(kSecond);
  other.Expect(RespRequest({"SET", "o", std::string(100'000, 'o')}), "+OK\r\n");
  server.world.RunFor(100 * kSecond);
  for (const auto& client : slow) {
    const size_t bytes = 7 + kKeys * (6 + 100 + 2);
    EXPECT_EQ(client->Receive(bytes).size(), bytes);
  }
}

// More values in pieces than a core has turns for, and far more pieces than it has memory for: who
// waits for memory keeps no turn from those that have it, and wait for a turn.
TEST(SessionMemoryTest, UploadsThatWaitForMemoryKeepNoTurn) {
  SimServer::Options options = WithFiles();
  options.inline_value_bytes_max = 90'000;
  options.session_limits.core_frame_bytes_max = 200'000;
  SimServer server(options);
  struct Upload {
    std::unique_ptr<PakvConnection> client;
    std::string frames;
    size_t sent = 0;
  };
  std::vector<Upload> uploads(40);
  for (size_t i = 0; i < uploads.size(); ++i) {
    Upload& upload = uploads[i];
    upload.client = std::make_unique<PakvConnection>(server);
    const std::string value(400'000, static_cast<char>('a' + i % 26));
    upload.frames = PakvSetInPieces(2, value, 80'000, {Key("k" + std::to_string(i))});
  }
  const auto is_sent = [](const Upload& upload) { return upload.sent == upload.frames.size(); };
  for (int tries = 0; tries < 5000 && !std::all_of(uploads.begin(), uploads.end(), is_sent);
       ++tries) {
    for (Upload& upload : uploads) {
      upload.sent += upload.client->raw.SendSome(upload.frames.substr(upload.sent, 5000));
    }
    server.world.RunFor(kNsPerMs);
  }
  SimConnection other(server);
  for (size_t i = 0; i < uploads.size(); ++i) {
    ASSERT_TRUE(is_sent(uploads[i])) << i;
    const std::vector<PakvTestReply> replies = uploads[i].client->Replies(1);
    ASSERT_EQ(replies.size(), 1u);
    EXPECT_EQ(replies[0].status, PakvStatus::kOk) << replies[0].text;
    other.Expect("GET k" + std::to_string(i) + "\r\n",
                 RespBulk(std::string(400'000, static_cast<char>('a' + i % 26))));
  }
}

}  // namespace
}  // namespace pakv
