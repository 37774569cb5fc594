// pakvd: the server's entry. What it does is in config.h (options) and run.h (life).
#include <cstdio>
#include <string>
#include <vector>

#include "cmd/common/environment.h"
#include "cmd/common/exit_codes.h"
#include "cmd/common/process.h"
#include "cmd/pakvd/config.h"
#include "cmd/pakvd/process_facts.h"
#include "cmd/pakvd/run.h"
#include "runtime/base/log.h"

int main(int argc, char** argv) {
  pakv::HoldStandardDescriptors();
  pakv::ExitWhenOutOfMemory(
      "pakvd: the system gives no more memory (ulimit -v, a container's limit): ending; what was "
      "acknowledged as durable is on disk. Give it more, or start with fewer --cores and less "
      "--memory\n",
      pakv::kServerExitFailed);
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  const pakv::ConfigOutcome outcome =
      pakv::LoadConfig(arguments, pakv::ReadEnvironment(), pakv::AskProcessFacts());
  const bool written =
      std::fputs(outcome.stdout_text.c_str(), stdout) >= 0 && std::fflush(stdout) == 0;
  if (!written) std::perror("pakvd: stdout cannot be written");
  std::fputs(outcome.stderr_text.c_str(), stderr);
  if (!written) return pakv::kServerExitFailed;
  if (outcome.exit_code) return *outcome.exit_code;
  pakv::InitLogging(outcome.config.log);
  return pakv::RunServer(outcome.config);
}
