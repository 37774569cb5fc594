// INFO of a whole server in virtual time. Of the process it tells nothing here: the simulator's is
// not the server's (tests/e2e/admin_test.py has it).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "tests/net/resp/resp_text.h"
#include "tests/net/server/sim_server.h"

namespace pakv {
namespace {

using ::testing::ContainsRegex;

// What INFO says, by name; a section's title is an empty value.
std::map<std::string, std::string> Info(SimConnection& client, const std::string& sections = "") {
  client.Send("INFO " + sections + "\r\n");
  const std::string head = client.ReceiveLine();
  EXPECT_TRUE(head.starts_with("$")) << head;
  std::istringstream text(client.Receive(std::stoul(head.substr(1)) + 2));
  std::map<std::string, std::string> fields;
  std::string line;
  while (std::getline(text, line)) {
    if (line.ends_with("\r")) line.pop_back();
    const size_t colon = line.find(':');
    if (!line.empty()) {
      fields[line.substr(0, colon)] = colon == std::string::npos ? "" : line.substr(colon + 1);
    }
  }
  return fields;
}

TEST(RespInfoTest, WhatMonitoringReadsIsThere) {
  SimServer server;
  SimConnection client(server);
  client.Expect("SET a b\r\n", "+OK\r\n");
  std::map<std::string, std::string> info = Info(client);
  EXPECT_EQ(info["config_file"], "/etc/pakv.toml");
  EXPECT_EQ(info["master_replid"], info["run_id"]);
  EXPECT_EQ(info["rdb_last_bgsave_status"], "ok");
  EXPECT_EQ(info["aof_last_bgrewrite_status"], "ok");
  EXPECT_EQ(info["pakv_writes_slowed_ratio"], "0.000");
  EXPECT_GE(std::stoull(info["used_memory_peak"]), std::stoull(info["used_memory"]));
  EXPECT_THAT(info["used_memory_human"], ContainsRegex("^[0-9]+[.][0-9][0-9][KM]$"));
  const uint64_t now_s = std::stoull(info["server_time_usec"]) / 1'000'000;
  EXPECT_LE(std::stoull(info["rdb_last_save_time"]), now_s);
  EXPECT_GE(std::stoull(info["rdb_last_save_time"]) + 60, now_s);
  EXPECT_FALSE(info.contains("used_memory_rss"));
  EXPECT_FALSE(info.contains("# CPU"));
}

TEST(RespInfoTest, SectionsAreNamedInAnyCaseAsOftenAsOneLikes) {
  SimServer server;
  SimConnection client(server);
  const auto titles = [&](const std::string& sections) {
    std::vector<std::string> found;
    for (const auto& [name, value] : Info(client, sections)) {
      if (name.starts_with("# ")) found.push_back(name);
    }
    return found;
  };
  std::string many = "nosuch ";
  for (int i = 0; i < 1000; ++i) many += "sErVeR x" + std::to_string(i) + " Stats ";
  EXPECT_EQ(titles(many), (std::vector<std::string>{"# Server", "# Stats"}));
  EXPECT_EQ(titles("nosuch"), std::vector<std::string>());
  EXPECT_EQ(titles("everything"), titles("all"));
  EXPECT_EQ(titles("default"), titles(""));
  EXPECT_GT(titles("all").size(), titles("").size());
}

TEST(RespInfoTest, RequestsPerSecondAreThoseOfTheLastSecond) {
  SimServer server({.core_count = 2});
  SimConnection one(server);
  SimConnection other(server);  // on the other core
  server.world.RunFor(2 * kNsPerSecond);
  EXPECT_EQ(Info(one, "stats")["instantaneous_ops_per_sec"], "0");
  for (int i = 0; i < 50; ++i) {
    one.Expect("PING\r\nPING\r\n", "+PONG\r\n+PONG\r\n");
    other.Expect("PING\r\nPING\r\n", "+PONG\r\n+PONG\r\n");
    server.world.RunFor(20 * kNsPerMs);
  }
  const uint64_t rate = std::stoull(Info(one, "stats")["instantaneous_ops_per_sec"]);
  EXPECT_GT(rate, 150u);
  EXPECT_LT(rate, 210u);
  server.world.RunFor(5 * kNsPerSecond);
  EXPECT_EQ(Info(one, "stats")["instantaneous_ops_per_sec"], "0");
}

TEST(RespInfoTest, CallsAreCountedByCommand) {
  SimServer server({.core_count = 2});
  SimConnection one(server);
  SimConnection other(server);
  one.Expect("SET a b\r\nget a\r\nGET c\r\n", "+OK\r\n$1\r\nb\r\n$-1\r\n");
  other.Expect("GET c\r\nGET\r\nNOSUCH\r\n",
               "$-1\r\n-ERR wrong number of arguments for 'get' command\r\n"
               "-ERR unknown command 'NOSUCH', with args beginning with: \r\n");
  other.Expect("CLIENT GETNAME\r\nOBJECT REFCOUNT a\r\n", "$-1\r\n:1\r\n");
  other.Expect("MULTI\r\nSET d e\r\nEXEC\r\n", "+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n");
  std::map<std::string, std::string> calls = Info(one, "commandstats");
  EXPECT_EQ(calls, (std::map<std::string, std::string>{{"# Commandstats", ""},
                                                       {"cmdstat_client", "calls=1"},
                                                       {"cmdstat_exec", "calls=1"},
                                                       {"cmdstat_get", "calls=3"},
                                                       {"cmdstat_info", "calls=1"},
                                                       {"cmdstat_multi", "calls=1"},
                                                       {"cmdstat_object", "calls=1"},
                                                       {"cmdstat_set", "calls=2"}}));
  EXPECT_TRUE(Info(one, "all").contains("cmdstat_get"));
  EXPECT_FALSE(Info(one).contains("cmdstat_get")) << "as in Redis not by default";
  one.Expect("CONFIG RESETSTAT\r\n", "+OK\r\n");
  calls = Info(one, "COMMANDSTATS");
  EXPECT_EQ(calls, (std::map<std::string, std::string>{{"# Commandstats", ""},
                                                       {"cmdstat_info", "calls=1"}}));
}

TEST(RespInfoTest, ALongValuesCommandCountsOnce) {
  SimServer server({.value_bytes_max = 1 << 20, .inline_value_bytes_max = 1 << 10});
  SimConnection client(server);
  client.Expect(RespRequest({"SET", "k", std::string(100'000, 'v')}), "+OK\r\n");
  EXPECT_EQ(Info(client, "commandstats")["cmdstat_set"], "calls=1");
}

}  // namespace
}  // namespace pakv
