// ValueWriter and ValueReader: values of any length go and come in pieces, in bounded memory, with
// other requests between them; what refuses or breaks one is told and leaves the client usable.
// Client and server run in one simulated world.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/client/client.h"
#include "net/client/value_reader.h"
#include "net/client/value_writer.h"
#include "tests/net/server/sim_server.h"

namespace pakv {
namespace {

constexpr uint32_t kKeyBytesMax = 1024;
constexpr uint32_t kInlineBytesMax = 60'000;
constexpr uint32_t kValueBytesMax = 2'000'000;

std::string ValueOf(char first, size_t length) {
  std::string value(length, '\0');
  for (size_t i = 0; i < length; ++i) value[i] = static_cast<char>(first + i * 7 + i / 4096);
  return value;
}

// What is read, or "error: …".
struct Got {
  bool found = false;
  std::string bytes;
  ClientError error;
};

Task<Got> ReadAll(Client& client, std::string key) {
  Got got;
  ValueReader reader(client);
  ClientResult<bool> found = co_await reader.Open(key);
  got.error = found.error();
  if (!found.ok()) co_return got;
  got.found = *found;
  while (got.found) {
    ClientResult<std::string> piece = co_await reader.Next();
    got.error = piece.error();
    if (!piece.ok() || piece->empty()) break;
    got.bytes += *piece;
    EXPECT_LE(client.connection().part_bytes(), size_t{3} << 20);
  }
  if (got.found && got.error.ok()) {
    EXPECT_EQ(reader.total_bytes(), got.bytes.size());
    EXPECT_NE(reader.lsn(), 0u);
  }
  co_return got;
}

Task<ClientResult<ClientSetDone>> WriteAll(Client& client, ClientSet set, std::string_view value,
                                           size_t step, uint64_t total_bytes = 0) {
  ValueWriter writer(client, std::move(set), total_bytes);
  while (!value.empty()) {
    const bool goes_on = co_await writer.Write(value.substr(0, step));
    if (!goes_on) break;
    value.remove_prefix(std::min(step, value.size()));
  }
  co_return co_await writer.Finish();
}

class ClientValueTest : public testing::Test {
 protected:
  ClientValueTest()
      : server_({.core_count = 2,
                 .key_bytes_max = kKeyBytesMax,
                 .value_bytes_max = kValueBytesMax,
                 .inline_value_bytes_max = kInlineBytesMax}) {}

  using Body = Task<void> (*)(SimServer& server, Client& client);
  void Run(Body body) { EXPECT_TRUE(server_.node.Run(Connected(server_, body))); }
  static Task<void> Connected(SimServer& server, Body body) {
    ClientOptions options;
    options.endpoints.push_back(*ParseEndpoint(server.data_address()));
    Client client(server.node.core(0), std::move(options));
    ClientError error = co_await client.Connect();
    EXPECT_TRUE(error.ok()) << error.text;
    if (error.ok()) co_await body(server, client);
    co_await client.Close();
  }

  SimServer server_;
};

TEST_F(ClientValueTest, ValuesOfAnyLengthComeBack) {
  Run([](SimServer&, Client& client) -> Task<void> {
    EXPECT_EQ(client.whole_value_bytes_max(), kInlineBytesMax);
    for (const size_t length : {size_t{0}, size_t{1}, size_t{kInlineBytesMax},
                                size_t{kInlineBytesMax} + 1, size_t{65'536}, size_t{65'537},
                                size_t{131'072}, size_t{700'001}, size_t{kValueBytesMax}}) {
      for (const size_t step : {size_t{7919}, size_t{1} << 20}) {
        const std::string value = ValueOf('a', length);
        ClientSet set{.key = "key"};
        auto done = co_await WriteAll(client, std::move(set), value, step, length);
        EXPECT_TRUE(done.ok()) << length << ": " << done.error().text;
        Got got = co_await ReadAll(client, "key");
        EXPECT_TRUE(got.error.ok() && got.found && got.bytes == value) << length;
      }
    }
    Got none = co_await ReadAll(client, "none");
    EXPECT_TRUE(none.error.ok() && !none.found);
    EXPECT_EQ(client.connection().request_count(), 0u);
    EXPECT_EQ(client.connection().part_bytes(), 0u);
  });
}

TEST_F(ClientValueTest, ConditionsAndExpiryAreThoseOfSet) {
  Run([](SimServer&, Client& client) -> Task<void> {
    const std::string value = ValueOf('a', 100'000);
    ClientSet first{.key = "key", .condition = ClientCondition::kIfAbsent};
    first.ttl_ms = 90'000;
    auto done = co_await WriteAll(client, first, value, 50'000);
    EXPECT_TRUE(done.ok() && done->condition_met);
    auto again = co_await WriteAll(client, first, value, 50'000);
    EXPECT_TRUE(again.ok() && !again->condition_met);
    ValueReader reader(client);
    auto found = co_await reader.Open("key");
    EXPECT_TRUE(found.ok() && *found);
    EXPECT_EQ(reader.lsn(), done->lsn);
    EXPECT_GT(reader.ttl_ms().value_or(0), 80'000u);
    EXPECT_GT(reader.expires_at_ms(), 0u);
  });
}

// Which is dropped half-way: what it had to come is skipped.
TEST_F(ClientValueTest, OtherRequestsGoOnBesideAReader) {
  Run([](SimServer&, Client& client) -> Task<void> {
    const std::string value = ValueOf('a', 500'000);
    ClientSet set{.key = "key"};
    auto done = co_await WriteAll(client, std::move(set), value, 50'000);
    EXPECT_TRUE(done.ok());
    {
      ValueReader reader(client);
      auto found = co_await reader.Open("key");
      EXPECT_TRUE(found.ok() && *found);
      auto piece = co_await reader.Next();
      EXPECT_TRUE(piece.ok() && value.starts_with(*piece));
      const uint64_t incr = client.StartIncrement("n", 1);
      auto number = co_await client.AwaitIncrement(incr);
      EXPECT_TRUE(number.ok() && number->value == 1);
    }
    const uint64_t get = client.StartGet("n");
    auto number = co_await client.AwaitGet(get);
    EXPECT_TRUE(number.ok() && *number && (**number).bytes == "1");
    Got got = co_await ReadAll(client, "key");
    EXPECT_TRUE(got.bytes == value);
    // Whoever asks for it in one piece is told.
    const uint64_t whole = client.StartGet("key");
    auto refused = co_await client.AwaitGet(whole);
    EXPECT_EQ(refused.error().status, PakvStatus::kValueTooLong);
  });
}

Task<void> WriteAndCount(Client& client, std::string key, std::string value, int& written) {
  ClientSet set{.key = std::move(key)};
  auto done = co_await WriteAll(client, std::move(set), value, 40'000);
  EXPECT_TRUE(done.ok()) << done.error().text;
  ++written;
}

TEST_F(ClientValueTest, SeveralAreWrittenOneAfterTheOther) {
  Run([](SimServer& server, Client& client) -> Task<void> {
    int written = 0;
    Nursery nursery(server.node.core(0).ready());
    for (const char key : {'a', 'b', 'c'}) {
      nursery.Spawn(WriteAndCount(client, std::string(1, key), ValueOf(key, 300'000), written));
    }
    co_await nursery.Join();
    EXPECT_EQ(written, 3);
    for (const char key : {'a', 'b', 'c'}) {
      Got got = co_await ReadAll(client, std::string(1, key));
      EXPECT_TRUE(got.bytes == ValueOf(key, 300'000));
    }
  });
}

TEST_F(ClientValueTest, ARefusalEndsItEarlyAndTheClientGoesOn) {
  Run([](SimServer&, Client& client) -> Task<void> {
    const std::string value = ValueOf('a', kValueBytesMax + 1);
    for (const uint64_t total_bytes : {uint64_t{0}, uint64_t{kValueBytesMax} + 1}) {
      ClientSet set{.key = "key"};
      auto done = co_await WriteAll(client, std::move(set), value, 100'000, total_bytes);
      EXPECT_EQ(done.error().status, PakvStatus::kValueTooLong);
      EXPECT_FALSE(done.error().outcome_unknown);
    }
    ClientSet again{.key = "key"};
    auto done = co_await WriteAll(client, std::move(again), ValueOf('b', 900'000), 100'000);
    EXPECT_TRUE(done.ok()) << done.error().text;
  });
}

TEST_F(ClientValueTest, AFullDiskIsToldAndTheClientGoesOn) {
  Run([](SimServer& server, Client& client) -> Task<void> {
    SpaceStat space;
    server.node.disk().Space(space);
    server.node.disk().SetBallast(space.free_bytes - (300 << 10));
    ClientSet set{.key = "key"};
    auto full = co_await WriteAll(client, std::move(set), ValueOf('a', 900'000), 100'000, 900'000);
    EXPECT_EQ(full.error().status, PakvStatus::kDiskFull);
    server.node.disk().SetBallast(0);
    // The store looks for it each second, and makes its reserve first.
    const uint64_t wake_ns = server.node.core(0).now_ns() + 2 * kNsPerSecond;
    co_await server.node.core(0).timers().SleepUntil(wake_ns);
    ClientSet again{.key = "key"};
    auto done = co_await WriteAll(client, std::move(again), ValueOf('b', 900'000), 100'000);
    EXPECT_TRUE(done.ok()) << done.error().text;
  });
}

// The server goes while a value is written, and while one is read.
TEST_F(ClientValueTest, ALostServerIsToldToBoth) {
  Run([](SimServer& server, Client& client) -> Task<void> {
    const std::string value = ValueOf('a', 1'500'000);
    ClientSet set{.key = "key"};
    auto done = co_await WriteAll(client, std::move(set), value, 100'000);
    EXPECT_TRUE(done.ok());
    ValueReader reader(client);
    auto found = co_await reader.Open("key");
    EXPECT_TRUE(found.ok() && *found);
    ClientSet other{.key = "other"};
    ValueWriter writer(client, std::move(other));
    const bool goes_on = co_await writer.Write(std::string_view(value).substr(0, 500'000));
    EXPECT_TRUE(goes_on);
    EXPECT_FALSE(client.lost().stop_requested());
    server.world.net().faults.reset = 10'000;
    while (true) {
      auto piece = co_await reader.Next();
      if (piece.ok() && !piece->empty()) continue;
      EXPECT_EQ(piece.error().fault, ClientFault::kConnectionLost);
      break;
    }
    EXPECT_TRUE(client.lost().stop_requested());
    const bool goes_on_still = co_await writer.Write(value);
    EXPECT_FALSE(goes_on_still);
    auto failed = co_await writer.Finish();
    EXPECT_EQ(failed.error().fault, ClientFault::kConnectionLost);
    EXPECT_FALSE(failed.error().outcome_unknown) << "its end was never sent";
    server.world.net().faults.reset = 0;
  });
}

}  // namespace
}  // namespace pakv
