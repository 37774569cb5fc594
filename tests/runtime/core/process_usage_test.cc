// What the process uses, against what this test makes it use.
#include "runtime/core/process_usage.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstring>
#include <latch>
#include <optional>
#include <vector>

#include "runtime/base/clock.h"
#include "runtime/core/blocking_pool.h"
#include "runtime/task/nursery.h"
#include "tests/runtime/io/ring_harness.h"

namespace pakv {
namespace {

TEST(ProcessUsageTest, DescriptorsAreCounted) {
  const uint64_t before = OpenDescriptorCount();
  EXPECT_EQ(ReadProcessUsage().open_descriptors, before) << "its own are not among them";
  std::vector<int> files;
  for (int i = 0; i < 20; ++i) files.push_back(open("/dev/null", O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(ReadProcessUsage().open_descriptors, before + files.size());
  for (const int file : files) close(file);
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_EQ(ReadProcessUsage().descriptors_max, limit.rlim_cur);
}

TEST(ProcessUsageTest, MemoryThatIsTouchedIsResident) {
  const ProcessUsage before = ReadProcessUsage();
  EXPECT_GT(before.resident_bytes, 0u);
  std::vector<char> memory(64 << 20);
  std::memset(memory.data(), 1, memory.size());
  const ProcessUsage after = ReadProcessUsage();
  // The kernel's sums lag behind by some pages of each CPU.
  EXPECT_GE(after.resident_bytes, before.resident_bytes + (56 << 20));
  EXPECT_EQ(memory[memory.size() / 2], 1);
  EXPECT_GE(after.resident_bytes_max, after.resident_bytes);
  EXPECT_GE(after.virtual_bytes, after.resident_bytes);
}

TEST(ProcessUsageTest, TimeOfTheCpuGrowsAndTheStartStays) {
  const ProcessUsage before = ReadProcessUsage();
  ProcessUsage after = before;
  while (after.user_cpu_us + after.system_cpu_us <
         before.user_cpu_us + before.system_cpu_us + 1000) {
    after = ReadProcessUsage();
  }
  EXPECT_EQ(after.started_ms, before.started_ms);
  const uint64_t now_ms = SystemClock().WallUs() / 1000;
  EXPECT_LE(after.started_ms, now_ms + 2000) << "the machine's start is told in whole seconds";
  EXPECT_GT(after.started_ms, now_ms - 24 * 3600 * 1000);
}

Task<void> Ask(Core& core, std::optional<ProcessUsage>& usage) {
  usage = co_await AskProcessUsage(core);
}

// A question about a disk that has stalled.
Task<void> Stall(BlockingPool& pool, Core& core, std::latch& asked, std::latch& answers,
                 int& count) {
  std::optional<int> result = co_await pool.Run(core, [&asked, &answers] {
    asked.count_down();
    answers.wait();
    return 1;
  });
  count += result.value_or(0);
}

// All threads that ask about it, and the places behind them, are taken.
TEST(ProcessUsageTest, AStalledDiskLeavesTheAnswer) {
  auto rings = MakeRingHarness(
      RingKind::kUring, 0,
      {.blocking_pool_threads = 2, .blocking_pool_queue = 4, .monitor_pool_threads = 1});
  const auto test = [](Core& core) -> Task<void> {
    BlockingPool& pool = *core.blocking_pool();
    std::latch busy(2);
    std::latch answers(1);
    int answered = 0;
    Nursery nursery(core.ready());
    for (int i = 0; i < 2; ++i) nursery.Spawn(Stall(pool, core, busy, answers, answered));
    busy.wait();
    std::latch queued(4);
    for (int i = 0; i < 4; ++i) nursery.Spawn(Stall(pool, core, queued, answers, answered));
    std::optional<int> refused = co_await pool.Run(core, [] { return 1; });
    EXPECT_FALSE(refused.has_value()) << "there is room for more";
    for (int i = 0; i < 3; ++i) {
      std::optional<ProcessUsage> usage;
      co_await Ask(core, usage);
      EXPECT_TRUE(usage.has_value() && usage->open_descriptors >= 3u);
    }
    EXPECT_EQ(answered, 0);
    answers.count_down();
    co_await nursery.Join();
    EXPECT_EQ(answered, 6);
  };
  ASSERT_TRUE(rings->Run(test(rings->core(0))));
}

TEST(ProcessUsageTest, WithoutAPoolThereIsNone) {
  auto rings = MakeRingHarness(RingKind::kSimCalm, 1, {});
  std::optional<ProcessUsage> usage = ProcessUsage();
  ASSERT_TRUE(rings->Run(Ask(rings->core(0), usage)));
  EXPECT_FALSE(usage);
}

}  // namespace
}  // namespace pakv
