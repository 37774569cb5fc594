// A start on a disk that somebody else has filled: it makes room by what nobody needs any more,
// goes on without what it would only like to have, and serves; and a crash at any step of it loses
// nothing. And many writes at once on a full disk, of which none waits for space.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kv/store/store.h"
#include "tests/kv/store/store_call.h"
#include "tests/sim/world/sim_node.h"

namespace pakv {
namespace {

constexpr int kKeys = 30;

std::string KeyOf(int number) { return "key" + std::to_string(number); }
std::string ValueOf(int number) { return std::string(700, static_cast<char>('a' + number % 26)); }

Task<Outcome> Set(Store& store, Core& here, std::string key, std::string value) {
  StoreCall call(store, here);
  co_await call.Update(SetFunction, OldState::kNothing, std::move(key), std::move(value));
  co_return call.outcome;
}
Task<std::string> Get(Store& store, Core& here, std::string key) {
  StoreCall call(store, here);
  co_await call.Read(GetFunction, OldState::kValue, std::move(key));
  co_return call.outcome == Outcome::kDone ? std::string(call.reply.bytes) : "failed";
}

// A machine, with an empty disk or a copy of another one's, whose store was killed.
class Machine {
 public:
  explicit Machine(uint32_t alignment, Machine* killed = nullptr)
      : node_(world_, "10.0.0.1", {.capacity_bytes = 4 << 20, .direct_alignment = alignment}) {
    if (killed == nullptr) {
      node_.disk().MakeDirectories("/data");
    } else {
      node_.disk().CopyFrom(killed->node_.disk());
    }
  }
  SimNode& node() { return node_; }
  Store& store() { return *store_; }
  SimWorld& world() { return world_; }

  // Nothing: it has crashed on the way.
  std::optional<absl::Status> Open(std::optional<uint64_t> crash_after, CrashKind kind) {
    static uint64_t run = 0;
    node_.Start({.core_count = 2, .ring = {}, .core = {.buffer_bytes = 1 << 16}});
    if (crash_after) node_.CrashAfter(*crash_after, kind);
    StoreOptions options;
    options.directory = "/data/store";
    options.segment_bytes = 64 << 10;
    options.cache_bytes = 1 << 20;
    options.entropy = StoreEntropy{{}, 17, ++run};
    OpenReport report;
    auto opened = node_.Run(Store::Open(node_.cores(), options, report));
    if (!opened) return std::nullopt;
    if (opened->ok()) store_ = &node_.Own(std::move(**opened));
    return opened->status();
  }
  void FillUp() {
    node_.disk().SetBallast(0);
    SpaceStat space;
    ASSERT_EQ(node_.disk().Space(space), 0);
    node_.disk().SetBallast(space.free_bytes);
  }
  void ExpectAllKeys() {
    for (int i = 0; i < kKeys; ++i) {
      EXPECT_EQ(node_.Run(Get(*store_, node_.core(0), KeyOf(i))), ValueOf(i)) << i;
    }
  }

 private:
  SimWorld world_{3};
  SimNode node_;
  Store* store_ = nullptr;
};

Task<void> SetInto(Store& store, Core& here, int number, std::optional<Outcome>& outcome) {
  outcome = co_await Set(store, here, KeyOf(number), ValueOf(number));
}

// More at once than there is room for: when that is known they have been admitted.
Task<std::vector<std::optional<Outcome>>> SetMany(Store& store, Core& here) {
  std::vector<std::optional<Outcome>> outcomes(3000);
  Nursery nursery(here.ready());
  for (size_t i = 0; i < outcomes.size(); ++i) {
    nursery.Spawn(SetInto(store, here, static_cast<int>(i), outcomes[i]));
  }
  co_await nursery.Join();
  co_return outcomes;
}

TEST(FullDiskStopTest, WhatFindsNoSpaceIsRefusedAndAStopIsClean) {
  Machine machine(512);
  ASSERT_TRUE(machine.Open(std::nullopt, CrashKind::kPowerCut)->ok());
  machine.world().RunFor(kNsPerSecond);
  machine.FillUp();
  const auto outcomes = machine.node().Run(SetMany(machine.store(), machine.node().core(0)));
  ASSERT_TRUE(outcomes) << machine.world().failure();
  const auto stopped = machine.node().Run(machine.store().Stop());
  ASSERT_TRUE(stopped) << machine.world().failure();
  EXPECT_TRUE(stopped->ok()) << *stopped;
  machine.node().Crash(CrashKind::kPowerCut);
  ASSERT_TRUE(machine.Open(std::nullopt, CrashKind::kPowerCut)->ok());
  int done = 0;
  for (size_t i = 0; i < outcomes->size(); ++i) {
    const int number = static_cast<int>(i);
    const auto got =
        machine.node().Run(Get(machine.store(), machine.node().core(0), KeyOf(number)));
    if (*(*outcomes)[i] == Outcome::kDone) {
      ++done;
      ASSERT_EQ(got, ValueOf(number));
    } else {
      ASSERT_EQ(*(*outcomes)[i], Outcome::kDiskFull);
      ASSERT_EQ(got, "");
    }
  }
  EXPECT_GT(done, 50);
  EXPECT_LT(done, 2900);
  machine.node().Crash(CrashKind::kPowerCut);
}

class FullDiskStartTest : public testing::TestWithParam<uint32_t> {
 protected:
  // What a kill leaves of a store with kKeys, with its spares.
  void SetUp() override {
    const auto opened = killed_.Open(std::nullopt, CrashKind::kPowerCut);
    ASSERT_TRUE(opened && opened->ok()) << killed_.world().failure();
    for (int i = 0; i < kKeys; ++i) {
      ASSERT_EQ(
          killed_.node().Run(Set(killed_.store(), killed_.node().core(0), KeyOf(i), ValueOf(i))),
          Outcome::kDone);
    }
    killed_.world().RunFor(kNsPerSecond);
    killed_.node().Crash(CrashKind::kProcessKill);
  }
  Machine killed_{GetParam()};
};
// With the larger one the zeros ahead of MANIFEST are more than all that is freed.
INSTANTIATE_TEST_SUITE_P(Alignment, FullDiskStartTest, testing::Values(512u, 4096u));

TEST_P(FullDiskStartTest, ItOpensServesAndWritesAgainWhenThereIsRoom) {
  Machine machine(GetParam(), &killed_);
  machine.FillUp();
  const auto opened = machine.Open(std::nullopt, CrashKind::kPowerCut);
  ASSERT_TRUE(opened) << machine.world().failure();
  ASSERT_TRUE(opened->ok()) << *opened;
  machine.ExpectAllKeys();
  machine.FillUp();
  machine.ExpectAllKeys();
  machine.node().disk().SetBallast(0);
  machine.world().RunFor(3 * kNsPerSecond);
  const auto set = machine.node().Run(Set(machine.store(), machine.node().core(0), "more", "room"));
  EXPECT_EQ(set, Outcome::kDone);
  machine.node().Crash(CrashKind::kPowerCut);
  ASSERT_TRUE(machine.Open(std::nullopt, CrashKind::kPowerCut)->ok());
  machine.ExpectAllKeys();
  EXPECT_EQ(machine.node().Run(Get(machine.store(), machine.node().core(0), "more")), "room");
  machine.node().Crash(CrashKind::kPowerCut);
}

TEST_P(FullDiskStartTest, ItStopsCleanlyIfNobodyHasWritten) {
  Machine machine(GetParam(), &killed_);
  machine.FillUp();
  const auto opened = machine.Open(std::nullopt, CrashKind::kPowerCut);
  ASSERT_TRUE(opened && opened->ok());
  machine.FillUp();
  machine.world().RunFor(3 * kNsPerSecond);
  const auto stopped = machine.node().Run(machine.store().Stop());
  ASSERT_TRUE(stopped) << machine.world().failure();
  EXPECT_TRUE(stopped->ok()) << *stopped;
  machine.node().Crash(CrashKind::kPowerCut);
}

TEST_P(FullDiskStartTest, ACrashAtAnyStepLosesNothing) {
  uint64_t crashes = 0;
  for (uint64_t step = 0; true; ++step) {
    const CrashKind kind = step % 3 == 0 ? CrashKind::kProcessKill : CrashKind::kPowerCut;
    Machine machine(GetParam(), &killed_);
    machine.FillUp();
    const std::optional<absl::Status> opened = machine.Open(step, kind);
    const bool crashed = !machine.node().running();
    if (crashed) {
      ++crashes;
    } else {
      ASSERT_TRUE(opened && opened->ok()) << step << ": " << machine.world().failure();
      machine.node().Crash(kind);
    }
    const auto again = machine.Open(std::nullopt, kind);
    ASSERT_TRUE(again) << step << ": " << machine.world().failure();
    ASSERT_TRUE(again->ok()) << step << ": " << *again;
    machine.ExpectAllKeys();
    machine.node().Crash(CrashKind::kPowerCut);
    if (HasFailure() || !crashed) break;
  }
  EXPECT_GT(crashes, 20u);
}

}  // namespace
}  // namespace pakv
