#include "tests/sim/resp_multi_client.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "tests/net/resp_text.h"

namespace pakv {
namespace {

constexpr uint64_t kPlaces = 4;  // of a token

std::string PlaceName(uint64_t token, uint64_t place) {
  return "token" + std::to_string(token) + "." + std::to_string(place);
}

}  // namespace

RespMultiClient::RespMultiClient(RespLoad& load, RespMultiState& state, uint64_t id, uint64_t seed,
                                 uint32_t count, bool only_looks)
    : RespLoadClient(load, id, seed, count), state_(state), only_looks_(only_looks) {}

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

bool RespMultiClient::MayFail(std::string_view error) const {
  const bool is_limit =
      error.starts_with("ERR max number of clients") || error.starts_with("ERR request timeout");
  const bool is_disk = error.starts_with("MISCONF ") || error.starts_with("ERR file error: ");
  return (load_.disk_is_ill && is_disk) || (load_.limits_are_small && is_limit) ||
         (load_.memory_is_short && error.starts_with("OOM ")) ||
         (load_.replies_are_bounded && error.starts_with("ERR no memory for so large a reply"));
}

void RespMultiClient::RepliedTo(const Command& command, const RespValue& reply) {
  const auto wrong = [&](std::string what) { load_.wrong = std::move(what); };
  if (reply.IsError()) {
    const bool is_move = command.what == What::kMove && (reply.text == "ERR no such key" ||
                                                         reply.text.starts_with("ERR the key's"));
    if (command.what == What::kRead || command.what == What::kExec) increments_ = false;
    if (!is_move && !MayFail(reply.text)) wrong("an error that nothing explains: " + reply.text);
    return;
  }
  switch (command.what) {
    case What::kSimple:
    case What::kMove:
      return;
    case What::kMake:
      state_.tokens.at(command.token).is_made = true;
      return;
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
    case What::kGetAll: {
      const std::string& value = state_.tokens.at(command.token).value;
      const std::vector<RespValue> one = {reply};
      uint64_t count = 0;
      for (const RespValue& each : command.what == What::kGet ? one : reply.elements) {
        if (each.IsError()) return RepliedTo(command, each);
        if (each.type == RespValue::Type::kNull) continue;
        ++count;
        if (each.text == value) continue;
        return wrong("token " + std::to_string(command.token) + " is " + each.text.substr(0, 40));
      }
      if (command.what == What::kGetAll) CheckPlaces(command, count);
      return;
    }
  }
}

void RespMultiClient::CheckPlaces(const Command& command, uint64_t count) {
  if (count >= command.least && count <= 1) return;
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

void RespMultiClient::Send(Command command, std::string_view line) {
  to_send_.Append(line);
  to_send_.Append("\r\n");
  under_way_.push_back(command);
}

void RespMultiClient::StartMore() {
  while (left_ > 0 && !increments_ && under_way_.size() < load_.pipeline_max) StartOne();
  if (left_ == 0 && under_way_.empty()) End();
}

void RespMultiClient::StartOne() {
  --left_;
  if (!has_made_ && prng_.Chance(1, 2)) {
    has_made_ = true;
    RespMultiState::Token& token = state_.tokens[id_];
    token.value =
        "token" + std::to_string(id_) + std::string(prng_.Below(load_.value_bytes_max), 't');
    const std::string name = PlaceName(id_, 0);
    to_send_.Append(RespRequest({"SET", name, token.value}));
    under_way_.push_back({.what = What::kMake, .token = id_});
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

// A command on all places where the token can be.
void RespMultiClient::SendToAll(What what, const std::string& command, uint64_t token) {
  std::string line = command;
  for (uint64_t place = 0; place < kPlaces; ++place) line += " " + PlaceName(token, place);
  const uint64_t least = state_.tokens.at(token).is_made ? 1 : 0;
  Send({.what = what, .token = token, .least = least}, line);
}

void RespMultiClient::StartOnToken(uint64_t token) {
  const std::string source = PlaceName(token, prng_.Below(kPlaces));
  const std::string target = PlaceName(token, prng_.Below(kPlaces));
  const std::string copy = "copy" + std::to_string(token);
  switch (prng_.Below(7)) {
    case 0:
      return Send({.what = What::kMove}, "RENAMENX " + source + " " + target);
    case 1:
      return SendToAll(What::kCount, "EXISTS", token);
    case 2:
      return Send({.what = What::kGet, .token = token}, "GET " + source);
    case 3:
      Send({.what = What::kMove}, "COPY " + source + " " + copy + " REPLACE");
      return Send({.what = What::kGet, .token = token}, "GET " + copy);
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
