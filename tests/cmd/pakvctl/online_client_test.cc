// cmd/pakvctl/client/online_client: commands over a real connection, to a server that follows a
// script.
#include "cmd/pakvctl/client/online_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "cmd/pakvctl/commands/run_command.h"
#include "tests/net/client/scripted_server.h"

namespace pakv {
namespace {

// Sets, gets and pings on a map, one connection after the other.
void ServeMap(ScriptedPeer& peer, std::map<std::string, std::string>& values) {
  peer.Greet();
  while (const auto request = peer.Read()) {
    const auto found = values.find(request->key);
    if (request->type == PakvType::kPing) {
      peer.Send(peer.Frame(PakvType::kPing, request->id, PakvStatus::kOk, [](PakvWriter&) {}));
    } else if (request->type == PakvType::kSet) {
      values[request->key] = request->value;
      peer.Send(peer.Frame(PakvType::kSet, request->id, PakvStatus::kOk,
                           [](PakvWriter& writer) { writer.Number(PakvField::kLsn, 5); }));
    } else if (found == values.end()) {
      peer.Send(peer.Frame(request->type, request->id, PakvStatus::kNotFound, [](PakvWriter&) {}));
    } else {
      peer.Send(peer.Value(request->id, found->second));
    }
  }
}

struct Ran {
  int exit_code = 0;
  std::string out;
  std::string err;
};

// What main does.
Ran RunOnline(const std::vector<std::string>& words, const std::string& input = "") {
  Ran ran;
  CtlCommandLine line = ParseCommandLine(words, {});
  EXPECT_EQ(line.exit_code, std::nullopt) << line.stderr_text;
  std::istringstream in(input);
  std::ostringstream out;
  std::ostringstream err;
  const CtlStreams streams{in, out, err};
  ClientError error;
  if (const auto client =
          OnlineClient::Connect(line.request.endpoints, line.request.name_space, error)) {
    ran.exit_code = RunCommand(line.request, *client, streams);
  } else {
    ran.exit_code = ExitCodeOf(error);
    err << error.text;
  }
  ran.out = out.str();
  ran.err = err.str();
  return ran;
}

TEST(OnlineClientTest, CommandsReachTheServer) {
  std::map<std::string, std::string> values;
  ScriptedServer server([&](ScriptedPeer& peer) { ServeMap(peer, values); }, 4);
  const std::string bytes = std::string(700000, 'x') + std::string("\0\xff", 2);
  const Ran set = RunOnline({"--addr", server.address(), "set", "k", "-"}, bytes);
  EXPECT_EQ(set.exit_code, 0) << set.err;
  EXPECT_EQ(set.out, "OK\n");
  const Ran get = RunOnline({"--addr", server.address(), "get", "k", "-o", "raw"});
  EXPECT_EQ(get.exit_code, 0) << get.err;
  EXPECT_EQ(get.out, bytes);
  std::vector<std::string> many = {"--addr", server.address(), "get"};
  for (int i = 0; i < 200; ++i) many.push_back("missing" + std::to_string(i));
  const Ran missing = RunOnline(many);
  EXPECT_EQ(missing.exit_code, 1);
  EXPECT_THAT(missing.err, testing::HasSubstr("Key not found: missing199\n"));
  const Ran ping = RunOnline({"--addr", server.address(), "ping", "-c", "50"});
  EXPECT_EQ(ping.exit_code, 0) << ping.err;
  EXPECT_EQ(std::count(ping.out.begin(), ping.out.end(), '\n'), 50);
}

TEST(OnlineClientTest, NobodyThereIsExitThree) {
  std::string refusing;
  {
    ScriptedServer gone([](ScriptedPeer&) {}, 0);
    refusing = gone.address();
  }
  const Ran ran = RunOnline({"--addr", refusing, "--addr", "unix:/nowhere/sock", "ping"});
  EXPECT_EQ(ran.exit_code, 3);
  EXPECT_EQ(ran.out, "");
  EXPECT_THAT(ran.err, testing::HasSubstr("Connection refused; unix:/nowhere/sock"));
}

TEST(OnlineClientTest, AServerThatGoesIsExitThree) {
  ScriptedServer server([](ScriptedPeer& peer) {
    peer.Greet();
    peer.Read();
  });
  const Ran ran = RunOnline({"--addr", server.address(), "set", "k", "v"});
  EXPECT_EQ(ran.exit_code, 3);
  EXPECT_THAT(ran.err, testing::HasSubstr("may have taken effect"));
}

}  // namespace
}  // namespace pakv
