#include "cmd/pakvd/descriptor_plan.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>

#include "runtime/core/process_usage.h"

namespace pakv {
namespace {

DescriptorDemand DemandOf(uint64_t file_limit) {
  return {.file_limit = file_limit,
          .open_count = 4,
          .listener_count = 2,
          .connection_count_max = 10240};
}

TEST(DescriptorPlanTest, SixtyFourFilesAreEnoughForAFewCores) {
  EXPECT_EQ(CoresWithin(DemandOf(64), 1), 1u);
  EXPECT_EQ(CoresWithin(DemandOf(64), 2), 2u);
  EXPECT_EQ(CoresWithin(DemandOf(64), 256), 3u);
  EXPECT_EQ(CoresWithin(DemandOf(16), 256), 0u);
}

// What is handed out: to the store, to reads, to large values, to clients.
TEST(DescriptorPlanTest, NoMoreIsHandedOutThanThereIs) {
  for (uint64_t limit = 20; limit < 3000; ++limit) {
    const DescriptorDemand demand = DemandOf(limit);
    for (const uint32_t cores : {1u, 2u, 3u, 7u, 16u, 64u}) {
      if (CoresWithin(demand, cores) != cores) continue;
      const DescriptorPlan plan = PlanDescriptors(demand, cores);
      EXPECT_GE(plan.connection_count_max, 1u);
      EXPECT_GE(plan.read_segments, 1u);
      EXPECT_GE(plan.value_files.uploads_max, 1u);
      EXPECT_GE(plan.value_files.edits_max, 1u);
      EXPECT_GE(plan.value_files.chunks_max, 1u);
      const uint64_t of_a_core = (plan.read_segments - 1) + 2 * (plan.value_files.uploads_max - 1) +
                                 2 * (plan.value_files.edits_max - 1) +
                                 (plan.value_files.chunks_max - 1);
      ASSERT_LE(
          DescriptorsNeeded(demand, cores) + cores * of_a_core + (plan.connection_count_max - 1),
          limit)
          << cores << " cores";
    }
  }
}

TEST(DescriptorPlanTest, WhereThereAreManyNothingIsShort) {
  for (const uint64_t limit : {uint64_t{1} << 20, UINT64_MAX}) {
    const DescriptorPlan plan = PlanDescriptors(DemandOf(limit), 2);
    EXPECT_EQ(plan.connection_count_max, 10240u);
    EXPECT_EQ(plan.read_segments, 128u);
    EXPECT_EQ(plan.value_files.uploads_max, ValueFilesOptions().uploads_max);
    EXPECT_EQ(plan.value_files.edits_max, ValueFilesOptions().edits_max);
    EXPECT_EQ(plan.value_files.chunks_max, ValueFilesOptions().chunks_max);
  }
}

TEST(DescriptorPlanTest, WhatIsOpenAlreadyIsCounted) {
  const uint64_t before = OpenDescriptorCount();
  const int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
  EXPECT_EQ(OpenDescriptorCount(), before + 1);
  close(file);
}

}  // namespace
}  // namespace pakv
