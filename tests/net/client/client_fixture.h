// What tests of the client share: a core of their own, and a client connected on it.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "net/client/client.h"
#include "runtime/io/uring_ring.h"
#include "tests/net/client/scripted_server.h"

namespace pakv {

inline constexpr size_t kMebibyte = size_t{1} << 20;

class ClientTest : public testing::Test {
 protected:
  ClientTest() {
    std::string error;
    auto ring = UringRing::Create({.entries = 64, .receive_buffer_count = 64}, error);
    EXPECT_NE(ring, nullptr) << error;
    core_ = std::make_unique<Core>(0, 1, SystemClock(), std::move(ring),
                                   CoreOptions{.buffer_count = 0, .buffer_bytes = 0});
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
inline void EchoKeys(ScriptedPeer& peer) {
  peer.Greet();
  while (const auto request = peer.Read()) peer.Send(peer.Value(request->id, request->key));
}

}  // namespace pakv
