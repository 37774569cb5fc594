#include "tests/sim/clients/resp_client.h"

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <iterator>
#include <utility>
#include <vector>

#include "tests/net/resp/resp_text.h"

namespace pakv {
namespace {

// What the oracle is asked to explain at once; with keys that may also expire at any time.
constexpr size_t kPendingPerKeyMax = 6;
constexpr size_t kPendingPerExpiringKeyMax = 5;

// The option that says so of a time.
std::vector<std::string> SpellTime(int64_t ms, Prng& prng) {
  if (ms % 1000 == 0 && prng.Chance(3, 4)) return {"EXAT", std::to_string(ms / 1000)};
  return {"PXAT", std::to_string(ms)};
}

// SET, or one that is short for it.
std::vector<std::string> SpellSet(const std::string& key, const OracleOperation& what, Prng& prng) {
  const OracleOptions& options = what.options;
  const bool is_plain = what.number == 0 && !options.keeps_expiry && !options.if_present;
  if (is_plain && options.if_absent != options.answers_old && prng.Chance(1, 2)) {
    return {options.if_absent ? "SETNX" : "GETSET", key, what.argument};
  }
  std::vector<std::vector<std::string>> parts;
  if (options.if_absent) parts.push_back({"NX"});
  if (options.if_present) parts.push_back({"XX"});
  if (options.answers_old) parts.push_back({"GET"});
  if (options.keeps_expiry) parts.push_back({"KEEPTTL"});
  if (what.number != 0) parts.push_back(SpellTime(what.number, prng));
  std::vector<std::string> words = {"SET", key, what.argument};
  while (!parts.empty()) {
    const auto next = parts.begin() + static_cast<ptrdiff_t>(prng.Below(parts.size()));
    words.insert(words.end(), next->begin(), next->end());
    parts.erase(next);
  }
  return words;
}

std::vector<std::string> SpellIncrement(const std::string& key, int64_t number, Prng& prng) {
  if (number == 1 && prng.Chance(1, 2)) return {"INCR", key};
  if (number == -1 && prng.Chance(1, 2)) return {"DECR", key};
  if (prng.Chance(1, 4)) return {"DECRBY", key, std::to_string(-number)};
  return {"INCRBY", key, std::to_string(number)};
}

std::vector<std::string> SpellExpireAt(const std::string& key, const OracleOperation& what,
                                       Prng& prng) {
  std::vector<std::string> words = SpellTime(what.number, prng);
  const bool in_seconds = words[0] == "EXAT";
  if (what.options.answers_old) {
    words.insert(words.begin(), {"GETEX", key});
    return words;
  }
  words = {in_seconds ? "EXPIREAT" : "PEXPIREAT", key, words[1]};
  if (what.options.if_absent) words.emplace_back("NX");
  if (what.options.if_present) words.emplace_back("XX");
  if (what.options.if_later) words.emplace_back("GT");
  if (what.options.if_sooner) words.emplace_back("LT");
  return words;
}

// One of the commands that do this.
std::vector<std::string> Spell(const std::string& key, const OracleOperation& what, Prng& prng) {
  const std::string number = std::to_string(what.number);
  const auto one_of = [&prng](std::initializer_list<const char*> names) {
    return std::string(names.begin()[prng.Below(names.size())]);
  };
  switch (what.command) {
    case OracleCommand::kGet:
      return {prng.Chance(1, 8) ? "GETEX" : "GET", key};
    case OracleCommand::kGetRange:
      return {one_of({"GETRANGE", "GETRANGE", "SUBSTR"}), key, number, std::to_string(what.last)};
    case OracleCommand::kLength:
      return {"STRLEN", key};
    case OracleCommand::kExists:
      return {one_of({"EXISTS", "TOUCH", "TYPE"}), key};
    case OracleCommand::kExpireTime:
      return {what.options.in_seconds ? "EXPIRETIME" : "PEXPIRETIME", key};
    case OracleCommand::kSet:
      return SpellSet(key, what, prng);
    case OracleCommand::kDelete:
      return {what.options.answers_old ? "GETDEL" : one_of({"DEL", "UNLINK"}), key};
    case OracleCommand::kIncrement:
      return SpellIncrement(key, what.number, prng);
    case OracleCommand::kAddFloat:
      return {"INCRBYFLOAT", key, what.argument};
    case OracleCommand::kAppend:
      return {"APPEND", key, what.argument};
    case OracleCommand::kSetRange:
      return {"SETRANGE", key, number, what.argument};
    case OracleCommand::kExpireAt:
      return SpellExpireAt(key, what, prng);
    case OracleCommand::kPersist:
      if (what.options.answers_old) return {"GETEX", key, "PERSIST"};
      return {"PERSIST", key};
  }
  return {};
}

RandomOperationsOptions OperationsOn(const RespLoad& load) {
  RandomOperationsOptions options;
  options.wall_ms = load.wall_ms;
  options.value_bytes_max = load.value_bytes_max;
  options.part_bytes_max = load.inline_bytes_max;
  options.places = 2 * std::min(load.value_bytes_max, load.inline_bytes_max);
  return options;
}

}  // namespace

RespClient::RespClient(RespLoad& load, uint64_t id, uint64_t seed, Work work, uint32_t count)
    : RespLoadClient(load, id, seed, work == Work::kRandom ? count : load.key_count),
      work_(work),
      operations_(prng_, id, OperationsOn(load)) {}

void RespClient::Replied(const RespValue& reply) {
  if (under_way_.empty()) {
    load_.wrong = "a reply that nobody asked for";
    return;
  }
  const Command command = std::move(under_way_.front());
  under_way_.pop_front();
  const bool is_limit = reply.type == RespValue::Type::kError && load_.limits_are_small &&
                        (reply.text.starts_with("ERR max number of clients") ||
                         reply.text.starts_with("ERR request timeout"));
  if (is_limit) return Rejected(command);
  if (command.is_exec) return ExecReplied(command, reply);
  if (!command.steps.empty()) return StepReplied(command.steps[0], reply, false);
  if (reply.type != RespValue::Type::kSimple) {
    load_.wrong = "SELECT, MULTI, or a command between MULTI and EXEC was refused: " + reply.text;
  }
}

void RespClient::ExecReplied(const Command& command, const RespValue& reply) {
  in_exec_ = false;
  if (reply.type == RespValue::Type::kArray && reply.elements.size() == command.steps.size()) {
    for (size_t i = 0; i < command.steps.size(); ++i) {
      StepReplied(command.steps[i], reply.elements[i], true);
    }
    return;
  }
  if (!reply.IsError()) {
    load_.wrong = "EXEC answers for another number of commands";
    return;
  }
  // Nothing was done if one key's value lies in a file; nothing to be found out of reads.
  const bool is_in_file = reply.text.starts_with("ERR the key's value is too long");
  for (const Step& step : command.steps) {
    if (is_in_file || (IsRead(step.what.command) && load_.disk_is_ill)) {
      load_.oracle.Refused(step.id);
    } else {
      StepReplied(step, reply, true);
    }
  }
}

void RespClient::StepReplied(const Step& command, const RespValue& reply, bool in_exec) {
  const auto starts = [&reply](std::string_view prefix) { return reply.text.starts_with(prefix); };
  // SET says with OK and null what SETNX says with a number.
  const OracleOptions& options = command.what.options;
  const bool tells_if_met =
      command.name == "SET" && !options.answers_old && (options.if_absent || options.if_present);
  OracleReply seen;
  switch (reply.type) {
    case RespValue::Type::kSimple:
      if (command.name == "TYPE" && (reply.text == "string" || reply.text == "none")) {
        seen = {OracleReply::Kind::kInteger, reply.text == "string" ? 1 : 0, {}};
      } else if (reply.text != "OK") {
        load_.wrong = command.name + " answers " + reply.text;
        return;
      } else if (tells_if_met) {
        seen = {OracleReply::Kind::kInteger, 1, {}};
      }
      break;
    case RespValue::Type::kNull:
      seen.kind = tells_if_met ? OracleReply::Kind::kInteger : OracleReply::Kind::kNull;
      break;
    case RespValue::Type::kInteger:
      if (command.name == "SET" || command.name == "TYPE") {
        load_.wrong = command.name + " answers with a number";
        return;
      }
      seen.kind = OracleReply::Kind::kInteger;
      seen.integer = reply.integer;
      break;
    case RespValue::Type::kBulk:
      seen.kind = OracleReply::Kind::kBytes;
      seen.bytes = reply.text;
      break;
    case RespValue::Type::kError: {
      const bool untold = starts("ERR the write was done, ");
      if (untold && (load_.disk_is_ill || load_.lacks_descriptors)) {
        seen.kind = OracleReply::Kind::kUntold;
        break;
      }
      const bool unknown = starts("MISCONF outcome unknown: ");
      const bool refused = starts("MISCONF read-only: ") || starts("MISCONF disk full: ") ||
                           starts("ERR file error: ");
      if ((unknown || refused) && !load_.disk_is_ill && !load_.LacksDescriptorsFor(reply.text)) {
        load_.wrong = "a healthy disk, and yet: " + reply.text;
      } else if (unknown) {
        load_.oracle.Unknown(command.id);
      } else if (refused) {
        load_.oracle.Refused(command.id);
      } else if (load_.LacksDescriptorsFor(reply.text)) {
        load_.oracle.Refused(command.id);
      } else if (starts("ERR the key's value is too long") && in_exec) {
        // What works in memory takes no value that lies in a file, and makes none.
        load_.oracle.Refused(command.id);
      } else if ((starts("OOM ") && load_.memory_is_short) ||
                 (starts("ERR no memory for so large a reply") && load_.replies_are_bounded)) {
        load_.oracle.Refused(command.id);
      } else if (reply.text == (command.name == "INCRBYFLOAT"
                                    ? "ERR value is not a valid float"
                                    : "ERR value is not an integer or out of range")) {
        seen.kind = OracleReply::Kind::kError;
        break;
      } else {
        load_.wrong = "an error that nothing explains: " + reply.text;
      }
      return;
    }
    default:
      load_.wrong = "a reply of a type that no command here has";
      return;
  }
  load_.oracle.Acknowledged(command.id, std::move(seen));
}

// False: there is as much under way on that key as the oracle can follow.
bool RespClient::AddStep(uint64_t number, Command& command) {
  const std::string key = KeyOf(number);
  const std::string name = std::to_string(number % load_.database_count) + "/" + key;
  Step step;
  switch (work_) {
    case Work::kRandom:
      if (load_.oracle.pending_count(name) >=
          (load_.wall_ms ? kPendingPerExpiringKeyMax : kPendingPerKeyMax)) {
        return false;
      }
      step.what = operations_.NextOfResp();
      break;
    case Work::kReadAll:
      step.what = {OracleCommand::kGet, {}, 0};
      break;
    case Work::kWriteAll:
      step.what = {OracleCommand::kSet, operations_.Value(), 0};
      break;
  }
  if (command.is_exec) LimitForExec(step.what);
  if (!command.is_exec) Select(number % load_.database_count);
  step.what.may_be_refused = load_.may_refuse();
  step.id = load_.oracle.Begin(id_, name, step.what);
  const std::vector<std::string> words = Spell(key, step.what, prng_);
  step.name = words[0];
  const std::string bytes = RespRequest(words);
  if (command.is_exec) {
    SendPlain(bytes);
  } else {
    to_send_.Append(bytes);
  }
  command.steps.push_back(std::move(step));
  return true;
}

void RespClient::StartOne() {
  --left_;
  Command command;
  if (work_ == Work::kRandom && prng_.Chance(load_.flush_per_10000, 10'000)) {
    const bool all = prng_.Chance(1, 3);
    Select(prng_.Below(load_.database_count));
    Step step;
    step.id = load_.oracle.BeginFlush(id_, all ? "" : std::to_string(database_) + "/");
    command.steps.push_back(std::move(step));
    to_send_.Append(all ? "FLUSHALL\r\n" : "FLUSHDB\r\n");
    under_way_.push_back(std::move(command));
    return;
  }
  const uint64_t number = work_ == Work::kRandom ? prng_.Below(load_.key_count) : left_;
  if (work_ == Work::kRandom && prng_.Chance(1, 10)) return StartTransaction(number);
  if (AddStep(number, command)) under_way_.push_back(std::move(command));
}

std::string RespClient::KeyOf(uint64_t number) const {
  return "key" + std::to_string(number / load_.database_count);
}

// Long values take no part in transactions.
void RespClient::LimitForExec(OracleOperation& what) const {
  if (what.argument.size() > load_.inline_bytes_max) what.argument.resize(load_.inline_bytes_max);
}

// Of commands on keys of one database, each on another.
void RespClient::StartTransaction(uint64_t number) {
  Command command;
  command.is_exec = true;
  Select(number % load_.database_count);
  SendPlain("MULTI\r\n");
  const uint64_t count = prng_.Between(1, 3);
  const bool discards = prng_.Chance(1, 8);
  for (uint64_t i = 0; i < count && number < load_.key_count; ++i) {
    if (discards) {
      // The oracle is not told: nobody ever sees anything of it.
      OracleOperation what = operations_.NextOfResp();
      LimitForExec(what);
      SendPlain(RespRequest(Spell(KeyOf(number), what, prng_)));
    } else {
      static_cast<void>(AddStep(number, command));
    }
    number += load_.database_count * prng_.Between(1, 2);
  }
  if (discards) return SendPlain("DISCARD\r\n");
  to_send_.Append("EXEC\r\n");
  in_exec_ = true;
  under_way_.push_back(std::move(command));
}

void RespClient::Select(uint64_t database) {
  if (database == database_) return;
  database_ = database;
  SendPlain("SELECT " + std::to_string(database) + "\r\n");
}

// Something that is answered with a simple string, and that the oracle knows nothing of.
void RespClient::SendPlain(const std::string& line) {
  to_send_.Append(line);
  under_way_.emplace_back();
}

// A burst now and then, so that commands share a chunk, and each other's blocks.
void RespClient::StartMore() {
  if (!load_.wrong.empty() || !load_.oracle.ok()) return;
  if (left_ == 0 && under_way_.empty()) return End();
  // At least one has to be under way: its reply is the next occasion.
  const size_t burst = 1 + prng_.Below(load_.pipeline_max);
  for (size_t i = 0; left_ > 0 && !in_exec_ && (i < burst || under_way_.empty()) &&
                     under_way_.size() < load_.pipeline_max;
       ++i) {
    StartOne();
  }
  if (left_ == 0 && under_way_.empty()) End();
}

// Nobody has read what was sent.
void RespClient::Rejected(const Command& first) {
  for (const Step& step : first.steps) load_.oracle.Refused(step.id);
  for (const Command& command : under_way_) {
    for (const Step& step : command.steps) load_.oracle.Refused(step.id);
  }
  under_way_.clear();
  left_ = 0;
}

GarbageClient::GarbageClient(SimNet& net, const std::string& address, uint64_t seed,
                             uint32_t inline_bytes_max)
    : net_(net) {
  Prng prng(seed);
  constexpr const char* kBegins[] = {"",
                                     "*3\r\n$3\r\nSET\r\n$4\r\nke",
                                     "*1000000000\r\n",
                                     "*2\r\n$-5\r\n",
                                     "GET / HTTP/1.1\r\nHost: pakv\r\n\r\n",
                                     "*2\r\n$3\r\nGET\r\n$99999999999999999999\r\n"};
  const uint64_t begin = prng.Below(3 * std::size(kBegins));
  if (begin < std::size(kBegins)) {
    to_send_ = kBegins[begin];
  } else {
    to_send_ = "*3\r\n$3\r\nSET\r\n$7\r\ngarbage\r\n$" + std::to_string(inline_bytes_max + 20'000) +
               "\r\n";
  }
  const uint64_t noise = prng.Chance(1, 2) ? prng.Below(5000) : 0;
  // No letters, so that no inline command comes of it.
  for (uint64_t i = 0; i < noise; ++i) to_send_ += static_cast<char>(0x80 + prng.Below(0x80));
  net_.Connect(/*owner=*/0, kLoadHost, address,
               [this, lives = std::weak_ptr(lives_)](int32_t error, SimNet::EndpointRef near_end) {
                 if (lives.expired() || error != 0) return;
                 end_ = std::move(near_end);
                 end_->changed = [this] { Poke(); };
                 Poke();
               });
}

GarbageClient::~GarbageClient() {
  if (end_ == nullptr) return;
  end_->changed = nullptr;
  if (!end_->closed) net_.Close(end_);
}

void GarbageClient::Poke() {
  if (!end_->received.empty()) net_.Take(end_, SIZE_MAX);
  while (!to_send_.empty()) {
    const int32_t sent = net_.Send(end_, to_send_);
    if (sent <= 0) return;
    to_send_.erase(0, static_cast<size_t>(sent));
  }
}

}  // namespace pakv
