// Values that are longer than the log takes, over the pakv protocol: received and sent in pieces,
// whatever the cuts, with other requests and replies between them, and without a trace when they
// are refused or cut off.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/net/pakv/pakv_connection.h"
#include "tests/net/pakv/pakv_frames.h"
#include "tests/net/server/sim_server.h"

namespace pakv {
namespace {

using enum PakvType;

constexpr size_t kInlineBytesMax = 256;
constexpr size_t kValueBytesMax = 100'000;

std::string ValueOf(char first, size_t length) {
  std::string value(length, '\0');
  for (size_t i = 0; i < length; ++i) value[i] = static_cast<char>(first + i * 7 + i / 4096);
  return value;
}

std::string GetInPieces(uint64_t id, const std::string& key) {
  return PakvRequest(kGet, id, {Key(key), Option(PakvOption::kInPieces)});
}

class PakvLargeTest : public testing::TestWithParam<uint32_t> {
 protected:
  PakvLargeTest() { Start({}); }
  ~PakvLargeTest() override { client_.reset(); }
  void Start(SimServer::Options options, uint32_t value_bytes_max = kValueBytesMax,
             uint32_t inline_bytes_max = kInlineBytesMax) {
    client_.reset();
    server_.reset();
    options.core_count = GetParam();
    options.key_bytes_max = 64;
    options.value_bytes_max = value_bytes_max;
    options.inline_value_bytes_max = inline_bytes_max;
    server_ = std::make_unique<SimServer>(options);
    client_ = std::make_unique<PakvConnection>(*server_);
  }

  std::string Ask(std::string_view request) { return client_->AskText(request); }
  // The value that the reply to get `id` brings, in as many parts as it takes, which parts_ then
  // tells; "not ok: …" if it brings none. Replies to others than gets are kept in others_.
  std::string ValueIn(uint64_t id) {
    while (!streams_[id].ended) {
      const std::vector<PakvTestReply> replies = client_->Replies(1);
      if (replies.empty()) return "not ok: the connection has ended";
      for (const PakvTestReply& reply : replies) {
        if (reply.type != kGet) {
          others_.push_back(reply.text);
        } else {
          Take(reply, streams_[reply.id]);
        }
      }
    }
    const Stream stream = std::exchange(streams_[id], {});
    parts_ = stream.parts;
    last_text_ = stream.last_text;
    return stream.error.empty() ? stream.value : stream.error;
  }
  std::string Get(const std::string& key, uint64_t id = 99) {
    client_->raw.Send(GetInPieces(id, key));
    return ValueIn(id);
  }
  std::vector<std::string> Files() { return server_->ValueFiles(); }

  struct Stream {
    std::string value;
    size_t parts = 0;
    bool ended = false;
    std::string error;
    std::string last_text;
  };
  static void Take(const PakvTestReply& reply, Stream& stream) {
    stream.last_text = reply.text.substr(0, 100);
    stream.ended = reply.status != PakvStatus::kPart;
    stream.parts += stream.ended ? 0 : 1;
    if (stream.ended && reply.status != PakvStatus::kOk) stream.error = "not ok: " + reply.text;
    const size_t begin = reply.text.find(" value=\"");
    if (begin == std::string::npos) return;
    stream.value += reply.text.substr(begin + 8, reply.text.size() - begin - 9);
  }

  std::unique_ptr<SimServer> server_;
  std::unique_ptr<PakvConnection> client_;
  std::map<uint64_t, Stream> streams_;
  std::vector<std::string> others_;
  std::string last_text_;
  size_t parts_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Cores, PakvLargeTest, testing::Values(1, 2));

TEST_P(PakvLargeTest, ComesBackWhateverThePieces) {
  uint64_t id = 10;
  for (const size_t piece : {size_t{1}, size_t{100}, size_t{320}}) {
    const std::string value = ValueOf(static_cast<char>(piece), piece == 1 ? 300 : 70'000);
    ++id;
    EXPECT_EQ(
        Ask(PakvSetInPieces(id, value, piece, {Key("key"), NumberIn(PakvField::kTtlMs, 60'000)}))
            .substr(0, 13),
        "set " + std::to_string(id) + " ok lsn");
    EXPECT_TRUE(Get("key") == value);
    EXPECT_NE(last_text_.find("ttl-ms="), std::string::npos);
  }
  EXPECT_EQ(Files().size(), 1u);
  // A part tells how long all of it is; a short value comes in one reply.
  client_->raw.Send(GetInPieces(50, "key"));
  const std::string first = client_->Replies(1)[0].text;
  EXPECT_NE(first.find("total-bytes=70000"), std::string::npos) << first;
  EXPECT_NE(first.find("expires-at-ms="), std::string::npos) << first;
  EXPECT_TRUE(first.starts_with("get 50 part ttl-ms=")) << first;
  ValueIn(50);
  EXPECT_EQ(Ask(PakvRequest(kSet, 60, {Key("short"), Value("v")})).substr(0, 9), "set 60 ok");
  EXPECT_NE(Ask(GetInPieces(61, "short")).find("value=\"v\""), std::string::npos);
  EXPECT_EQ(Ask(GetInPieces(62, "none")), "get 62 not-found");
}

TEST_P(PakvLargeTest, ComesBackWhateverTheCuts) {
  const std::string value = ValueOf('c', 700);
  const std::string stream = PakvSetInPieces(7, value, 200, {Key("key")});
  for (size_t at = 1; at < stream.size(); at += 3) {
    client_->raw.SendAlone(std::string_view(stream).substr(0, at));
    client_->raw.SendAlone(std::string_view(stream).substr(at));
    const std::vector<PakvTestReply> replies = client_->Replies(1);
    ASSERT_EQ(replies.size(), 1u);
    ASSERT_EQ(replies[0].status, PakvStatus::kOk) << "cut at " << at << ": " << replies[0].text;
    ASSERT_TRUE(Get("key") == value) << "cut at " << at;
  }
}

// Frames that are long themselves, and short ones between them; none of it in one go.
TEST_P(PakvLargeTest, ComesAndGoesInTurnsOf32KiB) {
  Start({}, 4 << 20, 200 << 10);
  const std::string value = ValueOf('a', 1'300'000);
  uint64_t id = 10;
  for (const size_t piece : {size_t{5000}, size_t{60'000}, size_t{200'000}}) {
    ++id;
    const std::string set = PakvSetInPieces(id, value, piece, {Key("key")});
    client_->raw.Send(set + PakvRequest(kPing, 9));
    const std::vector<PakvTestReply> replies = client_->Replies(2);
    ASSERT_EQ(replies.size(), 2u);
    EXPECT_EQ(replies[0].text.substr(0, 9), "set " + std::to_string(id) + " ok");
    EXPECT_EQ(replies[1].text, "ping 9 ok");
    EXPECT_TRUE(Get("key") == value);
  }
  EXPECT_GT(server_->node.process().received_at_once_max(), 4096u) << "past the ring's buffers";
  EXPECT_LE(server_->node.process().received_at_once_max(), 32u << 10);
  EXPECT_LE(server_->node.process().sent_at_once_max(), 32u << 10);
}

TEST_P(PakvLargeTest, OtherRequestsStandBetweenItsPieces) {
  const std::string value = ValueOf('a', 60'000);
  EXPECT_EQ(Ask(PakvRequest(kSet, 2, {Key("key"), Value("old")})), "set 2 ok lsn=#1");
  size_t sent = 0;
  uint64_t id = 100;
  while (value.size() - sent > 300) {
    client_->raw.Send(PakvPiece(3, std::string_view(value).substr(sent, 300)));
    sent += 300;
    if (sent % 6000 != 0) continue;
    // The key is as it was until the last piece.
    EXPECT_NE(Ask(PakvRequest(kGet, ++id, {Key("key")})).find("value=\"old\""), std::string::npos);
    EXPECT_NE(Ask(PakvBatch(++id, {{kIncr, {Key("n")}}, {kGet, {Key("key")}}})).find("\"old\""),
              std::string::npos);
    ++id;
    EXPECT_EQ(Ask(PakvRequest(kPing, id)), "ping " + std::to_string(id) + " ok");
  }
  client_->raw.Send(PakvRequest(kSet, 3, {Key("key"), Value(value.substr(sent))}) +
                    PakvRequest(kDelete, 5, {Key("n")}));
  EXPECT_EQ(client_->Replies(2).size(), 2u);
  EXPECT_TRUE(Get("key") == value);
}

TEST_P(PakvLargeTest, OtherRepliesPassBetweenItsParts) {
  const std::string value = ValueOf('a', 90'000);
  EXPECT_EQ(Ask(PakvSetInPieces(2, value, 300, {Key("large")})), "set 2 ok lsn=#1");
  client_->raw.Send(GetInPieces(3, "large") + PakvRequest(kIncr, 4, {Key("n")}) +
                    PakvRequest(kScan, 5) + GetInPieces(6, "large") +
                    PakvBatch(7, {{kGet, {Key("n")}}}));
  EXPECT_TRUE(ValueIn(3) == value);
  EXPECT_EQ(parts_, 22u) << "the first, and a chunk of 4096 bytes each but for the last";
  EXPECT_TRUE(ValueIn(6) == value);
  ASSERT_EQ(others_.size(), 3u);
  EXPECT_EQ(others_[0].substr(0, 6), "incr 4");
}

TEST_P(PakvLargeTest, ConditionsAndExpiryAreThoseOfTheLastPiece) {
  const std::string a = ValueOf('a', 9000);
  const std::string b = ValueOf('b', 5000);
  const auto absent = Condition(PakvCondition::kIfAbsent);
  EXPECT_EQ(Ask(PakvSetInPieces(2, a, 300, {Key("key"), absent})), "set 2 ok lsn=#1");
  EXPECT_EQ(Ask(PakvSetInPieces(3, b, 300, {Key("key"), absent})), "set 3 condition-failed lsn=#1");
  EXPECT_EQ(Files().size(), 1u);
  const uint64_t lsn =
      client_->Ask(PakvRequest(kGet, 4, {Key("key"), Option(PakvOption::kWithoutValue)})).lsn;
  EXPECT_EQ(Ask(PakvSetInPieces(5, b, 300, {Key("key"), NumberIn(PakvField::kIfVersion, lsn)})),
            "set 5 ok lsn=#2");
  EXPECT_TRUE(Get("key") == b);
  EXPECT_EQ(Ask(PakvSetInPieces(6, a, 300, {Key("key"), NumberIn(PakvField::kExpiresAtMs, 1)})),
            "set 6 ok lsn=#3");
  EXPECT_EQ(Get("key"), "not ok: get 99 not-found");
  EXPECT_TRUE(Files().empty());
}

TEST_P(PakvLargeTest, WhoDoesNotTakePiecesIsRefused) {
  EXPECT_EQ(Ask(PakvSetInPieces(2, ValueOf('a', 5000), 300, {Key("key")})), "set 2 ok lsn=#1");
  EXPECT_EQ(Ask(PakvRequest(kGet, 3, {Key("key")})), "get 3 value-too-long");
  EXPECT_EQ(Ask(PakvRequest(kIncr, 4, {Key("key")})), "incr 4 value-too-long");
  EXPECT_EQ(Ask(PakvBatch(5, {{kGet, {Key("key")}}, {kIncr, {Key("n")}}})),
            "batch 5 value-too-long");
  EXPECT_EQ(Ask(PakvRequest(kGet, 6, {Key("key"), Option(PakvOption::kWithoutValue)})),
            "get 6 ok lsn=#1");
  EXPECT_EQ(Ask(PakvRequest(kSet, 7, {Key("key"), Value("v")})), "set 7 ok lsn=#2");
  EXPECT_TRUE(Files().empty());
}

TEST_P(PakvLargeTest, AScanTellsItsLengthToWhoTakesPieces) {
  EXPECT_EQ(Ask(PakvSetInPieces(2, ValueOf('a', 5000), 300, {Key("long")})), "set 2 ok lsn=#1");
  EXPECT_EQ(Ask(PakvRequest(kSet, 3, {Key("short"), Value("v")})), "set 3 ok lsn=#2");
  const auto scan = [&](uint64_t options) {
    return Ask(PakvRequest(kScan, 4, {NumberIn(PakvField::kOptions, options)}));
  };
  const auto bits = [](PakvOption option) { return static_cast<uint64_t>(option); };
  EXPECT_EQ(scan(bits(PakvOption::kWithValues)), "scan 4 value-too-long");
  const std::string both = scan(bits(PakvOption::kWithValues) | bits(PakvOption::kInPieces));
  EXPECT_NE(both.find("{ lsn=#1 total-bytes=5000 key=\"long\" }"), std::string::npos) << both;
  EXPECT_NE(both.find("{ lsn=#2 key=\"short\" value=\"v\" }"), std::string::npos) << both;
  // Nothing is held for it.
  EXPECT_EQ(Ask(PakvRequest(kDelete, 5, {Key("long")})), "delete 5 ok lsn=#3");
  EXPECT_TRUE(Files().empty());
}

// It is answered at once; what comes of it is skipped to its end, which is no set.
TEST_P(PakvLargeTest, ARefusedOneIsSkippedToItsEnd) {
  const std::string value = ValueOf('a', 1200);
  const std::string_view view = value;
  const auto end = PakvRequest(kSet, 2, {Key("key"), Value("tail")});
  EXPECT_EQ(Ask(PakvPiece(2, view.substr(0, 300), kValueBytesMax + 1)), "set 2 value-too-long");
  EXPECT_EQ(Ask(PakvPiece(2, view.substr(0, 300)) + end + PakvRequest(kPing, 3)), "ping 3 ok");
  std::string damaged = PakvPiece(2, view.substr(0, 300));
  damaged.back() ^= 1;
  EXPECT_EQ(Ask(PakvPiece(2, view.substr(0, 300)) + damaged), "set 2 bad-checksum");
  EXPECT_EQ(Ask(PakvPiece(2, view.substr(0, 300)) + end + PakvRequest(kPing, 4)), "ping 4 ok");
  EXPECT_EQ(Ask(damaged), "set 2 bad-checksum") << "its first";
  EXPECT_EQ(Ask(end + PakvRequest(kPing, 5)), "ping 5 ok");
  EXPECT_EQ(Ask(PakvPiece(2, std::string(5000, 'v'))), "set 2 frame-too-large");
  EXPECT_EQ(Ask(end + PakvRequest(kPing, 6)), "ping 6 ok");
  for (size_t i = 0; i < kValueBytesMax / 320; ++i)
    client_->raw.Send(PakvPiece(2, view.substr(0, 320)));
  EXPECT_EQ(Ask(PakvPiece(2, view.substr(0, 320))), "set 2 value-too-long");
  EXPECT_EQ(Ask(end + PakvRequest(kPing, 7)), "ping 7 ok");
  // Refusals that only the end shows.
  const auto set = [&](std::vector<PakvTestField> more) {
    return Ask(PakvSetInPieces(2, view, 300, std::move(more)));
  };
  EXPECT_EQ(set({Key(std::string(65, 'k'))}), "set 2 key-too-long");
  EXPECT_EQ(set({Key("key"), NumberIn(PakvField::kNamespace, 700)}), "set 2 unknown-namespace");
  EXPECT_EQ(set({}), "set 2 field-missing");
  EXPECT_EQ(Ask(PakvPiece(2, view.substr(0, 300), 700) + end), "set 2 bad-value")
      << "another length";
  EXPECT_EQ(Ask(PakvPiece(2, "v") + end), "set 2 bad-value") << "one frame would do";
  EXPECT_EQ(Ask(PakvPiece(2, "") + PakvRequest(kSet, 2, {Key("key"), Value("")})),
            "set 2 bad-value");
  EXPECT_EQ(Ask(PakvRequest(kGet, 8, {Key("key")})), "get 8 not-found");
  EXPECT_TRUE(Files().empty());
}

TEST_P(PakvLargeTest, OneFrameTakesWhatTheLogTakes) {
  EXPECT_EQ(Ask(PakvRequest(kSet, 2, {Key("key"), Value(std::string(257, 'v'))})),
            "set 2 value-too-long");
  EXPECT_EQ(Ask(PakvRequest(kSet, 3, {Key("key"), Value(std::string(256, 'v'))})),
            "set 3 ok lsn=#1");
  EXPECT_EQ(Ask(PakvSetInPieces(4, std::string(257, 'w'), 200, {Key("key")})), "set 4 ok lsn=#2");
  EXPECT_EQ(Ask(PakvSetInPieces(5, std::string(kValueBytesMax, 'x'), 300, {Key("key")})),
            "set 5 ok lsn=#3");
}

TEST_P(PakvLargeTest, TwoAtATimeEndTheConnection) {
  const std::string piece(300, 'v');
  client_->raw.Send(PakvPiece(2, piece) + PakvPiece(3, piece) +
                    PakvRequest(kSet, 3, {Key("key"), Value("tail")}));
  const std::vector<PakvTestReply> replies = client_->Replies(2);
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_EQ(replies[0].text, "none 0 malformed");
  EXPECT_TRUE(client_->Ended());
  EXPECT_TRUE(Files().empty());
}

TEST_P(PakvLargeTest, APieceIsNoOtherRequests) {
  OutputBuffer output;
  PakvWriter writer(output, kPing, 2);
  writer.SetMore();
  writer.Finish();
  EXPECT_EQ(Ask(output.view()), "ping 2 unsupported");
  SimConnection raw(*server_, server_->data_address());
  PakvReplyReader reader;
  raw.Send(PakvPiece(3, "before hello"));
  const std::vector<PakvTestReply> replies = reader.Read(raw.ReceiveToEnd());
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_EQ(replies[0].text, "set 3 hello-expected");
}

TEST_P(PakvLargeTest, AClientThatGoesLeavesNothing) {
  const std::string value = ValueOf('a', 50'000);
  for (const bool reset : {false, true}) {
    PakvConnection other(*server_);
    for (size_t at = 0; at < 30'000; at += 300) other.raw.Send(PakvPiece(2, value.substr(at, 300)));
    other.raw.SendAlone(PakvPiece(2, "x"));
    EXPECT_EQ(Files().size(), 1u);
    if (reset) {
      other.raw.Reset();
    } else {
      other.raw.EndSending();
    }
    EXPECT_TRUE(Files().empty());
  }
  EXPECT_EQ(Get("key"), "not ok: get 99 not-found");
}

// A server that is to stop does not wait for the rest of a value, and says so.
TEST_P(PakvLargeTest, ADrainDoesNotWaitForTheRest) {
  const std::string value = ValueOf('a', 50'000);
  for (uint64_t i = 0; i < 20; ++i) {
    Start({.seed = i + 1});
    for (size_t at = 0; at < 30'000; at += 300)
      client_->raw.Send(PakvPiece(2, value.substr(at, 300)));
    if (i % 2 == 0) {
      client_->raw.SendAlone(PakvPiece(2, "x"));
      EXPECT_EQ(Files().size(), 1u) << i;
    } else {
      server_->world.RunFor(i * 10 * kNsPerUs);
    }
    EXPECT_EQ(server_->node.Run(server_->server->Drain(5 * kNsPerSecond)), true) << i;
    const std::vector<PakvTestReply> replies = client_->Replies(1);
    ASSERT_EQ(replies.size(), 1u) << i;
    EXPECT_EQ(replies[0].text, "none 0 stopping") << i;
    EXPECT_TRUE(client_->Ended()) << i;
    EXPECT_TRUE(Files().empty()) << i;
  }
}

TEST_P(PakvLargeTest, ASlowReaderHoldsNobodyUpAndMayGo) {
  const std::string value = ValueOf('a', 90'000);
  EXPECT_EQ(Ask(PakvSetInPieces(2, value, 300, {Key("key")})), "set 2 ok lsn=#1");
  {
    PakvConnection slow(*server_);
    for (uint64_t i = 0; i < 20; ++i) slow.raw.Send(GetInPieces(10 + i, "key"));
    server_->world.RunFor(kNsPerSecond);
    EXPECT_TRUE(Get("key") == value);
    EXPECT_EQ(Ask(PakvRequest(kSet, 4, {Key("key"), Value("small")})), "set 4 ok lsn=#2");
    EXPECT_EQ(Files().size(), 1u);  // it is still read
    EXPECT_EQ(slow.raw.Receive(1000).size(), 1000u);
    slow.raw.Reset();
  }
  EXPECT_TRUE(Files().empty());
}

// A chunk that is damaged ends the value, not the connection.
TEST_P(PakvLargeTest, ADamagedChunkTakesThePlaceOfTheRest) {
  EXPECT_EQ(Ask(PakvSetInPieces(2, ValueOf('a', 5 * 4096), 300, {Key("key")})), "set 2 ok lsn=#1");
  const std::string path = "/pakv/data/" + Files().at(0);
  server_->node.disk().FlipBit(path.c_str(), 3 * 4096 + 5, 0);
  client_->raw.Send(GetInPieces(3, "key") + PakvRequest(kIncr, 4, {Key("n")}));
  EXPECT_EQ(ValueIn(3), "not ok: get 3 damaged");
  EXPECT_EQ(parts_, 4u);
  server_->node.disk().FlipBit(path.c_str(), 9, 0);
  EXPECT_EQ(Get("key"), "not ok: get 99 damaged");
  EXPECT_EQ(parts_, 0u);
  EXPECT_EQ(Ask(PakvRequest(kPing, 5)), "ping 5 ok");
}

TEST_P(PakvLargeTest, AFullDiskRefusesIt) {
  SpaceStat space;
  Files();
  server_->node.disk().Space(space);
  server_->node.disk().SetBallast(space.free_bytes - (300 << 10));
  const std::string value = ValueOf('a', 90'000);
  EXPECT_EQ(Ask(PakvPiece(2, value.substr(0, 300), value.size())), "set 2 disk-full");
  EXPECT_EQ(Ask(PakvRequest(kSet, 2, {Key("key"), Value("end")}) + PakvRequest(kPing, 3)),
            "ping 3 ok");
  server_->node.disk().SetBallast(0);
  EXPECT_TRUE(Files().empty());
  EXPECT_EQ(Ask(PakvSetInPieces(4, value, 300, {Key("key")})), "set 4 ok lsn=#1");
}

// Neither single bytes nor whole requests between its pieces give it more time.
TEST_P(PakvLargeTest, DrippingDoesNotExtendItsTime) {
  for (const bool with_others : {false, true}) {
    Start({.request_timeout_ns = 2 * kNsPerSecond});
    const uint64_t begin_ns = server_->world.now_ns();
    client_->raw.SendAlone(PakvPiece(2, std::string(300, 'v')));
    std::string last;
    for (uint64_t id = 10; id < 60 && last != "none 0 timeout"; ++id) {
      client_->raw.SendAlone(with_others ? PakvRequest(kPing, id) : PakvPiece(2, "v"));
      server_->world.RunFor(100 * kNsPerMs);
      for (const PakvTestReply& reply : client_->Replies(0)) last = reply.text;
    }
    EXPECT_EQ(last, "none 0 timeout");
    EXPECT_GE(server_->world.now_ns() - begin_ns, 2 * kNsPerSecond);
    EXPECT_LT(server_->world.now_ns() - begin_ns, 5 * kNsPerSecond);
    EXPECT_TRUE(Files().empty());
  }
}

// What a request over RESP has left in a slot that is used again does not reach the next one.
TEST_P(PakvLargeTest, ASlotForgetsTheFileOfItsLastRequest) {
  const std::string value = ValueOf('a', 5000);
  SimConnection resp(*server_, server_->data_address());
  const auto setnx = "*3\r\n$5\r\nSETNX\r\n$3\r\nkey\r\n$5000\r\n" + value + "\r\n";
  resp.Send(setnx);
  EXPECT_EQ(resp.Receive(4), ":1\r\n");
  for (uint64_t id = 2; id < 40; ++id) {
    // It is there: answered at once, the slot stays at hand.
    resp.Send(setnx);
    EXPECT_EQ(resp.Receive(4), ":0\r\n");
    const std::string key = "other" + std::to_string(id);
    EXPECT_EQ(client_->Ask(PakvRequest(kSet, id, {Key(key), Value("plain")})).status,
              PakvStatus::kOk);
    EXPECT_EQ(Get(key), "plain");
  }
  EXPECT_TRUE(Get("key") == value);
}

}  // namespace
}  // namespace pakv
