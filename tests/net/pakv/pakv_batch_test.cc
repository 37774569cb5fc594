// Batches of the pakv protocol on a whole server in a simulated world: all or nothing, one version,
// a snapshot without writes, in order with the connection's other requests, and bounded.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/net/pakv/pakv_connection.h"
#include "tests/net/pakv/pakv_frames.h"
#include "tests/net/server/sim_server.h"

namespace pakv {
namespace {

using enum PakvType;
using Operations = std::vector<PakvTestOperation>;

PakvTestOperation GetOf(std::string key) { return {kGet, {Key(std::move(key))}}; }
PakvTestOperation SetOf(std::string key, std::string value, std::vector<PakvTestField> more = {}) {
  more.push_back(Key(std::move(key)));
  more.push_back(Value(std::move(value)));
  return {kSet, std::move(more)};
}
PakvTestOperation DeleteOf(std::string key, std::vector<PakvTestField> more = {}) {
  more.push_back(Key(std::move(key)));
  return {kDelete, std::move(more)};
}
PakvTestOperation IncrOf(std::string key, int64_t number = 1) {
  return {kIncr,
          {Key(std::move(key)), NumberIn(PakvField::kNumber, static_cast<uint64_t>(number))}};
}

// On as many cores as the parameter says: one owner, or several.
class PakvBatchTest : public testing::TestWithParam<uint32_t> {
 protected:
  PakvBatchTest() { Start({}); }
  void Start(SimServer::Options options) {
    client_.reset();
    server_.reset();
    options.core_count = GetParam();
    server_ = std::make_unique<SimServer>(options);
    client_ = std::make_unique<PakvConnection>(*server_);
  }
  std::string Batch(uint64_t id, const Operations& operations,
                    std::vector<PakvTestField> fields = {}) {
    return client_->AskText(PakvBatch(id, operations, std::move(fields)));
  }
  std::string Get(const std::string& key) {
    return client_->AskText(PakvRequest(kGet, 99, {Key(key)}));
  }

  std::unique_ptr<SimServer> server_;
  std::unique_ptr<PakvConnection> client_;
};

INSTANTIATE_TEST_SUITE_P(Cores, PakvBatchTest, testing::Values(1, 2, 4));

TEST_P(PakvBatchTest, AllIsWrittenWithOneVersion) {
  EXPECT_EQ(Batch(2, {SetOf("a", "1"), SetOf("b", "2"), IncrOf("n", 5), DeleteOf("c")}),
            "batch 2 ok lsn=#1 { } { } { number=5 } { status=16 }");
  EXPECT_EQ(Get("a"), "get 99 ok lsn=#1 value=\"1\"");
  EXPECT_EQ(Get("b"), "get 99 ok lsn=#1 value=\"2\"");
  EXPECT_EQ(Get("n"), "get 99 ok lsn=#1 value=\"5\"");
  const auto with_old = Option(PakvOption::kReturnOld);
  EXPECT_EQ(Batch(3, {SetOf("a", "x", {with_old}), DeleteOf("b", {with_old}), GetOf("n")}),
            "batch 3 ok lsn=#2 { old-value=\"1\" } { old-value=\"2\" } { lsn=#1 value=\"5\" }");
  EXPECT_EQ(Get("b"), "get 99 not-found");
}

TEST_P(PakvBatchTest, EachOperationSeesThoseBeforeIt) {
  EXPECT_EQ(Batch(2, {SetOf("a", "1"), IncrOf("a", 6), GetOf("a"), DeleteOf("a"), GetOf("a"),
                      IncrOf("a", -2), SetOf("b", "v"), GetOf("b")}),
            "batch 2 ok lsn=#1 { } { number=7 } { lsn=#1 value=\"7\" } { } { status=16 } "
            "{ number=-2 } { } { lsn=#1 value=\"v\" }");
  EXPECT_EQ(Get("a"), "get 99 ok lsn=#1 value=\"-2\"");
}

TEST_P(PakvBatchTest, AConditionThatIsNotMetUndoesAll) {
  const auto absent = Condition(PakvCondition::kIfAbsent);
  const auto present = Condition(PakvCondition::kIfPresent);
  EXPECT_EQ(Batch(2, {SetOf("a", "1", {absent}), SetOf("b", "1", {absent})}),
            "batch 2 ok lsn=#1 { } { }");
  EXPECT_EQ(Batch(3, {SetOf("c", "2"), DeleteOf("a"), SetOf("b", "2", {absent}), IncrOf("d")}),
            "batch 3 condition-failed number=2 lsn=#1");
  EXPECT_EQ(Batch(4, {SetOf("c", "2"), SetOf("d", "2", {present})}),
            "batch 4 condition-failed number=1");
  EXPECT_EQ(Batch(5, {GetOf("a"), GetOf("b"), GetOf("c"), GetOf("d")}),
            "batch 5 ok { lsn=#1 value=\"1\" } { lsn=#1 value=\"1\" } { status=16 } { status=16 }");
  const uint64_t lsn = client_->Ask(PakvRequest(kGet, 6, {Key("a")})).lsn;
  const auto version = NumberIn(PakvField::kIfVersion, lsn);
  const auto older = NumberIn(PakvField::kIfVersion, lsn - 1);
  EXPECT_EQ(Batch(7, {SetOf("a", "3", {version}), DeleteOf("b", {older})}),
            "batch 7 condition-failed number=1 lsn=#1");
  EXPECT_EQ(Batch(8, {SetOf("a", "3", {version}), DeleteOf("none", {version})}),
            "batch 8 condition-failed number=1");
  EXPECT_EQ(Batch(9, {SetOf("a", "3", {version}), DeleteOf("b", {version})}),
            "batch 9 ok lsn=#2 { } { }");
  EXPECT_EQ(Get("b"), "get 99 not-found");
  // What the batch has written has no version yet.
  const uint64_t now = client_->Ask(PakvRequest(kGet, 10, {Key("a")})).lsn;
  const auto newest = NumberIn(PakvField::kIfVersion, now);
  EXPECT_EQ(Batch(11, {SetOf("a", "4", {newest}), SetOf("a", "5", {newest})}),
            "batch 11 condition-failed number=1");
  EXPECT_EQ(Get("a"), "get 99 ok lsn=#2 value=\"3\"");
}

TEST_P(PakvBatchTest, ANumberThatIsNoneUndoesAll) {
  Batch(2, {SetOf("s", "12a"), SetOf("max", "9223372036854775807")});
  EXPECT_EQ(Batch(3, {SetOf("a", "1"), IncrOf("s")}), "batch 3 not-an-integer number=1 lsn=#1");
  EXPECT_EQ(Batch(4, {IncrOf("max"), SetOf("a", "1")}), "batch 4 overflow number=0 lsn=#1");
  EXPECT_EQ(Get("a"), "get 99 not-found");
}

TEST_P(PakvBatchTest, WithoutAWriteItIsASnapshot) {
  client_->Ask(PakvRequest(kSet, 2, {Key("a"), Value("1"), NumberIn(PakvField::kTtlMs, 60'000)}));
  client_->Ask(PakvRequest(kSet, 3, {Key("b"), Value("")}));
  const std::string text = Batch(4, {GetOf("a"),
                                     GetOf("none"),
                                     GetOf("b"),
                                     GetOf("a"),
                                     {kGet, {Key("b"), Option(PakvOption::kWithoutValue)}}});
  EXPECT_TRUE(text.starts_with("batch 4 ok { ttl-ms=")) << text;
  EXPECT_NE(text.find(" lsn=#1 value=\"1\" } { status=16 } { lsn=#2 value=\"\" } { ttl-ms="),
            std::string::npos)
      << text;
  EXPECT_TRUE(text.ends_with(" } { lsn=#2 }")) << text;
}

TEST_P(PakvBatchTest, TimesToLiveAreThoseOfSet) {
  EXPECT_EQ(Batch(2, {SetOf("a", "1", {NumberIn(PakvField::kTtlMs, 50)}),
                      SetOf("b", "1", {NumberIn(PakvField::kExpiresAtMs, 1)}), SetOf("c", "1")}),
            "batch 2 ok lsn=#1 { } { } { }");
  EXPECT_EQ(Get("b"), "get 99 not-found");
  EXPECT_NE(Get("a").find("ttl-ms="), std::string::npos);
  server_->world.RunFor(60 * kNsPerMs);
  EXPECT_EQ(Batch(3, {GetOf("a"), GetOf("c")}), "batch 3 ok { status=16 } { lsn=#1 value=\"1\" }");
  EXPECT_EQ(Batch(4, {SetOf("a", "2", {Condition(PakvCondition::kIfPresent)})}),
            "batch 4 condition-failed number=0");
}

TEST_P(PakvBatchTest, ItsPlaceAmongOtherRequestsIsThatOfSending) {
  client_->raw.Send(PakvRequest(kSet, 2, {Key("a"), Value("1")}) +
                    PakvRequest(kIncr, 3, {Key("n")}) +
                    PakvBatch(4, {IncrOf("a"), IncrOf("n"), SetOf("b", "1")}) +
                    PakvRequest(kIncr, 5, {Key("n")}) + PakvBatch(6, {GetOf("a"), GetOf("n")}) +
                    PakvRequest(kDelete, 7, {Key("n")}));
  std::vector<PakvTestReply> replies = client_->Replies(6);
  ASSERT_EQ(replies.size(), 6u);
  EXPECT_EQ(replies[2].text, "batch 4 ok lsn=#3 { number=2 } { number=2 } { }");
  EXPECT_EQ(replies[3].text, "incr 5 ok number=3 lsn=#4");
  EXPECT_EQ(replies[4].text, "batch 6 ok { lsn=#3 value=\"2\" } { lsn=#4 value=\"3\" }");
  EXPECT_EQ(replies[5].text, "delete 7 ok lsn=#5");
}

TEST_P(PakvBatchTest, ANamespaceIsThatOfAllItsOperations) {
  const auto other = NumberIn(PakvField::kNamespace, 7);
  EXPECT_EQ(Batch(2, {SetOf("a", "1"), SetOf("b", "1")}, {other}), "batch 2 ok lsn=#1 { } { }");
  EXPECT_EQ(Get("a"), "get 99 not-found");
  EXPECT_EQ(Batch(3, {GetOf("b")}, {other}), "batch 3 ok { lsn=#1 value=\"1\" }");
  EXPECT_EQ(Batch(4, {GetOf("b")}, {NumberIn(PakvField::kNamespace, 700)}),
            "batch 4 unknown-namespace");
}

TEST_P(PakvBatchTest, RefusalsDoNothingAndTheConnectionGoesOn) {
  Start({.key_bytes_max = 10, .value_bytes_max = 100});
  EXPECT_EQ(Batch(2, {SetOf("a", "1"), SetOf(std::string(11, 'k'), "v")}),
            "batch 2 key-too-long number=1");
  EXPECT_EQ(Batch(3, {SetOf("a", "1"), SetOf("b", std::string(101, 'v'))}),
            "batch 3 value-too-long number=1");
  EXPECT_EQ(Batch(4, {SetOf("a", "1")}, {NumberIn(PakvField::kDurability, 2)}),
            "batch 4 unsupported");
  EXPECT_EQ(Batch(5, {SetOf("a", "1"), {kScan, {}}}), "batch 5 bad-value");
  EXPECT_EQ(Batch(6, {}), "batch 6 field-missing");
  EXPECT_EQ(Batch(7, {SetOf("a", "1", {NumberIn(PakvField::kNamespace, 1)})}),
            "batch 7 field-not-allowed");
  EXPECT_EQ(Get("a"), "get 99 not-found");
}

TEST_P(PakvBatchTest, ItsBoundsAreToldAndKept) {
  Operations many(65'536, IncrOf("n"));
  const std::string done = Batch(2, many);
  EXPECT_TRUE(done.starts_with("batch 2 ok lsn=#1 { number=1 } { number=2 }"));
  EXPECT_TRUE(done.ends_with("{ number=65536 }"));
  many.push_back(IncrOf("n"));
  EXPECT_EQ(Batch(3, many), "batch 3 batch-too-large");
  EXPECT_EQ(Get("n"), "get 99 ok lsn=#1 value=\"65536\"");

  // 16 MiB of keys and values, and a byte more.
  Operations large;
  for (int i = 0; i < 16; ++i) {
    const std::string key = "key" + std::to_string(10 + i);
    large.push_back(SetOf(key, std::string((1 << 20) - key.size(), 'v')));
  }
  EXPECT_TRUE(Batch(4, large).starts_with("batch 4 ok lsn=#2"));
  large.push_back(SetOf("k", ""));
  EXPECT_EQ(Batch(5, large), "batch 5 batch-too-large");
  EXPECT_EQ(Get("k"), "get 99 not-found");

  // Of a reply's values likewise.
  Operations reads(16, GetOf("key10"));
  EXPECT_EQ(client_->Ask(PakvBatch(6, reads)).status, PakvStatus::kOk);
  reads.push_back(GetOf("key11"));
  EXPECT_EQ(Batch(7, reads), "batch 7 batch-too-large");
  reads.push_back(SetOf("k", "written in vain"));
  EXPECT_EQ(Batch(8, reads), "batch 8 batch-too-large");
  EXPECT_EQ(Get("k"), "get 99 not-found");
}

// What all have read and not answered yet is bounded; small ones are never refused.
TEST_P(PakvBatchTest, ALargeOneIsRefusedWhereOthersHoldTheMemory) {
  Start({.transaction_bytes_max = 0});
  EXPECT_EQ(Batch(2, {SetOf("a", std::string(900'000, 'v'))}), "batch 2 ok lsn=#1 { }");
  Operations reads = {GetOf("a"), GetOf("nosuch")};
  EXPECT_EQ(client_->Ask(PakvBatch(3, reads)).status, PakvStatus::kOk);
  reads.push_back(GetOf("a"));
  EXPECT_EQ(Batch(4, reads), "batch 4 out-of-memory");
  reads.push_back(SetOf("b", "written in vain"));
  EXPECT_EQ(Batch(5, reads), "batch 5 out-of-memory");
  EXPECT_EQ(Get("b"), "get 99 not-found");
}

TEST_P(PakvBatchTest, AFailingLogLeavesItUnknownAndLaterOnesRefused) {
  server_->store_fails = true;
  EXPECT_EQ(Batch(2, {SetOf("a", "1"), SetOf("b", "1")}), "batch 2 ok lsn=#1 { } { }");
  // Every log has its segments: it is the batch that meets the fault.
  server_->world.RunFor(kNsPerSecond);
  server_->node.disk().faults.flush_error = 10'000;
  EXPECT_EQ(Batch(3, {SetOf("a", "2"), SetOf("b", "2")}), "batch 3 unknown-outcome");
  server_->node.disk().faults.flush_error = 0;
  EXPECT_EQ(Batch(4, {SetOf("a", "3")}), "batch 4 read-only");
  EXPECT_EQ(Batch(5, {GetOf("a"), GetOf("b")}),
            "batch 5 ok { lsn=#1 value=\"1\" } { lsn=#1 value=\"1\" }");
}

// The server takes a batch whole, or not at all.
TEST_P(PakvBatchTest, AClientThatGoesInTheMiddleOfOneHasWrittenNothing) {
  const std::string batch = PakvBatch(2, {SetOf("a", "1"), SetOf("b", std::string(50'000, 'v'))});
  {
    PakvConnection other(*server_);
    other.raw.SendAlone(std::string_view(batch).substr(0, batch.size() - 1));
    other.raw.Reset();
  }
  EXPECT_EQ(Get("a"), "get 99 not-found");
}

}  // namespace
}  // namespace pakv
