// Every RESP command, used and misused, on a whole server in a simulated world: the bytes that come
// back are those of redis-server 7.0 (tests/net/resp/resp_replies.txt, written by
// tests/e2e/redis_compare_test.py --record), wherever the stream is cut.
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/prng.h"
#include "tests/net/resp/resp_text.h"
#include "tests/net/server/sim_server.h"

namespace pakv {
namespace {

struct Exchange {
  std::vector<std::string> command;
  std::string request;  // its bytes
  std::string reply2;
  std::string reply3;
};

// The quoted words of a line.
std::vector<std::string> Unquote(std::string_view line) {
  std::vector<std::string> words;
  size_t at = 0;
  while ((at = line.find('"', at)) != std::string_view::npos) {
    std::string word;
    for (++at; line[at] != '"'; ++at) {
      if (line[at] == '\\') {
        word += static_cast<char>(std::stoi(std::string(line.substr(at + 2, 2)), nullptr, 16));
        at += 3;
      } else {
        word += line[at];
      }
    }
    ++at;
    words.push_back(std::move(word));
  }
  return words;
}

std::vector<Exchange> ReadExchanges() {
  std::vector<Exchange> exchanges;
  std::ifstream file(PAKV_SOURCE_ROOT "/tests/net/resp/resp_replies.txt");
  std::string line;
  while (std::getline(file, line)) {
    if (line[0] == '>') {
      exchanges.emplace_back();
      exchanges.back().command = Unquote(line);
      exchanges.back().request = RespRequest(exchanges.back().command);
    } else if (line[0] == '2') {
      exchanges.back().reply2 = exchanges.back().reply3 = Unquote(line)[0];
    } else {
      exchanges.back().reply3 = Unquote(line)[0];
    }
  }
  EXPECT_GT(exchanges.size(), 200u);
  return exchanges;
}

std::string Hello(bool resp3) { return RespRequest({"HELLO", resp3 ? "3" : "2"}); }

// Takes the reply to HELLO, whose id is the connection's own.
void Greet(SimConnection& client, bool resp3) {
  client.Send(Hello(resp3));
  const std::string end = "modules\r\n*0\r\n";
  std::string reply;
  while (!reply.ends_with(end)) {
    const std::string more = client.Receive(1);
    ASSERT_FALSE(more.empty());
    reply += more;
  }
}

class RespRepliesTest : public testing::TestWithParam<bool> {
 protected:
  const std::string& ReplyOf(const Exchange& exchange) const {
    return GetParam() ? exchange.reply3 : exchange.reply2;
  }
  // RESET goes back to RESP2.
  bool EndsVersion(const Exchange& exchange) const {
    return GetParam() && exchange.reply2 == "+RESET\r\n";
  }
};

TEST_P(RespRepliesTest, OneByOne) {
  SimServer server;
  SimConnection client(server);
  Greet(client, GetParam());
  for (const Exchange& exchange : ReadExchanges()) {
    client.Send(exchange.request);
    const std::string& reply = ReplyOf(exchange);
    ASSERT_EQ(client.Receive(reply.size()), reply) << exchange.request;
    if (EndsVersion(exchange)) Greet(client, true);
  }
  EXPECT_EQ(client.ReceiveNow(), "");
}

TEST_P(RespRepliesTest, ByteByByte) {
  SimServer server;
  SimConnection client(server);
  Greet(client, GetParam());
  for (const Exchange& exchange : ReadExchanges()) {
    for (const char byte : exchange.request) client.SendAlone(std::string_view(&byte, 1));
    const std::string& reply = ReplyOf(exchange);
    ASSERT_EQ(client.Receive(reply.size()), reply) << exchange.request;
    if (EndsVersion(exchange)) Greet(client, true);
  }
}

// All commands in one pipeline, cut at random places, on one core and on two.
TEST_P(RespRepliesTest, PipelinedAndCutAnywhere) {
  const std::vector<Exchange> exchanges = ReadExchanges();
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SimServer::Options options;
    options.seed = seed;
    SimServer server(options);
    SimConnection client(server);
    Greet(client, GetParam());
    std::string requests;
    std::string replies;
    Prng prng(seed);
    const auto flush = [&] {
      std::string_view rest = requests;
      while (!rest.empty()) {
        const size_t piece = 1 + prng.Below(prng.Below(2) == 0 ? 20 : 3000);
        const std::string_view cut = rest.substr(0, piece);
        if (prng.Below(2) == 0) {
          client.Send(cut);
        } else {
          client.SendAlone(cut);
        }
        rest.remove_prefix(cut.size());
      }
      EXPECT_EQ(client.Receive(replies.size()), replies) << "seed " << seed;
      requests.clear();
      replies.clear();
    };
    for (const Exchange& exchange : exchanges) {
      requests += exchange.request;
      replies += ReplyOf(exchange);
      if (!EndsVersion(exchange)) continue;
      flush();
      Greet(client, true);
    }
    flush();
    if (HasFailure()) break;
  }
}

// Cut in two at every offset: nothing depends on where.
TEST_P(RespRepliesTest, CutAtEveryOffset) {
  const std::string request = RespRequest({"SET", "key", "value\r\n"}) + "GET key\r\n" +
                              RespRequest({"MGET", "key", "none", "key"}) +
                              RespRequest({"DEL", "key", "none"}) + "PING \"a b\"\r\n" +
                              RespRequest({"NOSUCH"});
  const std::string null = GetParam() ? "_\r\n" : "$-1\r\n";
  const std::string reply = "+OK\r\n$7\r\nvalue\r\n\r\n*3\r\n$7\r\nvalue\r\n\r\n" + null +
                            "$7\r\nvalue\r\n\r\n:1\r\n$3\r\na b\r\n-ERR unknown command 'NOSUCH', "
                            "with args beginning with: \r\n";
  SimServer server;
  SimConnection client(server);
  Greet(client, GetParam());
  for (size_t cut = 1; cut < request.size(); ++cut) {
    client.SendAlone(std::string_view(request).substr(0, cut));
    client.SendAlone(std::string_view(request).substr(cut));
    ASSERT_EQ(client.Receive(reply.size()), reply) << "cut at " << cut;
  }
}

INSTANTIATE_TEST_SUITE_P(BothVersions, RespRepliesTest, testing::Bool(),
                         [](const testing::TestParamInfo<bool>& resp3) {
                           return resp3.param ? "Resp3" : "Resp2";
                         });

}  // namespace
}  // namespace pakv
