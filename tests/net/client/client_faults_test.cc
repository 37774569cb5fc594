// net/client against servers that answer too late, wrongly or not at all.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/net/client/client_fixture.h"

namespace pakv {
namespace {

using testing::HasSubstr;

using ClientFaultsTest = ClientTest;

TEST_F(ClientFaultsTest, ALateReplyIsATimeoutAndDropped) {
  ScriptedServer server([](ScriptedPeer& peer) {
    peer.Greet();
    const auto set = *peer.Read();
    const auto get = *peer.Read();
    auto next = peer.Read();  // is sent when both have timed out
    peer.Send(peer.Value(get.id, "late"));
    peer.Send(peer.Error(PakvType::kSet, set.id, PakvStatus::kDiskFull, "late"));
    for (; next; next = peer.Read()) peer.Send(peer.Value(next->id, "in time"));
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
    // On a busy machine this one may come late, too.
    auto next = co_await client.AwaitGet(client.StartGet("k"));
    while (!next.ok() && next.error().fault == ClientFault::kTimeout) {
      next = co_await client.AwaitGet(client.StartGet("k"));
    }
    EXPECT_EQ((*next)->bytes, "in time");
    EXPECT_EQ(client.connection().request_count(), 0u);
  });
}

TEST_F(ClientFaultsTest, ALostConnectionFailsWhatIsUnansweredAndWhatFollows) {
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

TEST_F(ClientFaultsTest, AddressesAreTriedInTurn) {
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

TEST_F(ClientFaultsTest, AServerThatSaysNothingIsATimeout) {
  ScriptedServer server([](ScriptedPeer& peer) { peer.ReadToEnd(); }, 1000);
  ClientOptions options = Options({server.address()});
  options.connect_timeout_ns = 100 * kNsPerMs;
  ClientError error;
  do {  // on a busy machine the connection itself may take so long
    error = ConnectError(options);
    EXPECT_EQ(error.fault, ClientFault::kConnect);
  } while (error.text.ends_with(": no answer in time"));
  EXPECT_THAT(error.text, HasSubstr("is it a pakvd?"));
}

TEST_F(ClientFaultsTest, OtherProtocolsAndRefusalsAreToldApart) {
  ScriptedServer redis([](ScriptedPeer& peer) {
    peer.Read();
    peer.Send("-ERR unknown command\r\n");
    peer.ReadToEnd();
  });
  const ClientError foreign = ConnectError(Options({redis.address()}));
  EXPECT_EQ(foreign.fault, ClientFault::kProtocol);
  EXPECT_THAT(foreign.text, HasSubstr("is it the data port of a pakvd?"));

  // As a pakvd says it that does not know the protocol yet.
  ScriptedServer crowded([](ScriptedPeer& peer) {
    peer.Send("-ERR max number of clients reached\r\n");
    peer.ReadToEnd();
  });
  const ClientError turned_away = ConnectError(Options({crowded.address()}));
  EXPECT_EQ(turned_away.fault, ClientFault::kRefused);
  EXPECT_EQ(turned_away.status, PakvStatus::kTooManyConnections);

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

TEST_F(ClientFaultsTest, AWrongReplyCostsItsRequestAlone) {
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

TEST_F(ClientFaultsTest, AReplyToNothingEndsTheConnection) {
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

TEST_F(ClientFaultsTest, ARequestThatTheServerWouldNotTakeIsNotSent) {
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

TEST_F(ClientFaultsTest, UnsentRequestsAreBounded) {
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

TEST_F(ClientFaultsTest, CloseEndsWhatIsAwaited) {
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

TEST_F(ClientFaultsTest, BeforeConnectThereIsAnErrorAndNoWait) {
  Client client(*core_, Options({"127.0.0.1:1"}));
  ClientError error;
  Run(AwaitOne(client, error));
  EXPECT_EQ(error.fault, ClientFault::kConnectionLost);
  EXPECT_EQ(error.text, "not connected");
}

}  // namespace
}  // namespace pakv
