// Timers and sleeping, against a clock that the test moves.
#include "runtime/io/timer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "runtime/base/prng.h"
#include "runtime/task/nursery.h"

namespace pakv {
namespace {

struct NotingTimer : Timer {
  NotingTimer(std::vector<int>& out_in, int id_in)
      : Timer([](Timer& self) {
          auto& timer = static_cast<NotingTimer&>(self);
          timer.out.push_back(timer.id);
        }),
        out(out_in),
        id(id_in) {}
  std::vector<int>& out;
  int id;
};

TEST(TimerTest, FiresInTheOrderOfDeadlinesThenOfArming) {
  TimerQueue timers;
  std::vector<int> out;
  NotingTimer late(out, 3);
  NotingTimer first(out, 1);
  NotingTimer second(out, 2);
  late.Arm(timers, 300);
  first.Arm(timers, 100);
  second.Arm(timers, 100);
  EXPECT_EQ(timers.next_deadline_ns(), 100u);
  EXPECT_EQ(timers.Fire(99), 0u);
  EXPECT_EQ(timers.Fire(100), 2u);
  EXPECT_EQ(out, (std::vector<int>{1, 2}));
  EXPECT_FALSE(first.armed());
  EXPECT_TRUE(late.armed());
  EXPECT_EQ(timers.Fire(1000), 1u);
  EXPECT_EQ(out, (std::vector<int>{1, 2, 3}));
  EXPECT_EQ(timers.next_deadline_ns(), kNever);
}

TEST(TimerTest, ArmingAgainMovesTheDeadline) {
  TimerQueue timers;
  std::vector<int> out;
  NotingTimer timer(out, 1);
  timer.Arm(timers, 100);
  timer.Arm(timers, 200);
  EXPECT_EQ(timers.Fire(150), 0u);
  EXPECT_EQ(timers.Fire(200), 1u);
  timer.Arm(timers, 300);
  timer.Arm(timers, kNever);
  EXPECT_FALSE(timer.armed());
  EXPECT_TRUE(timers.empty());
}

TEST(TimerTest, ADestroyedTimerIsGone) {
  TimerQueue timers;
  std::vector<int> out;
  {
    NotingTimer timer(out, 1);
    timer.Arm(timers, 100);
  }
  EXPECT_TRUE(timers.empty());
  EXPECT_EQ(timers.Fire(100), 0u);
}

TEST(TimerTest, TimersMayOutliveTheirQueue) {
  std::vector<int> out;
  NotingTimer timer(out, 1);
  {
    TimerQueue timers;
    timer.Arm(timers, 100);
  }
  EXPECT_FALSE(timer.armed());
}

TEST(TimerTest, ACallbackMayDisarmOrMoveOthersThatAreDue) {
  struct Meddling : Timer {
    Meddling(TimerQueue& queue_in, Timer& disarmed_in, Timer& moved_in)
        : Timer([](Timer& self) {
            auto& timer = static_cast<Meddling&>(self);
            timer.disarmed.Disarm();
            timer.moved.Arm(timer.queue, 500);
          }),
          queue(queue_in),
          disarmed(disarmed_in),
          moved(moved_in) {}
    TimerQueue& queue;
    Timer& disarmed;
    Timer& moved;
  };
  TimerQueue timers;
  std::vector<int> out;
  NotingTimer disarmed(out, 1);
  NotingTimer moved(out, 2);
  Meddling meddling(timers, disarmed, moved);
  meddling.Arm(timers, 100);
  disarmed.Arm(timers, 100);
  moved.Arm(timers, 100);
  EXPECT_EQ(timers.Fire(100), 1u);
  EXPECT_TRUE(out.empty());
  EXPECT_EQ(timers.Fire(500), 1u);
  EXPECT_EQ(out, (std::vector<int>{2}));
}

TEST(TimerTest, ACallbackThatArmsItselfInThePastFiresInALaterPass) {
  struct Again : Timer {
    explicit Again(TimerQueue& queue_in)
        : Timer([](Timer& self) {
            auto& timer = static_cast<Again&>(self);
            ++timer.count;
            timer.Arm(timer.queue, 1);
          }),
          queue(queue_in) {}
    TimerQueue& queue;
    int count = 0;
  };
  TimerQueue timers;
  Again again(timers);
  again.Arm(timers, 100);
  EXPECT_EQ(timers.Fire(100), 1u);
  EXPECT_EQ(timers.next_deadline_ns(), 101u);
  EXPECT_EQ(timers.Fire(101), 1u);
  EXPECT_EQ(again.count, 2);
}

// Against a sorted vector.
TEST(TimerTest, RandomOperationsMatchAModel) {
  Prng prng(7);
  TimerQueue timers;
  std::vector<int> out;
  std::vector<std::unique_ptr<NotingTimer>> all;
  for (int id = 0; id < 64; ++id) all.push_back(std::make_unique<NotingTimer>(out, id));
  struct Armed {
    uint64_t deadline_ns;
    uint64_t order;
    int id;
    bool operator<(const Armed& other) const {
      return std::pair(deadline_ns, order) < std::pair(other.deadline_ns, other.order);
    }
  };
  std::vector<Armed> model;
  uint64_t order = 0;
  uint64_t now_ns = 0;
  for (int step = 0; step < 20000; ++step) {
    const int id = static_cast<int>(prng.Below(all.size()));
    const auto forget = [&] { std::erase_if(model, [&](const Armed& a) { return a.id == id; }); };
    if (prng.Chance(3, 5)) {
      const uint64_t deadline_ns = now_ns + prng.Below(50);
      forget();
      all[static_cast<size_t>(id)]->Arm(timers, deadline_ns);
      model.push_back({deadline_ns, order++, id});
    } else if (prng.Chance(1, 2)) {
      forget();
      all[static_cast<size_t>(id)]->Disarm();
    } else {
      now_ns += prng.Below(20);
      std::sort(model.begin(), model.end());
      std::vector<int> expected;
      while (!model.empty() && model.front().deadline_ns <= now_ns) {
        expected.push_back(model.front().id);
        model.erase(model.begin());
      }
      out.clear();
      timers.Fire(now_ns);
      ASSERT_EQ(out, expected) << "step " << step;
    }
    uint64_t next_ns = kNever;
    for (const Armed& armed : model) next_ns = std::min(next_ns, armed.deadline_ns);
    ASSERT_EQ(timers.next_deadline_ns(), next_ns) << "step " << step;
  }
}

Task<void> SleepAndNote(TimerQueue& timers, uint64_t deadline_ns, StopToken token,
                        std::vector<int>& out, int id) {
  const bool slept = co_await timers.SleepUntil(deadline_ns, token);
  out.push_back(slept ? id : -id);
}

TEST(SleepTest, WakesAtItsDeadline) {
  ReadyQueue ready;
  TimerQueue timers;
  std::vector<int> out;
  Nursery nursery(ready);
  nursery.Spawn(SleepAndNote(timers, 200, {}, out, 2));
  nursery.Spawn(SleepAndNote(timers, 100, {}, out, 1));
  timers.Fire(100);
  EXPECT_EQ(out, (std::vector<int>{1}));
  timers.Fire(200);
  EXPECT_EQ(out, (std::vector<int>{1, 2}));
}

TEST(SleepTest, AStopEndsItInTheNextPass) {
  ReadyQueue ready;
  TimerQueue timers;
  StopSource stop;
  std::vector<int> out;
  Nursery nursery(ready);
  nursery.Spawn(SleepAndNote(timers, 1000, stop.token(), out, 1));
  stop.RequestStop();
  EXPECT_TRUE(out.empty()) << "a stop is a request, not a resume in place";
  EXPECT_EQ(timers.next_deadline_ns(), 0u) << "the loop would wait";
  timers.Fire(10);
  EXPECT_EQ(out, (std::vector<int>{-1}));
  nursery.Spawn(SleepAndNote(timers, 1000, stop.token(), out, 2));
  EXPECT_EQ(out, (std::vector<int>{-1, -2}));
}

TEST(SleepTest, ADestroyedSleeperIsNotWoken) {
  ReadyQueue ready;
  TimerQueue timers;
  StopSource stop;
  std::vector<int> out;
  {
    Nursery nursery(ready);
    nursery.Spawn(SleepAndNote(timers, 100, stop.token(), out, 1));
  }
  stop.RequestStop();
  timers.Fire(100);
  EXPECT_TRUE(out.empty());
}

TEST(SleepTest, SleepingForNoTimeLetsTheLoopGoOn) {
  ReadyQueue ready;
  TimerQueue timers;
  int rounds = 0;
  Nursery nursery(ready);
  nursery.Spawn([](TimerQueue& queue, int& count) -> Task<void> {
    while (true) {
      co_await queue.SleepUntil(0);
      ++count;
    }
  }(timers, rounds));
  EXPECT_EQ(timers.Fire(100), 1u);
  EXPECT_EQ(rounds, 1);
}

}  // namespace
}  // namespace pakv
