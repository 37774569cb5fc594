// Long because: one search, whose steps share what they know of a key.
#include "tests/sim/oracle/oracle.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <system_error>
#include <utility>

#include "runtime/base/check.h"

namespace pakv {
namespace {

std::string Quote(std::string bytes) {
  constexpr size_t kShown = 48;
  std::replace(bytes.begin(), bytes.end(), '\0', '~');
  if (bytes.size() <= kShown) return "\"" + bytes + "\"";
  return "\"" + bytes.substr(0, kShown) + "...\" (" + std::to_string(bytes.size()) + " bytes)";
}

std::optional<int64_t> ParseNumber(const std::string& text) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return number;
}

bool IsRead(const OracleOperation& operation) { return pakv::IsRead(operation.command); }

// Whatever the key holds, so that the answer says nothing of what it has lost by its time.
bool IsRefusedUnseen(const OracleOperation& operation) {
  return operation.command == OracleCommand::kAppend && operation.number > 0 &&
         operation.argument.size() > static_cast<size_t>(operation.number);
}

OracleReply Integer(int64_t value) { return {OracleReply::Kind::kInteger, value, {}}; }

OracleReply BytesOf(const OracleValue& value) {
  if (!value.bytes) return {OracleReply::Kind::kNull, 0, {}};
  return {OracleReply::Kind::kBytes, 0, *value.bytes};
}

// Both places belong to it.
std::string PartOf(const std::string& bytes, int64_t first, int64_t last) {
  const auto size = static_cast<int64_t>(bytes.size());
  // Redis looks at this before it knows the length.
  if (first < 0 && last < 0 && first > last) return {};
  const auto place = [size](int64_t at) { return at < 0 ? std::max<int64_t>(at + size, 0) : at; };
  const int64_t begin = place(first);
  const int64_t end = std::min(place(last), size - 1) + 1;
  if (begin >= end) return {};
  return bytes.substr(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
}

// A decimal fraction of two places at most, times 100. Nothing that a load writes has more and is
// a number.
std::optional<int64_t> ParseHundredths(const std::string& text) {
  if (text.empty()) return std::nullopt;
  const size_t point = text.find('.');
  std::string digits = text.substr(0, point);
  std::string places = point == std::string::npos ? "" : text.substr(point + 1);
  if (places.size() > 2 || (point != std::string::npos && places.empty())) return std::nullopt;
  places.resize(2, '0');
  return ParseNumber(digits + places);
}

std::string Hundredths(int64_t number) {
  const int64_t size = std::abs(number);
  std::string text = (number < 0 ? "-" : "") + std::to_string(size / 100);
  if (size % 100 == 0) return text;
  text += "." + std::to_string(size % 100 / 10);
  if (size % 10 != 0) text += std::to_string(size % 10);
  return text;
}

}  // namespace

bool IsRead(OracleCommand command) { return command < OracleCommand::kSet; }

OracleReply Apply(const OracleOperation& operation, OracleValue& value) {
  const OracleOptions& options = operation.options;
  std::optional<std::string>& bytes = value.bytes;
  const bool existed = bytes.has_value();
  const auto answer = [&options, old = options.answers_old ? BytesOf(value) : OracleReply()](
                          const OracleReply& otherwise) {
    return options.answers_old ? old : otherwise;
  };
  switch (operation.command) {
    case OracleCommand::kGet:
      return BytesOf(value);
    case OracleCommand::kGetRange:
      return {OracleReply::Kind::kBytes, 0,
              PartOf(bytes.value_or(""), operation.number, operation.last)};
    case OracleCommand::kLength:
      return Integer(static_cast<int64_t>(bytes.value_or("").size()));
    case OracleCommand::kExists:
      return Integer(existed ? 1 : 0);
    case OracleCommand::kExpireTime: {
      if (!existed) return Integer(-2);
      if (value.expiry_ms == 0) return Integer(-1);
      const auto ms = static_cast<int64_t>(value.expiry_ms);
      return Integer(options.in_seconds ? (ms + 500) / 1000 : ms);
    }
    case OracleCommand::kSet: {
      const bool is_met = !(options.if_absent && existed) && !(options.if_present && !existed);
      const bool has_condition = options.if_absent || options.if_present;
      if (is_met) {
        bytes = operation.argument;
        if (!options.keeps_expiry) value.expiry_ms = static_cast<uint64_t>(operation.number);
      }
      return answer(has_condition ? Integer(is_met ? 1 : 0) : OracleReply());
    }
    case OracleCommand::kDelete:
      value = {};
      return answer(Integer(existed ? 1 : 0));
    case OracleCommand::kIncrement: {
      const std::optional<int64_t> old = existed ? ParseNumber(*bytes) : 0;
      if (!old) return {OracleReply::Kind::kError, 0, {}};
      bytes = std::to_string(*old + operation.number);
      return Integer(*old + operation.number);
    }
    case OracleCommand::kAddFloat: {
      const std::optional<int64_t> old = ParseHundredths(bytes.value_or("0"));
      if (!old) return {OracleReply::Kind::kError, 0, {}};
      bytes = Hundredths(*old + *ParseHundredths(operation.argument));
      return BytesOf(value);
    }
    case OracleCommand::kAppend:
      if (operation.number > 0 && bytes.value_or("").size() + operation.argument.size() >
                                      static_cast<size_t>(operation.number)) {
        return {OracleReply::Kind::kError, 0, {}};
      }
      bytes = bytes.value_or("") + operation.argument;
      return Integer(static_cast<int64_t>(bytes->size()));
    case OracleCommand::kSetRange: {
      std::string changed = bytes.value_or("");
      const auto begin = static_cast<size_t>(operation.number);
      const size_t end = begin + operation.argument.size();
      if (changed.size() < end) changed.resize(end, '\0');
      bytes = changed.replace(begin, operation.argument.size(), operation.argument);
      return Integer(static_cast<int64_t>(bytes->size()));
    }
    case OracleCommand::kExpireAt: {
      const bool expires = value.expiry_ms != 0;
      const auto time_ms = static_cast<uint64_t>(operation.number);
      const bool is_met = existed && !(options.if_absent && expires) &&
                          !(options.if_present && !expires) &&
                          !(options.if_later && (!expires || time_ms <= value.expiry_ms)) &&
                          !(options.if_sooner && expires && time_ms >= value.expiry_ms);
      if (is_met) value.expiry_ms = time_ms;
      return answer(Integer(is_met ? 1 : 0));
    }
    case OracleCommand::kPersist: {
      const bool expired = value.expiry_ms != 0;
      value.expiry_ms = 0;
      return answer(Integer(existed && expired ? 1 : 0));
    }
  }
  PAKV_CHECK(false, "no such command");
  return {};
}

std::string Describe(const OracleOperation& operation) {
  const std::string number = " " + std::to_string(operation.number);
  const OracleOptions& options = operation.options;
  std::string text;
  switch (operation.command) {
    case OracleCommand::kGet:
      return "GET";
    case OracleCommand::kGetRange:
      return "GETRANGE" + number + " " + std::to_string(operation.last);
    case OracleCommand::kLength:
      return "STRLEN";
    case OracleCommand::kExists:
      return "EXISTS";
    case OracleCommand::kExpireTime:
      return options.in_seconds ? "EXPIRETIME" : "PEXPIRETIME";
    case OracleCommand::kSet:
      text = "SET " + Quote(operation.argument);
      if (operation.number != 0) text += " PXAT" + number;
      break;
    case OracleCommand::kDelete:
      text = "DEL";
      break;
    case OracleCommand::kIncrement:
      return "INCRBY" + number;
    case OracleCommand::kAddFloat:
      return "INCRBYFLOAT " + operation.argument;
    case OracleCommand::kAppend:
      return "APPEND " + Quote(operation.argument);
    case OracleCommand::kSetRange:
      return "SETRANGE" + number + " " + Quote(operation.argument);
    case OracleCommand::kExpireAt:
      text = "PEXPIREAT" + number;
      break;
    case OracleCommand::kPersist:
      text = "PERSIST";
      break;
  }
  if (options.if_absent) text += " NX";
  if (options.if_present) text += " XX";
  if (options.if_later) text += " GT";
  if (options.if_sooner) text += " LT";
  if (options.keeps_expiry) text += " KEEPTTL";
  if (options.answers_old) text += " GET";
  return text;
}

std::string Describe(const OracleReply& reply) {
  switch (reply.kind) {
    case OracleReply::Kind::kOk:
      return "OK";
    case OracleReply::Kind::kNull:
      return "nothing";
    case OracleReply::Kind::kInteger:
      return std::to_string(reply.integer);
    case OracleReply::Kind::kBytes:
      return Quote(reply.bytes);
    case OracleReply::Kind::kError:
      return "an error";
    case OracleReply::Kind::kUntold:
      return "it is done";
  }
  return "?";
}

Oracle::ValueId Oracle::Intern(const OracleValue& value) {
  if (!value.bytes) return kAbsent;
  const auto [found, is_new] = value_ids_.emplace(ValueName{*value.bytes, value.expiry_ms},
                                                  static_cast<ValueId>(values_.size() + 1));
  if (is_new) values_.push_back(&found->first);
  return found->second;
}

OracleValue Oracle::ValueOf(ValueId id) const {
  if (id == kAbsent) return {};
  return {values_[id - 1]->first, values_[id - 1]->second};
}

bool Oracle::HasExpired(ValueId value, uint64_t clock_ms) const {
  if (value == kAbsent) return false;
  const uint64_t expiry_ms = values_[value - 1]->second;
  return expiry_ms != 0 && expiry_ms <= clock_ms;
}

// A node's expiry clock is never behind its wall clock, nor beyond what that has ever shown.
void Oracle::LookAtClock() {
  if (!wall_ms_) return;
  const uint64_t clock_ms = wall_ms_();
  if (clock_ms < clock_min_ms_) ClockWasSetBack(clock_ms);
  clock_min_ms_ = clock_ms;
  clock_max_ms_ = std::max(clock_max_ms_, clock_min_ms_);
}

// A node may not have looked at its clock between the beginning of what is under way and this.
void Oracle::ClockWasSetBack(uint64_t clock_ms) {
  for (auto& [name, key] : keys_) {
    if (key.pending.empty()) continue;
    for (auto& [id, pending] : key.pending) pending.begin_ms = std::min(pending.begin_ms, clock_ms);
    std::set<Explanation> explanations;
    for (Explanation explanation : key.explanations) {
      LookAround(key, explanation);
      explanations.insert(std::move(explanation));
    }
    key.explanations = std::move(explanations);
  }
}

Oracle::Answer Oracle::AnswerOf(const OracleReply& reply) {
  const bool has_bytes = reply.kind == OracleReply::Kind::kBytes;
  return {reply.kind, reply.integer, has_bytes ? Intern({reply.bytes, 0}) : kAbsent};
}

std::string Oracle::Describe(const Answer& answer) const {
  return pakv::Describe({answer.kind, answer.integer, ValueOf(answer.value).bytes.value_or("")});
}

const Oracle::Effect& Oracle::EffectOn(OperationId id, const OracleOperation& operation,
                                       ValueId value) {
  const auto known = effects_.find({id, value});
  if (known != effects_.end()) return known->second;
  OracleValue changed = ValueOf(value);
  const OracleReply reply = Apply(operation, changed);
  return effects_.emplace(std::pair(id, value), Effect{Intern(changed), AnswerOf(reply)})
      .first->second;
}

void Oracle::ForgetEffects(OperationId id) {
  effects_.erase(effects_.lower_bound({id, 0}), effects_.lower_bound({id + 1, 0}));
}

void Oracle::Note(Key& key, std::string line) {
  if (key.history.size() >= 2 * kHistoryLines) {
    key.history.erase(key.history.begin(), key.history.begin() + kHistoryLines);
  }
  key.history.push_back(std::move(line));
}

void Oracle::Violate(const std::string& name, const Key& key, const std::string& what) {
  if (!violation_.empty()) return;
  violation_ = "key " + Quote(name) + ": " + what + "\n  its last operations:";
  for (const std::string& line : key.history) violation_ += "\n    " + line;
}

Oracle::Key& Oracle::KeyOf(const std::string& name) {
  const auto [found, is_new] = keys_.try_emplace(name);
  if (is_new) {
    for (auto& [id, flush] : flushes_) {
      if (!name.starts_with(flush.prefix)) continue;
      const OperationId part = next_id_++;
      flush.parts.emplace(name, part);
      Pending pending{flush.session, {OracleCommand::kDelete, {}, 0}, flush.hidden, clock_min_ms_};
      found->second.pending.emplace(part, std::move(pending));
      Note(found->second, "#" + std::to_string(part) + " FLUSH is under way");
    }
  }
  return found->second;
}

void Oracle::BeginPart(OperationId id, uint64_t session, const std::string& name,
                       OracleOperation what) {
  Key& key = KeyOf(name);
  Note(key, "#" + std::to_string(id) + " session " + std::to_string(session) + ": " +
                pakv::Describe(what));
  const bool is_read = IsRead(what);
  key.pending.emplace(id, Pending{session, std::move(what), false, clock_min_ms_});
  if (!is_read) return;
  std::set<Explanation> looked;
  for (Explanation explanation : key.explanations) {
    explanation.reads.emplace(id, Seen());
    LookAround(key, explanation);
    looked.insert(std::move(explanation));
  }
  key.explanations = std::move(looked);
}

Oracle::OperationId Oracle::Begin(uint64_t session, const std::string& key,
                                  OracleOperation operation) {
  LookAtClock();
  // A new key meets the flushes under way first: numbers are the order of a session.
  static_cast<void>(KeyOf(key));
  const OperationId id = next_id_++;
  BeginPart(id, session, key, std::move(operation));
  key_of_.emplace(id, key);
  return id;
}

Oracle::OperationId Oracle::BeginFlush(uint64_t session, std::string prefix) {
  LookAtClock();
  const OperationId id = next_id_++;
  Flush flush{session, std::move(prefix), {}};
  for (auto& [name, key] : keys_) {
    if (!name.starts_with(flush.prefix)) continue;
    const OperationId part = next_id_++;
    flush.parts.emplace(name, part);
    BeginPart(part, session, name, {OracleCommand::kDelete, {}, 0});
  }
  flushes_.emplace(id, std::move(flush));
  return id;
}

// Earlier writes of the same session come first.
bool Oracle::Eligible(const Key& key, const Explanation& explanation, OperationId id) {
  const uint64_t session = key.pending.at(id).session;
  for (const auto& [other, pending] : key.pending) {
    if (other == id) return true;
    if (pending.session == session && !pending.hidden && !IsRead(pending.operation) &&
        !explanation.done.contains(other) && !explanation.refused.contains(other)) {
      return false;
    }
  }
  return true;
}

// Whether it makes a difference that this one has not happened: to its own session's later ones.
bool Oracle::HasLaterOne(const Key& key, OperationId id) {
  const uint64_t session = key.pending.at(id).session;
  for (auto later = key.pending.upper_bound(id); later != key.pending.end(); ++later) {
    if (later->second.session == session) return true;
  }
  return false;
}

// Its session's later reads did not have to wait for it.
void Oracle::HasNotHappened(const Key& key, Explanation& explanation, OperationId id) const {
  for (auto read = explanation.reads.upper_bound(id); read != explanation.reads.end(); ++read) {
    if (!Eligible(key, explanation, read->first)) continue;
    read->second.values.merge(read->second.before);
    read->second.before.clear();
  }
  LookAround(key, explanation);
}

// The value is new, or an operation: every read under way that could happen now may answer it.
void Oracle::LookAround(const Key& key, Explanation& explanation) const {
  for (auto& [id, seen] : explanation.reads) {
    if (seen.closed || HasExpired(explanation.value, key.pending.at(id).begin_ms)) continue;
    (Eligible(key, explanation, id) ? seen.values : seen.before).insert(explanation.value);
  }
}

void Oracle::Walk(const std::string& name, Key& key, bool with_hidden, const Stop& stop) {
  std::set<Explanation> seen = key.explanations;
  std::vector<Explanation> todo(seen.begin(), seen.end());
  while (!todo.empty()) {
    const Explanation explanation = std::move(todo.back());
    todo.pop_back();
    if (stop(explanation)) continue;
    if (HasExpired(explanation.value, clock_max_ms_)) {
      Explanation next = explanation;
      next.value = kAbsent;
      LookAround(key, next);
      if (seen.insert(next).second) todo.push_back(std::move(next));
    }
    for (const auto& [id, pending] : key.pending) {
      if (IsRead(pending.operation) || explanation.done.contains(id) ||
          explanation.refused.contains(id) || (pending.hidden && !with_hidden) ||
          !Eligible(key, explanation, id)) {
        continue;
      }
      if (pending.operation.may_be_refused && !pending.hidden && HasLaterOne(key, id)) {
        Explanation next = explanation;
        next.refused.insert(id);
        HasNotHappened(key, next, id);
        if (seen.insert(next).second) todo.push_back(std::move(next));
      }
      if (HasExpired(explanation.value, pending.begin_ms) && !IsRefusedUnseen(pending.operation)) {
        continue;
      }
      Explanation next = explanation;
      const Effect& effect = EffectOn(id, pending.operation, next.value);
      next.value = effect.value;
      key.ever.insert(effect.value);
      next.done.emplace(id, silent_ ? Answer() : effect.answer);
      for (auto& [read, what] : next.reads) {
        if (key.pending.at(read).session != pending.session) continue;
        // A later write of the session has happened, so the read has, too; before an earlier one it
        // has not.
        if (read < id) what.closed = true;
        if (read > id) what.before.clear();
      }
      LookAround(key, next);
      if (seen.insert(next).second) todo.push_back(std::move(next));
    }
    if (seen.size() > kExplanationsMax) {
      Violate(name, key, "too many operations under way to tell what may have happened");
      return;
    }
  }
}

void Oracle::EndRead(const std::string& name, OperationId id, const OracleReply& reply) {
  Key& key = keys_.at(name);
  std::set<Explanation> left;
  std::set<std::string> possible;
  const Answer answer = AnswerOf(reply);
  const OracleOperation& operation = key.pending.at(id).operation;
  Walk(name, key, /*with_hidden=*/false, [&](const Explanation& explanation) {
    bool is_possible = false;
    for (const ValueId value : explanation.reads.at(id).values) {
      const Answer& other = EffectOn(id, operation, value).answer;
      is_possible = is_possible || other == answer;
      possible.insert(Describe(other));
    }
    if (!is_possible) return false;
    Explanation kept = explanation;
    kept.reads.erase(id);
    left.insert(std::move(kept));
    return true;
  });
  if (left.empty()) Impossible(name, key, id, reply, possible);
  key.pending.erase(id);
  ForgetEffects(id);
  key.explanations = std::move(left);
}

void Oracle::EndPart(const std::string& name, OperationId id, const OracleReply& reply) {
  Key& key = keys_.at(name);
  Note(key, "#" + std::to_string(id) + " -> " + pakv::Describe(reply));
  if (IsRead(key.pending.at(id).operation)) return EndRead(name, id, reply);
  std::set<Explanation> left;
  std::set<std::string> possible;
  const Answer answer = AnswerOf(reply);
  Walk(name, key, /*with_hidden=*/false, [&](const Explanation& explanation) {
    const auto done = explanation.done.find(id);
    if (done == explanation.done.end()) return explanation.refused.contains(id);
    possible.insert(Describe(done->second));
    if (done->second == answer || reply.kind == OracleReply::Kind::kUntold) {
      Explanation kept = explanation;
      kept.done.erase(id);
      left.insert(std::move(kept));
    }
    return true;
  });
  if (left.empty()) Impossible(name, key, id, reply, possible);
  key.pending.erase(id);
  ForgetEffects(id);
  key.explanations = std::move(left);
}

void Oracle::Impossible(const std::string& name, const Key& key, OperationId id,
                        const OracleReply& reply, const std::set<std::string>& possible) {
  constexpr size_t kShown = 8;
  std::string could;
  size_t shown = 0;
  for (const std::string& each : possible) {
    if (++shown <= kShown) could += (could.empty() ? "" : " or ") + each;
  }
  Violate(name, key,
          pakv::Describe(key.pending.at(id).operation) + " answered " + pakv::Describe(reply) +
              ", it could have answered " + (could.empty() ? "nothing at all" : could));
}

void Oracle::ForgetRead(Key& key, OperationId id) {
  if (!IsRead(key.pending.at(id).operation)) return;
  std::set<Explanation> left;
  for (Explanation explanation : key.explanations) {
    explanation.reads.erase(id);
    left.insert(std::move(explanation));
  }
  key.explanations = std::move(left);
}

// An operation will not take effect (before a crash). What explained something by its effect is
// none any more.
void Oracle::NeverHappens(Key& key, OperationId id) {
  std::set<Explanation> left;
  for (Explanation explanation : key.explanations) {
    if (explanation.done.contains(id)) continue;
    explanation.refused.erase(id);
    HasNotHappened(key, explanation, id);
    left.insert(std::move(explanation));
  }
  key.explanations = std::move(left);
}

void Oracle::RefusePart(const std::string& name, OperationId id) {
  Key& key = keys_.at(name);
  Note(key, "#" + std::to_string(id) + " -> refused");
  ForgetRead(key, id);
  const OracleOperation operation = std::move(key.pending.at(id).operation);
  key.pending.erase(id);
  ForgetEffects(id);
  NeverHappens(key, id);
  if (key.explanations.empty()) {
    Violate(name, key, pakv::Describe(operation) + " was refused, yet its effect was seen");
  }
}

void Oracle::Acknowledged(OperationId id, OracleReply reply) {
  LookAtClock();
  ++acknowledged_count_;
  if (const auto flush = flushes_.find(id); flush != flushes_.end()) {
    for (const auto& [name, part] : flush->second.parts) {
      Key& key = keys_.at(name);
      // A flush does not say which keys there were: whatever DEL would have answered is right.
      std::set<Explanation> left;
      Walk(name, key, /*with_hidden=*/false, [&](const Explanation& explanation) {
        if (!explanation.done.contains(part)) return false;
        Explanation kept = explanation;
        kept.done.erase(part);
        left.insert(std::move(kept));
        return true;
      });
      Note(key, "#" + std::to_string(part) + " -> flushed");
      key.explanations = std::move(left);
      key.pending.erase(part);
      ForgetEffects(part);
    }
    flushes_.erase(flush);
    return;
  }
  EndPart(key_of_.at(id), id, reply);
  key_of_.erase(id);
}

void Oracle::Refused(OperationId id) {
  ++refused_count_;
  if (const auto flush = flushes_.find(id); flush != flushes_.end()) {
    for (const auto& [name, part] : flush->second.parts) RefusePart(name, part);
    flushes_.erase(flush);
    return;
  }
  RefusePart(key_of_.at(id), id);
  key_of_.erase(id);
}

void Oracle::Unknown(OperationId id) {
  ++unknown_count_;
  const auto hide = [this](const std::string& name, OperationId part) {
    Key& key = keys_.at(name);
    Note(key, "#" + std::to_string(part) + " -> unknown");
    key.pending.at(part).hidden = true;
    NeverHappens(key, part);
    if (key.explanations.empty()) {
      Violate(name, key, "an operation's effect was seen before it ended as unknown");
    }
  };
  if (const auto flush = flushes_.find(id); flush != flushes_.end()) {
    for (const auto& [name, part] : flush->second.parts) hide(name, part);
    flush->second.hidden = true;
    return;
  }
  hide(key_of_.at(id), id);
}

void Oracle::Crashed() {
  LookAtClock();
  for (auto& [name, key] : keys_) {
    if (key.pending.empty()) continue;
    // Nobody will hear what those under way would have answered.
    std::set<Explanation> silent;
    for (Explanation explanation : key.explanations) {
      explanation.reads.clear();
      for (auto& [id, answer] : explanation.done) answer = {};
      silent.insert(std::move(explanation));
    }
    key.explanations = std::move(silent);
    silent_ = true;
    std::set<Explanation> found;
    Walk(name, key, /*with_hidden=*/true, [&found](const Explanation& explanation) {
      found.insert(Explanation{.value = explanation.value});
      return false;
    });
    silent_ = false;
    key.explanations = std::move(found);
    for (const auto& [id, pending] : key.pending) ForgetEffects(id);
    key.pending.clear();
    Note(key, "-- crash --");
  }
  key_of_.clear();
  flushes_.clear();
}

std::vector<std::string> Oracle::keys() const {
  std::vector<std::string> names;
  for (const auto& [name, key] : keys_) names.push_back(name);
  return names;
}

std::string Oracle::DescribePending() const {
  std::string text;
  for (const auto& [name, key] : keys_) {
    for (const auto& [id, pending] : key.pending) {
      text += "\n  " + name + " #" + std::to_string(id) + " session " +
              std::to_string(pending.session) + ": " + pakv::Describe(pending.operation) +
              (pending.hidden ? " (unknown)" : " (under way)");
    }
  }
  return text;
}

size_t Oracle::pending_count(const std::string& key) const {
  const auto found = keys_.find(key);
  return found == keys_.end() ? 0 : found->second.pending.size();
}

bool Oracle::CanExist(const std::string& name) const {
  const auto found = keys_.find(name);
  if (found == keys_.end()) return false;
  if (!found->second.pending.empty()) return true;
  for (const Explanation& explanation : found->second.explanations) {
    if (explanation.value != kAbsent && !HasExpired(explanation.value, clock_min_ms_)) return true;
  }
  return false;
}

bool Oracle::HasBeen(const std::string& name, const std::string& bytes) const {
  const auto found = keys_.find(name);
  if (found == keys_.end()) return false;
  return std::any_of(found->second.ever.begin(), found->second.ever.end(), [&](ValueId value) {
    return value != kAbsent && values_[value - 1]->first == bytes;
  });
}

bool Oracle::MustExist(const std::string& name) const {
  const auto found = keys_.find(name);
  if (found == keys_.end() || !found->second.pending.empty()) return false;
  for (const Explanation& explanation : found->second.explanations) {
    if (explanation.value == kAbsent || HasExpired(explanation.value, clock_max_ms_)) return false;
  }
  return true;
}

}  // namespace pakv
