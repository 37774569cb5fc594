// pakvctl: the client of pakvd for people and scripts.
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "cmd/common/environment.h"
#include "cmd/common/exit_codes.h"
#include "cmd/common/process.h"
#include "cmd/common/values.h"
#include "cmd/pakvctl/client/online_client.h"
#include "cmd/pakvctl/commands/batch.h"
#include "cmd/pakvctl/commands/offline.h"
#include "cmd/pakvctl/commands/run_command.h"
#include "cmd/pakvctl/interface/command_line.h"
#include "cmd/pakvctl/interface/streams.h"
#include "cmd/pakvctl/transfer/load.h"
#include "runtime/base/log.h"
#include "runtime/base/utf8.h"

int main(int argc, char** argv) {
  pakv::HoldStandardDescriptors();
  pakv::ExitWhenOutOfMemory("pakvctl: the system gives no more memory\n", pakv::kClientExitData);
  std::ios::sync_with_stdio(false);
  // What the runtime logs for servers, such as a slow look-up of a name, is not for these users.
  pakv::InitLogging({.level = pakv::LogLevel::kError});
  const std::vector<std::string> arguments(argv + (argc > 0 ? 1 : 0), argv + argc);
  pakv::CtlCommandLine line = pakv::ParseCommandLine(arguments, pakv::ReadEnvironment());
  std::cout << line.stdout_text << std::flush;
  if (!std::cout) {
    std::cerr << "pakvctl: stdout cannot be written: " << std::strerror(errno) << '\n';
    return pakv::kClientExitData;
  }
  std::cerr << line.stderr_text;
  if (line.exit_code) return *line.exit_code;

  const pakv::CtlStreams streams{std::cin,
                                 std::cout,
                                 std::cerr,
                                 isatty(STDERR_FILENO) == 1,
                                 /*in_is_stdin=*/true,
                                 isatty(STDOUT_FILENO) == 1};
  if (pakv::IsOffline(line.request.command)) return pakv::RunOffline(line.request, streams);
  if (const auto failed = pakv::ReadBatch(line.request, streams)) return *failed;
  pakv::ClientError error;
  const auto client =
      pakv::OnlineClient::Connect(line.request.endpoints, line.request.name_space, error);
  if (client == nullptr) {
    std::cerr << "pakvctl: cannot connect: " << pakv::EscapeControls(error.text) << '\n';
    return pakv::ExitCodeOf(error);
  }
  if (line.request.command == pakv::CtlCommand::kLoad) {
    return pakv::RunLoad(line.request, *client, streams);
  }
  return pakv::RunCommand(line.request, *client, streams);
}
