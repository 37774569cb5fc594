// CommandTest: pakvctl's commands against a map in place of a server.
#pragma once

#include <gtest/gtest.h>

#include <istream>
#include <optional>
#include <sstream>
#include <streambuf>
#include <string>
#include <vector>

#include "cmd/pakvctl/commands/batch.h"
#include "cmd/pakvctl/commands/run_command.h"
#include "tests/cmd/pakvctl/fake_client.h"

namespace pakv {

class CommandTest : public testing::Test {
 protected:
  // Parses and runs `words`, as main does; out_ and err_ hold what was printed.
  int Run(const std::vector<std::string>& words, const std::string& input = "") {
    std::stringbuf buffer(input);
    return RunOn(words, &buffer);
  }
  int RunOn(const std::vector<std::string>& words, std::streambuf* input) {
    CtlCommandLine line = ParseCommandLine(words, {});
    EXPECT_EQ(line.exit_code, std::nullopt) << line.stderr_text;
    std::istream in(input);
    std::ostringstream out;
    std::ostringstream err;
    CtlStreams streams{in, out, one_stream_ ? out : err};
    streams.err_is_terminal = err_is_terminal_;
    streams.out_is_terminal = out_is_terminal_;
    const std::optional<int> failed = ReadBatch(line.request, streams);
    const int exit_code = failed ? *failed : RunCommand(line.request, client_, streams);
    out_ = out.str();
    err_ = err.str();
    return exit_code;
  }

  FakeClient client_;
  bool err_is_terminal_ = false;
  bool out_is_terminal_ = false;
  bool one_stream_ = false;  // out_ has what err_ would have, too, as on a terminal
  std::string out_;
  std::string err_;
};

}  // namespace pakv
