// CLIENT LIST, INFO, KILL and the like: the connections of all cores, from any of them.
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "tests/net/pakv/pakv_connection.h"
#include "tests/net/resp/resp_text.h"
#include "tests/net/server/sim_server.h"

namespace pakv {
namespace {

using Line = std::map<std::string, std::string>;

Line ParseLine(std::string_view text) {
  Line line;
  while (!text.empty()) {
    const std::string_view field = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(text.size(), field.size() + 1));
    const size_t equals = field.find('=');
    EXPECT_NE(equals, std::string_view::npos) << field;
    line[std::string(field.substr(0, equals))] = field.substr(equals + 1);
  }
  return line;
}

std::string ReceiveBulk(SimConnection& client) {
  const std::string header = client.ReceiveLine();
  EXPECT_EQ(header.substr(0, 1), "$") << header;
  const size_t bytes = std::stoul(header.substr(1));
  const std::string bulk = client.Receive(bytes);
  client.ExpectReply("\r\n");
  return bulk;
}

// By id; each is there once.
std::map<uint64_t, Line> List(SimConnection& client, const std::string& more = "") {
  client.Send("CLIENT LIST" + more + "\r\n");
  std::string text = ReceiveBulk(client);
  std::map<uint64_t, Line> lines;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    EXPECT_NE(end, std::string::npos);
    Line line = ParseLine(std::string_view(text).substr(0, end));
    text.erase(0, end + 1);
    const uint64_t id = std::stoull(line["id"]);
    EXPECT_TRUE(lines.emplace(id, line).second) << id << " is there twice";
  }
  return lines;
}

uint64_t IdOf(SimConnection& client) {
  client.Send("CLIENT ID\r\n");
  return std::stoull(client.ReceiveLine().substr(1));
}

class RespClientTest : public testing::TestWithParam<uint32_t> {
 protected:
  static SimServer::Options Options() {
    SimServer::Options options;
    options.core_count = GetParam();
    return options;
  }
  size_t Connections() {
    const auto stats = server_.node.Run(server_.server->Stats(server_.node.core(0)));
    return stats ? stats->connections : 0;
  }
  void ExpectEnd(SimConnection& client, std::string_view reply = "") {
    EXPECT_EQ(client.ReceiveToEnd(), reply);
    server_.world.RunFor(kNsPerMs);
  }

  SimServer server_{Options()};
};
INSTANTIATE_TEST_SUITE_P(Cores, RespClientTest, testing::Values(1u, 3u));

TEST_P(RespClientTest, ListTellsOfEveryConnection) {
  SimConnection one(server_);
  SimConnection two(server_);
  SimConnection silent(server_);
  server_.world.RunFor(3 * kNsPerSecond);
  SimConnection other(server_);
  PakvConnection pakv(server_);
  one.Expect("CLIENT SETNAME first\r\nSELECT 3\r\nCLIENT NO-EVICT ON\r\n", "+OK\r\n+OK\r\n+OK\r\n");
  two.Expect("CLIENT SETINFO LIB-NAME lib\r\nCLIENT SETINFO LIB-VER 1.2\r\nMULTI\r\nGET a\r\n",
             "+OK\r\n+OK\r\n+OK\r\n+QUEUED\r\n");
  server_.world.RunFor(2 * kNsPerSecond);
  const uint64_t id_one = IdOf(one);
  std::map<uint64_t, Line> lines = List(other);
  ASSERT_EQ(lines.size(), 5u);
  EXPECT_EQ(lines.begin()->first, id_one);
  std::vector<Line> by_id;
  std::set<std::string> addresses;
  for (auto& [id, line] : lines) {
    addresses.insert(line["addr"]);
    EXPECT_EQ(line["laddr"], "10.0.0.1:7379");
    EXPECT_EQ(line["addr"].substr(0, 9), "10.0.0.9:");
    EXPECT_EQ(line["user"], "default");
    EXPECT_GT(std::stoull(line["tot-mem"]), 1000u);
    by_id.push_back(line);
  }
  EXPECT_EQ(addresses.size(), 5u);
  Line expected = {{"name", "first"}, {"age", "5"},  {"idle", "0"},        {"flags", "e"},
                   {"db", "3"},       {"resp", "2"}, {"cmd", "client|id"}, {"multi", "-1"}};
  for (const auto& [field, value] : expected) EXPECT_EQ(by_id[0][field], value) << field;
  expected = {{"name", ""},   {"age", "5"},        {"idle", "2"},      {"flags", "x"}, {"db", "0"},
              {"cmd", "get"}, {"lib-name", "lib"}, {"lib-ver", "1.2"}, {"multi", "1"}};
  for (const auto& [field, value] : expected) EXPECT_EQ(by_id[1][field], value) << field;
  EXPECT_GT(std::stoull(by_id[1]["multi-mem"]), 0u);
  expected = {{"age", "5"}, {"idle", "5"}, {"flags", "N"}, {"cmd", "NULL"}, {"resp", "0"}};
  for (const auto& [field, value] : expected) EXPECT_EQ(by_id[2][field], value) << field;
  expected = {{"age", "2"}, {"idle", "0"}, {"cmd", "client|list"}, {"resp", "2"}};
  for (const auto& [field, value] : expected) EXPECT_EQ(by_id[3][field], value) << field;
  EXPECT_EQ(by_id[4]["resp"], "0");
  // One's own alone; over RESP3 as a text.
  one.Send("CLIENT INFO\r\n");
  Line own = ParseLine(ReceiveBulk(one));
  EXPECT_EQ(own["id"], std::to_string(id_one));
  EXPECT_EQ(own["cmd"], "client|info");
  EXPECT_EQ(own["idle"], "0");
  one.Expect("CLIENT NO-EVICT OFF\r\nCLIENT NO-EVICT X\r\n", "+OK\r\n-ERR syntax error\r\n");
  one.Send("HELLO 3\r\n");
  for (std::string line; line != "modules\r\n" && !HasFailure();) line = one.ReceiveLine();
  one.ExpectReply("*0\r\n");
  one.Send("CLIENT INFO\r\nCLIENT LIST TYPE normal\r\n");
  EXPECT_EQ(one.Receive(1), "=");
  const size_t bytes = std::stoul(one.ReceiveLine());
  EXPECT_EQ(one.Receive(bytes + 2).substr(0, 7), "txt:id=");
  EXPECT_EQ(one.Receive(1), "=");
}

TEST_P(RespClientTest, ListTakesTypesAndIds) {
  SimConnection one(server_);
  SimConnection two(server_);
  SimConnection three(server_);
  const std::string id1 = std::to_string(IdOf(one));
  const std::string id3 = std::to_string(IdOf(three));
  EXPECT_EQ(List(two).size(), 3u);
  EXPECT_EQ(List(two, " TYPE NORMAL").size(), 3u);
  for (const std::string_view type : {"master", "replica", "slave", "pubsub"}) {
    EXPECT_EQ(List(two, " TYPE " + std::string(type)).size(), 0u);
  }
  // In the order that is asked for, as often.
  two.Send("CLIENT LIST ID " + id3 + " 77 " + id1 + " " + id3 + "\r\n");
  const std::string text = ReceiveBulk(two);
  std::vector<std::string> ids;
  for (size_t at = 0; at < text.size(); at = text.find('\n', at) + 1) {
    ids.push_back(ParseLine(std::string_view(text).substr(at, text.find('\n', at) - at))["id"]);
  }
  EXPECT_EQ(ids, (std::vector<std::string>{id3, id1, id3}));
  std::vector<std::string> many = {"CLIENT", "LIST", "ID"};
  for (int i = 0; i < 1025; ++i) many.push_back("1");
  two.Expect(RespRequest(many), "-ERR CLIENT LIST takes at most 1024 ids\r\n");
}

TEST_P(RespClientTest, KillEndsConnectionsOfAnyCore) {
  SimConnection killer(server_);
  std::vector<std::unique_ptr<SimConnection>> clients;
  std::vector<uint64_t> ids;
  for (int i = 0; i < 6; ++i) {
    clients.push_back(std::make_unique<SimConnection>(server_));
    ids.push_back(IdOf(*clients.back()));
  }
  std::map<uint64_t, Line> lines = List(killer);
  killer.Expect("CLIENT KILL ID " + std::to_string(ids[0]) + "\r\n", ":1\r\n");
  ExpectEnd(*clients[0]);
  killer.Expect("CLIENT KILL ID " + std::to_string(ids[0]) + "\r\n", ":0\r\n");
  const std::string address = lines[ids[1]]["addr"];
  killer.Expect("CLIENT KILL " + address + "\r\nCLIENT KILL " + address + "\r\n",
                "+OK\r\n-ERR No such client\r\n");
  ExpectEnd(*clients[1]);
  killer.Expect("CLIENT KILL ADDR " + lines[ids[2]]["addr"] + " USER default SKIPME yes\r\n",
                ":1\r\n");
  ExpectEnd(*clients[2]);
  // What does not agree.
  killer.Expect("CLIENT KILL ADDR " + lines[ids[3]]["addr"] + " ID " + std::to_string(ids[4]) +
                    "\r\nCLIENT KILL TYPE pubsub\r\nCLIENT KILL LADDR 10.0.0.1:1\r\n",
                ":0\r\n:0\r\n:0\r\n");
  EXPECT_EQ(Connections(), 4u);
  killer.Expect("CLIENT KILL TYPE normal LADDR 10.0.0.1:7379\r\nPING\r\n", ":3\r\n+PONG\r\n");
  for (int i = 3; i < 6; ++i) ExpectEnd(*clients[i]);
  EXPECT_EQ(Connections(), 1u);
  // Oneself: answered, and nothing behind it is taken.
  killer.Send("CLIENT KILL SKIPME no\r\nSET late 1\r\n");
  ExpectEnd(killer, ":1\r\n");
  SimConnection last(server_);
  last.Expect("GET late\r\n", "$-1\r\n");
  const uint64_t last_id = IdOf(last);
  last.Send("CLIENT KILL " + List(last)[last_id]["addr"] + "\r\n");
  ExpectEnd(last, "+OK\r\n");
  // Who has been told has a second to close his end.
  server_.world.RunFor(2 * kNsPerSecond);
  EXPECT_EQ(Connections(), 0u);
}

// Of a write that was under way nobody is told, and it stays.
TEST_P(RespClientTest, WhatAKilledConnectionHasWrittenStays) {
  SimConnection killer(server_);
  for (int i = 0; i < 5; ++i) {
    SimConnection client(server_);
    const uint64_t id = IdOf(client);
    server_.node.disk().faults.stall = 10'000;
    client.SendAlone("SET k" + std::to_string(i) + " v\r\nMULTI\r\nSET m" + std::to_string(i) +
                     " v\r\nSET n" + std::to_string(i) + " v\r\nEXEC\r\n");
    killer.Expect("CLIENT KILL ID " + std::to_string(id) + "\r\n", ":1\r\n");
    static_cast<void>(client.ReceiveToEnd());  // engine `memory` has answered it
    server_.node.disk().faults.stall = 0;
    server_.world.RunFor(kNsPerSecond);
    killer.Expect("GET k" + std::to_string(i) + "\r\n", "$1\r\nv\r\n");
    EXPECT_EQ(Connections(), 1u);
  }
}

// Those that are there all the while are listed once, whoever else comes and goes.
TEST_P(RespClientTest, AListIsTakenWhileOthersComeAndGo) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    SimServer::Options options = Options();
    options.seed = seed;
    SimServer server(options);
    SimConnection client(server);
    std::vector<std::unique_ptr<SimConnection>> stay;
    std::vector<std::unique_ptr<SimConnection>> go;
    std::set<uint64_t> staying;
    for (int i = 0; i < 250; ++i) {
      (i % 2 == 0 ? stay : go).push_back(std::make_unique<SimConnection>(server));
      if (i % 2 == 0) staying.insert(IdOf(*stay.back()));
    }
    client.Send("CLIENT LIST\r\n");
    while (!go.empty()) {
      go.pop_back();
      server.world.RunFor(kNsPerUs);
    }
    std::string text = ReceiveBulk(client);
    std::set<uint64_t> listed;
    size_t lines = 0;
    for (size_t at = 0; at < text.size(); at = text.find('\n', at) + 1, ++lines) {
      const size_t end = text.find('\n', at);
      listed.insert(std::stoull(ParseLine(std::string_view(text).substr(at, end - at))["id"]));
    }
    EXPECT_EQ(listed.size(), lines) << seed;
    for (const uint64_t id : staying) EXPECT_TRUE(listed.contains(id)) << seed << ": " << id;
    // Whoever gives up a list leaves nothing behind.
    auto killed = std::make_unique<SimConnection>(server);
    killed->Send("CLIENT LIST\r\n");
    killed->Reset();
    server.world.RunFor(kNsPerSecond);
    EXPECT_EQ(List(client).size(), staying.size() + 1) << seed;
  }
}

// For clients that do not read, lists are held as other long replies are.
TEST_P(RespClientTest, ListsAreBounded) {
  SimServer::Options options = Options();
  options.session_limits.output_bytes_max = 16 << 10;
  options.session_limits.core_unread_bytes_max = 40 << 10;
  SimServer server(options);
  std::vector<std::unique_ptr<SimConnection>> clients;
  for (int i = 0; i < 250; ++i) clients.push_back(std::make_unique<SimConnection>(server));
  SimConnection client(server);
  client.Expect("CLIENT LIST\r\nCLIENT LIST TYPE pubsub\r\nPING\r\n",
                "-ERR no memory for so long a list now; ask for some of it with CLIENT LIST ID\r\n"
                "$0\r\n\r\n+PONG\r\n");
  clients.resize(50);
  server.world.RunFor(kNsPerSecond);
  EXPECT_EQ(List(client).size(), 51u);
}

TEST_P(RespClientTest, WithinExecItIsTheServerAsExecLeavesIt) {
  SimConnection client(server_);
  SimConnection other(server_);
  const std::string id = std::to_string(IdOf(other));
  client.Send("MULTI\r\nSET a 1\r\nCLIENT LIST ID " + id + "\r\nCLIENT KILL ID " + id +
              "\r\nCLIENT LIST ID " + id +
              " 99\r\nCLIENT KILL SKIPME NO\r\nGET a\r\nEXEC\r\nPING\r\n");
  client.ExpectReply("+OK\r\n" + Times(6, "+QUEUED\r\n") + "*6\r\n+OK\r\n");
  EXPECT_NE(ReceiveBulk(client).find("id=" + id), std::string::npos);
  EXPECT_EQ(client.ReceiveToEnd(), ":1\r\n$0\r\n\r\n:1\r\n$1\r\n1\r\n");
}

// ---- CLIENT REPLY ----

TEST_P(RespClientTest, NoReplyToAnythingUntilRepliesAreOnAgain) {
  SimServer::Options options = Options();
  options.inline_value_bytes_max = 1000;
  SimServer server(options);
  SimConnection client(server);
  client.Expect("CLIENT REPLY ON\r\nSET a 1\r\n", "+OK\r\n+OK\r\n");
  const std::string large = RespRequest({"SET", "large", std::string(100'000, 'l')});
  client.Send(
      "SET b 1\r\nCLIENT REPLY OFF\r\nSET a 2\r\nGET a\r\nMGET a b large\r\nINCR n\r\n" + large +
      "GET large\r\nMGET large a\r\nGETRANGE large 0 5\r\nDEL a b\r\nMSET x 1 y 2\r\n"
      "MSETNX x 1 z 2\r\nKEYS *\r\nSCAN 0\r\nPING\r\nNOSUCH\r\nGET\r\nCLIENT LIST\r\nINFO\r\n"
      "MULTI\r\nINCR n\r\nGET n\r\nDBSIZE\r\nEXEC\r\nEXISTS x y\r\nTYPE x\r\nRENAME x w\r\n"
      "CLIENT REPLY x\r\nCLIENT REPLY SKIP\r\nPING\r\nPING\r\nHELLO 3\r\nHELLO 2\r\n"
      "CLIENT REPLY ON\r\nGET n\r\nEXISTS a b w y large\r\n");
  client.ExpectReply("+OK\r\n+OK\r\n$1\r\n2\r\n:3\r\n");
  client.Expect("CLIENT REPLY OFF\r\nGET n\r\nRESET\r\nGET n\r\n", "+RESET\r\n$1\r\n2\r\n");
  client.Send("CLIENT REPLY OFF\r\nSET last 1\r\nQUIT\r\n");
  EXPECT_EQ(client.ReceiveToEnd(), "");
  SimConnection other(server);
  other.Expect("GET last\r\n", "$1\r\n1\r\n");
}

TEST_P(RespClientTest, OneReplyIsSkipped) {
  SimServer::Options options = Options();
  options.inline_value_bytes_max = 1000;
  SimServer server(options);
  SimConnection client(server);
  const std::string large = RespRequest({"SET", "large", std::string(100'000, 'l')});
  const std::string skip = "CLIENT REPLY SKIP\r\n";
  client.Expect("SET a 1\r\n" + skip + "SET a 2\r\nGET a\r\n", "+OK\r\n$1\r\n2\r\n");
  client.Expect(skip + skip + "PING\r\nPING\r\n", "+PONG\r\n");
  client.Expect(skip + "KEYS *\r\nDBSIZE\r\n" + skip + "NOSUCH\r\nINCR a\r\n", ":1\r\n:3\r\n");
  client.Expect(skip + large + "STRLEN large\r\n", ":100000\r\n");
  client.Expect(skip + "GET large\r\nGETRANGE large 0 2\r\n", "$3\r\nlll\r\n");
  client.Expect(skip + "MGET large a\r\nMGET a none\r\n", "*2\r\n$1\r\n3\r\n$-1\r\n");
  // An argument that is too long where it stands, and is skipped with an error.
  client.Expect(skip + RespRequest({"APPEND", "a", std::string(100'000, 'x')}) + "GET a\r\n",
                "$1\r\n3\r\n");
  client.Expect(skip + "MULTI\r\nINCR a\r\nEXEC\r\n", "+QUEUED\r\n*1\r\n:4\r\n");
  client.Expect(skip + "CLIENT REPLY ON\r\nPING\r\n", "+OK\r\n+PONG\r\n");
  client.Expect("MULTI\r\nCLIENT REPLY OFF\r\nEXEC\r\n",
                "+OK\r\n-ERR Command not allowed inside a transaction\r\n-EXECABORT Transaction "
                "discarded because of previous errors.\r\n");
}

// Nothing that is dropped fills the output, so it is not that which lets others have their turn.
TEST(RespReplyTurnTest, LongRepliesThatAreDroppedLetOthersHaveTheirTurn) {
  constexpr size_t kCommands = 200;
  SimServer server;
  SimConnection client(server);
  const auto passes = [&] { return server.node.core(0).counters().passes; };
  client.Expect("CLIENT REPLY OFF\r\nCLIENT REPLY ON\r\n", "+OK\r\n");
  uint64_t before = passes();
  client.Expect("CLIENT REPLY OFF\r\n" + Times(kCommands, "COMMAND\r\n") + "CLIENT REPLY ON\r\n",
                "+OK\r\n");
  EXPECT_GE(passes(), before + kCommands);
  client.Send("CLIENT REPLY OFF\r\nMULTI\r\n" + Times(kCommands, "COMMAND\r\n"));
  server.world.RunFor(kNsPerSecond);
  before = passes();
  client.Expect("EXEC\r\nCLIENT REPLY ON\r\n", "+OK\r\n");
  EXPECT_GE(passes(), before + kCommands / 16);
}

}  // namespace
}  // namespace pakv
