// Large values whose clients send them slowly, or stop half-way, over both protocols and many more
// at once than a core takes to their files at a time: they hold up nobody else, come through byte
// for byte when they go on, and leave nothing when they do not.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "tests/net/pakv/pakv_connection.h"
#include "tests/net/pakv/pakv_frames.h"
#include "tests/net/resp/resp_text.h"
#include "tests/net/server/sim_server.h"

namespace pakv {
namespace {

constexpr uint32_t kInlineBytesMax = 8 << 10;
constexpr size_t kManyUploads = 100;

enum class Speaks : uint8_t { kResp, kPakv };

std::string ValueOf(size_t number, size_t length) {
  std::string value(length, '\0');
  for (size_t i = 0; i < length; ++i) {
    value[i] = static_cast<char>(number * 31 + i * 7 + i / 4096);
  }
  return value;
}

// A set of a large value, and how far it was sent.
struct SlowUpload {
  std::string key;
  std::string value;
  std::string request;
  size_t sent = 0;
  std::unique_ptr<SimConnection> resp;
  std::unique_ptr<PakvConnection> pakv;

  SimConnection& raw() { return resp != nullptr ? *resp : pakv->raw; }
  bool is_sent() const { return sent == request.size(); }
  void Send(size_t bytes) {
    const std::string_view piece = std::string_view(request).substr(sent, bytes);
    raw().Send(piece);
    sent += piece.size();
  }
  // What the server has to say of it.
  std::string Reply() {
    if (resp != nullptr) return resp->ReceiveLine();
    const std::vector<PakvTestReply> replies = pakv->Replies(1);
    return replies.empty() ? "" : replies[0].text;
  }
  bool IsStored() {
    const std::string reply = Reply();
    return reply == "+OK\r\n" || reply.starts_with("set 2 ok");
  }
};

class SlowUploadTest : public testing::TestWithParam<std::tuple<uint32_t, Speaks>> {
 protected:
  SlowUploadTest() { Start({}); }
  ~SlowUploadTest() override { client_.reset(); }
  void Start(SimServer::Options options) {
    client_.reset();
    server_.reset();
    options.core_count = std::get<0>(GetParam());
    options.key_bytes_max = 64;
    options.value_bytes_max = 4 << 20;
    options.inline_value_bytes_max = kInlineBytesMax;
    server_ = std::make_unique<SimServer>(options);
    client_ = std::make_unique<SimConnection>(*server_);
  }

  SlowUpload NewUpload(size_t number, size_t length) {
    SlowUpload upload;
    upload.key = "key" + std::to_string(number);
    upload.value = ValueOf(number, length);
    if (std::get<1>(GetParam()) == Speaks::kResp) {
      upload.resp = std::make_unique<SimConnection>(*server_);
      upload.request = RespRequest({"SET", upload.key, upload.value});
    } else {
      upload.pakv = std::make_unique<PakvConnection>(*server_);
      upload.request = PakvSetInPieces(2, upload.value, 3000, {Key(upload.key)});
    }
    return upload;
  }
  // Many that have begun, each cut somewhere else, whose clients say nothing more for now.
  std::vector<SlowUpload> BeginMany() {
    std::vector<SlowUpload> uploads;
    for (size_t i = 0; i < kManyUploads; ++i) {
      uploads.push_back(NewUpload(i, 20'000 + 97 * i + (i % 10 == 0 ? 280'000 : 0)));
      uploads[i].Send(4000 + 151 * i);
    }
    server_->world.RunFor(100 * kNsPerMs);
    return uploads;
  }
  // How long one that is sent at once takes.
  uint64_t TimeOfOne(size_t number) {
    SlowUpload upload = NewUpload(number, 600'000);
    const uint64_t begin_ns = server_->world.now_ns();
    upload.Send(SIZE_MAX);
    EXPECT_TRUE(upload.IsStored());
    const uint64_t end_ns = server_->world.now_ns();
    ExpectValueOf(upload);
    return end_ns - begin_ns;
  }
  void ExpectValueOf(const SlowUpload& upload) {
    client_->Expect(RespRequest({"GET", upload.key}), RespBulk(upload.value));
  }
  std::vector<std::string> Files() { return server_->ValueFiles(); }

  std::unique_ptr<SimServer> server_;
  std::unique_ptr<SimConnection> client_;
};

INSTANTIATE_TEST_SUITE_P(CoresAndProtocols, SlowUploadTest,
                         testing::Combine(testing::Values(1, 2),
                                          testing::Values(Speaks::kResp, Speaks::kPakv)),
                         [](const auto& one) {
                           return std::string(std::get<1>(one.param) == Speaks::kResp ? "Resp"
                                                                                      : "Pakv") +
                                  std::to_string(std::get<0>(one.param));
                         });

TEST_P(SlowUploadTest, ManyHoldNobodyUpAndComeThrough) {
  const uint64_t alone_ns = TimeOfOne(1000);
  std::vector<SlowUpload> slow = BeginMany();
  EXPECT_EQ(Files().size(), 1 + kManyUploads);
  EXPECT_LT(TimeOfOne(1001), 2 * alone_ns + 5 * kNsPerMs);
  // They go on, a little at a time, by turns.
  while (!std::all_of(slow.begin(), slow.end(), [](const auto& one) { return one.is_sent(); })) {
    for (SlowUpload& upload : slow) upload.Send(5003);
    server_->world.RunFor(3 * kNsPerMs);
  }
  for (SlowUpload& upload : slow) {
    ASSERT_TRUE(upload.IsStored()) << upload.key;
    ExpectValueOf(upload);
  }
  EXPECT_EQ(Files().size(), 2 + kManyUploads);
}

// All at once, as fast as they are taken: more than there are turns, each to its own end.
TEST_P(SlowUploadTest, ManyAtFullSpeedComeThrough) {
  std::vector<SlowUpload> uploads;
  for (size_t i = 0; i < kManyUploads; ++i) uploads.push_back(NewUpload(i, 30'000 + 3001 * i));
  while (
      !std::all_of(uploads.begin(), uploads.end(), [](const auto& one) { return one.is_sent(); })) {
    for (SlowUpload& upload : uploads) {
      const std::string_view rest = std::string_view(upload.request).substr(upload.sent);
      upload.sent += upload.raw().SendSome(rest);
    }
    server_->world.RunFor(kNsPerMs);
  }
  for (SlowUpload& upload : uploads) {
    ASSERT_TRUE(upload.IsStored()) << upload.key;
    ExpectValueOf(upload);
  }
}

// A unit of 4 KiB and a part of a frame each, and a buffer for half of the turns.
TEST_P(SlowUploadTest, ThoseThatWaitForTheirClientsHoldLittle) {
  const uint64_t before = server_->MemoryBytes();
  const std::vector<SlowUpload> slow = BeginMany();
  const uint64_t buffers = std::get<0>(GetParam()) * 8 * uint64_t{256 << 10};
  EXPECT_LT(server_->MemoryBytes(), before + buffers + kManyUploads * (24 << 10));
}

TEST_P(SlowUploadTest, OneThatIsCutOffLeavesNothing) {
  std::vector<SlowUpload> slow = BeginMany();
  EXPECT_EQ(Files().size(), kManyUploads);
  for (size_t i = 0; i < slow.size(); ++i) {
    if (i % 2 == 0) {
      slow[i].raw().Reset();
    } else {
      slow[i].raw().EndSending();
    }
  }
  EXPECT_TRUE(Files().empty());
  EXPECT_GT(TimeOfOne(1000), 0u);
}

// Its time is its own: it ends when it would have ended alone.
TEST_P(SlowUploadTest, OneThatDripsForTooLongIsCutOff) {
  Start({.request_timeout_ns = 2 * kNsPerSecond});
  std::vector<SlowUpload> slow = BeginMany();
  const uint64_t begin_ns = server_->world.now_ns();
  while (server_->world.now_ns() - begin_ns < 6 * kNsPerSecond) {
    for (SlowUpload& upload : slow) {
      if (upload.sent + 2 < upload.request.size()) upload.Send(1);
    }
    server_->world.RunFor(200 * kNsPerMs);
  }
  for (SlowUpload& upload : slow) {
    const std::string reply = upload.Reply();
    EXPECT_TRUE(reply == "-ERR request timeout: the request was not complete in time\r\n" ||
                reply == "none 0 timeout")
        << reply;
  }
  EXPECT_TRUE(Files().empty());
}

// It is the disk that is waited for, not the client: that does not end an idle connection.
TEST_P(SlowUploadTest, ASlowDiskIsNoIdleClient) {
  Start({.idle_timeout_ns = 20 * kNsPerMs});
  server_->node.disk().faults.stall = 10'000;  // each takes up to a second
  SlowUpload upload = NewUpload(1, 600'000);
  upload.Send(SIZE_MAX);
  EXPECT_TRUE(upload.IsStored());
}

TEST_P(SlowUploadTest, AStopDoesNotWaitForThem) {
  std::vector<SlowUpload> slow = BeginMany();
  const uint64_t begin_ns = server_->world.now_ns();
  server_->Stop();
  EXPECT_LT(server_->world.now_ns() - begin_ns, 5 * kNsPerSecond);
}

// A client that does not read what is owed to it is not asked for more of its value, and keeps no
// turn for that.
TEST_P(SlowUploadTest, OneThatDoesNotReadHoldsNobodyUp) {
  SimServer::Options options;
  options.session_limits.output_bytes_max = 20'000;
  Start(options);
  EXPECT_GT(TimeOfOne(1000), 0u);
  std::vector<SlowUpload> slow;
  for (size_t i = 0; i < 40; ++i) {
    slow.push_back(NewUpload(i, 100'000));
    SlowUpload& upload = slow[i];
    if (upload.resp != nullptr) {
      upload.request = RespRequest({"GET", "key1000"}) + upload.request;
    } else {
      upload.request =
          PakvPiece(2, upload.value.substr(0, 3000)) +
          PakvRequest(PakvType::kGet, 3, {Key("key1000"), Option(PakvOption::kInPieces)}) +
          PakvSetInPieces(2, upload.value.substr(3000), 3000, {Key(upload.key)});
    }
    // As far as it is taken.
    for (int tries = 0; tries < 10; ++tries) {
      const std::string_view rest = std::string_view(upload.request).substr(upload.sent, 9000);
      upload.sent += upload.raw().SendSome(rest);
      server_->world.RunFor(kNsPerMs);
    }
  }
  EXPECT_GT(TimeOfOne(1001), 0u);
  // Who reads, in the end, is asked for the rest.
  for (SlowUpload& upload : slow) {
    if (upload.resp != nullptr) {
      const std::string reply = RespBulk(ValueOf(1000, 600'000));
      EXPECT_TRUE(upload.resp->Receive(reply.size()) == reply);
    } else {
      std::vector<PakvTestReply> replies = upload.pakv->Replies(1);
      while (!replies.empty() && replies.back().status == PakvStatus::kPart) {
        replies = upload.pakv->Replies(1);
      }
      ASSERT_FALSE(replies.empty());
      EXPECT_EQ(replies.back().status, PakvStatus::kOk);
    }
    upload.Send(SIZE_MAX);
    EXPECT_TRUE(upload.IsStored());
    ExpectValueOf(upload);
  }
}

TEST_P(SlowUploadTest, AFullDiskEndsThoseThatMeetIt) {
  std::vector<SlowUpload> slow = BeginMany();
  SpaceStat space;
  server_->node.disk().Space(space);
  server_->node.disk().SetBallast(space.free_bytes);
  size_t refused = 0;
  for (SlowUpload& upload : slow) {
    const size_t rest = upload.request.size() - upload.sent;
    if (rest < 100'000) continue;  // those that are long
    upload.Send(SIZE_MAX);
    const std::string reply = upload.Reply();
    EXPECT_TRUE(reply.starts_with("-MISCONF disk full: ") || reply == "set 2 disk-full") << reply;
    ++refused;
  }
  EXPECT_EQ(refused, 10u);
  EXPECT_EQ(Files().size(), kManyUploads - refused);
  server_->node.disk().SetBallast(0);
  for (SlowUpload& upload : slow) {
    if (upload.is_sent()) continue;
    upload.Send(SIZE_MAX);
    EXPECT_TRUE(upload.IsStored()) << upload.key;
  }
}

TEST_P(SlowUploadTest, AFailedLogRefusesThemAtTheirEnd) {
  server_->store_fails = true;
  std::vector<SlowUpload> slow = BeginMany();
  server_->node.disk().faults.write_error = 10'000;
  for (const char* key : {"a", "b", "c", "d", "e", "f", "g", "h"}) {
    client_->Send(RespRequest({"SET", key, "v"}));
    EXPECT_TRUE(client_->ReceiveLine().starts_with("-MISCONF "));
  }
  server_->world.RunFor(kNsPerSecond);
  server_->node.disk().faults = {};
  for (SlowUpload& upload : slow) {
    upload.Send(SIZE_MAX);
    const std::string reply = upload.Reply();
    EXPECT_TRUE(reply.starts_with("-MISCONF read-only: ") || reply == "set 2 read-only") << reply;
  }
  EXPECT_TRUE(Files().empty());
}

}  // namespace
}  // namespace pakv
