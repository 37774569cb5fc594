// Keys whose time is over, in virtual time: exact to the millisecond, and for good.
#include "kv/shard/state/expiry.h"

#include <gtest/gtest.h>

#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kv/log/write/log_writer.h"
#include "kv/store/store.h"
#include "tests/kv/store/store_call.h"
#include "tests/sim/world/sim_node.h"

namespace pakv {
namespace {

constexpr const char* kMissing = "missing";

// The value until the time in the request's `expiry_ms`.
Change SetUntil(const OldValue&, Request& request) {
  request.reply.kind = Reply::Kind::kOk;
  return {Change::Action::kWrite, request.expiry_ms, request.value};
}
// The value for `number` milliseconds.
Change SetFor(const OldValue&, Request& request) {
  request.reply.kind = Reply::Kind::kOk;
  const uint64_t until_ms = request.ExpiryClockMs() + static_cast<uint64_t>(request.number);
  return {Change::Action::kWrite, until_ms, request.value};
}
// Replies with the milliseconds left, -1 for a key that does not expire, -2 for none.
Change TimeLeft(const OldValue& old, Request& request) {
  request.reply.kind = Reply::Kind::kInteger;
  request.reply.integer = !old.exists ? -2
                          : old.expiry_ms == kNoExpiry
                              ? -1
                              : static_cast<int64_t>(old.expiry_ms - request.ExpiryClockMs());
  return {};
}
Change SetIfAbsent(const OldValue& old, Request& request) {
  request.reply.kind = Reply::Kind::kInteger;
  request.reply.integer = old.exists ? 0 : 1;
  if (old.exists) return {};
  return {Change::Action::kWrite, kNoExpiry, request.value};
}
// Appends, and the key keeps its time.
Change AppendAndKeep(const OldValue& old, Request& request) {
  Change change = AppendFunction(old, request);
  change.expiry_ms = old.expiry_ms;
  return change;
}

class ExpiryTest : public testing::Test {
 protected:
  ExpiryTest() : node_(world_, "10.0.0.1") {}

  void Open(uint32_t core_count = 1) {
    node_.Start({.core_count = core_count, .core = {.buffer_bytes = 1 << 16}});
    StoreOptions options;
    options.directory = "/store";
    options.segment_bytes = 1 << 16;
    options.cache_bytes = cache_bytes_;
    options.entropy = StoreEntropy{{}, 1, next_run_++};
    auto opened = node_.Run(Store::Open(node_.cores(), options, report_));
    ASSERT_TRUE(opened) << world_.failure();
    ASSERT_TRUE(opened->ok()) << opened->status();
    store_ = &node_.Own(std::move(**opened));
  }
  // The power goes, the wall clock is set, and the store is opened again.
  void Restart(int64_t step_ms, uint32_t core_count = 1) {
    node_.Crash(CrashKind::kPowerCut);
    node_.clock().StepWall(step_ms * 1000);
    Open(core_count);
  }

  uint64_t WallMs() { return node_.clock().WallUs() / 1000; }
  // Until the wall clock shows that time.
  void WaitUntilMs(uint64_t wall_ms) {
    const uint64_t now_us = node_.clock().WallUs();
    ASSERT_GE(wall_ms * 1000, now_us);
    const uint64_t wait_ns = (wall_ms * 1000 - now_us) * kNsPerUs;
    bool reached = false;
    world_.agenda().After(wait_ns, /*owner=*/0, [&reached] { reached = true; });
    ASSERT_TRUE(world_.RunUntil([&reached] { return reached; })) << world_.failure();
  }

  Outcome Call(bool reads, KeyFunction what, OldState needs, const std::string& key,
               const std::string& value = {}, uint64_t expiry_ms = kNoExpiry, int64_t number = 0) {
    StoreCall& call = node_.Own(std::make_unique<StoreCall>(*store_, node_.core(0)));
    call.expiry_ms = expiry_ms;
    call.number = number;
    EXPECT_TRUE(
        node_.Run(reads ? call.Read(what, needs, key) : call.Update(what, needs, key, value)))
        << world_.failure();
    text_ = call.reply.kind == Reply::Kind::kBytes ? std::string(call.reply.bytes) : kMissing;
    integer_ = call.reply.integer;
    return call.outcome;
  }
  void Set(const std::string& key, const std::string& value, uint64_t until_ms) {
    EXPECT_EQ(Call(false, SetUntil, OldState::kNothing, key, value, until_ms), Outcome::kDone);
  }
  std::string Get(const std::string& key) {
    EXPECT_EQ(Call(true, GetFunction, OldState::kValue, key), Outcome::kDone);
    return text_;
  }
  int64_t Integer(bool reads, KeyFunction what, OldState needs, const std::string& key,
                  const std::string& value = {}) {
    EXPECT_EQ(Call(reads, what, needs, key, value), Outcome::kDone);
    return integer_;
  }
  std::vector<std::string> Scan() {
    std::vector<std::string> keys;
    uint64_t cursor = 0;
    do {
      auto step = node_.Run(store_->Scan(node_.core(0), kDefaultNamespace, cursor, 10,
                                         [](std::string_view, uint64_t&) { return true; }));
      if (!step) break;
      EXPECT_EQ(step->outcome, Outcome::kDone);
      keys.insert(keys.end(), step->keys.begin(), step->keys.end());
      cursor = step->cursor;
    } while (cursor != 0);
    return keys;
  }
  StoreStats Stats() { return *node_.Run(store_->Stats(node_.core(0))); }

  SimWorld world_{1};
  SimNode node_;
  OpenReport report_;
  Store* store_ = nullptr;
  uint64_t cache_bytes_ = 1 << 16;
  uint64_t next_run_ = 1;
  std::string text_;
  int64_t integer_ = 0;
};

TEST_F(ExpiryTest, KeyIsThereUntilTheMillisecondOfItsExpiry) {
  for (const uint64_t cache_bytes : {uint64_t{0}, uint64_t{1} << 16}) {
    cache_bytes_ = cache_bytes;
    node_.Crash(CrashKind::kProcessKill);
    Open();
    const uint64_t until_ms = WallMs() + 5000;
    Set("key", "value", until_ms);
    Set("other", "value", until_ms + 1);
    WaitUntilMs(until_ms - 1);
    EXPECT_EQ(Get("key"), "value");
    EXPECT_EQ(Integer(true, TimeLeft, OldState::kExistence, "key"), 1);
    WaitUntilMs(until_ms);
    // Exactly now; the other one has a millisecond more, and each call takes a while.
    EXPECT_EQ(Get("key"), kMissing);
    EXPECT_EQ(Integer(true, TimeLeft, OldState::kExistence, "key"), -2);
    WaitUntilMs(until_ms + 1);
    EXPECT_EQ(Get("other"), kMissing);
  }
}

TEST_F(ExpiryTest, RelativeTimesCountFromTheWrite) {
  Open();
  EXPECT_EQ(Call(false, SetFor, OldState::kNothing, "key", "value", kNoExpiry, 250),
            Outcome::kDone);
  const int64_t left = Integer(true, TimeLeft, OldState::kExistence, "key");
  EXPECT_GT(left, 240);
  EXPECT_LE(left, 250);
  const uint64_t until_ms = WallMs() + static_cast<uint64_t>(left);
  WaitUntilMs(until_ms - 1);
  EXPECT_EQ(Get("key"), "value");
  WaitUntilMs(until_ms);
  EXPECT_EQ(Get("key"), kMissing);
}

TEST_F(ExpiryTest, ReadModifyWriteTakesAnExpiredKeyAsAbsent) {
  Open();
  const uint64_t until_ms = WallMs() + 100;
  for (const char* key : {"append", "setnx", "delete"}) Set(key, "old", until_ms);
  EXPECT_EQ(Integer(false, SetIfAbsent, OldState::kExistence, "setnx", "new"), 0);
  EXPECT_EQ(Integer(false, AppendAndKeep, OldState::kValue, "append", "+"), 4);
  WaitUntilMs(until_ms);
  EXPECT_EQ(Integer(false, DeleteFunction, OldState::kExistence, "delete"), 0);
  EXPECT_EQ(Integer(false, SetIfAbsent, OldState::kExistence, "setnx", "new"), 1);
  EXPECT_EQ(Integer(false, AppendAndKeep, OldState::kValue, "append", "+"), 1);
  EXPECT_EQ(Get("setnx"), "new");
  EXPECT_EQ(Integer(true, TimeLeft, OldState::kExistence, "append"), -1);
}

TEST_F(ExpiryTest, PlainWriteTakesTheExpiryAway) {
  Open();
  const uint64_t until_ms = WallMs() + 100;
  Set("key", "old", until_ms);
  EXPECT_EQ(Call(false, SetFunction, OldState::kNothing, "key", "new"), Outcome::kDone);
  WaitUntilMs(until_ms + 5000);
  EXPECT_EQ(Get("key"), "new");
  EXPECT_EQ(Stats().keys_expiring, 0u);
}

TEST_F(ExpiryTest, WhatWasShownAsExpiredStaysSoWhenTheClockIsSetBack) {
  Open();
  const uint64_t until_ms = WallMs() + 500;
  Set("key", "value", until_ms);
  WaitUntilMs(until_ms);
  ASSERT_EQ(Get("key"), kMissing);
  Restart(-3'600'000);
  EXPECT_EQ(Get("key"), kMissing);
  Restart(-3'600'000, 3);
  EXPECT_EQ(Get("key"), kMissing);
  EXPECT_TRUE(Scan().empty());
}

TEST_F(ExpiryTest, WhatAnAnswerTookAsExpiredStaysSoWhenTheClockIsSetBack) {
  for (const bool scans : {false, true}) {
    node_.Crash(CrashKind::kProcessKill);
    Open(2);
    const uint64_t until_ms = WallMs() + 500;
    Set("key", "value", until_ms);
    WaitUntilMs(until_ms);
    if (scans) {
      EXPECT_TRUE(Scan().empty());
    } else {
      EXPECT_EQ(Integer(false, DeleteFunction, OldState::kExistence, "key"), 0);
    }
    Restart(-3'600'000, 2);
    EXPECT_EQ(Get("key"), kMissing);
    node_.clock().StepWall(3'600'000'000);
  }
}

TEST_F(ExpiryTest, RandomKeyLeavesOutWhatIsOver) {
  Open(2);
  const uint64_t until_ms = WallMs() + 100;
  for (int i = 0; i < 100; ++i) Set("key" + std::to_string(i), "value", until_ms);
  Set("lives", "value", kNoExpiry);
  WaitUntilMs(until_ms);
  for (int i = 0; i < 10; ++i) {
    auto draw = node_.Run(store_->RandomKey(node_.core(0), kDefaultNamespace));
    ASSERT_TRUE(draw);
    EXPECT_EQ(draw->key, "lives");
  }
}

// The clock stands still at what was durable, but does not go back: a key lives longer.
// What is told of the time that is left is not made durable each time: that would be a flush per
// read. So a kill may take back what the clock has gone since the last block, which is a second at
// most: each log with keys that expire writes one that often, whatever else happens.
TEST_F(ExpiryTest, AKillTakesNoMoreThanASecondBackOfTheExpiryClock) {
  constexpr int64_t kMarkMs = LogWriter::kClockIntervalNs / kNsPerMs;
  constexpr int64_t kWrittenMs = 20;  // until the block is durable
  constexpr int64_t kHourMs = 3'600'000;
  for (const CrashKind kind : {CrashKind::kProcessKill, CrashKind::kPowerCut}) {
    for (const uint64_t rested_ms : {50, 900, 1500, 3700}) {
      for (const int64_t step_ms : {int64_t{0}, -kMarkMs / 2, -kHourMs}) {
        node_.Crash(kind);
        const uint32_t core_count = 1 + rested_ms % 3;
        Open(core_count);
        Set("key", "value", WallMs() + 60'000);
        // Writes of others, which are on other cores as a rule, are no marks of this key's log.
        for (uint64_t passed_ms = 0; passed_ms < rested_ms; passed_ms += 50) {
          WaitUntilMs(WallMs() + 50);
          Set("other" + std::to_string(passed_ms), "value", kNoExpiry);
        }
        const int64_t before = Integer(true, TimeLeft, OldState::kExistence, "key");
        EXPECT_LE(before, 60'000 - static_cast<int64_t>(rested_ms));
        node_.Crash(kind);
        node_.clock().StepWall(step_ms * 1000);
        Open(4 - core_count);
        const int64_t after = Integer(true, TimeLeft, OldState::kExistence, "key");
        EXPECT_LE(after, before + (step_ms < 0 ? kMarkMs + kWrittenMs : 0))
            << rested_ms << " ms, then " << step_ms;
        EXPECT_GT(after, before - 1000) << "it never runs ahead";
        node_.clock().StepWall(-step_ms * 1000);
      }
    }
  }
}

TEST_F(ExpiryTest, SetBackClockMakesNoKeyExpireEarly) {
  Open();
  const uint64_t until_ms = WallMs() + 5000;
  Set("key", "value", until_ms);
  Restart(-10'000);
  world_.RunFor(9 * kNsPerSecond);
  EXPECT_EQ(Get("key"), "value");
  WaitUntilMs(until_ms);
  EXPECT_EQ(Get("key"), kMissing);
}

TEST_F(ExpiryTest, ClockIsPersistedEachSecondWhileKeysExpire) {
  Open();
  world_.RunFor(kNsPerSecond);
  const uint64_t idle = Stats().blocks;
  world_.RunFor(10 * kNsPerSecond);
  EXPECT_EQ(Stats().blocks, idle) << "no key expires, so nothing is written";
  Set("key", "value", WallMs() + 60'000);
  world_.RunFor(kNsPerSecond / 2);
  const uint64_t blocks = Stats().blocks;
  world_.RunFor(10 * kNsPerSecond);
  EXPECT_GE(Stats().blocks, blocks + 9);
  EXPECT_LE(Stats().blocks, blocks + 11);
  // So a restart's clock is at most a second behind.
  const uint64_t now_ms = WallMs();
  Restart(-30'000);
  const int64_t left = Integer(true, TimeLeft, OldState::kExistence, "key");
  EXPECT_LE(left, static_cast<int64_t>(60'000 - 10'000 + 1'500));
  EXPECT_LT(now_ms, WallMs() + 30'000);
}

TEST_F(ExpiryTest, OnlyTheCoreWithKeysThatExpireWritesForTheClockAndOnlyUntilTheyAreGone) {
  Open(/*core_count=*/3);
  for (int i = 0; i < 30; ++i) Set("plain" + std::to_string(i), "value", kNoExpiry);
  Set("key", "value", WallMs() + 15'000);
  world_.RunFor(kNsPerSecond / 2);
  const uint64_t blocks = Stats().blocks;
  world_.RunFor(10 * kNsPerSecond);
  EXPECT_GE(Stats().blocks, blocks + 9);
  EXPECT_LE(Stats().blocks, blocks + 11) << "other cores write, too";
  world_.RunFor(10 * kNsPerSecond);
  EXPECT_EQ(Stats().keys_expiring, 0u);
  const uint64_t gone = Stats().blocks;
  world_.RunFor(10 * kNsPerSecond);
  EXPECT_EQ(Stats().blocks, gone) << "nothing is left that expires";
}

TEST_F(ExpiryTest, ExpiredKeysAreTakenOutOfTheIndexAndTheCache) {
  Open(3);
  const uint64_t until_ms = WallMs() + 5000;
  for (int i = 0; i < 1000; ++i) {
    Set("key" + std::to_string(i), "value", i % 10 == 0 ? kNoExpiry : until_ms + i);
  }
  ASSERT_EQ(Stats().keys, 1000u);
  EXPECT_EQ(Stats().keys_expiring, 900u);
  WaitUntilMs(until_ms + 1000);
  world_.RunFor(5 * kNsPerSecond);
  const StoreStats stats = Stats();
  EXPECT_EQ(stats.keys, 100u);
  EXPECT_EQ(stats.keys_expiring, 0u);
  EXPECT_EQ(stats.expired, 900u);
  EXPECT_EQ(Scan().size(), 100u);
  // And then nothing is written any more.
  const uint64_t blocks = stats.blocks;
  world_.RunFor(10 * kNsPerSecond);
  EXPECT_EQ(Stats().blocks, blocks);
}

// No tombstone says that the key is gone: its newest record does, in every start.
TEST_F(ExpiryTest, OlderRecordWithoutExpiryDoesNotComeBack) {
  Open(2);
  for (int i = 0; i < 20; ++i) Set("key" + std::to_string(i), "older", kNoExpiry);
  // Into other segments.
  for (int i = 0; i < 40; ++i) Set("filler", std::string(8000, 'x'), kNoExpiry);
  const uint64_t until_ms = WallMs() + 5000;
  for (int i = 0; i < 20; ++i) Set("key" + std::to_string(i), "newer", until_ms);
  WaitUntilMs(until_ms + 5000);
  ASSERT_EQ(Stats().expired, 20u);
  for (const int64_t step_ms : {int64_t{0}, int64_t{-7'200'000}, int64_t{7'200'000}}) {
    Restart(step_ms, 1 + static_cast<uint32_t>(next_run_ % 3));
    for (int i = 0; i < 20; ++i) EXPECT_EQ(Get("key" + std::to_string(i)), kMissing);
    world_.RunFor(5 * kNsPerSecond);
    EXPECT_EQ(Stats().keys, 1u);
  }
}

// Read-only: what is over cannot be made durable, so it is neither shown nor called gone.
TEST_F(ExpiryTest, FailedLogRefusesWhatItCannotProve) {
  Open();
  const uint64_t until_ms = WallMs() + 5000;
  Set("key", "value", until_ms);
  Set("lives", "value", kNoExpiry);
  node_.disk().faults.flush_error = 10'000;
  EXPECT_EQ(Call(false, SetFunction, OldState::kNothing, "lives", "new"), Outcome::kUnknown);
  EXPECT_EQ(Get("key"), "value");
  WaitUntilMs(until_ms);
  EXPECT_EQ(Call(true, GetFunction, OldState::kValue, "key"), Outcome::kReadOnly);
  EXPECT_EQ(Get("lives"), "value");
  auto step = node_.Run(store_->Scan(node_.core(0), kDefaultNamespace, 0, 10,
                                     [](std::string_view, uint64_t&) { return true; }));
  ASSERT_TRUE(step);
  EXPECT_EQ(step->outcome, Outcome::kReadOnly);
}

// The key's time ends while its write is under way: whoever is told that it is absent waits.
TEST_F(ExpiryTest, WriteThatExpiresBeforeItIsDurableIsNeverShown) {
  Open();
  const uint64_t until_ms = WallMs() - 1;
  Set("key", "value", until_ms);
  EXPECT_EQ(Get("key"), kMissing);
  EXPECT_EQ(Integer(false, SetIfAbsent, OldState::kExistence, "key", "new"), 1);
  EXPECT_EQ(Get("key"), "new");
}

TEST_F(ExpiryTest, FlushTakesKeysThatExpireToo) {
  Open(2);
  const uint64_t until_ms = WallMs() + 2000;
  for (int i = 0; i < 50; ++i) Set("key" + std::to_string(i), "value", until_ms);
  EXPECT_EQ(node_.Run(store_->Flush(node_.core(0), kDefaultNamespace)), Outcome::kDone);
  Set("after", "value", until_ms + 1000);
  EXPECT_EQ(Stats().keys_expiring, 1u);
  WaitUntilMs(until_ms + 5000);
  EXPECT_EQ(Stats().keys, 0u);
}

TEST(ExpiryMapTest, PartsCoverAnyRangeOnce) {
  for (const uint32_t cores : {1u, 2u, 3u, 7u, 256u}) {
    for (uint32_t core = 0; core < cores; core += cores / 3 + 1) {
      const HashRange range = RangeOf(core, cores);
      ExpiryMap map(range);
      EXPECT_EQ(map.earliest_ms(), ExpiryMap::kNever);
      for (const uint64_t hash : {range.first, range.first + (range.last - range.first) / 3,
                                  range.last - 1, range.last}) {
        map.Note(hash, 1000);
        map.Note(hash, 2000);
        EXPECT_EQ(map.earliest_ms(), 1000u);
        EXPECT_FALSE(map.TakeDue(999));
        const std::optional<HashRange> due = map.TakeDue(1000);
        ASSERT_TRUE(due);
        EXPECT_TRUE(due->Contains(hash)) << core << " of " << cores;
        EXPECT_GE(due->first, range.first);
        EXPECT_LE(due->last, range.last);
        EXPECT_FALSE(map.TakeDue(UINT64_MAX - 1)) << "each hash is in one part";
      }
    }
  }
}

}  // namespace
}  // namespace pakv
