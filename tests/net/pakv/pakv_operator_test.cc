// The pakv protocol's requests for operators on a whole server in a simulated world: check,
// compact, and the scan with values that dump goes by.
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "tests/net/pakv/pakv_connection.h"
#include "tests/net/pakv/pakv_frames.h"
#include "tests/net/server/sim_server.h"

namespace pakv {
namespace {

using enum PakvType;

class PakvOperatorTest : public testing::TestWithParam<uint32_t> {
 protected:
  PakvOperatorTest() : server_({.core_count = GetParam()}), client_(server_) {}
  PakvTestReply Ask(std::string_view request) { return client_.Ask(request); }

  SimServer server_;
  PakvConnection client_;
};
INSTANTIATE_TEST_SUITE_P(Cores, PakvOperatorTest, testing::Values(1u, 3u));

TEST_P(PakvOperatorTest, ACheckOfASoundStoreCountsAndFindsNothing) {
  Ask(PakvRequest(kSet, 2, {Key("key"), Value("value")}));
  const PakvTestReply reply = Ask(PakvRequest(kCheck, 3));
  EXPECT_EQ(reply.status, PakvStatus::kOk);
  EXPECT_NE(reply.text.find("{ number=48 key=\"live_bytes\" }"), std::string::npos) << reply.text;
  EXPECT_NE(reply.text.find("{ number=0 key=\"findings\" }"), std::string::npos) << reply.text;
}

TEST_P(PakvOperatorTest, ACheckTellsWhichFileIsGone) {
  Ask(PakvRequest(kSet, 2, {Key("key"), Value("value")}));
  std::vector<std::string> names;
  ASSERT_GE(server_.node.disk().List("/pakv/data", names), 0);
  for (const std::string& name : names) {
    if (name.ends_with(".seg")) server_.node.disk().Unlink(("/pakv/data/" + name).c_str());
  }
  const std::string text = Ask(PakvRequest(kCheck, 3)).text;
  EXPECT_NE(text.find(".seg\" }"), std::string::npos) << text;
  EXPECT_EQ(text.find("{ number=0 key=\"findings\" }"), std::string::npos) << text;
}

// What a dump is made of.
TEST_P(PakvOperatorTest, AScanWithValuesTellsWhenTheirTimeEnds) {
  const uint64_t end_ms = server_.node.clock().WallUs() / 1000 + 60'000;
  Ask(PakvRequest(kSet, 2, {Key("a"), Value("1"), NumberIn(PakvField::kExpiresAtMs, end_ms)}));
  Ask(PakvRequest(kSet, 3, {Key("b"), Value("2")}));
  const std::string text = Ask(PakvRequest(kScan, 4, {Option(PakvOption::kWithValues)})).text;
  EXPECT_NE(text.find("{ expires-at-ms=" + std::to_string(end_ms) + " lsn=#1 key=\"a\""),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("{ lsn=#2 key=\"b\" value=\"2\" }"), std::string::npos) << text;
}

TEST_P(PakvOperatorTest, CompactTellsHowFarItIsUntilAReplyWithoutACursor) {
  const std::string value(60'000, 'v');
  for (uint64_t i = 0; i < 300; ++i) {
    Ask(PakvRequest(kSet, 2 + i, {Key("key" + std::to_string(i % 9)), Value(value)}));
  }
  PakvTestReply reply = Ask(PakvRequest(kCompact, 400, {NumberIn(PakvField::kNumber, 50)}));
  EXPECT_EQ(reply.status, PakvStatus::kOk);
  EXPECT_FALSE(reply.cursor.empty()) << "it answers before it has looked";
  for (uint64_t id = 401; !reply.cursor.empty() && id < 500; ++id) {
    server_.world.RunFor(10 * kNsPerMs);
    reply = Ask(PakvRequest(kCompact, id, {BytesIn(PakvField::kCursor, reply.cursor)}));
    ASSERT_EQ(reply.status, PakvStatus::kOk);
  }
  EXPECT_TRUE(reply.cursor.empty());
  EXPECT_EQ(reply.text.find("{ number=0 key=\"segments\" }"), std::string::npos) << reply.text;
  EXPECT_NE(reply.text.find("{ number=0 key=\"segments_left\" }"), std::string::npos) << reply.text;
}

TEST_P(PakvOperatorTest, CompactRefusesWhatItCannotMean) {
  for (const uint64_t number : {uint64_t{0}, uint64_t{101}, ~uint64_t{0}}) {
    EXPECT_EQ(Ask(PakvRequest(kCompact, 5, {NumberIn(PakvField::kNumber, number)})).text,
              "compact 5 bad-value");
  }
  for (const std::string& cursor : {std::string("x"), std::string(8, '\0'), std::string(8, '\7')}) {
    EXPECT_EQ(Ask(PakvRequest(kCompact, 6, {BytesIn(PakvField::kCursor, cursor)})).text,
              "compact 6 bad-value");
  }
}

TEST_P(PakvOperatorTest, CompactSaysThatTheStoreIsReadOnly) {
  server_.store_fails = true;
  // Segments are made ready first: the failure is to be the write's.
  server_.world.RunFor(kNsPerSecond);
  server_.node.disk().faults.flush_error = 10'000;
  EXPECT_EQ(Ask(PakvRequest(kSet, 2, {Key("a"), Value("2")})).status, PakvStatus::kUnknownOutcome);
  server_.node.disk().faults.flush_error = 0;
  EXPECT_EQ(Ask(PakvRequest(kCompact, 3)).text, "compact 3 read-only");
  EXPECT_EQ(Ask(PakvRequest(kCheck, 4)).status, PakvStatus::kOk);
}

}  // namespace
}  // namespace pakv
