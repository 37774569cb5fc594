#include "tests/sim/clients/transaction_client.h"

#include <algorithm>
#include <charconv>
#include <deque>
#include <set>
#include <utility>

#include "kv/shard/values/value_upload.h"
#include "runtime/io/timer.h"
#include "tests/kv/store/store_call.h"

namespace pakv {
namespace {

constexpr uint64_t kGroups = 2;
constexpr uint64_t kGroupKeys = 4;
constexpr uint64_t kAccounts = 4;
constexpr uint64_t kFileBytesMax = 12'000;

int64_t Balance(const OldValue& old) {
  int64_t balance = 0;
  if (old.exists) std::from_chars(old.value.data(), old.value.data() + old.value.size(), balance);
  return balance;
}

// What is in the keys: one generation, or nothing in any of them.
bool IsOneGeneration(const Transaction& transaction) {
  const OldValue first = transaction.Old(0);
  for (size_t index = 1; index < transaction.key_count(); ++index) {
    const OldValue other = transaction.Old(index);
    if (other.exists != first.exists || other.value != first.value) return false;
  }
  return true;
}

std::string Describe(const Transaction& transaction) {
  std::string text;
  for (size_t index = 0; index < transaction.key_count(); ++index) {
    const OldValue old = transaction.Old(index);
    text += " " + (old.exists ? std::string(old.value.substr(0, 24)) : "nothing");
  }
  return text;
}

}  // namespace

size_t TransactionSession::Add(Transaction& transaction, const std::string& key, OldState needs,
                               bool may_write) {
  return transaction.AddKey(load_.store.Hash(kDefaultNamespace, key), kDefaultNamespace, key, needs,
                            may_write);
}

std::vector<std::string> TransactionSession::GroupKeys(uint64_t group) const {
  std::vector<std::string> keys;
  for (uint64_t i = 0; i < kGroupKeys; ++i) {
    keys.push_back("group" + std::to_string(group) + "." + std::to_string(i));
  }
  return keys;
}

// In any order, and perhaps not all of them.
std::vector<std::string> TransactionSession::SomeGroupKeys(uint64_t group, uint64_t count) {
  std::vector<std::string> keys = GroupKeys(group);
  for (size_t i = keys.size() - 1; i > 0; --i) std::swap(keys[i], keys[prng_.Below(i + 1)]);
  keys.resize(count);
  return keys;
}

std::vector<std::string> TransactionSession::Accounts() const {
  std::vector<std::string> keys;
  for (uint64_t i = 0; i < kAccounts; ++i) keys.push_back("account" + std::to_string(i));
  return keys;
}

void TransactionSession::Wrong(std::string what) {
  if (load_.wrong.empty()) load_.wrong = std::move(what);
}

bool TransactionSession::IsDone(Outcome outcome, const char* what) {
  if (outcome == Outcome::kDone) return true;
  // A disk that fails does not damage what is on it.
  const bool may_refuse = (load_.disk_is_ill && outcome != Outcome::kDamaged) ||
                          outcome == Outcome::kInFile || load_.lacks_descriptors_for(outcome) ||
                          (load_.values_may_be_damaged && outcome == Outcome::kDamaged) ||
                          (load_.memory_is_short && outcome == Outcome::kOutOfMemory);
  if (!may_refuse) {
    Wrong(std::string(what) + " ended as outcome " + std::to_string(static_cast<int>(outcome)) +
          " although the disk is well");
  }
  return false;
}

// All of a group's keys get the same new value, sometimes by looking at the old ones first, and
// sometimes until the same time, or they go.
Task<void> TransactionSession::WriteGroup() {
  const std::vector<std::string> keys = SomeGroupKeys(prng_.Below(kGroups), kGroupKeys);
  const bool looks = prng_.Chance(1, 2);
  const bool deletes = prng_.Chance(1, 6);
  uint64_t expiry_ms = kNoExpiry;
  if (load_.wall_ms && prng_.Chance(1, 3)) expiry_ms = load_.wall_ms() + prng_.Below(40);
  std::string value = std::to_string(id_) + "." + std::to_string(next_value_++) + ".";
  if (prng_.Chance(1, 4)) value.resize(prng_.Below(load_.value_bytes_max + 1) + value.size(), 'g');
  Transaction transaction(id_);
  for (const std::string& key : keys) {
    Add(transaction, key, looks ? OldState::kValue : OldState::kNothing, true);
  }
  const auto decide = [&](Transaction& decided) {
    if (looks && !IsOneGeneration(decided)) {
      Wrong("a transaction sees a group half written:" + Describe(decided));
    }
    for (size_t index = 0; index < decided.key_count(); ++index) {
      if (deletes) {
        decided.Delete(index);
      } else {
        decided.Write(index, value, expiry_ms);
      }
    }
    return true;
  };
  const Outcome outcome = co_await load_.store.Transact(core_, transaction, decide);
  IsDone(outcome, "a transaction");
}

Task<void> TransactionSession::CheckGroup(const std::vector<std::string>& keys) {
  Transaction transaction(id_);
  for (const std::string& key : keys) Add(transaction, key, OldState::kValue, false);
  const Outcome outcome = co_await load_.store.Snapshot(core_, transaction);
  if (!IsDone(outcome, "a snapshot")) co_return;
  if (!IsOneGeneration(transaction)) {
    Wrong("a snapshot sees a group half written:" + Describe(transaction));
  }
}

// One key after the other, each by a read of its own: who has seen a generation sees no older one
// in another key.
Task<void> TransactionSession::ReadGroup(uint64_t group) {
  Lsn newest = kNoLsn;
  for (const std::string& key : SomeGroupKeys(group, kGroupKeys)) {
    StoreCall call(load_.store, core_);
    call.session = id_;
    const OldState needs = prng_.Chance(1, 4) ? OldState::kValue : OldState::kExistence;
    co_await call.Read(GetFunction, needs, key);
    if (!IsDone(call.outcome, "a read")) co_return;
    if (call.reply.kind == Reply::Kind::kNull) continue;
    if (call.lsn < newest) Wrong("a group's key is read as it was before what another one shows");
    newest = call.lsn;
  }
}

Task<void> TransactionSession::Move() {
  const std::vector<std::string> keys = Accounts();
  const uint64_t source = prng_.Below(kAccounts);
  const uint64_t target = (source + prng_.Between(1, kAccounts - 1)) % kAccounts;
  const auto amount = static_cast<int64_t>(prng_.Below(100));
  Transaction transaction(id_);
  const size_t from = Add(transaction, keys[source], OldState::kValue, true);
  const size_t to = Add(transaction, keys[target], OldState::kValue, true);
  const auto decide = [&](Transaction& decided) {
    decided.Write(from, std::to_string(Balance(decided.Old(from)) - amount), kNoExpiry);
    decided.Write(to, std::to_string(Balance(decided.Old(to)) + amount), kNoExpiry);
    return true;
  };
  const Outcome outcome = co_await load_.store.Transact(core_, transaction, decide);
  IsDone(outcome, "a transaction");
}

Task<void> TransactionSession::CheckAccounts() {
  const std::vector<std::string> keys = Accounts();
  Transaction transaction(id_);
  for (const std::string& key : keys) Add(transaction, key, OldState::kValue, false);
  const Outcome outcome = co_await load_.store.Snapshot(core_, transaction);
  if (!IsDone(outcome, "a snapshot")) co_return;
  int64_t sum = 0;
  for (size_t index = 0; index < keys.size(); ++index) sum += Balance(transaction.Old(index));
  if (sum != 0) Wrong("a snapshot sees something moved half:" + Describe(transaction));
}

// Each key's part is an operation of its own to the oracle. The first may set a value in a file,
// which is written before.
Task<void> TransactionSession::RunOnOracleKeys() {
  ValueUpload upload(load_.store.value_files(core_));
  std::string file_value;
  if (prng_.Chance(1, 4)) {
    file_value = std::to_string(id_) + "." + std::to_string(next_value_++) + ".";
    file_value.resize(file_value.size() + prng_.Below(kFileBytesMax), 'f');
    const Outcome written = co_await UploadInPieces(upload, file_value, prng_);
    if (!IsDone(written, "a value's file")) {
      co_await upload.Close(/*kept=*/false);
      co_return;
    }
  }
  bool file_kept = false;
  co_await RunParts(file_value, upload.reference(), file_kept);
  co_await upload.Close(file_kept);
}

// `reference`: of the file that has `file_value`, which the first part sets; empty: none does.
Task<void> TransactionSession::RunParts(const std::string& file_value, std::string_view reference,
                                        bool& file_kept) {
  struct Part {
    Oracle::OperationId id = 0;
    std::string key;
    OracleOperation what;
    size_t index = 0;
    Request request;
    OracleReply reply;
  };
  std::deque<Part> parts;
  std::set<uint64_t> numbers;
  const uint64_t count = prng_.Between(1, std::min<uint64_t>(3, load_.key_count));
  while (numbers.size() < count) numbers.insert(prng_.Below(load_.key_count));
  const auto is_busy = [this](uint64_t number) {
    return load_.oracle.pending_count(load_.OracleName(number)) >= load_.PendingPerKeyMax();
  };
  if (std::any_of(numbers.begin(), numbers.end(), is_busy)) co_return;
  Transaction transaction(id_);
  for (const uint64_t number : numbers) {
    Part& part = parts.emplace_back();
    part.key = load_.KeyName(number);
    const std::string value = std::to_string(id_) + "." + std::to_string(next_value_++) + ".";
    const uint64_t dice = prng_.Below(6);
    part.what = dice < 1   ? OracleOperation{OracleCommand::kGet, {}, 0}
                : dice < 3 ? OracleOperation{OracleCommand::kSet, value, 0}
                : dice < 4 ? OracleOperation{OracleCommand::kDelete, {}, 0}
                : dice < 5 ? OracleOperation{OracleCommand::kSet, value, 0, {.if_absent = true}}
                           : OracleOperation{OracleCommand::kIncrement, {}, 3};
    if (parts.size() == 1 && !reference.empty()) {
      part.what = {OracleCommand::kSet, file_value, 0};
    }
    const OracleRow row = RowOf(part.what);
    part.request.function = row.function;
    part.request.value = part.what.argument;
    part.request.number = part.what.number;
    const uint32_t namespace_id = load_.NamespaceOf(number).id;
    part.index = transaction.AddKey(load_.store.Hash(namespace_id, part.key), namespace_id,
                                    part.key, row.needs, true);
    part.what.may_be_refused = load_.may_refuse();
    part.id = load_.oracle.Begin(id_, load_.OracleName(number), part.what);
  }
  const auto decide = [&](Transaction& decided) {
    for (Part& part : parts) {
      if (&part == &parts.front() && !reference.empty()) {
        decided.WriteFile(part.index, reference, kNoExpiry, &file_kept);
        continue;
      }
      decided.Run(part.index, part.request);
      part.reply = ReplyOf(part.request.reply);
    }
    return true;
  };
  const Outcome outcome = co_await load_.store.Transact(core_, transaction, decide);
  IsDone(outcome, "a transaction");
  for (Part& part : parts) {
    if (outcome == Outcome::kDone) {
      load_.oracle.Acknowledged(part.id, std::move(part.reply));
    } else if (outcome == Outcome::kUnknown && part.what.command != OracleCommand::kGet) {
      load_.oracle.Unknown(part.id);
    } else {
      load_.oracle.Refused(part.id);
    }
  }
}

// A key that nobody else writes. True: it was done.
Task<bool> TransactionSession::WriteOwnKey(bool deletes) {
  if (!deletes && prng_.Chance(1, 3)) {
    const bool done = co_await WriteOwnFile();
    co_return done;
  }
  const std::string key = "watched" + std::to_string(id_);
  Transaction transaction(id_);
  Add(transaction, key, OldState::kNothing, true);
  const auto decide = [&](Transaction& decided) {
    if (deletes) {
      decided.Delete(0);
    } else {
      decided.Write(0, "there", kNoExpiry);
    }
    return true;
  };
  const Outcome outcome = co_await load_.store.Transact(core_, transaction, decide);
  co_return IsDone(outcome, "a write");
}

// The same by a value in a file, so that transactions replace and delete those too.
Task<bool> TransactionSession::WriteOwnFile() {
  ValueUpload upload(load_.store.value_files(core_));
  Outcome outcome = co_await upload.Begin(100);
  if (outcome == Outcome::kDone) {
    upload.Add(std::string(prng_.Between(1, 100), 'f'));
    outcome = co_await upload.Finish();
  }
  bool kept = false;
  if (outcome == Outcome::kDone) {
    StoreCall call(load_.store, core_);
    call.session = id_;
    call.file_admitted = &kept;
    co_await call.Update(SetFunction, OldState::kNothing, "watched" + std::to_string(id_),
                         std::string(upload.reference()));
    outcome = call.outcome;
  }
  co_await upload.Close(kept);
  co_return IsDone(outcome, "a write to a file");
}

// It is there or not, is watched, and then changed or not; in the end it is as it was, or not.
Task<void> TransactionSession::WatchOwnKey() {
  const std::string key = "watched" + std::to_string(id_);
  const bool existed = prng_.Chance(1, 2);
  const bool begun = co_await WriteOwnKey(/*deletes=*/!existed);
  if (!begun) co_return;
  Watches watches;
  const std::string_view watched = key;
  co_await load_.store.Watch(core_, watches, kDefaultNamespace, {&watched, 1});
  const uint64_t changes = prng_.Below(3);
  bool known = true;
  for (uint64_t i = 0; i < changes; ++i) {
    const bool done = co_await WriteOwnKey(/*deletes=*/existed == (i % 2 == 0));
    known = known && done;
  }
  const std::vector<std::string> others = GroupKeys(prng_.Below(kGroups));
  Transaction transaction(id_);
  Add(transaction, others[0], OldState::kExistence, false);
  transaction.Require(watches);
  bool decided = false;
  const auto decide = [&](Transaction&) {
    decided = true;
    return false;
  };
  const Outcome outcome = co_await load_.store.Transact(core_, transaction, decide);
  const bool done = IsDone(outcome, "a transaction");
  if (done && known && changes > 0 && !transaction.watch_broken()) {
    Wrong("a watch has missed " + std::to_string(changes) + " changes of a key that " +
          (existed ? "was there" : "was not there"));
  }
  // A FLUSH is a change, too, if it was there.
  if (done && changes == 0 && transaction.watch_broken() &&
      !(existed && load_.flush_per_10000 > 0)) {
    Wrong("a watch tells of a change that nobody has made");
  }
  if (done && decided == transaction.watch_broken()) Wrong("it decides if no watch is broken");
  co_await load_.store.Unwatch(core_, watches);
}

Task<void> TransactionSession::RunOne() {
  const uint64_t dice = prng_.Below(100);
  if (dice < 25) {
    co_await WriteGroup();
  } else if (dice < 35) {
    const uint64_t count = prng_.Chance(1, 2) ? kGroupKeys : 2;
    const std::vector<std::string> keys = SomeGroupKeys(prng_.Below(kGroups), count);
    co_await CheckGroup(keys);
  } else if (dice < 45) {
    co_await ReadGroup(prng_.Below(kGroups));
  } else if (dice < 60) {
    co_await Move();
  } else if (dice < 75) {
    co_await CheckAccounts();
  } else if (dice < 92) {
    co_await RunOnOracleKeys();
  } else {
    co_await WatchOwnKey();
  }
}

Task<void> TransactionSession::Run(uint32_t count) {
  for (uint32_t i = 0; i < count && load_.oracle.ok() && load_.wrong.empty(); ++i) {
    co_await RunOne();
    if (!prng_.Chance(1, 8)) continue;
    const uint64_t wake_ns = core_.now_ns() + prng_.Below(3 * kNsPerMs);
    co_await core_.timers().SleepUntil(wake_ns);
  }
  ++load_.sessions_done;
}

Task<void> TransactionSession::CheckAll() {
  for (uint64_t group = 0; group < kGroups; ++group) {
    const std::vector<std::string> keys = GroupKeys(group);
    co_await CheckGroup(keys);
  }
  co_await CheckAccounts();
  ++load_.sessions_done;
}

}  // namespace pakv
