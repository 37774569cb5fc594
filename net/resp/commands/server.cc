// Commands on the connection and the server.
#include <algorithm>
#include <string>
#include <vector>

#include "net/resp/protocol/alone_reply.h"
#include "net/resp/protocol/resp_protocol.h"
#include "net/resp/table/command_functions.h"
#include "net/text/glob.h"
#include "net/text/numbers.h"
#include "net/text/words.h"

namespace pakv {
namespace {

constexpr std::string_view kErrName =
    "ERR Client names cannot contain spaces, newlines or special characters.";

// Of what a connection keeps of its client: names of the client, of its library, and a version.
// Redis allows these letters, of any number; here SessionGroup::kBytesPerSession counts them. The
// error, if it is one: `not_plain`, or that it is too long.
constexpr size_t kClientNameBytesMax = 256;
std::string_view CheckClientName(std::string_view name, std::string_view not_plain) {
  if (name.size() > kClientNameBytesMax) {
    return "ERR names of clients and libraries, and versions, have at most 256 bytes";
  }
  const auto is_plain = [](char letter) { return letter >= '!' && letter <= '~'; };
  return std::all_of(name.begin(), name.end(), is_plain) ? std::string_view() : not_plain;
}

void WrongArity(std::string_view command, RespWriter& writer) {
  writer.Error("ERR wrong number of arguments for '" + std::string(command) + "' command");
}

// The error, if there is one, of a number of replicas and a timeout in milliseconds.
std::string_view CheckWait(std::string_view replicas, std::string_view timeout) {
  if (!ParseRespInteger(replicas)) return kErrNotInteger;
  const std::optional<int64_t> ms = ParseRespInteger(timeout);
  if (!ms) return "ERR timeout is not an integer or out of range";
  return *ms < 0 ? "ERR timeout is negative" : std::string_view();
}

struct Parameter {
  std::string_view name;
  std::string value;
};

// What CONFIG tells, in the words of Redis where there are any.
std::vector<Parameter> Parameters(const RespServer& server) {
  return {
      {"appendfsync", server.keeps_on_disk ? "always" : "no"},
      {"appendonly", server.keeps_on_disk ? "yes" : "no"},
      {"databases", std::to_string(kNumberedNamespaces)},
      {"dir", server.directory},
      {"maxclients", std::to_string(server.connection_count_max)},
      {"maxmemory", std::to_string(server.memory_bytes_max)},
      {"maxmemory-policy", "noeviction"},
      {"port", std::to_string(server.tcp_port)},
      {"proto-max-bulk-len", std::to_string(server.value_bytes_max)},
      {"requirepass", ""},
      {"save", ""},
      {"timeout", std::to_string(server.idle_timeout_s)},
  };
}

}  // namespace

void RunPing(RespProtocol&, RespArgs args, RespWriter& writer) {
  if (args.size() > 2) return WrongArity("ping", writer);
  if (args.size() == 1) return writer.Simple("PONG");
  writer.Bulk(args[1]);
}

void RunEcho(RespProtocol&, RespArgs args, RespWriter& writer) { writer.Bulk(args[1]); }

void RunQuit(RespProtocol& protocol, RespArgs, RespWriter& writer) {
  writer.Ok();
  protocol.Quit();
}

Task<void> RunReset(RespProtocol& protocol, RespArgs) {
  co_await protocol.EndMulti();
  protocol.set_version(RespVersion::kResp2);
  protocol.set_namespace_id(kDefaultNamespace);
  protocol.name.clear();
  protocol.set_reply_mode(RespProtocol::ReplyMode::kOn);
  AloneReply(protocol)->Simple("RESET");
}

void RunHello(RespProtocol& protocol, RespArgs args, RespWriter& writer) {
  RespVersion version = protocol.version();
  size_t index = 1;
  if (args.size() > 1) {
    const std::optional<int64_t> number = ParseRespInteger(args[1]);
    if (!number) return writer.Error("ERR Protocol version is not an integer or out of range");
    if (*number != 2 && *number != 3) {
      return writer.Error("NOPROTO unsupported protocol version");
    }
    version = *number == 3 ? RespVersion::kResp3 : RespVersion::kResp2;
    index = 2;
  }
  while (index < args.size()) {
    const size_t more = args.size() - index - 1;
    if (IsWord(args[index], "auth") && more >= 2) {
      // Without users there is one, who needs no password, as in Redis.
      if (args[index + 1] != "default") {
        return writer.Error("WRONGPASS invalid username-password pair or user is disabled.");
      }
      index += 3;
    } else if (IsWord(args[index], "setname") && more >= 1) {
      // As in Redis, it stays if a later option is an error.
      const std::string_view error = CheckClientName(args[index + 1], kErrName);
      if (!error.empty()) return writer.Error(error);
      protocol.name = args[index + 1];
      index += 2;
    } else {
      return writer.Error("ERR Syntax error in HELLO option '" + std::string(args[index]) + "'");
    }
  }
  protocol.set_version(version);
  RespWriter reply(writer.output(), version);
  reply.Map(7);
  reply.Bulk("server");
  reply.Bulk("redis");
  reply.Bulk("version");
  reply.Bulk(kRedisVersion);
  reply.Bulk("proto");
  reply.Integer(static_cast<int64_t>(version));
  reply.Bulk("id");
  reply.Integer(static_cast<int64_t>(protocol.session().info().id));
  reply.Bulk("mode");
  reply.Bulk("standalone");
  reply.Bulk("role");
  reply.Bulk("master");
  reply.Bulk("modules");
  reply.Array(0);
}

std::optional<uint32_t> SelectedNamespace(std::string_view index) {
  const std::optional<int64_t> number = ParseRespInteger(index);
  if (!number || *number < 0 || *number >= kNumberedNamespaces) return std::nullopt;
  return static_cast<uint32_t>(*number);
}

void RunSelect(RespProtocol& protocol, RespArgs args, RespWriter& writer) {
  const std::optional<int64_t> index = ParseRespInteger(args[1]);
  if (!index) return writer.Error(kErrNotInteger);
  if (*index != static_cast<int32_t>(*index)) {
    return writer.Error(kErrNotInt32);
  }
  const std::optional<uint32_t> selected = SelectedNamespace(args[1]);
  if (!selected) return writer.Error(kErrNoDatabase);
  protocol.set_namespace_id(*selected);
  writer.Ok();
}

void RunAuth(RespProtocol&, RespArgs args, RespWriter& writer) {
  if (args.size() > 3) return writer.Error(kErrSyntax);
  if (args.size() == 2) {
    return writer.Error(
        "ERR AUTH <password> called without any password configured for the default user. Are you "
        "sure your configuration is correct?");
  }
  if (args[1] != "default") {
    return writer.Error("WRONGPASS invalid username-password pair or user is disabled.");
  }
  writer.Ok();
}

void RunTime(RespProtocol& protocol, RespArgs, RespWriter& writer) {
  const uint64_t now_us = protocol.core().wall_us();
  writer.Array(2);
  writer.BulkInteger(static_cast<int64_t>(now_us / 1000000));
  writer.BulkInteger(static_cast<int64_t>(now_us % 1000000));
}

// Replies leave in order: when this one does, what was written before it has been answered, and is
// as durable as it will be. There are no replicas to wait for, and none will come: it does not wait
// for the timeout either.
void RunWait(RespProtocol&, RespArgs args, RespWriter& writer) {
  const std::string_view error = CheckWait(args[1], args[2]);
  if (!error.empty()) return writer.Error(error);
  writer.Integer(0);
}

void RunWaitAof(RespProtocol& protocol, RespArgs args, RespWriter& writer) {
  const std::optional<int64_t> local = ParseRespInteger(args[1]);
  if (!local) return writer.Error(kErrNotInteger);
  if (*local < 0 || *local > 1) {
    return writer.Error("ERR value is out of range, value must between 0 and 1");
  }
  const std::optional<int64_t> replicas = ParseRespInteger(args[2]);
  if (replicas && *replicas < 0) {
    return writer.Error("ERR value is out of range, must be positive");
  }
  const std::string_view error = CheckWait(args[2], args[3]);
  if (!error.empty()) return writer.Error(error);
  const bool keeps = protocol.server().keeps_on_disk;
  if (*local > 0 && !keeps) {
    return writer.Error(
        "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.");
  }
  writer.Array(2);
  writer.Integer(keeps ? 1 : 0);
  writer.Integer(0);
}

void RunClientId(RespProtocol& protocol, RespArgs, RespWriter& writer) {
  writer.Integer(static_cast<int64_t>(protocol.session().info().id));
}

void RunClientGetName(RespProtocol& protocol, RespArgs, RespWriter& writer) {
  if (protocol.name.empty()) return writer.Null();
  writer.Bulk(protocol.name);
}

void RunClientSetName(RespProtocol& protocol, RespArgs args, RespWriter& writer) {
  const std::string_view error = CheckClientName(args[2], kErrName);
  if (!error.empty()) return writer.Error(error);
  protocol.name = args[2];
  writer.Ok();
}

void RunClientSetInfo(RespProtocol& protocol, RespArgs args, RespWriter& writer) {
  std::string* target = nullptr;
  if (IsWord(args[2], "lib-name")) target = &protocol.library_name;
  if (IsWord(args[2], "lib-ver")) target = &protocol.library_version;
  if (target == nullptr) {
    return writer.Error("ERR Unrecognized option '" + std::string(args[2]) + "'");
  }
  const std::string not_plain =
      "ERR " + Lower(args[2]) + " cannot contain spaces, newlines or special characters.";
  const std::string_view error = CheckClientName(args[3], not_plain);
  if (!error.empty()) return writer.Error(error);
  *target = args[3];
  writer.Ok();
}

void RunConfigGet(RespProtocol& protocol, RespArgs args, RespWriter& writer) {
  size_t pattern_bytes = 0;
  for (const std::string_view pattern : args.subspan(2)) pattern_bytes += pattern.size() + 1;
  if (pattern_bytes > kPatternBytesMax) return writer.Error(kErrPattern);
  std::vector<Parameter> found;
  for (Parameter& parameter : Parameters(protocol.server())) {
    for (const std::string_view pattern : args.subspan(2)) {
      if (!GlobMatches(pattern, parameter.name, /*ignore_case=*/true)) continue;
      // As in Redis, a name comes back as it was asked for.
      if (IsWord(pattern, parameter.name)) parameter.name = pattern;
      found.push_back(std::move(parameter));
      break;
    }
  }
  writer.Map(found.size());
  for (const Parameter& parameter : found) {
    writer.Bulk(parameter.name);
    writer.Bulk(parameter.value);
  }
}

// Nothing can be changed at run time yet; what is so already may be set.
void RunConfigSet(RespProtocol& protocol, RespArgs args, RespWriter& writer) {
  if (args.size() % 2 != 0) return writer.Error(kErrSyntax);
  struct Setting {
    const Parameter* parameter;
    std::string_view given_name;
    std::string_view value;
  };
  const auto fails = [&writer](std::string_view given_name, std::string_view why) {
    writer.Error("ERR CONFIG SET failed (possibly related to argument '" + std::string(given_name) +
                 "') - " + std::string(why));
  };
  const std::vector<Parameter> parameters = Parameters(protocol.server());
  std::vector<Setting> settings;
  for (size_t index = 2; index < args.size(); index += 2) {
    const auto found = std::find_if(
        parameters.begin(), parameters.end(),
        [&](const Parameter& parameter) { return IsWord(args[index], parameter.name); });
    if (found == parameters.end()) {
      return writer.Error("ERR Unknown option or number of arguments for CONFIG SET - '" +
                          std::string(args[index]) + "'");
    }
    for (const Setting& earlier : settings) {
      if (earlier.parameter == &*found) return fails(args[index], "duplicate parameter");
    }
    settings.push_back({&*found, args[index], args[index + 1]});
  }
  for (const Setting& setting : settings) {
    if (setting.parameter->value == setting.value) continue;
    return fails(setting.given_name, "can't set immutable config");
  }
  writer.Ok();
}

void RunHelp(RespProtocol&, RespArgs args, RespWriter& writer) {
  const CommandRow& row = *FindCommand(args[0]);
  std::string title = Lower(args[0]);
  for (char& letter : title) letter = static_cast<char>(letter - 'a' + 'A');
  writer.Array(1 + row.subcommands.size() * 2);
  writer.Simple(title + " <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
  for (const CommandRow& subcommand : row.subcommands) {
    std::string name(subcommand.name.substr(row.name.size() + 1));
    for (char& letter : name) letter = static_cast<char>(letter - 'a' + 'A');
    writer.Simple(name);
    writer.Simple("    " + std::string(subcommand.summary) + ".");
  }
}

}  // namespace pakv
