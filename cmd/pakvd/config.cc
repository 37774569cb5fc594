#include "cmd/pakvd/config.h"

#include <absl/status/status.h>
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <type_traits>
#include <utility>

#include "cmd/common/arguments.h"
#include "cmd/common/exit_codes.h"
#include "cmd/common/values.h"
#include "cmd/pakvd/config_file.h"

namespace pakv {
namespace {

constexpr uint32_t kConnectionCountMax = 1000000;
constexpr uint64_t kKeyBytesMax = 64 * 1024;
constexpr uint64_t kValueBytesMax = 1024 * 1024;  // larger ones need value files
constexpr uint64_t kSegmentBytesMin = 64 * 1024;
constexpr uint64_t kSegmentBytesMax = uint64_t{1} << 30;
constexpr uint64_t kSegmentAlignment = 4096;
constexpr uint64_t kTimeoutNsMax = 365 * 86400 * kNsPerSecond;
constexpr uint64_t kMebibyte = 1024 * 1024;

// Options as they come together, with the switches that only say what to do with them.
struct Draft {
  ServerConfig config;
  bool check = false;
  bool print = false;
  bool version = false;
};

using Values = std::vector<std::string>;

enum class Kind { kValue, kList, kSwitch };
enum class Allowed { kEverywhere, kFlagAndEnvironment, kFlag };

struct Option {
  std::string_view name;
  std::string_view value;  // what stands for the value in the help text
  std::string_view help;
  std::string (*default_text)(const ProcessFacts&);
  absl::Status (*set)(Draft&, const Values&);
  std::string (*print)(const ServerConfig&);  // null: not printed
  Kind kind = Kind::kValue;
  Allowed allowed = Allowed::kEverywhere;
};

absl::Status Wrong(std::string why) { return absl::InvalidArgumentError(why); }

std::string Message(const absl::Status& status) { return std::string(status.message()); }

// ---- Setters and printers that several options share.

template <auto kMember>
auto& In(Draft& draft) {
  if constexpr (std::is_invocable_v<decltype(kMember), ServerOptions&>) {
    return draft.config.server.*kMember;
  } else {
    return draft.config.*kMember;
  }
}

template <auto kMember>
const auto& In(const ServerConfig& config) {
  if constexpr (std::is_invocable_v<decltype(kMember), const ServerOptions&>) {
    return config.server.*kMember;
  } else {
    return config.*kMember;
  }
}

template <auto kMember, uint64_t kMin, uint64_t kMax>
absl::Status SetCount(Draft& draft, const Values& values) {
  const auto count = ParseCount(values[0]);
  if (!count.ok()) return count.status();
  if (*count < kMin || *count > kMax) {
    return Wrong(fmt::format("{} is not within {} to {}", *count, kMin, kMax));
  }
  In<kMember>(draft) = static_cast<std::remove_reference_t<decltype(In<kMember>(draft))>>(*count);
  return absl::OkStatus();
}

template <auto kMember, uint64_t kMin, uint64_t kMax>
absl::Status SetSize(Draft& draft, const Values& values) {
  const auto bytes = ParseSize(values[0]);
  if (!bytes.ok()) return bytes.status();
  if (*bytes < kMin) return Wrong(fmt::format("must be at least {}", FormatSize(kMin)));
  if (*bytes > kMax) return Wrong(fmt::format("must be at most {}", FormatSize(kMax)));
  In<kMember>(draft) = static_cast<std::remove_reference_t<decltype(In<kMember>(draft))>>(*bytes);
  return absl::OkStatus();
}

template <auto kMember>
absl::Status SetDuration(Draft& draft, const Values& values) {
  const auto ns = ParseDuration(values[0]);
  if (!ns.ok()) return ns.status();
  if (*ns > kTimeoutNsMax) return Wrong("must be at most 365d");
  In<kMember>(draft) = *ns;
  return absl::OkStatus();
}

template <auto kMember>
absl::Status SetBool(Draft& draft, const Values& values) {
  const auto on = ParseBool(values.back());
  if (!on.ok()) return on.status();
  if constexpr (std::is_member_object_pointer_v<decltype(kMember)> &&
                std::is_invocable_v<decltype(kMember), Draft&>) {
    draft.*kMember = *on;
  } else {
    In<kMember>(draft) = *on;
  }
  return absl::OkStatus();
}

template <auto kMember>
std::string PrintCount(const ServerConfig& config) {
  return std::to_string(In<kMember>(config));
}
template <auto kMember>
std::string PrintSize(const ServerConfig& config) {
  return FormatSize(In<kMember>(config));
}
template <auto kMember>
std::string PrintDuration(const ServerConfig& config) {
  return FormatDuration(In<kMember>(config));
}
template <auto kMember>
std::string PrintBool(const ServerConfig& config) {
  return In<kMember>(config) ? "true" : "false";
}
// A path that would break the line it stands in is printed in quotes and escaped.
template <auto kMember>
std::string PrintPath(const ServerConfig& config) {
  const std::string& path = In<kMember>(config);
  if (path.empty()) return "none";
  const bool plain = std::none_of(path.begin(), path.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
  });
  return plain ? path : Quoted(path);
}

// One of a few words: `kWords` is {word, member's value}.
template <typename Enum>
struct Word {
  std::string_view text;
  Enum value;
};
template <typename Enum, size_t kCount>
absl::Status SetWord(const Word<Enum> (&words)[kCount], const std::string& text, Enum& target) {
  std::string choices;
  for (const Word<Enum>& word : words) {
    if (word.text == text) {
      target = word.value;
      return absl::OkStatus();
    }
    choices += fmt::format("{}{}", choices.empty() ? "" : ", ", word.text);
  }
  return Wrong(fmt::format("{} is none of: {}", Quoted(text), choices));
}
template <typename Enum, size_t kCount>
std::string PrintWord(const Word<Enum> (&words)[kCount], Enum value) {
  for (const Word<Enum>& word : words) {
    if (word.value == value) return std::string(word.text);
  }
  return {};
}

constexpr Word<OverflowPolicy> kOverflowWords[] = {{"wait", OverflowPolicy::kWait},
                                                   {"reject", OverflowPolicy::kReject}};
constexpr Word<LogLevel> kLogLevelWords[] = {{"debug", LogLevel::kDebug},
                                             {"info", LogLevel::kInfo},
                                             {"warn", LogLevel::kWarning},
                                             {"error", LogLevel::kError}};
constexpr Word<LogFormat> kLogFormatWords[] = {{"text", LogFormat::kText},
                                               {"json", LogFormat::kJson}};

// ---- Setters of single options.

absl::Status SetAddresses(Draft& draft, const Values& values) {
  std::vector<Endpoint> endpoints;
  for (const std::string& value : values) {
    auto endpoint = ParseEndpoint(value);
    if (!endpoint.ok()) return endpoint.status();
    endpoints.push_back(*std::move(endpoint));
  }
  if (endpoints.empty()) return Wrong("needs at least one address");
  draft.config.server.data_endpoints = std::move(endpoints);
  return absl::OkStatus();
}

std::string PrintAddresses(const ServerConfig& config) {
  std::string text;
  for (const Endpoint& endpoint : config.server.data_endpoints) {
    if (!text.empty()) text += ',';
    text += endpoint.text;
  }
  return text;
}

absl::Status SetAdminAddress(Draft& draft, const Values& values) {
  if (values[0] == "none") {
    draft.config.server.admin_endpoint.reset();
    return absl::OkStatus();
  }
  auto endpoint = ParseEndpoint(values[0]);
  if (!endpoint.ok()) return endpoint.status();
  if (endpoint->is_unix()) return Wrong(Quoted(values[0]) + " is neither HOST:PORT nor none");
  draft.config.server.admin_endpoint = *std::move(endpoint);
  return absl::OkStatus();
}

absl::Status SetDirectory(Draft& draft, const Values& values) {
  if (values[0].empty()) return Wrong("must not be empty");
  draft.config.server.directory = values[0];
  return absl::OkStatus();
}

absl::Status SetEngine(Draft&, const Values& values) {
  if (values[0] == "log") return absl::OkStatus();
  if (values[0] == "memory") return Wrong("this version has no engine but log");
  return Wrong(Quoted(values[0]) + " is no engine; this version has log");
}

absl::Status SetDurability(Draft&, const Values& values) {
  if (values[0] == "always") return absl::OkStatus();
  if (values[0] == "never" || ParseDuration(values[0]).ok()) {
    return Wrong("this version knows no durability but always");
  }
  return Wrong(Quoted(values[0]) + " is no durability; this version has always");
}

absl::Status SetPortFile(Draft& draft, const Values& values) {
  if (values[0].empty()) return Wrong("must not be empty");
  draft.config.server.port_file_path = values[0] == "none" ? "" : values[0];
  return absl::OkStatus();
}

absl::Status SetSegmentSize(Draft& draft, const Values& values) {
  if (values[0] == "auto") {
    draft.config.server.segment_bytes = 0;
    return absl::OkStatus();
  }
  const auto status =
      SetSize<&ServerOptions::segment_bytes, kSegmentBytesMin, kSegmentBytesMax>(draft, values);
  if (status.ok() && draft.config.server.segment_bytes % kSegmentAlignment != 0) {
    return Wrong("must be a multiple of 4KiB");
  }
  return status;
}

// The file itself was read before: the table's entry makes it an option like the others.
absl::Status SetConfigPath(Draft& draft, const Values& values) {
  if (values[0].empty()) return Wrong("must not be empty");
  draft.config.config_path = values[0];
  return absl::OkStatus();
}

// ---- The table.

std::string NoDefault(const ProcessFacts&) { return {}; }
std::string DefaultFalse(const ProcessFacts&) { return "false"; }

using S = ServerOptions;

const Option kOptions[] = {
    {"addr", "HOST:PORT", "where clients connect; [::1]:PORT and unix:PATH too; may repeat",
     [](const ProcessFacts&) -> std::string { return "127.0.0.1:7379"; }, SetAddresses,
     PrintAddresses, Kind::kList},
    {"admin-addr", "HOST:PORT|none", "HTTP for health and metrics",
     [](const ProcessFacts&) -> std::string { return "127.0.0.1:7380"; }, SetAdminAddress,
     [](const ServerConfig& config) -> std::string {
       return config.server.admin_endpoint ? config.server.admin_endpoint->text : "none";
     }},
    {"cores", "N", "threads that serve, 1 to 256; the default is the CPUs it may use",
     [](const ProcessFacts& facts) { return std::to_string(facts.cpu_count); },
     SetCount<&S::core_count, 1, kCoreCountMax>, PrintCount<&S::core_count>},
    {"dir", "PATH", "data directory, created if missing",
     [](const ProcessFacts&) -> std::string { return "./pakv-data"; }, SetDirectory,
     PrintPath<&S::directory>},
    {"engine", "NAME", "how data is kept: log",
     [](const ProcessFacts&) -> std::string { return "log"; }, SetEngine,
     [](const ServerConfig&) -> std::string { return "log"; }},
    {"durability", "always", "when a write is acknowledged: once it is on stable storage",
     [](const ProcessFacts&) -> std::string { return "always"; }, SetDurability,
     [](const ServerConfig&) -> std::string { return "always"; }},
    {"cache", "SIZE", "values held in memory; the default is half of the memory it may use",
     [](const ProcessFacts& facts) {
       return FormatSize(facts.memory_bytes / 2 / kMebibyte * kMebibyte);
     },
     SetSize<&S::cache_bytes_max, 0, UINT64_MAX>, PrintSize<&S::cache_bytes_max>},
    {"max-connections", "N", "connections served at once",
     [](const ProcessFacts&) -> std::string { return "10240"; },
     SetCount<&S::connection_count_max, 1, kConnectionCountMax>,
     PrintCount<&S::connection_count_max>},
    {"overflow", "wait|reject", "what a connection beyond them meets",
     [](const ProcessFacts&) -> std::string { return "wait"; },
     [](Draft& draft, const Values& values) {
       return SetWord(kOverflowWords, values[0], draft.config.server.overflow);
     },
     [](const ServerConfig& config) { return PrintWord(kOverflowWords, config.server.overflow); }},
    {"max-key", "SIZE", "longest key, inclusive",
     [](const ProcessFacts&) -> std::string { return "64KiB"; },
     SetSize<&S::key_bytes_max, 1, kKeyBytesMax>, PrintSize<&S::key_bytes_max>},
    {"max-value", "SIZE", "longest value, inclusive; at most 1MiB",
     [](const ProcessFacts&) -> std::string { return "1MiB"; },
     SetSize<&S::value_bytes_max, 1, kValueBytesMax>, PrintSize<&S::value_bytes_max>},
    {"idle-timeout", "DURATION", "closes a connection that is silent for so long; 0: never",
     [](const ProcessFacts&) -> std::string { return "0"; }, SetDuration<&S::idle_timeout_ns>,
     PrintDuration<&S::idle_timeout_ns>},
    {"request-timeout", "DURATION", "a request must be complete within it; 0: no limit",
     [](const ProcessFacts&) -> std::string { return "30s"; }, SetDuration<&S::request_timeout_ns>,
     PrintDuration<&S::request_timeout_ns>},
    {"drain-timeout", "DURATION", "how long a stop waits for clients",
     [](const ProcessFacts&) -> std::string { return "10s"; }, SetDuration<&S::drain_timeout_ns>,
     PrintDuration<&S::drain_timeout_ns>},
    {"port-file", "PATH|none", "written once ready: the ports that are listened on",
     [](const ProcessFacts&) -> std::string { return "none"; }, SetPortFile,
     PrintPath<&S::port_file_path>},
    {"segment-size", "SIZE|auto", "size of a log file; auto: by the size of the disk",
     [](const ProcessFacts&) -> std::string { return "auto"; }, SetSegmentSize,
     [](const ServerConfig& config) -> std::string {
       const uint64_t bytes = config.server.segment_bytes;
       return bytes == 0 ? "auto" : FormatSize(bytes);
     }},
    {"log-level", "LEVEL", "debug, info, warn or error",
     [](const ProcessFacts&) -> std::string { return "info"; },
     [](Draft& draft, const Values& values) {
       return SetWord(kLogLevelWords, values[0], draft.config.log.level);
     },
     [](const ServerConfig& config) { return PrintWord(kLogLevelWords, config.log.level); }},
    {"log-format", "text|json", "of the lines on stderr",
     [](const ProcessFacts&) -> std::string { return "text"; },
     [](Draft& draft, const Values& values) {
       return SetWord(kLogFormatWords, values[0], draft.config.log.format);
     },
     [](const ServerConfig& config) { return PrintWord(kLogFormatWords, config.log.format); }},
    {"accept-clock", "", "start although the clock is far behind the data", DefaultFalse,
     SetBool<&S::accept_clock>, PrintBool<&S::accept_clock>, Kind::kSwitch},
    {"insecure", "", "serve other machines although nobody has to authenticate", DefaultFalse,
     SetBool<&ServerConfig::insecure>, PrintBool<&ServerConfig::insecure>, Kind::kSwitch},
    {"config", "FILE", "options in TOML, the keys named like the flags", NoDefault, SetConfigPath,
     PrintPath<&ServerConfig::config_path>, Kind::kValue, Allowed::kFlagAndEnvironment},
    {"check-config", "", "validate the options and exit", DefaultFalse, SetBool<&Draft::check>,
     nullptr, Kind::kSwitch, Allowed::kFlag},
    {"print-config", "", "print each option, its value and where it is from, and exit",
     DefaultFalse, SetBool<&Draft::print>, nullptr, Kind::kSwitch, Allowed::kFlag},
    {"version", "", "print the version and exit", DefaultFalse, SetBool<&Draft::version>, nullptr,
     Kind::kSwitch, Allowed::kFlag},
};

// Options to come. Their variables are refused, not ignored: a server that was told of a users
// file must not start without one. (As flags and keys they are unknown like any other word;
// variables cannot be treated so, as PAKV_… may belong to others, PAKV_SERVICE_HOST for one.)
constexpr std::string_view kUnsupported[] = {"tls-addr", "tls-cert",     "tls-key", "tls-client-ca",
                                             "memory",   "auth-timeout", "users",   "salvage"};

const Option* FindOption(std::string_view name) {
  for (const Option& option : kOptions) {
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

ConfigOutcome Fail(std::string message, bool with_usage = false) {
  ConfigOutcome outcome;
  outcome.exit_code = kServerExitUsage;
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

absl::Status Apply(const Option& option, ConfigSource source, const Values& values, Draft& draft) {
  const absl::Status status = option.set(draft, values);
  if (status.ok()) draft.config.sources.insert_or_assign(std::string(option.name), source);
  return status;
}

// ---- One function per source, each returning what to tell the user, or nothing.

std::optional<std::string> ApplyDefaults(const ProcessFacts& facts, Draft& draft) {
  for (const Option& option : kOptions) {
    const std::string text = option.default_text(facts);
    draft.config.sources.emplace(option.name, ConfigSource::kDefault);
    if (text.empty()) continue;
    const absl::Status status = option.set(draft, {text});
    if (!status.ok()) return fmt::format("default of {}: {}", option.name, Message(status));
  }
  return std::nullopt;
}

std::optional<std::string> ApplyFile(const std::string& path, Draft& draft) {
  const auto entries = ReadConfigFile(path);
  if (!entries.ok()) return Message(entries.status());
  for (const ConfigFileEntry& entry : *entries) {
    const std::string where = fmt::format("{}:{}: ", path, entry.line);
    const Option* const option = FindOption(entry.key);
    if (option == nullptr) return where + "unknown key " + Quoted(entry.key);
    if (option->allowed != Allowed::kEverywhere) {
      return where + entry.key + " cannot stand in the file";
    }
    if (!entry.fault.empty()) return where + entry.key + ": " + entry.fault;
    if (entry.is_array && option->kind != Kind::kList) {
      return where + entry.key + ": takes one value, not an array";
    }
    const absl::Status status = Apply(*option, ConfigSource::kFile, entry.values, draft);
    if (!status.ok()) return where + entry.key + ": " + Message(status);
  }
  return std::nullopt;
}

std::optional<std::string> ApplyEnvironment(const EnvironmentVariables& environment, Draft& draft) {
  for (const std::string_view name : kUnsupported) {
    const std::string variable = VariableName(name);
    if (environment.contains(variable)) {
      return fmt::format("{} is set, but this version has no option {}", variable, name);
    }
  }
  for (const Option& option : kOptions) {
    const std::string variable = VariableName(option.name);
    const auto found = environment.find(variable);
    if (found == environment.end()) continue;
    if (option.allowed == Allowed::kFlag) {
      return fmt::format("{} is set, but --{} is a flag alone", variable, option.name);
    }
    const Values values =
        option.kind == Kind::kList ? SplitAtCommas(found->second) : Values{found->second};
    const absl::Status status = Apply(option, ConfigSource::kEnvironment, values, draft);
    if (!status.ok()) return variable + ": " + Message(status);
  }
  return std::nullopt;
}

// What has to hold between options.
std::optional<std::string> CheckTogether(Draft& draft) {
  ServerOptions& server = draft.config.server;
  server.admin_endpoint_is_default =
      draft.config.sources.find("admin-addr")->second == ConfigSource::kDefault;
  const auto picks_port = [](const Endpoint& e) { return !e.is_unix() && e.port == 0; };
  if (server.admin_endpoint_is_default &&
      std::any_of(server.data_endpoints.begin(), server.data_endpoints.end(), picks_port)) {
    server.admin_endpoint = ParseEndpoint("127.0.0.1:0").value();
  }
  if (draft.config.insecure) return std::nullopt;
  const auto exposed = [](std::string_view option, const Endpoint& endpoint) {
    return fmt::format(
        "{} {} may be reached from other machines, and without users anyone there could read and "
        "write: choose a loopback address, or accept it with --insecure",
        option, endpoint.text);
  };
  for (const Endpoint& endpoint : server.data_endpoints) {
    if (!IsLoopback(endpoint)) return exposed("addr", endpoint);
  }
  if (server.admin_endpoint && !IsLoopback(*server.admin_endpoint)) {
    return exposed("admin-addr", *server.admin_endpoint);
  }
  return std::nullopt;
}

using FlagOptions = std::vector<std::pair<const Option*, CLI::Option*>>;

FlagOptions AddFlags(const ProcessFacts& facts, CLI::App& app) {
  app.set_help_flag("-h,--help", "print this and exit");
  FlagOptions flags;
  for (const Option& option : kOptions) {
    const std::string names =
        (option.name == "version" ? "-V,--" : "--") + std::string(option.name);
    const std::string help(option.help);
    CLI::Option* flag = nullptr;
    if (option.kind == Kind::kSwitch) {
      flag = app.add_flag(names, help);
    } else {
      flag = app.add_option(names, CLI::callback_t(), help);
      flag->type_name(std::string(option.value))->default_str(option.default_text(facts));
      if (option.kind == Kind::kList) flag->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
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
  if (line.help_wanted()) return Print(line.help());

  Draft draft;
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
  if (draft.check) return Print("");
  ConfigOutcome outcome;
  outcome.config = std::move(draft.config);
  return outcome;
}

std::string PrintConfig(const ServerConfig& config) {
  std::string text;
  for (const Option& option : kOptions) {
    if (option.print == nullptr) continue;
    const auto source = config.sources.find(option.name);
    const ConfigSource from =
        source == config.sources.end() ? ConfigSource::kDefault : source->second;
    text += fmt::format("{} {} {}\n", option.name, option.print(config), SourceName(from));
  }
  return text;
}

}  // namespace pakv
