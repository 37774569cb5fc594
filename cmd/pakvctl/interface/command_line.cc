// Long because: each command has its options, their help and their reading side by side.
#include "cmd/pakvctl/interface/command_line.h"

#include <absl/status/statusor.h>
#include <fmt/format.h>

#include <string_view>
#include <utility>

#include "cmd/common/arguments.h"
#include "cmd/common/environment.h"
#include "cmd/common/exit_codes.h"
#include "cmd/common/usage.h"
#include "cmd/common/values.h"
#include "kv/log/format/format.h"
#include "runtime/base/utf8.h"

namespace pakv {
namespace {

constexpr std::string_view kDefaultAddress = "127.0.0.1:7379";
constexpr std::string_view kDefaultNamespace = "0";

// Variables of features to come: refused rather than ignored, or a password would seem to be used.
constexpr std::string_view kUnsupportedVariables[] = {"PAKV_USER", "PAKV_PASSWORD"};

struct CommandName {
  std::string_view name;
  CtlCommand command;
  std::string_view help;
};
constexpr CommandName kCommands[] = {
    {"set", CtlCommand::kSet, "store VALUE under KEY; - reads the value from stdin"},
    {"get", CtlCommand::kGet, "print values"},
    {"rm", CtlCommand::kRemove, "remove keys"},
    {"incr", CtlCommand::kIncrement, "add N, or 1, to a number and print it"},
    {"ttl", CtlCommand::kTtl, "print how many seconds a key still lives, -1: for ever"},
    {"scan", CtlCommand::kScan, "print the keys that begin with PREFIX, or all"},
    {"batch", CtlCommand::kBatch,
     "do all lines of set, get, rm and incr as one: all of them, or none if one cannot be"},
    {"ping", CtlCommand::kPing, "measure round trips"},
    {"stats", CtlCommand::kStats, "print the server's counters"},
    {"check", CtlCommand::kCheck, "let the server count what lives, and compare with its books"},
    {"compact", CtlCommand::kCompact,
     "let the server give back what is dead, and wait for it; Ctrl-C leaves it at work"},
    {"namespace", CtlCommand::kNamespaceList,
     "list the namespaces and how many keys they have; drop NAME: remove all keys of one"},
    {"client", CtlCommand::kClientList,
     "list the connections that the server has; kill ID|HOST:PORT: end one"},
    {"dump", CtlCommand::kDump, "write keys with value and expiry, one JSON object per line"},
    {"load", CtlCommand::kLoad, "read what dump has written, or all strings of a Redis"},
    {"verify", CtlCommand::kVerify,
     "read a data directory that no server uses, and name all damage"},
    {"segments", CtlCommand::kSegments,
     "list the segments of a data directory that no server uses"},
    {"help", CtlCommand::kHelp, "print what COMMAND takes, or the commands"},
};
constexpr const char* kCommandHint = "pakvctl --help lists them";
constexpr const char* kBatchHint = "a batch is made of set, get, rm and incr";

std::vector<std::string> CommandWords() {
  std::vector<std::string> words;
  for (const CommandName& command : kCommands) words.emplace_back(command.name);
  return words;
}

// `usage`: of the command that was given; empty: none was.
CtlCommandLine Fail(std::string_view message, std::string_view usage = "") {
  const std::string_view command = usage.substr(0, usage.find(' '));
  CtlCommandLine line;
  line.exit_code = kClientExitUsage;
  line.stderr_text = fmt::format("pakvctl: {}\n", message);
  if (command.empty()) {
    line.stderr_text +=
        "usage: pakvctl [--addr HOST:PORT]... [-n NAMESPACE] [-o text|json|raw] [-q] COMMAND ...\n"
        "       pakvctl --help, pakvctl COMMAND --help\n";
  } else {
    line.stderr_text +=
        fmt::format("usage: pakvctl {}\n       pakvctl {} --help\n", usage, command);
  }
  return line;
}

CtlCommandLine Print(std::string text) {
  CtlCommandLine line;
  line.exit_code = kClientExitOk;
  line.stdout_text = std::move(text);
  return line;
}

// The options as CLI11 knows them; values are asked for through Arguments.
struct Parser {
  Parser();

  std::vector<const CLI::Option*> switches() const {
    return {quiet,      version,  set_if_absent,  set_if_present, set_old,
            remove_old, dump_all, load_if_absent, load_all};
  }

  // Of the command that CLI11 has found; empty: none was.
  std::string usage() const {
    const std::vector<CLI::App*> given = app.get_subcommands();
    return given.empty() ? std::string() : UsageOf(*given.front());
  }

  CLI::App app{"pakvctl: the client of pakvd", "pakvctl"};
  CLI::Option* addr;
  CLI::Option* name_space;
  CLI::Option* output;
  CLI::Option* quiet;
  CLI::Option* version;
  std::vector<std::pair<CLI::App*, CtlCommand>> commands;
  // Of the command of that name alone.
  CLI::Option* set_key;
  CLI::Option* set_value;
  CLI::Option* set_if_absent;
  CLI::Option* set_if_present;
  CLI::Option* set_if_version;
  CLI::Option* set_ttl;
  CLI::Option* set_old;
  CLI::Option* get_keys;
  CLI::Option* remove_keys;
  CLI::Option* remove_old;
  CLI::Option* increment_key;
  CLI::Option* increment_delta;
  CLI::Option* ttl_key;
  CLI::Option* scan_prefix;
  CLI::Option* scan_limit;
  CLI::Option* batch_file;
  CLI::Option* ping_count;
  CLI::Option* compact_gain;
  CLI::Option* namespace_action;
  CLI::Option* namespace_name;
  CLI::Option* client_action;
  CLI::Option* client_which;
  CLI::Option* dump_file;
  CLI::Option* dump_prefix;
  CLI::Option* dump_all;
  CLI::Option* load_source;
  CLI::Option* load_if_absent;
  CLI::Option* load_all;
  CLI::Option* verify_directory;
  CLI::Option* segments_directory;
  CLI::Option* help_command;
};

CLI::Option* AddValue(CLI::App& app, const std::string& name, const std::string& type,
                      const std::string& help) {
  return app.add_option(name, CLI::callback_t(), help)->type_name(type);
}

CLI::Option* AddSwitch(CLI::App& app, const std::string& name, const std::string& help) {
  return app.add_flag(name)->description(help);
}

CLI::Option* AddList(CLI::App& app, const std::string& name, const std::string& help) {
  return AddValue(app, name, "", help)
      ->required()
      ->expected(1, -1)
      ->allow_extra_args()
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

Parser::Parser() {
  app.set_help_flag("-h,--help", "print this and exit");
  app.require_subcommand(0, 1);
  app.get_formatter()->label("SUBCOMMAND", "COMMAND");
  addr = AddValue(app, "--addr", "HOST:PORT",
                  "where the server listens, unix:PATH too; several are tried in turn; else "
                  "PAKV_ADDR, else 127.0.0.1:7379")
             ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  name_space =
      AddValue(app, "-n,--namespace", "NAMESPACE", "namespace of the keys, 0 if not given");
  output = AddValue(app, "-o,--output", "text|json|raw", "form of what is printed");
  quiet = AddSwitch(app, "-q,--quiet", "print nothing for set and rm");
  version = AddSwitch(app, "-V,--version", "print the version and exit");

  for (const CommandName& command : kCommands) {
    CLI::App* const added =
        app.add_subcommand(std::string(command.name), std::string(command.help))->fallthrough();
    added->group("Commands");
    added->footer("--addr, -n, -o and -q may stand here, too: pakvctl --help tells of them.");
    commands.emplace_back(added, command.command);
    CLI::App& sub = *added;
    switch (command.command) {
      case CtlCommand::kSet:
        set_key = AddValue(sub, "KEY", "", "any bytes")->required();
        set_value = AddValue(sub, "VALUE", "", "any bytes; - reads stdin to its end")->required();
        set_if_absent = AddSwitch(sub, "--if-absent", "only if the key is not there");
        set_if_present = AddSwitch(sub, "--if-present", "only if the key is there");
        set_if_version = AddValue(sub, "--if-version", "LSN", "only if the key has this version");
        set_ttl = AddValue(sub, "--ttl", "DURATION", "how long it lives: 500ms, 30s, 12h, 7d");
        set_old = AddSwitch(sub, "--old", "print the value that was replaced");
        break;
      case CtlCommand::kGet:
        get_keys = AddList(sub, "KEY", "keys");
        break;
      case CtlCommand::kRemove:
        remove_keys = AddList(sub, "KEY", "keys");
        remove_old = AddSwitch(sub, "--old", "print the values that were removed");
        break;
      case CtlCommand::kIncrement:
        increment_key = AddValue(sub, "KEY", "", "any bytes")->required();
        increment_delta = AddValue(sub, "N", "", "what to add, 1 if not given");
        break;
      case CtlCommand::kTtl:
        ttl_key = AddValue(sub, "KEY", "", "any bytes")->required();
        break;
      case CtlCommand::kScan:
        scan_prefix = AddValue(sub, "PREFIX", "", "what the keys begin with");
        scan_limit = AddValue(sub, "--limit", "N", "at most so many keys");
        break;
      case CtlCommand::kBatch:
        batch_file = AddValue(sub, "FILE", "", "where from; stdin if not given, or -");
        break;
      case CtlCommand::kPing:
        ping_count = AddValue(sub, "-c,--count", "N", "so many round trips, 1 if not given");
        break;
      case CtlCommand::kStats:
      case CtlCommand::kCheck:
        break;
      case CtlCommand::kCompact:
        compact_gain = AddValue(sub, "--gain", "PERCENT",
                                "leave segments alone of which less is dead, 10 if not given");
        break;
      case CtlCommand::kNamespaceList:
      case CtlCommand::kNamespaceDrop:
        namespace_action = AddValue(sub, "list|drop", "", "what to do")->required();
        namespace_name = AddValue(sub, "NAME", "", "drop: of which; its name stays, without keys");
        break;
      case CtlCommand::kClientList:
      case CtlCommand::kClientKill:
        client_action = AddValue(sub, "list|kill", "", "what to do")->required();
        client_which = AddValue(sub, "ID|HOST:PORT", "", "kill: which, as list has it");
        break;
      case CtlCommand::kDump:
        dump_file = AddValue(sub, "FILE", "", "where to; stdout if not given, or -");
        dump_prefix = AddValue(sub, "PREFIX", "", "what the keys begin with");
        dump_all = AddSwitch(sub, "--all", "the keys of all namespaces, one after the other");
        break;
      case CtlCommand::kLoad:
        load_source = AddValue(sub, "FILE|redis://[USER@]HOST[:PORT][/DB]", "",
                               "where from; stdin if not given, or -. The password of a Redis is "
                               "taken from PAKV_SOURCE_PASSWORD, or asked for");
        load_if_absent = AddSwitch(sub, "--if-absent", "leave keys that are there as they are");
        load_all = AddSwitch(sub, "--all", "each line into the namespace that it names");
        break;
      case CtlCommand::kVerify:
        verify_directory = AddValue(sub, "DIR", "", "the data directory")->required();
        break;
      case CtlCommand::kSegments:
        segments_directory = AddValue(sub, "DIR", "", "the data directory")->required();
        break;
      case CtlCommand::kHelp:
        help_command = AddValue(sub, "COMMAND", "", "whose help; the list of all if not given");
        break;
    }
  }
}

// Builds the request out of what CLI11 has found. Each step returns what to tell the user.
class Reader {
 public:
  Reader(const Parser& parser, const Arguments& arguments, CtlRequest& request)
      : parser_(parser), arguments_(arguments), request_(request) {}

  std::optional<std::string> Read(const EnvironmentVariables& environment) {
    if (auto fault = CheckSwitches()) return fault;
    fault_is_beside_commands_ = true;
    if (auto fault = ReadAddresses(environment)) return fault;
    if (auto fault = ReadGlobals()) return fault;
    fault_is_beside_commands_ = false;
    return ReadCommand(environment);
  }
  // Whether what Read has found wrong is an option that all commands have.
  bool fault_is_beside_commands() const { return fault_is_beside_commands_; }

  // A line of a batch: what goes for all of it was said before.
  std::optional<std::string> ReadOperation() {
    if (auto fault = CheckSwitches()) return fault;
    for (const CLI::Option* option :
         {parser_.addr, parser_.name_space, parser_.output, parser_.quiet, parser_.version}) {
      if (option->count() > 0) return option->get_name() + " goes for the whole batch";
    }
    switch (request_.command) {
      case CtlCommand::kSet:
      case CtlCommand::kGet:
      case CtlCommand::kRemove:
      case CtlCommand::kIncrement:
        break;
      default:
        return kBatchHint;
    }
    if (auto fault = ReadCommand({})) return fault;
    if (request_.value_from_stdin) return "set: the value - is for set alone";
    return std::nullopt;
  }

 private:
  std::optional<std::string> CheckSwitches() {
    for (const CLI::Option* option : parser_.switches()) {
      for (const std::string& value : arguments_.Values(*option)) {
        if (value != "true") return option->get_name() + " takes no value";
      }
    }
    return std::nullopt;
  }

  std::optional<std::string> ReadCommand(const EnvironmentVariables& environment) {
    switch (request_.command) {
      case CtlCommand::kHelp:
        break;
      case CtlCommand::kSet:
        return ReadSet();
      case CtlCommand::kGet:
        request_.keys = arguments_.Values(*parser_.get_keys);
        break;
      case CtlCommand::kRemove:
        request_.keys = arguments_.Values(*parser_.remove_keys);
        request_.return_old = parser_.remove_old->count() > 0;
        break;
      case CtlCommand::kIncrement:
        request_.keys = arguments_.Values(*parser_.increment_key);
        return ReadNumber(*parser_.increment_delta, "N", ParseInteger, request_.delta);
      case CtlCommand::kTtl:
        request_.keys = arguments_.Values(*parser_.ttl_key);
        break;
      case CtlCommand::kScan:
        request_.keys = arguments_.Values(*parser_.scan_prefix);
        return ReadPositive(*parser_.scan_limit, "--limit", request_.limit);
      case CtlCommand::kBatch:
        request_.file = FileName(*parser_.batch_file);
        break;
      case CtlCommand::kPing: {
        std::optional<uint64_t> count;
        if (auto fault = ReadPositive(*parser_.ping_count, "-c", count)) return fault;
        request_.ping_count = count.value_or(1);
        break;
      }
      case CtlCommand::kStats:
      case CtlCommand::kCheck:
        break;
      case CtlCommand::kCompact: {
        std::optional<uint64_t> gain;
        if (auto fault = ReadPositive(*parser_.compact_gain, "--gain", gain)) return fault;
        if (gain.value_or(1) > 100) return "--gain: a percentage is at most 100";
        request_.gain_percent = static_cast<uint32_t>(gain.value_or(request_.gain_percent));
        break;
      }
      case CtlCommand::kNamespaceList:
      case CtlCommand::kNamespaceDrop:
        return ReadNamespace();
      case CtlCommand::kClientList:
      case CtlCommand::kClientKill:
        return ReadClient();
      case CtlCommand::kDump:
        request_.file = FileName(*parser_.dump_file);
        request_.prefix = Single(*parser_.dump_prefix).value_or("");
        return ReadAll(*parser_.dump_all, "dump");
      case CtlCommand::kLoad:
        return ReadLoad(environment);
      case CtlCommand::kVerify:
        request_.directory = arguments_.Values(*parser_.verify_directory).front();
        break;
      case CtlCommand::kSegments:
        request_.directory = arguments_.Values(*parser_.segments_directory).front();
        break;
    }
    return std::nullopt;
  }

  std::optional<std::string> ReadAddresses(const EnvironmentVariables& environment) {
    std::vector<std::string> texts = arguments_.Values(*parser_.addr);
    std::string_view source = "--addr";
    if (texts.empty()) {
      const auto variable = environment.find("PAKV_ADDR");
      source = "PAKV_ADDR";
      texts = variable != environment.end() ? SplitAtCommas(variable->second)
                                            : std::vector{std::string(kDefaultAddress)};
    }
    for (const std::string& text : texts) {
      auto endpoint = ParseEndpoint(text);
      if (!endpoint.ok()) return fmt::format("{}: {}", source, Text(endpoint.status()));
      if (!endpoint->is_unix() && endpoint->port == 0) {
        return fmt::format("{}: {}: there is no port 0 to connect to", source, Quoted(text));
      }
      request_.endpoints.push_back(*std::move(endpoint));
    }
    return std::nullopt;
  }

  std::optional<std::string> ReadGlobals() {
    request_.quiet = parser_.quiet->count() > 0;
    request_.name_space_given = parser_.name_space->count() > 0;
    request_.name_space = Single(*parser_.name_space).value_or(std::string(kDefaultNamespace));
    if (!IsNamespaceName(request_.name_space)) {
      return fmt::format("-n: a namespace's name is 1 to {} bytes of UTF-8",
                         kNamespaceNameBytesMax);
    }
    const std::string output = Single(*parser_.output).value_or("text");
    if (output == "text") {
      request_.output = CtlOutput::kText;
    } else if (output == "json") {
      request_.output = CtlOutput::kJson;
    } else if (output == "raw") {
      request_.output = CtlOutput::kRaw;
      const bool one_value = request_.command == CtlCommand::kGet && parser_.get_keys->count() == 1;
      if (!one_value) return "-o raw: is for get of one key";
    } else {
      return fmt::format("-o: {} is none of: text, json, raw", Quoted(output));
    }
    return std::nullopt;
  }

  std::optional<std::string> ReadSet() {
    request_.keys = arguments_.Values(*parser_.set_key);
    request_.value = arguments_.Values(*parser_.set_value).front();
    request_.value_from_stdin = request_.value == "-";
    request_.return_old = parser_.set_old->count() > 0;
    int conditions = 0;
    const auto choose = [&](const CLI::Option& option, ClientCondition condition) {
      if (option.count() == 0) return;
      request_.condition = condition;
      ++conditions;
    };
    choose(*parser_.set_if_absent, ClientCondition::kIfAbsent);
    choose(*parser_.set_if_present, ClientCondition::kIfPresent);
    choose(*parser_.set_if_version, ClientCondition::kIfVersion);
    if (conditions > 1) return "set: --if-absent, --if-present and --if-version exclude each other";
    std::optional<uint64_t> version;
    if (auto fault = ReadPositive(*parser_.set_if_version, "--if-version", version)) return fault;
    request_.version = version.value_or(0);
    if (request_.version > INT64_MAX) return "--if-version: an LSN has 63 bits";
    if (parser_.set_ttl->count() == 0) return std::nullopt;
    uint64_t ttl_ns = 0;
    if (auto fault = ReadNumber(*parser_.set_ttl, "--ttl", ParseDuration, ttl_ns)) return fault;
    request_.ttl_ms = ttl_ns / 1'000'000;
    if (request_.ttl_ms == 0) return "--ttl: must be at least 1ms";
    return std::nullopt;
  }

  std::optional<std::string> ReadNamespace() {
    const std::string action = arguments_.Values(*parser_.namespace_action).front();
    const std::optional<std::string> name = Single(*parser_.namespace_name);
    if (request_.name_space_given) return "namespace: -n is for the other commands";
    if (action == "list") {
      if (name) return "namespace list: unexpected: " + EscapeControls(*name);
      return std::nullopt;
    }
    if (action != "drop") {
      return fmt::format("namespace: {} is none of: list, drop", Quoted(action));
    }
    request_.command = CtlCommand::kNamespaceDrop;
    if (!name) return "namespace drop: NAME is required";
    if (!IsNamespaceName(*name)) {
      return fmt::format("namespace drop: a namespace's name is 1 to {} bytes of UTF-8",
                         kNamespaceNameBytesMax);
    }
    request_.name_space = *name;
    return std::nullopt;
  }

  std::optional<std::string> ReadClient() {
    const std::string action = arguments_.Values(*parser_.client_action).front();
    const std::optional<std::string> which = Single(*parser_.client_which);
    if (action == "list") {
      if (which) return "client list: unexpected: " + EscapeControls(*which);
      return std::nullopt;
    }
    if (action != "kill") return fmt::format("client: {} is none of: list, kill", Quoted(action));
    request_.command = CtlCommand::kClientKill;
    if (!which) return "client kill: ID or HOST:PORT is required";
    const bool is_id = which->find_first_not_of("0123456789") == std::string::npos;
    const absl::StatusOr<int64_t> id = ParseInteger(*which);
    if (is_id && (!id.ok() || *id == 0)) {
      return fmt::format("client kill: {} is no connection's id", Quoted(*which));
    }
    request_.connection = *which;
    return std::nullopt;
  }

  std::optional<std::string> ReadLoad(const EnvironmentVariables& environment) {
    request_.load_if_absent = parser_.load_if_absent->count() > 0;
    request_.file = FileName(*parser_.load_source);
    if (auto fault = ReadAll(*parser_.load_all, "load")) return fault;
    if (!IsRedisAddress(request_.file)) return std::nullopt;
    if (request_.all_namespaces) return "load: --all is for the lines of a dump";
    auto address = ParseRedisAddress(request_.file);
    if (!address.ok()) return fmt::format("load: {}", Text(address.status()));
    const auto password = environment.find("PAKV_SOURCE_PASSWORD");
    if (password != environment.end()) address->password = password->second;
    request_.redis = *std::move(address);
    request_.file.clear();
    return std::nullopt;
  }

  std::optional<std::string> ReadAll(const CLI::Option& option, std::string_view command) {
    request_.all_namespaces = option.count() > 0;
    if (!request_.all_namespaces || !request_.name_space_given) return std::nullopt;
    return fmt::format("{}: --all is of all namespaces, -n of one", command);
  }

  // Empty: the standard stream.
  std::string FileName(const CLI::Option& option) const {
    const std::string name = Single(option).value_or("-");
    return name == "-" ? std::string() : name;
  }

  template <typename Number>
  std::optional<std::string> ReadNumber(const CLI::Option& option, std::string_view name,
                                        absl::StatusOr<Number> (*parse)(std::string_view),
                                        Number& target) {
    const std::optional<std::string> text = Single(option);
    if (!text) return std::nullopt;
    const auto number = parse(*text);
    if (!number.ok()) return fmt::format("{}: {}", name, Text(number.status()));
    target = *number;
    return std::nullopt;
  }

  std::optional<std::string> ReadPositive(const CLI::Option& option, std::string_view name,
                                          std::optional<uint64_t>& target) {
    if (option.count() == 0) return std::nullopt;
    uint64_t number = 0;
    if (auto fault = ReadNumber(option, name, ParseCount, number)) return fault;
    if (number == 0) return fmt::format("{}: must be at least 1", name);
    target = number;
    return std::nullopt;
  }

  std::optional<std::string> Single(const CLI::Option& option) const {
    if (option.count() == 0) return std::nullopt;
    return arguments_.Values(option).back();
  }

  static std::string Text(const absl::Status& status) { return std::string(status.message()); }

  const Parser& parser_;
  const Arguments& arguments_;
  CtlRequest& request_;
  bool fault_is_beside_commands_ = false;
};

// What --help prints; of one command if it is named.
CtlCommandLine Help(const Parser& parser, const Arguments& given) {
  const std::vector<std::string> names = given.Values(*parser.help_command);
  if (names.empty()) return Print(Parser().app.help());
  for (const auto& [command, ignored] : parser.commands) {
    if (command->get_name() == names.front()) return Print(command->help(parser.app.get_name()));
  }
  return Fail(given.TellUnknownCommand(names.front()), parser.usage());
}

bool FindCommand(const Parser& parser, CtlCommand& found) {
  for (const auto& [app, command] : parser.commands) {
    if (!app->parsed()) continue;
    found = command;
    return true;
  }
  return false;
}

}  // namespace

CtlCommandLine ParseCommandLine(const std::vector<std::string>& arguments,
                                const EnvironmentVariables& environment) {
  Parser parser;
  Arguments given(arguments, CommandWords(), kCommandHint);
  if (!given.Parse(parser.app)) {
    return Fail(given.error(), given.error_is_beside_commands() ? "" : parser.usage());
  }
  if (given.help_wanted()) return Print(given.help());
  if (parser.version->count() > 0) return Print("pakvctl " PAKV_VERSION "\n");
  CtlCommandLine line;
  const bool found = FindCommand(parser, line.request.command);
  if (found && line.request.command == CtlCommand::kHelp) return Help(parser, given);
  for (const std::string_view name : kUnsupportedVariables) {
    if (environment.contains(name)) {
      return Fail(fmt::format("{} is set, but this version knows no users", name));
    }
  }
  if (!found) return Fail("no command");
  Reader reader(parser, given, line.request);
  if (auto fault = reader.Read(environment)) {
    return Fail(*fault, reader.fault_is_beside_commands() ? "" : parser.usage());
  }
  return line;
}

CtlOperations ParseOperations(const std::vector<std::string>& words) {
  CtlOperations parsed;
  const auto fail = [&](std::string why) {
    parsed.error = std::move(why);
    return parsed;
  };
  Parser parser;
  Arguments given(words, CommandWords(), kBatchHint);
  if (!given.Parse(parser.app)) {
    parsed.usage = parser.usage();
    return fail(given.error());
  }
  if (given.help_wanted()) return fail("help is for the command line");
  CtlRequest request;
  if (!FindCommand(parser, request.command)) return fail("no command");
  if (auto fault = Reader(parser, given, request).ReadOperation()) return fail(*fault);
  for (std::string& key : request.keys) {
    ClientOperation& operation = parsed.operations.emplace_back();
    operation.delta = request.delta;
    operation.set = {.key = std::move(key),
                     .value = request.value,
                     .condition = request.condition,
                     .version = request.version,
                     .return_old = request.return_old,
                     .ttl_ms = request.ttl_ms};
    switch (request.command) {
      case CtlCommand::kSet:
        operation.kind = ClientOperation::Kind::kSet;
        break;
      case CtlCommand::kRemove:
        operation.kind = ClientOperation::Kind::kDelete;
        break;
      case CtlCommand::kIncrement:
        operation.kind = ClientOperation::Kind::kIncrement;
        break;
      default:
        break;
    }
  }
  return parsed;
}

}  // namespace pakv
