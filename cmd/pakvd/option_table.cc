#include "cmd/pakvd/option_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <type_traits>
#include <utility>

#include "cmd/common/values.h"
#include "runtime/core/core.h"

namespace pakv {
namespace {

constexpr uint32_t kConnectionCountMax = 1000000;
constexpr uint64_t kKeyBytesMax = 64 * 1024;
constexpr uint64_t kValueBytesMax = 512 * 1024 * 1024;
constexpr uint64_t kSegmentBytesMin = 64 * 1024;
constexpr uint64_t kSegmentBytesMax = uint64_t{1} << 30;
constexpr uint64_t kSegmentAlignment = 4096;
constexpr uint64_t kMemoryBytesMin = 1024 * 1024;
// The default of --memory: the rest is for the kernel, and for what is not counted.
constexpr uint64_t kMemoryPercent = 80;
constexpr uint64_t kTimeoutNsMax = 365 * 86400 * kNsPerSecond;
constexpr uint64_t kMebibyte = 1024 * 1024;

absl::Status Wrong(const std::string& why) { return absl::InvalidArgumentError(why); }

// ---- Setters and printers that several options share.

template <auto kMember>
auto& In(ConfigDraft& draft) {
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
absl::Status SetCount(ConfigDraft& draft, const OptionValues& values) {
  const auto count = ParseCount(values[0]);
  if (!count.ok()) return count.status();
  if (*count < kMin || *count > kMax) {
    return Wrong(fmt::format("{} is not within {} to {}", *count, kMin, kMax));
  }
  In<kMember>(draft) = static_cast<std::remove_reference_t<decltype(In<kMember>(draft))>>(*count);
  return absl::OkStatus();
}

template <auto kMember, uint64_t kMin, uint64_t kMax>
absl::Status SetSize(ConfigDraft& draft, const OptionValues& values) {
  const auto bytes = ParseSize(values[0]);
  if (!bytes.ok()) return bytes.status();
  if (*bytes < kMin) return Wrong(fmt::format("must be at least {}", FormatSize(kMin)));
  if (*bytes > kMax) return Wrong(fmt::format("must be at most {}", FormatSize(kMax)));
  In<kMember>(draft) = static_cast<std::remove_reference_t<decltype(In<kMember>(draft))>>(*bytes);
  return absl::OkStatus();
}

template <auto kMember>
absl::Status SetDuration(ConfigDraft& draft, const OptionValues& values) {
  const auto ns = ParseDuration(values[0]);
  if (!ns.ok()) return ns.status();
  if (*ns > kTimeoutNsMax) return Wrong("must be at most 365d");
  In<kMember>(draft) = *ns;
  return absl::OkStatus();
}

template <auto kMember>
absl::Status SetBool(ConfigDraft& draft, const OptionValues& values) {
  const auto on = ParseBool(values.back());
  if (!on.ok()) return on.status();
  if constexpr (std::is_member_object_pointer_v<decltype(kMember)> &&
                std::is_invocable_v<decltype(kMember), ConfigDraft&>) {
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

absl::Status SetAddresses(ConfigDraft& draft, const OptionValues& values) {
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

absl::Status SetAdminAddress(ConfigDraft& draft, const OptionValues& values) {
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

absl::Status SetDirectory(ConfigDraft& draft, const OptionValues& values) {
  if (values[0].empty()) return Wrong("must not be empty");
  draft.config.server.directory = values[0];
  return absl::OkStatus();
}

absl::Status SetEngine(ConfigDraft& draft, const OptionValues& values) {
  if (values[0] != "log" && values[0] != "memory") {
    return Wrong(Quoted(values[0]) + " is no engine; there are log and memory");
  }
  draft.config.server.keeps_on_disk = values[0] == "log";
  return absl::OkStatus();
}

absl::Status SetDurability(ConfigDraft&, const OptionValues& values) {
  if (values[0] == "always") return absl::OkStatus();
  if (values[0] == "never" || ParseDuration(values[0]).ok()) {
    return Wrong("this version knows no durability but always");
  }
  return Wrong(Quoted(values[0]) + " is no durability; this version has always");
}

absl::Status SetPortFile(ConfigDraft& draft, const OptionValues& values) {
  if (values[0].empty()) return Wrong("must not be empty");
  draft.config.server.port_file_path = values[0] == "none" ? "" : values[0];
  return absl::OkStatus();
}

absl::Status SetSegmentSize(ConfigDraft& draft, const OptionValues& values) {
  if (values[0] == "auto") {
    draft.config.server.segment_bytes = 0;
    return absl::OkStatus();
  }
  auto status =
      SetSize<&ServerOptions::segment_bytes, kSegmentBytesMin, kSegmentBytesMax>(draft, values);
  if (status.ok() && draft.config.server.segment_bytes % kSegmentAlignment != 0) {
    return Wrong("must be a multiple of 4KiB");
  }
  return status;
}

absl::Status SetCache(ConfigDraft& draft, const OptionValues& values) {
  if (values[0] == "auto") {
    draft.config.server.cache_bytes_max = UINT64_MAX;
    return absl::OkStatus();
  }
  return SetSize<&ServerOptions::cache_bytes_max, 0, UINT64_MAX - 1>(draft, values);
}

// The file itself was read before: the table's entry makes it an option like the others.
absl::Status SetConfigPath(ConfigDraft& draft, const OptionValues& values) {
  if (values[0].empty()) return Wrong("must not be empty");
  draft.config.config_path = values[0];
  return absl::OkStatus();
}

// ---- The table.

std::string NoDefault(const ProcessFacts&) { return {}; }
std::string DefaultFalse(const ProcessFacts&) { return "false"; }

using S = ServerOptions;

const ConfigOption kOptions[] = {
    {"addr", "HOST:PORT", "where clients connect; [::1]:PORT and unix:PATH too; may repeat",
     [](const ProcessFacts&) -> std::string { return "127.0.0.1:7379"; }, SetAddresses,
     PrintAddresses, OptionKind::kList},
    {"admin-addr", "HOST:PORT|none", "HTTP for health and metrics",
     [](const ProcessFacts&) -> std::string { return "127.0.0.1:7380"; }, SetAdminAddress,
     [](const ServerConfig& config) -> std::string {
       return config.server.admin_endpoint ? config.server.admin_endpoint->text : "none";
     }},
    {"cores", "N", "threads that serve, 1 to 256; the default is the CPUs it may use",
     [](const ProcessFacts& facts) { return std::to_string(facts.cpu_count); },
     SetCount<&S::core_count, 1, kCoresMax>, PrintCount<&S::core_count>},
    {"dir", "PATH", "data directory, created if missing",
     [](const ProcessFacts&) -> std::string { return "./pakv-data"; }, SetDirectory,
     PrintPath<&S::directory>},
    {"engine", "NAME",
     "how data is kept: log, or memory: then it is in memory alone, and gone with the process",
     [](const ProcessFacts&) -> std::string { return "log"; }, SetEngine,
     [](const ServerConfig& config) -> std::string {
       return config.server.keeps_on_disk ? "log" : "memory";
     }},
    {"durability", "always",
     "when a write is acknowledged: once it is on stable storage (engine memory: none)",
     [](const ProcessFacts&) -> std::string { return "always"; }, SetDurability,
     [](const ServerConfig& config) -> std::string {
       return config.server.keeps_on_disk ? "always" : "none";
     }},
    {"memory", "SIZE",
     "index, cache, buffers and sessions; the default is 80 % of what it may use. Near it the "
     "cache shrinks, then new keys are refused",
     [](const ProcessFacts& facts) {
       const uint64_t bytes = facts.memory_bytes / 100 * kMemoryPercent / kMebibyte * kMebibyte;
       return FormatSize(std::max(bytes, kMemoryBytesMin));
     },
     SetSize<&S::memory_bytes_max, kMemoryBytesMin, UINT64_MAX>, PrintSize<&S::memory_bytes_max>},
    {"cache", "SIZE|auto", "values held in memory at most; auto: what --memory leaves",
     [](const ProcessFacts&) -> std::string { return "auto"; }, SetCache,
     [](const ServerConfig& config) -> std::string {
       const uint64_t bytes = config.server.cache_bytes_max;
       return bytes == UINT64_MAX ? "auto" : FormatSize(bytes);
     }},
    {"max-connections", "N", "connections served at once",
     [](const ProcessFacts&) -> std::string { return "10240"; },
     SetCount<&S::connection_count_max, 1, kConnectionCountMax>,
     PrintCount<&S::connection_count_max>},
    {"overflow", "wait|reject", "what a connection beyond them meets",
     [](const ProcessFacts&) -> std::string { return "wait"; },
     [](ConfigDraft& draft, const OptionValues& values) {
       return SetWord(kOverflowWords, values[0], draft.config.server.overflow);
     },
     [](const ServerConfig& config) { return PrintWord(kOverflowWords, config.server.overflow); }},
    {"max-key", "SIZE", "longest key, inclusive",
     [](const ProcessFacts&) -> std::string { return "64KiB"; },
     SetSize<&S::key_bytes_max, 1, kKeyBytesMax>, PrintSize<&S::key_bytes_max>},
    {"max-value", "SIZE", "longest value, inclusive; at most 512MiB",
     [](const ProcessFacts&) -> std::string { return "512MiB"; },
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
    {"port-file", "PATH|none",
     "the addresses that it listens on: written once ready, removed when it stops; what a killed "
     "server leaves is removed by the next start",
     [](const ProcessFacts&) -> std::string { return "none"; }, SetPortFile,
     PrintPath<&S::port_file_path>},
    {"segment-size", "SIZE|auto",
     "size of a log file; auto: 4 to 64 MiB, by the store's size and the disk's",
     [](const ProcessFacts&) -> std::string { return "auto"; }, SetSegmentSize,
     [](const ServerConfig& config) -> std::string {
       const uint64_t bytes = config.server.segment_bytes;
       return bytes == 0 ? "auto" : FormatSize(bytes);
     }},
    {"log-level", "LEVEL", "debug, info, warn or error",
     [](const ProcessFacts&) -> std::string { return "info"; },
     [](ConfigDraft& draft, const OptionValues& values) {
       return SetWord(kLogLevelWords, values[0], draft.config.log.level);
     },
     [](const ServerConfig& config) { return PrintWord(kLogLevelWords, config.log.level); }},
    {"log-format", "text|json", "of the lines on stderr",
     [](const ProcessFacts&) -> std::string { return "text"; },
     [](ConfigDraft& draft, const OptionValues& values) {
       return SetWord(kLogFormatWords, values[0], draft.config.log.format);
     },
     [](const ServerConfig& config) { return PrintWord(kLogFormatWords, config.log.format); }},
    {"salvage", "", "start without what is damaged: it is listed, and kept in salvage/",
     DefaultFalse, SetBool<&S::salvage>, PrintBool<&S::salvage>, OptionKind::kSwitch},
    {"accept-clock", "", "start although the clock is far behind the data", DefaultFalse,
     SetBool<&S::accept_clock>, PrintBool<&S::accept_clock>, OptionKind::kSwitch},
    {"insecure", "", "serve other machines although nobody has to authenticate", DefaultFalse,
     SetBool<&ServerConfig::insecure>, PrintBool<&ServerConfig::insecure>, OptionKind::kSwitch},
    {"config", "FILE", "options in TOML, the keys named like the flags", NoDefault, SetConfigPath,
     PrintPath<&ServerConfig::config_path>, OptionKind::kValue, OptionPlaces::kFlagAndEnvironment},
    {"check-config", "", "validate the options and exit", DefaultFalse,
     SetBool<&ConfigDraft::check>, nullptr, OptionKind::kSwitch, OptionPlaces::kFlag},
    {"print-config", "", "print each option, its value and where it is from, and exit",
     DefaultFalse, SetBool<&ConfigDraft::print>, nullptr, OptionKind::kSwitch, OptionPlaces::kFlag},
    {"version", "", "print the version and exit", DefaultFalse, SetBool<&ConfigDraft::version>,
     nullptr, OptionKind::kSwitch, OptionPlaces::kFlagAlone},  // an image has its PAKV_VERSION
};

}  // namespace

std::span<const ConfigOption> ConfigOptions() { return kOptions; }

}  // namespace pakv
