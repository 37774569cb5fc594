// net/client against servers that follow a script: requests leave together, replies come in any
// order and in pieces, and what is held stays bounded. What goes wrong: client_faults_test.cc.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "tests/net/client/client_fixture.h"

namespace pakv {
namespace {

TEST_F(ClientTest, ABatchTravelsAndItsReplyReturns) {
  ScriptedServer server([](ScriptedPeer& peer) {
    peer.Greet();
    const auto batch = *peer.Read();
    EXPECT_EQ(batch.type, PakvType::kBatch);
    EXPECT_EQ(batch.operations,
              (std::vector<std::string>{"17 key=a value=1 condition=1 ttl=5",
                                        "18 key=b if-version=9 options=1", "19 key=n number=-3",
                                        "16 key=c", "16 key=d"}));
    peer.Send(peer.Frame(PakvType::kBatch, batch.id, PakvStatus::kOk, [](PakvWriter& writer) {
      writer.Number(PakvField::kLsn, 12);
      const auto entry = [&](auto fill) {
        writer.BeginEntry();
        fill();
        writer.EndEntry();
      };
      entry([] {});
      entry([&] { writer.Bytes(PakvField::kOldValue, "old"); });
      entry([&] { writer.Number(PakvField::kNumber, 4); });
      entry([&] {
        writer.Number(PakvField::kTtlMs, 70);
        writer.Number(PakvField::kLsn, 8);
        writer.Bytes(PakvField::kValue, "");
      });
      entry([&] { writer.Number(PakvField::kStatus, 0x10); });
    }));
    const auto failing = *peer.Read();
    peer.Send(peer.Frame(PakvType::kBatch, failing.id, PakvStatus::kConditionFailed,
                         [](PakvWriter& writer) { writer.Number(PakvField::kNumber, 1); }));
    const auto refused = *peer.Read();
    peer.Send(peer.Frame(PakvType::kBatch, refused.id, PakvStatus::kNotAnInteger,
                         [](PakvWriter& writer) { writer.Number(PakvField::kNumber, 2); }));
    const auto too_large = *peer.Read();
    peer.Send(peer.Error(PakvType::kBatch, too_large.id, PakvStatus::kBatchTooLarge, "of none"));
    peer.ReadToEnd();
  });
  RunConnected(server, [](Client& client) -> Task<void> {
    using Kind = ClientOperation::Kind;
    std::vector<ClientOperation> operations(5);
    operations[0].kind = Kind::kSet;
    operations[0].set = {.key = "a", .value = "1", .ttl_ms = 5};
    operations[0].set.condition = ClientCondition::kIfAbsent;
    operations[1].kind = Kind::kDelete;
    operations[1].set = {.key = "b", .condition = ClientCondition::kIfVersion, .version = 9};
    operations[1].set.return_old = true;
    operations[2].kind = Kind::kIncrement;
    operations[2].set.key = "n";
    operations[2].delta = -3;
    operations[3].set.key = "c";
    operations[4].set.key = "d";
    const uint64_t id = client.StartBatch(operations);
    const auto done = co_await client.AwaitBatch(id);
    EXPECT_TRUE(done.ok());
    if (!done.ok()) co_return;
    EXPECT_FALSE(done->failed);
    EXPECT_EQ(done->lsn, 12u);
    EXPECT_EQ(done->operations.size(), 5u);
    EXPECT_EQ(done->operations[1].old_value, "old");
    EXPECT_EQ(done->operations[2].number, 4);
    EXPECT_EQ(done->operations[3].value->bytes, "");
    EXPECT_EQ(done->operations[3].value->lsn, 8u);
    EXPECT_EQ(done->operations[3].value->ttl_ms, 70u);
    EXPECT_FALSE(done->operations[4].found);
    EXPECT_FALSE(done->operations[4].value);

    const uint64_t failing = client.StartBatch(operations);
    const auto failed = co_await client.AwaitBatch(failing);
    EXPECT_TRUE(failed.ok() && failed->failed == 1u);
    const uint64_t refused = client.StartBatch(operations);
    const auto error = co_await client.AwaitBatch(refused);
    EXPECT_EQ(error.error().status, PakvStatus::kNotAnInteger);
    EXPECT_EQ(error.error().operation, 2u);
    EXPECT_FALSE(error.error().outcome_unknown);
    const uint64_t of_none = client.StartBatch(operations);
    const auto error_of_none = co_await client.AwaitBatch(of_none);
    EXPECT_EQ(error_of_none.error().status, PakvStatus::kBatchTooLarge);
    EXPECT_EQ(error_of_none.error().operation, std::nullopt);

    // What no server takes is not sent.
    std::vector<ClientOperation> large(1);
    large[0].kind = Kind::kSet;
    large[0].set = {.key = "a", .value = std::string(kPakvBatchFrameBytesMax, 'v')};
    const uint64_t too_large = client.StartBatch(large);
    const auto unsent = co_await client.AwaitBatch(too_large);
    EXPECT_EQ(unsent.error().status, PakvStatus::kBatchTooLarge);
  });
}

// The server goes with both unanswered.
TEST_F(ClientTest, OnlyABatchThatWritesMayHaveTakenEffect) {
  ScriptedServer server([](ScriptedPeer& peer) {
    peer.Greet();
    peer.Read();
    peer.Read();
  });
  RunConnected(server, [](Client& client) -> Task<void> {
    std::vector<ClientOperation> operations(1);
    operations[0].set.key = "a";
    const uint64_t look = client.StartBatch(operations);
    operations[0].kind = ClientOperation::Kind::kDelete;
    const uint64_t write = client.StartBatch(operations);
    const auto looked = co_await client.AwaitBatch(look);
    EXPECT_EQ(looked.error().fault, ClientFault::kConnectionLost);
    EXPECT_FALSE(looked.error().outcome_unknown);
    const auto written = co_await client.AwaitBatch(write);
    EXPECT_TRUE(written.error().outcome_unknown);
  });
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
    const auto find = *peer.Read();
    EXPECT_EQ(find.type, PakvType::kNamespace);
    EXPECT_EQ(find.name, "orders");
    EXPECT_EQ(find.options, 0u);
    peer.Send(peer.Frame(PakvType::kNamespace, find.id, PakvStatus::kNotFound, [](PakvWriter&) {}));
    const auto create = *peer.Read();
    EXPECT_EQ(create.options, static_cast<uint64_t>(PakvOption::kCreate));
    peer.Send(peer.Frame(PakvType::kNamespace, create.id, PakvStatus::kOk,
                         [](PakvWriter& writer) { writer.Number(PakvField::kNamespace, 77); }));
    const auto elsewhere = *peer.Read();
    EXPECT_EQ(elsewhere.type, PakvType::kGet);
    EXPECT_EQ(elsewhere.namespace_id, 77u);
    peer.Send(peer.Value(elsewhere.id, "v"));
    for (const bool all : {false, true}) {
      const auto flush = *peer.Read();
      EXPECT_EQ(flush.type, PakvType::kFlush);
      EXPECT_EQ(flush.namespace_id, all ? 0u : 77u);
      EXPECT_EQ(flush.options, all ? static_cast<uint64_t>(PakvOption::kAllNamespaces) : 0u);
      peer.Send(peer.Frame(PakvType::kFlush, flush.id, PakvStatus::kOk,
                           [](PakvWriter& writer) { writer.Number(PakvField::kLsn, 12); }));
    }
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
    auto absent = co_await client.AwaitOpenNamespace(client.StartOpenNamespace("orders", false));
    EXPECT_TRUE(absent.ok() && !absent->has_value());
    auto created = co_await client.AwaitOpenNamespace(client.StartOpenNamespace("orders", true));
    EXPECT_EQ(**created, 77u);
    client.UseNamespace(**created);
    auto there = co_await client.AwaitGet(client.StartGet("k"));
    EXPECT_EQ((*there)->bytes, "v");
    auto flushed = co_await client.AwaitFlush(client.StartFlush());
    EXPECT_EQ(*flushed, 12u);
    auto flushed_all = co_await client.AwaitFlush(client.StartFlushAll());
    EXPECT_TRUE(flushed_all.ok());
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

}  // namespace
}  // namespace pakv
