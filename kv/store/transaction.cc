// Long because: the keys, the course over their owners and the snapshot share one object.
#include "kv/store/transaction.h"

#include <absl/functional/function_ref.h>

#include <algorithm>
#include <utility>

#include "kv/store/store.h"
#include "runtime/base/check.h"
#include "runtime/base/coverage.h"
#include "runtime/base/seeded_bug.h"
#include "runtime/task/sync.h"

namespace pakv {
namespace {

// So often a snapshot is tried before its keys are held.
constexpr int kSnapshotTries = 3;
// So many keys are watched, or are no more, in one pass.
constexpr size_t kWatchesPerPass = 1024;

}  // namespace

// ---- Transaction ----

Transaction::~Transaction() {
  if (held_bytes_ > 0) shard_->transaction_memory().Give(held_bytes_);
}

TransactionKey* Transaction::FindKey(uint64_t hash, uint32_t namespace_id, std::string_view key,
                                     size_t& index) {
  const auto is_it = [&](size_t candidate) {
    const TransactionKey& other = Key(candidate);
    return other.hash == hash && other.namespace_id == namespace_id && other.key == key;
  };
  if (key_count() <= kUnmappedKeysMax) {
    for (index = 0; index < key_count(); ++index) {
      if (hashes_[index] == hash && is_it(index)) return &Key(index);
    }
    return nullptr;
  }
  if (by_hash_.empty()) {
    for (size_t i = 0; i < key_count(); ++i) MapByHash(i);
  }
  const auto newest = by_hash_.find(hash);
  if (newest == by_hash_.end()) return nullptr;
  for (index = newest->second; index != kNoKey; index = same_hash_before_[index]) {
    if (is_it(index)) return &Key(index);
  }
  return nullptr;
}

void Transaction::MapByHash(size_t index) {
  const auto [newest, is_first] = by_hash_.try_emplace(hashes_[index], index);
  same_hash_before_.push_back(is_first ? kNoKey : std::exchange(newest->second, index));
}

bool Transaction::FreeSome() {
  if (own_keys_.size() <= kFreedAtOnce) return false;
  own_keys_.ShrinkTo(own_keys_.size() - kFreedAtOnce);
  return true;
}

size_t Transaction::AddKey(uint64_t hash, uint32_t namespace_id, std::string_view key,
                           OldState needs, bool may_write) {
  size_t index = 0;
  if (TransactionKey* const found = FindKey(hash, namespace_id, key, index)) {
    found->needs = std::max(found->needs, needs);
    found->may_write = found->may_write || may_write;
    return index;
  }
  bytes_ += key.size();
  index = key_count();
  if (index == kTransactionKeysMax) {
    bytes_ = kTransactionBytesMax + 1;
    return index - 1;
  }
  if (index == 0) hashes_.reserve(kChunkKeys);
  hashes_.push_back(hash);
  TransactionKey& added = own_keys_.EmplaceBack();
  if (!by_hash_.empty()) MapByHash(index);
  added.hash = hash;
  added.namespace_id = namespace_id;
  added.session = session_;
  added.key = key;
  added.needs = needs;
  added.may_write = may_write;
  return index;
}

void Transaction::Require(const Watches& watches) {
  for (const auto& [owner, hung] : watches.of_owner_) {
    for (const struct Watch& watch : hung) {
      const size_t index =
          AddKey(watch.hash, watch.namespace_id, watch.key, OldState::kExistence, false);
      Key(index).watch = &watch;
    }
  }
}

void Transaction::Write(size_t index, std::string_view value, uint64_t expiry_ms) {
  WriteValue(index, value, expiry_ms, /*is_kept=*/false);
}

void Transaction::WriteKept(size_t index, std::string_view value, uint64_t expiry_ms) {
  WriteValue(index, value, expiry_ms, /*is_kept=*/true);
}

void Transaction::WriteValue(size_t index, std::string_view value, uint64_t expiry_ms,
                             bool is_kept) {
  TransactionKey& key = Key(index);
  PAKV_CHECK(key.may_write, "it was not added to be written");
  bytes_ += value.size() - std::min(bytes_, key.new_value.size());
  work_bytes_ += value.size();
  if (too_large()) return;
  key.Write(value, expiry_ms, is_kept);
}

void Transaction::WriteFile(size_t index, std::string_view reference, uint64_t expiry_ms,
                            bool* admitted) {
  TransactionKey& key = Key(index);
  PAKV_CHECK(key.may_write, "it was not added to be written");
  bytes_ += reference.size() - std::min(bytes_, key.new_value.size());
  if (too_large()) return;
  key.WriteFile(reference, expiry_ms, admitted);
}

void Transaction::Delete(size_t index) {
  TransactionKey& key = Key(index);
  PAKV_CHECK(key.may_write, "it was not added to be written");
  bytes_ -= key.new_value.size();
  key.Delete();
}

bool Transaction::KeepsReply(Request& request) {
  const size_t bytes = request.reply.bytes.size();
  reply_bytes_ += bytes;
  if (bytes > 0 && !too_large()) {
    lacks_room_ =
        reply_bytes_ > reply_bytes_max_ || !shard_->transaction_memory().Take(bytes, held_bytes_);
    if (!lacks_room_) held_bytes_ += bytes;
  }
  request.outcome = refusal();
  if (request.outcome != Outcome::kDone) {
    request.reply.bytes = {};
    return false;
  }
  request.KeepReply();
  return true;
}

void Transaction::Run(size_t index, Request& request) {
  request.shard_ = shard_;
  request.outcome = refusal();
  if (request.outcome != Outcome::kDone) {
    request.reply.bytes = {};
    return;
  }
  const OldValue old = Old(index);
  PAKV_CHECK(!Key(index).takes_file, "functions would write the reference as a value");
  const Change change = request.function(old, request);
  request.lsn = old.lsn;
  if (!KeepsReply(request)) return;
  switch (change.action) {
    case Change::Action::kKeep:
      break;
    case Change::Action::kWrite: {
      const bool is_kept = change.value.data() == request.value.data() &&
                           change.value.size() <= request.value.size();
      WriteValue(index, change.value, change.expiry_ms, is_kept);
      break;
    }
    case Change::Action::kDelete:
      Delete(index);
      break;
    case Change::Action::kEdit:
      if (shard_->EditsInMemory(old, request, change)) {
        Write(index, EditedValue(old.value, request.edit_begin, change.value), change.expiry_ms);
      } else {
        request.outcome = Outcome::kInFile;
      }
      break;
  }
}

bool Transaction::any_written() const {
  return std::any_of(keys_.begin(), keys_.end(),
                     [](const TransactionKey* key) { return key->is_written; });
}

bool Transaction::lacks_memory() const {
  return std::any_of(keys_.begin(), keys_.end(), [](const TransactionKey* key) {
    return key->is_written && !key->pending_delete_ && key->lacks_memory;
  });
}

void Store::ReleaseFiles(const Core& here, Transaction& transaction) {
  for (size_t index = 0; index < transaction.key_count(); ++index) {
    if (transaction.Key(index).takes_file) ReleaseFile(here, transaction.Key(index));
  }
}

// ---- Its course ----

// The keys by owner, those in ascending order, and a part for each.
void Store::MakeParts(Core& here, Transaction& transaction) {
  std::vector<uint32_t> ends(shards_.size() + 1);
  for (const uint64_t hash : transaction.hashes_) ++ends[OwnerOf(hash) + 1];
  for (size_t owner = 0; owner < shards_.size(); ++owner) ends[owner + 1] += ends[owner];
  transaction.part_count_ = 0;
  transaction.parts_ = std::make_unique<TransactionPart[]>(
      std::min<size_t>(shards_.size(), transaction.key_count()));
  transaction.keys_.resize(transaction.key_count());
  for (uint32_t owner = 0; owner < shards_.size(); ++owner) {
    const size_t begin = ends[owner];
    const size_t end = ends[owner + 1];
    if (begin == end) continue;
    TransactionPart& part = transaction.parts_[transaction.part_count_++];
    part.shard = shards_[owner].get();
    part.source_core = here.id();
    part.keys = std::span(transaction.keys_).subspan(begin, end - begin);
  }
  for (size_t index = 0; index < transaction.key_count(); ++index) {
    transaction.keys_[ends[OwnerOf(transaction.hashes_[index])]++] = &transaction.Key(index);
  }
}

// Sends parts to their owners and waits for all of them.
class Store::Course {
 public:
  using Step = TransactionPart::Step;

  Course(Core& here, Transaction& transaction)
      : here_(here), transaction_(transaction), returned_(here.ready()) {}

  std::span<TransactionPart> parts() {
    return {transaction_.parts_.get(), transaction_.part_count_};
  }
  bool IsHere(const TransactionPart& part) const { return &part.shard->core() == &here_; }
  // What came back; kDone if all is well.
  Outcome Gather() {
    Outcome outcome = Outcome::kDone;
    for (TransactionPart& part : parts()) {
      clock_ms = std::max(clock_ms, part.clock_ms);
      is_unproven = is_unproven || part.is_unproven;
      transaction_.watch_broken_ = transaction_.watch_broken_ || part.is_changed;
      if (part.outcome == Outcome::kDone) continue;
      outcome = part.outcome;
      transaction_.error_ = part.error;
    }
    return outcome;
  }
  bool IsDisturbed() {
    return std::any_of(parts().begin(), parts().end(),
                       [](const TransactionPart& part) { return part.is_disturbed; });
  }

  void Begin(TransactionPart& part, Step step) {
    part.step = step;
    part.transaction = this;
    part.returned = [](TransactionPart& back) {
      auto& course = *static_cast<Course*>(back.transaction);
      if (--course.under_way_ == 0) course.returned_.Set();
    };
    ++under_way_;
    returned_.Reset();
    if (IsHere(part)) return part.shard->StartPart(part);
    part.set_function([](Message& message, Core&) {
      auto& arrived = static_cast<TransactionPart&>(message);
      arrived.shard->StartPart(arrived);
    });
    here_.Send(part.shard->core().id(), part);
  }
  void BeginAll(Step step) {
    for (TransactionPart& part : parts()) Begin(part, step);
  }
  // co_await: all that was begun has come back.
  Event::Awaiter Returned() { return returned_.Wait(); }

  uint64_t clock_ms = 0;
  bool is_unproven = false;
  absl::FunctionRef<bool(Transaction&)>* decide = nullptr;
  Transaction& transaction() { return transaction_; }

 private:
  Core& here_;
  Transaction& transaction_;
  size_t under_way_ = 0;
  Event returned_;
};

Task<Outcome> Store::Transact(Core& here, Transaction& transaction,
                              absl::FunctionRef<bool(Transaction&)> decide) {
  if (transaction.too_large()) co_return Outcome::kTooLarge;
  if (transaction.key_count() == 0) co_return Outcome::kDone;
  Shard& own = *shards_[here.id()];
  if (!own.BeginTransaction()) co_return Outcome::kStopping;
  MakeParts(here, transaction);
  Outcome outcome = Outcome::kDone;
  if (IsForOnePass(transaction)) {
    outcome = co_await TransactAlone(here, transaction, decide);
  } else {
    co_await own.WritesMayGo(/*also_slowed=*/true);
    outcome = co_await TransactTogether(here, transaction, decide);
  }
  own.EndTransaction();
  co_return outcome;
}

bool Store::IsForOnePass(const Transaction& transaction) const {
  return transaction.part_count_ == 1 && transaction.key_count() <= options_.part_keys_max;
}

Task<Outcome> Store::TransactAlone(Core& here, Transaction& transaction,
                                   absl::FunctionRef<bool(Transaction&)> decide) {
  Course course(here, transaction);
  course.decide = &decide;
  TransactionPart& part = transaction.parts_[0];
  part.decide = [](TransactionPart& decided) {
    auto& its_course = *static_cast<Course*>(decided.transaction);
    Transaction& its = its_course.transaction();
    its.TakeClock(*decided.shard, decided.clock_ms);
    const bool writes = (*its_course.decide)(its);
    decided.outcome = its.refusal();
    return writes && decided.outcome == Outcome::kDone;
  };
  course.Begin(part, Course::Step::kAlone);
  co_await course.Returned();
  transaction.lsn_ = part.lsn;
  co_return course.Gather();
}

Task<Outcome> Store::TransactTogether(Core& here, Transaction& transaction,
                                      absl::FunctionRef<bool(Transaction&)> decide) {
  using Step = Course::Step;
  Course course(here, transaction);
  Shard& own = *shards_[here.id()];
  const std::span<TransactionPart> parts = course.parts();
  for (size_t i = 0; i < parts.size(); ++i) {
    const bool backwards = PAKV_BUG(kLockOrderWrong) && transaction.session_ % 2 == 0;
    course.Begin(parts[backwards ? parts.size() - 1 - i : i], Step::kLock);
    co_await course.Returned();
  }
  Outcome outcome = course.Gather();
  bool is_written = false;
  Location block;
  if (outcome == Outcome::kDone) {
    // A FLUSH that has stopped writes here comes before this. From here to where WriteAsOne has its
    // LSN is one pass, whatever the number of keys: what is judged is what is decided by. In
    // several, time could end a key and a FLUSH, which waits for nobody, could remove it in
    // between: what was decided by its value would then come behind them.
    co_await own.WritesMayGo(/*also_slowed=*/false);
    course.clock_ms = std::max(course.clock_ms, own.ExpiryClockMs());
    const Shard::Judged judged = own.Judge(transaction.keys_, course.clock_ms);
    transaction.watch_broken_ = transaction.watch_broken_ || judged.is_changed;
    transaction.TakeClock(own, course.clock_ms);
    const bool writes =
        !transaction.watch_broken_ && decide(transaction) && transaction.any_written();
    outcome = transaction.refusal();
    if (outcome != Outcome::kDone) {
      // Nothing of it is written.
    } else if (writes && transaction.lacks_memory()) {
      outcome = Outcome::kOutOfMemory;
    } else if (writes) {
      outcome = co_await own.WriteAsOne(transaction.keys_, block);
      is_written = outcome == Outcome::kDone;
    } else if (course.is_unproven || judged.is_unproven) {
      outcome = co_await own.MakeClockDurable();
    }
  }
  for (TransactionPart& part : parts) {
    part.is_durable = is_written;
    part.block = block;
    part.clock_ms = course.clock_ms;
  }
  if (is_written && options_.publish_pause_ns != 0) {
    const uint64_t wake_ns = here.now_ns() + options_.publish_pause_ns;
    co_await here.timers().SleepUntil(wake_ns);
  }
  if (is_written) co_await PublishFirst(course);
  for (TransactionPart& part : parts) {
    if (part.holds()) course.Begin(part, Step::kPublish);
  }
  co_await course.Returned();
  co_return outcome;
}

// Until no reader can see the old state any more where others see the new one: closed everywhere,
// or closed here and published by the only other owner, if either is done in one pass.
Task<void> Store::PublishFirst(Course& course) {
  using Step = Course::Step;
  std::vector<TransactionPart*> here;
  std::vector<TransactionPart*> elsewhere;
  bool takes_steps = false;
  for (TransactionPart& part : course.parts()) {
    if (!part.is_written) continue;
    course.transaction().lsn_ = std::max(course.transaction().lsn_, part.lsn);
    takes_steps = takes_steps || part.keys.size() > options_.part_keys_max;
    (course.IsHere(part) ? here : elsewhere).push_back(&part);
  }
  if (PAKV_BUG(kStepsPublishedOpen)) takes_steps = false;
  if (here.size() + elsewhere.size() == 1 && !takes_steps) co_return;
  if (PAKV_BUG(kTransactionHalfPublished)) {
    course.Begin(*elsewhere[0], Step::kPublish);
    co_await course.Returned();
    co_return;
  }
  for (TransactionPart* part : here) course.Begin(*part, Step::kClose);
  if (elsewhere.size() == 1 && !takes_steps) {
    course.Begin(*elsewhere[0], Step::kPublish);
  } else {
    for (TransactionPart* part : elsewhere) course.Begin(*part, Step::kClose);
  }
  co_await course.Returned();
}

Task<Outcome> Store::Snapshot(Core& here, Transaction& transaction) {
  if (transaction.too_large()) co_return Outcome::kTooLarge;
  if (transaction.key_count() == 0) co_return Outcome::kDone;
  Shard& own = *shards_[here.id()];
  if (!own.BeginTransaction()) co_return Outcome::kStopping;
  MakeParts(here, transaction);
  std::optional<Outcome> outcome;
  for (int i = 0; i < kSnapshotTries && !outcome; ++i) {
    outcome = co_await TrySnapshot(here, transaction);
    if (!outcome) PAKV_COVERED(kSnapshotAgain);
  }
  if (!outcome) {
    PAKV_COVERED(kSnapshotHeldKeys);
    const auto nothing = [](Transaction&) { return false; };
    if (IsForOnePass(transaction)) {
      outcome = co_await TransactAlone(here, transaction, nothing);
    } else {
      outcome = co_await TransactTogether(here, transaction, nothing);
    }
  }
  // For functions that are run on what was read: they are told of this core's clock.
  transaction.TakeClock(own, own.ExpiryClockMs());
  own.EndTransaction();
  co_return *outcome;
}

// Nothing if something has changed meanwhile.
Task<std::optional<Outcome>> Store::TrySnapshot(Core& here, Transaction& transaction) {
  using Step = Course::Step;
  Course course(here, transaction);
  for (TransactionPart& part : course.parts()) {
    part.is_only =
        IsForOnePass(transaction) || (transaction.part_count_ == 1 && PAKV_BUG(kStepsUnconfirmed));
    part.clock_ms = 0;
  }
  course.BeginAll(Step::kLook);
  co_await course.Returned();
  const Outcome outcome = course.Gather();
  bool is_disturbed = course.IsDisturbed();
  if (!course.parts()[0].is_only) {
    for (TransactionPart& part : course.parts()) part.clock_ms = course.clock_ms;
    course.BeginAll(Step::kConfirm);
    co_await course.Returned();
    is_disturbed = is_disturbed || (course.IsDisturbed() && !PAKV_BUG(kSnapshotUnconfirmed));
  }
  if (outcome != Outcome::kDone) co_return outcome;
  if (is_disturbed) co_return std::nullopt;
  for (TransactionPart& part : course.parts()) {
    if (!part.is_unproven) continue;
    Shard* const shard = part.shard;
    const Outcome proven = co_await here.CallTaskOn(
        shard->core().id(), [shard](Core&) { return shard->MakeClockDurable(); });
    if (proven != Outcome::kDone) co_return proven;
  }
  co_return Outcome::kDone;
}

// ---- Watches ----

Watch* Watches::Add(uint32_t owner, const Name& name) {
  if (known_.contains(name)) return nullptr;
  Watch& watch = of_owner_[owner].emplace_front();
  watch.hash = name.hash;
  watch.namespace_id = name.namespace_id;
  watch.key = name.key;
  known_.insert(Name(watch));
  bytes_ += BytesOf(name.key);
  return &watch;
}

Task<void> Store::Watch(Core& here, Watches& watches, uint32_t namespace_id,
                        std::span<const std::string_view> keys) {
  std::map<uint32_t, std::vector<struct Watch*>> added;  // by owner
  while (!keys.empty()) {
    const auto step = keys.first(std::min(keys.size(), kWatchesPerPass));
    keys = keys.subspan(step.size());
    added.clear();
    for (const std::string_view key : step) {
      const Watches::Name name(Hash(namespace_id, key), namespace_id, key);
      const uint32_t owner = OwnerOf(name.hash);
      struct Watch* const watch = watches.Add(owner, name);
      if (watch != nullptr) added[owner].push_back(watch);
    }
    for (const auto& [owner, list] : added) {
      Shard* const shard = shards_[owner].get();
      const std::span<struct Watch* const> to_hang = list;
      co_await here.CallOn(owner, [shard, to_hang](Core&) {
        for (struct Watch* const watch : to_hang) shard->AddWatch(*watch);
        return true;
      });
    }
  }
}

Task<void> Store::Unwatch(Core& here, Watches& watches) {
  watches.known_.clear();
  watches.bytes_ = 0;
  for (auto& [owner, hung] : watches.of_owner_) {
    Shard* const shard = shards_[owner].get();
    auto* const list = &hung;
    while (!list->empty()) {
      const size_t taken = co_await here.CallOn(owner, [shard, list](Core&) {
        size_t count = 0;
        for (struct Watch& watch : *list) {
          if (count == kWatchesPerPass) break;
          shard->RemoveWatch(watch);
          ++count;
        }
        return count;
      });
      for (size_t count = 0; count < taken; ++count) list->pop_front();
    }
  }
  watches.of_owner_.clear();
}

}  // namespace pakv
