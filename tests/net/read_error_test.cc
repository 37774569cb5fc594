// What a client is told when a value cannot be read: damage is for good and is called so, anything
// else may be tried again.
#include <gtest/gtest.h>

#include <string>

#include "tests/net/pakv_connection.h"
#include "tests/net/resp_text.h"
#include "tests/net/sim_server.h"

namespace pakv {
namespace {

constexpr std::string_view kTryAgain = ": Input/output error; nothing was changed, try again\r\n";

class ReadErrorReplyTest : public testing::TestWithParam<size_t> {
 protected:
  static SimServer::Options Options() {
    SimServer::Options options;
    options.inline_value_bytes_max = 2048;
    options.cache_bytes = 0;
    return options;
  }
  std::string Line(std::string_view request) {
    resp_.Send(request);
    return resp_.ReceiveLine();
  }

  SimServer server_{Options()};
  SimConnection resp_{server_};
};
// In the log, and in a file.
INSTANTIATE_TEST_SUITE_P(Lengths, ReadErrorReplyTest, testing::Values(1000, 6000));

TEST_P(ReadErrorReplyTest, APassingErrorMayBeTriedAgain) {
  const std::string value(GetParam(), 'v');
  resp_.Expect(RespRequest({"SET", "k", value}), "+OK\r\n");
  PakvConnection pakv(server_);
  server_.node.disk().faults.read_error = 10'000;
  for (const std::string request : {"GET k\r\n", "GETRANGE k 0 10\r\n"}) {
    const std::string error = Line(request);
    EXPECT_TRUE(error.starts_with("-ERR file error: cannot read /pakv/data/")) << error;
    EXPECT_TRUE(error.ends_with(kTryAgain)) << error;
  }
  const PakvTestReply refused =
      pakv.Ask(PakvRequest(PakvType::kGet, 7, {Key("k"), Option(PakvOption::kInPieces)}));
  EXPECT_EQ(refused.status, PakvStatus::kFileError) << refused.text;
  EXPECT_EQ(PakvExitCode(PakvStatus::kFileError), 4);
  server_.node.disk().faults = {};
  resp_.Expect("GET k\r\n", RespBulk(value));
}

}  // namespace
}  // namespace pakv
