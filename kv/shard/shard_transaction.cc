// What a shard does for transactions and snapshots: kv/shard/messages/transaction_part.h.
// Long because: all steps share how a key is held, read and let go.
#include <algorithm>
#include <array>
#include <utility>

#include "kv/log/write/awaited_entry.h"
#include "kv/shard/shard.h"
#include "runtime/base/check.h"
#include "runtime/base/coverage.h"
#include "runtime/base/seeded_bug.h"
#include "runtime/core/next_pass.h"

namespace pakv {

// Calls `what` for each key, those of a few fetched side by side before.
template <typename What>
void Shard::ForGroups(std::span<TransactionKey* const> keys, What&& what) {
  while (!keys.empty()) {
    const auto group = keys.first(std::min(kPrefetchMax, keys.size()));
    keys = keys.subspan(group.size());
    std::array<uint64_t, kPrefetchMax> hashes;
    std::transform(group.begin(), group.end(), hashes.begin(),
                   [](const TransactionKey* key) { return key->hash; });
    Prefetch(std::span(hashes.data(), group.size()));
    for (TransactionKey* key : group) what(*key);
  }
}

// ---- Steps ----

void Shard::StartPart(TransactionPart& part) {
  switch (part.step) {
    case TransactionPart::Step::kLock:
      return LockPart(part);
    case TransactionPart::Step::kClose:
      return ClosePart(part);
    case TransactionPart::Step::kPublish:
      return PublishPart(part);
    case TransactionPart::Step::kAlone:
      return StartAlone(part);
    case TransactionPart::Step::kLook:
      return LookAtPart(part);
    case TransactionPart::Step::kConfirm:
      return ConfirmPart(part);
  }
}

// A request that is more than one on one key.
void Shard::StartKind(Request& request) {
  switch (request.kind_) {
    case Request::Kind::kOne:
      break;
    case Request::Kind::kGroup:
      return StartGroup(request);
    case Request::Kind::kPart:
      request.kind_ = Request::Kind::kOne;
      return StartPart(*static_cast<TransactionKey&>(request).part);
    case Request::Kind::kLock:
      return TakeLock(static_cast<TransactionKey&>(request));
    case Request::Kind::kLook:
      return LookAtKey(static_cast<TransactionKey&>(request));
    case Request::Kind::kDue:
      if (StartDue(request)) Complete(request);
      return;
  }
}

void Shard::ForKeys(TransactionPart& part, DoWithKeys what, AfterKeys then) {
  if (TakesSteps(part)) return nursery_.Spawn(ForKeysInSteps(part, what, then));
  (this->*what)(part, part.keys);
  (this->*then)(part);
}

Task<void> Shard::ForKeysInSteps(TransactionPart& part, DoWithKeys what, AfterKeys then) {
  PAKV_COVERED(kPartTookSteps);
  std::span<TransactionKey* const> left = part.keys;
  while (!left.empty()) {
    const auto step = left.first(std::min(options_.part_keys_max, left.size()));
    left = left.subspan(step.size());
    (this->*what)(part, step);
    co_await StepEnds();
  }
  (this->*then)(part);
}

// Others have their turn.
Task<void> Shard::StepEnds() {
  co_await NextPass(core_);
  if (options_.part_pause_ns == 0) co_return;
  const uint64_t wake_ns = core_.now_ns() + options_.part_pause_ns;
  co_await core_.timers().SleepUntil(wake_ns);
}

void Shard::TakeKeys(TransactionPart& part, std::span<TransactionKey* const> keys) {
  for (TransactionKey* key : keys) {
    key->part = &part;
    key->shard_ = this;
    key->source_core_ = core_.id();
    key->done = &Shard::KeyDone;
    key->outcome = Outcome::kDone;
    key->is_read = false;
  }
}

void Shard::PartDone(TransactionPart& part) {
  if (part.source_core == core_.id()) return part.returned(part);
  part.set_function([](Message& message, Core&) {
    auto& back = static_cast<TransactionPart&>(message);
    back.returned(back);
  });
  core_.Send(part.source_core, part);
}

// A key's device read has ended, or its write has settled.
void Shard::KeyDone(Request& request) {
  auto& key = static_cast<TransactionKey&>(request);
  TransactionPart& part = *key.part;
  if (key.outcome != Outcome::kDone) {
    part.outcome = key.outcome;
    if (HasText(key.outcome)) part.error = key.reply.bytes;
  }
  part.shard->OneDone(part);
}

void Shard::OneDone(TransactionPart& part) {
  if (--part.left_ > 0) return;
  switch (part.doing_) {
    case TransactionPart::Doing::kLocking:
      part.holds_ = true;
      return ReadPart(part);
    case TransactionPart::Doing::kReading:
      part.clock_ms = log_->ExpiryClockMs();
      // Not from here: it lets keys go, and whoever gets one may be the next to decide.
      if (part.step == TransactionPart::Step::kAlone) return core_.MakeReady(part.decides_);
      return PartDone(part);
    case TransactionPart::Doing::kWriting:
      return PartDone(part);
  }
}

// ---- Holding keys ----

// All of it waits while writes are held, or another part asks: keys that it asked for one by one
// would meet others in an order of their own.
void Shard::LockPart(TransactionPart& part) {
  part.outcome = Outcome::kDone;
  if (WritesAreHeld()) return PutOffPart(part, frozen_);
  if (part_asks_ && !PAKV_BUG(kPartsAskTogether)) {
    PAKV_COVERED(kAskedLater);
    return PutOffPart(part, asks_next_);
  }
  part.doing_ = TransactionPart::Doing::kLocking;
  part.left_ = part.keys.size() + 1;
  if (TakesSteps(part)) return nursery_.Spawn(AskInSteps(part));
  AskFor(part, part.keys);
  OneDone(part);
}

// The part starts again when the list does; its first key stands for it there.
void Shard::PutOffPart(TransactionPart& part, IntrusiveList<Request>& list) {
  if (!part.holds_) TakeKeys(part, part.keys.first(1));
  part.keys[0]->kind_ = Request::Kind::kPart;
  list.PushBack(*part.keys[0]);
}

void Shard::AskFor(TransactionPart& part, std::span<TransactionKey* const> keys) {
  TakeKeys(part, keys);
  for (TransactionKey* key : keys) {
    key->kind_ = Request::Kind::kLock;
    TakeLock(*key);
  }
}

// It waits for no key before it has asked for all, so those that want to ask next wait for work
// alone, and for a FLUSH, which waits for nobody.
Task<void> Shard::AskInSteps(TransactionPart& part) {
  part_asks_ = true;
  std::span<TransactionKey* const> left = part.keys;
  while (!left.empty()) {
    const auto step = left.first(std::min(options_.part_keys_max, left.size()));
    left = left.subspan(step.size());
    AskFor(part, step);
    co_await StepEnds();
    while (WritesAreHeld() && !left.empty()) co_await WritesMayGo(/*also_slowed=*/true);
  }
  part_asks_ = false;
  OneDone(part);
  IntrusiveList<Request> next;
  next.Splice(asks_next_);
  RestartAll(next);
}

void Shard::TakeLock(TransactionKey& key) {
  const PendingTable::Slot* slot = pending_.Find(key.hash, key.namespace_id, key.key);
  if (slot != nullptr && slot->blocked != nullptr) {
    PAKV_COVERED(kLockQueued);
    slot->blocked->waiting.PushBack(key);
    return;
  }
  PAKV_DCHECK(!WritesAreHeld(), "neither a part nor who waits for a key is started then");
  key.kind_ = Request::Kind::kOne;
  BlockedKey& blocked = pending_.Lock(key);
  if (slot == nullptr) {
    Held(blocked);
  } else {
    PAKV_COVERED(kLockWaitedForWrites);
  }
}

void Shard::Held(BlockedKey& blocked) {
  // An edit has waited for it: its request starts again.
  if (blocked.lock == nullptr) return Release(blocked);
  blocked.locked_lsn = NextLsn();
  OneDone(*static_cast<TransactionKey*>(blocked.lock)->part);
}

void Shard::ReleasePart(TransactionPart& part) {
  part.holds_ = false;
  ForKeys(part, &Shard::ReleaseKeys, &Shard::PartReleased);
}

void Shard::PartReleased(TransactionPart& part) {
  if (std::exchange(part.is_closed_, false)) --closed_count_;
  PartDone(part);
}

void Shard::ReleaseKeys(TransactionPart&, std::span<TransactionKey* const> keys) {
  ReturnMemory(keys);
  for (TransactionKey* key : keys) {
    PendingTable::Slot* slot = pending_.Find(key->hash, key->namespace_id, key->key);
    PAKV_CHECK(slot != nullptr && slot->blocked != nullptr && slot->blocked->lock == key);
    Release(*slot->blocked);
  }
}

// Whoever has waited for the key goes on, in order, until somebody blocks it again. While writes
// are held they keep their places in its queue: elsewhere the locks among them would lose the order
// in which their parts asked for other keys, and wait for each other for ever.
void Shard::Release(BlockedKey& blocked) {
  IntrusiveList<Request> readers;
  IntrusiveList<Request> waiting;
  readers.Splice(blocked.readers);
  if (WritesAreHeld() && !blocked.waiting.empty()) {
    PAKV_COVERED(kQueueKept);
    blocked.lock = nullptr;
    blocked.locked_lsn = kNoLsn;
    if (!std::exchange(blocked.is_kept, true)) kept_.push_back(&blocked);
    RestartAll(readers);
    return;
  }
  waiting.Splice(blocked.waiting);
  const uint64_t hash = blocked.hash;
  const uint32_t namespace_id = blocked.namespace_id;
  pending_.Unblock(blocked);
  RestartAll(readers);
  while (!waiting.empty()) {
    Restart(waiting.PopFront());
    if (waiting.empty()) return;
    PendingTable::Slot* slot = pending_.Find(hash, namespace_id, waiting.front().key);
    if (slot != nullptr && slot->blocked != nullptr) {
      slot->blocked->waiting.Splice(waiting);
      return;
    }
  }
}

// ---- Old states ----

void Shard::ReadPart(TransactionPart& part) {
  part.doing_ = TransactionPart::Doing::kReading;
  part.is_unproven = part.is_changed = part.is_disturbed = false;
  part.ForgetOld();
  part.left_ = part.keys.size() + 1;
  ForKeys(part, &Shard::ReadKeys, &Shard::OneDone);
}

void Shard::ReadKeys(TransactionPart& part, std::span<TransactionKey* const> keys) {
  if (part.step == TransactionPart::Step::kLock) ReserveMemory(keys);
  ForGroups(keys, [&](TransactionKey& key) {
    if (ReadKey(key)) OneDone(part);
  });
}

// What is published of the key. False: it comes from the device.
bool Shard::ReadKey(TransactionKey& key) {
  key.old = OldValue();
  DropPin(key);
  if (IsChanged(key)) key.part->is_changed = true;
  if (key.needs == OldState::kNothing) return true;
  OldValue old;
  const Found found = OldPublished(key, old);
  if (found == Found::kNeedsDevice) {
    key.is_read = true;
    key.function = [](const OldValue& read, Request& request) {
      static_cast<TransactionKey&>(request).KeepOld(read);
      return Change();
    };
    WaitForDevice(key);
    return false;
  }
  KeepFound(key, found, old);
  return true;
}

bool Shard::IsChanged(const TransactionKey& key) const {
  if (key.watch == nullptr || !key.watch->changed) return false;
  const Entry entry =
      table_->Find({.hash = key.hash, .namespace_id = key.namespace_id, .key = key.key});
  return !PAKV_BUG(kWatchMissesRecreation) || key.watch->existed || entry;
}

void Shard::KeepFound(TransactionKey& key, Found found, const OldValue& old) {
  TransactionPart& part = *key.part;
  switch (found) {
    case Found::kValue:
      key.KeepOld(old);
      if (key.takes_file && old.in_file) PinFile(key, old.value);
      if (key.outcome != Outcome::kDone) part.outcome = key.outcome;
      return;
    case Found::kFailed:
      part.outcome = at_hand_.outcome;
      part.error = *at_hand_.error;
      return;
    case Found::kOverUnproven:
      part.is_unproven = true;
      [[fallthrough]];
    case Found::kOver:
    case Found::kMissing:
    case Found::kNeedsDevice:
      break;
  }
  if (key.watch != nullptr && key.watch->existed) part.is_changed = true;
}

Shard::Judged Shard::Judge(std::span<TransactionKey* const> keys, uint64_t clock_ms) {
  Judged judged;
  log_->ShowClock(clock_ms);
  for (TransactionKey* key : keys) {
    if (!key->old.exists) continue;
    const bool is_dropped = key->old.lsn <= DropLsn(key->namespace_id);
    const bool is_over = key->old.expiry_ms != kNoExpiry && key->old.expiry_ms <= clock_ms;
    if (!is_dropped && !is_over) continue;
    if (is_dropped) PAKV_COVERED(kFlushMetTransaction);
    key->old = OldValue();
    judged.is_unproven = judged.is_unproven || !is_dropped;
    judged.is_changed = judged.is_changed || key->watch != nullptr;
  }
  return judged;
}

// ---- Several owners ----

// All keys at once: reads that are started together are of one moment.
void Shard::ClosePart(TransactionPart& part) {
  part.is_closed_ = true;
  ++closed_count_;
  PartDone(part);
}

bool Shard::IsClosed(const PendingTable::Slot* slot) const {
  if (reads_closed_ > 0) return true;
  if (slot == nullptr || slot->blocked == nullptr || slot->blocked->lock == nullptr) return false;
  const auto& key = static_cast<const TransactionKey&>(*slot->blocked->lock);
  return key.part->is_closed_ && key.is_written;
}

void Shard::PublishPart(TransactionPart& part) {
  // What was decided by that clock stays so.
  log_->ShowClock(part.clock_ms);
  if (!part.is_durable && !PAKV_BUG(kFailedTransactionPublished)) return ReleasePart(part);
  PAKV_CHECK(!TakesSteps(part) || part.is_closed_ || !part.is_written ||
                 PAKV_BUG(kStepsPublishedOpen) || PAKV_BUG(kFailedTransactionPublished),
             "others would see a part of it");
  // All of them before anybody goes on.
  ForKeys(part, &Shard::PublishKeys, &Shard::ReleasePart);
}

void Shard::PublishKeys(TransactionPart& part, std::span<TransactionKey* const> keys) {
  ForGroups(keys, [&](TransactionKey& key) {
    if (!key.is_written) return;
    key.PlaceIn(part.block);
    key.pending_key_ = key.key;
    ++counters_.writes;
    Publish(key);
  });
}

bool Shard::WaitsForClose(Request& request) {
  if (reads_closed_ > 0) {
    HoldRead(request, closed_reads_);
    return true;
  }
  PendingTable::Slot* slot = pending_.Find(request.hash, request.namespace_id, request.key);
  if (!IsClosed(slot)) return false;
  PAKV_COVERED(kReadHeldByClose);
  HoldRead(request, slot->blocked->readers);
  return true;
}

// Until it is started again. Its session's writes were looked for: what is found then came later.
void Shard::HoldRead(Request& request, IntrusiveList<Request>& list) {
  request.KeepArguments();
  request.session_has_writes = false;
  list.PushBack(request);
}

Task<void> Shard::WritesMayGo(bool also_slowed) {
  while (freeze_count_ > 0 || (also_slowed && slow_holds_)) {
    thawed_.Reset();
    co_await thawed_.Wait();
  }
}

// In the pass in which it was decided all of it gets its LSN and its place in the log. A FLUSH or
// another write that comes while the records are encoded comes behind it, whatever it finds.
Task<Outcome> Shard::WriteAsOne(std::span<TransactionKey* const> keys, Location& block) {
  size_t bytes = 0;
  size_t count = 0;
  bool frees_space = true;
  for (const TransactionKey* key : keys) {
    if (!key->is_written) continue;
    const RecordFields fields = RecordOf(*key);
    bytes += EncodedRecordSize(fields.key, fields.value);
    frees_space = frees_space && key->pending_delete_;
    ++count;
  }
  const Admission admission = log_->Admit(bytes, frees_space);
  if (admission != Admission::kOk) co_return OutcomeOf(admission);
  const Lsn lsn = NextLsn();
  LogWriter::Block& group = log_->BeginGroup(bytes);
  size_t added = 0;
  for (TransactionKey* key : keys) {
    if (!key->is_written) continue;
    if (added > 0 && added % options_.part_keys_max == 0) co_await StepEnds();
    ++added;
    key->lsn = key->part->lsn = lsn;
    key->part->is_written = true;
    if (key->pending_in_file_) *key->file_admitted = true;
    RecordFields fields = RecordOf(*key);
    fields.lsn = lsn;
    log_->AddToGroup(group, fields, *key);
  }
  AwaitedEntry entry(core_.ready());
  const std::optional<Settlement> given_up = log_->EndGroup(group, entry);
  if (!given_up) co_await entry.settled.Wait();
  const Settlement settlement = given_up.value_or(entry.settlement);
  block = entry.location();
  if (settlement == Settlement::kUnknown) counters_.writes_unknown += count;
  if (IsRefused(settlement) ||
      (settlement == Settlement::kUnknown && PAKV_BUG(kUnknownFileRemoved))) {
    for (TransactionKey* key : keys) {
      if (key->is_written && key->pending_in_file_) *key->file_admitted = false;
    }
  }
  co_return OutcomeOf(settlement);
}

// ---- One owner ----

void Shard::StartAlone(TransactionPart& part) {
  PAKV_DCHECK(!TakesSteps(part), "it is decided in one pass");
  if (WritesAreHeld()) return PutOffPart(part, frozen_);
  if (part.holds_) return DecideAlone(part, /*by_pending=*/false);
  if (!DecideAtOnce(part)) LockPart(part);
}

// If everything that it asks for is at hand, as a rule: no key is held. False: nothing was done.
bool Shard::DecideAtOnce(TransactionPart& part) {
  TakeKeys(part, part.keys);
  part.outcome = Outcome::kDone;
  part.is_unproven = part.is_changed = false;
  part.ForgetOld();
  bool by_pending = false;
  for (TransactionKey* key : part.keys) {
    const PendingTable::Slot* slot = pending_.Find(key->hash, key->namespace_id, key->key);
    if (slot != nullptr && slot->blocked != nullptr) return false;
    if (key->watch != nullptr) {
      // A write that is pending may still fail.
      if (slot != nullptr) return false;
      part.is_changed = part.is_changed || IsChanged(*key);
    }
    key->old = OldValue();
    DropPin(*key);
    if (key->needs == OldState::kNothing) continue;
    OldValue old;
    const Found found = OldNewest(*key, slot, old);
    if (found == Found::kNeedsDevice) return false;
    KeepFound(*key, found, old);
    // A refusal because of a write that is pending and may be lost has to wait for it.
    if (part.outcome != Outcome::kDone && slot != nullptr) return false;
    by_pending = by_pending || slot != nullptr;
  }
  part.clock_ms = log_->ExpiryClockMs();
  DecideAlone(part, by_pending);
  return true;
}

void Shard::DecideAlone(TransactionPart& part, bool by_pending) {
  if (part.outcome == Outcome::kDone && part.holds_) {
    // A FLUSH may have passed, and time, since the keys were read.
    const Judged judged = Judge(part.keys, std::max(part.clock_ms, log_->ExpiryClockMs()));
    part.clock_ms = log_->ExpiryClockMs();
    part.is_unproven = part.is_unproven || judged.is_unproven;
    part.is_changed = part.is_changed || judged.is_changed;
  }
  bool waits = false;
  if (part.outcome == Outcome::kDone) {
    const bool writes = !part.is_changed && part.decide(part) && WriteAlone(part);
    waits = writes || (part.outcome == Outcome::kDone && WaitForProof(part, by_pending));
  }
  if (std::exchange(part.holds_, false)) ReleaseKeys(part, part.keys);
  if (!waits) PartDone(part);
}

// True: what was decided is pending. False: there is nothing to write, or it was refused.
bool Shard::WriteAlone(TransactionPart& part) {
  std::vector<Request*> written;
  written.reserve(part.keys.size());
  for (TransactionKey* key : part.keys) {
    if (key->is_written) written.push_back(key);
  }
  if (written.empty()) return false;
  std::vector<Appended> appended;
  const std::optional<Outcome> refused = AppendOwn(written, appended);
  if (refused) {
    part.outcome = *refused;
    return false;
  }
  part.lsn = written[0]->lsn;
  part.doing_ = TransactionPart::Doing::kWriting;
  part.left_ = written.size();
  for (size_t i = 0; i < written.size(); ++i) {
    BecomePending(*written[i], appended[i], written[i]->pending_delete_);
  }
  return true;
}

// Nothing was written. True: the answer waits until what it was decided by is durable.
bool Shard::WaitForProof(TransactionPart& part, bool by_pending) {
  Request& waiter = *part.keys[0];
  if (part.is_unproven) {
    const Admission admission = log_->WaitClock(waiter);
    if (admission != Admission::kOk) {
      part.outcome = OutcomeOf(admission);
      return false;
    }
  } else if (!by_pending || !log_->WaitNewest(waiter)) {
    return false;
  }
  waiter.role_ = Request::Role::kAnswer;
  waiter.is_read = part.is_unproven;
  waiter.settles_hash = 0;
  part.doing_ = TransactionPart::Doing::kWriting;
  part.left_ = 1;
  return true;
}

// ---- Snapshots ----

void Shard::LookAtPart(TransactionPart& part) {
  part.outcome = Outcome::kDone;
  part.doing_ = TransactionPart::Doing::kReading;
  part.is_unproven = part.is_disturbed = false;
  part.ForgetOld();
  part.left_ = part.keys.size() + 1;
  ForKeys(part, &Shard::LookAtKeys, &Shard::OneDone);
}

void Shard::LookAtKeys(TransactionPart& part, std::span<TransactionKey* const> keys) {
  TakeKeys(part, keys);
  ForGroups(keys, [&](TransactionKey& key) {
    key.kind_ = Request::Kind::kLook;
    LookAtKey(key);
  });
}

void Shard::LookAtKey(TransactionKey& key) {
  TransactionPart& part = *key.part;
  if (closed_count_ > 0 && WaitsForClose(key)) {
    // So the part's keys are not read in one moment.
    part.is_disturbed = part.is_disturbed || part.is_only;
    return;
  }
  key.kind_ = Request::Kind::kOne;
  if (!ReadKey(key)) return;
  if (!key.old.exists) {
    // If its time is over, what is under way may have given it more.
    const Entry entry =
        table_->Find({.hash = key.hash, .namespace_id = key.namespace_id, .key = key.key});
    if (entry && HasPending(entry)) part.is_disturbed = true;
    if (!part.is_only) {
      key.absent.hash = key.hash;
      key.absent.namespace_id = key.namespace_id;
      key.absent.changed = false;
      watches_.Add(key.absent);
    }
  }
  OneDone(part);
}

// A key that is closed is changing. One without a value has no LSN to be compared: it may have had
// one in between, so it is watched.
void Shard::ConfirmPart(TransactionPart& part) {
  // What was over at one owner is over at all of them, although the wall clock was set back since.
  log_->ShowClock(part.clock_ms);
  part.is_disturbed = false;
  ForKeys(part, &Shard::ConfirmKeys, &Shard::PartDone);
}

void Shard::ConfirmKeys(TransactionPart& part, std::span<TransactionKey* const> keys) {
  ForGroups(keys, [&](TransactionKey& key) {
    const Entry entry =
        table_->Find({.hash = key.hash, .namespace_id = key.namespace_id, .key = key.key});
    const bool exists = entry && LifetimeOf(entry.expiry_ms()) == Lifetime::kLives;
    const PendingTable::Slot* slot = pending_.Find(key.hash, key.namespace_id, key.key);
    const bool is_same =
        key.old.exists ? exists && entry.lsn() == key.old.lsn : !exists && !key.absent.changed;
    part.is_disturbed = part.is_disturbed || !is_same || IsClosed(slot);
    watches_.Remove(key.absent);
  });
}

// ---- The rest ----

bool Shard::BeginTransaction() {
  if (transactions_end_) return false;
  ++transactions_;
  return true;
}

void Shard::EndTransaction() {
  if (--transactions_ == 0) transaction_ended_.Set();
}

Task<bool> Shard::FinishTransactions() {
  transactions_end_ = true;
  while (transactions_ > 0) {
    transaction_ended_.Reset();
    co_await transaction_ended_.Wait();
  }
  co_return true;
}

void Shard::AddWatch(Watch& watch) {
  const Entry entry =
      table_->Find({.hash = watch.hash, .namespace_id = watch.namespace_id, .key = watch.key});
  watch.existed = entry && LifetimeOf(entry.expiry_ms()) == Lifetime::kLives;
  watch.changed = false;
  watches_.Add(watch);
}

}  // namespace pakv
