// CLIENT REPLY, and CLIENT LIST, INFO, KILL and NO-EVICT: the connections of all cores. Each is
// looked at on its own core, a few per pass; those that come or end meanwhile are met or not. One
// that is broken has ended for its client, whatever is still under way for it.
#include <algorithm>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "net/resp/protocol/alone_reply.h"
#include "net/resp/protocol/gathered_reply.h"
#include "net/resp/protocol/resp_protocol.h"
#include "net/resp/table/command_functions.h"
#include "net/session/session_state.h"
#include "net/session/unread_reply.h"
#include "net/text/numbers.h"
#include "net/text/words.h"

namespace pakv {
namespace {

// As many as COMMAND INFO takes names.
constexpr size_t kIdsMax = 1024;
constexpr std::string_view kUnix = "unix:";
// The one that there is (HELLO … AUTH).
constexpr std::string_view kUser = "default";

// ---- A line per connection ----

// As Redis writes it; of a unix socket the path that was connected to, for both ends.
std::string AddressOf(const std::string& own, const ConnectionInfo& info) {
  if (!own.starts_with(kUnix)) return own;
  return info.local.substr(kUnix.size()) + ":0";
}

void Field(std::string& line, std::string_view name, std::string_view value) {
  if (!line.empty()) line += ' ';
  line.append(name).append("=").append(value);
}
void Field(std::string& line, std::string_view name, uint64_t value) {
  Field(line, name, std::to_string(value));
}

std::string FlagsOf(const Session& session, const SessionState& state) {
  std::string flags;
  if (state.queued_count) flags += 'x';
  if (state.is_ending) flags += 'c';
  if (session.info().peer.starts_with(kUnix)) flags += 'U';
  if (state.is_exempt_from_eviction) flags += 'e';
  return flags.empty() ? "N" : flags;
}

// The fields of Redis 7.0, in its order, but for those of what there is not here (`rbp`), with the
// two that 7.2 has for CLIENT SETINFO; and the line's end.
std::string LineOf(const Session& session) {
  const ConnectionInfo& info = session.info();
  const SessionState state = session.State();
  std::string line;
  Field(line, "id", info.id);
  Field(line, "addr", AddressOf(info.peer, info));
  Field(line, "laddr", AddressOf(info.local, info));
  Field(line, "fd", std::to_string(state.handle));
  Field(line, "name", state.name);
  Field(line, "age", state.age_ns / kNsPerSecond);
  Field(line, "idle", state.idle_ns / kNsPerSecond);
  Field(line, "flags", FlagsOf(session, state));
  Field(line, "db", state.namespace_id);
  Field(line, "sub", 0);
  Field(line, "psub", 0);
  Field(line, "ssub", 0);
  Field(line, "multi", state.queued_count ? std::to_string(*state.queued_count) : "-1");
  Field(line, "qbuf", state.input_bytes);
  Field(line, "qbuf-free", state.input_free_bytes);
  Field(line, "argv-mem", state.request_bytes);
  Field(line, "multi-mem", state.queued_bytes);
  Field(line, "rbs", state.ready_bytes_max);
  Field(line, "obl", state.ready_bytes);
  Field(line, "oll", state.waiting_replies);
  Field(line, "omem", state.waiting_bytes);
  Field(line, "tot-mem", state.memory_bytes);
  Field(line, "events", state.is_sending ? "rw" : "r");
  Field(line, "cmd", state.command.empty() ? "NULL" : state.command);
  Field(line, "user", kUser);
  Field(line, "redir", "-1");
  Field(line, "resp", state.version);
  Field(line, "lib-name", state.library_name);
  Field(line, "lib-ver", state.library_version);
  line += '\n';
  return line;
}

// ---- Which ----

// Of the types of connections that Redis has there is one here. Nothing: there is no such type.
std::optional<bool> IsTypeHere(std::string_view type) {
  if (IsWord(type, "normal")) return true;
  for (const std::string_view other : {"slave", "replica", "pubsub", "master"}) {
    if (IsWord(type, other)) return false;
  }
  return std::nullopt;
}

std::string UnknownType(std::string_view type) {
  return "ERR Unknown client type '" + std::string(type) + "'";
}

struct ListArgs {
  bool is_type_here = true;
  // With their places among the arguments, in ascending order.
  std::optional<std::vector<std::pair<uint64_t, size_t>>> ids;
};

std::string ParseList(RespArgs args, ListArgs& list) {
  if (args.size() == 2) return {};
  if (args.size() == 4 && IsWord(args[2], "type")) {
    const std::optional<bool> is_here = IsTypeHere(args[3]);
    if (!is_here) return UnknownType(args[3]);
    list.is_type_here = *is_here;
    return {};
  }
  if (args.size() == 3 || !IsWord(args[2], "id")) return std::string(kErrSyntax);
  const RespArgs ids = args.subspan(3);
  if (ids.size() > kIdsMax) {
    return "ERR CLIENT LIST takes at most " + std::to_string(kIdsMax) + " ids";
  }
  list.ids.emplace();
  for (size_t place = 0; place < ids.size(); ++place) {
    const std::optional<int64_t> id = ParseRespInteger(ids[place]);
    if (!id) return "ERR Invalid client ID";
    list.ids->emplace_back(static_cast<uint64_t>(*id), place);
  }
  std::sort(list.ids->begin(), list.ids->end());
  return {};
}

struct KillArgs {
  bool is_old_form = false;  // one address; oneself too
  bool skips_own = true;
  bool is_type_here = true;
  std::optional<uint64_t> id;
  std::optional<std::string_view> address;
  std::optional<std::string_view> local_address;

  bool Takes(const Session& session) const {
    const ConnectionInfo& info = session.info();
    return is_type_here && (!id || *id == info.id) &&
           (!address || *address == AddressOf(info.peer, info)) &&
           (!local_address || *local_address == AddressOf(info.local, info));
  }
};

// One filter and its value.
std::string ParseKillFilter(std::string_view name, std::string_view value, KillArgs& kill) {
  if (IsWord(name, "id")) {
    const std::optional<int64_t> id = ParseRespInteger(value);
    if (!id || *id < 1) return "ERR client-id should be greater than 0";
    kill.id = static_cast<uint64_t>(*id);
  } else if (IsWord(name, "type")) {
    const std::optional<bool> is_here = IsTypeHere(value);
    if (!is_here) return UnknownType(value);
    kill.is_type_here = *is_here;
  } else if (IsWord(name, "addr")) {
    kill.address = value;
  } else if (IsWord(name, "laddr")) {
    kill.local_address = value;
  } else if (IsWord(name, "user")) {
    if (value != kUser) return "ERR No such user '" + std::string(value) + "'";
  } else if (IsWord(name, "skipme") && IsWord(value, "yes")) {
    kill.skips_own = true;
  } else if (IsWord(name, "skipme") && IsWord(value, "no")) {
    kill.skips_own = false;
  } else {
    return std::string(kErrSyntax);
  }
  return {};
}

std::string ParseKill(RespArgs args, KillArgs& kill) {
  if (args.size() == 3) {
    kill.is_old_form = true;
    kill.skips_own = false;
    kill.address = args[2];
    return {};
  }
  for (size_t at = 2; at < args.size(); at += 2) {
    if (at + 1 == args.size()) return std::string(kErrSyntax);
    std::string error = ParseKillFilter(args[at], args[at + 1], kill);
    if (!error.empty()) return error;
  }
  return {};
}

}  // namespace

// Those of all cores, or those with the ids that were asked for, in their order.
Task<void> RunClientList(RespProtocol& protocol, RespArgs args) {
  ListArgs list;
  const std::string error = ParseList(args, list);
  if (!error.empty()) {
    AloneReply(protocol)->Error(error);
    co_return;
  }
  Session& session = protocol.session();
  GatheredReply gathered(session);
  // By the first of the equal ids: a list may name one a thousand times.
  std::vector<std::string> lines(list.ids ? list.ids->size() : 0);
  UnreadReply held(session);  // these
  size_t line_bytes = 0;      // in one step, like:
  std::string found;
  const auto visit = [&](Session& visited) {
    if (visited.broken()) return;
    if (!list.ids) {
      if (list.is_type_here) found += LineOf(visited);
      return;
    }
    const std::pair<uint64_t, size_t> first(visited.info().id, 0);
    const auto at = std::lower_bound(list.ids->begin(), list.ids->end(), first);
    if (at == list.ids->end() || at->first != first.first) return;
    std::string& line = lines[static_cast<size_t>(at - list.ids->begin())];
    line = LineOf(visited);
    line_bytes += line.size();
  };
  bool fits = true;
  const auto between = [&] {
    fits = gathered.Add(std::exchange(found, {})) && held.Hold(std::exchange(line_bytes, 0));
    return fits && !session.broken();
  };
  co_await protocol.server().visit_sessions(protocol.core(), visit, between);
  if (list.ids) {
    std::vector<size_t> line_of(lines.size());  // by place
    for (size_t i = 0, first = 0; i < lines.size(); ++i) {
      if ((*list.ids)[i].first != (*list.ids)[first].first) first = i;
      line_of[(*list.ids)[i].second] = first;
    }
    for (const size_t line : line_of) fits = fits && gathered.Add(lines[line]);
  }
  if (!fits) {
    AloneReply(protocol)->Error(
        "ERR no memory for so long a list now; ask for some of it with CLIENT LIST ID");
    co_return;
  }
  protocol.ForgetArgs();
  AloneReply(protocol)->VerbatimHeader("txt", gathered.bytes());
  co_await gathered.Send(protocol);
  AloneReply(protocol)->output().Append("\r\n");
}

void RunClientInfo(RespProtocol& protocol, RespArgs, RespWriter& writer) {
  writer.Verbatim("txt", LineOf(protocol.session()));
}

// What a connection that is ended has started goes on; only nobody is answered.
Task<void> RunClientKill(RespProtocol& protocol, RespArgs args) {
  KillArgs kill;
  const std::string error = ParseKill(args, kill);
  if (!error.empty()) {
    AloneReply(protocol)->Error(error);
    co_return;
  }
  const uint64_t own_id = protocol.session().info().id;
  int64_t killed = 0;
  bool kills_own = false;
  const auto visit = [&](Session& visited) {
    if (visited.broken() || !kill.Takes(visited)) return;
    const bool is_own = visited.info().id == own_id;
    if (is_own && kill.skips_own) return;
    kills_own = kills_own || is_own;
    if (!is_own) visited.RequestKill();
    ++killed;
  };
  const auto between = [&] { return !kill.id || killed == 0; };
  co_await protocol.server().visit_sessions(protocol.core(), visit, between);
  AloneReply reply(protocol);
  if (!kill.is_old_form) {
    reply->Integer(killed);
  } else if (killed > 0) {
    reply->Ok();
  } else {
    reply->Error("ERR No such client");
  }
  if (kills_own) protocol.Quit();  // when it has been answered
}

// It runs alone, so that no reply is being written when it says who gets any.
Task<void> RunClientReply(RespProtocol& protocol, RespArgs args) {
  using Mode = RespProtocol::ReplyMode;
  if (IsWord(args[2], "on")) {
    protocol.set_reply_mode(Mode::kOn);
    AloneReply(protocol)->Ok();
  } else if (IsWord(args[2], "off")) {
    protocol.set_reply_mode(Mode::kOff);
  } else if (!IsWord(args[2], "skip")) {
    AloneReply(protocol)->Error(kErrSyntax);
  } else if (protocol.reply_mode() != Mode::kOff) {
    protocol.set_reply_mode(Mode::kSkipNext);
  }
  co_return;
}

// Nothing is closed here to gain memory, so it changes nothing but what is told.
void RunClientNoEvict(RespProtocol& protocol, RespArgs args, RespWriter& writer) {
  const bool on = IsWord(args[2], "on");
  if (!on && !IsWord(args[2], "off")) return writer.Error(kErrSyntax);
  protocol.set_exempt_from_eviction(on);
  writer.Ok();
}

}  // namespace pakv
