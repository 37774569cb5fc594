// Long requests share a core's memory (FrameBudget): what a client holds of it is in proportion to
// what it has sent, and who stops sending while others wait is cut off, over both protocols.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "net/session/buffers/frame_budget.h"
#include "tests/net/pakv/pakv_connection.h"
#include "tests/net/pakv/pakv_frames.h"
#include "tests/net/resp/resp_text.h"
#include "tests/net/server/sim_server.h"

namespace pakv {
namespace {

constexpr uint64_t kSecond = kNsPerSecond;
constexpr size_t kOwnBytes = 64 << 10;

enum class Speaks : uint8_t { kResp, kPakv };

// A set, and how far it was sent.
class Sender {
 public:
  Sender(SimServer& server, Speaks protocol, const std::string& key, size_t value_bytes,
         const std::string& host = "10.0.0.9")
      : server_(server) {
    const std::string value(value_bytes, 'v');
    if (protocol == Speaks::kResp) {
      resp_ = std::make_unique<SimConnection>(server, server.data_address(), host);
      request_ = RespRequest({"SET", key, value});
    } else {
      pakv_ = std::make_unique<PakvConnection>(server, host);
      request_ = PakvRequest(PakvType::kSet, 2, {Key(key), Value(value)});
    }
  }

  SimConnection& raw() { return resp_ != nullptr ? *resp_ : pakv_->raw; }
  size_t sent() const { return sent_; }
  bool is_sent() const { return sent_ == request_.size(); }
  // As much of the next `bytes` as is taken now.
  void SendSome(size_t bytes = SIZE_MAX) {
    sent_ += raw().SendSome(std::string_view(request_).substr(sent_, bytes));
  }
  // All of the next `bytes`, or what is taken of them until nothing more is.
  void Send(size_t bytes = SIZE_MAX) {
    const size_t end = std::min(request_.size() - sent_, bytes) + sent_;
    for (int idle = 0; idle < 20 && sent_ < end; ++idle) {
      const size_t before = sent_;
      SendSome(end - sent_);
      if (sent_ > before) idle = 0;
      server_.world.RunFor(kNsPerMs);
    }
  }
  bool has_reply() { return raw().arrived_bytes() > 0; }
  std::string Reply() {
    if (resp_ != nullptr) return resp_->ReceiveLine();
    const std::vector<PakvTestReply> replies = pakv_->Replies(1);
    return replies.empty() ? "" : replies[0].text;
  }
  bool IsStored() {
    const std::string reply = Reply();
    return reply == "+OK\r\n" || reply.starts_with("set 2 ok");
  }
  // Was told why, and the connection is over.
  bool WasCutOff() {
    const std::string reply = Reply();
    return (reply ==
                "-ERR request given up: its rest did not come, and others waited for the "
                "memory it had\r\n" ||
            reply == "none 0 timeout") &&
           server_.world.RunUntil([this] { return raw().ended(); });
  }

 private:
  SimServer& server_;
  std::unique_ptr<SimConnection> resp_;
  std::unique_ptr<PakvConnection> pakv_;
  std::string request_;
  size_t sent_ = 0;
};

class FrameMemoryTest : public testing::TestWithParam<Speaks> {
 protected:
  void Start(SimServer::Options options) {
    senders_.clear();
    server_.reset();
    server_ = std::make_unique<SimServer>(options);
  }
  void Start(size_t budget_bytes) {
    SimServer::Options options;
    options.session_limits.core_frame_bytes_max = budget_bytes;
    Start(options);
  }
  // Of the first `sent` bytes of a set.
  Sender& Begin(size_t value_bytes, size_t sent) {
    const std::string key = "k" + std::to_string(senders_.size());
    senders_.push_back(std::make_unique<Sender>(*server_, GetParam(), key, value_bytes));
    senders_.back()->Send(sent);
    return *senders_.back();
  }
  // The same, in small steps: what it is granted doubles from 64 KiB on, and is 256 KiB for
  // 150,000.
  Sender& BeginInSteps(size_t value_bytes, size_t sent) {
    Sender& sender = Begin(value_bytes, 100);
    sender.raw().set_window_bytes(8 << 10);
    sender.Send(sent - 100);
    return sender;
  }
  uint64_t WaitingCount() { return server_->Stats().requests_waiting_for_memory; }
  // How long a set of so many bytes takes now, from another host.
  uint64_t TimeOf(size_t value_bytes) {
    Sender sender(*server_, GetParam(), "other", value_bytes, "10.0.0.10");
    const uint64_t begin_ns = server_->world.now_ns();
    while (!sender.has_reply() && server_->world.now_ns() < begin_ns + 100 * kSecond) {
      sender.SendSome();
      server_->world.RunFor(kNsPerMs);
    }
    EXPECT_TRUE(sender.IsStored());
    return server_->world.now_ns() - begin_ns;
  }

  std::unique_ptr<SimServer> server_;
  std::vector<std::unique_ptr<Sender>> senders_;
};
INSTANTIATE_TEST_SUITE_P(Protocols, FrameMemoryTest, testing::Values(Speaks::kResp, Speaks::kPakv),
                         [](const auto& one) {
                           return std::string(one.param == Speaks::kResp ? "Resp" : "Pakv");
                         });

// What they have announced is far more than the core's memory for such requests.
TEST_P(FrameMemoryTest, WhoAnnouncesMuchAndSendsLittleHoldsLittleAndNobodyUp) {
  Start(SimServer::Options());
  const uint64_t before = server_->MemoryBytes();
  for (int i = 0; i < 300; ++i) Begin(1'000'000, 20'000);
  EXPECT_LT(server_->MemoryBytes(), before + 300 * (kOwnBytes + (8 << 10)));
  EXPECT_LT(TimeOf(17'000), 100 * kNsPerMs);
  EXPECT_LT(TimeOf(1'000'000), 100 * kNsPerMs);
  EXPECT_EQ(WaitingCount(), 0u);
  EXPECT_EQ(server_->Stats().sessions.request_timeouts, 0u);
}

// They have sent so much that all the memory is theirs, and more of them wait. Who comes from
// elsewhere waits for what one of them gives back, not for all of them.
TEST_P(FrameMemoryTest, ThoseWhoSendNothingMoreGiveWay) {
  Start(4 << 20);
  for (int i = 0; i < 100; ++i) Begin(1'000'000, 200'000);
  EXPECT_GT(WaitingCount(), 50u);
  EXPECT_LT(TimeOf(17'000), 100 * kNsPerMs) << "short ones do not wait";
  EXPECT_LT(TimeOf(100'000), 2500 * kNsPerMs);
  EXPECT_LT(TimeOf(1'000'000), 2500 * kNsPerMs);
  EXPECT_LT(server_->Stats().sessions.request_timeouts, 90u);
}

TEST_P(FrameMemoryTest, TheLongestSilentIsToldFirstAndNoMoreThanItTakes) {
  Start(1'200'000);
  for (int i = 0; i < 5; ++i) {
    Begin(1'000'000, 180'000);
    server_->world.RunFor(100 * kNsPerMs);
  }
  // Four have 256 KiB each, the last as much beyond.
  EXPECT_EQ(WaitingCount(), 0u);
  server_->world.RunFor(10 * kSecond);
  EXPECT_FALSE(senders_[0]->has_reply()) << "as long as nobody waits, nobody hurries";
  senders_[0]->Send(8000);
  EXPECT_LT(TimeOf(100'000), 100 * kNsPerMs);
  EXPECT_TRUE(senders_[1]->WasCutOff());
  // How much each has depends on how its bytes came.
  EXPECT_LE(server_->Stats().sessions.request_timeouts, 2u);
  for (const size_t i : {4, 3, 0}) {
    senders_[i]->Send();
    EXPECT_TRUE(senders_[i]->IsStored()) << i;
  }
}

// It is slow, and nothing else: its time is --request-timeout, as everybody's.
TEST_P(FrameMemoryTest, WhoGoesOnSendingIsNotCutOffButByItsTime) {
  SimServer::Options options;
  options.session_limits.core_frame_bytes_max = 300'000;
  options.request_timeout_ns = 10 * kSecond;
  Start(options);
  Sender& slow = BeginInSteps(1'000'000, 150'000);
  Sender& favoured = BeginInSteps(1'000'000, 150'000);
  Sender waiter(*server_, GetParam(), "waiter", 100'000);
  const uint64_t begin_ns = server_->world.now_ns();
  const auto pass = [&](uint64_t until_ns) {
    while (server_->world.now_ns() < begin_ns + until_ns && !waiter.has_reply()) {
      slow.SendSome(800);
      favoured.SendSome(800);
      waiter.SendSome();
      server_->world.RunFor(kSecond / 4);
    }
  };
  pass(9 * kSecond);
  EXPECT_EQ(WaitingCount(), 1u);
  EXPECT_FALSE(slow.has_reply() || favoured.has_reply());
  pass(20 * kSecond);
  EXPECT_TRUE(waiter.IsStored());
  const std::string reply = slow.Reply();
  EXPECT_TRUE(reply == "-ERR request timeout: the request was not complete in time\r\n" ||
              reply == "none 0 timeout")
      << reply;
}

// Much was sent, and so it would have minutes. As long as nobody waits it has them.
TEST_P(FrameMemoryTest, WhoDripsWhileOthersWaitIsCutOff) {
  Start(1 << 20);
  Sender& drips = Begin(1'000'000, 900'000);
  Sender& other = Begin(1'000'000, 900'000);
  const auto drip = [&](int seconds) {
    for (int i = 0; i < 10 * seconds; ++i) {
      drips.SendSome(10);
      other.SendSome(10);
      server_->world.RunFor(kSecond / 10);
    }
  };
  drip(20);
  EXPECT_FALSE(drips.has_reply() || other.has_reply());
  EXPECT_LT(TimeOf(300'000), kSecond);
  EXPECT_TRUE(drips.WasCutOff());
}

// The same of one that is sent in many small parts, each of which is a step of its parser.
TEST(SessionFrameTest, SoIsWhoDripsSmallParts) {
  SimServer::Options options;
  options.session_limits.core_frame_bytes_max = 1 << 20;
  SimServer server(options);
  std::string half = "*100000\r\n$3\r\nDEL\r\n";
  for (int i = 0; i < 30'000; ++i) half += "$10\r\n0123456789\r\n";
  SimConnection drips(server);
  drips.Send(half);
  SimConnection favoured(server);
  favoured.Send(half);
  SimConnection waiter(server, server.data_address(), "10.0.0.10");
  const std::string set = RespRequest({"SET", "k", std::string(300'000, 'v')});
  std::string_view rest = set;
  const uint64_t begin_ns = server.world.now_ns();
  while (waiter.arrived_bytes() == 0 && server.world.now_ns() < begin_ns + 20 * kSecond) {
    drips.SendSome("$10\r\n0123456789\r\n");
    favoured.SendSome("$10\r\n0123456789\r\n");
    rest.remove_prefix(waiter.SendSome(rest));
    server.world.RunFor(kSecond / 10);
  }
  EXPECT_EQ(waiter.ReceiveNow(), "+OK\r\n");
  EXPECT_LT(server.world.now_ns(), begin_ns + 8 * kSecond);
  EXPECT_EQ(server.Stats().sessions.request_timeouts, 2u) << "each had all there is";
}

// Each has a part of what it needs, together they have all there is, and all of them go on.
TEST_P(FrameMemoryTest, HalvesOfRequestsThatGoOnAreNoDeadlock) {
  Start(1 << 20);
  const uint64_t before = server_->MemoryBytes();
  for (int i = 0; i < 20; ++i) Begin(900'000, 120'000);
  // The budget, one whole request, and of each what it may have in any case, and what was under
  // way when it had that.
  const uint64_t most = before + (1 << 20) + 1'000'000 + 21 * (kOwnBytes + (40 << 10));
  EXPECT_LT(server_->MemoryBytes(), most);
  EXPECT_GT(WaitingCount(), 5u);
  const auto is_sent = [](const auto& sender) { return sender->is_sent(); };
  uint64_t used_max = 0;
  for (int round = 0; round < 5000 && !std::all_of(senders_.begin(), senders_.end(), is_sent);
       ++round) {
    for (const auto& sender : senders_) sender->SendSome(30'000);
    server_->world.RunFor(kNsPerMs);
    if (round % 10 == 0) used_max = std::max(used_max, server_->MemoryBytes());
  }
  EXPECT_GT(used_max, before + (1 << 20));
  // With the values themselves: those that are written, and those that are in the cache.
  EXPECT_LT(used_max, most + 20 * 900'000);
  for (const auto& sender : senders_) EXPECT_TRUE(sender->IsStored());
  EXPECT_EQ(server_->Stats().sessions.request_timeouts, 0u);
  EXPECT_EQ(WaitingCount(), 0u);
}

// What was on its way comes before anybody can be stopped: at first of each as much as its window
// and the ring's buffers allow. Then all are told to receive one buffer at a time, those too who
// were armed before and have sent nothing yet.
TEST_P(FrameMemoryTest, WhatComesBeforeOneIsStoppedIsBoundedForAllTogether) {
  SimServer::Options options;
  options.session_limits.core_frame_bytes_max = 300'000;
  options.session_limits.core_ahead_bytes_max = 1 << 20;
  options.request_timeout_ns = 600 * kSecond;
  Start(options);
  Sender& slow = Begin(400'000, 150'000);
  Sender& favoured = Begin(400'000, 150'000);
  constexpr size_t kWaiters = 60;
  for (size_t i = 0; i < kWaiters; ++i) {
    Begin(400'000, 100);
    senders_.back()->raw().set_window_bytes(1 << 20);
  }
  const uint64_t before = server_->MemoryBytes();
  const auto goes_on = [&](uint64_t ms) {
    for (uint64_t i = 0; i < ms; i += 500) {
      slow.SendSome(2500);
      favoured.SendSome(2500);
      server_->world.RunFor(500 * kNsPerMs);
    }
  };
  for (size_t i = 2; i < senders_.size(); ++i) {
    senders_[i]->SendSome(390'000);
    if (i % 4 == 0) goes_on(500);
  }
  goes_on(1000);
  EXPECT_GE(WaitingCount(), kWaiters);
  const uint64_t ring_bytes =
      uint64_t{options.ring.receive_buffer_count} * options.ring.receive_buffer_bytes;
  const uint64_t own_bytes = kWaiters * (kOwnBytes + options.ring.receive_buffer_bytes);
  EXPECT_GT(server_->MemoryBytes() - before,
            kWaiters * kOwnBytes + options.session_limits.core_ahead_bytes_max)
      << "this tries nothing";
  EXPECT_LT(server_->MemoryBytes() - before,
            own_bytes + options.session_limits.core_ahead_bytes_max + 2 * ring_bytes);
  const auto is_sent = [](const auto& sender) { return sender->is_sent(); };
  for (int i = 0; i < 5000 && !std::all_of(senders_.begin(), senders_.end(), is_sent); ++i) {
    for (const auto& sender : senders_) sender->SendSome();
    server_->world.RunFor(kNsPerMs);
  }
  for (const auto& sender : senders_) EXPECT_TRUE(sender->IsStored());
  EXPECT_EQ(server_->Stats().sessions.request_timeouts, 0u);
}

// To wait for memory, or to receive a long request, is not to be idle.
TEST_P(FrameMemoryTest, NeitherWaitingForItNorUsingItIsIdle) {
  SimServer::Options options;
  options.idle_timeout_ns = 5 * kSecond;
  options.session_limits.core_frame_bytes_max = 300'000;
  Start(options);
  Sender& slow = BeginInSteps(400'000, 150'000);
  Sender& favoured = BeginInSteps(400'000, 150'000);
  Sender& waiter = Begin(400'000, 400'000);
  EXPECT_EQ(WaitingCount(), 1u);
  for (int i = 0; i < 12; ++i) {
    slow.SendSome(7000);
    favoured.SendSome(7000);
    server_->world.RunFor(kSecond);
  }
  EXPECT_EQ(server_->Stats().sessions.idle_timeouts, 0u);
  favoured.Send();
  EXPECT_TRUE(favoured.IsStored());
  waiter.Send();
  EXPECT_TRUE(waiter.IsStored());
  slow.Send();
  EXPECT_TRUE(slow.IsStored());
}

TEST_P(FrameMemoryTest, WhoEndsWhileItWaitsOrHoldsLeavesNothing) {
  Start(400'000);
  Begin(1'000'000, 150'000);
  Begin(1'000'000, 150'000);
  Begin(1'000'000, 150'000);
  Begin(1'000'000, 150'000);
  EXPECT_EQ(WaitingCount(), 2u);
  senders_[3]->raw().Reset();
  senders_[0]->raw().Reset();
  senders_[1]->raw().Close();
  EXPECT_LT(TimeOf(100'000), kSecond);
  senders_[2]->Send();
  EXPECT_TRUE(senders_[2]->IsStored());
}

// What has come of the next request keeps none of the memory of the one before it.
TEST(SessionFrameTest, WhatIsBehindALongRequestHoldsLittle) {
  SimServer server;
  SimConnection client(server);
  client.Expect("PING\r\n", "+PONG\r\n");
  std::vector<std::string> words = {"DEL"};
  for (int i = 0; i < 2000; ++i) words.push_back(std::to_string(i) + std::string(1000, '.'));
  const uint64_t before = server.MemoryBytes();
  client.Send(RespRequest(words) + "*3\r\n$3\r\nSET\r\n$1\r\n");
  EXPECT_EQ(client.Receive(4), ":0\r\n");
  server.world.RunFor(kSecond);
  EXPECT_LT(server.MemoryBytes(), before + (64 << 10));
  client.Expect("k\r\n$1\r\nv\r\n", "+OK\r\n");
}

// A long request that is there as a whole does not wait, with its memory, for what is owed to its
// client to be read.
TEST(SessionFrameTest, AWholeOneIsStartedWhateverIsUnread) {
  SimServer::Options options;
  options.session_limits.output_bytes_max = 64 << 10;
  SimServer server(options);
  SimConnection client(server);
  SimConnection other(server);
  client.Expect(RespRequest({"SET", "a", std::string(200'000, 'a')}), "+OK\r\n");
  const std::string set = RespRequest({"SET", "b", std::string(200'000, 'b')});
  // The replies come when the first write is durable, and not before the set has begun.
  client.Send("APPEND a a\r\nGET a\r\nGET a\r\n" + set.substr(0, 5000));
  server.world.RunFor(kSecond);
  std::string_view rest = std::string_view(set).substr(5000);
  for (int tries = 0; tries < 100 && !rest.empty(); ++tries) {
    rest.remove_prefix(client.SendSome(rest));
    server.world.RunFor(kNsPerMs);
  }
  EXPECT_TRUE(rest.empty());
  server.world.RunFor(kSecond);
  other.Expect("STRLEN b\r\n", ":200000\r\n");
  // And nothing more is, until it is read.
  client.Send("SET b c\r\n");
  server.world.RunFor(kSecond);
  other.Expect("STRLEN b\r\n", ":200000\r\n");
  const std::string value = RespBulk(std::string(200'001, 'a'));
  const std::string replies = ":200001\r\n" + value + value + "+OK\r\n+OK\r\n";
  EXPECT_TRUE(client.Receive(replies.size()) == replies);
}

}  // namespace
}  // namespace pakv
