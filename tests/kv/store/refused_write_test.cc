// Writes that a full disk refuses behind their admission, when nobody had known of it yet: what was
// there before is there again for everybody, what was decided by them is refused with them, and
// none of them comes back after a crash.
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kv/shard/values/value_upload.h"
#include "kv/store/store.h"
#include "kv/store/transaction.h"
#include "runtime/task/nursery.h"
#include "tests/kv/store/store_call.h"
#include "tests/sim/world/sim_node.h"

namespace pakv {
namespace {

constexpr uint64_t kSession = 5;

Change Exists(const OldValue& old, Request& request) {
  request.reply.kind = Reply::Kind::kInteger;
  request.reply.integer = old.exists ? 1 : 0;
  return {};
}
Change GetAny(const OldValue& old, Request& request) {
  request.reply.kind = !old.exists   ? Reply::Kind::kNull
                       : old.in_file ? Reply::Kind::kFile
                                     : Reply::Kind::kBytes;
  request.reply.bytes = old.value;
  return {};
}
Change ExpireLater(const OldValue& old, Request& request) {
  request.reply.kind = Reply::Kind::kInteger;
  request.reply.integer = old.exists ? 1 : 0;
  if (!old.exists) return {};
  return {Change::Action::kWrite, uint64_t{1} << 45, old.value};
}

class RefusedWriteTest : public testing::Test {
 public:
  void Open(uint32_t core_count) {
    cores_ = core_count;
    node_.Start({.core_count = core_count, .core = {.buffer_bytes = 1 << 16}});
    StoreOptions options;
    options.directory = "/store";
    options.segment_bytes = 1 << 16;
    options.cache_bytes = 1 << 20;
    options.value_files = {.chunk_bytes = 4096, .uploads_max = 2, .chunks_max = 2};
    options.inline_value_bytes_max = 65'000;
    options.entropy = StoreEntropy{{}, 1, ++run_};
    OpenReport report;
    auto opened = node_.Run(Store::Open(node_.cores(), options, report));
    ASSERT_TRUE(opened) << world_.failure();
    ASSERT_TRUE(opened->ok()) << opened->status();
    store_ = &node_.Own(std::move(**opened));
    world_.RunFor(kNsPerSecond);  // spare and reserve are there
  }
  void Restart() {
    node_.Crash(CrashKind::kPowerCut);
    node_.disk().SetBallast(0);
    Open(cores_);
  }
  void FillUp() {
    SpaceStat space;
    ASSERT_EQ(node_.disk().Space(space), 0);
    node_.disk().SetBallast(space.free_bytes);
  }
  std::string KeyOn(uint32_t owner, int number) {
    for (int i = 0;; ++i) {
      std::string key = "key" + std::to_string(i);
      if (store_->OwnerOf(store_->Hash(kDefaultNamespace, key)) == owner && number-- == 0) {
        return key;
      }
    }
  }
  StoreCall& NewCall() { return node_.Own(std::make_unique<StoreCall>(*store_, node_.core(0))); }
  StoreCall& Set(const std::string& key, const std::string& value) {
    StoreCall& call = NewCall();
    EXPECT_TRUE(node_.Run(call.Update(SetFunction, OldState::kNothing, key, value)));
    return call;
  }
  std::string Get(const std::string& key) {
    StoreCall& call = NewCall();
    EXPECT_TRUE(node_.Run(call.Read(GetAny, OldState::kValueOrFile, key)));
    EXPECT_EQ(call.outcome, Outcome::kDone);
    if (call.reply.kind == Reply::Kind::kFile) {
      store_->ReleaseFile(node_.core(0), call);
      return "file";
    }
    return call.reply.kind == Reply::Kind::kNull ? "missing" : std::string(call.reply.bytes);
  }
  size_t Files() {
    world_.RunFor(kNsPerSecond);
    std::vector<std::string> names;
    EXPECT_GE(node_.disk().List("/store", names), 0);
    std::erase_if(names, [](const std::string& name) { return ValueFileOfName(name) == 0; });
    return names.size();
  }
  StoreStats Stats() { return *node_.Run(StatsOf(*store_, node_.core(0))); }
  static Task<StoreStats> StatsOf(Store& store, Core& core) { return store.Stats(core); }

  // More than what is ready on core 0 takes: what is started behind them stands in the queue that
  // is refused.
  static constexpr int kFillers = 8;
  void StartFillers(Nursery& nursery) {
    for (int i = 0; i < kFillers; ++i) {
      StoreCall& call = NewCall();
      fillers_.push_back(&call);
      nursery.Spawn(call.Update(SetFunction, OldState::kNothing, KeyOn(0, 100 + i),
                                std::string(60'000, 'f')));
    }
  }
  void ExpectFillers() {
    ASSERT_EQ(fillers_.size(), size_t{kFillers});
    EXPECT_EQ(fillers_.front()->outcome, Outcome::kDone);
    EXPECT_EQ(fillers_.back()->outcome, Outcome::kDiskFull);
    EXPECT_EQ(Get(KeyOn(0, 100 + kFillers - 1)), "missing");
  }

  SimWorld world_{1};
  SimNode node_{world_, "10.0.0.1", SimDiskOptions{.capacity_bytes = 8 << 20}};
  Store* store_ = nullptr;
  uint32_t cores_ = 1;
  uint64_t run_ = 0;
  std::deque<StoreCall*> fillers_;
};

struct OneKeyCalls {
  StoreCall& set;
  StoreCall& own_read;
  StoreCall& read;
  StoreCall& append;
  StoreCall& fresh;
  StoreCall& deletes;
  StoreCall& answer;
};

Task<bool> RefuseOnOneCore(RefusedWriteTest& test, Core& here, OneKeyCalls& calls) {
  Nursery nursery(here.ready());
  test.StartFillers(nursery);
  calls.set.session = calls.own_read.session = calls.append.session = kSession;
  calls.own_read.session_has_writes = true;
  const std::string fresh = test.KeyOn(0, 1);
  nursery.Spawn(calls.set.Update(SetFunction, OldState::kNothing, test.KeyOn(0, 0), "new"));
  nursery.Spawn(calls.own_read.Read(GetFunction, OldState::kValue, test.KeyOn(0, 0)));
  nursery.Spawn(calls.read.Read(GetFunction, OldState::kValue, test.KeyOn(0, 0)));
  nursery.Spawn(calls.append.Update(AppendFunction, OldState::kValue, test.KeyOn(0, 0), "er"));
  nursery.Spawn(calls.fresh.Update(SetFunction, OldState::kNothing, fresh, "fresh"));
  nursery.Spawn(calls.answer.Update(Exists, OldState::kExistence, fresh));
  nursery.Spawn(calls.deletes.Update(DeleteFunction, OldState::kExistence, fresh));
  co_await nursery.Join();
  co_return true;
}

Task<bool> IsBroken(RefusedWriteTest& test, Core& here, Watches& watches) {
  Transaction transaction(kSession);
  transaction.Require(watches);
  const auto decide = [](Transaction&) { return false; };
  const Outcome outcome = co_await test.store_->Transact(here, transaction, decide);
  EXPECT_EQ(outcome, Outcome::kDone);
  const bool is_broken = transaction.watch_broken();
  co_await test.store_->Unwatch(here, watches);
  co_return is_broken;
}
Task<bool> WatchKeys(Store& store, Core& here, Watches& watches,
                     std::span<const std::string_view> keys) {
  co_await store.Watch(here, watches, kDefaultNamespace, keys);
  co_return true;
}
Task<CheckReport> CheckStore(Store& store, Core& here) { return store.Check(here); }

TEST_F(RefusedWriteTest, WhatWasThereBeforeIsThereAgain) {
  Open(1);
  const std::string key = KeyOn(0, 0);
  const std::string fresh = KeyOn(0, 1);
  ASSERT_EQ(Set(key, "old").outcome, Outcome::kDone);
  Watches watches;
  const std::string_view watched[] = {key, fresh};
  ASSERT_TRUE(node_.Run(WatchKeys(*store_, node_.core(0), watches, watched)));
  const StoreStats before = Stats();
  FillUp();
  OneKeyCalls calls{NewCall(), NewCall(), NewCall(), NewCall(), NewCall(), NewCall(), NewCall()};
  ASSERT_TRUE(node_.Run(RefuseOnOneCore(*this, node_.core(0), calls))) << world_.failure();
  ExpectFillers();
  for (const StoreCall* refused :
       {&calls.set, &calls.append, &calls.fresh, &calls.deletes, &calls.answer}) {
    EXPECT_EQ(refused->outcome, Outcome::kDiskFull);
  }
  EXPECT_EQ(calls.own_read.outcome, Outcome::kDone);
  EXPECT_EQ(calls.own_read.reply.bytes, "old");
  EXPECT_EQ(calls.read.reply.bytes, "old");
  EXPECT_EQ(Get(key), "old");
  EXPECT_EQ(Get(fresh), "missing");
  const StoreStats after = Stats();
  EXPECT_EQ(after.writes_unknown, 0u);
  EXPECT_FALSE(after.read_only);
  EXPECT_TRUE(after.disk_full);
  EXPECT_EQ(after.writes - before.writes, after.keys - before.keys) << "only fillers were written";
  // The watches stand.
  EXPECT_EQ(node_.Run(IsBroken(*this, node_.core(0), watches)), false);
  // What frees space goes on, now that it is known what there is.
  StoreCall& remove = NewCall();
  ASSERT_TRUE(node_.Run(remove.Update(DeleteFunction, OldState::kExistence, key)));
  EXPECT_EQ(remove.outcome, Outcome::kDone);
  EXPECT_EQ(remove.reply.integer, 1);
  Restart();
  EXPECT_EQ(Get(key), "missing");
  EXPECT_EQ(Get(fresh), "missing");
  EXPECT_EQ(Stats().keys, after.keys - 1) << "a filler that was refused is there";
  const CheckReport report = *node_.Run(CheckStore(*store_, node_.core(0)));
  EXPECT_TRUE(report.findings.empty());
}

// ---- Transactions ----

Task<void> WriteBoth(RefusedWriteTest& test, Core& here, std::string first, std::string second,
                     Outcome& outcome) {
  Transaction transaction(kSession);
  const uint64_t first_hash = test.store_->Hash(kDefaultNamespace, first);
  const uint64_t second_hash = test.store_->Hash(kDefaultNamespace, second);
  transaction.AddKey(first_hash, kDefaultNamespace, first, OldState::kNothing, /*may_write=*/true);
  transaction.AddKey(second_hash, kDefaultNamespace, second, OldState::kNothing, true);
  const auto decide = [](Transaction& decided) {
    for (size_t i = 0; i < 2; ++i) decided.Write(i, "new", kNoExpiry);
    return true;
  };
  outcome = co_await test.store_->Transact(here, transaction, decide);
}

Task<Outcome> RefuseBoth(RefusedWriteTest& test, Core& here, std::string first,
                         std::string second) {
  Nursery nursery(here.ready());
  test.StartFillers(nursery);
  Outcome outcome = Outcome::kDone;
  nursery.Spawn(WriteBoth(test, here, std::move(first), std::move(second), outcome));
  co_await nursery.Join();
  co_return outcome;
}

// `other`: the core that has the second key.
void ExpectBothRefused(RefusedWriteTest& test, uint32_t other) {
  const std::string first = test.KeyOn(0, 0);
  const std::string second = test.KeyOn(other, 1);
  ASSERT_EQ(test.Set(first, "old").outcome, Outcome::kDone);
  ASSERT_EQ(test.Set(second, "old").outcome, Outcome::kDone);
  test.FillUp();
  EXPECT_EQ(test.node_.Run(RefuseBoth(test, test.node_.core(0), first, second)),
            Outcome::kDiskFull);
  test.ExpectFillers();
  EXPECT_EQ(test.Get(first), "old");
  EXPECT_EQ(test.Get(second), "old");
  test.node_.disk().SetBallast(0);
  test.world_.RunFor(3 * kNsPerSecond);
  // Its keys are let go.
  EXPECT_EQ(test.Set(first, "newer").outcome, Outcome::kDone);
  test.Restart();
  EXPECT_EQ(test.Get(first), "newer");
  EXPECT_EQ(test.Get(second), "old");
}

TEST_F(RefusedWriteTest, ATransactionOfOneOwnerIsRefusedWhole) {
  Open(1);
  ExpectBothRefused(*this, 0);
}

TEST_F(RefusedWriteTest, ATransactionOfSeveralOwnersIsRefusedWhole) {
  Open(2);
  ExpectBothRefused(*this, 1);
}

// ---- Values in files ----

Task<Outcome> Upload(ValueUpload& upload, std::string value) {
  Outcome outcome = co_await upload.Begin(value.size());
  std::string_view rest = value;
  while (outcome == Outcome::kDone && !rest.empty()) {
    const size_t piece = std::min(rest.size(), upload.room());
    upload.Add(rest.substr(0, piece));
    rest.remove_prefix(piece);
    if (upload.room() == 0) outcome = co_await upload.MakeRoom();
  }
  if (outcome == Outcome::kDone) outcome = co_await upload.Finish();
  co_return outcome;
}

Task<Outcome> SetFile(RefusedWriteTest& test, Core& here, ValueUpload& upload, std::string key,
                      bool refused) {
  Nursery nursery(here.ready());
  if (refused) test.StartFillers(nursery);
  bool kept = false;
  StoreCall& call = test.NewCall();
  call.file_admitted = &kept;
  co_await call.Update(SetFunction, OldState::kNothing, std::move(key),
                       std::string(upload.reference()));
  co_await nursery.Join();
  co_await upload.Close(kept);
  co_return call.outcome;
}

Task<bool> ChangeValue(RefusedWriteTest& test, Core& here, StoreCall& call, KeyFunction what,
                       std::string key, std::string value) {
  Nursery nursery(here.ready());
  test.StartFillers(nursery);
  co_await call.Update(what, OldState::kValueOrFile, std::move(key), std::move(value));
  co_await nursery.Join();
  co_return true;
}

TEST_F(RefusedWriteTest, AFileWhoseWriteIsRefusedGoes) {
  Open(1);
  const std::string key = KeyOn(0, 0);
  ValueUpload& upload =
      node_.Own(std::make_unique<ValueUpload>(store_->value_files(node_.core(0))));
  ASSERT_EQ(node_.Run(Upload(upload, std::string(100'000, 'u'))), Outcome::kDone);
  EXPECT_EQ(Files(), 1u);
  FillUp();
  EXPECT_EQ(node_.Run(SetFile(*this, node_.core(0), upload, key, /*refused=*/true)),
            Outcome::kDiskFull);
  ExpectFillers();
  EXPECT_EQ(Get(key), "missing");
  EXPECT_EQ(Files(), 0u);
}

TEST_F(RefusedWriteTest, AFileWhoseExpiryIsNotChangedStays) {
  Open(1);
  const std::string key = KeyOn(0, 0);
  ValueUpload& upload =
      node_.Own(std::make_unique<ValueUpload>(store_->value_files(node_.core(0))));
  ASSERT_EQ(node_.Run(Upload(upload, std::string(100'000, 'u'))), Outcome::kDone);
  ASSERT_EQ(node_.Run(SetFile(*this, node_.core(0), upload, key, /*refused=*/false)),
            Outcome::kDone);
  FillUp();
  StoreCall& expire = NewCall();
  ASSERT_TRUE(node_.Run(ChangeValue(*this, node_.core(0), expire, ExpireLater, key, "")));
  EXPECT_EQ(expire.outcome, Outcome::kDiskFull);
  ExpectFillers();
  EXPECT_EQ(Get(key), "file");
  EXPECT_EQ(Files(), 1u);
  Restart();
  EXPECT_EQ(Get(key), "file");
}

}  // namespace
}  // namespace pakv
