// Long because: what becomes of a request, from its start to its answer, is one state machine.
#include "kv/shard/shard.h"

#include <utility>

#include "kv/log/files/file_io.h"
#include "runtime/base/check.h"
#include "runtime/base/coverage.h"
#include "runtime/base/log.h"
#include "runtime/base/pages.h"
#include "runtime/base/seeded_bug.h"

namespace pakv {
namespace {

uint64_t LocationKey(const Location& location) {
  return uint64_t{location.segment} << 32 | location.offset;
}

TableKey KeyOf(const Request& request) {
  return {.hash = request.hash, .namespace_id = request.namespace_id, .key = request.key};
}

}  // namespace

// One record being read, or to be read, for everybody who wants it.
struct Shard::DeviceRead : ListHook {
  Location location;
  uint64_t hash = 0;
  uint32_t namespace_id = 0;
  Lsn lsn = kNoLsn;
  uint64_t expiry_ms = kNoExpiry;
  uint64_t file = 0;  // that the value lies in, pinned
  uint64_t file_bytes = 0;
  std::string key;
  IntrusiveList<Request> readers;
  BlockedKey* blocked = nullptr;  // if a write needs the value: its queue's head
};

// Of the record that is read, with what direct I/O adds at both ends.
size_t Shard::BufferBytes(const DeviceRead& read) {
  return sizeof(DeviceRead) + read.key.capacity() + read.location.length + 2 * kDirectAlignment;
}

Shard::Shard(Core& core, const ShardOptions& options)
    : core_(core),
      options_(options),
      memory_(options.cache_bytes),
      table_(std::make_unique<Table>(options.range, &drops_)),
      cache_(MakeCache()),
      expiries_(options.range),
      expiry_timer_(*this),
      thawed_(core.ready()),
      transaction_ended_(core.ready()),
      device_read_ended_(core.ready()),
      transaction_memory_(options.transaction_bytes_max),
      reply_room_(options.reply_bytes_max),
      slow_timer_(*this),
      nursery_(core.ready(), core.nursery().token()) {
  short_reads_.bytes_max = options.device_read_bytes_max / 4;
  long_reads_.bytes_max = options.device_read_bytes_max - short_reads_.bytes_max;
}

Shard::~Shard() = default;

Lsn Shard::NextLsn() {
  clock_->Observe(core_.causal_clock);
  const Lsn lsn = clock_->Next(core_.wall_us());
  core_.causal_clock = lsn;
  return lsn;
}

// ---- Requests ----

bool Shard::Start(Request& request) {
  request.shard_ = this;
  if (request.kind_ != Request::Kind::kOne) [[unlikely]] {
    StartKind(request);
    return false;
  }
  return request.is_read ? StartRead(request) : StartUpdate(request);
}

bool Shard::StartRead(Request& request) {
  ++counters_.reads;
  if (request.session_has_writes) {
    if (const std::optional<bool> done = ReadBehindOwnWrite(request)) return *done;
  }
  if (closed_count_ > 0) [[unlikely]] {
    if (WaitsForClose(request)) return false;
  }
  return ReadPublished(request);
}

Shard::Found Shard::OldPublished(const Request& request, OldValue& old) {
  const Entry entry = table_->Find(KeyOf(request));
  if (!entry) return Found::kMissing;
  const uint64_t expiry_ms = entry.expiry_ms();
  const Lifetime lifetime = LifetimeOf(expiry_ms);
  if (lifetime != Lifetime::kLives) [[unlikely]] {
    return lifetime == Lifetime::kOver ? Found::kOver : Found::kOverUnproven;
  }
  const Location location = entry.location();
  old.exists = true;
  old.lsn = entry.lsn();
  old.expiry_ms = expiry_ms;
  old.in_file = entry.file() != 0;
  old.value_length = static_cast<uint32_t>(
      old.in_file ? entry.file_bytes()
                  : location.length - EncodedRecordSize(request.key.size(), 0));
  if (request.needs < OldState::kValue) return Found::kValue;
  if (const uint32_t handle = entry.cache()) {
    old.value = cache_->Get(handle);
    cache_->Touch(handle);
    return Found::kValue;
  }
  if (at_hand_.location != location) return Found::kNeedsDevice;
  if (at_hand_.error != nullptr) return Found::kFailed;
  old.value = at_hand_.value;
  return Found::kValue;
}

bool Shard::ReadPublished(Request& request) {
  OldValue old;
  const Found found = OldPublished(request, old);
  switch (found) {
    case Found::kMissing:
      ++counters_.read_misses;
      break;
    case Found::kOver:
    case Found::kOverUnproven:
      return ReadOver(request, found == Found::kOver);
    case Found::kValue:
      ++(at_hand_.location.segment != 0 ? counters_.read_device : counters_.read_hits);
      break;
    case Found::kFailed:
      request.outcome = at_hand_.outcome;
      request.reply.bytes = *at_hand_.error;
      return true;
    case Found::kNeedsDevice:
      request.KeepArguments();
      if (!old.in_file && old.value_length > options_.large_reply_bytes) {
        if (!HasRoom(request)) {
          request.lsn = old.lsn;
          PutOff(request, old.value_length);
          return true;
        }
        TakeRoom(request, old.value_length);
      }
      WaitForDevice(request);
      return false;
  }
  AnswerRead(request, old);
  return true;
}

void Shard::AnswerRead(Request& request, const OldValue& old) {
  request.lsn = old.lsn;
  const Change change = CallFunction(old, request);
  PAKV_DCHECK(change.action == Change::Action::kKeep, "a read changes nothing");
  static_cast<void>(change);
}

bool Shard::Refuse(Request& request, Outcome outcome) {
  DropPin(request);
  request.outcome = outcome;
  return true;
}

bool Shard::StartUpdate(Request& request) {
  PendingTable::Slot* slot = pending_.Find(request.hash, request.namespace_id, request.key);
  if (slot != nullptr && slot->blocked != nullptr) {
    request.KeepArguments();
    slot->blocked->waiting.PushBack(request);
    return false;
  }
  if (WritesAreHeld()) {
    request.KeepArguments();
    frozen_.PushBack(request);
    return false;
  }
  if (log_->read_only()) return Refuse(request, Outcome::kReadOnly);

  OldValue old;
  bool expired = false;
  if (request.needs != OldState::kNothing) {
    switch (OldNewest(request, slot, old)) {
      case Found::kMissing:
      case Found::kValue:
      case Found::kOver:
        break;
      case Found::kOverUnproven:
        expired = true;
        break;
      case Found::kFailed:
        request.reply.bytes = *at_hand_.error;
        return Refuse(request, at_hand_.outcome);
      case Found::kNeedsDevice: {
        request.KeepArguments();
        DeviceRead& read = ReadFromDevice(request);
        PAKV_CHECK(read.blocked == nullptr, "later writes are behind the first");
        read.blocked = &pending_.Block(request);
        return false;
      }
    }
  }
  return Decide(request, old, slot, expired);
}

// The newest state, pending or published.
Shard::Found Shard::OldNewest(const Request& request, const PendingTable::Slot* slot,
                              OldValue& old) {
  if (slot == nullptr || slot->newest == nullptr) return OldPublished(request, old);
  const Request& newest = *slot->newest;
  if (newest.pending_delete_ || newest.lsn <= DropLsn(request.namespace_id)) return Found::kMissing;
  const Lifetime lifetime = LifetimeOf(newest.pending_expiry_ms_);
  if (lifetime != Lifetime::kLives) {
    return lifetime == Lifetime::kOver ? Found::kOver : Found::kOverUnproven;
  }
  old.exists = true;
  old.lsn = newest.lsn;
  old.expiry_ms = newest.pending_expiry_ms_;
  old.value = newest.pending_value_;
  old.in_file = newest.pending_in_file_;
  old.value_length = LengthOf(old);
  return Found::kValue;
}

// `expired`: it was decided by the end of the key's time, which is not durable yet.
bool Shard::Decide(Request& request, const OldValue& old, PendingTable::Slot* slot, bool expired) {
  const Change change = CallFunction(old, request);
  if (change.action != Change::Action::kKeep) {
    if (change.action == Change::Action::kEdit) [[unlikely]]
      return Edit(request, old, change);
    if (LacksRoom(request)) [[unlikely]]
      return Refuse(request, Outcome::kNoRoom);
    return AppendWrite(request, change, WritesReference(old, request, change));
  }
  request.lsn = old.lsn;
  if (expired) [[unlikely]] {
    if (slot != nullptr) slot->newest->AddDependent(request.session);
    return AnswerWhenProven(request);
  }
  if (slot == nullptr || request.needs == OldState::kNothing) return true;
  // The answer was decided by a write that can still be lost: it leaves when that one is durable.
  if (LacksRoom(request)) [[unlikely]]
    return Refuse(request, Outcome::kNoRoom);
  request.KeepArguments();
  KeepLongReply(request);
  request.role_ = Request::Role::kAnswer;
  request.settles_hash = 0;
  Request& newest = *slot->newest;
  newest.AddDependent(request.session);
  LogWriter::InsertBehind(newest, request);
  return false;
}

bool Shard::AppendWrite(Request& request, const Change& change, bool in_file) {
  const bool is_delete = change.action == Change::Action::kDelete;
  RecordFields fields;
  fields.namespace_id = request.namespace_id;
  fields.flags = is_delete ? kRecordDelete : in_file ? kRecordFile : kRecordPlain;
  fields.expiry_ms = is_delete ? kNoExpiry : change.expiry_ms;
  fields.key = request.key;
  fields.value = is_delete ? std::string_view() : change.value;
  const Admission admission =
      log_->Admit(EncodedRecordSize(fields.key, fields.value), /*frees_space=*/is_delete);
  if (admission != Admission::kOk) return Refuse(request, OutcomeOf(admission));
  const uint64_t cost = WriteCost(fields.key.size(), fields.value.size());
  if (!is_delete && !memory_.Charge(cost) && RefusesForMemory(request, cost)) [[unlikely]] {
    if (!PAKV_BUG(kRefusedKeyWritten)) {
      memory_.Withdraw(cost);
      return Refuse(request, Outcome::kOutOfMemory);
    }
    request.outcome = Outcome::kOutOfMemory;
  }
  KeepLongReply(request);
  fields.lsn = NextLsn();
  request.lsn = fields.lsn;
  request.pending_expiry_ms_ = fields.expiry_ms;
  request.pending_in_file_ = in_file;
  if (in_file && request.value_in_file()) *request.file_admitted = true;
  BecomePending(request, log_->Append(fields, request), is_delete);
  return false;
}

void Shard::BecomePending(Request& request, const Appended& appended, bool is_delete) {
  request.role_ = Request::Role::kWrite;
  request.settles_hash = request.hash;
  request.dependents_ = Request::Dependents::kNone;
  request.pending_key_ = appended.key();
  request.pending_value_ = appended.value();
  request.pending_delete_ = is_delete;
  pending_.PushNewest(request);
  if (PAKV_BUG(kPublishBeforeFlush)) Publish(request);
  if (PAKV_BUG(kValueFileRemovedEarly)) RemovePublishedEarly(request);
}

// ---- Groups ----

void Shard::StartGroup(Request& leader) {
  const std::vector<Request*>& requests = *leader.group_;
  const size_t count = requests.size();
  for (size_t i = 0; i < count; ++i) {
    Request& request = *requests[i];
    request.shard_ = this;
    PendingTable::Slot* slot = pending_.Find(request.hash, request.namespace_id, request.key);
    // One key that cannot go yet holds the whole group.
    if (slot != nullptr && slot->blocked != nullptr) {
      for (size_t k = 0; k < count; ++k) requests[k]->KeepArguments();
      slot->blocked->waiting.PushBack(leader);
      return;
    }
  }
  if (WritesAreHeld()) {
    for (size_t k = 0; k < count; ++k) requests[k]->KeepArguments();
    frozen_.PushBack(leader);
    return;
  }
  for (Request* request : requests) {
    PAKV_CHECK(request->needs == OldState::kNothing, "a group decides nothing");
    const Change change = request->function(OldValue(), *request);
    PAKV_CHECK(!request->value_in_file(), "a group's values lie in its block");
    request->pending_in_file_ = false;
    request->pending_value_ = change.value;
    request->pending_expiry_ms_ = change.expiry_ms;
    request->pending_delete_ = false;
  }
  std::vector<Appended> appended;
  const std::optional<Outcome> refused = AppendOwn(requests, appended);
  // Whoever is told may use his request again, and the first holds the list.
  const auto group = std::move(leader.group_);
  for (size_t i = 0; i < count; ++i) {
    Request& request = *(*group)[i];
    request.kind_ = Request::Kind::kOne;
    if (refused) {
      request.outcome = *refused;
      Complete(request);
    } else {
      BecomePending(request, appended[i], /*is_delete=*/false);
    }
  }
}

// Without an LSN.
RecordFields Shard::RecordOf(const Request& request) {
  return {.expiry_ms = request.pending_delete_ ? kNoExpiry : request.pending_expiry_ms_,
          .namespace_id = request.namespace_id,
          .flags = request.pending_delete_    ? kRecordDelete
                   : request.pending_in_file_ ? kRecordFile
                                              : kRecordPlain,
          .key = request.key,
          .value = request.pending_delete_ ? std::string_view() : request.pending_value_};
}

// Writes what is to become of the requests' keys (pending_value_ and the like): one block, one LSN.
// Otherwise why not, and nothing has happened.
std::optional<Outcome> Shard::AppendAsOne(std::span<Request* const> requests,
                                          std::vector<Appended>& appended) {
  size_t bytes = 0;
  bool frees_space = true;
  std::vector<RecordFields> fields(requests.size());
  std::vector<DurableEntry*> entries(requests.size());
  for (size_t i = 0; i < requests.size(); ++i) {
    Request& request = *requests[i];
    fields[i] = RecordOf(request);
    entries[i] = &request;
    bytes += EncodedRecordSize(fields[i].key, fields[i].value);
    frees_space = frees_space && request.pending_delete_;
  }
  const Admission admission = log_->Admit(bytes, frees_space);
  if (admission != Admission::kOk) return OutcomeOf(admission);
  const Lsn lsn = NextLsn();
  for (size_t i = 0; i < requests.size(); ++i) {
    fields[i].lsn = lsn;
    requests[i]->lsn = lsn;
    if (fields[i].flags == kRecordFile) *requests[i]->file_admitted = true;
  }
  appended.resize(requests.size());
  log_->AppendGroup(fields, entries, appended);
  return std::nullopt;
}

// ---- Settling ----

void Shard::Settled(Request& request, Settlement settlement) {
  const bool durable = settlement == Settlement::kDurable;
  BlockedKey* free_for_lock = nullptr;
  switch (request.role_) {
    case Request::Role::kWrite:
      free_for_lock = pending_.RemoveOldest(request);
      if (!request.pending_delete_) {
        memory_.Settled(WriteCost(request.pending_key_.size(), request.pending_value_.size()));
      }
      if (durable) {
        ++counters_.writes;
        if (!PAKV_BUG(kPublishBeforeFlush)) Publish(request);
      } else if (IsRefused(settlement)) {
        // What is published is what there was before it.
        request.outcome = OutcomeOf(settlement);
        DropPin(request);
        TakeFileBack(request);
      } else {
        ++counters_.writes_unknown;
        request.outcome = Outcome::kUnknown;
        DropPin(request);
        if (PAKV_BUG(kUnknownFileRemoved) && request.value_in_file())
          *request.file_admitted = false;
      }
      break;
    case Request::Role::kAnswer:
      if (!durable) {
        request.outcome = OutcomeOf(settlement);
        if (settlement == Settlement::kUnknown && request.is_read) {
          request.outcome = Outcome::kReadOnly;
        }
        DropPin(request);
      }
      break;
    case Request::Role::kReadBehind:
      // What that write left, not what a FLUSH or a later write has made of it since: operations
      // that the session sent behind this one may have been decided by it.
      if (durable) {
        ReadPending(request);
      } else {
        // If the write failed, or was refused, its own reply says so; what is published can be
        // shown all the same.
        DropPin(request);
        if (closed_count_ > 0 && WaitsForClose(request)) return;
        if (!ReadPublished(request)) return;
      }
      break;
  }
  Complete(request);
  if (free_for_lock != nullptr) [[unlikely]]
    Held(*free_for_lock);
}

void Shard::Publish(Request& request) {
  // Also of a write that a FLUSH has overtaken: the key has been written, and was flushed then.
  if (!watches_.empty()) [[unlikely]]
    watches_.Mark(request.hash);
  if (request.lsn <= DropLsn(request.namespace_id)) {
    RemoveUnpublished(request);
    return;
  }
  const TableKey key{
      .hash = request.hash, .namespace_id = request.namespace_id, .key = request.pending_key_};
  if (request.pending_delete_) {
    const Table::Change change = table_->Erase(key, request.lsn);
    if (change.outcome == Table::Outcome::kErased) NoteDead(change.previous);
    if (change.cache != 0) cache_->Erase(change.cache);
    if (change.outcome == Table::Outcome::kErased && change.previous.file != 0) {
      files_->Remove(change.previous.file);
    }
    return;
  }
  Version version{.lsn = request.lsn,
                  .location = request.location(),
                  .expiry_ms = request.pending_expiry_ms_,
                  .tombstone = false};
  if (request.pending_in_file_) [[unlikely]]
    NoteFile(request.pending_value_, version);
  const Table::Change change = table_->Upsert(key, version);
  if (change.outcome == Table::Outcome::kFull) [[unlikely]]
    EndForLackOfMemory();  // in spite of HasRoomAhead
  if (change.outcome == Table::Outcome::kStale) return;
  if (change.outcome == Table::Outcome::kReplaced) NoteDead(change.previous);
  if (change.previous.file != 0 && change.previous.file != version.file) [[unlikely]]
    files_->Remove(change.previous.file);
  if (request.pending_expiry_ms_ != kNoExpiry) {
    NoteExpiry(request.hash, request.pending_expiry_ms_);
  }
  const uint32_t cached =
      change.cache != 0 ? cache_->Replace(change.cache, change.entry.hash(), request.pending_value_)
                        : cache_->Insert(change.entry.hash(), request.pending_value_);
  if (cached == 0 && options_.keeps_values) [[unlikely]]
    EndForLackOfMemory();  // it is nowhere else
  change.entry.set_cache(cached);
}

void Shard::Complete(Request& request) {
  if (IsLarge(request.reply)) [[unlikely]]
    HoldReply(request);
  if (request.source_core_ == core_.id()) {
    request.done(request);
    return;
  }
  request.KeepReply();
  request.set_function([](Message& message, Core&) {
    auto& answered = static_cast<Request&>(message);
    answered.done(answered);
  });
  core_.Send(request.source_core_, request);
}

void Shard::Restart(Request& request) {
  if (Start(request)) Complete(request);
}

void Shard::RestartAll(IntrusiveList<Request>& requests) {
  while (!requests.empty()) Restart(requests.PopFront());
}

// ---- The device ----

Shard::DeviceRead& Shard::ReadFromDevice(const Request& request) {
  const Entry entry = table_->Find(KeyOf(request));
  return ReadVersion(request, {.location = entry.location(),
                               .lsn = entry.lsn(),
                               .expiry_ms = entry.expiry_ms(),
                               .file = entry.file(),
                               .file_bytes = entry.file_bytes()});
}

// The version is of the request's key, and its segment stays as long as the read is there.
Shard::DeviceRead& Shard::ReadVersion(const Request& request, const VersionOnDevice& version) {
  std::unique_ptr<DeviceRead>& slot = device_reads_[LocationKey(version.location)];
  if (slot != nullptr) return *slot;
  slot = std::make_unique<DeviceRead>();
  slot->location = version.location;
  slot->hash = request.hash;
  slot->namespace_id = request.namespace_id;
  slot->lsn = version.lsn;
  slot->expiry_ms = version.expiry_ms;
  slot->file_bytes = version.file_bytes;
  slot->file = version.file;
  if (slot->file != 0) files_->Pin(slot->file);
  slot->key = request.key;
  DeviceRead& read = *slot;
  ReadLane& lane = LaneOf(read);
  lane.waiting.PushBack(read);
  StartDeviceReads(lane);
  return read;
}

Shard::ReadLane& Shard::LaneOf(const DeviceRead& read) {
  return read.location.length <= options_.large_reply_bytes ? short_reads_ : long_reads_;
}

// In order, as there is memory. Reads end by themselves, so each has its turn.
void Shard::StartDeviceReads(ReadLane& lane) {
  while (!lane.waiting.empty()) {
    DeviceRead& read = lane.waiting.front();
    const size_t bytes = BufferBytes(read);
    if (lane.bytes > 0 && lane.bytes + bytes > lane.bytes_max) {
      PAKV_COVERED(kDeviceReadQueued);
      return;
    }
    read.Unlink();
    lane.bytes += bytes;
    nursery_.Spawn(RunDeviceRead(read));
  }
}

// `reader` is given the value as it is published now.
void Shard::WaitForDevice(Request& reader) { ReadFromDevice(reader).readers.PushBack(reader); }

void Shard::WaitForVersion(Request& reader, const VersionOnDevice& version) {
  ReadVersion(reader, version).readers.PushBack(reader);
}

Task<void> Shard::RunDeviceRead(DeviceRead& read) {
  // Never served from within the call that asks for it.
  co_await core_.ready().Yield();
  const ValueFileHead file{.file = read.file, .length = read.file_bytes};
  auto result = co_await reader_->Read(read.location, read.namespace_id, read.key, read.lsn, file);
  std::string error;
  at_hand_.location = read.location;
  if (result.ok()) {
    at_hand_.value = result->value();
    // If it still is the key's record, it is worth keeping.
    const Entry entry =
        table_->Find({.hash = read.hash, .namespace_id = read.namespace_id, .key = read.key});
    if (entry && entry.location() == read.location && entry.cache() == 0) {
      entry.set_cache(cache_->Insert(entry.hash(), at_hand_.value));
    }
  } else {
    error = MessageOf(result.status());
    LogError("{}", error);
    at_hand_.error = &error;
    at_hand_.outcome = OutcomeOfRead(result.status());
  }
  DeviceReadDone(read);
  at_hand_ = AtHand();
}

// The read is of the moment at which it was asked for: what has been published since may be the
// session's own later write, which a read that it sent before must not show.
void Shard::AnswerFromDevice(Request& request, const OldValue& old) {
  if (at_hand_.error != nullptr) {
    request.outcome = at_hand_.outcome;
    request.reply.bytes = *at_hand_.error;
  } else {
    ++counters_.read_device;
    AnswerRead(request, old);
  }
  // It may have been a part of the value that was asked for.
  if (!IsLarge(request.reply)) request.ReleaseRoom();
}

void Shard::DeviceReadDone(DeviceRead& read) {
  IntrusiveList<Request> readers;
  readers.Splice(read.readers);
  BlockedKey* const blocked = read.blocked;
  OldValue old;
  old.exists = true;
  old.lsn = read.lsn;
  old.expiry_ms = read.expiry_ms;
  old.value = at_hand_.value;
  ReadLane& lane = LaneOf(read);
  lane.bytes -= BufferBytes(read);
  const uint64_t file = read.file;
  old.in_file = file != 0;
  old.value_length = static_cast<uint32_t>(old.in_file ? read.file_bytes : at_hand_.value.size());
  device_reads_.erase(LocationKey(read.location));  // `read` ends here
  device_read_ended_.Set();
  while (!readers.empty()) {
    Request& request = readers.PopFront();
    AnswerFromDevice(request, old);
    Complete(request);
  }
  if (file != 0) files_->Unpin(file);
  if (blocked != nullptr) Release(*blocked);
  StartDeviceReads(lane);
}

}  // namespace pakv
