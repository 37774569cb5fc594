// Transactions and snapshots over one owner and over several, in a simulated world: what they see,
// what waits for whom, and what is left when something fails.
// Long because: every meeting with something else takes the same ways to start and to look.
#include "kv/store/transaction.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "kv/store/store.h"
#include "runtime/base/prng.h"
#include "tests/kv/store/store_call.h"
#include "tests/kv/store/transaction_fixture.h"
#include "tests/sim/world/sim_node.h"

namespace pakv {
namespace {

TEST_F(TransactionTest, WritesOfOneOrSeveralOwnersAreAllThereAlsoAfterACrash) {
  for (const uint32_t cores : {1u, 2u, 4u}) {
    for (uint32_t from = 0; from < cores; ++from) {
      Open(cores, 10 + cores);
      Pairs pairs;
      std::vector<std::string> keys;
      for (uint32_t owner = 0; owner < cores; ++owner) {
        for (int i = 0; i < 3; ++i) pairs.emplace_back(KeyOn(owner, i), std::to_string(i));
      }
      ASSERT_EQ(Write(pairs, from), Outcome::kDone);
      EXPECT_NE(lsn_, kNoLsn);
      for (const auto& [key, value] : pairs) EXPECT_EQ(Get(key), value);
      Restart(3);
      for (const auto& [key, value] : pairs) EXPECT_EQ(Get(key), value);
    }
  }
}

TEST_F(TransactionTest, SnapshotReadsWhatIsThereAndWhatIsNot) {
  for (const uint64_t cache_bytes : {uint64_t{0}, uint64_t{1} << 20}) {
    Open(3, 5, cache_bytes);
    const std::string a = KeyOn(0);
    const std::string b = KeyOn(1);
    const std::string c = KeyOn(2);
    ASSERT_EQ(Write({{a, "one"}, {c, "three"}}), Outcome::kDone);
    EXPECT_EQ(Read({c, b, a, c}), (std::vector<std::string>{"three", kMissing, "one"}));
    EXPECT_EQ(outcome_, Outcome::kDone);
    EXPECT_EQ(Read({a}, 2), (std::vector<std::string>{"one"}));
  }
}

// The same key twice is one, functions see what came before them, and a delete of nothing writes
// nothing.
TEST_F(TransactionTest, FunctionsRunOneAfterTheOther) {
  for (const uint32_t cores : {1u, 2u}) {
    for (const uint64_t cache_bytes : {uint64_t{0}, uint64_t{1} << 20}) {
      Open(cores, 3, cache_bytes);
      const std::string a = KeyOn(0);
      const std::string b = KeyOn(cores - 1, 1);
      const std::string c = KeyOn(0, 2);
      ASSERT_EQ(Set(a, "a"), Outcome::kDone);
      const auto run = [](TransactionTest& test, Core& here, const std::string& first,
                          const std::string& second, const std::string& third) -> Task<Outcome> {
        Transaction transaction(7);
        const size_t one = test.Add(transaction, first, OldState::kValue);
        const size_t two = test.Add(transaction, second, OldState::kExistence);
        EXPECT_EQ(test.Add(transaction, first, OldState::kNothing), one);
        const size_t three = test.Add(transaction, third, OldState::kExistence);
        const auto decide = [&](Transaction& decided) {
          Request append;
          append.function = AppendFunction;
          append.value = "+";
          decided.Run(one, append);
          EXPECT_EQ(append.reply.integer, 2);
          decided.Run(one, append);
          EXPECT_EQ(append.reply.integer, 3);
          Request get;
          get.function = GetFunction;
          decided.Run(one, get);
          EXPECT_EQ(get.reply.bytes, "a++");
          Request remove;
          remove.function = DeleteFunction;
          decided.Run(two, remove);
          EXPECT_EQ(remove.reply.integer, 0);
          decided.Write(three, "new", kNoExpiry);
          decided.Delete(three);
          EXPECT_FALSE(decided.Old(three).exists);
          return true;
        };
        co_return co_await test.store_->Transact(here, transaction, decide);
      };
      EXPECT_EQ(node_->Run(run(*this, node_->core(0), a, b, c)), Outcome::kDone);
      EXPECT_EQ(Get(a), "a++");
      EXPECT_EQ(Get(b), kMissing);
      EXPECT_EQ(Get(c), kMissing);
    }
  }
}

// What is decided sees what was pending before it, and nobody writes in between.
TEST_F(TransactionTest, IncrementsOfManyAtOnceAreAllThere) {
  for (const uint64_t cache_bytes : {uint64_t{0}, uint64_t{1} << 20}) {
    for (const bool several : {false, true}) {
      Open(3, 9, cache_bytes);
      const std::string a = KeyOn(0);
      const std::string b = several ? KeyOn(2) : KeyOn(0, 1);
      std::vector<Course*> courses;
      std::vector<Sent*> sent;
      for (uint32_t i = 0; i < 30; ++i) {
        courses.push_back(&Begin(i % 3, i % 2 == 0 ? std::vector{a, b} : std::vector{b, a}, "+"));
        sent.push_back(&Send(i % 3, a, AppendFunction, OldState::kValue, false, "-"));
      }
      ExpectEnds([&] {
        return std::all_of(courses.begin(), courses.end(),
                           [](auto* each) { return each->finished; }) &&
               std::all_of(sent.begin(), sent.end(), [](auto* each) { return each->finished; });
      });
      const std::string in_a = Get(a);
      EXPECT_EQ(std::count(in_a.begin(), in_a.end(), '+'), 30);
      EXPECT_EQ(std::count(in_a.begin(), in_a.end(), '-'), 30);
      EXPECT_EQ(Get(b), std::string(30, '+'));
    }
  }
}

// It is held where its core's writes are, as a part that knows its keys, and goes on with them.
TEST_F(TransactionTest, ASlowedLogHoldsBackThoseOfOneOwner) {
  compaction_.space_percent = 100;
  compaction_.segments_min = 0;
  compaction_.begin_percent = 0;
  Open(1);
  constexpr uint32_t kKeys = 250;
  constexpr uint32_t kWanted = 30;
  const auto stats = [](Store& store, Core& here) { return store.Stats(here); };
  uint32_t held = 0;
  std::string expected;
  for (uint32_t i = 0; i < 8000 && held < kWanted; ++i) {
    ASSERT_EQ(Set("key" + std::to_string(i * 7 % kKeys), std::string(1000, 'v')), Outcome::kDone);
    if (node_->Run(stats(*store_, node_->core(0)))->slowed_permille == 0) continue;
    const uint64_t begin_ns = world_->now_ns();
    Course& course = Begin(0, {"counter", "other"}, "+");
    Sent& behind = Send(0, "counter", GetFunction, OldState::kValue, true);
    ExpectEnds([&] { return course.finished && behind.finished; });
    EXPECT_EQ(course.outcome, Outcome::kDone);
    expected += "+";
    if (world_->now_ns() - begin_ns > kNsPerMs) ++held;
  }
  EXPECT_EQ(held, kWanted);
  EXPECT_EQ(Get("counter"), expected);
  EXPECT_EQ(Get("other"), expected);
}

TEST_F(TransactionTest, ReadsGoOnAndWritesQueueInOrderWhileKeysAreHeld) {
  publish_pause_ns_ = 50 * kNsPerMs;
  Open(2);
  const std::string a = KeyOn(0);
  const std::string b = KeyOn(1);
  ASSERT_EQ(Set(a, "a"), Outcome::kDone);
  Course& first = Begin(0, {a, b}, "1");
  world_->RunFor(10 * kNsPerMs);
  EXPECT_EQ(Get(a), "a") << "it is durable, but not published";
  Sent& set = SendSet(1, a, "set");
  world_->RunFor(kNsPerMs);
  Course& second = Begin(1, {b, a}, "2");
  world_->RunFor(kNsPerMs);
  Sent& append = Send(1, a, AppendFunction, OldState::kValue, false, "3");
  world_->RunFor(kNsPerMs);
  Sent& own = Send(1, a, GetFunction, OldState::kValue, true);
  EXPECT_FALSE(first.finished || set.finished || second.finished || append.finished);
  ExpectEnds([&] { return first.finished && second.finished && append.finished && own.finished; });
  EXPECT_TRUE(set.finished);
  EXPECT_EQ(own.text(), "set23") << "a session's read is behind its own writes";
  EXPECT_EQ(Get(a), "set23");
  EXPECT_EQ(Get(b), "12");
  EXPECT_LT(first.transaction.lsn(), set.lsn);
  EXPECT_LT(set.lsn, second.transaction.lsn());
  EXPECT_LT(second.transaction.lsn(), append.lsn);
}

// No cycle, whatever keys they have: all of them end.
TEST_F(TransactionTest, ManyOverSeveralOwnersAllEnd) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Open(4, seed, seed % 2 == 0 ? 0 : 1 << 20);
    std::vector<std::string> keys;
    for (uint32_t owner = 0; owner < 4; ++owner) {
      for (int i = 0; i < 2; ++i) keys.push_back(KeyOn(owner, i));
    }
    std::vector<Course*> courses;
    std::map<std::string, size_t> expected;
    Prng prng(seed);
    for (int i = 0; i < 40; ++i) {
      std::vector<std::string> chosen;
      for (const std::string& key : keys) {
        if (prng.Chance(1, 3)) chosen.push_back(key);
      }
      if (chosen.empty()) continue;
      for (const std::string& key : chosen) ++expected[key];
      if (prng.Chance(1, 2)) std::reverse(chosen.begin(), chosen.end());
      courses.push_back(&Begin(static_cast<uint32_t>(prng.Below(4)), chosen, "x", OldState::kValue,
                               prng.Below(200 * kNsPerUs)));
    }
    ExpectEnds([&] {
      return std::all_of(courses.begin(), courses.end(), [](auto* each) { return each->finished; });
    });
    for (const auto& [key, count] : expected) EXPECT_EQ(Get(key).size(), count) << "seed " << seed;
  }
}

// Before it or after it, as a whole: both happen, and nothing in between.
TEST_F(TransactionTest, FlushComesBeforeOrAfter) {
  int before = 0;
  int after = 0;
  for (uint64_t seed = 1; seed <= 120; ++seed) {
    for (const bool several : {true, false}) {
      Open(3, seed);
      const std::string a = KeyOn(1);
      const std::string b = several ? KeyOn(2) : KeyOn(1, 1);
      ASSERT_EQ(Write({{a, "5"}, {b, "5"}}), Outcome::kDone);
      Course& course = Begin(0, {a, b}, "+", OldState::kValue, (seed % 12) * 10 * kNsPerUs);
      ASSERT_EQ(node_->Run(FlushFrom(*this, node_->core(0), 0)), Outcome::kDone);
      ExpectEnds([&] { return course.finished; });
      const std::vector<std::string> values = Read({a, b});
      ASSERT_EQ(values[0], values[1]) << "seed " << seed;
      if (values[0] == kMissing) {
        ++after;
      } else {
        ASSERT_EQ(values[0], "+") << "what was flushed came back, seed " << seed;
        ++before;
      }
    }
  }
  EXPECT_GT(before, 0);
  EXPECT_GT(after, 0);
}

// Found by the simulator: a FLUSH held a session's write, a transaction took the key meanwhile, and
// the session's next write queued behind that, in front of the one that was held.
TEST_F(TransactionTest, WriteThatAFlushHoldsIsNotPassedByItsSessionsNextOne) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    Open(3, seed);
    const std::string a = KeyOn(1);
    const std::string b = KeyOn(2);
    const uint64_t begin_ns = (seed % 20) * 5 * kNsPerUs;
    Sent& first = SendSet(0, a, "first", begin_ns);
    Sent& second = SendSet(0, a, "second", begin_ns + (seed % 7) * 10 * kNsPerUs);
    Course& course = Begin(2, {a, b}, "+", OldState::kValue, begin_ns + 5 * kNsPerUs);
    ASSERT_EQ(node_->Run(FlushFrom(*this, node_->core(0), 0)), Outcome::kDone);
    ExpectEnds([&] { return first.finished && second.finished && course.finished; });
    ASSERT_LT(first.lsn, second.lsn) << "seed " << seed;
  }
}

// Found by the simulator: a key was let go while a FLUSH held writes. The transaction that was next
// in its queue lost its place to one that had come later, which then waited for it at another key.
TEST_F(TransactionTest, WhoWaitsForAKeyKeepsItsPlaceThroughAFlush) {
  publish_pause_ns_ = 200 * kNsPerUs;
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    Open(2, seed);
    const std::string a = KeyOn(1);
    const std::string b = KeyOn(1, 1);
    Prng prng(seed);
    Course& holder = Begin(0, {KeyOn(0), a}, "+");
    Course& next = Begin(0, {KeyOn(0, 1), a, b}, "+", OldState::kValue, 50 * kNsPerUs);
    const uint64_t flush_ns = prng.Between(200, 500) * kNsPerUs;
    const uint64_t late_ns = flush_ns + prng.Below(150) * kNsPerUs;
    Course& late = Begin(1, {a, b}, "+", OldState::kValue, late_ns);
    ASSERT_EQ(node_->Run(FlushFrom(*this, node_->core(0), flush_ns)), Outcome::kDone);
    ExpectEnds([&] { return holder.finished && next.finished && late.finished; });
    ASSERT_FALSE(HasFatalFailure()) << "seed " << seed;
  }
}

// Found by the simulator: a read that a FLUSH held found a later write of its session when it went
// on, and showed that.
TEST_F(TransactionTest, ReadThatAFlushHoldsDoesNotSeeItsSessionsLaterWrite) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    Open(3, seed);
    const std::string a = KeyOn(1);
    const uint64_t begin_ns = (seed % 40) * 5 * kNsPerUs;
    Sent& get = Send(0, a, GetFunction, OldState::kValue, true, {}, begin_ns);
    Sent& set = SendSet(0, a, "later", begin_ns);
    ASSERT_EQ(node_->Run(FlushFrom(*this, node_->core(0), 0)), Outcome::kDone);
    ExpectEnds([&] { return get.finished && set.finished; });
    ASSERT_EQ(get.text(), kMissing) << "seed " << seed;
  }
}

TEST_F(TransactionTest, FailedLogLeavesItUnknownAndShowsNothing) {
  for (const bool several : {true, false}) {
    Open(2);
    const std::string a = KeyOn(0);
    const std::string b = several ? KeyOn(1) : KeyOn(0, 1);
    ASSERT_EQ(Write({{a, "old"}, {b, "old"}}), Outcome::kDone);
    node_->disk().faults.flush_error = 10'000;
    EXPECT_EQ(Write({{a, "new"}, {b, "new"}}), Outcome::kUnknown);
    EXPECT_EQ(Read({a, b}), (std::vector<std::string>{"old", "old"}));
    EXPECT_EQ(Get(a), "old");
    // Nobody is left waiting for the keys.
    EXPECT_EQ(Set(a, "later"), Outcome::kReadOnly);
    EXPECT_EQ(Write({{a, "later"}, {b, "later"}}, 1), Outcome::kReadOnly);
    node_->disk().faults.flush_error = 0;
    Restart(2);
    const std::vector<std::string> values = Read({a, b});
    EXPECT_EQ(values[0], values[1]);
  }
}

TEST_F(TransactionTest, FullDiskRefusesItAndAdmitsDeletes) {
  Open(2);
  const std::string a = KeyOn(0);
  const std::string b = KeyOn(1);
  ASSERT_EQ(Write({{a, "old"}, {b, "old"}}), Outcome::kDone);
  SpaceStat space;
  node_->disk().Space(space);
  node_->disk().SetBallast(space.free_bytes);
  Outcome outcome = Outcome::kDone;
  for (int i = 0; i < 50 && outcome == Outcome::kDone; ++i) {
    outcome = Write({{a, std::string(20'000, 'n')}, {b, std::to_string(i)}});
  }
  EXPECT_EQ(outcome, Outcome::kDiskFull);
  const auto remove = [](TransactionTest& test, Core& here,
                         std::vector<std::string> keys) -> Task<Outcome> {
    Transaction transaction(7);
    for (const std::string& key : keys) test.Add(transaction, key, OldState::kExistence);
    const auto decide = [](Transaction& decided) {
      decided.Delete(0);
      decided.Delete(1);
      return true;
    };
    co_return co_await test.store_->Transact(here, transaction, decide);
  };
  EXPECT_EQ(node_->Run(remove(*this, node_->core(0), {a, b})), Outcome::kDone);
  EXPECT_EQ(Read({a, b}), (std::vector<std::string>{kMissing, kMissing}));
}

TEST_F(TransactionTest, StopWaitsForItAndNoneBeginsAfterwards) {
  publish_pause_ns_ = 20 * kNsPerMs;
  Open(2);
  const std::string a = KeyOn(0);
  const std::string b = KeyOn(1);
  Course& course = Begin(1, {a, b}, "x");
  Course& late = Begin(1, {a, b}, "y", OldState::kValue, 10 * kNsPerMs);
  const auto stop = [](Store& store, Core& here) -> Task<bool> {
    co_await here.timers().SleepUntil(here.now_ns() + 5 * kNsPerMs);
    const absl::Status stopped = co_await store.Stop();
    co_return stopped.ok();
  };
  EXPECT_EQ(node_->Run(stop(*store_, node_->core(0))), true);
  EXPECT_TRUE(course.finished);
  EXPECT_EQ(course.outcome, Outcome::kDone);
  EXPECT_TRUE(late.finished);
  EXPECT_EQ(late.outcome, Outcome::kStopping);
  node_->Stop();
  Start(2);
  EXPECT_EQ(Read({a, b}), (std::vector<std::string>{"x", "x"}));
}

// Who was told that a key's time is over was told for good.
TEST_F(TransactionTest, WhatItTookAsOverStaysSoWhenTheClockIsSetBack) {
  for (const bool decides : {true, false}) {
    for (const bool several : {true, false}) {
      Open(2);
      const std::string a = KeyOn(0);
      const std::string b = several ? KeyOn(1) : KeyOn(0, 1);
      const uint64_t until_ms = node_->clock().WallUs() / 1000 + 500;
      ASSERT_EQ(node_->Run(WriteUntil(*this, node_->core(0), {a, b}, until_ms)), Outcome::kDone);
      EXPECT_EQ(Read({a, b}), (std::vector<std::string>{"value", "value"}));
      while (node_->clock().WallUs() / 1000 < until_ms) world_->RunFor(kNsPerMs);
      if (decides) {
        Course& course = Begin(1, {a, b}, "");
        ExpectEnds([&] { return course.finished; });
        EXPECT_EQ(course.seen, (std::vector<std::string>{kMissing, kMissing}));
      } else {
        EXPECT_EQ(Read({a, b}, 1), (std::vector<std::string>{kMissing, kMissing}));
      }
      node_->Crash(CrashKind::kPowerCut);
      node_->clock().StepWall(-3'600'000'000);
      Start(2);
      EXPECT_EQ(Get(a), decides ? "" : kMissing);
      EXPECT_EQ(Get(b), decides ? "" : kMissing);
    }
  }
}

// One owner has seen the end of the keys' time, and the clock is set back before the other looks at
// it. Whenever that is.
TEST_F(TransactionTest, SnapshotIsOfOneTimeThoughTheClockIsSetBackMeanwhile) {
  constexpr uint64_t kFarthestUs = 60;
  constexpr uint64_t kStepUs = 3;
  std::set<std::string> seen;
  for (uint64_t before_us = 0; before_us < kFarthestUs; before_us += kStepUs) {
    for (uint64_t after_us = 0; after_us < kFarthestUs; after_us += kStepUs) {
      // A world of its own each time: messages take another while.
      Open(2, /*seed=*/1 + before_us * kFarthestUs + after_us);
      const std::vector<std::string> keys = {KeyOn(0), KeyOn(1)};
      const uint64_t until_ms = node_->clock().WallUs() / 1000 + 20;
      ASSERT_EQ(node_->Run(WriteUntil(*this, node_->core(0), keys, until_ms)), Outcome::kDone);
      world_->RunFor((until_ms * 1000 - before_us - node_->clock().WallUs()) * kNsPerUs);
      std::vector<std::string> found;
      node_->Spawn(0, ReadInto(*this, node_->core(0), keys, found));
      world_->RunFor(after_us * kNsPerUs);
      node_->clock().StepWall(-3'600'000'000);
      ASSERT_TRUE(world_->RunUntil([&] { return !found.empty(); }));
      ASSERT_EQ(found[0], found[1]) << before_us << " us before, " << after_us << " us later";
      seen.insert(found[0]);
    }
  }
  EXPECT_EQ(seen.size(), 2u) << "it is tried on both sides";
}

TEST_F(TransactionTest, WatchNoticesWhatHappenedToItsKey) {
  Open(2);
  const std::string absent = KeyOn(0);
  const std::string present = KeyOn(1);
  const std::string other = KeyOn(1, 1);
  const auto watch = [](TransactionTest& test, Core& here, Watches& watches,
                        std::vector<std::string> keys) -> Task<bool> {
    // Each twice in one call, and once more.
    std::vector<std::string_view> names(keys.begin(), keys.end());
    names.insert(names.end(), keys.begin(), keys.end());
    co_await test.store_->Watch(here, watches, kDefaultNamespace, names);
    co_await test.store_->Watch(here, watches, kDefaultNamespace, names);
    co_return true;
  };
  // Whether it decides; then nothing is watched.
  const auto decides = [](TransactionTest& test, Core& here, Watches& watches,
                          std::string key) -> Task<bool> {
    Transaction transaction(7);
    test.Add(transaction, key, OldState::kNothing);
    transaction.Require(watches);
    bool decided = false;
    const auto decide = [&](Transaction&) { return decided = true; };
    test.outcome_ = co_await test.store_->Transact(here, transaction, decide);
    EXPECT_EQ(decided, !transaction.watch_broken());
    co_await test.store_->Unwatch(here, watches);
    EXPECT_TRUE(watches.empty());
    co_return decided;
  };
  enum What { kNothing, kOther, kSetAbsent, kSetAndDelete, kOverwrite, kFlush };
  for (const std::string& key : {other, KeyOn(0, 1)}) {
    for (const What what : {kNothing, kOther, kSetAbsent, kSetAndDelete, kOverwrite, kFlush}) {
      ASSERT_EQ(Set(present, "value"), Outcome::kDone);
      StoreCall& remove = node_->Own(std::make_unique<StoreCall>(*store_, node_->core(0)));
      ASSERT_TRUE(node_->Run(remove.Update(DeleteFunction, OldState::kExistence, absent)));
      Watches watches;
      ASSERT_TRUE(node_->Run(watch(*this, node_->core(0), watches, {absent, present})));
      EXPECT_EQ(watches.count(), 2u);
      switch (what) {
        case kNothing:
          break;
        case kOther:
          ASSERT_EQ(Set(other, "value"), Outcome::kDone);
          break;
        case kSetAbsent:
          ASSERT_EQ(Set(absent, "value"), Outcome::kDone);
          break;
        case kSetAndDelete:
          ASSERT_EQ(Set(absent, "value"), Outcome::kDone);
          ASSERT_TRUE(node_->Run(remove.Update(DeleteFunction, OldState::kExistence, absent)));
          break;
        case kOverwrite:
          ASSERT_EQ(Set(present, "value"), Outcome::kDone);
          break;
        case kFlush:
          ASSERT_EQ(node_->Run(store_->Flush(node_->core(0), kDefaultNamespace)), Outcome::kDone);
          break;
      }
      EXPECT_EQ(node_->Run(decides(*this, node_->core(0), watches, key)), what <= kOther)
          << "case " << what;
      EXPECT_EQ(outcome_, Outcome::kDone);
    }
  }
}

// As many as there may be take a few messages, whatever their order, and their own memory.
TEST_F(TransactionTest, ManyKeysAreWatchedAtOnce) {
  Open(2);
  const auto watch_all = [](TransactionTest& test, Core& here, Watches& watches) -> Task<bool> {
    std::vector<std::string> keys;
    size_t bytes = 0;
    for (size_t i = 0; i < kTransactionKeysMax; ++i) {
      keys.push_back("k" + std::to_string(i));
      bytes += Watches::BytesOf(keys.back());
    }
    const std::vector<std::string_view> names(keys.begin(), keys.end());
    const uint64_t passes_before = here.counters().passes;
    co_await test.store_->Watch(here, watches, kDefaultNamespace, names);
    EXPECT_LT(here.counters().passes, passes_before + 1000);
    EXPECT_EQ(watches.count(), kTransactionKeysMax);
    EXPECT_EQ(watches.memory_bytes(), bytes);
    co_await test.store_->Watch(here, watches, kDefaultNamespace, names);
    EXPECT_EQ(watches.count(), kTransactionKeysMax);
    EXPECT_EQ(watches.memory_bytes(), bytes);
    co_return true;
  };
  const auto end = [](TransactionTest& test, Core& here, Watches& watches) -> Task<bool> {
    Transaction transaction(7);
    transaction.Require(watches);
    const auto decide = [](Transaction&) { return false; };
    test.outcome_ = co_await test.store_->Transact(here, transaction, decide);
    co_await test.store_->Unwatch(here, watches);
    EXPECT_TRUE(watches.empty());
    EXPECT_EQ(watches.memory_bytes(), 0u);
    co_return transaction.watch_broken();
  };
  for (const bool writes : {false, true}) {
    Watches watches;
    ASSERT_TRUE(node_->Run(watch_all(*this, node_->core(0), watches)));
    if (writes) {
      ASSERT_EQ(Set("k54321", "value"), Outcome::kDone);
    }
    EXPECT_EQ(node_->Run(end(*this, node_->core(0), watches)), writes);
    EXPECT_EQ(outcome_, Outcome::kDone);
  }
}

TEST_F(TransactionTest, BoundsAreKept) {
  Open(2);
  std::vector<std::string> keys;
  for (size_t i = 0; i <= kTransactionKeysMax; ++i) keys.push_back("k" + std::to_string(i));
  EXPECT_EQ(node_->Run(ReadAll(*this, node_->core(0), keys)).value_or(keys).size(),
            kTransactionKeysMax);
  EXPECT_EQ(outcome_, Outcome::kTooLarge);
  keys.pop_back();
  EXPECT_EQ(Read(keys).size(), kTransactionKeysMax);
  EXPECT_EQ(outcome_, Outcome::kDone);
  const std::string half(kTransactionBytesMax / 2, 'h');
  EXPECT_EQ(Write({{KeyOn(0), half}, {KeyOn(1), half}}), Outcome::kTooLarge);
  EXPECT_EQ(Write({{KeyOn(0), half}, {KeyOn(0, 1), half}}), Outcome::kTooLarge);
  EXPECT_EQ(Get(KeyOn(0)), kMissing);
  EXPECT_EQ(Write({{KeyOn(0), half}}), Outcome::kDone);
}

}  // namespace
}  // namespace pakv
