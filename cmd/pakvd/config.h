// The configuration of pakvd. One table names every option once: its flag, its key in the file and
// its environment variable (PAKV_ and the name in capitals) share a parser, a printer and a help
// text. Later sources win: default, file, environment, flag; a value that does not parse is an
// error in each of them, also where a stronger source overrides it.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cmd/common/environment.h"
#include "cmd/pakvd/process_facts.h"
#include "net/options/server_options.h"
#include "runtime/base/log.h"

namespace pakv {

enum class ConfigSource : uint8_t { kDefault, kFile, kEnvironment, kFlag };

struct ServerConfig {
  ServerOptions server;
  LogOptions log;
  bool insecure = false;    // serve other machines although nobody has to authenticate
  std::string config_path;  // of the file that was read, empty: none
  std::map<std::string, ConfigSource, std::less<>> sources;  // by option
};

// Whether `option` was given, rather than left at its default.
bool IsAskedFor(const ServerConfig& config, std::string_view option);

// What pakvd does after its options were read: run with `config`, or print and exit.
struct ConfigOutcome {
  std::optional<int> exit_code;  // nothing: run
  std::string stdout_text;
  std::string stderr_text;
  ServerConfig config;
};

// `arguments` without the program's name. Reads the file that they or the environment name.
ConfigOutcome LoadConfig(const std::vector<std::string>& arguments,
                         const EnvironmentVariables& environment, const ProcessFacts& facts);

// `name value source` for each option, in the table's order. Holds no secrets: no option has any.
std::string PrintConfig(const ServerConfig& config);

}  // namespace pakv
