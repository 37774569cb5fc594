// SegmentSupply where there is not room for all: what is made of how much space, in which order,
// and what others have claimed of it meanwhile, on one core and on two.
#include "kv/log/write/segment_supply.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/kv/log/write/sim_log_fixture.h"

namespace pakv {
namespace {

constexpr uint64_t kKiB = 1024;
constexpr uint64_t kWhole = 64 * kKiB;  // a segment, and one of the reserve
constexpr uint64_t kLeast = kWhole / SegmentSupply::kReservePartMin;
constexpr uint64_t kAlignment = 4096;
// What is left free by the reserve, and by all else.
constexpr uint64_t kKeptByReserve = kSpaceMarginBytes / 8;
constexpr uint64_t kKept = kSpaceMarginBytes;

class SegmentSupplyTest : public SimLogFixture {
 protected:
  void SetUp() override { NewMachine(1); }
  void NewMachine(uint32_t core_count) {
    supplies_.clear();
    NewNode({.core_count = core_count, .alignment = kAlignment, .segment_bytes = kWhole});
    LeaveFree(0);
  }
  // Claims for all of them come first, as in a store.
  void Claim(std::vector<SegmentKind> kinds) {
    for (const SegmentKind kind : kinds) SegmentSupply::ClaimReserve(context_, kind);
  }
  SegmentSupply& NewSupply(uint32_t core = 0, SegmentKind kind = SegmentKind::kCommit) {
    supplies_.push_back(
        &node_->Own(std::make_unique<SegmentSupply>(node_->core(core), context_, kind)));
    return *supplies_.back();
  }
  void Start(SegmentSupply& supply, uint32_t core = 0) {
    const auto start = [](SegmentSupply& own) -> Task<void> {
      own.Start();
      co_return;
    };
    node_->Spawn(core, start(supply));
  }
  // Long enough for a shortage to be looked at again, and for all that can be made.
  void Settle() { world_.RunFor(5 * kNsPerSecond); }
  void LeaveFreeAndSettle(uint64_t bytes) {
    LeaveFree(bytes);
    Settle();
  }
  std::optional<NewSegment> Take(SegmentSupply& supply, uint64_t bytes) {
    auto taken = node_->Run(supply.Take(bytes));
    EXPECT_TRUE(taken && taken->ok()) << world_.failure();
    if (!taken || !taken->ok()) return std::nullopt;
    return std::move(**taken);
  }
  std::vector<uint64_t> Ready(const SegmentSupply& supply) {
    std::vector<uint64_t> lengths = supply.ReadyBytes();
    std::sort(lengths.begin(), lengths.end());
    return lengths;
  }
  size_t Files() {
    std::vector<std::string> names;
    EXPECT_GE(node_->disk().List("/data/store", names), 0);
    return static_cast<size_t>(std::count_if(
        names.begin(), names.end(), [](const auto& name) { return SegmentOfName(name) != 0; }));
  }

  std::vector<SegmentSupply*> supplies_;
};

using Lengths = std::vector<uint64_t>;

TEST_F(SegmentSupplyTest, WithRoomItHasASpareAndTwoOfAReserve) {
  Claim({SegmentKind::kCommit});
  SegmentSupply& supply = NewSupply();
  LeaveFree(kKept + 3 * kWhole);
  Start(supply);
  Settle();
  EXPECT_EQ(Ready(supply), (Lengths{kWhole, kWhole, kWhole}));
  EXPECT_EQ(supply.spare_bytes(), kWhole);
  EXPECT_FALSE(supply.is_short());
  EXPECT_EQ(claims_->Before(SpaceClaims::kRankOfOthers), 0u) << "it lacks nothing";
}

TEST_F(SegmentSupplyTest, TheSpareIsMadeLastAndLeavesMoreFree) {
  Claim({SegmentKind::kCommit});
  SegmentSupply& supply = NewSupply();
  LeaveFree(kKept + 3 * kWhole - kAlignment);
  Start(supply);
  Settle();
  EXPECT_EQ(Ready(supply), (Lengths{kWhole, kWhole}));
  EXPECT_EQ(supply.spare_bytes(), 0u);
  EXPECT_TRUE(supply.disk_full());
  LeaveFreeAndSettle(kKept + kWhole);
  EXPECT_EQ(supply.spare_bytes(), kWhole);
  EXPECT_FALSE(supply.disk_full());
}

TEST_F(SegmentSupplyTest, WhereThereIsNoRoomForAWholeReserveAShorterOneIsMade) {
  for (uint64_t room = 0; room <= kWhole + 2 * kAlignment; room += kAlignment) {
    SCOPED_TRACE(room);
    NewMachine(1);
    Claim({SegmentKind::kCommit});
    SegmentSupply& supply = NewSupply();
    LeaveFree(kKeptByReserve + room);
    Start(supply);
    Settle();
    EXPECT_TRUE(supply.disk_full());
    EXPECT_GE(FreeBytes(), kKeptByReserve);
    EXPECT_EQ(supply.spare_bytes(), 0u);
    if (room < kLeast) {
      EXPECT_EQ(Ready(supply), Lengths{});
    } else {
      // The least comes first in any case, so that it is left free as long as it is not there.
      EXPECT_GE(supply.reserve_bytes(), std::min(kWhole, std::max(kLeast, room - kLeast)));
      EXPECT_LE(supply.reserve_bytes(), room);
    }
  }
}

TEST_F(SegmentSupplyTest, AShortReserveIsReplacedByOneOfTwiceItsLengthAndThenAWholeOne) {
  Claim({SegmentKind::kCommit});
  SegmentSupply& supply = NewSupply();
  Start(supply);
  LeaveFreeAndSettle(kKeptByReserve + kLeast);
  ASSERT_EQ(Ready(supply), Lengths{kLeast});
  // The old one stays until the new one is there, so that the room is beside it.
  for (uint64_t length = kLeast; length < kWhole; length *= 2) {
    LeaveFreeAndSettle(kKeptByReserve + 2 * length - kAlignment);
    EXPECT_EQ(supply.reserve_bytes(), length) << "not for less than that";
    LeaveFreeAndSettle(kKeptByReserve + 2 * length);
    EXPECT_EQ(supply.reserve_bytes(), 2 * length);
    EXPECT_TRUE(supply.disk_full());
  }
  // The second one as well, and then the spare; what they have replaced is gone.
  LeaveFreeAndSettle(kKept + 2 * kWhole);
  EXPECT_EQ(Ready(supply), (Lengths{kWhole, kWhole, kWhole}));
  EXPECT_EQ(Files(), 3u);
  EXPECT_FALSE(supply.is_short());
}

TEST_F(SegmentSupplyTest, AShortageGivesTheShortestOfTheReserveThatIsEnough) {
  Claim({SegmentKind::kCommit});
  SegmentSupply& supply = NewSupply();
  Start(supply);
  LeaveFreeAndSettle(kKeptByReserve + kWhole + 6 * kAlignment);
  ASSERT_EQ(Ready(supply), (Lengths{6 * kAlignment, kWhole}));
  LeaveFree(0);
  const auto taken = node_->Run(supply.Take(6 * kAlignment));
  ASSERT_TRUE(taken) << "nobody waits: " << world_.failure();
  EXPECT_EQ(ShortageOf(taken->status()), Shortage::kSpace);
  const auto shorter = supply.TakeReserve(6 * kAlignment);
  ASSERT_TRUE(shorter);
  EXPECT_EQ(shorter->size, 6 * kAlignment);
  EXPECT_TRUE(shorter->reserve);
  // The longer one is left; what is taken is lacked again.
  EXPECT_EQ(Ready(supply), Lengths{kWhole});
  EXPECT_EQ(claims_->Before(SpaceClaims::kRankOfOthers), kWhole);
  const auto longer = supply.TakeReserve(kAlignment);
  ASSERT_TRUE(longer);
  EXPECT_EQ(longer->size, kWhole);
  EXPECT_EQ(Ready(supply), Lengths{});
  EXPECT_EQ(claims_->Before(SpaceClaims::kRankOfOthers), 2 * kWhole);
}

// ---- Beside others ----

TEST_F(SegmentSupplyTest, TheLeastOfALogsReserveComesBeforeCompactionsFirstAndThatBeforeTheRest) {
  Claim({SegmentKind::kCommit, SegmentKind::kCompaction});
  SegmentSupply& supply = NewSupply();
  Start(supply);
  LeaveFreeAndSettle(kKeptByReserve + kLeast + kWhole - kAlignment);
  EXPECT_EQ(Ready(supply), Lengths{kLeast});
  SegmentSupply& compaction = NewSupply(0, SegmentKind::kCompaction);
  Start(compaction);
  LeaveFreeAndSettle(kKeptByReserve + kWhole);
  EXPECT_EQ(Ready(compaction), Lengths{kWhole});
  EXPECT_EQ(Ready(supply), Lengths{kLeast});
  // From here on the logs' reserve has what there is: compaction's second comes behind both.
  // The least is replaced, and gives back what it took.
  LeaveFreeAndSettle(kKeptByReserve + 2 * kWhole - kLeast);
  EXPECT_EQ(Ready(supply), (Lengths{kWhole, kWhole}));
  EXPECT_EQ(Ready(compaction), Lengths{kWhole});
  LeaveFreeAndSettle(kKeptByReserve + kWhole);
  EXPECT_EQ(Ready(compaction), (Lengths{kWhole, kWhole}));
  EXPECT_EQ(supply.spare_bytes(), 0u);
}

TEST_F(SegmentSupplyTest, ASpareLeavesWhatTheReserveOfAnotherLogLacksUntilThatHasStopped) {
  NewMachine(2);
  Claim({SegmentKind::kCommit, SegmentKind::kCommit});
  SegmentSupply& supply = NewSupply(0);
  SegmentSupply& other = NewSupply(1);
  Start(supply, 0);
  LeaveFreeAndSettle(kKept + 3 * kWhole);
  EXPECT_EQ(Ready(supply), (Lengths{kWhole, kWhole}));
  LeaveFreeAndSettle(kKept + 3 * kWhole - kAlignment);
  EXPECT_EQ(supply.spare_bytes(), 0u);
  node_->Spawn(1, other.Stop());
  Settle();
  EXPECT_EQ(supply.spare_bytes(), kWhole);
  EXPECT_EQ(claims_->Before(SpaceClaims::kRankOfOthers), 0u);
}

// Both look at the same space before either of them has begun, in whatever order.
TEST_F(SegmentSupplyTest, OfTwoLogsThatWantTheSameSpaceOneHasItAndTheOtherWaits) {
  int first = 0;
  for (int round = 0; round < 100; ++round) {
    SCOPED_TRACE(round);
    NewMachine(2);
    Claim({SegmentKind::kCommit, SegmentKind::kCommit});
    for (uint32_t core = 0; core < 2; ++core) NewSupply(core);
    LeaveFree(kKept + 5 * kWhole + kWhole / 2);
    const uint64_t begin_bytes = FreeBytes();
    for (uint32_t core = 0; core < 2; ++core) Start(*supplies_[core], core);
    for (int step = 0; step < 500; ++step) {
      world_.RunFor(10 * kNsPerUs);
      ASSERT_GE(FreeBytes(), kKept);
      // What is lacked or being written, and what is there, are all that both need, at least.
      ASSERT_GE(claims_->Before(SpaceClaims::kRankOfOthers) + begin_bytes - FreeBytes(),
                4 * kWhole);
    }
    Settle();
    ASSERT_GE(FreeBytes(), kKept);
    EXPECT_EQ(supplies_[0]->spare_bytes() + supplies_[1]->spare_bytes(), kWhole);
    EXPECT_EQ(Files(), 5u);
    const bool first_has = supplies_[0]->spare_bytes() > 0;
    first += first_has ? 1 : 0;
    SegmentSupply& has = *supplies_[first_has ? 0 : 1];
    SegmentSupply& waits = *supplies_[first_has ? 1 : 0];
    EXPECT_FALSE(has.is_short());
    EXPECT_TRUE(waits.disk_full());
    EXPECT_EQ(Ready(waits), (Lengths{kWhole, kWhole})) << "nobody took its reserve";
    LeaveFreeAndSettle(kKept + kWhole);
    EXPECT_EQ(waits.spare_bytes(), kWhole);
    EXPECT_FALSE(waits.is_short());
  }
  EXPECT_GT(first, 0);
  EXPECT_LT(first, 100);
}

// Somebody who claims nothing takes the space while it is being filled: nothing of it is left, nor
// counted as being written, and it is lacked again.
TEST_F(SegmentSupplyTest, WhatCannotBeFilledIsLackedAgainAndMadeLater) {
  Claim({SegmentKind::kCommit});
  SegmentSupply& supply = NewSupply();
  LeaveFree(kKept + 3 * kWhole);
  Start(supply);
  ASSERT_TRUE(world_.RunUntil([this] { return Files() == 1; }));
  LeaveFree(0);
  world_.RunFor(10 * kNsPerMs);
  EXPECT_TRUE(supply.disk_full());
  EXPECT_EQ(Files(), 0u);
  EXPECT_EQ(claims_->Before(0), 0u) << "it is not being written";
  EXPECT_EQ(claims_->Before(SpaceClaims::kRankOfOthers), 2 * kWhole);
  LeaveFreeAndSettle(kKept + 3 * kWhole);
  EXPECT_EQ(Ready(supply), (Lengths{kWhole, kWhole, kWhole}));
  EXPECT_EQ(claims_->Before(SpaceClaims::kRankOfOthers), 0u);
}

}  // namespace
}  // namespace pakv
