// A whole server in a simulated world, in virtual time and one thread, and raw connections to it
// whose bytes arrive in the pieces that a test wants.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/server/server.h"
#include "tests/sim/world/sim_node.h"
#include "tests/sim/world/sim_world.h"

namespace pakv {

class SimServer {
 public:
  struct Options {
    uint32_t core_count = 1;
    uint64_t seed = 1;
    uint32_t key_bytes_max = 64 << 10;
    uint32_t value_bytes_max = 1 << 20;
    uint32_t inline_value_bytes_max = 1 << 20;
    uint64_t request_timeout_ns = 30 * kNsPerSecond;
    uint64_t idle_timeout_ns = 0;
    uint64_t cache_bytes = 1 << 20;
    uint64_t disk_bytes = uint64_t{1} << 30;
    bool disk_has_links = true;
    uint64_t transaction_bytes_max = TransactionMemory::kBytesMax;
    uint64_t reply_bytes_max = ReplyRoom::kBytesMax;
    uint64_t device_read_bytes_max = uint64_t{64} << 20;
    uint64_t publish_pause_ns = 0;
    uint32_t connection_count_max = 10240;
    OverflowPolicy overflow = OverflowPolicy::kWait;
    SessionLimits session_limits = {};
    std::string admin_address = "10.0.0.1:7380";
    SimRingOptions ring = {};
    bool start = true;  // false: it listens, and does not serve yet
  };

  SimServer() : SimServer(Options{}) {}
  explicit SimServer(const Options& options)
      : world(options.seed),
        node(world, "10.0.0.1",
             {.capacity_bytes = options.disk_bytes, .has_links = options.disk_has_links}),
        options_(options) {
    world.net().faults = {.cut = 0};
    world.net().SetName("both", {"10.0.0.1", "10.0.0.2"});
    node.disk().MakeDirectories("/pakv");
    node.Start({.core_count = options.core_count, .ring = options.ring});
    server = std::make_unique<Server>(
        node.cores(), MakeServerOptions(),
        ServerIdentity{.version = "1.2.3", .run_id = "r", .config_path = "/etc/pakv.toml"});
    EXPECT_TRUE(node.Run(Listen())) << world.failure();
    if (options.start) Start();
  }
  ~SimServer() {
    Stop();
    server.reset();
    store.reset();
    node.Stop();
  }

  // Ends the server and its store, as the destructor does.
  void Stop() {
    if (std::exchange(stopped_, true)) return;
    EXPECT_TRUE(node.Run(End())) << world.failure();
  }
  void Start() { EXPECT_TRUE(node.Run(OpenAndServe())) << world.failure(); }
  std::string data_address() const { return server->data_addresses()[0]; }
  std::string admin_address() const { return server->admin_address(); }
  ServerStats Stats() {
    const std::optional<ServerStats> stats = node.Run(server->Stats(node.core(0)));
    EXPECT_TRUE(stats.has_value()) << world.failure();
    return stats.value_or(ServerStats());
  }
  // What the store counts as its memory now, its clients' included; of all cores.
  uint64_t MemoryBytes() {
    const auto stats = node.Run(store->Stats(node.core(0)));
    EXPECT_TRUE(stats.has_value()) << world.failure();
    return stats ? stats->memory_bytes : 0;
  }
  // The names of the files of large values, a second from now.
  std::vector<std::string> ValueFiles() {
    world.RunFor(kNsPerSecond);
    std::vector<std::string> names;
    EXPECT_GE(node.disk().List("/pakv/data", names), 0);
    std::erase_if(names, [](const std::string& name) { return !name.ends_with(".val"); });
    return names;
  }

  SimWorld world;
  SimNode node;
  std::unique_ptr<Store> store;
  std::unique_ptr<Server> server;
  bool store_fails = false;  // its Stop is expected to say so

 private:
  ServerOptions MakeServerOptions() const {
    ServerOptions options;
    options.data_endpoints.push_back(*ParseEndpoint("10.0.0.1:7379"));
    options.admin_endpoint = *ParseEndpoint(options_.admin_address);
    options.core_count = options_.core_count;
    options.key_bytes_max = options_.key_bytes_max;
    options.value_bytes_max = options_.value_bytes_max;
    options.inline_value_bytes_max = options_.inline_value_bytes_max;
    options.connection_count_max = options_.connection_count_max;
    options.overflow = options_.overflow;
    options.session_limits = options_.session_limits;
    options.idle_timeout_ns = options_.idle_timeout_ns;
    options.request_timeout_ns = options_.request_timeout_ns;
    return options;
  }
  Task<void> Listen() {
    const absl::Status status = co_await server->Listen();
    EXPECT_TRUE(status.ok()) << status;
  }
  Task<void> OpenAndServe() {
    StoreOptions options;
    options.directory = "/pakv/data";
    options.segment_bytes = 1 << 20;
    // The same protocols on the other engine: tests/net/meson.build runs them once more.
    if (getenv("PAKV_TEST_ENGINE_MEMORY") != nullptr) options.engine = EngineKind::kMemory;
    options.cache_bytes = options_.cache_bytes;
    options.key_bytes_max = options_.key_bytes_max;
    options.value_bytes_max = options_.value_bytes_max;
    options.inline_value_bytes_max = options_.inline_value_bytes_max;
    options.transaction_bytes_max = options_.transaction_bytes_max;
    options.reply_bytes_max = options_.reply_bytes_max;
    options.device_read_bytes_max = options_.device_read_bytes_max;
    options.publish_pause_ns = options_.publish_pause_ns;
    if (options_.inline_value_bytes_max < 4096) options.value_files.chunk_bytes = 4096;
    StoreEntropy entropy;
    entropy.store_id = {1, 2};
    entropy.hash_seed = options_.seed;
    entropy.run = options_.seed;
    options.entropy = entropy;
    OpenReport report;
    auto opened = co_await Store::Open(node.cores(), options, report);
    EXPECT_TRUE(opened.ok()) << opened.status();
    if (!opened.ok()) co_return;
    store = std::move(*opened);
    co_await server->Start(*store);
  }
  Task<void> End() {
    co_await server->Stop();
    if (store == nullptr) co_return;
    const absl::Status stopped = co_await store->Stop();
    EXPECT_EQ(stopped.ok(), !store_fails) << stopped;
  }

  const Options options_;
  bool stopped_ = false;
};

// Every flush fails to come back until it is told to: writes hang, and nothing else.
class StalledDisk {
 public:
  explicit StalledDisk(SimServer& server) : server_(server) {
    server_.node.disk().faults.stall = 10'000;
  }
  ~StalledDisk() { Go(); }
  void Go() { server_.node.disk().faults.stall = 0; }

 private:
  SimServer& server_;
};

// A client's end of a connection, without a program behind it. Calls step the world.
class SimConnection {
 public:
  // To where the server serves data.
  explicit SimConnection(SimServer& server) : SimConnection(server, server.data_address()) {}
  SimConnection(SimServer& server, const std::string& address, const std::string& host = "10.0.0.9")
      : world_(server.world) {
    bool answered = false;
    world_.net().Connect(/*owner=*/0, host, address,
                         [&](int32_t error, SimNet::EndpointRef near_end) {
                           EXPECT_EQ(error, 0);
                           near_end_ = std::move(near_end);
                           answered = true;
                         });
    EXPECT_TRUE(world_.RunUntil([&] { return answered; })) << world_.failure();
    far_end_ = near_end_->peer;
  }
  SimConnection(const SimConnection&) = delete;
  SimConnection& operator=(const SimConnection&) = delete;
  ~SimConnection() { world_.net().Close(near_end_); }

  // What close(2) and a crash of the client's machine do.
  void Close() { world_.net().Close(near_end_); }
  void Reset() { world_.net().Abandon(near_end_, /*reset=*/true); }
  void EndSending() { world_.net().ShutdownSend(near_end_); }
  // So much may be on its way to the server, or not taken there.
  void set_window_bytes(uint64_t bytes) { near_end_->window_bytes = bytes; }
  // Sends what the server takes without being read from; how much.
  size_t SendSome(std::string_view bytes) {
    const int32_t sent = world_.net().Send(near_end_, bytes);
    return sent > 0 ? static_cast<size_t>(sent) : 0;
  }

  // Sends all of `bytes` as fast as the server takes them.
  void Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const int32_t sent = world_.net().Send(near_end_, bytes);
      if (sent < 0) return;  // the server has closed
      bytes.remove_prefix(static_cast<size_t>(sent));
      if (bytes.empty()) return;
      const bool ran = world_.RunUntil([&] {
        return near_end_->outstanding_bytes < near_end_->window_bytes || near_end_->error != 0;
      });
      EXPECT_TRUE(ran) << world_.failure();
      if (!ran) return;
    }
  }
  // Sends `piece`, and waits until the server has taken it by itself and looked at it.
  void SendAlone(std::string_view piece) {
    Send(piece);
    const bool taken = world_.RunUntil([&] {
      const auto far_end = far_end_.lock();
      return far_end == nullptr || far_end->closed || near_end_->error != 0 ||
             (near_end_->wire.empty() && far_end->received.empty());
    });
    EXPECT_TRUE(taken) << world_.failure();
    world_.RunFor(20 * kNsPerUs);
  }

  // Waits for so many bytes in all that were not taken before; takes them. Fewer: the stream ended.
  std::string Receive(size_t bytes) {
    std::string received;
    const bool came = world_.RunUntil([&] {
      received += ReceiveNow(bytes - received.size());
      return received.size() == bytes || near_end_->end_received || near_end_->error != 0;
    });
    EXPECT_TRUE(came) << world_.failure();
    return received;
  }
  std::string ReceiveToEnd() { return Receive(SIZE_MAX); }
  // A line with its CR LF, or what came of it before the stream ended.
  std::string ReceiveLine() {
    std::string line;
    while (!line.ends_with("\r\n")) {
      const std::string byte = Receive(1);
      if (byte.empty()) break;
      line += byte;
    }
    return line;
  }
  // What comes next is exactly this; a failure shows both from shortly before where they differ.
  void ExpectReply(std::string_view reply, std::string_view request = {}) {
    const std::string received = Receive(reply.size());
    const auto differs =
        std::mismatch(received.begin(), received.end(), reply.begin(), reply.end());
    const auto same = static_cast<size_t>(differs.first - received.begin());
    const size_t from = same - std::min<size_t>(same, 50);
    EXPECT_TRUE(received == reply)
        << "to: " << request.substr(0, 200) << "\nfrom byte " << from << " of " << reply.size()
        << " on: " << received.substr(from, 200) << "\nin place of: " << reply.substr(from, 200);
  }
  void Expect(std::string_view request, std::string_view reply) {
    Send(request);
    ExpectReply(reply, request);
  }
  bool ended() const { return near_end_->end_received && near_end_->received.empty(); }
  // Of what has come so far and was not taken.
  size_t arrived_bytes() const { return near_end_->received.size(); }
  // What has come so far.
  std::string ReceiveNow(size_t bytes_max = SIZE_MAX) {
    if (near_end_->received.empty()) return {};
    return world_.net().Take(near_end_, bytes_max);
  }

 private:
  SimWorld& world_;
  SimNet::EndpointRef near_end_;
  std::weak_ptr<SimNet::Endpoint> far_end_;
};

}  // namespace pakv
