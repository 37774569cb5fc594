// Large replies that are not there at once (of keys of another core, or from the device) to clients
// who ask for many at a time: what a core holds of them is bounded, whoever does not read keeps
// nobody else from his, and all of them come, right and in order, to those who read.
#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "tests/net/pakv/pakv_connection.h"
#include "tests/net/pakv/pakv_frames.h"
#include "tests/net/resp/resp_text.h"
#include "tests/net/server/sim_server.h"
#include "tests/net/session/large_reply.h"

namespace pakv {
namespace {

constexpr size_t kValueBytes = 128 << 10;
constexpr size_t kOutputBytesMax = 256 << 10;
constexpr size_t kRoomBytes = 1 << 20;    // of each core
constexpr size_t kFileBytes = 300 << 10;  // of a value that lies in a file
constexpr int kKeys = 8;
constexpr int kMany = 64;

// Engine `memory` has no older version of a value.
bool KeepsVersions() { return getenv("PAKV_TEST_ENGINE_MEMORY") == nullptr; }

struct Place {
  uint32_t cores = 1;
  bool is_cold = false;
};

class PutOffReplyTest : public testing::TestWithParam<Place> {
 protected:
  void SetUp() override { Start(kRoomBytes); }
  void Start(uint64_t reply_bytes_max) {
    server_.reset();
    SimServer::Options options;
    options.core_count = GetParam().cores;
    options.cache_bytes = GetParam().is_cold ? 0 : 16 << 20;
    options.session_limits.output_bytes_max = kOutputBytesMax;
    options.reply_bytes_max = reply_bytes_max;
    options.device_read_bytes_max = kRoomBytes;
    options.inline_value_bytes_max = kFileBytes - 1;
    server_ = std::make_unique<SimServer>(options);
    std::string sets;
    for (int i = 0; i < kKeys; ++i) sets += RespRequest({"SET", LargeKey(i), LargeValue(i)});
    for (int i = 0; i < kKeys; ++i) sets += RespRequest({"SET", SmallKey(i), "small"});
    Expect(sets, Times(2 * kKeys, "+OK\r\n"));
  }

  static std::string LargeKey(int i) { return "large" + std::to_string(i); }
  static std::string SmallKey(int i) { return "small" + std::to_string(i); }
  static std::string LargeValue(int i) {
    return std::string(kValueBytes, static_cast<char>('a' + i));
  }

  void Expect(std::string_view request, std::string_view reply) {
    SimConnection client(*server_);
    client.Expect(request, reply);
  }
  // A client of whom small replies are expected from now on.
  std::unique_ptr<SimConnection> Primed() {
    auto client = std::make_unique<SimConnection>(*server_);
    for (int round = 0; round < 60; ++round) {
      std::string gets;
      for (int i = 0; i < kKeys; ++i) gets += "GET " + SmallKey(i) + "\r\n";
      client->Expect(gets, Times(kKeys, RespBulk("small")));
    }
    return client;
  }
  // GET of the large keys in turn, and what comes of it.
  static std::string Gets(size_t count) {
    std::string gets;
    for (size_t i = 0; i < count; ++i) {
      gets += "GET " + LargeKey(static_cast<int>(i % kKeys)) + "\r\n";
    }
    return gets;
  }
  void ExpectValues(SimConnection& client, size_t count) {
    for (size_t i = 0; i < count; ++i) {
      const std::string reply = RespBulk(LargeValue(static_cast<int>(i % kKeys)));
      ASSERT_TRUE(client.Receive(reply.size()) == reply) << i;
    }
  }
  // The value that was there, or a refusal; true: the value.
  bool ReceivesValue(SimConnection& client, int i) {
    const std::string value = RespBulk(LargeValue(i));
    std::string reply = client.Receive(kReplyRefused.size());
    if (reply == kReplyRefused) return false;
    reply += client.Receive(value.size() - kReplyRefused.size());
    EXPECT_TRUE(reply == value) << i << " " << reply.substr(0, 100);
    return true;
  }
  void OverwriteAll() {
    for (int i = 0; i < kKeys; ++i) Expect(RespRequest({"SET", LargeKey(i), "after"}), "+OK\r\n");
  }
  std::unique_ptr<SimConnection> Deaf(size_t count) {
    auto client = Primed();
    client->Send(Gets(count));
    server_->world.RunFor(kNsPerSecond);
    return client;
  }
  uint64_t CountedBytes() {
    server_->world.RunFor(kNsPerSecond);
    const auto stats = server_->node.Run(server_->server->Stats(server_->node.core(0)));
    return stats->store.memory_bytes;
  }
  // Beside what the cores hold together: the output in two buffers that grow by doubling, and what
  // a session may ask for beyond it.
  size_t BoundOf(size_t clients) const {
    return GetParam().cores * 2 * kRoomBytes + clients * (4 * kOutputBytesMax + 3 * kValueBytes) +
           (1 << 20);
  }

  // Requests for the first byte of each of many large values, which are there then.
  std::string RangesOfMany() {
    std::string sets;
    std::string gets;
    for (int i = 0; i < kMany; ++i) {
      sets += RespRequest({"SET", "many" + std::to_string(i), LargeValue(i % kKeys)});
      gets += "GETRANGE many" + std::to_string(i) + " 0 0\r\n";
    }
    Expect(sets, Times(kMany, "+OK\r\n"));
    return gets;
  }

  std::unique_ptr<SimServer> server_;
};
INSTANTIATE_TEST_SUITE_P(Places, PutOffReplyTest,
                         testing::Values(Place{1, false}, Place{1, true}, Place{2, false},
                                         Place{2, true}),
                         [](const auto& place) {
                           return std::string(place.param.cores == 1 ? "One" : "Two") +
                                  (place.param.is_cold ? "Cold" : "Cached");
                         });

TEST_P(PutOffReplyTest, AThousandAtOnceAreBoundedAndComeInOrder) {
  constexpr size_t kGets = 1024;  // 128 MiB
  const size_t heap = HeapBytes();
  const uint64_t counted = CountedBytes();
  const auto deaf = Deaf(kGets);
  EXPECT_LT(HeapBytes(), heap + BoundOf(1));
  EXPECT_LT(CountedBytes(), counted + BoundOf(1));
  ExpectValues(*deaf, kGets);
  deaf->Expect("PING\r\n", "+PONG\r\n");
  EXPECT_LT(CountedBytes(), counted + (1 << 20));
}

TEST_P(PutOffReplyTest, WhoDoesNotReadKeepsNobodyFromHis) {
  constexpr size_t kClients = 10;
  const size_t heap = HeapBytes();
  const uint64_t counted = CountedBytes();
  std::vector<std::unique_ptr<SimConnection>> deaf;
  for (size_t i = 0; i < kClients; ++i) deaf.push_back(Deaf(100));
  EXPECT_LT(HeapBytes(), heap + BoundOf(kClients));
  EXPECT_LT(CountedBytes(), counted + BoundOf(kClients));
  const auto other = Primed();
  for (int round = 0; round < 3; ++round) {
    other->Send(Gets(50));
    ExpectValues(*other, 50);
    other->Expect("SET n 1\r\nGET n\r\n", "+OK\r\n$1\r\n1\r\n");
  }
  // What those had held is there again, and one that reads after all gets everything.
  ExpectValues(*deaf[0], 100);
  deaf.clear();
  EXPECT_LT(CountedBytes(), counted + (1 << 20));
  EXPECT_LT(HeapBytes(), heap + (3 << 20));
}

TEST_P(PutOffReplyTest, WhoGoesGivesAllBack) {
  const uint64_t counted = CountedBytes();
  for (const bool resets : {true, false}) {
    std::vector<std::unique_ptr<SimConnection>> gone;
    for (int i = 0; i < 5; ++i) {
      gone.push_back(Primed());
      gone.back()->Send(Gets(200));
      // At any moment of it.
      server_->world.RunFor(static_cast<uint64_t>(i) * 150 * kNsPerUs);
      if (resets) {
        gone.back()->Reset();
      } else {
        gone.back()->Close();
      }
    }
    server_->world.RunFor(40 * kNsPerSecond);
    EXPECT_LT(CountedBytes(), counted + (1 << 20));
  }
}

// It takes longer than a client is waited for that has ended its stream; but it reads.
TEST_P(PutOffReplyTest, WhoHasEndedHisStreamGetsAllThatHeReads) {
  const auto client = Primed();
  client->Send(Gets(300));
  client->EndSending();
  for (size_t i = 0; i < 300; ++i) {
    const std::string reply = RespBulk(LargeValue(static_cast<int>(i % kKeys)));
    ASSERT_TRUE(client->Receive(reply.size()) == reply) << i;
    server_->world.RunFor(kNsPerSecond / 4);
  }
  EXPECT_EQ(client->ReceiveToEnd(), "");
}

// He is owed few replies, and has some time for them.
TEST_P(PutOffReplyTest, WhoHasEndedHisStreamAndDoesNotReadIsLetGo) {
  const uint64_t counted = CountedBytes();
  const auto client = Primed();
  client->Send(Gets(12));
  client->EndSending();
  server_->world.RunFor(40 * kNsPerSecond);
  EXPECT_LT(CountedBytes(), counted + (1 << 20));
}

// A server that is to stop answers what was asked before, at its clients' pace.
TEST_P(PutOffReplyTest, ADrainWaitsForThoseWhoRead) {
  const auto client = Primed();
  client->Send(Gets(12));
  server_->world.RunFor(kNsPerSecond);
  std::optional<bool> drained;
  const auto drain = [](Server& server, std::optional<bool>& result) -> Task<void> {
    result = co_await server.Drain(60 * kNsPerSecond);
  };
  server_->node.core(0).nursery().Spawn(drain(*server_->server, drained));
  server_->world.RunFor(kNsPerSecond);
  EXPECT_FALSE(drained.has_value());
  ExpectValues(*client, 12);
  EXPECT_EQ(client->ReceiveToEnd(), "");
  EXPECT_TRUE(server_->world.RunUntil([&] { return drained.has_value(); }));
  EXPECT_TRUE(drained.value_or(false));
}

// Replies to what a connection has sent on one key are those of the order in which it was sent.
TEST_P(PutOffReplyTest, AReadThatIsPutOffSeesNoLaterWrite) {
  const auto others = Deaf(100);  // hold all the room
  const auto client = Primed();
  std::string requests;
  for (int i = 0; i < kKeys; ++i) {
    requests += Times(3, "GET " + LargeKey(i) + "\r\n");
    requests += RespRequest({"SET", LargeKey(i), "after"}) + "GET " + LargeKey(i) + "\r\n";
  }
  client->Send(requests);
  server_->world.RunFor(kNsPerSecond);
  for (int i = 0; i < kKeys; ++i) {
    for (int k = 0; k < 3; ++k) {
      EXPECT_TRUE(ReceivesValue(*client, i) || !KeepsVersions()) << i << " " << k;
    }
    const std::string rest = "+OK\r\n" + RespBulk("after");
    EXPECT_EQ(client->Receive(rest.size()), rest) << i;
  }
}

// Nothing is kept for the sake of a version that is not the newest any more: one whose segment has
// gone is refused, and what comes behind it is answered.
TEST_P(PutOffReplyTest, OneWhoseSegmentHasGoneIsRefused) {
  constexpr size_t kGets = 12;  // so few are all begun
  const auto others = Deaf(100);
  const auto client = Primed();
  client->Send(Gets(kGets));
  server_->world.RunFor(kNsPerSecond);
  OverwriteAll();
  for (int i = 0; i < 64; ++i) {
    Expect(RespRequest({"SET", "filler", std::string(100'000, 'f')}), "+OK\r\n");
  }
  ASSERT_TRUE(server_->node.Run(server_->store->RequestCompaction(server_->node.core(0), 1)));
  server_->world.RunFor(20 * kNsPerSecond);
  size_t refused = 0;
  for (size_t i = 0; i < kGets; ++i) {
    if (!ReceivesValue(*client, static_cast<int>(i % kKeys))) ++refused;
  }
  EXPECT_GT(refused, 0u);
  EXPECT_LT(refused, kGets);
  client->Expect("PING\r\n", "+PONG\r\n");
}

// Whether its values come at once, or a part of them when the client has read the others.
TEST_P(PutOffReplyTest, AnMgetIsOfOneMoment) {
  const auto others = Deaf(100);
  const auto client = Primed();
  std::string request = "MGET";
  for (int i = 0; i < kKeys; ++i) request += " " + LargeKey(i);
  client->Send(request + "\r\n");
  server_->world.RunFor(kNsPerSecond);
  OverwriteAll();
  ASSERT_EQ(client->Receive(4), "*" + std::to_string(kKeys) + "\r\n");
  for (int i = 0; i < kKeys; ++i) {
    EXPECT_TRUE(ReceivesValue(*client, i) || !KeepsVersions()) << i;
  }
  client->Expect("GET " + LargeKey(0) + "\r\n", RespBulk("after"));
}

// Its client goes before the read has come back, for which there is no room.
TEST_P(PutOffReplyTest, AFileBehindOneThatIsDroppedIsLetGo) {
  Expect(RespRequest({"SET", "file", std::string(kFileBytes, 'f')}), "+OK\r\n");
  const auto others = Deaf(100);
  const std::string value(20 << 10, 'v');
  for (int i = 0; i < kKeys; ++i) {
    SimConnection client(*server_);
    server_->node.disk().faults.stall = 10'000;
    const std::string key = LargeKey(i);
    client.Send(RespRequest({"SET", key, value}) + RespRequest({"GET", key}) +
                RespRequest({"GET", "file"}));
    server_->world.RunFor(500 * kNsPerUs);
    client.Reset();
    server_->world.RunFor(3 * kNsPerSecond);
    server_->node.disk().faults.stall = 0;
  }
  Expect("DEL file\r\n", ":1\r\n");
  EXPECT_TRUE(server_->ValueFiles().empty());
}

// A write whose reply is large has no such way: it is refused before it has happened.
TEST_P(PutOffReplyTest, AWriteWithoutRoomForItsReplyHasNotHappened) {
  // Each takes room of the cores that are not its own: some are on each.
  std::vector<std::unique_ptr<SimConnection>> deaf;
  for (int client = 0; client < 8; ++client) deaf.push_back(Deaf(100));
  for (int i = 0; i < kKeys; ++i) {
    const std::string key = LargeKey(i);
    SimConnection client(*server_);
    client.Send(RespRequest({"GETDEL", key}));
    const std::string begin = client.Receive(1);
    if (begin == "-") {
      EXPECT_EQ(begin + client.Receive(kReplyRefused.size() - 1), kReplyRefused);
      Expect("EXISTS " + key + "\r\n", ":1\r\n");
    } else {
      Expect("EXISTS " + key + "\r\n", ":0\r\n");
    }
  }
  // On the core whose room is used up all of them were.
  SimConnection client(*server_);
  client.Send("DBSIZE\r\n");
  EXPECT_GT(std::stoi(client.Receive(4).substr(1)), kKeys);
}

TEST_P(PutOffReplyTest, InAnyOrderEachComesOnce) {
  constexpr size_t kGets = 512;
  const size_t heap = HeapBytes();
  PakvConnection client(*server_);
  for (uint64_t id = 1; id <= 400; ++id) {
    client.Ask(PakvRequest(PakvType::kGet, id, {Key(SmallKey(static_cast<int>(id % kKeys)))}));
  }
  std::string gets;
  for (size_t i = 0; i < kGets; ++i) {
    gets += PakvRequest(PakvType::kGet, 1000 + i, {Key(LargeKey(static_cast<int>(i % kKeys)))});
  }
  client.raw.Send(gets);
  server_->world.RunFor(kNsPerSecond);
  EXPECT_LT(HeapBytes(), heap + BoundOf(1));
  std::set<std::string> heads;
  size_t right = 0;
  for (size_t i = 0; i < kGets;) {
    const auto replies = client.Replies(1);
    ASSERT_FALSE(replies.empty());
    for (const PakvTestReply& reply : replies) {
      const std::string head = reply.text.substr(0, reply.text.find(" ok"));
      const size_t id = std::stoul(head.substr(head.find(' ') + 1)) - 1000;
      heads.insert(head);
      right += reply.text.find(LargeValue(static_cast<int>(id % kKeys))) != std::string::npos;
      ++i;
    }
  }
  EXPECT_EQ(heads.size(), kGets);
  EXPECT_EQ(right, kGets);
}

// A part of a large value is read as a whole. However many are asked for, buffers are few.
TEST_P(PutOffReplyTest, BuffersOfDeviceReadsAreBounded) {
  const std::string gets = RangesOfMany();
  const auto client = Primed();
  const size_t heap = HeapBytes();
  server_->node.disk().faults.stall = 10'000;
  client->Send(gets);
  server_->world.RunFor(100 * kNsPerUs);
  EXPECT_LT(HeapBytes(), heap + BoundOf(1));
  server_->node.disk().faults.stall = 0;
  for (int i = 0; i < kMany; ++i) {
    EXPECT_EQ(client->Receive(7), RespBulk(std::string(1, static_cast<char>('a' + i % kKeys))));
  }
}

TEST_P(PutOffReplyTest, AShortReadFromTheDeviceWaitsForNoLongOnes) {
  Start(kMany * kValueBytes);
  const std::string gets = RangesOfMany();
  const auto client = Primed();
  SimConnection other(*server_);
  server_->node.disk().faults.stall = 10'000;
  client->Send(gets);
  server_->world.RunFor(100 * kNsPerUs);
  other.Expect("GET " + SmallKey(0) + "\r\n", RespBulk("small"));
  server_->node.disk().faults.stall = 0;
  if (!GetParam().is_cold || !KeepsVersions()) return;  // all were there at once
  EXPECT_LT(client->ReceiveNow().size(), kMany / 2 * RespBulk("a").size());
}

}  // namespace
}  // namespace pakv
