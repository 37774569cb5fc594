#include "tests/sim/clients/pakv_client.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

namespace pakv {
namespace {

// What the oracle is asked to explain at once.
constexpr size_t kPendingPerKeyMax = 5;
constexpr uint64_t kBatchKeysMax = 3;
// As RespGroupClient's.
constexpr uint64_t kGroups = 2;
constexpr uint64_t kGroupKeys = 4;

PakvType TypeOf(const OracleOperation& what) {
  switch (what.command) {
    case OracleCommand::kGet:
      return PakvType::kGet;
    case OracleCommand::kDelete:
      return PakvType::kDelete;
    case OracleCommand::kIncrement:
      return PakvType::kIncr;
    default:
      return PakvType::kSet;
  }
}

// The fields of a request in their order; `operation`: as one of a batch.
void WriteFields(uint64_t namespace_id, std::string_view key, const OracleOperation& what,
                 std::optional<PakvType> operation, PakvWriter& writer) {
  if (namespace_id != 0 && !operation) writer.Number(PakvField::kNamespace, namespace_id);
  if (what.options.if_absent) {
    writer.Number(PakvField::kCondition, static_cast<uint64_t>(PakvCondition::kIfAbsent));
  }
  if (what.command == OracleCommand::kSet && what.number != 0) {
    writer.Number(PakvField::kExpiresAtMs, static_cast<uint64_t>(what.number));
  }
  if (what.command == OracleCommand::kIncrement) {
    writer.Number(PakvField::kNumber, static_cast<uint64_t>(what.number));
  }
  if (what.command == OracleCommand::kGet && !operation) {
    writer.Number(PakvField::kOptions, static_cast<uint64_t>(PakvOption::kInPieces));
  }
  if (operation) writer.Number(PakvField::kOperation, static_cast<uint64_t>(*operation));
  writer.Bytes(PakvField::kKey, key);
  if (TypeOf(what) == PakvType::kSet) writer.Bytes(PakvField::kValue, what.argument);
}

// What the oracle calls such a reply. `status`: ok, not-found or condition-failed.
OracleReply ReplyTo(const OracleOperation& what, PakvStatus status, const PakvFields& fields) {
  OracleReply reply;
  switch (what.command) {
    case OracleCommand::kGet:
      reply.kind = status == PakvStatus::kOk ? OracleReply::Kind::kBytes : OracleReply::Kind::kNull;
      reply.bytes = fields.Bytes(PakvField::kValue);
      break;
    case OracleCommand::kSet:
      if (!what.options.if_absent) break;
      [[fallthrough]];
    case OracleCommand::kDelete:
      reply.kind = OracleReply::Kind::kInteger;
      reply.integer = status == PakvStatus::kOk ? 1 : 0;
      break;
    case OracleCommand::kIncrement:
      reply.kind = OracleReply::Kind::kInteger;
      reply.integer = static_cast<int64_t>(fields.Number(PakvField::kNumber));
      break;
    default:
      break;
  }
  return reply;
}

}  // namespace

PakvClient::PakvClient(RespLoad& load, uint64_t id, uint64_t seed, uint32_t count)
    : PakvLoadClient(load, id, seed, count) {}

void PakvClient::Replied(const PakvFrame& frame, const PakvFields& fields) {
  const std::string_view text = fields.Bytes(PakvField::kText);
  const auto found = under_way_.find(frame.id);
  if (found == under_way_.end() || found->second.type != frame.type) {
    return Wrong("a reply that nobody asked for");
  }
  if (frame.status == PakvStatus::kPart) return PartCame(found->second, fields);
  Asked asked = std::move(found->second);
  under_way_.erase(found);
  if (frame.type == PakvType::kBatch) return BatchReplied(asked, frame, fields);
  if (asked.parts.empty()) {
    // Its pieces are not all sent. They go on to the end, and nothing may come of them.
    if (!upload_ || upload_->id != frame.id) return Wrong("a reply to a piece, but to none");
    upload_->refused = true;
    const uint64_t total_bytes = upload_->total_bytes;
    if (upload_->ended) upload_.reset();
    if (total_bytes != 0 && frame.status == PakvStatus::kValueTooLong) return;
    if (frame.status == PakvStatus::kOk) return Wrong("a value is taken before its end");
    return Refused(asked, frame.status, text);
  }
  const Part& part = asked.parts[0];
  switch (frame.status) {
    case PakvStatus::kOk:
    case PakvStatus::kNotFound:
    case PakvStatus::kConditionFailed: {
      OracleReply reply = ReplyTo(part.what, frame.status, fields);
      if (reply.kind == OracleReply::Kind::kBytes) reply.bytes.insert(0, asked.value);
      if (asked.total_bytes != 0 && reply.bytes.size() != asked.total_bytes) {
        return Wrong("a value in parts has another length than was told");
      }
      return load_.oracle.Acknowledged(part.id, std::move(reply));
    }
    default:
      return Refused(asked, frame.status, text);
  }
}

void PakvClient::PartCame(Asked& asked, const PakvFields& fields) {
  if (asked.type != PakvType::kGet) return Wrong("a part of what has none");
  if (fields.Has(PakvField::kTotalBytes)) {
    asked.total_bytes = fields.Number(PakvField::kTotalBytes);
  }
  asked.value += fields.Bytes(PakvField::kValue);
}

void PakvClient::BatchReplied(const Asked& asked, const PakvFrame& frame,
                              const PakvFields& fields) {
  switch (frame.status) {
    case PakvStatus::kOk:
      break;
    case PakvStatus::kConditionFailed:
    case PakvStatus::kNotAnInteger: {
      // One has looked; none has done anything.
      const uint64_t failed = fields.Number(PakvField::kNumber);
      if (asked.parts.empty()) return;  // on a group
      if (failed >= asked.parts.size()) return Wrong("no such operation has failed");
      for (uint64_t place = 0; place < asked.parts.size(); ++place) {
        const Part& part = asked.parts[place];
        if (place != failed) {
          load_.oracle.Refused(part.id);
          continue;
        }
        OracleReply reply = ReplyTo(part.what, frame.status, fields);
        if (frame.status == PakvStatus::kNotAnInteger) reply = {OracleReply::Kind::kError, 0, {}};
        load_.oracle.Acknowledged(part.id, std::move(reply));
      }
      return;
    }
    default:
      return Refused(asked, frame.status, fields.Bytes(PakvField::kText));
  }
  if (asked.reads_group) return GroupRead(fields);
  PakvEntryReader entries(fields.entries());
  PakvFields entry;
  for (const Part& part : asked.parts) {
    if (!entries.Next(entry)) return Wrong("a batch's reply lacks an operation");
    const auto status = static_cast<PakvStatus>(entry.Number(PakvField::kStatus));
    load_.oracle.Acknowledged(part.id, ReplyTo(part.what, status, entry));
  }
}

void PakvClient::GroupRead(const PakvFields& fields) {
  PakvEntryReader entries(fields.entries());
  PakvFields entry;
  std::vector<std::string> seen;
  while (entries.Next(entry)) {
    const bool exists = !entry.Has(PakvField::kStatus);
    seen.push_back(exists ? std::string(entry.Bytes(PakvField::kValue)) : "nothing");
  }
  if (seen.size() != kGroupKeys) return Wrong("a batch's reply lacks an operation");
  if (std::all_of(seen.begin(), seen.end(), [&](const auto& each) { return each == seen[0]; })) {
    return;
  }
  std::string told = "a batch sees a group half written:";
  for (const std::string& each : seen) told += " " + each.substr(0, 20);
  Wrong(told);
}

// Neither done nor one of the outcomes that a request provides for.
void PakvClient::Refused(const Asked& asked, PakvStatus status, std::string_view text) {
  const bool is_unknown = IsUnknown(status);
  const bool of_length = status == PakvStatus::kValueTooLong;
  const bool is_explained = Explains(status) || of_length || status == PakvStatus::kNotAnInteger;
  if (!is_explained) {
    return Wrong("an error that nothing explains: " + std::string(PakvName(status)) + ": " +
                 std::string(text));
  }
  for (const Part& part : asked.parts) {
    const bool is_sum = part.what.command == OracleCommand::kIncrement;
    if (status == PakvStatus::kNotAnInteger) {
      load_.oracle.Acknowledged(part.id, {OracleReply::Kind::kError, 0, {}});
    } else if (is_unknown && part.what.command != OracleCommand::kGet) {
      load_.oracle.Unknown(part.id);
    } else if (of_length && is_sum && asked.type == PakvType::kIncr) {
      // What lies in a file is no number.
      load_.oracle.Acknowledged(part.id, {OracleReply::Kind::kError, 0, {}});
    } else {
      load_.oracle.Refused(part.id);
    }
  }
}

void PakvClient::NobodyHasRead() {
  for (const auto& [id, asked] : under_way_) {
    for (const Part& part : asked.parts) load_.oracle.Refused(part.id);
  }
  under_way_.clear();
  upload_.reset();
  left_ = 0;
}

std::string PakvClient::RandomValue(bool may_be_long) {
  std::string value = std::to_string(id_) + "." + std::to_string(next_value_++) + ".";
  size_t length = prng_.Below(prng_.Chance(1, 8) ? load_.value_bytes_max + 1 : 64);
  if (may_be_long && prng_.Chance(1, 3)) {
    length = load_.inline_bytes_max + prng_.Between(1, 20'000);
  } else {
    length = std::min<size_t>(length, load_.inline_bytes_max);
  }
  while (value.size() < length) value.push_back(static_cast<char>('a' + prng_.Below(26)));
  return value;
}

OracleOperation PakvClient::RandomOperation(bool may_be_long) {
  const uint64_t dice = prng_.Below(100);
  if (load_.wall_ms && dice < 20) {
    const auto at_ms = static_cast<int64_t>(load_.wall_ms() + prng_.Below(40));
    return {OracleCommand::kSet, RandomValue(may_be_long), at_ms};
  }
  if (dice < 45) return {OracleCommand::kGet, {}, 0};
  if (dice < 65) return {OracleCommand::kSet, RandomValue(may_be_long), 0};
  if (dice < 75) {
    return {OracleCommand::kSet, RandomValue(may_be_long), 0, {.if_absent = true}};
  }
  if (dice < 85) return {OracleCommand::kDelete, {}, 0};
  return {OracleCommand::kIncrement, {}, static_cast<int64_t>(prng_.Below(100))};
}

void PakvClient::StartOne() {
  if (is_uploading() && (left_ == 0 || prng_.Chance(2, 3))) return SendPiece();
  --left_;
  const uint64_t dice = prng_.Below(10);
  if (dice < 4) return StartOnKeys(1);
  if (dice < 7) return StartOnKeys(prng_.Between(2, kBatchKeysMax));
  StartOnGroup();
}

// One request, or a batch on several keys of one namespace; none twice, as the oracle takes each
// part for an operation of its own.
void PakvClient::StartOnKeys(uint64_t count) {
  const uint64_t database = prng_.Below(load_.database_count);
  std::set<uint64_t> numbers;
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t number = prng_.Below(load_.key_count);
    if (number % load_.database_count == database) numbers.insert(number);
  }
  const auto name_of = [&](uint64_t number) {
    return std::to_string(database) + "/key" + std::to_string(number / load_.database_count);
  };
  std::erase_if(numbers, [&](uint64_t number) {
    return load_.oracle.pending_count(name_of(number)) >= kPendingPerKeyMax;
  });
  if (numbers.empty()) return;
  if (count == 1) {
    const uint64_t number = *numbers.begin();
    Part part;
    part.key = "key" + std::to_string(number / load_.database_count);
    part.name = name_of(number);
    // One at a time goes in pieces.
    part.what = RandomOperation(/*may_be_long=*/load_.inline_bytes_max < (1u << 20) && !upload_);
    const auto inline_bytes_max = size_t{load_.inline_bytes_max};
    if (inline_bytes_max != 0 && part.what.argument.size() > inline_bytes_max) {
      return BeginUpload(database, std::move(part));
    }
    part.what.may_be_refused = load_.may_refuse();
    part.id = load_.oracle.Begin(id_, part.name, part.what);
    const uint64_t id = NextId();
    Asked& asked = under_way_[id];
    asked.type = TypeOf(part.what);
    PakvWriter writer(to_send_, asked.type, id);
    WriteFields(database, part.key, part.what, std::nullopt, writer);
    writer.Finish();
    asked.parts.push_back(std::move(part));
    return;
  }
  Asked asked;
  for (const uint64_t number : numbers) {
    Part& part = asked.parts.emplace_back();
    part.key = "key" + std::to_string(number / load_.database_count);
    part.name = name_of(number);
    part.what = RandomOperation(/*may_be_long=*/false);
    part.what.may_be_refused = true;  // for what another part demands
    part.id = load_.oracle.Begin(id_, part.name, part.what);
  }
  const uint64_t id = NextId();
  asked.type = PakvType::kBatch;
  PakvWriter writer(to_send_, asked.type, id);
  if (database != 0) writer.Number(PakvField::kNamespace, database);
  for (const Part& part : asked.parts) {
    writer.BeginEntry();
    WriteFields(database, part.key, part.what, TypeOf(part.what), writer);
    writer.EndEntry();
  }
  writer.Finish();
  under_way_.emplace(id, std::move(asked));
}

// The oracle is told with the last piece: what is sent before that may take effect before it.
void PakvClient::BeginUpload(uint64_t database, Part part) {
  upload_ = Upload{.id = NextId(), .database = database, .part = std::move(part)};
  // What is more than the server takes is refused at once.
  if (prng_.Chance(1, 10)) upload_->total_bytes = uint64_t{1} << 40;
  under_way_[upload_->id].type = PakvType::kSet;
  SendPiece();
}

void PakvClient::SendPiece() {
  Upload& upload = *upload_;
  const std::string& value = upload.part.what.argument;
  const size_t left = value.size() - upload.sent_bytes;
  const size_t length = prng_.Between(1, 400);
  if (upload.sent_bytes == 0 || length < left) {
    PakvWriter writer(to_send_, PakvType::kSet, upload.id);
    writer.SetMore();
    if (upload.total_bytes != 0) writer.Number(PakvField::kTotalBytes, upload.total_bytes);
    writer.Bytes(PakvField::kValue, std::string_view(value).substr(upload.sent_bytes, length));
    writer.Finish();
    upload.sent_bytes += std::min(length, left);
    return;
  }
  OracleOperation last = upload.part.what;
  last.argument.erase(0, upload.sent_bytes);
  PakvWriter writer(to_send_, PakvType::kSet, upload.id);
  WriteFields(upload.database, upload.part.key, last, std::nullopt, writer);
  writer.Finish();
  // The answer to it may be on its way that it is refused.
  if (!upload.refused && upload.total_bytes == 0) {
    upload.part.what.may_be_refused = load_.may_refuse();
    upload.part.id = load_.oracle.Begin(id_, upload.part.name, upload.part.what);
    under_way_[upload.id].parts.push_back(std::move(upload.part));
  }
  upload.ended = true;
  if (upload.refused || upload.total_bytes == 0) upload_.reset();
}

void PakvClient::StartOnGroup() {
  const std::string group = "group" + std::to_string(prng_.Below(kGroups)) + ".";
  const uint64_t dice = prng_.Below(10);
  OracleOperation what{OracleCommand::kGet, {}, 0};
  if (dice < 3) what = {OracleCommand::kSet, RandomValue(false), 0};
  if (dice == 3) what = {OracleCommand::kSet, RandomValue(false), 0, {.if_absent = true}};
  if (dice == 4) what.command = OracleCommand::kDelete;
  Asked asked;
  asked.type = PakvType::kBatch;
  asked.reads_group = what.command == OracleCommand::kGet;
  const uint64_t id = NextId();
  PakvWriter writer(to_send_, PakvType::kBatch, id);
  for (uint64_t i = 0; i < kGroupKeys; ++i) {
    writer.BeginEntry();
    WriteFields(0, group + std::to_string(i), what, TypeOf(what), writer);
    writer.EndEntry();
  }
  writer.Finish();
  under_way_.emplace(id, std::move(asked));
}

void PakvClient::StartMore() {
  if (!load_.wrong.empty() || !load_.oracle.ok()) return;
  const size_t burst = 1 + prng_.Below(load_.pipeline_max);
  for (size_t i = 0; (left_ > 0 || is_uploading()) && (i < burst || awaited() == 0) &&
                     awaited() < load_.pipeline_max;
       ++i) {
    StartOne();
  }
  if (left_ == 0 && !upload_ && under_way_.empty()) End();
}

}  // namespace pakv
