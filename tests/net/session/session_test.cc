// Sessions on a whole server in a simulated world: what they do with the bytes of requests,
// whatever protocol these are of.
#include "net/session/session.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "net/pakv/codec.h"
#include "runtime/base/prng.h"
#include "tests/net/resp/resp_text.h"
#include "tests/net/server/sim_server.h"

namespace pakv {
namespace {

std::string PakvSet(uint64_t id, std::string_view key, std::string_view value) {
  OutputBuffer output;
  PakvWriter writer(output, PakvType::kSet, id);
  writer.Bytes(PakvField::kKey, key);
  writer.Bytes(PakvField::kValue, value);
  writer.Finish();
  return std::string(output.view());
}

std::string PakvGreeting() {
  OutputBuffer output;
  PakvWriter writer(output, PakvType::kHello, 1);
  writer.Number(PakvField::kVersionMin, 1);
  writer.Number(PakvField::kVersionMax, 1);
  writer.Finish();
  return std::string(output.view());
}

// Those that wait for room keep their own copy, and all are done as they were sent.
TEST(SessionTest, WritesBeyondTheCoresMemoryWaitAndAreDoneAsSent) {
  constexpr size_t kValues = 90;  // of 1 MiB; the bound is 64 MiB
  const auto value_of = [](size_t index) {
    return std::string(1 << 20, static_cast<char>('a' + index % 26)) + std::to_string(index);
  };
  SimServer server({.value_bytes_max = (1 << 20) + 10,
                    .inline_value_bytes_max = (1 << 20) + 10,
                    .cache_bytes = 0});
  server.node.disk().faults.stall = 10'000;  // the network is much faster than the disk
  SimConnection pakv(server);
  SimConnection resp(server);
  pakv.Send(PakvGreeting());
  for (size_t i = 0; i < kValues; ++i) {
    const std::string value = value_of(i);
    pakv.Send(PakvSet(i + 2, "p" + std::to_string(i), value));
    resp.Send(RespRequest({"SET", "r" + std::to_string(i), value}));
  }
  EXPECT_EQ(resp.Receive(5 * kValues).size(), 5 * kValues);
  server.node.disk().faults.stall = 0;
  // A session sees its own writes; the other's are done when they are counted.
  SimConnection reader(server);
  const std::string all = ":" + std::to_string(2 * kValues) + "\r\n";
  std::string count;
  for (int tries = 0; tries < 1000 && count != all; ++tries) {
    reader.Send("DBSIZE\r\n");
    count = reader.Receive(all.size());
    server.world.RunFor(kNsPerMs);
  }
  ASSERT_EQ(count, all);
  for (const std::string prefix : {"p", "r"}) {
    for (size_t i = 0; i < kValues; ++i) {
      reader.Send(RespRequest({"GET", prefix + std::to_string(i)}));
      const std::string expected = RespBulk(value_of(i));
      ASSERT_TRUE(reader.Receive(expected.size()) == expected) << prefix << i;
    }
  }
}

// They are decoded in the parser's own memory, which the next one's use.
TEST(SessionTest, QuotedInlineRequestsOfOnePipelineKeepTheirArguments) {
  SimServer server;
  SimConnection resp(server);
  std::string stream;
  std::string expected;
  for (int i = 0; i < 40; ++i) {
    const std::string value(static_cast<size_t>(i % 3 == 0 ? 300 - i : i), 'a' + i % 26);
    stream += "SET k" + std::to_string(i) + " \"" + value + "\"\r\n";
    expected += "+OK\r\n";
  }
  resp.Send(stream);
  ASSERT_EQ(resp.Receive(expected.size()), expected);
  for (int i = 0; i < 40; ++i) {
    const std::string value(static_cast<size_t>(i % 3 == 0 ? 300 - i : i), 'a' + i % 26);
    resp.Send("GET k" + std::to_string(i) + "\r\n");
    EXPECT_EQ(resp.Receive(RespBulk(value).size()), RespBulk(value));
  }
}

// What a client asked for with KEYS and does not read counts for all of its core.
TEST(SessionTest, RepliesToKeysShareTheirMemory) {
  constexpr size_t kKeys = 5000;
  constexpr size_t kReplyBytes = 7 + kKeys * (6 + 100 + 2);
  SimServer::Options options;
  options.session_limits.core_unread_bytes_max = kReplyBytes + 50'000;
  options.session_limits.output_bytes_max = 10'000;
  SimServer server(options);
  SimConnection other(server);
  std::string stream;
  for (size_t i = 0; i < kKeys; ++i) {
    const std::string number = std::to_string(i);
    stream += RespRequest({"SET", number + std::string(100 - number.size(), 'k'), "v"});
  }
  other.Send(stream);
  ASSERT_EQ(other.Receive(5 * kKeys).size(), 5 * kKeys);

  SimConnection slow(server);
  slow.Send("KEYS *\r\nPING\r\n");
  server.world.RunFor(kNsPerSecond);  // it reads nothing
  const std::string refused = "-ERR the reply to KEYS is too large; use SCAN\r\n";
  other.Send("KEYS *\r\nPING\r\n");
  EXPECT_EQ(other.Receive(refused.size() + 7), refused + "+PONG\r\n");
  other.Send("KEYS 1k*\r\n");
  EXPECT_EQ(other.Receive(4 + 108).size(), 4u + 108);

  const std::string all = slow.Receive(kReplyBytes + 7);
  EXPECT_EQ(all.size(), kReplyBytes + 7);
  EXPECT_TRUE(all.starts_with("*5000\r\n$100\r\n"));
  EXPECT_TRUE(all.ends_with("\r\n+PONG\r\n"));
  other.Send("KEYS *\r\n");
  EXPECT_EQ(other.Receive(kReplyBytes).size(), kReplyBytes);
  // One that goes without reading gives back what it held.
  {
    SimConnection gone(server);
    gone.Send("KEYS *\r\n");
    server.world.RunFor(kNsPerSecond);
    gone.Reset();
  }
  server.world.RunFor(kNsPerSecond);
  other.Send("KEYS *\r\n");
  EXPECT_EQ(other.Receive(kReplyBytes).size(), kReplyBytes);
}

// Requests of every kind in one pipeline, cut anywhere, with memory for few of them: each is done
// with the arguments that it was sent with, whether it was started in a batch, at once, or waited.
TEST(SessionTest, EveryRequestOfAPipelineKeepsItsArguments) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    Prng prng(seed);
    SimServer::Options options;
    options.seed = seed;
    options.core_count = 1 + static_cast<uint32_t>(seed % 2);
    options.session_limits.core_write_bytes_max = prng.Between(1, 40) * 100;
    options.session_limits.core_read_bytes_max = prng.Between(1, 40) * 100;
    options.session_limits.in_flight_max = prng.Between(2, 100);
    options.cache_bytes = prng.Below(2) << 20;
    SimServer server(options);
    SimConnection client(server);
    std::map<std::string, std::string> values;
    std::string stream;
    std::string expected;
    for (int i = 0; i < 400; ++i) {
      const std::string key = "key" + std::to_string(prng.Below(20));
      const std::string other = "key" + std::to_string(prng.Below(20));
      const auto bulk_of = [&values](const std::string& name) {
        const auto found = values.find(name);
        return found == values.end() ? std::string("$-1\r\n") : RespBulk(found->second);
      };
      std::string value(prng.Below(4) == 0 ? 400 : 20, static_cast<char>('a' + i % 26));
      value += std::to_string(i);
      switch (prng.Below(7)) {
        case 0:  // decoded in the parser's memory
          stream += "SET " + key + " \"" + value + "\"\r\n";
          expected += "+OK\r\n";
          values[key] = value;
          break;
        case 1:
          stream += "SET '" + key + "' " + value + "\r\n";
          expected += "+OK\r\n";
          values[key] = value;
          break;
        case 2:
          stream += RespRequest({"SET", key, value});
          expected += "+OK\r\n";
          values[key] = value;
          break;
        case 3:
          stream += RespRequest({"GET", key});
          expected += bulk_of(key);
          break;
        case 4:  // "quoted" or in the input
          stream += prng.Below(2) == 0 ? "MGET \"" + key + "\" none '" + other + "'\r\n"
                                       : RespRequest({"MGET", key, "none", other});
          expected += "*3\r\n" + bulk_of(key) + "$-1\r\n" + bulk_of(other);
          break;
        case 5: {
          stream += "DEL \"" + key + "\" \"none\"\r\n";
          expected += ":" + std::to_string(values.erase(key)) + "\r\n";
          break;
        }
        default:  // a barrier
          stream += prng.Below(2) == 0 ? "DBSIZE\r\n" : "PING\r\n";
          expected += stream.ends_with("PING\r\n") ? std::string("+PONG\r\n")
                                                   : ":" + std::to_string(values.size()) + "\r\n";
      }
    }
    for (std::string_view rest = stream; !rest.empty();) {
      const std::string_view piece = rest.substr(0, prng.Between(1, 2000));
      client.Send(piece);
      rest.remove_prefix(piece.size());
    }
    ASSERT_EQ(client.Receive(expected.size()), expected) << "seed " << seed;
  }
}

}  // namespace
}  // namespace pakv
