// A whole server in this process, over real TCP: what a client sees, and that it leaves nothing.
#include "net/server/server.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <future>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/core/cores.h"
#include "runtime/core/next_pass.h"
#include "runtime/io/uring_ring.h"

namespace pakv {
namespace {

// A pakvd without its main(): cores on threads, a store in a directory of its own, a server.
class TestServer {
 public:
  using Hook = Task<void> (*)(Core& here);
  // The hooks run on core 0, right before and right after the server's Start.
  explicit TestServer(uint32_t core_count, ServerOptions options = {}, Hook on_start = nullptr,
                      Hook on_started = nullptr)
      : options_(options), on_start_(on_start), on_started_(on_started) {
    char directory[] = "/tmp/pakv-server-test-XXXXXX";
    PAKV_CHECK(mkdtemp(directory) != nullptr);
    directory_ = directory;
    options_.core_count = core_count;
    if (options_.data_endpoints.empty()) {
      options_.data_endpoints.push_back(*ParseEndpoint("127.0.0.1:0"));
    }
    std::vector<std::unique_ptr<Ring>> rings;
    for (uint32_t id = 0; id < core_count; ++id) {
      std::string error;
      rings.push_back(UringRing::Create({}, error));
      PAKV_CHECK(rings.back() != nullptr);
    }
    cores_ = std::make_unique<Cores>(SystemClock(), std::move(rings), CoreOptions{});
    cores_->core(0).nursery().Spawn(Begin());
    PAKV_CHECK(cores_->Start());
    started_.get_future().get();
  }

  ~TestServer() {
    StopMessage message(*this);
    cores_->core(0).Post(message);
    cores_->Join();
    server_.reset();
    store_.reset();
    cores_.reset();
    std::filesystem::remove_all(directory_);
  }

  uint16_t port() const {
    const std::string& address = server_->data_addresses()[0];
    return static_cast<uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
  }
  bool drained() const { return drained_; }

 private:
  struct StopMessage : Message {
    explicit StopMessage(TestServer& owner_in)
        : Message([](Message& self, Core& here) {
            here.nursery().Spawn(static_cast<StopMessage&>(self).owner.End());
          }),
          owner(owner_in) {}
    TestServer& owner;
  };

  Task<void> Begin() {
    StoreOptions options;
    options.directory = directory_ + "/data";
    options.segment_bytes = 4 << 20;
    OpenReport report;
    auto opened = co_await Store::Open(*cores_, options, report);
    PAKV_CHECK(opened.ok(), opened.status().ToString().c_str());
    store_ = std::move(*opened);
    server_ = std::make_unique<Server>(*cores_, options_, ServerIdentity{});
    const absl::Status status = co_await server_->Listen();
    PAKV_CHECK(status.ok(), status.ToString().c_str());
    if (on_start_ != nullptr) co_await on_start_(cores_->core(0));
    co_await server_->Start(*store_);
    if (on_started_ != nullptr) co_await on_started_(cores_->core(0));
    started_.set_value();
  }

  Task<void> End() {
    drained_ = co_await server_->Drain(5 * kNsPerSecond);
    co_await server_->Stop();
    const absl::Status stopped = co_await store_->Stop();
    EXPECT_TRUE(stopped.ok()) << stopped;
    cores_->RequestLeave();
  }

  ServerOptions options_;
  const Hook on_start_;
  const Hook on_started_;
  std::string directory_;
  std::unique_ptr<Cores> cores_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<Server> server_;
  std::promise<void> started_;
  bool drained_ = false;
};

// A blocking client.
class Client {
 public:
  explicit Client(uint16_t port) {
    socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    PAKV_CHECK(connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
    timeval patience{.tv_sec = 10, .tv_usec = 0};
    setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  }
  ~Client() { Close(); }
  void Close() {
    if (socket_ >= 0) close(socket_);
    socket_ = -1;
  }
  void Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      ASSERT_GT(sent, 0);
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
  }
  void EndSending() { shutdown(socket_, SHUT_WR); }
  // Exactly `bytes`, fewer at the end of the stream or after ten seconds.
  std::string Receive(size_t bytes) {
    std::string received(bytes, '\0');
    size_t at = 0;
    while (at < bytes) {
      const ssize_t got = recv(socket_, received.data() + at, bytes - at, 0);
      // The kernel interrupts the thread that made a ring, and a receive with a timeout is not
      // taken up again by itself (signal(7)).
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) break;
      at += static_cast<size_t>(got);
    }
    received.resize(at);
    return received;
  }
  std::string ReceiveAll() { return Receive(1 << 20); }
  void Expect(std::string_view request, std::string_view reply) {
    Send(request);
    const std::string received = Receive(reply.size());
    if (received == reply) return;
    // The first difference tells enough.
    size_t at = 0;
    while (at < received.size() && at < reply.size() && received[at] == reply[at]) ++at;
    const size_t begin = at > 40 ? at - 40 : 0;
    ADD_FAILURE() << "at byte " << at << " of " << reply.size() << ": got \""
                  << received.substr(begin, 80) << "\" for \"" << reply.substr(begin, 80) << '"';
  }

 private:
  int socket_ = -1;
};

// One pass that takes as long as a stall.
Task<void> StallOnePass(Core& here) {
  const uint64_t begin_ns = SystemClock().MonotonicNs();
  while (SystemClock().MonotonicNs() - begin_ns < StallDetector::kStallNs) {
  }
  co_await NextPass(here);
}

TEST(ServerTest, PassesCountAsStallsOnceThereIsSomebodyToServe) {
  testing::internal::CaptureStderr();
  {
    TestServer server(2, {}, StallOnePass, [](Core& here) -> Task<void> {
      EXPECT_EQ(here.stalls().count(), 0u);
      co_await StallOnePass(here);
      // The rest of the pass that Start ended in was the start's.
      const uint64_t before = here.stalls().count();
      co_await StallOnePass(here);
      EXPECT_GT(here.stalls().count(), before);
    });
  }
  testing::internal::GetCapturedStderr();
}

TEST(ServerTest, SetGetDelPing) {
  for (const uint32_t cores : {1u, 2u}) {
    TestServer server(cores);
    Client client(server.port());
    client.Expect("PING\r\n", "+PONG\r\n");
    client.Expect("*2\r\n$3\r\nGET\r\n$1\r\na\r\n", "$-1\r\n");
    client.Expect("*3\r\n$3\r\nSET\r\n$1\r\na\r\n$3\r\none\r\n", "+OK\r\n");
    client.Expect("*2\r\n$3\r\nGET\r\n$1\r\na\r\n", "$3\r\none\r\n");
    client.Expect("DEL a b\r\n", ":1\r\n");
    client.Expect("GET a\r\n", "$-1\r\n");
  }
}

TEST(ServerTest, PipelinedRepliesComeInOrder) {
  for (const uint32_t cores : {1u, 2u}) {
    TestServer server(cores);
    Client client(server.port());
    std::string request;
    std::string reply;
    for (int i = 0; i < 5000; ++i) {
      const std::string key = "key" + std::to_string(i % 97);
      const std::string value = std::to_string(i);
      request += "SET " + key + " " + value + "\r\nGET " + key + "\r\nPING " + value + "\r\n";
      const std::string bulk = "$" + std::to_string(value.size()) + "\r\n" + value + "\r\n";
      reply += "+OK\r\n" + bulk + bulk;
    }
    client.Expect(request, reply);
  }
}

}  // namespace
}  // namespace pakv
