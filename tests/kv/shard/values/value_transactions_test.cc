// Values in files and transactions: whose old value is a file, who reads it
// meanwhile, who watches it, and what is left when a FLUSH, compaction or a
// crash comes between any two steps.
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kv/store/transaction.h"
#include "tests/kv/shard/values/value_file_fixture.h"

namespace pakv {
namespace {

class ValueTransactionsTest : public ValueFileFixture {
 protected:
  // Nothing: it is deleted.
  using Writes = std::vector<std::pair<std::string, std::optional<std::string>>>;
  struct Course {
    Transaction transaction{7};
    Outcome outcome = Outcome::kDone;
    bool finished = false;
  };

  void Adjust(StoreOptions& options) override {
    options.publish_pause_ns = publish_pause_ns_;
    options.compaction.segments_min = 0;
    // Compaction works on request alone.
    options.compaction.space_percent = 100'000;
  }

  static Task<void> WriteAll(Store& store, Core& here, Course& course, Writes writes,
                             OldState needs) {
    for (const auto& [key, value] : writes) {
      course.transaction.AddKey(store.Hash(kDefaultNamespace, key), kDefaultNamespace, key, needs,
                                /*may_write=*/true);
    }
    const auto decide = [&writes](Transaction& decided) {
      for (size_t i = 0; i < writes.size(); ++i) {
        if (writes[i].second) {
          decided.Write(i, *writes[i].second, kNoExpiry);
        } else {
          decided.Delete(i);
        }
      }
      return true;
    };
    course.outcome = co_await store.Transact(here, course.transaction, decide);
    course.finished = true;
  }
  Course& Begin(const Writes& writes, OldState needs = OldState::kExistence) {
    Course& course = node_->Own(std::make_unique<Course>());
    node_->Spawn(0, WriteAll(*store_, node_->core(0), course, writes, needs));
    return course;
  }
  Outcome Transact(const Writes& writes, OldState needs = OldState::kExistence) {
    Course& course = Begin(writes, needs);
    EXPECT_TRUE(world_.RunUntil([&] { return course.finished; })) << world_.failure();
    return course.outcome;
  }

  // The `number`-th key that this core owns, or the last one if there are
  // fewer.
  std::string KeyOn(uint32_t owner, int number = 0) {
    owner = std::min(owner, GetParam() - 1);
    for (int i = 0;; ++i) {
      std::string key = "key" + std::to_string(i);
      if (store_->OwnerOf(store_->Hash(kDefaultNamespace, key)) == owner && number-- == 0) {
        return key;
      }
    }
  }
  StoreStats Stats() { return *node_->Run(store_->Stats(node_->core(0))); }

  uint64_t publish_pause_ns_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Cores, ValueTransactionsTest, testing::Values(1, 3));

TEST_P(ValueTransactionsTest, FilesGoWithWhatATransactionReplacesAndDeletes) {
  for (const OldState needs : {OldState::kNothing, OldState::kExistence}) {
    const std::string a = KeyOn(0);
    const std::string b = KeyOn(1, 1);
    const std::string c = KeyOn(2, 2);
    EXPECT_EQ(Put(a, ValueOf('a', 9000)), Outcome::kDone);
    EXPECT_EQ(Put(b, ValueOf('b', 9000)), Outcome::kDone);
    EXPECT_EQ(Put(c, ValueOf('c', 9000)), Outcome::kDone);
    EXPECT_EQ(Transact({{a, "small"}, {b, std::nullopt}, {"new", "one"}}, needs), Outcome::kDone);
    Settle();
    EXPECT_EQ(Files().size(), 1u);
    for (int i = 0; i < 2; ++i) {
      EXPECT_EQ(Get(a), "small");
      EXPECT_EQ(Get(b), "missing");
      EXPECT_EQ(Get("new"), "one");
      EXPECT_TRUE(Get(c) == ValueOf('c', 9000));
      Restart();
    }
  }
}

TEST_P(ValueTransactionsTest, AReaderKeepsItsFile) {
  const std::string a = KeyOn(1);
  const std::string b = KeyOn(2, 1);
  EXPECT_EQ(Put(a, ValueOf('a', 9000)), Outcome::kDone);
  StoreCall& read = Call(true, GetAny, OldState::kValueOrFile, a);
  ASSERT_EQ(read.reply.kind, Reply::Kind::kFile);
  EXPECT_EQ(Transact({{a, std::nullopt}, {b, "b"}}), Outcome::kDone);
  EXPECT_EQ(Transact({{a, "again"}, {b, "b"}}), Outcome::kDone);
  Settle();
  EXPECT_EQ(Files().size(), 1u);
  EXPECT_TRUE(*Read(read) == ValueOf('a', 9000));
  Settle();
  EXPECT_TRUE(Files().empty());
  EXPECT_EQ(Get(a), "again");
}

// The records of all owners lie in the log of the core that decides, and what is pinned is pinned
// at the owner.
TEST_P(ValueTransactionsTest, WhatItHoldsStaysHeldWhenItsLogFails) {
  const std::string a = KeyOn(1);
  const std::string b = KeyOn(2, 1);
  EXPECT_EQ(Put(a, ValueOf('a', 9000)), Outcome::kDone);
  Settle();
  Transaction transaction(7);
  for (const std::string* key : {&a, &b}) {  // it keeps views of them
    const size_t index =
        transaction.AddKey(store_->Hash(kDefaultNamespace, *key), kDefaultNamespace, *key,
                           OldState::kValueOrFile, /*may_write=*/true);
    transaction.TakeFile(index);
  }
  const auto decide = [](Transaction& decided) {
    decided.Write(0, "small", kNoExpiry);
    decided.Write(1, "small", kNoExpiry);
    return true;
  };
  node_->disk().faults.flush_error = 10'000;
  EXPECT_EQ(node_->Run(store_->Transact(node_->core(0), transaction, decide)), Outcome::kUnknown);
  node_->disk().faults = {};
  EXPECT_TRUE(store_->read_only());
  EXPECT_TRUE(Get(a) == ValueOf('a', 9000));
  store_->ReleaseFiles(node_->core(0), transaction);
  Settle();
  EXPECT_EQ(Files().size(), 1u);
  EXPECT_TRUE(Get(a) == ValueOf('a', 9000));
}

TEST_P(ValueTransactionsTest, WhoWantsTheBytesIsRefusedAndNothingHasHappened) {
  const std::string a = KeyOn(0);
  for (const std::string& b : {KeyOn(0, 1), KeyOn(1, 1)}) {
    EXPECT_EQ(Put(a, ValueOf('a', 9000)), Outcome::kDone);
    EXPECT_EQ(Transact({{a, "small"}, {b, "b"}}, OldState::kValue), Outcome::kInFile);
    EXPECT_EQ(Get(b), "missing");
    // From the device, too, and nobody holds the keys.
    Restart();
    EXPECT_EQ(Transact({{a, "small"}, {b, "b"}}, OldState::kValue), Outcome::kInFile);
    EXPECT_TRUE(Get(a) == ValueOf('a', 9000));
    EXPECT_EQ(Transact({{a, "small"}, {b, std::nullopt}}), Outcome::kDone);
    EXPECT_EQ(Get(a), "small");
    Settle();
    EXPECT_TRUE(Files().empty());
  }
}

// It would tell of a value that can still be lost.
TEST_P(ValueTransactionsTest, ARefusalWaitsForTheWriteThatItIsAbout) {
  const std::string key = KeyOn(1);
  ValueUpload& upload =
      node_->Own(std::make_unique<ValueUpload>(store_->value_files(node_->core(0))));
  const auto fill = [](ValueUpload& filled) -> Task<Outcome> {
    Outcome outcome = co_await filled.Begin(1000);
    if (outcome == Outcome::kDone) filled.Add(ValueOf('a', 1000));
    if (outcome == Outcome::kDone) outcome = co_await filled.Finish();
    co_return outcome;
  };
  ASSERT_EQ(node_->Run(fill(upload)), Outcome::kDone);
  struct Write {
    bool kept = false;
    bool finished = false;
  };
  Write& write = node_->Own(std::make_unique<Write>());
  StoreCall& call = node_->Own(std::make_unique<StoreCall>(*store_, node_->core(0)));
  const auto run = [](StoreCall& started, Write& state, std::string of_key,
                      std::string reference) -> Task<void> {
    started.file_admitted = &state.kept;
    co_await started.Update(SetFunction, OldState::kNothing, std::move(of_key),
                            std::move(reference));
    state.finished = true;
  };
  node_->disk().faults.stall = 10'000;
  node_->Spawn(0, run(call, write, key, std::string(upload.reference())));
  Course& course = Begin({{key, "small"}}, OldState::kValue);
  ASSERT_TRUE(world_.RunUntil([&] { return course.finished; })) << world_.failure();
  EXPECT_EQ(course.outcome, Outcome::kInFile);
  EXPECT_TRUE(write.finished);
  node_->disk().faults = {};
  EXPECT_TRUE(node_->Run(upload.Close(write.kept)));
  EXPECT_TRUE(Get(key) == ValueOf('a', 1000));
}

TEST_P(ValueTransactionsTest, AWatchNoticesFiles) {
  const std::string key = KeyOn(1);
  Watches& watches = node_->Own(std::make_unique<Watches>());
  const auto broken = [](Store& store, Core& here, Watches& required) -> Task<bool> {
    Transaction transaction(7);
    transaction.Require(required);
    const auto decide = [](Transaction&) { return false; };
    const Outcome outcome = co_await store.Transact(here, transaction, decide);
    EXPECT_EQ(outcome, Outcome::kDone);
    const bool is_broken = transaction.watch_broken();
    co_await store.Unwatch(here, required);
    co_return is_broken;
  };
  const auto expect = [&](bool is_broken, auto change) {
    const std::string_view watched = key;
    ASSERT_TRUE(
        node_->Run(store_->Watch(node_->core(0), watches, kDefaultNamespace, {&watched, 1})));
    change();
    EXPECT_EQ(node_->Run(broken(*store_, node_->core(0), watches)), is_broken);
  };
  expect(true, [&] { Put(key, ValueOf('a', 9000)); });
  expect(false, [&] { Get(key); });
  expect(true, [&] { Put(key, ValueOf('b', 9000)); });
  // A condition that is not met changes nothing.
  expect(false, [&] { Put(key, ValueOf('c', 9000), SetIfAbsent, OldState::kExistence); });
  const uint64_t now_ms = node_->clock().WallUs() / 1000;
  expect(true, [&] { Call(false, ExpireAt, OldState::kValueOrFile, key, {}, now_ms + 5000); });
  expect(true, [&] { world_.RunFor(20 * kNsPerSecond); });
  EXPECT_TRUE(Files().empty());
  expect(true, [&] { Put(key, ValueOf('d', 9000)); });
  expect(true, [&] { node_->Run(store_->Flush(node_->core(0), kDefaultNamespace)); });
  Settle();
  EXPECT_TRUE(Files().empty());
}

// All of it or nothing, with the file as long as its key refers to it, and no
// longer.
TEST_P(ValueTransactionsTest, ACrashAnywhereLeavesTheOneOrTheOther) {
  uint64_t old_states = 0;
  uint64_t new_states = 0;
  for (uint64_t operation = 0; true; ++operation) {
    NewNode();
    publish_pause_ns_ = operation % 2 == 0 ? 0 : kNsPerMs;
    Open();
    const std::string a = KeyOn(1);
    const std::string b = KeyOn(2, 1);
    const std::string value = ValueOf('a', 9000);
    ASSERT_EQ(Put(a, value), Outcome::kDone);
    ASSERT_EQ(Put(b, "old"), Outcome::kDone);
    Settle();
    node_->CrashAfter(operation / 2,
                      operation % 4 < 2 ? CrashKind::kPowerCut : CrashKind::kProcessKill);
    Course& course = Begin({{a, "small"}, {b, std::nullopt}});
    bool is_done = false;
    ASSERT_TRUE(world_.RunUntil([&] {
      is_done = node_->running() && course.finished;
      return is_done || !node_->running();
    }));
    const bool crashed = !node_->running();
    if (!crashed) {
      Settle();
      node_->Crash(CrashKind::kPowerCut);
    }
    Open();
    Settle();
    const std::string now = Get(b);
    ASSERT_TRUE(now == "old" || now == "missing") << now;
    EXPECT_TRUE(Get(a) == (now == "old" ? value : "small")) << operation;
    // Values of more than a few hundred bytes are in files; "old" is one too.
    EXPECT_EQ(Files().size(), now == "old" ? 2u : 0u) << operation;
    EXPECT_TRUE(!is_done || now == "missing") << operation;
    ++(now == "old" ? old_states : new_states);
    if (HasFailure() || (!crashed && operation % 4 == 3)) break;
  }
  EXPECT_GT(old_states, 0u);
  EXPECT_GT(new_states, 2u);
}

TEST_P(ValueTransactionsTest, AFlushWhileATransactionIsPublished) {
  publish_pause_ns_ = 20 * kNsPerMs;
  Restart();
  const std::string a = KeyOn(0);
  const std::string b = KeyOn(1, 1);
  for (const uint64_t after_ns : {uint64_t{0}, 1 * kNsPerMs, 10 * kNsPerMs, 40 * kNsPerMs}) {
    ASSERT_EQ(Put(a, ValueOf('a', 9000)), Outcome::kDone);
    ASSERT_EQ(Put(b, ValueOf('b', 9000)), Outcome::kDone);
    Course& course = Begin({{a, "small"}, {b, std::nullopt}});
    world_.RunFor(after_ns);
    EXPECT_EQ(node_->Run(store_->Flush(node_->core(0), kDefaultNamespace)), Outcome::kDone);
    ASSERT_TRUE(world_.RunUntil([&] { return course.finished; })) << world_.failure();
    EXPECT_EQ(course.outcome, Outcome::kDone);
    const std::string now = Get(a);
    EXPECT_TRUE(now == "small" || now == "missing");
    EXPECT_EQ(Get(b), "missing");
    Settle();
    EXPECT_TRUE(Files().empty()) << after_ns;
    Restart();
    EXPECT_EQ(Get(a), now);
  }
}

TEST_P(ValueTransactionsTest, AFlushDuringAnUpload) {
  const std::string key = KeyOn(1);
  for (uint64_t after_us = 0; after_us < 1000; after_us += 20) {
    StoreCall& call = node_->Own(std::make_unique<StoreCall>(*store_, node_->core(0)));
    ValueUpload& upload =
        node_->Own(std::make_unique<ValueUpload>(store_->value_files(node_->core(0))));
    struct Write {
      std::optional<Outcome> outcome;
    };
    Write& write = node_->Own(std::make_unique<Write>());
    const auto run = [](ValueUpload& filled, StoreCall& started, std::string of_key,
                        Write& state) -> Task<void> {
      const std::string value = ValueOf('a', 3000);
      const Outcome outcome = co_await WriteFile(filled, started, SetFunction, OldState::kNothing,
                                                 std::move(of_key), value, value.size());
      state.outcome = outcome;
    };
    node_->Spawn(0, run(upload, call, key, write));
    world_.RunFor(after_us * kNsPerUs);
    EXPECT_EQ(node_->Run(store_->Flush(node_->core(0), kDefaultNamespace)), Outcome::kDone);
    ASSERT_TRUE(world_.RunUntil([&] { return write.outcome.has_value(); })) << world_.failure();
    EXPECT_EQ(*write.outcome, Outcome::kDone);
    Settle();
    const std::string now = Get(key);
    EXPECT_TRUE(now == "missing" || now == ValueOf('a', 3000));
    EXPECT_EQ(Files().size(), now == "missing" ? 0u : 1u) << after_us;
  }
}

// The record that refers to the file goes to another place while a transaction
// holds its key, or is durable and not published yet.
TEST_P(ValueTransactionsTest, CompactionMovesTheRecordMeanwhile) {
  publish_pause_ns_ = 50 * kNsPerMs;
  Restart();
  const std::string a = KeyOn(0);
  const std::string b = KeyOn(1, 1);
  const std::string c = KeyOn(2, 2);
  for (int round = 0; round < 3; ++round) {
    ASSERT_EQ(Put(a, ValueOf('a', 9000)), Outcome::kDone);
    ASSERT_EQ(Put(c, ValueOf('c', 9000)), Outcome::kDone);
    for (int i = 0; i < 300; ++i) {
      Call(false, SetFunction, OldState::kNothing, "filler" + std::to_string(i % 7),
           std::string(250, 'f'));
    }
    const uint64_t compacted = Stats().compacted_segments;
    Course& course =
        Begin({{a, round % 2 == 0 ? std::optional<std::string>("small") : std::nullopt}, {b, "b"}});
    world_.RunFor(5 * kNsPerMs);
    EXPECT_EQ(course.finished, GetParam() == 1);
    ASSERT_TRUE(node_->Run(store_->RequestCompaction(node_->core(0), 1)));
    world_.RunFor(40 * kNsPerMs);
    EXPECT_GT(Stats().compacted_segments, compacted);
    EXPECT_TRUE(Get(c) == ValueOf('c', 9000));
    ASSERT_TRUE(world_.RunUntil([&] { return course.finished; })) << world_.failure();
    EXPECT_EQ(course.outcome, Outcome::kDone);
    Settle();
    const auto check = node_->Run(store_->Check(node_->core(0)));
    ASSERT_TRUE(check);
    EXPECT_TRUE(check->findings.empty());
    for (int i = 0; i < 2; ++i) {
      EXPECT_EQ(Get(a), round % 2 == 0 ? "small" : "missing");
      EXPECT_EQ(Get(b), "b");
      EXPECT_TRUE(Get(c) == ValueOf('c', 9000));
      EXPECT_EQ(Files().size(), 1u);
      Restart();
      Settle();
    }
  }
}

// ---- Memory ----

TEST_P(ValueTransactionsTest, WhatIsHeldCounts) {
  const std::string key = KeyOn(1);
  ASSERT_EQ(Put(key, ValueOf('a', 2 * kChunkBytes)), Outcome::kDone);
  Settle();
  const uint64_t before = Stats().memory_bytes;
  {
    ValueUpload& upload =
        node_->Own(std::make_unique<ValueUpload>(store_->value_files(node_->core(0))));
    EXPECT_EQ(node_->Run(upload.Begin(10)), Outcome::kDone);
    EXPECT_GE(Stats().memory_bytes, before + kChunkBytes);
    EXPECT_TRUE(node_->Run(upload.Close(/*kept=*/false)));
    Settle();
    EXPECT_LT(Stats().memory_bytes, before + kChunkBytes);
  }
  StoreCall& call = Call(true, GetAny, OldState::kValueOrFile, key);
  const auto hold = [](Store& store, Core& here, StoreCall& read) -> Task<uint64_t> {
    const ValueReference reference = *ValueReference::Decode(read.reply.bytes);
    const absl::StatusOr<ValueChunk> chunk =
        co_await store.value_files(here).ReadChunk(reference, 0);
    EXPECT_TRUE(chunk.ok());
    const StoreStats stats = co_await store.Stats(here);
    co_return stats.memory_bytes;
  };
  EXPECT_GE(node_->Run(hold(*store_, node_->core(0), call)), before + kChunkBytes);
  store_->ReleaseFile(node_->core(0), call);
  Settle();
  EXPECT_LT(Stats().memory_bytes, before + kChunkBytes);
}

TEST_P(ValueTransactionsTest, OldValuesOfTransactionsCount) {
  constexpr size_t kKeys = 60;
  constexpr uint64_t kBytes = kKeys * kInlineBytesMax;
  std::vector<std::string> keys;
  for (size_t i = 0; i < kKeys; ++i) {
    keys.push_back("key" + std::to_string(i));
    Call(false, SetFunction, OldState::kNothing, keys.back(), std::string(kInlineBytesMax, 'v'));
  }
  Settle();
  const uint64_t before = Stats().memory_bytes;
  struct Seen {
    uint64_t snapshot_bytes = 0;
    uint64_t transaction_bytes = 0;
  };
  const auto look = [](Store& store, Core& here, std::vector<std::string> of) -> Task<Seen> {
    Seen seen;
    for (const bool is_snapshot : {true, false}) {
      Transaction transaction(7);
      for (const std::string& key : of) {
        transaction.AddKey(store.Hash(kDefaultNamespace, key), kDefaultNamespace, key,
                           OldState::kValue, !is_snapshot);
      }
      const auto decide = [](Transaction&) { return false; };
      Outcome outcome = Outcome::kDone;
      if (is_snapshot) {
        outcome = co_await store.Snapshot(here, transaction);
      } else {
        outcome = co_await store.Transact(here, transaction, decide);
      }
      EXPECT_EQ(outcome, Outcome::kDone);
      const StoreStats stats = co_await store.Stats(here);
      (is_snapshot ? seen.snapshot_bytes : seen.transaction_bytes) = stats.memory_bytes;
    }
    co_return seen;
  };
  const std::optional<Seen> seen = node_->Run(look(*store_, node_->core(0), keys));
  ASSERT_TRUE(seen);
  EXPECT_GE(seen->snapshot_bytes, before + kBytes);
  EXPECT_GE(seen->transaction_bytes, before + kBytes);
  EXPECT_LT(Stats().memory_bytes, before + kBytes);
}

}  // namespace
}  // namespace pakv
