// Long because: each request of the protocol is tested beside its vectors and its refusals.
// The pakv protocol on a whole server in a simulated world: what each request answers, in which
// order, and that it does not matter where the stream is cut. docs/protocol.md is the paper.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "net/pakv/service.h"
#include "net/session/server_stats.h"
#include "runtime/base/prng.h"
#include "tests/net/pakv/pakv_connection.h"
#include "tests/net/pakv/pakv_frames.h"
#include "tests/net/server/sim_server.h"

namespace pakv {
namespace {

using enum PakvType;

TEST(PakvServiceTest, HelloTellsTheServersLimits) {
  SimServer server({.key_bytes_max = 100, .value_bytes_max = 2000});
  SimConnection raw(server, server.data_address());
  PakvReplyReader reader;
  raw.Send(PakvHello(7));
  std::vector<PakvTestReply> replies;
  ASSERT_TRUE(server.world.RunUntil([&] {
    replies = reader.Read(raw.ReceiveNow());
    return !replies.empty();
  }));
  EXPECT_EQ(replies[0].text,
            "hello 7 ok version-min=1 version-max=1 frame-bytes-max=6196 key-bytes-max=100 "
            "value-bytes-max=2000 in-flight-max=1024 session=1 software=\"pakvd 1.2.3\"");
}

TEST(PakvServiceTest, ARequestBeforeHelloEndsTheConnection) {
  SimServer server;
  SimConnection raw(server, server.data_address());
  PakvReplyReader reader;
  raw.Send(PakvRequest(kPing, 3) + PakvHello(4));
  const std::vector<PakvTestReply> replies = reader.Read(raw.ReceiveToEnd());
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_EQ(replies[0].text, "ping 3 hello-expected");
}

TEST(PakvServiceTest, VersionsThatDoNotMeetAreNamedAndTheConnectionEnds) {
  SimServer server;
  SimConnection raw(server, server.data_address());
  PakvReplyReader reader;
  raw.Send(PakvRequest(kHello, 9,
                       {NumberIn(PakvField::kVersionMin, 2), NumberIn(PakvField::kVersionMax, 9)}));
  const std::vector<PakvTestReply> replies = reader.Read(raw.ReceiveToEnd());
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_EQ(replies[0].text, "hello 9 version-unsupported version-min=1 version-max=1");
}

TEST(PakvServiceTest, ANewerClientThatSpeaksVersionOneIsServed) {
  SimServer server;
  PakvConnection client(server);
  EXPECT_EQ(client
                .Ask(PakvRequest(
                    kHello, 2,
                    {NumberIn(PakvField::kVersionMin, 1), NumberIn(PakvField::kVersionMax, 200)}))
                .status,
            PakvStatus::kOk);
  EXPECT_EQ(client.AskText(PakvRequest(kPing, 3)), "ping 3 ok");
}

TEST(PakvServiceTest, RequestsOnOneKey) {
  for (const uint32_t cores : {1u, 3u}) {
    SimServer server({.core_count = cores});
    PakvConnection client(server);
    const struct {
      std::string request;
      std::string reply;
    } kSteps[] = {
        {PakvRequest(kPing, 1), "ping 1 ok"},
        {PakvRequest(kPing, 2, {Value("hi")}), "ping 2 ok value=\"hi\""},
        {PakvRequest(kPing, 2, {Value("")}), "ping 2 ok value=\"\""},
        {PakvRequest(kGet, 3, {Key("k")}), "get 3 not-found"},
        {PakvRequest(kSet, 4, {Key("k"), Value("one")}), "set 4 ok lsn=#1"},
        {PakvRequest(kGet, 5, {Key("k")}), "get 5 ok lsn=#1 value=\"one\""},
        {PakvRequest(kGet, 6, {Key("k"), Option(PakvOption::kWithoutValue)}), "get 6 ok lsn=#1"},
        {PakvRequest(kGet, 6, {Key("l"), Option(PakvOption::kWithoutValue)}), "get 6 not-found"},
        {PakvRequest(kSet, 7, {Key("k"), Value("two"), Option(PakvOption::kReturnOld)}),
         "set 7 ok lsn=#2 old-value=\"one\""},
        {PakvRequest(kSet, 8, {Key("new"), Value(""), Option(PakvOption::kReturnOld)}),
         "set 8 ok lsn=#3"},
        {PakvRequest(kSet, 9, {Key("new"), Value("x"), Option(PakvOption::kReturnOld)}),
         "set 9 ok lsn=#4 old-value=\"\""},
        {PakvRequest(kDelete, 10, {Key("k")}), "delete 10 ok lsn=#5"},
        {PakvRequest(kDelete, 11, {Key("k")}), "delete 11 not-found"},
        {PakvRequest(kDelete, 12, {Key("new"), Option(PakvOption::kReturnOld)}),
         "delete 12 ok lsn=#6 old-value=\"x\""},
        {PakvRequest(kDelete, 13, {Key("new"), Option(PakvOption::kReturnOld)}),
         "delete 13 not-found"},
        // An empty key is a key, and all bytes are bytes.
        {PakvRequest(kSet, 14, {Key(""), Value(std::string("\0\xff\r\n", 4))}), "set 14 ok lsn=#7"},
        {PakvRequest(kGet, 15, {Key("")}),
         "get 15 ok lsn=#7 value=\"" + std::string("\0\xff\r\n", 4) + "\""},
    };
    for (const auto& step : kSteps) EXPECT_EQ(client.AskText(step.request), step.reply);
  }
}

TEST(PakvServiceTest, Increments) {
  SimServer server({.core_count = 2});
  PakvConnection client(server);
  const auto add = [](int64_t number) {
    return NumberIn(PakvField::kNumber, static_cast<uint64_t>(number));
  };
  const struct {
    std::string request;
    std::string reply;
  } kSteps[] = {
      {PakvRequest(kIncr, 1, {Key("n")}), "incr 1 ok number=1 lsn=#1"},
      {PakvRequest(kIncr, 2, {Key("n"), add(41)}), "incr 2 ok number=42 lsn=#2"},
      {PakvRequest(kIncr, 3, {Key("n"), add(-50)}), "incr 3 ok number=-8 lsn=#3"},
      {PakvRequest(kIncr, 4, {Key("n"), add(0)}), "incr 4 ok number=-8 lsn=#4"},
      {PakvRequest(kGet, 5, {Key("n")}), "get 5 ok lsn=#4 value=\"-8\""},
      {PakvRequest(kIncr, 6, {Key("n"), add(INT64_MIN)}), "incr 6 overflow"},
      {PakvRequest(kIncr, 7, {Key("m"), add(INT64_MIN)}),
       "incr 7 ok number=-9223372036854775808 lsn=#5"},
      {PakvRequest(kSet, 8, {Key("s"), Value("12a")}), "set 8 ok lsn=#6"},
      {PakvRequest(kIncr, 9, {Key("s")}), "incr 9 not-an-integer"},
      {PakvRequest(kSet, 10, {Key("s"), Value(" 1")}), "set 10 ok lsn=#7"},
      {PakvRequest(kIncr, 11, {Key("s")}), "incr 11 not-an-integer"},
      {PakvRequest(kSet, 12, {Key("s"), Value("")}), "set 12 ok lsn=#8"},
      {PakvRequest(kIncr, 13, {Key("s")}), "incr 13 not-an-integer"},
      {PakvRequest(kGet, 14, {Key("n")}), "get 14 ok lsn=#4 value=\"-8\""},
  };
  for (const auto& step : kSteps) EXPECT_EQ(client.AskText(step.request), step.reply);
}

TEST(PakvServiceTest, ASumThatIsLongerThanAValueMayBeIsRefused) {
  SimServer server({.value_bytes_max = 2});
  PakvConnection client(server);
  EXPECT_EQ(client.AskText(PakvRequest(kIncr, 1, {Key("n"), NumberIn(PakvField::kNumber, 99)})),
            "incr 1 ok number=99 lsn=#1");
  EXPECT_EQ(client.AskText(PakvRequest(kIncr, 2, {Key("n")})), "incr 2 value-too-long");
  EXPECT_EQ(client.AskText(PakvRequest(kGet, 3, {Key("n")})), "get 3 ok lsn=#1 value=\"99\"");
}

TEST(PakvServiceTest, Conditions) {
  for (const uint32_t cores : {1u, 2u}) {
    SimServer server({.core_count = cores});
    PakvConnection client(server);
    const auto absent = Condition(PakvCondition::kIfAbsent);
    const auto present = Condition(PakvCondition::kIfPresent);
    const auto with_old = Option(PakvOption::kReturnOld);
    const auto set = [&](uint64_t id, std::string value, std::vector<PakvTestField> more) {
      more.push_back(Key("k"));
      more.push_back(Value(std::move(value)));
      return client.AskText(PakvRequest(kSet, id, std::move(more)));
    };
    EXPECT_EQ(set(1, "a", {present}), "set 1 condition-failed");
    EXPECT_EQ(set(2, "a", {present, with_old}), "set 2 condition-failed");
    EXPECT_EQ(set(3, "a", {NumberIn(PakvField::kIfVersion, 1)}), "set 3 condition-failed");
    EXPECT_EQ(set(4, "a", {absent}), "set 4 ok lsn=#1");
    EXPECT_EQ(set(5, "b", {absent}), "set 5 condition-failed lsn=#1");
    EXPECT_EQ(set(6, "b", {absent, with_old}), "set 6 condition-failed lsn=#1 old-value=\"a\"");
    EXPECT_EQ(set(7, "b", {present, with_old}), "set 7 ok lsn=#2 old-value=\"a\"");
    const uint64_t lsn = client.Ask(PakvRequest(kGet, 8, {Key("k")})).lsn;
    EXPECT_EQ(set(9, "c", {NumberIn(PakvField::kIfVersion, lsn + 1)}),
              "set 9 condition-failed lsn=#2");
    EXPECT_EQ(set(10, "c", {NumberIn(PakvField::kIfVersion, lsn)}), "set 10 ok lsn=#3");
    EXPECT_EQ(set(11, "d", {NumberIn(PakvField::kIfVersion, lsn), with_old}),
              "set 11 condition-failed lsn=#3 old-value=\"c\"");
    EXPECT_EQ(client.AskText(PakvRequest(
                  kDelete, 12, {Key("k"), NumberIn(PakvField::kIfVersion, lsn), with_old})),
              "delete 12 condition-failed lsn=#3");
    const uint64_t newest = client.Ask(PakvRequest(kGet, 13, {Key("k")})).lsn;
    EXPECT_EQ(client.AskText(PakvRequest(
                  kDelete, 14, {Key("k"), NumberIn(PakvField::kIfVersion, newest), with_old})),
              "delete 14 ok lsn=#4 old-value=\"c\"");
    EXPECT_EQ(client.AskText(
                  PakvRequest(kDelete, 15, {Key("k"), NumberIn(PakvField::kIfVersion, newest)})),
              "delete 15 not-found");
  }
}

TEST(PakvServiceTest, TimesToLive) {
  for (const uint32_t cores : {1u, 2u}) {
    SimServer server({.core_count = cores});
    PakvConnection client(server);
    const auto wall_ms = [&] { return server.node.clock().WallUs() / 1000; };
    const auto ttl_of = [&](std::string_view reply) {
      const size_t at = reply.find("ttl-ms=");
      return at == std::string_view::npos ? -1 : std::stoll(std::string(reply.substr(at + 7)));
    };
    const auto set = [&](uint64_t id, std::vector<PakvTestField> more) {
      more.push_back(Key("k"));
      more.push_back(Value("v"));
      return client.AskText(PakvRequest(kSet, id, std::move(more)));
    };
    const auto get = [&](uint64_t id) { return client.AskText(PakvRequest(kGet, id, {Key("k")})); };

    EXPECT_EQ(set(1, {NumberIn(PakvField::kTtlMs, 60'000)}), "set 1 ok lsn=#1");
    EXPECT_GT(ttl_of(get(2)), 59'000);
    EXPECT_LE(ttl_of(get(2)), 60'000);
    // Without its value, too.
    const std::string version =
        client.AskText(PakvRequest(kGet, 3, {Key("k"), Option(PakvOption::kWithoutValue)}));
    EXPECT_GT(ttl_of(version), 59'000);
    EXPECT_EQ(version.find("value"), std::string::npos);
    EXPECT_EQ(set(4, {Option(PakvOption::kKeepTtl)}), "set 4 ok lsn=#2");
    EXPECT_GT(ttl_of(get(5)), 59'000);
    EXPECT_EQ(set(6, {}), "set 6 ok lsn=#3");
    EXPECT_EQ(get(7), "get 7 ok lsn=#3 value=\"v\"");

    const uint64_t until_ms = wall_ms() + 1500;
    EXPECT_EQ(set(8, {NumberIn(PakvField::kExpiresAtMs, until_ms)}), "set 8 ok lsn=#4");
    server.world.RunFor(1400 * kNsPerMs);
    EXPECT_GT(ttl_of(get(9)), 0);
    server.world.RunFor(101 * kNsPerMs);
    EXPECT_EQ(get(10), "get 10 not-found");
    EXPECT_EQ(set(11, {Condition(PakvCondition::kIfPresent)}), "set 11 condition-failed");
    EXPECT_EQ(client.AskText(PakvRequest(kScan, 12)), "scan 12 ok");
    // What is over when it is set removes the key.
    EXPECT_EQ(set(13, {}), "set 13 ok lsn=#5");
    EXPECT_EQ(set(14, {NumberIn(PakvField::kExpiresAtMs, 1)}), "set 14 ok lsn=#6");
    EXPECT_EQ(get(15), "get 15 not-found");
  }
}

TEST(PakvServiceTest, WhatIsNotBuiltYetIsRefusedAndNotIgnored) {
  SimServer server;
  PakvConnection client(server);
  const PakvTestField key = Key("k");
  const PakvTestField value = Value("v");
  const PakvTestField relaxed = NumberIn(PakvField::kDurability, 2);
  const struct {
    std::string request;
    std::string reply;
  } kSteps[] = {
      {PakvRequest(kSet, 4, {key, value, relaxed}), "set 4 unsupported"},
      {PakvRequest(kDelete, 7, {key, relaxed}), "delete 7 unsupported"},
      {PakvRequest(kIncr, 8, {key, relaxed}), "incr 8 unsupported"},
      {PakvRequest(kFlush, 11, {relaxed}), "flush 11 unsupported"},
      {PakvRequest(kGet, 12, {key}), "get 12 not-found"},
      // What the server does anyhow may be asked for.
      {PakvRequest(kSet, 13, {key, value, NumberIn(PakvField::kDurability, 1)}),
       "set 13 ok lsn=#1"},
      {PakvRequest(kGet, 14, {key, NumberIn(PakvField::kNamespace, 0)}),
       "get 14 ok lsn=#1 value=\"v\""},
  };
  for (const auto& step : kSteps) EXPECT_EQ(client.AskText(step.request), step.reply);
}

TEST(PakvServiceTest, ABadFrameCostsItsReplyAndNotTheConnection) {
  SimServer server({.key_bytes_max = 10, .value_bytes_max = 100});
  PakvConnection client(server);
  std::string damaged = PakvRequest(kSet, 1, {Key("k"), Value("v")});
  damaged.back() ^= 1;
  EXPECT_EQ(client.AskText(damaged), "set 1 bad-checksum");
  EXPECT_EQ(client.AskText(PakvRequest(kSet, 2, {Key("k")})), "set 2 field-missing");
  EXPECT_EQ(client.AskText(PakvRequest(kGet, 3, {Key("k"), Value("v")})),
            "get 3 field-not-allowed");
  EXPECT_EQ(client.AskText(PakvRequest(kScan, 4, {NumberIn(PakvField::kLimit, 0)})),
            "scan 4 bad-value");
  EXPECT_EQ(client.AskText(PakvRequest(static_cast<PakvType>(0x7e), 5)), " 5 unknown-type");
  EXPECT_EQ(client.AskText(PakvRequest(kSet, 6, {Key(std::string(11, 'k')), Value("v")})),
            "set 6 key-too-long");
  EXPECT_EQ(client.AskText(PakvRequest(kGet, 7, {Key(std::string(11, 'k'))})),
            "get 7 key-too-long");
  EXPECT_EQ(client.AskText(PakvRequest(kSet, 8, {Key("k"), Value(std::string(101, 'v'))})),
            "set 8 value-too-long");
  EXPECT_EQ(client.AskText(PakvRequest(kSet, 9, {Key("k"), Value(std::string(1 << 20, 'v'))})),
            "set 9 frame-too-large");
  for (const std::string& cursor :
       {std::string(), std::string("short"), std::string(8, '\0'), std::string(8, '\xff')}) {
    EXPECT_EQ(client.AskText(PakvRequest(kScan, 10, {BytesIn(PakvField::kCursor, cursor)})),
              "scan 10 bad-value");
  }
  // The largest that is allowed.
  EXPECT_EQ(client.AskText(
                PakvRequest(kSet, 11, {Key(std::string(10, 'k')), Value(std::string(100, 'v'))})),
            "set 11 ok lsn=#1");
}

TEST(PakvServiceTest, AStreamThatIsNotUnderstoodGetsOneReplyAndEnds) {
  // As in docs/protocol.md.
  const std::string of_id_zero(
      "\xf7\x01\x10\0\x06\0\0\0\0\0\0\0\0\0\0\0\x8d\x1b\x40\x76\x40\xb1\x91\xe5"
      "\x41\x01\0\0\0k",
      30);
  std::string damaged_header = PakvRequest(kPing, 1);
  damaged_header[9] ^= 1;
  OutputBuffer output;
  WritePakvError(output, kPing, 1, PakvStatus::kInternal, "a reply, not a request");
  const struct {
    std::string bytes;
    PakvStatus status;
  } kCases[] = {
      {"*1\r\n$4\r\nPING\r\n", PakvStatus::kMalformed},
      {of_id_zero, PakvStatus::kMalformed},
      {damaged_header, PakvStatus::kBadChecksum},
      {std::string(output.view()), PakvStatus::kMalformed},
  };
  for (const auto& broken : kCases) {
    SimServer server;
    PakvConnection client(server);
    client.raw.Send(PakvRequest(kSet, 1, {Key("k"), Value("v")}) + broken.bytes +
                    PakvRequest(kSet, 2, {Key("k"), Value("w")}));
    const std::vector<PakvTestReply> replies = client.Replies(3);
    ASSERT_EQ(replies.size(), 2u);
    // It is the last reply: what was asked before it is answered.
    EXPECT_EQ(replies[0].text, "set 1 ok lsn=#1");
    EXPECT_EQ(replies[1].id, 0u);
    EXPECT_EQ(replies[1].type, PakvType::kNone);
    EXPECT_EQ(replies[1].status, broken.status);
    EXPECT_TRUE(client.Ended());
    PakvConnection after(server);
    EXPECT_EQ(after.AskText(PakvRequest(kGet, 3, {Key("k")})), "get 3 ok lsn=#1 value=\"v\"");
  }
}

TEST(PakvServiceTest, HalfAFrameAndSilenceIsTimedOut) {
  SimServer server({.request_timeout_ns = 5 * kNsPerSecond});
  PakvConnection client(server);
  const std::string request = PakvRequest(kGet, 2, {Key("k")});
  const uint64_t begin_ns = server.world.now_ns();
  client.raw.Send(request.substr(0, request.size() - 1));
  const std::vector<PakvTestReply> replies = client.Replies(2);
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_EQ(replies[0].text, "none 0 timeout");
  EXPECT_GE(server.world.now_ns() - begin_ns, 5 * kNsPerSecond);
  EXPECT_LT(server.world.now_ns() - begin_ns, 6 * kNsPerSecond);
}

TEST(PakvServiceTest, AnIdleConnectionIsToldSo) {
  SimServer server({.idle_timeout_ns = 3 * kNsPerSecond});
  PakvConnection client(server);
  const std::vector<PakvTestReply> replies = client.Replies(2);
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_EQ(replies[0].text, "none 0 timeout");
}

TEST(PakvServiceTest, AStoppingServerAnswersWhatItTookAndSaysSo) {
  SimServer server({.core_count = 2});
  PakvConnection client(server);
  // Half a request: it is not taken.
  const std::string half = PakvRequest(kSet, 4, {Key("c"), Value("3")}).substr(0, 30);
  client.raw.SendAlone(PakvRequest(kSet, 2, {Key("a"), Value("1")}) +
                       PakvRequest(kSet, 3, {Key("b"), Value("2")}) + half);
  EXPECT_EQ(server.node.Run(server.server->Drain(10 * kNsPerSecond)), true);
  const std::vector<PakvTestReply> replies = client.Replies(4);
  ASSERT_EQ(replies.size(), 3u);
  EXPECT_EQ(replies[0].status, PakvStatus::kOk);
  EXPECT_EQ(replies[1].status, PakvStatus::kOk);
  EXPECT_EQ(replies[2].text, "none 0 stopping");
}

TEST(PakvServiceTest, AReplyDoesNotWaitForAnotherKeysDeviceRead) {
  // Nothing is held in memory, so a get has to ask the disk, and a ping behind it is faster.
  SimServer server({.cache_bytes = 0});
  PakvConnection client(server);
  client.Ask(PakvRequest(kSet, 2, {Key("cold"), Value("from disk")}));
  client.raw.Send(PakvRequest(kGet, 3, {Key("cold")}) + PakvRequest(kPing, 4));
  const std::vector<PakvTestReply> replies = client.Replies(2);
  ASSERT_EQ(replies.size(), 2u);
  EXPECT_EQ(replies[0].text, "ping 4 ok");
  EXPECT_EQ(replies[1].text, "get 3 ok lsn=#1 value=\"from disk\"");
}

TEST(PakvServiceTest, OneIdTwiceGetsTwoReplies) {
  SimServer server;
  PakvConnection client(server);
  client.raw.Send(PakvRequest(kIncr, 5, {Key("n")}) + PakvRequest(kIncr, 5, {Key("n")}));
  const std::vector<PakvTestReply> replies = client.Replies(2);
  ASSERT_EQ(replies.size(), 2u);
  EXPECT_EQ(replies[0].text, "incr 5 ok number=1 lsn=#1");
  EXPECT_EQ(replies[1].text, "incr 5 ok number=2 lsn=#2");
}

// ---- Flush and stats ----

TEST(PakvServiceTest, AFlushDropsWhatIsOlderThanItsVersion) {
  SimServer server({.core_count = 2});
  PakvConnection client(server);
  client.raw.Send(PakvRequest(kSet, 2, {Key("a"), Value("1")}) +
                  PakvRequest(kSet, 3, {Key("b"), Value("1")}) + PakvRequest(kFlush, 4) +
                  PakvRequest(kSet, 5, {Key("b"), Value("2")}));
  const std::vector<PakvTestReply> replies = client.Replies(4);
  ASSERT_EQ(replies.size(), 4u);
  EXPECT_EQ(replies[2].text, "flush 4 ok lsn=#3");
  EXPECT_GT(replies[2].lsn, std::max(replies[0].lsn, replies[1].lsn));
  EXPECT_EQ(replies[3].id, 5u);
  EXPECT_GT(replies[3].lsn, replies[2].lsn);
  EXPECT_EQ(client.AskText(PakvRequest(kGet, 6, {Key("a")})), "get 6 not-found");
  EXPECT_EQ(client.AskText(PakvRequest(kGet, 7, {Key("b")})), "get 7 ok lsn=#4 value=\"2\"");
  EXPECT_EQ(client.Ask(PakvRequest(kFlush, 8, {Option(PakvOption::kAllNamespaces)})).status,
            PakvStatus::kOk);
  EXPECT_EQ(client.AskText(PakvRequest(kGet, 9, {Key("b")})), "get 9 not-found");
}

TEST(PakvServiceTest, StatsTellTheServersCounters) {
  SimServer server({.core_count = 2});
  PakvConnection client(server);
  client.Ask(PakvRequest(kSet, 2, {Key("a"), Value("1")}));
  client.Ask(PakvRequest(kGet, 3, {Key("a")}));
  client.Ask(PakvRequest(kGet, 4, {Key("b")}));
  const std::string text = client.AskText(PakvRequest(kStats, 5));
  for (const ServerMetric& metric : ServerMetrics()) {
    EXPECT_NE(text.find("key=\"" + std::string(metric.name) + "\""), std::string::npos);
  }
  for (const std::string expected :
       {"{ number=1 key=\"connections\" }", "{ number=5 key=\"requests\" }",
        "{ number=2 key=\"reads\" }", "{ number=1 key=\"read_hits\" }",
        "{ number=1 key=\"read_misses\" }", "{ number=1 key=\"writes\" }",
        "{ number=1 key=\"keys\" }", "{ number=0 key=\"read_only\" }",
        "{ number=2 key=\"cores\" }"}) {
    EXPECT_NE(text.find(expected), std::string::npos) << expected << " in " << text;
  }
}

// ---- When the disk fails ----

TEST(PakvServiceTest, AFailingLogMakesOutcomesUnknownAndThenRefusesWrites) {
  SimServer server;
  server.store_fails = true;
  PakvConnection client(server);
  EXPECT_EQ(client.AskText(PakvRequest(kSet, 2, {Key("a"), Value("1")})), "set 2 ok lsn=#1");
  server.node.disk().faults.flush_error = 10'000;
  EXPECT_EQ(client.AskText(PakvRequest(kSet, 3, {Key("a"), Value("2")})), "set 3 unknown-outcome");
  server.node.disk().faults.flush_error = 0;
  EXPECT_EQ(client.AskText(PakvRequest(kSet, 4, {Key("a"), Value("3")})), "set 4 read-only");
  EXPECT_EQ(client.AskText(PakvRequest(kDelete, 5, {Key("a")})), "delete 5 read-only");
  EXPECT_EQ(client.AskText(PakvRequest(kIncr, 6, {Key("a")})), "incr 6 read-only");
  EXPECT_EQ(client.AskText(PakvRequest(kFlush, 7)), "flush 7 read-only");
  EXPECT_EQ(client.AskText(PakvRequest(kGet, 8, {Key("a")})), "get 8 ok lsn=#1 value=\"1\"");
  EXPECT_NE(client.AskText(PakvRequest(kStats, 9)).find("{ number=1 key=\"read_only\" }"),
            std::string::npos);
}

// ---- Cuts ----

// Requests of all kinds, and the replies to them, which do not depend on order.
std::string Conversation() {
  return PakvHello(1) + PakvRequest(kSet, 2, {Key("k"), Value("v")}) +
         PakvRequest(kGet, 3, {Key("k")}) + PakvRequest(kScan, 4) +
         PakvRequest(kGet, 5, {Key("k"), NumberIn(PakvField::kTtlMs, 1)}) + PakvRequest(kPing, 6) +
         PakvBatch(7, {{kGet, {Key("k")}}, {kGet, {Key("l")}}});
}

std::vector<std::string> SortedTexts(std::string_view bytes) {
  PakvReplyReader reader;
  std::vector<std::string> texts;
  for (const PakvTestReply& reply : reader.Read(bytes)) {
    // The session's number differs.
    texts.push_back(reply.text.substr(0, reply.text.find(" session=")));
  }
  EXPECT_TRUE(reader.at_end_of_reply());
  std::sort(texts.begin(), texts.end());
  return texts;
}

TEST(PakvServiceTest, AStreamMayBeCutAtEveryPairOfOffsets) {
  SimServer server;
  const std::string stream = Conversation();
  const size_t reply_count = 7;
  // Its LSNs are the connection's first: a stream of its own has the same numbers.
  std::vector<std::string> expected;
  size_t cuts = 0;
  for (size_t first = 1; first < stream.size(); ++first) {
    for (size_t second = first + 1; second <= stream.size(); ++second) {
      SimConnection raw(server, server.data_address());
      raw.SendAlone(std::string_view(stream).substr(0, first));
      raw.SendAlone(std::string_view(stream).substr(first, second - first));
      raw.Send(std::string_view(stream).substr(second));
      std::string received;
      PakvReplyReader reader;
      size_t replies = 0;
      ASSERT_TRUE(server.world.RunUntil([&] {
        const std::string more = raw.ReceiveNow();
        received += more;
        replies += reader.Read(more).size();
        return replies >= reply_count || raw.ended();
      })) << "cut at "
          << first << " and " << second;
      const std::vector<std::string> texts = SortedTexts(received);
      if (expected.empty()) expected = texts;
      ASSERT_EQ(texts, expected) << "cut at " << first << " and " << second;
      ++cuts;
    }
  }
  EXPECT_EQ(expected.size(), reply_count);
  EXPECT_EQ(expected[0], "batch 7 ok { lsn=#1 value=\"v\" } { status=16 }");
  EXPECT_EQ(expected[1], "get 3 ok lsn=#1 value=\"v\"");
  EXPECT_EQ(cuts, stream.size() * (stream.size() - 1) / 2);
}

TEST(PakvServiceTest, AStreamMayComeByteByByte) {
  SimServer server({.core_count = 2});
  SimConnection raw(server, server.data_address());
  for (const char byte : Conversation()) raw.SendAlone(std::string_view(&byte, 1));
  std::string received;
  PakvReplyReader reader;
  size_t replies = 0;
  ASSERT_TRUE(server.world.RunUntil([&] {
    const std::string more = raw.ReceiveNow();
    received += more;
    replies += reader.Read(more).size();
    return replies == 7;
  }));
  EXPECT_EQ(SortedTexts(received).front(), "batch 7 ok { lsn=#1 value=\"v\" } { status=16 }");
}

// Random requests in one pipeline, cut anywhere: each key's replies are those of a model, since
// the order of one key is that of sending.
TEST(PakvServiceTest, RandomPipelinesAgreeWithAModel) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    Prng prng(seed);
    SimServer server({.core_count = static_cast<uint32_t>(prng.Between(1, 4)),
                      .seed = seed,
                      .cache_bytes = prng.Chance(1, 2) ? 0 : uint64_t{1} << 20});
    server.world.net().faults = {.long_delay = 50, .cut = 5000};
    PakvConnection client(server);
    std::map<std::string, std::string> model;
    std::map<uint64_t, std::string> expected;  // by id, without LSNs
    std::string stream;
    for (uint64_t id = 2; id < 400; ++id) {
      const std::string key = "key" + std::to_string(prng.Below(12));
      const auto found = model.find(key);
      const bool exists = found != model.end();
      const std::string old = exists ? " old-value=\"" + found->second + "\"" : "";
      const std::string value = prng.Chance(1, 3)
                                    ? std::to_string(prng.Below(100))
                                    : std::string(prng.Below(prng.Chance(1, 8) ? 9000 : 30), 'v');
      switch (prng.Below(6)) {
        case 0:
          stream += PakvRequest(kGet, id, {Key(key)});
          expected[id] = exists ? "get ok value=\"" + found->second + "\"" : "get not-found";
          break;
        case 1:
          stream += PakvRequest(kSet, id, {Key(key), Value(value)});
          expected[id] = "set ok";
          model[key] = value;
          break;
        case 2:
          stream += PakvRequest(kSet, id,
                                {Key(key), Value(value), Option(PakvOption::kReturnOld),
                                 Condition(PakvCondition::kIfAbsent)});
          expected[id] = exists ? "set condition-failed" + old : "set ok";
          if (!exists) model[key] = value;
          break;
        case 3:
          stream += PakvRequest(kSet, id,
                                {Key(key), Value(value), Option(PakvOption::kReturnOld),
                                 Condition(PakvCondition::kIfPresent)});
          expected[id] = exists ? "set ok" + old : "set condition-failed";
          if (exists) model[key] = value;
          break;
        case 4:
          stream += PakvRequest(kDelete, id, {Key(key), Option(PakvOption::kReturnOld)});
          expected[id] = exists ? "delete ok" + old : "delete not-found";
          model.erase(key);
          break;
        default: {
          stream += PakvRequest(kIncr, id, {Key(key)});
          const bool is_number = !exists || (!found->second.empty() && found->second[0] != 'v');
          if (!is_number) {
            expected[id] = "incr not-an-integer";
            break;
          }
          const int64_t sum = (exists ? std::stoll(found->second) : 0) + 1;
          model[key] = std::to_string(sum);
          expected[id] = "incr ok number=" + std::to_string(sum);
        }
      }
    }
    while (!stream.empty()) {
      const size_t length = std::min<size_t>(stream.size(), 1 + prng.Below(3000));
      client.raw.Send(std::string_view(stream).substr(0, length));
      stream.erase(0, length);
      if (prng.Chance(1, 3)) server.world.RunFor(prng.Below(300) * kNsPerUs);
    }
    for (const PakvTestReply& reply : client.Replies(expected.size())) {
      std::string text = reply.text;
      const size_t id_begin = text.find(' ');
      text.erase(id_begin, text.find(' ', id_begin + 1) - id_begin);
      const size_t lsn_begin = text.find(" lsn=");
      if (lsn_begin != std::string::npos) {
        const size_t lsn_end = text.find(' ', lsn_begin + 1);
        text.erase(lsn_begin, lsn_end == std::string::npos ? lsn_end : lsn_end - lsn_begin);
      }
      ASSERT_EQ(text, expected[reply.id]) << "seed " << seed << ", id " << reply.id;
      expected.erase(reply.id);
    }
    EXPECT_TRUE(expected.empty()) << "seed " << seed;
  }
}

}  // namespace
}  // namespace pakv
