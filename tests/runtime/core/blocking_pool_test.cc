// BlockingPool: bounded, whole after any job, and gone without a trace (requirement K3).
#include "runtime/core/blocking_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <latch>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "runtime/core/space.h"
#include "runtime/task/nursery.h"
#include "tests/runtime/core/process_counts.h"
#include "tests/runtime/io/ring_harness.h"

namespace pakv {
namespace {

std::unique_ptr<RingHarness> MakeRings() { return MakeRingHarness(RingKind::kUring, 0, {}); }

TEST(BlockingPoolTest, CreationThatFailsLeavesNoThreadBehind) {
  // A sanitizer may run a thread of its own from the first start of one on.
  ASSERT_NE(BlockingPool::Create({.thread_count = 1}), nullptr);
  const size_t before = ThreadCount();
  for (size_t given = 0; given < 8; ++given) {
    size_t started = 0;
    const auto limited = [&](const std::string& name,
                             std::function<void()> function) -> std::unique_ptr<Thread> {
      if (started == given) return nullptr;
      ++started;
      return Thread::Start(name, std::move(function));
    };
    const auto pool = BlockingPool::Create({.thread_count = 8, .start_thread = limited});
    EXPECT_EQ(pool, nullptr);
    EXPECT_EQ(started, given);
    EXPECT_EQ(ThreadCount(), before);
  }
}

TEST(BlockingPoolTest, ItsDestructorStopsAllThreads) {
  ASSERT_NE(BlockingPool::Create({.thread_count = 1}), nullptr);
  const size_t before = ThreadCount();
  for (int round = 0; round < 20; ++round) {
    auto pool = BlockingPool::Create({.thread_count = 4});
    ASSERT_NE(pool, nullptr);
    EXPECT_EQ(pool->thread_count(), 4u);
    EXPECT_EQ(ThreadCount(), before + 4);
    pool.reset();
    EXPECT_EQ(ThreadCount(), before);
  }
}

// What a job says: how it went, and on which thread.
struct Answer {
  bool ok = false;
  pthread_t thread{};
};

Task<void> RunJobs(BlockingPool& pool, Core& core, int first, int last, int step, bool fail,
                   std::set<pthread_t>& threads, int& good, int& bad) {
  for (int i = first; i < last; i += step) {
    std::optional<Answer> answer =
        co_await pool.Run(core, [fail] { return Answer{.ok = !fail, .thread = pthread_self()}; });
    EXPECT_TRUE(answer.has_value());
    if (!answer.has_value()) co_return;
    threads.insert(answer->thread);
    ++(answer->ok ? good : bad);
  }
}

constexpr size_t kPoolThreads = 3;
constexpr int kTasks = 50;

TEST(BlockingPoolTest, ThousandFailingJobsThenTwentyThousandGoodOnesOnTheSameThreads) {
  auto rings = MakeRings();
  auto pool = BlockingPool::Create({.thread_count = kPoolThreads});
  ASSERT_NE(pool, nullptr);
  const auto test = [](Core& core, BlockingPool& jobs) -> Task<void> {
    std::set<pthread_t> failing_threads;
    std::set<pthread_t> good_threads;
    int good = 0;
    int bad = 0;
    Nursery nursery(core.ready());
    for (int i = 0; i < kTasks; ++i) {
      nursery.Spawn(RunJobs(jobs, core, i, 1000, kTasks, true, failing_threads, good, bad));
    }
    co_await nursery.Join();
    EXPECT_EQ(bad, 1000);
    EXPECT_EQ(good, 0);
    for (int i = 0; i < kTasks; ++i) {
      nursery.Spawn(RunJobs(jobs, core, i, 20000, kTasks, false, good_threads, good, bad));
    }
    co_await nursery.Join();
    EXPECT_EQ(bad, 1000);
    EXPECT_EQ(good, 20000);
    EXPECT_LE(failing_threads.size(), kPoolThreads);
    good_threads.merge(failing_threads);
    EXPECT_LE(good_threads.size(), kPoolThreads) << "other threads than those that failed";
  };
  ASSERT_TRUE(rings->Run(test(rings->core(0), *pool)));
  EXPECT_EQ(pool->thread_count(), kPoolThreads);
}

TEST(BlockingPoolTest, AFullQueueIsAnErrorAtOnce) {
  auto rings = MakeRings();
  auto pool = BlockingPool::Create({.thread_count = 2, .queue_count_max = 4});
  ASSERT_NE(pool, nullptr);
  const auto test = [](Core& core, BlockingPool& jobs) -> Task<void> {
    std::latch busy(2);
    std::latch go(1);
    int done = 0;
    Nursery nursery(core.ready());
    const auto block = [](BlockingPool& on, Core& here, std::latch& started, std::latch& until,
                          int& count) -> Task<void> {
      std::optional<int> result = co_await on.Run(here, [&started, &until] {
        started.count_down();
        until.wait();
        return 1;
      });
      EXPECT_EQ(result, 1);
      ++count;
    };
    const auto wait_in_queue = [](BlockingPool& on, Core& here, int& count) -> Task<void> {
      std::optional<int> result = co_await on.Run(here, [] { return 2; });
      EXPECT_EQ(result, 2);
      ++count;
    };
    for (int i = 0; i < 2; ++i) nursery.Spawn(block(jobs, core, busy, go, done));
    busy.wait();  // both threads are taken, the queue is empty
    for (int i = 0; i < 4; ++i) nursery.Spawn(wait_in_queue(jobs, core, done));
    bool called = false;
    std::optional<int> refused = co_await jobs.Run(core, [&called] {
      called = true;
      return 3;
    });
    EXPECT_FALSE(refused.has_value());
    EXPECT_FALSE(called);
    EXPECT_EQ(done, 0);
    go.count_down();
    co_await nursery.Join();
    EXPECT_EQ(done, 6);
    std::optional<int> again = co_await jobs.Run(core, [] { return 4; });
    EXPECT_EQ(again, 4) << "there is room again";
  };
  ASSERT_TRUE(rings->Run(test(rings->core(0), *pool)));
}

TEST(BlockingPoolTest, WithoutThreadsAJobRunsInPlace) {
  auto rings = MakeRings();
  auto pool = BlockingPool::Create({.thread_count = 0});
  ASSERT_NE(pool, nullptr);
  const auto test = [](Core& core, BlockingPool& jobs) -> Task<void> {
    std::optional<pthread_t> thread = co_await jobs.Run(core, [] { return pthread_self(); });
    EXPECT_TRUE(thread.has_value() && pthread_equal(*thread, pthread_self()));
  };
  ASSERT_TRUE(rings->Run(test(rings->core(0), *pool)));
}

TEST(BlockingPoolTest, AJobsResultMayBeMoveOnly) {
  auto rings = MakeRings();
  auto pool = BlockingPool::Create({.thread_count = 1});
  ASSERT_NE(pool, nullptr);
  const auto test = [](Core& core, BlockingPool& jobs) -> Task<void> {
    auto job = [owned = std::make_unique<int>(5)]() mutable { return std::move(owned); };
    std::optional<std::unique_ptr<int>> result = co_await jobs.Run(core, std::move(job));
    EXPECT_TRUE(result.has_value());
    EXPECT_EQ(result.has_value() ? **result : 0, 5);
  };
  ASSERT_TRUE(rings->Run(test(rings->core(0), *pool)));
}

// A file system that does not answer holds up who has asked, and nobody else.
TEST(BlockingPoolTest, ACoreGoesOnWhileAFileSystemIsAsked) {
  auto rings = MakeRingHarness(RingKind::kUring, 0, {.blocking_pool_threads = 1});
  const auto test = [](Core& core, std::string directory) -> Task<void> {
    std::latch go(1);
    bool asked = false;
    Nursery nursery(core.ready());
    const auto hang = [](BlockingPool& on, Core& here, std::latch& until) -> Task<void> {
      std::optional<int> result = co_await on.Run(here, [&until] {
        until.wait();
        return 1;
      });
      EXPECT_EQ(result, 1);
    };
    const auto ask = [](Core& here, std::string path, bool& done) -> Task<void> {
      SpaceStat space;
      IoResult known = co_await AskSpace(here, path, space);
      EXPECT_TRUE(known.ok()) << known.text();
      EXPECT_GT(space.free_bytes, 0u);
      EXPECT_LE(space.free_bytes, space.total_bytes);
      known = co_await AskSpace(here, path + "/none", space);
      EXPECT_EQ(known.error(), ENOENT);
      done = true;
    };
    nursery.Spawn(hang(*core.blocking_pool(), core, go));
    nursery.Spawn(ask(core, std::move(directory), asked));
    for (int i = 0; i < 100; ++i) co_await core.ready().Yield();
    EXPECT_FALSE(asked);
    go.count_down();
    co_await nursery.Join();
    EXPECT_TRUE(asked);
  };
  ASSERT_TRUE(rings->Run(test(rings->core(0), rings->directory())));
}

// Nor do many of them: who finds no place asks again.
TEST(BlockingPoolTest, ACoreGoesOnWhileAFileSystemIsAskedByTooMany) {
  auto rings =
      MakeRingHarness(RingKind::kUring, 0, {.blocking_pool_threads = 1, .blocking_pool_queue = 1});
  const auto test = [](Core& core, std::string directory) -> Task<void> {
    std::latch busy(1);
    std::latch go(1);
    int asked = 0;
    Nursery nursery(core.ready());
    const auto hang = [](BlockingPool& on, Core& here, std::latch& started,
                         std::latch& until) -> Task<void> {
      std::optional<int> result = co_await on.Run(here, [&started, &until] {
        started.count_down();
        until.wait();
        return 1;
      });
      EXPECT_EQ(result, 1);
    };
    const auto ask = [](Core& here, std::string path, int& count) -> Task<void> {
      SpaceStat space;
      const IoResult known = co_await AskSpace(here, path, space);
      EXPECT_TRUE(known.ok()) << known.text();
      EXPECT_GT(space.total_bytes, 0u);
      ++count;
    };
    nursery.Spawn(hang(*core.blocking_pool(), core, busy, go));
    busy.wait();
    for (int i = 0; i < 4; ++i) nursery.Spawn(ask(core, directory, asked));
    const bool slept = co_await core.timers().SleepUntil(core.now_ns() + 20 * kNsPerMs);
    EXPECT_TRUE(slept);
    EXPECT_EQ(asked, 0) << "one waits in the queue, three for a place in it";
    go.count_down();
    co_await nursery.Join();
    EXPECT_EQ(asked, 4);
  };
  ASSERT_TRUE(rings->Run(test(rings->core(0), rings->directory())));
}

}  // namespace
}  // namespace pakv
