// Cores with real threads over the kernel's rings: all-to-all messages, the wake-up that must not
// be lost, posts from foreign threads, starts that fail, and 100 starts and stops that leave
// nothing behind (requirement K7).
#include "runtime/core/cores.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "runtime/base/prng.h"
#include "runtime/core/blocking_pool.h"
#include "runtime/core/next_pass.h"
#include "runtime/io/file.h"
#include "runtime/io/uring_ring.h"
#include "runtime/task/frame_allocator.h"
#include "tests/runtime/core/process_counts.h"
#include "tests/runtime/io/ring_harness.h"

namespace pakv {
namespace {

std::unique_ptr<RingHarness> MakeRings(uint32_t core_count) {
  return MakeRingHarness(RingKind::kUring, 0, {.core_count = core_count});
}

// ---- All to all. ------------------------------------------------------------------------------

constexpr uint64_t kMessagesPerPair = 5000;
constexpr uint64_t kInFlightPerPair = 64;

// Travels from its source to its target and back until its pair has sent enough; each core checks
// that what comes from one source comes in order.
struct Traveller : Message {
  uint32_t source = 0;
  uint32_t target = 0;
  uint64_t number = 0;
  class AllToAll* all = nullptr;
};

// One core's side: touched by it alone.
struct Traffic {
  std::vector<uint64_t> sent;      // by target
  std::vector<uint64_t> received;  // by source
  uint64_t answered = 0;
  uint64_t out_of_order = 0;
  std::deque<Traveller> travellers;
};

class AllToAll {
 public:
  explicit AllToAll(Cores& cores) : cores_(cores), traffic_(cores.count()) {
    for (uint32_t source = 0; source < cores.count(); ++source) {
      Traffic& own = traffic_[source];
      own.sent.resize(cores.count());
      own.received.resize(cores.count());
    }
  }
  // On each core.
  void Begin(Core& here) {
    Traffic& own = traffic_[here.id()];
    for (uint32_t target = 0; target < here.count(); ++target) {
      for (uint64_t i = 0; i < kInFlightPerPair; ++i) {
        Traveller& traveller = own.travellers.emplace_back();
        traveller.source = here.id();
        traveller.target = target;
        traveller.all = this;
        Send(here, traveller);
      }
    }
  }
  const Traffic& traffic(uint32_t core) const { return traffic_[core]; }

 private:
  void Send(Core& here, Traveller& traveller) {
    Traffic& own = traffic_[here.id()];
    if (own.sent[traveller.target] == kMessagesPerPair) return;
    traveller.number = own.sent[traveller.target]++;
    traveller.set_function([](Message& self, Core& there) {
      auto& arrived = static_cast<Traveller&>(self);
      arrived.all->Arrived(arrived, there);
    });
    here.Send(traveller.target, traveller);
  }
  void Arrived(Traveller& traveller, Core& there) {
    Traffic& own = traffic_[there.id()];
    if (own.received[traveller.source]++ != traveller.number) ++own.out_of_order;
    traveller.set_function([](Message& self, Core& back) {
      auto& answered = static_cast<Traveller&>(self);
      answered.all->Answered(answered, back);
    });
    there.Send(traveller.source, traveller);
  }
  void Answered(Traveller& traveller, Core& here) {
    Traffic& own = traffic_[here.id()];
    if (++own.answered == kMessagesPerPair * here.count() &&
        ++complete_ == static_cast<uint32_t>(traffic_.size())) {
      cores_.RequestLeave();
      return;
    }
    Send(here, traveller);
  }

  Cores& cores_;
  std::vector<Traffic> traffic_;
  std::atomic<uint32_t> complete_{0};
};

class AllToAllTest : public testing::TestWithParam<uint32_t> {};
INSTANTIATE_TEST_SUITE_P(Cores, AllToAllTest, testing::Values(1, 2, 3, 4));

TEST_P(AllToAllTest, EveryMessageArrivesOnceAndInOrder) {
  auto rings = MakeRings(GetParam());
  Cores& cores = rings->cores();
  AllToAll all(cores);
  struct BeginMessage : Message {
    explicit BeginMessage(AllToAll& all_in)
        : Message(
              [](Message& self, Core& here) { static_cast<BeginMessage&>(self).all.Begin(here); }),
          all(all_in) {}
    AllToAll& all;
  };
  std::deque<BeginMessage> begins;
  for (uint32_t id = 0; id < cores.count(); ++id) {
    cores.core(id).Post(begins.emplace_back(all));
  }
  ASSERT_TRUE(cores.Start());
  cores.Join();
  for (uint32_t id = 0; id < cores.count(); ++id) {
    EXPECT_EQ(all.traffic(id).out_of_order, 0u);
    for (uint32_t source = 0; source < cores.count(); ++source) {
      EXPECT_EQ(all.traffic(id).received[source], kMessagesPerPair);
    }
  }
}

// ---- The lost wake-up. ------------------------------------------------------------------------

// Two cores that have nothing to do but answer each other: each round trip meets both of them on
// their way to sleep, at a moment that a little work beforehand moves about. A lost wake-up is a
// call that takes until the guard's timer, the only other thing that could wake anybody.
TEST(LostWakeUpTest, ACoreOnItsWayToSleepSeesTheMessage) {
  constexpr int kRoundTrips = 20000;
  auto rings = MakeRings(2);
  const auto test = [](Core& core, int round_trips) -> Task<void> {
    Prng prng(1);
    uint64_t sum = 0;
    for (int i = 0; i < round_trips; ++i) {
      volatile uint64_t spin = prng.Below(300);
      while (spin > 0) spin = spin - 1;
      const uint64_t before_ns = core.now_ns();
      const uint64_t work = prng.Below(300);
      sum += co_await core.CallOn(1, [work](Core&) {
        volatile uint64_t left = work;
        while (left > 0) left = left - 1;
        return uint64_t{1};
      });
      if (core.now_ns() - before_ns > 20 * kNsPerSecond) {
        ADD_FAILURE() << "round trip " << i << " was woken by the guard alone";
        co_return;
      }
    }
    EXPECT_EQ(sum, static_cast<uint64_t>(round_trips));
    EXPECT_GT(core.counters().wakes_sent, 0u) << "nobody ever slept: it tested nothing";
  };
  // Each core's guard: woken by it, a core looks at its mail.
  struct Guard : Timer {
    Guard(Core& core, uint64_t deadline_ns) : Timer([](Timer&) {}) {
      Arm(core.timers(), deadline_ns);
    }
  };
  const uint64_t deadline_ns = SystemClock().MonotonicNs() + 120 * kNsPerSecond;
  Guard guard0(rings->core(0), deadline_ns);
  Guard guard1(rings->core(1), deadline_ns);
  ASSERT_TRUE(rings->Run(test(rings->core(0), kRoundTrips)));
}

TEST(LostWakeUpTest, ACoreOnItsWayToSleepSeesAPost) {
  constexpr int kPosts = 20000;
  auto rings = MakeRings(1);
  Core& core = rings->core(0);
  std::atomic<int> arrived{0};
  struct Counting : Message {
    explicit Counting(std::atomic<int>& count_in)
        : Message([](Message& self, Core&) {
            auto& counting = static_cast<Counting&>(self);
            counting.count.fetch_add(1);
            counting.count.notify_one();
          }),
          count(count_in) {}
    std::atomic<int>& count;
  } message(arrived);
  ASSERT_TRUE(rings->cores().Start());
  for (int i = 0; i < kPosts; ++i) {
    core.Post(message);
    arrived.wait(i);  // a lost wake-up hangs here, and meson's timeout names this test
  }
  rings->cores().RequestLeave();
  rings->cores().Join();
  EXPECT_EQ(arrived.load(), kPosts);
}

// ---- Foreign threads. -------------------------------------------------------------------------

TEST(CoresTest, PostsOfManyThreadsArriveOnceAndInTheirOrder) {
  constexpr int kThreads = 3;
  constexpr int kEach = 10000;
  auto rings = MakeRings(1);
  struct Posted : Message {
    Posted(int thread_in, int number_in, std::vector<int>& next_in, int& wrong_in)
        : Message([](Message& self, Core&) {
            auto& posted = static_cast<Posted&>(self);
            int& expected = posted.next[static_cast<size_t>(posted.thread)];
            if (posted.number != expected) ++posted.wrong;
            ++expected;
          }),
          thread(thread_in),
          number(number_in),
          next(next_in),
          wrong(wrong_in) {}
    int thread;
    int number;
    std::vector<int>& next;
    int& wrong;
  };
  std::vector<int> next(kThreads);
  int wrong = 0;
  std::vector<std::deque<Posted>> messages(kThreads);
  ASSERT_TRUE(rings->cores().Start());
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      auto& own = messages[static_cast<size_t>(thread)];
      for (int i = 0; i < kEach; ++i) {
        rings->core(0).Post(own.emplace_back(thread, i, next, wrong));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  rings->cores().RequestLeave();  // behind all of them
  rings->cores().Join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(next, std::vector<int>(kThreads, kEach));
}

TEST(CoresTest, LeavingMayBeAskedForByAllAtOnce) {
  for (int round = 0; round < 50; ++round) {
    auto rings = MakeRings(2);
    ASSERT_TRUE(rings->cores().Start());
    std::thread other([&] { rings->cores().RequestLeave(); });
    rings->cores().RequestLeave();
    other.join();
    rings->cores().Join();
  }
}

TEST(CoresTest, AStartThatFailsRunsNothingAndLeavesNoThread) {
  {
    ASSERT_NE(BlockingPool::Create({.thread_count = 1}), nullptr);
  }
  const size_t before = ThreadCount();
  for (uint32_t given = 0; given < 3; ++given) {
    auto rings = MakeRings(3);
    bool ran = false;
    struct Ran : Message {
      explicit Ran(bool& flag_in)
          : Message([](Message& self, Core&) { static_cast<Ran&>(self).flag = true; }),
            flag(flag_in) {}
      bool& flag;
    } message(ran);
    rings->core(0).Post(message);
    uint32_t started = 0;
    const auto limited = [&](const std::string& name,
                             std::function<void()> function) -> std::unique_ptr<Thread> {
      if (started == given) return nullptr;
      ++started;
      return Thread::Start(name, std::move(function));
    };
    EXPECT_FALSE(rings->cores().Start(limited));
    EXPECT_EQ(started, given);
    EXPECT_FALSE(ran);
    EXPECT_EQ(ThreadCount(), before);
    // The system has recovered: it starts after all.
    ASSERT_TRUE(rings->cores().Start());
    rings->cores().RequestLeave();
    rings->cores().Join();
    EXPECT_TRUE(ran);
  }
}

// ---- The loop. --------------------------------------------------------------------------------

TEST(CoreTest, WhatAPassEndAsksForAgainRunsOncePerPass) {
  auto rings = MakeRings(1);
  struct Again : Runnable {
    explicit Again(Core& core_in)
        : Runnable([](Runnable& self) {
            auto& again = static_cast<Again&>(self);
            again.passes.push_back(again.core.counters().passes);
            if (again.passes.size() < 5) again.core.AtPassEnd(again);
          }),
          core(core_in) {}
    Core& core;
    std::vector<uint64_t> passes;
  };
  const auto test = [](Core& core) -> Task<void> {
    Again again(core);
    core.AtPassEnd(again);
    core.AtPassEnd(again);  // once
    const uint64_t begin_ns = core.now_ns();
    while (again.passes.size() < 5 && core.now_ns() - begin_ns < 10 * kNsPerSecond) {
      co_await core.timers().SleepUntil(core.now_ns() + kNsPerMs);
    }
    EXPECT_EQ(again.passes.size(), 5u);
    for (size_t i = 1; i < again.passes.size(); ++i) {
      EXPECT_EQ(again.passes[i], again.passes[i - 1] + 1) << "it ran twice, or the loop slept";
    }
  };
  ASSERT_TRUE(rings->Run(test(rings->core(0))));
}

TEST(CoreTest, ALongPassIsReportedAsAStall) {
  auto rings = MakeRings(1);
  const auto test = [](Core& core) -> Task<void> {
    core.CountStalls();
    co_await NextPass(core);
    const uint64_t begin_ns = SystemClock().MonotonicNs();
    while (SystemClock().MonotonicNs() - begin_ns < 2 * StallDetector::kStallNs) {
    }
    co_await core.timers().SleepUntil(core.now_ns() + kNsPerMs);
    EXPECT_GE(core.stalls().count(), 1u);
    EXPECT_GE(core.stalls().duration_ns_max(), 2 * StallDetector::kStallNs);
  };
  testing::internal::CaptureStderr();
  ASSERT_TRUE(rings->Run(test(rings->core(0))));
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_NE(log.find("core 0 served nobody for "), std::string::npos) << log;
}

TEST(StallDetectorTest, NothingCountsBeforeThereIsSomebodyToServe) {
  StallDetector stalls;
  testing::internal::CaptureStderr();
  stalls.PassEnded(0, 1, 1 + 2 * StallDetector::kStallNs);
  // In the middle of a pass: the rest of it is still part of the start.
  const uint64_t pass_ns = kNsPerSecond;
  stalls.Begin(pass_ns);
  stalls.PassEnded(0, pass_ns, pass_ns + StallDetector::kStallNs);
  EXPECT_EQ(stalls.count(), 0u);
  EXPECT_EQ(stalls.duration_ns_max(), 0u);
  stalls.PassEnded(0, pass_ns + 1, pass_ns + 1 + StallDetector::kStallNs);
  EXPECT_EQ(stalls.count(), 1u);
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 1) << log;
}

TEST(StallDetectorTest, CountsLongPassesAndReportsAtMostOncePerMinute) {
  StallDetector stalls;
  stalls.Begin(0);
  testing::internal::CaptureStderr();
  stalls.PassEnded(3, 0, StallDetector::kStallNs - 1);
  EXPECT_EQ(stalls.count(), 0u);
  for (uint64_t i = 1; i <= 10; ++i) {
    const uint64_t begin_ns = i * 20 * kNsPerMs;
    stalls.PassEnded(3, begin_ns, begin_ns + StallDetector::kStallNs + i * kNsPerMs);
  }
  const uint64_t later_ns = 61 * kNsPerSecond;
  stalls.PassEnded(3, later_ns, later_ns + StallDetector::kStallNs);
  EXPECT_EQ(stalls.count(), 11u);
  EXPECT_EQ(stalls.duration_ns_max(), StallDetector::kStallNs + 10 * kNsPerMs);
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 2) << log;
  EXPECT_NE(log.find("core 3 served nobody for 6 ms: "), std::string::npos) << log;
  EXPECT_NE(log.find("core 3 served nobody for 15 ms (the longest of 10 times since the last such "
                     "line): "),
            std::string::npos)
      << log;
}

// ---- Start and stop. --------------------------------------------------------------------------

size_t MappingCount() {
  std::ifstream maps("/proc/self/maps");
  return static_cast<size_t>(
      std::count(std::istreambuf_iterator<char>(maps), std::istreambuf_iterator<char>(), '\n'));
}

Task<void> UseEverything(RingHarness& rings, BlockingPool& pool) {
  Core& core = rings.core(0);
  uint64_t sum = 0;
  for (uint64_t i = 0; i < 10; ++i) {
    sum += co_await core.CallOn(1, [i](Core&) { return i; });
    std::optional<uint64_t> job = co_await pool.Run(core, [i] { return i; });
    sum += job.value_or(0);
  }
  EXPECT_EQ(sum, 90u);
  const std::string path = rings.directory() + "/file";
  IoResult opened = co_await File::Open(core.io(), path.c_str(), O_RDWR | O_CREAT);
  EXPECT_TRUE(opened.ok()) << opened.text();
  File file(core.io(), Handle{opened.value()});
  AlignedBuffer buffer = core.buffers().Take(kDirectAlignment);
  IoResult written = co_await file.Write(buffer.data(), kDirectAlignment, 0, true, buffer.index());
  EXPECT_EQ(written.value(), static_cast<int32_t>(kDirectAlignment));
  IoResult closed = co_await file.Close();
  EXPECT_TRUE(closed.ok());
  co_await core.timers().SleepUntil(core.now_ns() + 10 * kNsPerUs);
}

struct Kept {
  size_t mappings;
  size_t bytes;
};

Kept KeptNow() { return {MappingCount(), mallinfo2().uordblks}; }

TEST(CoresTest, HundredStartsAndStopsLeaveNothingBehind) {
  // The first rounds fill what the process keeps: the allocator's arenas, frames of this thread.
  constexpr size_t kWarmUp = 5;
  constexpr size_t kStretches = 4;
  constexpr size_t kRounds = 25;
  const auto run = [](size_t rounds) {
    for (size_t round = 0; round < rounds; ++round) {
      auto rings = MakeRings(2);
      auto pool = BlockingPool::Create({.thread_count = 1});
      ASSERT_NE(pool, nullptr);
      ASSERT_TRUE(rings->Run(UseEverything(*rings, *pool)));
    }
  };
  run(kWarmUp);
  const size_t descriptors = DescriptorCount();
  const size_t threads = ThreadCount();
  // What a round leaves behind grows in every stretch. What the process gets once, whenever that
  // is (the logger's state at its first line, blocks that a thread keeps for its next allocation,
  // an arena), grows in one of them: so the stretch that grows least is judged.
  size_t mappings_grown = SIZE_MAX;
  size_t bytes_grown = SIZE_MAX;
  for (size_t stretch = 0; stretch < kStretches; ++stretch) {
    const Kept before = KeptNow();
    run(kRounds);
    const Kept after = KeptNow();
    mappings_grown =
        std::min(mappings_grown, after.mappings - std::min(before.mappings, after.mappings));
    bytes_grown = std::min(bytes_grown, after.bytes - std::min(before.bytes, after.bytes));
  }
  EXPECT_EQ(DescriptorCount(), descriptors);
  EXPECT_LE(ThreadCount(), threads);
  // Memory that is mapped: rings, buffers, stacks.
  EXPECT_LT(mappings_grown, kRounds);
  // Memory that is allocated: less than the smallest block per round (0 under a sanitizer, whose
  // own leak check is exact).
  EXPECT_LT(bytes_grown, kRounds * 16);
}

}  // namespace
}  // namespace pakv
