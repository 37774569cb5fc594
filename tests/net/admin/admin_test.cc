// The admin port of a whole server in a simulated world, and the page of its counters.
//
// Long because: each path and each way to misuse one is a case, over one set of helpers.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <memory>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "net/admin/admin_protocol.h"
#include "net/admin/metrics.h"
#include "tests/net/pakv/pakv_frames.h"
#include "tests/net/resp/resp_text.h"
#include "tests/net/server/sim_server.h"

namespace pakv {
namespace {

struct Response {
  std::string head;  // with the empty line
  std::string body;
  int status() const { return head.size() < 12 ? 0 : std::stoi(head.substr(9, 3)); }
  bool Has(std::string_view header) const { return head.find(header) != std::string::npos; }
};

// A connection to the admin port.
class AdminClient {
 public:
  explicit AdminClient(SimServer& server) : raw(server, server.admin_address()) {}

  Response Get(std::string_view path) { return Ask("GET", path); }
  Response Ask(std::string_view method, std::string_view path) {
    raw.Send(std::string(method) + " " + std::string(path) + " HTTP/1.1\r\nHost: a\r\n\r\n");
    return Take(method != "HEAD");
  }
  // The next response in the stream.
  Response Take(bool with_body = true) {
    Response response;
    while (!response.head.ends_with("\r\n\r\n")) {
      const std::string byte = raw.Receive(1);
      if (byte.empty()) return response;
      response.head += byte;
    }
    const std::string_view mark = "Content-Length: ";
    const size_t length = std::stoul(response.head.substr(response.head.find(mark) + mark.size()));
    if (with_body) response.body = raw.Receive(length);
    return response;
  }

  SimConnection raw;
};

TEST(AdminTest, ThreePagesOnOneConnection) {
  SimServer server({.core_count = 2});
  AdminClient client(server);
  const Response health = client.Get("/healthz");
  EXPECT_EQ(health.status(), 200);
  EXPECT_EQ(health.body, "ok\n");
  EXPECT_EQ(client.Get("/readyz?verbose").body, "ready\n");
  const Response metrics = client.Get("/metrics");
  EXPECT_EQ(metrics.status(), 200);
  EXPECT_TRUE(metrics.Has("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
  EXPECT_TRUE(metrics.body.starts_with("# HELP pakv_build_info "));
  EXPECT_TRUE(metrics.body.ends_with("\n"));
  EXPECT_EQ(client.Get("/healthz").body, "ok\n");
}

TEST(AdminTest, WhatIsNoPageOrNoMethodIsSaid) {
  SimServer server;
  AdminClient client(server);
  EXPECT_EQ(client.Get("/").status(), 404);
  EXPECT_EQ(client.Get("/healthz/").status(), 404);
  EXPECT_EQ(client.Ask("DELETE", "/none").status(), 404);
  const Response refused = client.Ask("POST", "/metrics");
  EXPECT_EQ(refused.status(), 405);
  EXPECT_TRUE(refused.Has("Allow: GET, HEAD\r\n"));
  EXPECT_EQ(client.Ask("get", "/metrics").status(), 405);
  EXPECT_EQ(client.Ask("OPTIONS", "*").status(), 404);
}

TEST(AdminTest, HeadIsGetWithoutTheBody) {
  SimServer server;
  AdminClient client(server);
  for (const std::string_view path : {"/healthz", "/readyz", "/metrics", "/none"}) {
    const Response with_body = client.Get(path);
    const Response without = client.Ask("HEAD", path);
    EXPECT_EQ(without.status(), with_body.status());
    // The counters' digits may be more by now; the length is that of the body as it would be.
    EXPECT_TRUE(without.Has("Content-Length: "));
    EXPECT_EQ(client.Get("/healthz").body, "ok\n") << "a body behind HEAD " << path;
  }
}

TEST(AdminTest, PipelinedRequestsAreAnsweredInOrder) {
  SimServer server({.core_count = 2});
  AdminClient client(server);
  std::string stream;
  const std::vector<std::string> paths = {"/metrics", "/healthz", "/readyz", "/none", "/healthz"};
  for (const std::string& path : paths) stream += "GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n";
  for (const char byte : stream) client.raw.SendAlone(std::string_view(&byte, 1));
  client.raw.Send(stream);
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(client.Take().body.substr(0, 6), "# HELP");
    EXPECT_EQ(client.Take().body, "ok\n");
    EXPECT_EQ(client.Take().body, "ready\n");
    EXPECT_EQ(client.Take().status(), 404);
    EXPECT_EQ(client.Take().body, "ok\n");
  }
}

TEST(AdminTest, TheConnectionEndsWhereItHasTo) {
  const struct {
    std::string request;
    int status;
  } kCases[] = {
      // Answered at once, and after the cores were asked.
      {"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 200},
      {"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 200},
      {"GET /readyz HTTP/1.0\r\n\r\n", 200},
      {"GET /none HTTP/1.0\r\n\r\n", 404},
      {"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", 413},
      {"GET / HTTP/2.0\r\n", 505},
      {"*1\r\n$4\r\nPING\r\n", 400},
      {"GET /" + std::string(3000, 'x'), 414},
      {"GET / HTTP/1.1\r\nx: " + std::string(9000, 'x'), 431},
  };
  for (const auto& each : kCases) {
    SimServer server;
    AdminClient client(server);
    client.raw.Send(each.request + "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    const Response response = client.Take();
    EXPECT_EQ(response.status(), each.status) << each.request;
    EXPECT_TRUE(response.Has("Connection: close\r\n")) << each.request;
    EXPECT_EQ(client.raw.ReceiveToEnd(), "") << each.request;
  }
}

TEST(AdminTest, ARequestThatIsNotCompletedIsTimedOut) {
  SimServer server;
  AdminClient client(server);
  const uint64_t begin_ns = server.world.now_ns();
  client.raw.Send("GET /healthz HTTP/1.1\r\n");
  EXPECT_EQ(client.Take().status(), 408);
  EXPECT_EQ(client.raw.ReceiveToEnd(), "");
  EXPECT_LT(server.world.now_ns() - begin_ns, 12 * kNsPerSecond);
}

TEST(AdminTest, WhatBeginsAsNoRequestCanIsAnsweredAtOnce) {
  for (const std::string_view begin :
       {std::string_view("\x16\x03\x01\x02"), std::string_view("\0", 1)}) {
    SimServer server;
    AdminClient client(server);
    const uint64_t begin_ns = server.world.now_ns();
    client.raw.SendAlone(begin);
    EXPECT_EQ(client.Take().status(), 400);
    EXPECT_LT(server.world.now_ns() - begin_ns, kNsPerSecond);
    EXPECT_EQ(client.raw.ReceiveToEnd(), "");
  }
}

// A liveness probe that waits for them would have the server killed.
TEST(AdminTest, WhoConnectsAndIsSilentKeepsNobodyOut) {
  SimServer server;
  std::vector<std::unique_ptr<AdminClient>> silent;
  for (int i = 0; i < 100; ++i) {
    silent.push_back(std::make_unique<AdminClient>(server));
    if (i % 2 == 0) silent.back()->raw.Send("GET /heal");
  }
  const uint64_t begin_ns = server.world.now_ns();
  AdminClient client(server);
  EXPECT_EQ(client.Get("/healthz").body, "ok\n");
  EXPECT_EQ(client.Get("/readyz").body, "ready\n");
  EXPECT_LT(server.world.now_ns() - begin_ns, kNsPerSecond);
  // The newest of them still have their turn.
  silent.back()->raw.Send("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(silent.back()->Take().body, "ok\n");
  EXPECT_EQ(silent.front()->raw.Receive(1), "");
}

// Each address has an accept of its own: two that come together take two places.
TEST(AdminTest, NorIfTwoComeAtOnceByTwoAddresses) {
  SimServer::Options options;
  options.admin_address = "both:7380";
  SimServer server(options);
  std::vector<std::unique_ptr<SimConnection>> silent;
  for (int i = 0; i < 64; ++i) {
    silent.push_back(std::make_unique<SimConnection>(server, "10.0.0.1:7380"));
  }
  const std::string get = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
  std::vector<SimNet::EndpointRef> probes;
  SimNet& net = server.world.net();
  for (int i = 0; i < 20; ++i) {
    for (const char* address : {"10.0.0.1:7380", "10.0.0.2:7380"}) {
      net.Connect(/*owner=*/0, "10.0.0.9", address, [&](int32_t, SimNet::EndpointRef near_end) {
        EXPECT_GT(net.Send(near_end, get), 0);
        probes.push_back(std::move(near_end));
      });
    }
    server.world.RunFor(kNsPerSecond);
    ASSERT_EQ(probes.size(), 2u);
    for (const auto& probe : probes) {
      EXPECT_TRUE(!probe->received.empty() && net.Take(probe, 12) == "HTTP/1.1 200") << i;
      net.Close(probe);
    }
    probes.clear();
    server.world.RunFor(kNsPerSecond);
    for (int k = 0; k < 2; ++k) {
      silent.push_back(std::make_unique<SimConnection>(server, "10.0.0.1:7380"));
    }
  }
}

TEST(AdminTest, AnIdleConnectionIsClosed) {
  SimServer server;
  AdminClient client(server);
  EXPECT_EQ(client.Get("/healthz").status(), 200);
  EXPECT_EQ(client.raw.ReceiveToEnd(), "");
}

TEST(AdminTest, ItIsAliveButNotReadyBeforeItServesAndWhileItStops) {
  SimServer server({.start = false});
  AdminClient client(server);
  EXPECT_EQ(client.Get("/healthz").status(), 200);
  const Response starting = client.Get("/readyz");
  EXPECT_EQ(starting.status(), 503);
  EXPECT_TRUE(starting.body.starts_with("recovering: ")) << starting.body;
  EXPECT_NE(client.Get("/metrics").body.find("pakv_keys 0\n"), std::string::npos);
  server.Start();
  EXPECT_EQ(client.Get("/readyz").status(), 200);

  // A client that does not go keeps it from stopping.
  SimConnection data(server, server.data_address());
  data.Send("PING\r\nSET a ");
  EXPECT_EQ(data.Receive(7), "+PONG\r\n");
  bool drained = false;
  struct Drain {
    static Task<void> Run(Server& of, bool& ended) {
      ended = co_await of.Drain(1000 * kNsPerSecond);
    }
  };
  server.node.core(0).nursery().Spawn(Drain::Run(*server.server, drained));
  server.node.core(0).ring().Wake();
  const Response stopping = client.Get("/readyz");
  EXPECT_EQ(stopping.status(), 503);
  EXPECT_TRUE(stopping.body.starts_with("stopping: ")) << stopping.body;
  EXPECT_EQ(client.Get("/healthz").status(), 200);
  ASSERT_TRUE(server.world.RunUntil([&] { return drained; }));
}

TEST(AdminTest, AStoreThatTakesNoWritesIsNotReady) {
  SimServer server;
  server.store_fails = true;
  AdminClient client(server);
  EXPECT_EQ(client.Get("/readyz").status(), 200);
  server.node.disk().faults.flush_error = 10'000;
  SimConnection data(server, server.data_address());
  data.Send("SET a b\r\n");
  EXPECT_TRUE(data.Receive(8).starts_with("-MISCONF"));
  server.node.disk().faults.flush_error = 0;
  const Response response = client.Get("/readyz");
  EXPECT_EQ(response.status(), 503);
  EXPECT_TRUE(response.body.starts_with("read-only: ")) << response.body;
  EXPECT_EQ(client.Get("/healthz").status(), 200);
  EXPECT_NE(client.Get("/metrics").body.find("\npakv_read_only 1\n"), std::string::npos);
}

// The first bytes of the reply that is no OK, or of the last one.
std::string SetUntilRefused(SimConnection& data, const std::string& value) {
  std::string reply;
  for (int i = 0; i < 200 && !reply.starts_with("-"); ++i) {
    data.Send(RespRequest({"SET", "a", value}));
    reply = data.Receive(5);
  }
  return reply;
}

TEST(AdminTest, AFullDiskIsNotReadyUntilThereIsRoom) {
  SimServer server({.disk_bytes = 32 << 20});
  AdminClient client(server);
  server.node.disk().SetBallast(32 << 20);
  SimConnection data(server, server.data_address());
  std::string reply = SetUntilRefused(data, std::string(100'000, 'v'));
  EXPECT_EQ(reply, "-MISC");
  const Response response = client.Get("/readyz");
  EXPECT_EQ(response.status(), 503);
  EXPECT_TRUE(response.body.starts_with("disk full: ")) << response.body;
  EXPECT_NE(client.Get("/metrics").body.find("\npakv_disk_full 1\n"), std::string::npos);
  server.node.disk().SetBallast(0);
  server.world.RunFor(5 * kNsPerSecond);
  EXPECT_EQ(client.Get("/readyz").status(), 200);
}

TEST(AdminTest, AServerWithoutDescriptorsIsNotReadyUntilThereAreSome) {
  SimServer server({.disk_bytes = 32 << 20});
  AdminClient client(server);
  server.world.RunFor(kNsPerSecond);
  server.node.disk().faults.no_descriptor = 10'000;
  EXPECT_EQ(client.Get("/readyz").status(), 200) << "what is ready is used first";
  SimConnection data(server, server.data_address());
  std::string reply = SetUntilRefused(data, std::string(100'000, 'v'));
  const std::string rest = "ONF out of file descriptors: ";
  EXPECT_EQ(reply + data.Receive(rest.size()), "-MISC" + rest);
  server.world.RunFor(kNsPerMs);
  data.ReceiveNow();
  EXPECT_EQ(SetUntilRefused(data, "b"), "-MISC") << "now not even that has a place";
  server.world.RunFor(kNsPerMs);
  data.ReceiveNow();
  const Response response = client.Get("/readyz");
  EXPECT_EQ(response.status(), 503);
  EXPECT_TRUE(response.body.starts_with("out of file descriptors: ")) << response.body;
  EXPECT_NE(client.Get("/metrics").body.find("\npakv_no_descriptors 1\n"), std::string::npos);
  data.Send("DEL a\r\n");
  EXPECT_EQ(data.Receive(4), ":1\r\n");
  EXPECT_NE(client.Get("/metrics").body.find("\npakv_read_only 0\n"), std::string::npos);
  server.node.disk().faults.no_descriptor = 0;
  server.world.RunFor(5 * kNsPerSecond);
  EXPECT_EQ(client.Get("/readyz").status(), 200);
  EXPECT_NE(client.Get("/metrics").body.find("\npakv_no_descriptors 0\n"), std::string::npos);
  data.Send("SET a b\r\n");
  EXPECT_EQ(data.Receive(5), "+OK\r\n");
}

// ---- /metrics ----

std::string Content(const std::string& path) {
  std::ifstream file(std::string(PAKV_SOURCE_ROOT) + "/" + path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(MetricsTest, EachCounterOfAServerIsOnThePage) {
  SimServer server({.core_count = 2});
  SimConnection data(server, server.data_address());
  data.Send("SET a b\r\nGET a\r\nGET c\r\n");
  EXPECT_EQ(data.Receive(5 + 7 + 5), "+OK\r\n$1\r\nb\r\n$-1\r\n");
  AdminClient client(server);
  const std::string page = client.Get("/metrics").body;
  for (const std::string_view line :
       {"pakv_build_info{version=\"1.2.3\"} 1", "pakv_cores 2", "pakv_connections 1",
        "pakv_connections_opened_total 1", "pakv_requests_total 3", "pakv_received_bytes_total 23",
        "pakv_sent_bytes_total 17", "pakv_reads_total 2", "pakv_read_hits_total 1",
        "pakv_read_misses_total 1", "pakv_read_device_total 0", "pakv_writes_total 1",
        "pakv_keys 1", "pakv_read_only 0", "pakv_disk_full 0", "pakv_no_descriptors 0",
        "pakv_protocol_errors_total 0", "pakv_request_timeouts_total 0"}) {
    EXPECT_NE(page.find("\n" + std::string(line) + "\n"), std::string::npos) << line << page;
  }
}

std::string Word(const std::string& line, int index) {
  std::istringstream words(line);
  std::string result;
  for (int i = 0; i <= index; ++i) words >> result;
  return result;
}

// The names of a page's metrics, in its order.
std::vector<std::string> NamesOf(const std::string& page) {
  std::istringstream lines(page);
  std::vector<std::string> names;
  std::string line;
  while (std::getline(lines, line)) {
    if (line.starts_with("# HELP ")) names.push_back(Word(line, 2));
  }
  return names;
}

ProcessUsage SomeUsage() {
  ProcessUsage usage;
  usage.user_cpu_us = 1'000'001;
  usage.system_cpu_us = 500'000;
  usage.resident_bytes = 4096;
  usage.virtual_bytes = 8192;
  usage.open_descriptors = 12;
  usage.descriptors_max = 1024;
  usage.started_ms = 1'764'323'200'250;
  return usage;
}

// As the format wants it: HELP, TYPE and the samples of each metric together, each name once; a
// histogram's buckets grow, and the last one holds all.
TEST(MetricsTest, ThePageIsInPrometheusFormat) {
  ServerStats stats;
  stats.connections = UINT64_MAX;
  stats.store.write_amplification_percent = 230;
  stats.store.slowed_permille = 7;
  stats.store.commit_ns.Record(30 * kNsPerUs, 2);
  stats.store.commit_ns.Record(7 * kNsPerMs);
  const std::string page = PrometheusPage(stats, SomeUsage(), "a\"b\\c\nd");
  std::istringstream lines(page);
  std::string line;
  std::string name;
  std::string kind;
  std::set<std::string> names;
  std::set<std::string> sampled;
  while (std::getline(lines, line)) {
    if (line.starts_with("# HELP ")) {
      name = Word(line, 2);
      EXPECT_FALSE(Word(line, 3).empty()) << line;
      EXPECT_TRUE(names.insert(name).second) << name << " twice";
      EXPECT_EQ(name.find_first_not_of("abcdefghijklmnopqrstuvwxyz_"), std::string::npos) << name;
      ASSERT_TRUE(std::getline(lines, line));
      kind = Word(line, 3);
      EXPECT_EQ(line, "# TYPE " + name + " " + kind);
      if (kind != "histogram") {
        EXPECT_EQ(kind, name.ends_with("_total") ? "counter" : "gauge");
      }
      continue;
    }
    const std::string sample = line.substr(0, line.find_first_of("{ "));
    sampled.insert(name);
    if (kind != "histogram") {
      EXPECT_EQ(sample, name);
    } else {
      EXPECT_TRUE(sample == name + "_bucket" || sample == name + "_sum" ||
                  sample == name + "_count")
          << line;
    }
  }
  EXPECT_EQ(names, sampled);
  for (const std::string_view expected :
       {"pakv_build_info{version=\"a\\\"b\\\\c\\nd\"} 1", "pakv_connections 18446744073709551615",
        "pakv_write_amplification_ratio 2.3", "pakv_writes_slowed_ratio 0.007",
        "process_cpu_seconds_total 1.500001", "process_resident_memory_bytes 4096",
        "process_virtual_memory_bytes 8192", "process_open_fds 12", "process_max_fds 1024",
        "process_start_time_seconds 1764323200.25"}) {
    EXPECT_NE(page.find("\n" + std::string(expected) + "\n"), std::string::npos)
        << expected << page;
  }
  const std::vector<std::string> all = NamesOf(page);
  const std::vector<std::string> without = NamesOf(PrometheusPage(stats, std::nullopt, "1"));
  for (const std::string& metric : all) {
    const bool there = std::find(without.begin(), without.end(), metric) != without.end();
    EXPECT_EQ(there, metric.starts_with("pakv_")) << metric;
  }
}

TEST(MetricsTest, CommitsAreAHistogramOfSeconds) {
  ServerStats stats;
  stats.store.commit_ns.Record(10 * kNsPerUs);
  stats.store.commit_ns.Record(30 * kNsPerUs, 2);
  stats.store.commit_ns.Record(7 * kNsPerMs);
  stats.store.commit_ns.Record(20 * kNsPerSecond);
  const std::string page = PrometheusPage(stats, std::nullopt, "1");
  const size_t begin = page.find("# TYPE pakv_commit_seconds histogram\n");
  ASSERT_NE(begin, std::string::npos);
  EXPECT_EQ(page.substr(begin), R"(# TYPE pakv_commit_seconds histogram
pakv_commit_seconds_bucket{le="0.00001"} 0
pakv_commit_seconds_bucket{le="0.000025"} 1
pakv_commit_seconds_bucket{le="0.00005"} 3
pakv_commit_seconds_bucket{le="0.0001"} 3
pakv_commit_seconds_bucket{le="0.00025"} 3
pakv_commit_seconds_bucket{le="0.0005"} 3
pakv_commit_seconds_bucket{le="0.001"} 3
pakv_commit_seconds_bucket{le="0.0025"} 3
pakv_commit_seconds_bucket{le="0.005"} 3
pakv_commit_seconds_bucket{le="0.01"} 4
pakv_commit_seconds_bucket{le="0.025"} 4
pakv_commit_seconds_bucket{le="0.05"} 4
pakv_commit_seconds_bucket{le="0.1"} 4
pakv_commit_seconds_bucket{le="0.25"} 4
pakv_commit_seconds_bucket{le="0.5"} 4
pakv_commit_seconds_bucket{le="1"} 4
pakv_commit_seconds_bucket{le="2.5"} 4
pakv_commit_seconds_bucket{le="5"} 4
pakv_commit_seconds_bucket{le="10"} 4
pakv_commit_seconds_bucket{le="+Inf"} 5
pakv_commit_seconds_sum 20.00707
pakv_commit_seconds_count 5
)");
}

// The simulated device takes its time in virtual time; all cores' commits are summed.
TEST(MetricsTest, EachBlockOfTheLogIsInTheHistogram) {
  SimServer server({.core_count = 2});
  SimConnection data(server, server.data_address());
  for (int i = 0; i < 10; ++i) {
    data.Send("SET key" + std::to_string(i) + " v\r\n");
    EXPECT_EQ(data.Receive(5), "+OK\r\n");
  }
  const ServerStats stats = server.Stats();
  EXPECT_GE(stats.store.commit_ns.count(), 10u);
  EXPECT_EQ(stats.store.commit_ns.count(), stats.store.blocks);
  EXPECT_GT(stats.store.commit_ns.Percentile(0), 0u) << "nothing is durable at once";
  EXPECT_LT(stats.store.commit_ns.max(), kNsPerSecond);
  // One that takes long is told as long.
  server.world.RunFor(kNsPerSecond);
  const uint64_t begin_ns = server.world.now_ns();
  server.node.disk().faults.stall = 10'000;
  data.Send("SET a b\r\n");
  EXPECT_EQ(data.Receive(5), "+OK\r\n");
  server.node.disk().faults.stall = 0;
  const uint64_t took_ns = server.world.now_ns() - begin_ns;
  const uint64_t longest_ns = server.Stats().store.commit_ns.max();
  EXPECT_GT(longest_ns, took_ns / 2);
  EXPECT_LE(longest_ns, took_ns);
  AdminClient client(server);
  const std::string page = client.Get("/metrics").body;
  const std::string count = "\npakv_commit_seconds_count ";
  ASSERT_NE(page.find(count), std::string::npos);
  EXPECT_GE(std::stoul(page.substr(page.find(count) + count.size())), 10u);
}

TEST(MetricsTest, CountersBeginAnewAndGaugesDoNot) {
  static_assert(std::is_trivially_copyable_v<ServerStats>);
  ServerStats stats;
  std::memset(static_cast<void*>(&stats), 1, sizeof(stats));
  const ServerStats since = CountersSince(stats, stats);
  for (const ServerMetric& metric : ServerMetrics()) {
    const uint64_t expected = metric.kind == MetricKind::kCounter ? 0 : metric.value(stats);
    EXPECT_EQ(metric.value(since), expected) << metric.name;
  }
}

TEST(MetricsTest, ConfigResetStatIsForInfoAlone) {
  SimServer server({.core_count = 2});
  SimConnection data(server, server.data_address());
  const auto stats_of_info = [&data] {
    data.Send("INFO stats\r\n");
    std::string text;
    while (!text.ends_with("\r\n\r\n") && !data.ended()) text += data.Receive(1);
    return text;
  };
  data.Send("SET a b\r\nGET a\r\nGET c\r\n");
  EXPECT_EQ(data.Receive(5 + 7 + 5), "+OK\r\n$1\r\nb\r\n$-1\r\n");
  std::string text = stats_of_info();
  for (const std::string_view line : {"total_connections_received:1", "total_commands_processed:4",
                                      "keyspace_hits:1", "keyspace_misses:1", "pakv_writes:1"}) {
    EXPECT_NE(text.find("\n" + std::string(line) + "\r"), std::string::npos) << line << text;
  }
  data.Send("CONFIG RESETSTAT\r\n");
  EXPECT_EQ(data.Receive(5), "+OK\r\n");
  text = stats_of_info();
  for (const std::string_view line : {"total_connections_received:0", "total_commands_processed:1",
                                      "keyspace_hits:0", "keyspace_misses:0", "pakv_writes:0"}) {
    EXPECT_NE(text.find("\n" + std::string(line) + "\r"), std::string::npos) << line << text;
  }
  const std::string page = AdminClient(server).Get("/metrics").body;
  EXPECT_NE(page.find("\npakv_requests_total 6\n"), std::string::npos) << page;
}

TEST(MetricsTest, TheDocumentNamesEachAndNoOther) {
  std::istringstream document(Content("docs/metrics.md"));
  std::vector<std::string> documented;
  std::string line;
  while (std::getline(document, line)) {
    if (!line.starts_with("| `pakv_") && !line.starts_with("| `process_")) continue;
    documented.push_back(line.substr(3, line.find('`', 3) - 3));
  }
  EXPECT_EQ(documented, NamesOf(PrometheusPage(ServerStats(), ProcessUsage(), "1")));
  const std::string text = document.str();
  for (const ServerMetric& metric : ServerMetrics()) {
    if (metric.kind != MetricKind::kPercentile) continue;
    EXPECT_NE(text.find("`" + std::string(metric.name) + "`"), std::string::npos) << metric.name;
  }
}

}  // namespace
}  // namespace pakv
