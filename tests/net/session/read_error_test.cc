// What a client is told when a value cannot be read: damage is for good and is called so, anything
// else may be tried again.
#include <gtest/gtest.h>

#include <string>

#include "tests/net/pakv/pakv_connection.h"
#include "tests/net/resp/resp_text.h"
#include "tests/net/server/sim_server.h"

namespace pakv {
namespace {

constexpr std::string_view kTryAgain = ": Input/output error; nothing was changed, try again\r\n";

class ReadErrorReplyTest : public testing::TestWithParam<size_t> {
 protected:
  static SimServer::Options Options() {
    SimServer::Options options;
    options.key_bytes_max = 64;
    options.inline_value_bytes_max = 2048;
    // What is in the log comes from the device, too; the reference to a file is at hand.
    if (GetParam() < options.inline_value_bytes_max) options.cache_bytes = 0;
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

// What answers with a value in a file, and writes, has written when that is read.
TEST(WriteReplyTest, IsDoneThoughItCannotTellWhatWasThere) {
  SimServer::Options options;
  options.key_bytes_max = 64;
  options.inline_value_bytes_max = 2048;
  SimServer server(options);
  SimConnection client(server);
  const std::string value(6000, 'v');
  const auto error_of = [&](std::string_view request) {
    client.Expect(RespRequest({"SET", "k", value}), "+OK\r\n");
    server.node.disk().faults.read_error = 10'000;
    client.Send(request);
    const std::string error = client.ReceiveLine();
    server.node.disk().faults = {};
    return error;
  };
  struct Write {
    const char* request;
    const char* look;
    const char* reply;
  };
  for (const Write& write :
       {Write{"GETDEL k\r\n", "EXISTS k\r\n", ":0\r\n"},
        Write{"GETSET k new\r\n", "GET k\r\n", "$3\r\nnew\r\n"},
        Write{"SET k new XX GET\r\n", "GET k\r\n", "$3\r\nnew\r\n"},
        Write{"GETEX k EXAT 4000000000\r\n", "EXPIRETIME k\r\n", ":4000000000\r\n"}}) {
    const std::string error = error_of(write.request);
    EXPECT_TRUE(
        error.starts_with("-ERR the write was done, but the value that was there cannot be "
                          "read: cannot read /pakv/data/"))
        << write.request << error;
    client.Expect(write.look, write.reply);
  }
  const std::string error = error_of("SET k new NX GET\r\n");
  EXPECT_TRUE(error.ends_with(kTryAgain)) << error;
  client.Expect("GET k\r\n", RespBulk(value));
}

}  // namespace
}  // namespace pakv
