#include "cmd/pakvd/config.h"

#include <absl/status/status.h>
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <utility>

#include "cmd/common/arguments.h"
#include "cmd/common/exit_codes.h"
#include "cmd/common/values.h"
#include "cmd/pakvd/config_file.h"
#include "cmd/pakvd/memory_plan.h"
#include "cmd/pakvd/option_table.h"
#include "cmd/pakvd/port_file.h"

namespace pakv {
namespace {

std::string Message(const absl::Status& status) { return std::string(status.message()); }

// Options to come. Their variables are refused, not ignored: a server that was told of a users
// file must not start without one. (As flags and keys they are unknown like any other word;
// variables cannot be treated so, as PAKV_… may belong to others, PAKV_SERVICE_HOST for one.)
constexpr std::string_view kUnsupported[] = {"tls-addr",      "tls-cert",     "tls-key",
                                             "tls-client-ca", "auth-timeout", "users"};

const ConfigOption* FindOption(std::string_view name) {
  for (const ConfigOption& option : ConfigOptions()) {
    if (option.name == name) return &option;
  }
  return nullptr;
}

std::string VariableName(std::string_view option_name) {
  std::string name = "PAKV_";
  for (const char c : option_name) {
    name += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  return name;
}

ConfigOutcome Fail(std::string message, bool with_usage = false, int exit_code = kServerExitUsage) {
  ConfigOutcome outcome;
  outcome.exit_code = exit_code;
  outcome.stderr_text = "pakvd: " + std::move(message) + "\n";
  if (with_usage) outcome.stderr_text += "usage: pakvd [OPTION]...   (pakvd --help lists them)\n";
  return outcome;
}

ConfigOutcome Print(std::string text) {
  ConfigOutcome outcome;
  outcome.exit_code = kServerExitOk;
  outcome.stdout_text = std::move(text);
  return outcome;
}

absl::Status Apply(const ConfigOption& option, ConfigSource source, const OptionValues& values,
                   ConfigDraft& draft) {
  const absl::Status status = option.set(draft, values);
  if (status.ok()) draft.config.sources.insert_or_assign(std::string(option.name), source);
  return status;
}

// ---- One function per source, each returning what to tell the user, or nothing.

std::optional<std::string> ApplyDefaults(const ProcessFacts& facts, ConfigDraft& draft) {
  for (const ConfigOption& option : ConfigOptions()) {
    const std::string text = option.default_text(facts);
    draft.config.sources.emplace(option.name, ConfigSource::kDefault);
    if (text.empty()) continue;
    const absl::Status status = option.set(draft, {text});
    if (!status.ok()) return fmt::format("default of {}: {}", option.name, Message(status));
  }
  return std::nullopt;
}

std::optional<std::string> ApplyFile(const std::string& path, ConfigDraft& draft) {
  const auto entries = ReadConfigFile(path);
  if (!entries.ok()) return Message(entries.status());
  for (const ConfigFileEntry& entry : *entries) {
    const std::string where = fmt::format("{}:{}: ", path, entry.line);
    const ConfigOption* const option = FindOption(entry.key);
    if (option == nullptr) return where + "unknown key " + Quoted(entry.key);
    if (option->places != OptionPlaces::kEverywhere) {
      return where + entry.key + " cannot stand in the file";
    }
    if (!entry.fault.empty()) return where + entry.key + ": " + entry.fault;
    if (entry.is_array && option->kind != OptionKind::kList) {
      return where + entry.key + ": takes one value, not an array";
    }
    const absl::Status status = Apply(*option, ConfigSource::kFile, entry.values, draft);
    if (!status.ok()) return where + entry.key + ": " + Message(status);
  }
  return std::nullopt;
}

std::optional<std::string> ApplyEnvironment(const EnvironmentVariables& environment,
                                            ConfigDraft& draft) {
  for (const std::string_view name : kUnsupported) {
    const std::string variable = VariableName(name);
    if (environment.contains(variable)) {
      return fmt::format("{} is set, but this version has no option {}", variable, name);
    }
  }
  for (const ConfigOption& option : ConfigOptions()) {
    const std::string variable = VariableName(option.name);
    const auto found = environment.find(variable);
    if (found == environment.end() || option.places == OptionPlaces::kFlagAlone) continue;
    if (option.places == OptionPlaces::kFlag) {
      return fmt::format("{} is set, but --{} is a flag alone", variable, option.name);
    }
    const OptionValues values = option.kind == OptionKind::kList ? SplitAtCommas(found->second)
                                                                 : OptionValues{found->second};
    const absl::Status status = Apply(option, ConfigSource::kEnvironment, values, draft);
    if (!status.ok()) return variable + ": " + Message(status);
  }
  return std::nullopt;
}

// What a start would meet at the second of two equal addresses: it is taken, by itself.
std::optional<std::string> TellTwice(const ServerOptions& server) {
  const auto is_same = [](const Endpoint& a, const Endpoint& b) {
    return a.is_unix() ? a.path == b.path : a.port != 0 && a.host == b.host && a.port == b.port;
  };
  const std::vector<Endpoint>& endpoints = server.data_endpoints;
  for (size_t i = 0; i < endpoints.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (!is_same(endpoints[i], endpoints[j])) continue;
      return fmt::format("addr {} is given twice", endpoints[i].text);
    }
    // At the default it is a warning of the start, as any other server may be there.
    if (server.admin_endpoint && !server.admin_endpoint_is_default &&
        is_same(endpoints[i], *server.admin_endpoint)) {
      return fmt::format("addr and admin-addr are both {}: each needs one of its own",
                         endpoints[i].text);
    }
  }
  return std::nullopt;
}

// What has to hold between options.
std::optional<std::string> CheckTogether(ConfigDraft& draft) {
  ServerOptions& server = draft.config.server;
  server.admin_endpoint_is_default = !IsAskedFor(draft.config, "admin-addr");
  const auto picks_port = [](const Endpoint& e) { return !e.is_unix() && e.port == 0; };
  if (server.admin_endpoint_is_default &&
      std::any_of(server.data_endpoints.begin(), server.data_endpoints.end(), picks_port)) {
    server.admin_endpoint = ParseEndpoint("127.0.0.1:0").value();
  }
  if (auto fault = TellTwice(server)) return fault;
  if (draft.config.insecure) return std::nullopt;
  const auto exposed = [](std::string_view option, const Endpoint& endpoint,
                          std::string_view what_anyone_could) {
    return fmt::format(
        "{} {} may be reached from other machines, and {}: choose a loopback address, or accept it "
        "with --insecure",
        option, endpoint.text, what_anyone_could);
  };
  for (const Endpoint& endpoint : server.data_endpoints) {
    if (IsLoopback(endpoint)) continue;
    return exposed("addr", endpoint, "without users anyone there could read and write");
  }
  if (server.admin_endpoint && !IsLoopback(*server.admin_endpoint)) {
    return exposed("admin-addr", *server.admin_endpoint,
                   "anyone there could read the metrics, and hold up who needs them");
  }
  return std::nullopt;
}

using FlagOptions = std::vector<std::pair<const ConfigOption*, CLI::Option*>>;

FlagOptions AddFlags(const ProcessFacts& facts, CLI::App& app) {
  app.set_help_flag("-h,--help", "print this and exit");
  app.footer(
      "An option may also be a key of the file (max-key), or a variable (PAKV_MAX_KEY).\n"
      "A flag beats a variable, a variable the file. Sizes: 0, 64KiB, 4MB. Durations: 0,\n"
      "500ms, 5s, 1h.");
  FlagOptions flags;
  for (const ConfigOption& option : ConfigOptions()) {
    const std::string names =
        (option.name == "version" ? "-V,--" : "--") + std::string(option.name);
    const std::string preset = option.default_text(facts);
    std::string help(option.help);
    if (option.kind != OptionKind::kSwitch && !preset.empty()) help += " [" + preset + "]";
    CLI::Option* flag = nullptr;
    if (option.kind == OptionKind::kSwitch) {
      // add_flag(names, help) would take a string that is not const for a variable to write to.
      flag = app.add_flag(names)->description(help);
    } else {
      flag = app.add_option(names, CLI::callback_t(), help);
      flag->type_name(std::string(option.value));
      if (option.kind == OptionKind::kList)
        flag->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    }
    flags.emplace_back(&option, flag);
  }
  return flags;
}

std::string_view SourceName(ConfigSource source) {
  switch (source) {
    case ConfigSource::kDefault:
      return "default";
    case ConfigSource::kFile:
      return "file";
    case ConfigSource::kEnvironment:
      return "environment";
    case ConfigSource::kFlag:
      break;
  }
  return "flag";
}

}  // namespace

ConfigOutcome LoadConfig(const std::vector<std::string>& arguments,
                         const EnvironmentVariables& environment, const ProcessFacts& facts) {
  CLI::App app("pakvd: a key/value server whose answer means: on disk", "pakvd");
  const FlagOptions flags = AddFlags(facts, app);
  Arguments line(arguments, {});
  if (!line.Parse(app)) return Fail(line.error(), true);
  if (line.help_wanted()) return Print(line.help() + "\n");

  ConfigDraft draft;
  if (auto fault = ApplyDefaults(facts, draft)) return Fail(*std::move(fault));

  // The file comes before what overrides it, but only they say which file.
  std::string path;
  if (const auto found = environment.find("PAKV_CONFIG"); found != environment.end()) {
    path = found->second;
  }
  for (const auto& [option, flag] : flags) {
    if (option->name == "config" && flag->count() > 0) path = line.Values(*flag).back();
    if (option->name == "version" && flag->count() > 0) return Print("pakvd " PAKV_VERSION "\n");
  }
  if (!path.empty()) {
    if (auto fault = ApplyFile(path, draft)) return Fail(*std::move(fault));
  }
  if (auto fault = ApplyEnvironment(environment, draft)) return Fail(*std::move(fault));
  for (const auto& [option, flag] : flags) {
    if (flag->count() == 0) continue;
    const absl::Status status = Apply(*option, ConfigSource::kFlag, line.Values(*flag), draft);
    if (!status.ok()) return Fail(fmt::format("--{}: {}", option->name, Message(status)), true);
  }
  if (auto fault = CheckTogether(draft)) return Fail(*std::move(fault));

  if (draft.print) return Print(PrintConfig(draft.config));
  if (const std::string& path_of_ports = draft.config.server.port_file_path;
      !path_of_ports.empty()) {
    const absl::Status status = CheckPortFile(path_of_ports);
    if (!status.ok()) return Fail(Message(status));
  }
  if (draft.check) {
    // What a start would say before it touches anything.
    const auto cores = CoresWithinMemory(draft.config, facts.resident_bytes);
    if (!cores.ok()) return Fail(Message(cores.status()), false, kServerExitDirectory);
    const std::string file =
        draft.config.config_path.empty() ? "" : " (" + draft.config.config_path + ")";
    return Print("pakvd: the options are valid" + file + "\n");
  }
  ConfigOutcome outcome;
  outcome.config = std::move(draft.config);
  return outcome;
}

bool IsAskedFor(const ServerConfig& config, std::string_view option) {
  const auto source = config.sources.find(option);
  return source != config.sources.end() && source->second != ConfigSource::kDefault;
}

std::string PrintConfig(const ServerConfig& config) {
  std::string text;
  for (const ConfigOption& option : ConfigOptions()) {
    if (option.print == nullptr) continue;
    // Without a disk it is the engine that says when what is written lasts: never.
    const bool is_engines = option.name == "durability" && !config.server.keeps_on_disk;
    const auto source = config.sources.find(is_engines ? "engine" : option.name);
    const ConfigSource from =
        source == config.sources.end() ? ConfigSource::kDefault : source->second;
    text += fmt::format("{} {} {}\n", option.name, option.print(config), SourceName(from));
  }
  return text;
}

}  // namespace pakv
