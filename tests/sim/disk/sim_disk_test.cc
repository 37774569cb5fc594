// One file of a simulated disk. Method: random writes, cuts, syncs and copies of the disk against a
// string, which is what the file has to read as at any time, and after a sync through a power cut.
#include "tests/sim/disk/sim_disk.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <set>
#include <string>

#include "runtime/base/prng.h"

namespace pakv {
namespace {

constexpr const char* kPath = "/data/file";
constexpr uint64_t kSector = SimDisk::kSectorBytes;
constexpr uint64_t kSectorsMax = 40;

class SimDiskModelTest : public ::testing::TestWithParam<uint64_t> {
 protected:
  static std::unique_ptr<SimDisk> NewDisk(uint64_t seed) {
    return std::make_unique<SimDisk>(SimDiskOptions{.direct_alignment = kSector}, seed);
  }

  void SetUp() override {
    disk_ = NewDisk(prng_.Next());
    disk_->Put(kPath, "");
    ASSERT_EQ(disk_->Open(kPath, O_RDWR, inode_), 0);
  }

  // Zeros as a rule: what a store writes most.
  void Write() {
    const bool direct = prng_.Chance(1, 2);
    const uint64_t unit = direct ? kSector : 1;
    const uint64_t offset = prng_.Below(kSectorsMax * kSector / unit) * unit;
    const uint64_t left = kSectorsMax * kSector - offset;
    const uint64_t length = (1 + prng_.Below(std::min<uint64_t>(left, 8 * kSector) / unit)) * unit;
    alignas(kSector) char bytes[8 * kSector] = {};
    const bool zeros = prng_.Chance(1, 2);
    for (uint64_t i = 0; i < length && !zeros; ++i) bytes[i] = static_cast<char>(prng_.Next());
    ASSERT_EQ(disk_->Write(*inode_, direct, bytes, static_cast<uint32_t>(length), offset),
              static_cast<int32_t>(length));
    if (expected_.size() < offset + length) expected_.resize(offset + length);
    expected_.replace(offset, length, bytes, length);
    for (uint64_t i = offset / kSector; i <= (offset + length - 1) / kSector; ++i) used_.insert(i);
    if (prng_.Chance(1, 3)) {
      ASSERT_EQ(disk_->SyncRange(*inode_, offset, static_cast<uint32_t>(length)), 0);
    }
  }

  void Cut() {
    const uint64_t bytes = prng_.Below(kSectorsMax * kSector);
    ASSERT_EQ(disk_->Truncate(*inode_, bytes), 0);
    if (bytes < expected_.size()) {
      used_.erase(used_.lower_bound((bytes + kSector - 1) / kSector), used_.end());
      if (bytes % kSector != 0) used_.insert(bytes / kSector);
    }
    expected_.resize(bytes);
  }

  // The life goes on on a copy; what is done there is not seen on the first.
  void GoOnWithACopy() {
    first_ = std::move(disk_);
    first_expected_ = expected_;
    disk_ = NewDisk(prng_.Next());
    inode_ = disk_->CopyFrom(*first_).at(inode_.get());
  }

  void SyncAndCutPower() {
    ASSERT_EQ(disk_->SyncData(*inode_), 0);
    disk_->Crash(CrashKind::kPowerCut);
  }

  void Check() {
    ASSERT_EQ(*disk_->Contents(kPath), expected_);
    ASSERT_EQ(disk_->used_bytes(), used_.size() * kSector);
    if (first_ != nullptr) {
      ASSERT_EQ(*first_->Contents(kPath), first_expected_);
    }
    if (expected_.empty()) return;
    const uint64_t sector = prng_.Below((expected_.size() + kSector - 1) / kSector);
    alignas(kSector) char bytes[kSector];
    const int32_t got = disk_->Read(*inode_, prng_.Chance(1, 2), bytes, kSector, sector * kSector);
    ASSERT_EQ(std::string(bytes, static_cast<size_t>(got)),
              expected_.substr(sector * kSector, kSector));
  }

  Prng prng_{GetParam()};
  std::unique_ptr<SimDisk> disk_;
  SimDisk::InodeRef inode_;
  std::string expected_;
  std::set<uint64_t> used_;  // sectors that take space
  std::unique_ptr<SimDisk> first_;
  std::string first_expected_;
};

TEST_P(SimDiskModelTest, AFileReadsAsWhatWasWritten) {
  for (int i = 0; i < 400 && !HasFatalFailure(); ++i) {
    const uint64_t dice = prng_.Below(20);
    if (dice < 12) {
      Write();
    } else if (dice < 15) {
      Cut();
    } else if (dice < 17) {
      disk_->Crash(CrashKind::kProcessKill);
    } else if (dice < 19) {
      SyncAndCutPower();
    } else {
      GoOnWithACopy();
    }
    Check();
  }
}

// What was written without O_DIRECT and not synced, and who opens the file again syncs in vain.
TEST(SimDiskTest, AFailedWriteBackAfterTheLastCloseIsLostAndNobodyIsTold) {
  SimDisk disk({.direct_alignment = 0}, /*seed=*/1);
  disk.Put(kPath, "old");
  SimDisk::InodeRef inode;
  ASSERT_EQ(disk.Open(kPath, O_RDWR, inode), 0);
  ASSERT_EQ(disk.Write(*inode, /*direct=*/false, "new", 3, 0), 3);
  disk.Closed(*inode);
  EXPECT_EQ(*disk.Contents(kPath), "new");
  disk.faults.write_back_error = 10'000;
  disk.Closed(*inode);
  ASSERT_EQ(disk.Open(kPath, O_RDWR, inode), 0);
  EXPECT_EQ(disk.SyncData(*inode), 0);
  EXPECT_EQ(*disk.Contents(kPath), "old");
}

INSTANTIATE_TEST_SUITE_P(Seeds, SimDiskModelTest, ::testing::Range<uint64_t>(1, 21));

}  // namespace
}  // namespace pakv
