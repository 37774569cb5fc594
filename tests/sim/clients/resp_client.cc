#include "tests/sim/clients/resp_client.h"

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "tests/net/resp/resp_text.h"

namespace pakv {
namespace {

// What the oracle is asked to explain at once; with keys that may also expire at any time.
constexpr size_t kPendingPerKeyMax = 6;
constexpr size_t kPendingPerExpiringKeyMax = 5;

std::string Encode(const std::string& key, const OracleOperation& what) {
  std::vector<std::string> words;
  const std::string number = std::to_string(what.number);
  switch (what.command) {
    case OracleCommand::kGet:
      words = {"GET", key};
      break;
    case OracleCommand::kSet:
      words = {"SET", key, what.argument};
      break;
    case OracleCommand::kSetIfAbsent:
      words = {"SETNX", key, what.argument};
      break;
    case OracleCommand::kDelete:
      words = {"DEL", key};
      break;
    case OracleCommand::kIncrement:
      words = {"INCRBY", key, number};
      break;
    case OracleCommand::kAppend:
      words = {"APPEND", key, what.argument};
      break;
    case OracleCommand::kSetRange:
      words = {"SETRANGE", key, number, what.argument};
      break;
    case OracleCommand::kSetUntil:
      words = {"SET", key, what.argument, "PXAT", number};
      break;
    case OracleCommand::kExpireAt:
      words = {"PEXPIREAT", key, number};
      break;
    case OracleCommand::kPersist:
      words = {"PERSIST", key};
      break;
    case OracleCommand::kExpireTime:
      words = {"PEXPIRETIME", key};
      break;
    case OracleCommand::kLength:
      words = {"STRLEN", key};
      break;
    case OracleCommand::kGetSet:
      words = {"GETSET", key, what.argument};
      break;
    case OracleCommand::kGetDelete:
      words = {"GETDEL", key};
      break;
    case OracleCommand::kGetExpireAt:
      words = {"GETEX", key, "PXAT", number};
      break;
  }
  return RespRequest(words);
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
  OracleReply seen;
  switch (reply.type) {
    case RespValue::Type::kSimple:
      break;
    case RespValue::Type::kNull:
      seen.kind = OracleReply::Kind::kNull;
      break;
    case RespValue::Type::kInteger:
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
      } else if (starts("ERR value is not an integer")) {
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
  const std::string key = "key" + std::to_string(number / load_.database_count);
  const std::string name = std::to_string(number % load_.database_count) + "/" + key;
  Step step;
  switch (work_) {
    case Work::kRandom:
      if (load_.oracle.pending_count(name) >=
          (load_.wall_ms ? kPendingPerExpiringKeyMax : kPendingPerKeyMax)) {
        return false;
      }
      step.what = operations_.Next();
      break;
    case Work::kReadAll:
      step.what = {OracleCommand::kGet, {}, 0};
      break;
    case Work::kWriteAll:
      step.what = {OracleCommand::kSet, operations_.Value(), 0};
      break;
  }
  // Long values take no part in transactions.
  if (command.is_exec && step.what.argument.size() > load_.inline_bytes_max) {
    step.what.argument.resize(load_.inline_bytes_max);
  }
  if (!command.is_exec) Select(number % load_.database_count);
  step.what.may_be_refused = load_.may_refuse();
  step.id = load_.oracle.Begin(id_, name, step.what);
  const std::string bytes = Encode(key, step.what);
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

// Of commands on keys of one database, each on another.
void RespClient::StartTransaction(uint64_t number) {
  Command command;
  command.is_exec = true;
  Select(number % load_.database_count);
  SendPlain("MULTI\r\n");
  const uint64_t count = prng_.Between(1, 3);
  for (uint64_t i = 0; i < count && number < load_.key_count; ++i) {
    static_cast<void>(AddStep(number, command));
    number += load_.database_count * prng_.Between(1, 2);
  }
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
