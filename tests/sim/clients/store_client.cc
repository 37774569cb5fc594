// Long because: beside the sessions it has each command of the oracle as a function of the store.
#include "tests/sim/clients/store_client.h"

#include <algorithm>
#include <charconv>
#include <set>
#include <utility>

#include "runtime/base/check.h"

namespace pakv {
namespace {

Change Get(const OldValue& old, Request& request) {
  request.reply.kind = !old.exists   ? Reply::Kind::kNull
                       : old.in_file ? Reply::Kind::kFile
                                     : Reply::Kind::kBytes;
  request.reply.bytes = old.value;
  return {};
}

Change Set(const OldValue&, Request& request) {
  request.reply.kind = Reply::Kind::kOk;
  return {Change::Action::kWrite, kNoExpiry, request.value};
}

Change SetIfAbsent(const OldValue& old, Request& request) {
  request.reply.kind = Reply::Kind::kInteger;
  request.reply.integer = old.exists ? 0 : 1;
  if (old.exists) return {};
  return {Change::Action::kWrite, kNoExpiry, request.value};
}

Change Delete(const OldValue& old, Request& request) {
  request.reply.kind = Reply::Kind::kInteger;
  request.reply.integer = old.exists ? 1 : 0;
  if (!old.exists) return {};
  return {Change::Action::kDelete, kNoExpiry, {}};
}

Change Increment(const OldValue& old, Request& request) {
  int64_t number = 0;
  if (old.exists) {
    const char* end = old.value.data() + old.value.size();
    const auto parsed = std::from_chars(old.value.data(), end, number);
    if (old.in_file || old.value.empty() || parsed.ec != std::errc() || parsed.ptr != end) {
      request.reply.kind = Reply::Kind::kError;
      request.reply.bytes = "ERR value is not an integer or out of range";
      return {};
    }
  }
  number += request.number;
  request.scratch = std::to_string(number);
  request.reply.kind = Reply::Kind::kInteger;
  request.reply.integer = number;
  return {Change::Action::kWrite, old.expiry_ms, request.scratch};
}

// As RESP's: a value that lies in a file is not read for it, nor does one come about.
Change Append(const OldValue& old, Request& request) {
  request.edit_begin = old.exists ? old.value_length : 0;
  request.reply.kind = Reply::Kind::kInteger;
  request.reply.integer = static_cast<int64_t>(request.edit_begin + request.value.size());
  return {Change::Action::kEdit, old.expiry_ms, request.value};
}

Change SetRange(const OldValue& old, Request& request) {
  request.edit_begin = static_cast<uint64_t>(request.number);
  const uint64_t length = old.exists ? old.value_length : 0;
  request.reply.kind = Reply::Kind::kInteger;
  request.reply.integer =
      static_cast<int64_t>(std::max(length, request.edit_begin + request.value.size()));
  return {Change::Action::kEdit, old.expiry_ms, request.value};
}

Change SetUntil(const OldValue&, Request& request) {
  request.reply.kind = Reply::Kind::kOk;
  return {Change::Action::kWrite, static_cast<uint64_t>(request.number), request.value};
}

Change ExpireAt(const OldValue& old, Request& request) {
  request.reply.kind = Reply::Kind::kInteger;
  request.reply.integer = old.exists ? 1 : 0;
  if (!old.exists) return {};
  const auto expiry_ms = static_cast<uint64_t>(request.number);
  if (expiry_ms <= request.ExpiryClockMs()) return {Change::Action::kDelete, kNoExpiry, {}};
  return {Change::Action::kWrite, expiry_ms, old.value};
}

Change Persist(const OldValue& old, Request& request) {
  request.reply.kind = Reply::Kind::kInteger;
  request.reply.integer = old.expiry_ms != kNoExpiry ? 1 : 0;
  if (old.expiry_ms == kNoExpiry) return {};
  return {Change::Action::kWrite, kNoExpiry, old.value};
}

Change Length(const OldValue& old, Request& request) {
  request.reply.kind = Reply::Kind::kInteger;
  request.reply.integer = old.exists ? old.value_length : 0;
  return {};
}

Change GetSet(const OldValue& old, Request& request) {
  static_cast<void>(Get(old, request));
  return {Change::Action::kWrite, kNoExpiry, request.value};
}

Change GetDelete(const OldValue& old, Request& request) {
  static_cast<void>(Get(old, request));
  if (!old.exists) return {};
  return {Change::Action::kDelete, kNoExpiry, {}};
}

Change GetExpireAt(const OldValue& old, Request& request) {
  const Change change = ExpireAt(old, request);
  static_cast<void>(Get(old, request));
  return change;
}

Change ExpireTime(const OldValue& old, Request& request) {
  request.reply.kind = Reply::Kind::kInteger;
  request.reply.integer = !old.exists                  ? -2
                          : old.expiry_ms == kNoExpiry ? -1
                                                       : static_cast<int64_t>(old.expiry_ms);
  return {};
}

}  // namespace

OracleRow RowOf(const OracleOperation& what) {
  const bool answers_old = what.options.answers_old;
  switch (what.command) {
    case OracleCommand::kGet:
      return {Get, OldState::kValueOrFile};
    case OracleCommand::kLength:
      return {Length, OldState::kExistence};
    case OracleCommand::kExpireTime:
      return {ExpireTime, OldState::kExistence};
    case OracleCommand::kSet:
      if (answers_old) return {GetSet, OldState::kValueOrFile};
      if (what.options.if_absent) return {SetIfAbsent, OldState::kExistence};
      return {what.number == 0 ? Set : SetUntil, OldState::kNothing};
    case OracleCommand::kDelete:
      if (answers_old) return {GetDelete, OldState::kValueOrFile};
      return {Delete, OldState::kExistence};
    case OracleCommand::kIncrement:
      return {Increment, OldState::kValueOrFile};
    case OracleCommand::kAppend:
      return {Append, OldState::kValueOrFile};
    case OracleCommand::kSetRange:
      return {SetRange, OldState::kValueOrFile};
    case OracleCommand::kExpireAt:
      return {answers_old ? GetExpireAt : ExpireAt, OldState::kValueOrFile};
    case OracleCommand::kPersist:
      return {Persist, OldState::kValueOrFile};
    case OracleCommand::kGetRange:
    case OracleCommand::kExists:
    case OracleCommand::kAddFloat:
      break;  // RESP's alone
  }
  PAKV_CHECK(false, "no such command");
  return {};
}

OracleReply ReplyOf(const Reply& reply) {
  switch (reply.kind) {
    case Reply::Kind::kOk:
      return {};
    case Reply::Kind::kNull:
      return {OracleReply::Kind::kNull, 0, {}};
    case Reply::Kind::kInteger:
      return {OracleReply::Kind::kInteger, reply.integer, {}};
    case Reply::Kind::kBytes:
    case Reply::Kind::kFile:
      return {OracleReply::Kind::kBytes, 0, std::string(reply.bytes)};
    case Reply::Kind::kError:
      return {OracleReply::Kind::kError, 0, {}};
    case Reply::Kind::kLater:
      break;  // nobody here may be put off
  }
  return {};
}

Task<Outcome> UploadInPieces(ValueUpload& upload, std::string_view value, Prng& prng) {
  Outcome outcome = co_await upload.Begin(value.size());
  while (outcome == Outcome::kDone && !value.empty()) {
    const size_t piece = std::min<size_t>(value.size(), 1 + prng.Below(upload.room()));
    upload.Add(value.substr(0, piece));
    value.remove_prefix(piece);
    if (upload.room() == 0) outcome = co_await upload.MakeRoom();
    if (outcome == Outcome::kDone && prng.Chance(1, 4)) outcome = co_await upload.Rest();
    if (outcome == Outcome::kDone && prng.Chance(1, 4)) outcome = co_await upload.LetOthers();
  }
  if (outcome == Outcome::kDone) outcome = co_await upload.Finish();
  co_return outcome;
}

namespace {

RandomOperationsOptions OperationsOn(const StoreLoad& load) {
  RandomOperationsOptions options;
  options.wall_ms = load.wall_ms;
  options.value_bytes_max = load.value_bytes_max;
  options.long_one_in = 4;
  // Within a value or behind it, and about as far as the log takes one.
  const uint32_t inline_max = load.store.options().inline_value_bytes_max;
  options.places = std::min(2 * inline_max, load.value_bytes_max) + 1;
  return options;
}

}  // namespace

StoreSession::StoreSession(StoreLoad& load, Core& core, uint64_t id, uint64_t seed)
    : load_(load),
      core_(core),
      id_(id),
      prng_(seed),
      operations_(prng_, id, OperationsOn(load)),
      changed_(core.ready()),
      nursery_(core.ready()) {}

StoreSession::Call& StoreSession::FreeCall() {
  if (free_.empty()) {
    calls_.push_back(std::make_unique<Call>());
    calls_.back()->owner = this;
    free_.push_back(calls_.back().get());
  }
  Call& call = *free_.back();
  free_.pop_back();
  return call;
}

Task<void> StoreSession::CloseUpload(std::unique_ptr<ValueUpload> upload, bool kept) {
  co_await upload->Close(kept);
}

Task<void> StoreSession::StartLargeCall(uint64_t number, OracleOperation what) {
  auto upload = std::make_unique<ValueUpload>(load_.store.value_files(core_));
  const Outcome outcome = co_await UploadInPieces(*upload, what.argument, prng_);
  if (outcome == Outcome::kDone) {
    StartCall(number, std::move(what), std::move(upload));
    co_return;
  }
  if (!load_.disk_is_ill && !load_.lacks_descriptors_for(outcome)) {
    load_.wrong = "a value was not taken to a file: " + upload->error();
  }
  co_await upload->Close(false);
}

void StoreSession::StartCall(uint64_t number, OracleOperation what,
                             std::unique_ptr<ValueUpload> upload) {
  Call& call = FreeCall();
  call.Reset();
  call.what = std::move(what);
  call.name = load_.OracleName(number);
  const OracleRow row = RowOf(call.what);
  call.is_read = IsRead(call.what.command);
  call.needs = row.needs;
  call.function = row.function;
  call.done = [](Request& request) {
    auto& done = static_cast<Call&>(request);
    done.owner->Returned(done);
  };
  std::string key_bytes = load_.KeyName(number);
  call.namespace_id = load_.NamespaceOf(number).id;
  call.hash = load_.store.Hash(call.namespace_id, key_bytes);
  call.session = id_;
  call.session_has_writes = writes_under_way_ > 0;
  // The store copies what it needs: what it is given goes at once.
  call.upload = std::move(upload);
  call.is_admitted = false;
  if (call.upload != nullptr) call.file_admitted = &call.is_admitted;
  std::string value_bytes(call.value_in_file() ? call.upload->reference() : call.what.argument);
  call.key = key_bytes;
  call.value = value_bytes;
  call.number = call.what.number;
  call.is_there = load_.alone && load_.oracle.MustExist(call.name);
  call.what.may_be_refused = load_.may_refuse();
  call.id = load_.oracle.Begin(id_, call.name, call.what);
  call.finished = false;
  started_.push_back(&call);
  ++under_way_;
  if (!call.is_read) ++writes_under_way_;
  if (load_.store.Start(core_, call)) Returned(call);
  std::fill(key_bytes.begin(), key_bytes.end(), '#');
  std::fill(value_bytes.begin(), value_bytes.end(), '#');
}

void StoreSession::Returned(Call& call) {
  if (call.upload != nullptr) {
    nursery_.Spawn(CloseUpload(std::move(call.upload), call.is_admitted));
  }
  if (call.reply.kind == Reply::Kind::kFile) {
    call.KeepReply();
    nursery_.Spawn(ReadFile(call));
    return;
  }
  call.reply_kept = ReplyOf(call.reply);
  if (call.outcome == Outcome::kDamaged && load_.wrong.empty() &&
      call.reply.bytes.find(".seg") == std::string_view::npos &&
      call.reply.bytes.find(".val") == std::string_view::npos) {
    load_.wrong = "an error that does not say where: " + std::string(call.reply.bytes);
  }
  Finished(call);
}

// At a client's pace.
Task<void> StoreSession::ReadFile(Call& call) {
  const ValueReference reference = *ValueReference::Decode(call.reply.bytes);
  std::string bytes;
  for (uint32_t index = 0; index < reference.chunk_count(); ++index) {
    if (prng_.Chance(1, 8)) {
      co_await core_.timers().SleepUntil(core_.now_ns() + prng_.Below(20 * kNsPerMs));
    }
    const absl::StatusOr<ValueChunk> chunk =
        co_await load_.store.value_files(core_).ReadChunk(reference, index);
    if (!chunk.ok()) {
      call.outcome = OutcomeOfRead(chunk.status());
      break;
    }
    bytes.append(chunk->view());
  }
  load_.store.ReleaseFile(core_, call);
  call.reply_kept = {OracleReply::Kind::kBytes, 0, std::move(bytes)};
  // What it has written stays written.
  if (!call.is_read && call.outcome != Outcome::kDone) {
    call.reply_kept = {OracleReply::Kind::kUntold, 0, {}};
  }
  Finished(call);
}

void StoreSession::Finished(Call& call) {
  --under_way_;
  if (!call.is_read) --writes_under_way_;
  call.finished = true;
  ReportInOrder();
  changed_.Set();
}

// Per key, a client hears the answers in the order in which it asked: the store may fill them in in
// another one.
void StoreSession::ReportInOrder() {
  std::set<std::string> waiting;
  std::erase_if(started_, [&](Call* call) {
    if (!call->finished || waiting.contains(call->name)) {
      waiting.insert(call->name);
      return false;
    }
    Report(*call);
    free_.push_back(call);
    return true;
  });
}

void StoreSession::Report(Call& call) {
  if (call.outcome == Outcome::kDone || call.reply_kept.kind == OracleReply::Kind::kUntold) {
    load_.oracle.Acknowledged(call.id, std::move(call.reply_kept));
  } else if (call.outcome == Outcome::kUnknown) {
    load_.oracle.Unknown(call.id);
  } else {
    load_.oracle.Refused(call.id);
  }
  const bool is_new = !call.is_there || !load_.oracle.MustExist(call.name);
  const bool may_be_damaged = load_.values_may_be_damaged || load_.hit.contains(call.name);
  // A disk that fails does not damage what is on it.
  const bool may_refuse = (load_.disk_is_ill && call.outcome != Outcome::kDamaged) ||
                          call.outcome == Outcome::kInFile ||
                          load_.lacks_descriptors_for(call.outcome) ||
                          (may_be_damaged && call.outcome == Outcome::kDamaged) ||
                          (load_.memory_is_short && call.outcome == Outcome::kOutOfMemory &&
                           is_new && call.what.command != OracleCommand::kDelete && !call.is_read);
  if (call.outcome != Outcome::kDone && !may_refuse && load_.wrong.empty()) {
    load_.wrong = Describe(call.what) + " of " + call.name + " ended as outcome " +
                  std::to_string(static_cast<int>(call.outcome)) + " although the disk is well";
  }
}

Task<void> StoreSession::WaitUntilBelow(size_t count) {
  while (under_way_ >= count) {
    changed_.Reset();
    co_await changed_.Wait();
  }
}

Task<void> StoreSession::Flush() {
  co_await WaitUntilBelow(1);
  LoadNamespace of = load_.NamespaceOf(prng_.Next());
  std::string prefix = of.label + "/";
  if (prng_.Chance(1, 3)) {
    of.id = kEveryNamespace;
    prefix.clear();
  }
  const Oracle::OperationId id = load_.oracle.BeginFlush(id_, prefix);
  const Outcome outcome = co_await load_.store.Flush(core_, of.id);
  if (outcome == Outcome::kDone) {
    load_.oracle.Acknowledged(id, {});
  } else if (outcome == Outcome::kUnknown) {
    load_.oracle.Unknown(id);
  } else {
    load_.oracle.Refused(id);
  }
}

Task<void> StoreSession::Run(uint32_t count) {
  for (uint32_t i = 0; i < count && load_.oracle.ok(); ++i) {
    if (load_.flush_per_10000 != 0 && prng_.Chance(load_.flush_per_10000, 10'000)) {
      co_await Flush();
    }
    co_await WaitUntilBelow(1 + prng_.Below(load_.pipeline_max));
    if (prng_.Chance(1, 8)) {
      co_await core_.timers().SleepUntil(core_.now_ns() + prng_.Below(3 * kNsPerMs));
    }
    uint64_t key = prng_.Below(load_.key_count);
    while (load_.oracle.pending_count(load_.OracleName(key)) >= load_.PendingPerKeyMax()) {
      co_await core_.timers().SleepUntil(core_.now_ns() + kNsPerMs);
      key = prng_.Below(load_.key_count);
    }
    OracleOperation what = operations_.Next();
    if (what.argument.size() > load_.store.options().inline_value_bytes_max &&
        what.command != OracleCommand::kAppend && what.command != OracleCommand::kSetRange) {
      co_await StartLargeCall(key, std::move(what));
    } else {
      StartCall(key, std::move(what));
    }
  }
  co_await WaitUntilBelow(1);
  co_await nursery_.Join();
  ++load_.sessions_done;
}

Task<void> StoreSession::ReadAll() {
  for (uint32_t i = 0; i < load_.key_count; ++i) {
    if (load_.hit.contains(load_.OracleName(i))) continue;
    StartCall(i, {OracleCommand::kGet, {}, 0});
    co_await WaitUntilBelow(1);
  }
  co_await nursery_.Join();
  ++load_.sessions_done;
}

Task<void> StoreSession::WriteAll() {
  for (uint32_t i = 0; i < load_.key_count; ++i) {
    OracleOperation what{OracleCommand::kSet, operations_.Value(), 0};
    if (what.argument.size() > load_.store.options().inline_value_bytes_max) {
      co_await StartLargeCall(i, std::move(what));
    } else {
      StartCall(i, std::move(what));
    }
    co_await WaitUntilBelow(1);
  }
  co_await nursery_.Join();
  ++load_.sessions_done;
}

Task<void> StoreSession::DeleteAll() {
  for (uint32_t i = 0; i < load_.key_count; ++i) {
    StartCall(i, {OracleCommand::kDelete, {}, 0});
    co_await WaitUntilBelow(1);
  }
  ++load_.sessions_done;
}

Task<void> StoreSession::WriteUntilDone() {
  uint64_t done = load_.oracle.acknowledged_count();
  while (load_.oracle.acknowledged_count() == done && load_.oracle.ok() && load_.wrong.empty()) {
    StartCall(0, {OracleCommand::kSet, operations_.Value(), 0});
    co_await WaitUntilBelow(1);
    co_await core_.timers().SleepUntil(core_.now_ns() + 100 * kNsPerMs);
  }
  ++load_.sessions_done;
}

Task<void> StoreSession::WriteEachUntilDone() {
  for (uint32_t i = 0; i < load_.key_count; ++i) {
    const uint64_t done = load_.oracle.acknowledged_count();
    while (load_.oracle.acknowledged_count() == done && load_.oracle.ok() && load_.wrong.empty()) {
      StartCall(i, {OracleCommand::kSet, operations_.Value(), 0});
      co_await WaitUntilBelow(1);
      co_await core_.timers().SleepUntil(core_.now_ns() + 100 * kNsPerMs);
    }
  }
  ++load_.sessions_done;
}

Task<std::string> CheckKeys(Core& core, Store& store, Oracle& oracle, LoadNamespace in,
                            uint64_t step, bool expires) {
  oracle.LookAtClock();
  std::set<std::string> found;
  std::set<std::string> others;
  uint64_t cursor = 0;
  do {
    ScanStep scanned = co_await store.Scan(core, in.id, cursor, step,
                                           [](std::string_view, uint64_t&) { return true; });
    for (const std::string& key : scanned.keys) {
      // Others' keys are none of the oracle's.
      (key.starts_with("key") ? found : others).insert(in.label + "/" + key);
    }
    if (scanned.outcome != Outcome::kDone) co_return "a scan was refused";
    cursor = scanned.cursor;
  } while (cursor != 0);
  for (const std::string& key : found) {
    if (!oracle.CanExist(key)) co_return "a scan found " + key + ", which cannot be there";
  }
  oracle.LookAtClock();
  for (const std::string& key : oracle.keys()) {
    if (!key.starts_with(in.label + "/")) continue;
    if (oracle.MustExist(key) && !found.contains(key)) co_return "a scan missed " + key;
  }
  const RandomDraw draw = co_await store.RandomKey(core, in.id);
  if (draw.outcome != Outcome::kDone) co_return "a random key was refused";
  if (!draw.key && !(found.empty() && others.empty()) && !expires)
    co_return "a random key was not found";
  const std::string drawn = in.label + "/" + draw.key.value_or("");
  if (draw.key && !found.contains(drawn) && !others.contains(drawn)) {
    co_return "a random key is " + *draw.key + ", which a scan did not find";
  }
  uint64_t count = co_await store.CountKeys(core, in.id);
  if (count != found.size() + others.size() && !expires) {
    co_return "the store counts " + std::to_string(count) + " keys, a scan found " +
        std::to_string(found.size() + others.size());
  }
  co_return std::string();
}

}  // namespace pakv
