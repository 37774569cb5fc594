#include "tests/sim/clients/resp_multi_client.h"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/net/resp/resp_text.h"

namespace pakv {
namespace {

// Few, so that clients meet: of a token, and of tokens.
constexpr uint64_t kPlaces = 2;
constexpr size_t kTokensMax = 2;
// Those of an EXEC's own keys: above all that other clients use, each for one at a time.
constexpr uint64_t kOwnDatabaseFirst = 4;
constexpr uint64_t kOwnDatabases = 12;
// Theirs as well, but of all of them at the same time.
constexpr uint64_t kSharedDatabase = 3;

std::string PlaceName(uint64_t token, uint64_t place) {
  return "token" + std::to_string(token) + "." + std::to_string(place);
}

// What is in an EXEC's own keys, by their names.
using OwnKeys = std::map<std::string, std::string>;

bool LooksAtAll(char look) { return std::string_view("nksR").find(look) != std::string_view::npos; }

// A command that looks at all keys of the own database; empty: its reply is right.
std::string WrongAboutAll(char look, const RespValue& reply, const OwnKeys& keys) {
  std::set<std::string> there;
  for (const auto& [name, value] : keys) {
    if (name != "c") there.insert(name);
  }
  const auto names = [](const RespValue& all) {
    std::set<std::string> found;
    for (const RespValue& key : all.elements) found.insert(key.text);
    return found;
  };
  switch (look) {
    case 'n':
      if (static_cast<uint64_t>(reply.integer) == there.size()) return {};
      return "DBSIZE is " + std::to_string(reply.integer) + " where there are " +
             std::to_string(there.size()) + " keys";
    case 'k':
      if (names(reply) == there && reply.elements.size() == there.size()) return {};
      return "KEYS finds other keys than there are";
    case 's': {
      if (reply.elements.size() != 2) return "SCAN answers something else";
      const std::set<std::string> found = names(reply.elements[1]);
      const bool ends = reply.elements[0].text == "0";
      if (std::includes(there.begin(), there.end(), found.begin(), found.end()) &&
          !(ends && found != there)) {
        return {};
      }
      return "SCAN finds other keys than there are";
    }
    default: {
      const bool is_none = reply.type == RespValue::Type::kNull;
      if (is_none ? there.empty() : there.contains(reply.text)) return {};
      return "RANDOMKEY is " + (is_none ? "none" : reply.text);
    }
  }
}

// What writes one key's value to another.
struct OwnMove {
  char look;
  const char* source;
  const char* target;
  bool replaces = false;
  bool keeps_source = false;
  bool needs_source = false;  // an error without one
  bool answers_ok = false;
};
constexpr OwnMove kOwnMoves[] = {
    {.look = 'r',
     .source = "a",
     .target = "b",
     .replaces = true,
     .needs_source = true,
     .answers_ok = true},
    {.look = 'x', .source = "b", .target = "a", .needs_source = true},
    {.look = 'c', .source = "a", .target = "b", .keeps_source = true},
    {.look = 'C', .source = "b", .target = "a", .replaces = true, .keeps_source = true},
    {.look = 'd', .source = "b", .target = "c", .keeps_source = true},
    {.look = 'D', .source = "a", .target = "c", .replaces = true, .keeps_source = true},
    {.look = 'm', .source = "a", .target = "c"},
    {.look = 'M', .source = "c", .target = "a"},
};

std::string WrongAboutMove(const OwnMove& move, const RespValue& reply, OwnKeys& keys) {
  const auto source = keys.find(move.source);
  const bool exists = source != keys.end();
  const bool is_done = exists && (move.replaces || !keys.contains(move.target));
  bool is_right = reply.type == RespValue::Type::kInteger && reply.integer == (is_done ? 1 : 0);
  if (move.answers_ok && is_done) is_right = reply.type == RespValue::Type::kSimple;
  if (move.needs_source && !exists) is_right = reply.IsError();
  if (is_done) keys[move.target] = source->second;
  if (is_done && !move.keeps_source) keys.erase(move.source);
  if (is_right) return {};
  return std::string("from ") + move.source + " to " + move.target + " is answered " +
         std::to_string(reply.integer) + reply.text;
}

// Any other, which does to `keys` what it has to; empty: its reply is right.
std::string WrongAboutOne(char look, const std::string& value, const RespValue& reply,
                          OwnKeys& keys) {
  for (const OwnMove& move : kOwnMoves) {
    if (move.look == look) return WrongAboutMove(move, reply, keys);
  }
  const std::string name = look == 'a' || look == 'A' || look == 'g' ? "a" : "b";
  switch (look) {
    case 'a':
    case 'b':
      keys[name] = value;
      return reply.type == RespValue::Type::kSimple ? "" : "SET is refused";
    case 'A':
    case 'B':
      if (static_cast<uint64_t>(reply.integer) == keys.erase(name)) return {};
      return "DEL or UNLINK " + name + " answers " + std::to_string(reply.integer);
    default: {
      const auto found = keys.find(name);
      const bool exists = reply.type != RespValue::Type::kNull;
      if (exists == (found != keys.end()) && (!exists || reply.text == found->second)) return {};
      return "GET " + name + " answers " + (exists ? reply.text : "nothing");
    }
  }
}

}  // namespace

RespMultiClient::RespMultiClient(RespLoad& load, RespMultiState& state, uint64_t id, uint64_t seed,
                                 uint32_t count, bool only_looks)
    : RespLoadClient(load, id, seed, count),
      state_(state),
      only_looks_(only_looks),
      own_database_(kOwnDatabaseFirst + state.clients++ % kOwnDatabases) {}

// Of a length that its version has, some of them in files.
std::string RespMultiClient::ValueOf(uint64_t token, uint64_t version) const {
  const uint64_t length = (token * 7919 + version * 104'729) % load_.value_bytes_max;
  return "token" + std::to_string(token) + "." + std::to_string(version) + "." +
         std::string(length, 't');
}

void RespMultiClient::Greet() {
  if (only_looks_) LookAtAll();
}

void RespMultiClient::Replied(const RespValue& reply) {
  if (under_way_.empty()) {
    load_.wrong = "a reply that nobody asked for";
    return;
  }
  const Command command = under_way_.front();
  under_way_.pop_front();
  RepliedTo(command, reply);
}

void RespMultiClient::RepliedTo(const Command& command, const RespValue& reply) {
  const auto wrong = [&](std::string what) { load_.wrong = std::move(what); };
  if (reply.IsError()) {
    const bool is_move = command.what == What::kMove && (reply.text == "ERR no such key" ||
                                                         reply.text.starts_with("ERR the key's"));
    if (command.what == What::kRead || command.what == What::kExec) increments_ = false;
    // No EXEC comes of this one, and the next is on other keys.
    if (command.what == What::kRead && !only_looks_) Send({}, "UNWATCH");
    if (command.what == What::kSet) SetReplied(command, reply);
    if (!is_move && !load_.Explains(reply.text))
      wrong("an error that nothing explains: " + reply.text);
    return;
  }
  switch (command.what) {
    case What::kSimple:
    case What::kMove:
      return;
    case What::kSet:
      return SetReplied(command, reply);
    case What::kOwnKeys:
      return CheckOwnKeys(command, reply.elements);
    case What::kRead: {
      const uint64_t value = reply.text.empty() ? 0 : std::stoull(reply.text);
      if (value < command.least) {
        return wrong("an increment is lost: " + std::to_string(value) + " of at least " +
                     std::to_string(command.least));
      }
      if (value > state_.begun) return wrong("the counter counts what was never begun");
      if (!only_looks_) Increment(value);
      return;
    }
    case What::kExec:
      increments_ = false;
      if (reply.type == RespValue::Type::kNull) {
        --state_.begun;  // its watch was broken
      } else {
        ++state_.counted;
        CheckLooks(reply.elements);
      }
      return;
    case What::kCount:
      return CheckPlaces(command, static_cast<uint64_t>(reply.integer));
    case What::kGet:
    case What::kGetCopy:
      static_cast<void>(reply.type == RespValue::Type::kNull || IsVersion(command, reply.text));
      return;
    case What::kGetAll: {
      uint64_t count = 0;
      for (const RespValue& each : reply.elements) {
        if (each.IsError()) return RepliedTo(command, each);
        if (each.type == RespValue::Type::kNull) continue;
        ++count;
        if (!IsVersion(command, each.text)) return;
      }
      return CheckPlaces(command, count);
    }
  }
}

// The next version is sent when it is known what became of this one: across a connection that ends
// that is known at the end of the server alone.
void RespMultiClient::SetReplied(const Command& command, const RespValue& reply) {
  RespMultiState::Token& token = state_.tokens.at(command.token);
  if (reply.IsError() && reply.text.starts_with("ERR request timeout")) return;
  token.is_changing = false;
  if (reply.type == RespValue::Type::kSimple) token.settled = token.begun;
}

// What it was by the time of the question, or newer, and whole. A copy may be as old as it is.
bool RespMultiClient::IsVersion(const Command& command, const std::string& value) {
  const RespMultiState::Token& token = state_.tokens.at(command.token);
  uint64_t version = command.what == What::kGetCopy ? 1 : std::max<uint64_t>(command.least, 1);
  while (version <= token.begun && value != ValueOf(command.token, version)) ++version;
  if (version <= token.begun) return true;
  load_.wrong = "token " + std::to_string(command.token) + " is " + value.substr(0, 40) +
                ", where it has been version " + std::to_string(command.least) + " for sure";
  return false;
}

void RespMultiClient::CheckPlaces(const Command& command, uint64_t count) {
  if (count >= std::min<uint64_t>(command.least, 1) && count <= 1) return;
  load_.wrong =
      "token " + std::to_string(command.token) + " is in " + std::to_string(count) + " keys";
}

// Within EXEC: the counter as a key of its own, before and after it was set, whatever others do.
void RespMultiClient::CheckLooks(const std::vector<RespValue>& replies) {
  if (replies.size() != 4) {
    load_.wrong = "EXEC has another number of replies";
    return;
  }
  for (const RespValue& reply : replies) {
    if (reply.IsError()) return RepliedTo(Command(), reply);
  }
  const auto before = static_cast<size_t>(replies[0].integer);
  if (replies[1].elements.size() == before && replies[3].elements.size() == 1) return;
  load_.wrong = "KEYS within EXEC finds the counter " + std::to_string(replies[1].elements.size()) +
                " times where it is " + std::to_string(before) + " times, and then " +
                std::to_string(replies[3].elements.size()) + " times";
}

// Of two keys of the own database and of `c`, which is `a` in the shared one: the first replies
// tell what is there, and from then on what is done.
void RespMultiClient::CheckOwnKeys(const Command& command, const std::vector<RespValue>& replies) {
  const auto wrong = [&](const std::string& what) {
    if (load_.wrong.empty()) load_.wrong = "within EXEC " + what + "; it does " + command.looks;
  };
  constexpr size_t kBefore = 6;  // SELECT, GET a, GET b, SELECT, GET a, SELECT
  size_t lines = kBefore + 1;
  for (const char look : command.looks) lines += LinesOf(look, {}).size();
  if (replies.size() != lines) return wrong("there is another number of replies");
  for (const RespValue& reply : replies) {
    if (reply.IsError() && reply.text != "ERR no such key") return RepliedTo(Command(), reply);
  }
  OwnKeys keys;
  const auto note = [&keys](const char* name, const RespValue& value) {
    if (value.type != RespValue::Type::kNull) keys[name] = value.text;
  };
  note("a", replies[1]);
  note("b", replies[2]);
  note("c", replies[4]);
  size_t at = kBefore;
  for (const char look : command.looks) {
    const size_t own_lines = LinesOf(look, {}).size();
    const RespValue& reply = replies[at + (own_lines - 1) / 2];
    at += own_lines;
    const std::string told = LooksAtAll(look) ? WrongAboutAll(look, reply, keys)
                                              : WrongAboutOne(look, command.value, reply, keys);
    if (!told.empty()) return wrong(told);
  }
}

// What the look is in RESP. Of three lines the middle one is it.
std::vector<std::string> RespMultiClient::LinesOf(char look, const std::string& value) const {
  const std::string own = std::to_string(own_database_);
  const std::string shared = std::to_string(kSharedDatabase);
  switch (look) {
    case 'a':
    case 'b':
      return {std::string("SET ") + look + " " + value};
    case 'A':
      return {"DEL a"};
    case 'B':
      return {"UNLINK b"};
    case 'g':
      return {"GET a"};
    case 'h':
      return {"GET b"};
    case 'r':
      return {"RENAME a b"};
    case 'x':
      return {"RENAMENX b a"};
    case 'c':
      return {"COPY a b"};
    case 'C':
      return {"COPY b a REPLACE"};
    case 'd':
      return {"COPY b a DB " + shared};
    case 'D':
      return {"COPY a a REPLACE DB " + shared};
    case 'm':
      return {"MOVE a " + shared};
    case 'M':
      return {"SELECT " + shared, "MOVE a " + own, "SELECT " + own};
    case 'n':
      return {"DBSIZE"};
    case 'k':
      return {"KEYS *"};
    case 's':
      return {"SCAN 0 COUNT 10000"};
    default:
      return {"RANDOMKEY"};
  }
}

void RespMultiClient::LookAtOwnKeys() {
  constexpr std::string_view kLooks = "aabbABghrxcCdDmMMnnnkssR";
  Command command{.what = What::kOwnKeys};
  command.value = "own" + std::to_string(id_) + "." + std::to_string(next_value_++);
  for (uint64_t count = prng_.Between(2, 9); count > 0; --count) {
    command.looks += kLooks[prng_.Below(kLooks.size())];
  }
  const std::string own = "SELECT " + std::to_string(own_database_);
  const std::string shared = "SELECT " + std::to_string(kSharedDatabase);
  Send({}, "MULTI");
  for (const std::string& line :
       {own, std::string("GET a"), std::string("GET b"), shared, std::string("GET a"), own}) {
    Send({}, line);
  }
  for (const char look : command.looks) {
    for (const std::string& line : LinesOf(look, command.value)) Send({}, line);
  }
  Send({}, "SELECT 0");
  Send(std::move(command), "EXEC");
}

void RespMultiClient::Send(Command command, std::string_view line) {
  to_send_.Append(line);
  to_send_.Append("\r\n");
  under_way_.push_back(std::move(command));
}

void RespMultiClient::StartMore() {
  while (left_ > 0 && !increments_ && under_way_.size() < load_.pipeline_max) StartOne();
  if (left_ == 0 && under_way_.empty()) End();
}

void RespMultiClient::StartOne() {
  --left_;
  if (state_.tokens.size() < kTokensMax && prng_.Chance(1, 2)) {
    SetToken(id_ * kTokensMax + state_.tokens.size());
  } else if (prng_.Chance(1, 5)) {
    LookAtOwnKeys();
  } else if (prng_.Chance(1, 3)) {
    increments_ = true;
    Send({}, "WATCH counter");
    Send({.what = What::kRead, .least = state_.counted}, "GET counter");
  } else if (!state_.tokens.empty()) {
    auto token = state_.tokens.begin();
    std::advance(token, prng_.Below(state_.tokens.size()));
    StartOnToken(token->first);
  }
}

void RespMultiClient::Increment(uint64_t before) {
  ++state_.begun;
  Send({}, "MULTI");
  Send({}, "EXISTS counter");
  Send({}, "KEYS counter");
  Send({}, "SET counter " + std::to_string(before + 1));
  Send({}, "KEYS counter");
  Send({.what = What::kExec}, "EXEC");
}

// The first version makes it, the next ones are set where it is, if that is there.
void RespMultiClient::SetToken(uint64_t number) {
  RespMultiState::Token& token = state_.tokens[number];
  const bool makes = token.begun == 0;
  token.is_changing = true;
  ++token.begun;
  const uint64_t place = makes ? 0 : prng_.Below(kPlaces);
  std::vector<std::string> words = {"SET", PlaceName(number, place), ValueOf(number, token.begun)};
  if (!makes) words.emplace_back("XX");
  to_send_.Append(RespRequest(words));
  under_way_.push_back({.what = What::kSet, .token = number});
}

// A command on all places where the token can be.
void RespMultiClient::SendToAll(What what, const std::string& command, uint64_t token) {
  std::string line = command;
  for (uint64_t place = 0; place < kPlaces; ++place) line += " " + PlaceName(token, place);
  Send({.what = what, .token = token, .least = state_.tokens.at(token).settled}, line);
}

void RespMultiClient::StartOnToken(uint64_t token) {
  const std::string source = PlaceName(token, prng_.Below(kPlaces));
  const std::string target = PlaceName(token, prng_.Below(kPlaces));
  const std::string copy = "copy" + std::to_string(token);
  const RespMultiState::Token& now = state_.tokens.at(token);
  if (!now.is_changing && prng_.Chance(1, 3)) return SetToken(token);
  switch (prng_.Below(7)) {
    case 0:
      return Send({.what = What::kMove}, "RENAMENX " + source + " " + target);
    case 1:
      return SendToAll(What::kCount, "EXISTS", token);
    case 2:
      return Send({.what = What::kGet, .token = token, .least = now.settled}, "GET " + source);
    case 3:
      Send({.what = What::kMove}, "COPY " + source + " " + copy + " REPLACE");
      return Send({.what = What::kGetCopy, .token = token}, "GET " + copy);
    case 4:
      return SendToAll(What::kGetAll, "MGET", token);
    default:
      return Send({.what = What::kMove}, "RENAME " + source + " " + target);
  }
}

void RespMultiClient::LookAtAll() {
  left_ = 0;
  Send({.what = What::kRead, .least = state_.counted}, "GET counter");
  for (const auto& [number, token] : state_.tokens) {
    SendToAll(What::kCount, "EXISTS", number);
    SendToAll(What::kGetAll, "MGET", number);
  }
}

}  // namespace pakv
