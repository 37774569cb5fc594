// Transactions of more keys than one pass works on, and what happens between the passes, in a
// simulated world.
#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tests/kv/store/transaction_fixture.h"

namespace pakv {
namespace {

using TransactionStepsTest = TransactionTest;

// So many that no pass works on all of them: neither of what is written and read at one owner, nor
// of what is looked at.
TEST_F(TransactionStepsTest, ManyKeysAreWorkedOnInManyPasses) {
  constexpr size_t kSteps = 32;
  for (const uint32_t cores : {1u, 2u}) {
    Open(cores);
    Pairs pairs;
    std::vector<std::string> keys;
    for (size_t i = 0; i < kSteps * kPartKeysMax * cores; ++i) {
      keys.push_back("k" + std::to_string(i));
      pairs.emplace_back(keys.back(), "value");
    }
    const auto passes = [this] { return node_->core(0).counters().passes; };
    uint64_t before = passes();
    ASSERT_EQ(Write(pairs), Outcome::kDone);
    // They are asked for, read, published, let go; and all of them written, by this core.
    EXPECT_GE(passes() - before, 4 * (kSteps - 1) + kSteps * cores - 1);
    before = passes();
    const std::vector<std::string> values = Read(keys);
    EXPECT_EQ(static_cast<size_t>(std::count(values.begin(), values.end(), "value")), keys.size());
    // They are looked at and confirmed.
    EXPECT_GE(passes() - before, 2 * (kSteps - 1));
  }
}

// A write of another key that comes while a transaction's records are encoded is not held up for
// longer than these take, and is behind them in the log; a crash in between takes all or nothing.
TEST_F(TransactionStepsTest, OthersWriteWhileItsRecordsAreEncoded) {
  part_keys_max_ = 1;
  publish_pause_ns_ = 10 * kNsPerUs;
  for (uint64_t after_us = 0; after_us < 400; after_us += 10) {
    Open(1);
    std::vector<std::string> keys;
    for (int i = 0; i < 8; ++i) keys.push_back(KeyOn(0, i));
    const std::string other = KeyOn(0, 8);
    Course& course = Begin(0, keys, "new", OldState::kNothing);
    Sent& sent = SendSet(0, other, "value", after_us * kNsPerUs);
    ExpectEnds([&] { return sent.finished; });
    const bool was_finished = course.finished;
    Restart(1);
    EXPECT_EQ(Get(other), "value") << "after " << after_us << " us";
    const std::vector<std::string> values = Read(keys);
    const std::set<std::string> seen(values.begin(), values.end());
    ASSERT_EQ(seen.size(), 1u) << "after " << after_us << " us";
    EXPECT_TRUE(!was_finished || *seen.begin() == "new") << "after " << after_us << " us";
  }
}

// A count that leaves many keys out looks them up in several passes.
TEST_F(TransactionStepsTest, CountLeavesManyKeysOutInManyPasses) {
  constexpr size_t kNames = 20'000;
  Open(1);
  ASSERT_EQ(Write({{"counted", "value"}, {"k7", "value"}, {"k15000", "value"}}), Outcome::kDone);
  std::vector<std::string> keys;
  for (size_t i = 0; i < kNames; ++i) keys.push_back("k" + std::to_string(i));
  std::vector<Store::KeyName> names;
  for (const std::string& key : keys) names.push_back({store_->Hash(kDefaultNamespace, key), key});
  std::sort(names.begin(), names.end(),
            [](const auto& one, const auto& other) { return one.hash < other.hash; });
  const uint64_t before = node_->core(0).counters().passes;
  EXPECT_EQ(node_->Run(store_->CountKeys(node_->core(0), kDefaultNamespace, names)), 1u);
  EXPECT_GE(node_->core(0).counters().passes - before, kNames / 2048);
}

// Who reads while an owner publishes key by key sees all of it or nothing.
TEST_F(TransactionStepsTest, WhatIsPublishedInStepsIsSeenAsOne) {
  publish_pause_ns_ = kNsPerMs;
  part_keys_max_ = 1;
  for (const uint32_t cores : {1u, 2u}) {
    Open(cores);
    const std::string first = KeyOn(0);
    const std::string second = KeyOn(0, 1);
    const std::string third = KeyOn(cores - 1, 2);
    ASSERT_EQ(Write({{first, "old"}, {second, "old"}, {third, "old"}}), Outcome::kDone);
    Course& course = Begin(0, {first, second, third}, "+new");
    bool was_old = false;
    while (!course.finished) {
      std::vector<Sent*> reads;
      for (const std::string& key : {first, second, third}) {
        reads.push_back(&Send(0, key, GetFunction, OldState::kValue, true));
        world_->RunFor(100 * kNsPerUs);
      }
      for (const Sent* read : reads) ExpectEnds([read] { return read->finished; });
      // Each was sent after the one before it.
      EXPECT_LE(reads[0]->text().size(), reads[1]->text().size());
      EXPECT_LE(reads[1]->text().size(), reads[2]->text().size());
      const std::vector<std::string> seen = Read({third, second, first});
      EXPECT_EQ(std::set<std::string>(seen.begin(), seen.end()).size(), 1u);
      was_old = was_old || seen[0] == "old";
    }
    EXPECT_EQ(course.outcome, Outcome::kDone);
    EXPECT_TRUE(was_old) << "nobody has looked in time";
    EXPECT_EQ(Get(first), "old+new");
  }
}

TEST_F(TransactionStepsTest, ThoseThatAskInStepsDoNotWaitForEachOther) {
  publish_pause_ns_ = 100 * kNsPerUs;
  part_keys_max_ = 1;
  Open(1);
  const std::string first = KeyOn(0);
  const std::string second = KeyOn(0, 1);
  Course& one = Begin(0, {first, second}, "1");
  Course& other = Begin(0, {second, first}, "2");
  ExpectEnds([&] { return one.finished && other.finished; });
  EXPECT_EQ(Read({first, second}), (std::vector<std::string>{"12", "12"}));
}

TEST_F(TransactionStepsTest, FlushMeetsOneThatAsksInSteps) {
  publish_pause_ns_ = 100 * kNsPerUs;
  part_keys_max_ = 1;
  for (uint64_t after_us = 0; after_us < 3000; after_us += 70) {
    Open(1);
    std::vector<std::string> keys;
    for (int i = 0; i < 4; ++i) keys.push_back(KeyOn(0, i));
    for (const std::string& key : keys) ASSERT_EQ(Set(key, "old"), Outcome::kDone);
    Course& course = Begin(0, keys, "+new");
    ASSERT_TRUE(node_->Run(FlushFrom(*this, node_->core(0), after_us * kNsPerUs)));
    ExpectEnds([&] { return course.finished; });
    const std::set<std::string> seen(course.seen.begin(), course.seen.end());
    ASSERT_EQ(seen.size(), 1u) << "after " << after_us << " us";
    // It comes before the FLUSH, which then leaves nothing, or behind it.
    const std::string left = *seen.begin() == "old" ? kMissing : "+new";
    EXPECT_EQ(Read(keys), std::vector<std::string>(4, left)) << "after " << after_us << " us";
  }
}

// The old value, its delete, which is durable and not published yet, and nothing else of the key
// lie in a segment that is compacted: whenever between its records that is published, the value
// does not come back.
TEST_F(TransactionStepsTest, DeleteThatIsPublishedWhileItsSegmentIsCompactedStays) {
  compaction_.segments_min = 1000;
  compaction_.read_bytes = 4096;
  const auto run = [this](uint64_t pause_ns) {
    publish_pause_ns_ = pause_ns;
    Open(2);
    const std::string here = KeyOn(0);
    const std::string gone = KeyOn(1);
    EXPECT_EQ(Write({{here, "old"}, {gone, "old"}}), Outcome::kDone);
    struct Deletion {
      Transaction transaction{7};
      bool finished = false;
    };
    Deletion& deletion = node_->Own(std::make_unique<Deletion>());
    const auto remove = [](TransactionTest& test, Core& core, Deletion& its, std::string written,
                           std::string deleted) -> Task<void> {
      test.Add(its.transaction, written, OldState::kNothing);
      test.Add(its.transaction, deleted, OldState::kExistence);
      const auto decide = [](Transaction& decided) {
        decided.Write(0, "new", kNoExpiry);
        decided.Delete(1);
        return true;
      };
      static_cast<void>(co_await test.store_->Transact(core, its.transaction, decide));
      its.finished = true;
    };
    const uint64_t begin_ns = world_->now_ns();
    node_->Spawn(0, remove(*this, node_->core(0), deletion, here, gone));
    for (int i = 0; i < 20; ++i)
      EXPECT_EQ(Set(KeyOn(0, 1), std::string(6000, 'x')), Outcome::kDone);
    const auto asked = node_->Run(store_->RequestCompaction(node_->core(0), 1));
    const uint64_t asked_ns = world_->now_ns();
    const auto ended = [&] {
      return node_->Run(store_->CompactionProgressOf(node_->core(0), asked->number)).value()->done;
    };
    for (int i = 0; i < 100 && !(deletion.finished && ended()); ++i) world_->RunFor(kNsPerMs);
    EXPECT_TRUE(deletion.finished);
    Restart(2);
    EXPECT_EQ(Get(gone), kMissing) << "with " << pause_ns << " ns";
    return asked_ns - begin_ns;
  };
  const uint64_t usual_ns = run(kNsPerMs);
  for (uint64_t more_us = 0; more_us < 8000; more_us += 100) {
    run(usual_ns - 3 * kNsPerMs + more_us * kNsPerUs);
  }
}

}  // namespace
}  // namespace pakv
