// pakvd: the server's entry. What it does is in config.h (options) and run.h (life).
#include <cstdio>
#include <string>
#include <vector>

#include "cmd/common/environment.h"
#include "cmd/pakvd/config.h"
#include "cmd/pakvd/process_facts.h"
#include "cmd/pakvd/run.h"
#include "runtime/base/log.h"

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  const pakv::ConfigOutcome outcome =
      pakv::LoadConfig(arguments, pakv::ReadEnvironment(), pakv::AskProcessFacts());
  std::fputs(outcome.stdout_text.c_str(), stdout);
  std::fputs(outcome.stderr_text.c_str(), stderr);
  if (outcome.exit_code) return *outcome.exit_code;
  pakv::InitLogging(outcome.config.log);
  return pakv::RunServer(outcome.config);
}
