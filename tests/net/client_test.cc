// net/client against servers that follow a script: requests leave together, replies come in any
// order, in pieces, too late, wrong or never, and what is held stays bounded.
#include "net/client/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "runtime/io/uring_ring.h"
#include "tests/net/scripted_server.h"

namespace pakv {
namespace {

using testing::HasSubstr;

constexpr size_t kMebibyte = size_t{1} << 20;

class ClientTest : public testing::Test {
 protected:
  ClientTest() {
    std::string error;
    auto ring = UringRing::Create({.entries = 64, .receive_buffer_count = 64}, error);
    EXPECT_NE(ring, nullptr) << error;
    core_ = std::make_unique<Core>(0, 1, SystemClock(), std::move(ring), CoreOptions{0, 0, 0});
    core_->ring().Start();
  }

  ClientOptions Options(const std::vector<std::string>& addresses) {
    ClientOptions options;
    for (const std::string& address : addresses) {
      options.endpoints.push_back(ParseEndpoint(address).value());
    }
    options.connect_timeout_ns = 10 * kNsPerSecond;
    return options;
  }

  // Runs `task` to its end on the core.
  void Run(Task<void> task) {
    core_->nursery().Spawn(std::move(task));
    while (core_->nursery().size() > 0) core_->RunPass();
  }

  // Connects, runs `body(client)`, closes.
  using Body = Task<void> (*)(Client&);
  void RunConnected(ClientOptions options, Body body) {
    Client client(*core_, std::move(options));
    Run(Connected(client, body));
  }
  void RunConnected(const ScriptedServer& server, Body body) {
    RunConnected(Options({server.address()}), body);
  }
  static Task<void> Connected(Client& client, Body body) {
    ClientError error = co_await client.Connect();
    EXPECT_TRUE(error.ok()) << error.text;
    if (error.ok()) co_await body(client);
    co_await client.Close();
  }

  // What Connect says; the client is closed after.
  ClientError ConnectError(ClientOptions options) {
    Client client(*core_, std::move(options));
    ClientError error;
    Run(ConnectAlone(client, error));
    return error;
  }
  static Task<void> ConnectAlone(Client& client, ClientError& error) {
    error = co_await client.Connect();
    co_await client.Close();
  }

  std::unique_ptr<Core> core_;
};

// Answers gets with their key as value until the client goes.
void EchoKeys(ScriptedPeer& peer) {
  peer.Greet();
  while (const auto request = peer.Read()) peer.Send(peer.Value(request->id, request->key));
}

TEST_F(ClientTest, EachRequestTravelsAndItsReplyReturns) {
  ScriptedServer server([](ScriptedPeer& peer) {
    peer.Greet();
    auto set = *peer.Read();
    EXPECT_EQ(set.type, PakvType::kSet);
    EXPECT_EQ(set.key, "k");
    EXPECT_EQ(set.value, std::string("v\0\xff", 3));
    EXPECT_EQ(set.version, 7u);
    EXPECT_EQ(set.options, 1u);
    peer.Send(peer.Frame(PakvType::kSet, set.id, PakvStatus::kOk, [](PakvWriter& writer) {
      writer.Number(PakvField::kLsn, 8);
      writer.Bytes(PakvField::kOldValue, "old");
    }));
    set = *peer.Read();
    EXPECT_EQ(set.condition, 1u);
    peer.Send(peer.Frame(PakvType::kSet, set.id, PakvStatus::kConditionFailed,
                         [](PakvWriter& writer) { writer.Number(PakvField::kLsn, 8); }));
    const auto get = *peer.Read();
    peer.Send(peer.Value(get.id, "v", 9));
    const auto missing = *peer.Read();
    peer.Send(peer.Frame(PakvType::kGet, missing.id, PakvStatus::kNotFound, [](PakvWriter&) {}));
    const auto removed = *peer.Read();
    EXPECT_EQ(removed.type, PakvType::kDelete);
    EXPECT_EQ(removed.options, 1u);
    peer.Send(peer.Frame(PakvType::kDelete, removed.id, PakvStatus::kOk, [](PakvWriter& writer) {
      writer.Number(PakvField::kLsn, 10);
      writer.Bytes(PakvField::kOldValue, "");
    }));
    const auto incr = *peer.Read();
    EXPECT_EQ(incr.number, -5);
    peer.Send(peer.Frame(PakvType::kIncr, incr.id, PakvStatus::kOk, [](PakvWriter& writer) {
      writer.Number(PakvField::kNumber, static_cast<uint64_t>(-7));
      writer.Number(PakvField::kLsn, 11);
    }));
    const auto unfit = *peer.Read();
    peer.Send(peer.Error(PakvType::kIncr, unfit.id, PakvStatus::kNotAnInteger, "no integer"));
    const auto scan = *peer.Read();
    EXPECT_EQ(scan.prefix, "p");
    EXPECT_EQ(scan.cursor, "c");
    EXPECT_EQ(scan.limit, 3u);
    peer.Send(peer.Frame(PakvType::kScan, scan.id, PakvStatus::kOk, [](PakvWriter& writer) {
      writer.Bytes(PakvField::kCursor, "d");
      for (const char* key : {"p1", "p2"}) {
        writer.BeginEntry();
        writer.Bytes(PakvField::kKey, key);
        writer.EndEntry();
      }
    }));
    const auto stats = *peer.Read();
    peer.Send(peer.Frame(PakvType::kStats, stats.id, PakvStatus::kOk, [](PakvWriter& writer) {
      writer.BeginEntry();
      writer.Number(PakvField::kNumber, 42);
      writer.Bytes(PakvField::kKey, "keys");
      writer.EndEntry();
    }));
    const auto ping = *peer.Read();
    peer.Send(peer.Frame(PakvType::kPing, ping.id, PakvStatus::kOk, [](PakvWriter&) {}));
    peer.ReadToEnd();
  });
  RunConnected(server, [](Client& client) -> Task<void> {
    ClientSet set;
    set.key = "k";
    set.value = std::string("v\0\xff", 3);
    set.condition = ClientCondition::kIfVersion;
    set.version = 7;
    set.return_old = true;
    auto done = co_await client.AwaitSet(client.StartSet(set));
    EXPECT_TRUE(done->condition_met);
    EXPECT_EQ(done->lsn, 8u);
    EXPECT_EQ(done->old_value, "old");
    ClientSet conditional;
    conditional.condition = ClientCondition::kIfAbsent;
    auto refused = co_await client.AwaitSet(client.StartSet(conditional));
    EXPECT_FALSE(refused->condition_met);
    auto got = co_await client.AwaitGet(client.StartGet("k"));
    EXPECT_EQ((*got)->bytes, "v");
    EXPECT_EQ((*got)->lsn, 9u);
    auto missing = co_await client.AwaitGet(client.StartGet("x"));
    EXPECT_TRUE(missing.ok() && !missing->has_value());
    auto removed = co_await client.AwaitDelete(client.StartDelete("k", true));
    EXPECT_EQ((*removed)->old_value, "");
    auto number = co_await client.AwaitIncrement(client.StartIncrement("n", -5));
    EXPECT_EQ(number->value, -7);
    auto unfit = co_await client.AwaitIncrement(client.StartIncrement("s", 1));
    EXPECT_EQ(unfit.error().status, PakvStatus::kNotAnInteger);
    EXPECT_EQ(unfit.error().text, "no integer");
    EXPECT_FALSE(unfit.error().outcome_unknown);
    auto page = co_await client.AwaitScan(client.StartScan("p", "c", 3));
    EXPECT_THAT(page->keys, testing::ElementsAre("p1", "p2"));
    EXPECT_EQ(page->cursor, "d");
    auto counters = co_await client.AwaitStats(client.StartStats());
    EXPECT_EQ((*counters)[0].name, "keys");
    EXPECT_EQ((*counters)[0].value, 42);
    auto pong = co_await client.AwaitPing(client.StartPing());
    EXPECT_TRUE(pong.ok());
  });
}

TEST_F(ClientTest, RequestsStartedTogetherLeaveInOneSend) {
  ScriptedServer server(EchoKeys);
  RunConnected(server, [](Client& client) -> Task<void> {
    const uint64_t sends_before = client.connection().sends();
    std::vector<uint64_t> ids;
    for (int i = 0; i < 100; ++i) ids.push_back(client.StartGet(std::to_string(i)));
    for (int i = 0; i < 100; ++i) {
      auto got = co_await client.AwaitGet(ids[static_cast<size_t>(i)]);
      EXPECT_EQ((*got)->bytes, std::to_string(i));
    }
    EXPECT_EQ(client.connection().sends(), sends_before + 1);
    EXPECT_EQ(client.connection().request_count(), 0u);
  });
}

TEST_F(ClientTest, FourRequestsAreAwaitedInAllOrders) {
  ScriptedServer server([](ScriptedPeer& peer) {
    peer.Greet();
    std::vector<ScriptedRequest> requests;
    while (const auto request = peer.Read()) {
      requests.push_back(*request);
      if (requests.size() < 4) continue;
      // The replies' order differs from the requests'.
      for (const size_t i : {2, 0, 3, 1}) peer.Send(peer.Value(requests[i].id, requests[i].key));
      requests.clear();
    }
  });
  RunConnected(server, [](Client& client) -> Task<void> {
    std::array<size_t, 4> order = {0, 1, 2, 3};
    do {
      std::array<uint64_t, 4> ids{};
      for (size_t i = 0; i < 4; ++i) ids[i] = client.StartGet(std::to_string(i));
      for (const size_t i : order) {
        auto got = co_await client.AwaitGet(ids[i]);
        EXPECT_EQ((*got)->bytes, std::to_string(i));
      }
      EXPECT_EQ(client.connection().held_bytes(), 0u);
    } while (std::next_permutation(order.begin(), order.end()));
  });
}

TEST_F(ClientTest, SequentialRequestsNeedNoGrowingMemory) {
  ScriptedServer server(EchoKeys);
  RunConnected(server, [](Client& client) -> Task<void> {
    const std::string key(1000, 'k');
    for (int i = 0; i < 100000; ++i) {
      auto got = co_await client.AwaitGet(client.StartGet(key));
      EXPECT_EQ((*got)->bytes.size(), key.size());
    }
    EXPECT_LE(client.connection().receive_buffer_bytes_peak(), 8192u);
    EXPECT_EQ(client.connection().request_count(), 0u);
  });
}

TEST_F(ClientTest, RepliesMayComeByteByByteAndManyAtOnce) {
  ScriptedServer server([](ScriptedPeer& peer) {
    peer.Greet();
    std::string bytes;
    for (int i = 0; i < 3; ++i) bytes += peer.Value(peer.Read()->id, std::string(50, 'v'));
    for (const char byte : bytes) peer.Send({&byte, 1});
    bytes.clear();
    for (int i = 0; i < 3; ++i) bytes += peer.Value(peer.Read()->id, std::string(100000, 'w'));
    peer.Send(bytes);
    peer.ReadToEnd();
  });
  RunConnected(server, [](Client& client) -> Task<void> {
    for (const std::string& value : {std::string(50, 'v'), std::string(100000, 'w')}) {
      std::vector<uint64_t> ids;
      for (int i = 0; i < 3; ++i) ids.push_back(client.StartGet("k"));
      for (const uint64_t id : ids) {
        auto got = co_await client.AwaitGet(id);
        EXPECT_EQ((*got)->bytes, value);
      }
    }
  });
}

TEST_F(ClientTest, ADiscardedReplyIsSkippedUnheld) {
  ScriptedServer server([](ScriptedPeer& peer) {
    peer.Greet();
    const auto large = *peer.Read();
    const auto small = *peer.Read();
    peer.Send(peer.Value(large.id, std::string(8 * kMebibyte, 'x')));
    peer.Send(peer.Value(small.id, "small"));
    peer.ReadToEnd();
  });
  RunConnected(server, [](Client& client) -> Task<void> {
    client.Discard(client.StartGet("large"));
    auto got = co_await client.AwaitGet(client.StartGet("small"));
    EXPECT_EQ((*got)->bytes, "small");
    EXPECT_LE(client.connection().receive_buffer_bytes_peak(), 64u * 1024);
    EXPECT_EQ(client.connection().request_count(), 0u);
  });
}

TEST_F(ClientTest, HeldRepliesAreBoundedAndTheOneBehindThemSaysSo) {
  ScriptedServer server([](ScriptedPeer& peer) {
    peer.Greet();
    std::vector<uint64_t> ids;
    for (int i = 0; i < 20; ++i) ids.push_back(peer.Read()->id);
    for (const uint64_t id : ids) peer.Send(peer.Value(id, std::string(kMebibyte, 'x')));
    peer.Send(peer.Value(peer.Read()->id, "after"));
    peer.ReadToEnd();
  });
  ClientOptions options = Options({server.address()});
  options.connection.held_bytes_max = 3 * kMebibyte;
  RunConnected(std::move(options), [](Client& client) -> Task<void> {
    std::vector<uint64_t> ids;
    for (int i = 0; i < 20; ++i) ids.push_back(client.StartGet("k"));
    auto last = co_await client.AwaitGet(ids.back());
    EXPECT_EQ(last.error().fault, ClientFault::kHeldTooMuch);
    EXPECT_LE(client.connection().held_bytes(), 4 * kMebibyte + 1024);
    ids.pop_back();
    for (const uint64_t id : ids) {
      auto got = co_await client.AwaitGet(id);
      EXPECT_EQ((*got)->bytes.size(), kMebibyte);
    }
    auto after = co_await client.AwaitGet(client.StartGet("k"));
    EXPECT_EQ((*after)->bytes, "after");
    EXPECT_EQ(client.connection().held_bytes(), 0u);
    EXPECT_EQ(client.connection().request_count(), 0u);
  });
}

TEST_F(ClientTest, ALateReplyIsATimeoutAndDropped) {
  ScriptedServer server([](ScriptedPeer& peer) {
    peer.Greet();
    const auto set = *peer.Read();
    const auto get = *peer.Read();
    const auto next = *peer.Read();  // is sent when both have timed out
    peer.Send(peer.Value(get.id, "late"));
    peer.Send(peer.Error(PakvType::kSet, set.id, PakvStatus::kDiskFull, "late"));
    peer.Send(peer.Value(next.id, "in time"));
    peer.ReadToEnd();
  });
  ClientOptions options = Options({server.address()});
  options.connection.request_timeout_ns = 200 * kNsPerMs;
  RunConnected(std::move(options), [](Client& client) -> Task<void> {
    const ClientSet write;
    const uint64_t set = client.StartSet(write);
    const uint64_t get = client.StartGet("k");
    auto done = co_await client.AwaitSet(set);
    EXPECT_EQ(done.error().fault, ClientFault::kTimeout);
    EXPECT_TRUE(done.error().outcome_unknown);
    EXPECT_THAT(done.error().text, HasSubstr("no reply within 200 ms"));
    auto got = co_await client.AwaitGet(get);
    EXPECT_EQ(got.error().fault, ClientFault::kTimeout);
    EXPECT_FALSE(got.error().outcome_unknown);
    auto next = co_await client.AwaitGet(client.StartGet("k"));
    EXPECT_EQ((*next)->bytes, "in time");
    EXPECT_EQ(client.connection().request_count(), 0u);
  });
}

TEST_F(ClientTest, ALostConnectionFailsWhatIsUnansweredAndWhatFollows) {
  ScriptedServer server([](ScriptedPeer& peer) {
    peer.Greet();
    const auto first = *peer.Read();
    const auto second = *peer.Read();
    peer.Send(peer.Value(first.id, "answered"));
    const std::string half = peer.Value(second.id, "half");
    peer.Send(std::string_view(half).substr(0, half.size() - 1));
  });
  RunConnected(server, [](Client& client) -> Task<void> {
    const uint64_t first = client.StartGet("a");
    const ClientSet write;
    const uint64_t second = client.StartSet(write);
    auto lost = co_await client.AwaitSet(second);
    EXPECT_EQ(lost.error().fault, ClientFault::kConnectionLost);
    EXPECT_TRUE(lost.error().outcome_unknown);
    auto answered = co_await client.AwaitGet(first);
    EXPECT_EQ((*answered)->bytes, "answered");
    auto after = co_await client.AwaitGet(client.StartGet("b"));
    EXPECT_EQ(after.error().fault, ClientFault::kConnectionLost);
  });
}

TEST_F(ClientTest, AddressesAreTriedInTurn) {
  std::string refusing;
  {
    ScriptedServer gone([](ScriptedPeer&) {}, 0);
    refusing = gone.address();
  }
  ScriptedServer server(EchoKeys);
  RunConnected(Options({"unix:/nowhere/pakv.sock", refusing, server.address()}),
               [](Client& client) -> Task<void> {
                 auto got = co_await client.AwaitGet(client.StartGet("k"));
                 EXPECT_EQ((*got)->bytes, "k");
               });
  const ClientError error =
      ConnectError(Options({refusing, "unix:/nowhere/pakv.sock", "no-such-host.invalid:1"}));
  EXPECT_EQ(error.fault, ClientFault::kConnect);
  EXPECT_THAT(error.text,
              HasSubstr(refusing + ": Connection refused; unix:/nowhere/pakv.sock: "
                                   "No such file or directory; no-such-host.invalid:1"));
}

TEST_F(ClientTest, AServerThatSaysNothingIsATimeout) {
  ScriptedServer server([](ScriptedPeer& peer) { peer.ReadToEnd(); });
  ClientOptions options = Options({server.address()});
  options.connect_timeout_ns = 100 * kNsPerMs;
  const ClientError error = ConnectError(std::move(options));
  EXPECT_EQ(error.fault, ClientFault::kConnect);
  EXPECT_THAT(error.text, HasSubstr("is it a pakvd?"));
}

TEST_F(ClientTest, OtherProtocolsAndRefusalsAreToldApart) {
  ScriptedServer redis([](ScriptedPeer& peer) {
    peer.Read();
    peer.Send("-ERR unknown command\r\n");
    peer.ReadToEnd();
  });
  EXPECT_EQ(ConnectError(Options({redis.address()})).fault, ClientFault::kProtocol);

  ScriptedServer full([](ScriptedPeer& peer) {
    peer.Send(
        peer.Error(PakvType::kNone, 0, PakvStatus::kTooManyConnections, "too many connections"));
    peer.ReadToEnd();
  });
  const ClientError refused = ConnectError(Options({full.address()}));
  EXPECT_EQ(refused.fault, ClientFault::kRefused);
  EXPECT_EQ(refused.status, PakvStatus::kTooManyConnections);
  EXPECT_THAT(refused.text, HasSubstr("too many connections"));

  ScriptedServer newer([](ScriptedPeer& peer) {
    const auto hello = peer.Read();
    peer.Send(peer.Error(PakvType::kHello, hello->id, PakvStatus::kVersionUnsupported, "2 to 3"));
    peer.ReadToEnd();
  });
  const ClientError version = ConnectError(Options({newer.address()}));
  EXPECT_EQ(version.status, PakvStatus::kVersionUnsupported);
}

TEST_F(ClientTest, AWrongReplyCostsItsRequestAlone) {
  ScriptedServer server([](ScriptedPeer& peer) {
    peer.Greet();
    std::string damaged = peer.Value(peer.Read()->id, "damaged");
    damaged.back() = '?';
    peer.Send(damaged);
    peer.Send(peer.Frame(PakvType::kPing, peer.Read()->id, PakvStatus::kOk, [](PakvWriter&) {}));
    peer.Send(peer.Value(peer.Read()->id, std::string(2 * kMebibyte, 'x')));
    peer.Send(peer.Value(peer.Read()->id, "right"));
    peer.ReadToEnd();
  });
  ClientOptions options = Options({server.address()});
  options.connection.reply_bytes_max = kMebibyte;
  RunConnected(std::move(options), [](Client& client) -> Task<void> {
    for (const char* told : {"bad-checksum", "not one to what was asked", "frame-too-large"}) {
      auto got = co_await client.AwaitGet(client.StartGet("k"));
      EXPECT_EQ(got.error().fault, ClientFault::kProtocol);
      EXPECT_THAT(got.error().text, HasSubstr(told));
    }
    auto right = co_await client.AwaitGet(client.StartGet("k"));
    EXPECT_EQ((*right)->bytes, "right");
  });
}

TEST_F(ClientTest, AReplyToNothingEndsTheConnection) {
  ScriptedServer server([](ScriptedPeer& peer) {
    peer.Greet();
    peer.Send(peer.Value(peer.Read()->id + 1000, "x"));
    peer.ReadToEnd();
  });
  RunConnected(server, [](Client& client) -> Task<void> {
    auto got = co_await client.AwaitGet(client.StartGet("k"));
    EXPECT_EQ(got.error().fault, ClientFault::kProtocol);
  });
}

TEST_F(ClientTest, ARequestThatTheServerWouldNotTakeIsNotSent) {
  ScriptedServer server([](ScriptedPeer& peer) {
    peer.Greet(kMebibyte);
    peer.Send(peer.Value(peer.Read()->id, "next"));
    peer.ReadToEnd();
  });
  RunConnected(server, [](Client& client) -> Task<void> {
    ClientSet set;
    set.value = std::string(kMebibyte, 'x');
    auto done = co_await client.AwaitSet(client.StartSet(set));
    EXPECT_EQ(done.error().status, PakvStatus::kFrameTooLarge);
    EXPECT_FALSE(done.error().outcome_unknown);
    auto next = co_await client.AwaitGet(client.StartGet("k"));
    EXPECT_EQ((*next)->bytes, "next");
  });
}

TEST_F(ClientTest, UnsentRequestsAreBounded) {
  ScriptedServer server(EchoKeys);
  ClientOptions options = Options({server.address()});
  options.connection.unsent_bytes_max = 1000;
  RunConnected(std::move(options), [](Client& client) -> Task<void> {
    std::vector<uint64_t> ids;
    for (int i = 0; i < 4; ++i) ids.push_back(client.StartGet(std::string(300, 'k')));
    auto refused = co_await client.AwaitGet(ids[3]);
    EXPECT_EQ(refused.error().fault, ClientFault::kHeldTooMuch);
    for (size_t i = 0; i < 3; ++i) {
      auto got = co_await client.AwaitGet(ids[i]);
      EXPECT_TRUE(got.ok());
    }
  });
}

Task<void> AwaitOne(Client& client, ClientError& error) {
  auto got = co_await client.AwaitGet(client.StartGet("k"));
  error = got.error();
}

TEST_F(ClientTest, CloseEndsWhatIsAwaited) {
  ScriptedServer server([](ScriptedPeer& peer) {
    peer.Greet();
    peer.ReadToEnd();
  });
  RunConnected(server, [](Client& client) -> Task<void> {
    ReadyQueue ready;
    Nursery nursery(ready);
    ClientError error;
    nursery.Spawn(AwaitOne(client, error));
    co_await client.Close();
    EXPECT_EQ(nursery.size(), 0u);
    EXPECT_EQ(error.fault, ClientFault::kConnectionLost);
  });
}

TEST_F(ClientTest, BeforeConnectThereIsAnErrorAndNoWait) {
  Client client(*core_, Options({"127.0.0.1:1"}));
  ClientError error;
  Run(AwaitOne(client, error));
  EXPECT_EQ(error.fault, ClientFault::kConnectionLost);
  EXPECT_EQ(error.text, "not connected");
}

}  // namespace
}  // namespace pakv
