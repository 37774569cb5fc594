// Stop tokens, Event and Semaphore: order, and waiters that leave early or are destroyed.
#include "runtime/task/sync.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <vector>

#include "runtime/base/prng.h"
#include "runtime/task/nursery.h"
#include "runtime/task/stop.h"

namespace pakv {
namespace {

void Drain(ReadyQueue& ready) {
  while (!ready.empty()) ready.RunReady();
}

struct CountingCallback : StopCallback {
  explicit CountingCallback(int& count_in)
      : StopCallback([](StopCallback& self) { ++static_cast<CountingCallback&>(self).count; }),
        count(count_in) {}
  int& count;
};

TEST(StopTokenTest, ADefaultTokenNeverStops) {
  const StopToken token;
  EXPECT_FALSE(token.stop_requested());
  int count = 0;
  CountingCallback callback(count);
  callback.Register(token);
  EXPECT_FALSE(callback.linked());
}

TEST(StopTokenTest, EachCallbackIsCalledOnce) {
  StopSource source;
  int count = 0;
  CountingCallback first(count);
  CountingCallback second(count);
  first.Register(source.token());
  second.Register(source.token());
  EXPECT_EQ(count, 0);
  source.RequestStop();
  EXPECT_EQ(count, 2);
  source.RequestStop();
  EXPECT_EQ(count, 2);
  EXPECT_TRUE(source.token().stop_requested());
}

TEST(StopTokenTest, ACallbackThatComesLateIsCalledAtOnce) {
  StopSource source;
  source.RequestStop();
  int count = 0;
  CountingCallback callback(count);
  callback.Register(source.token());
  EXPECT_EQ(count, 1);
}

TEST(StopTokenTest, ADestroyedCallbackIsNotCalled) {
  StopSource source;
  int count = 0;
  {
    CountingCallback callback(count);
    callback.Register(source.token());
  }
  source.RequestStop();
  EXPECT_EQ(count, 0);
}

TEST(StopTokenTest, ACallbackMayDestroyAnother) {
  struct Destroying : StopCallback {
    explicit Destroying(std::unique_ptr<CountingCallback> victim_in)
        : StopCallback([](StopCallback& self) { static_cast<Destroying&>(self).victim.reset(); }),
          victim(std::move(victim_in)) {}
    std::unique_ptr<CountingCallback> victim;
  };
  StopSource source;
  int count = 0;
  Destroying destroying(std::make_unique<CountingCallback>(count));
  destroying.Register(source.token());
  destroying.victim->Register(source.token());
  source.RequestStop();
  EXPECT_EQ(count, 0);
}

TEST(StopTokenTest, AStopTravelsThroughAChainOfSources) {
  StopSource top;
  StopSource middle(top.token());
  StopSource bottom(middle.token());
  top.RequestStop();
  EXPECT_TRUE(bottom.stop_requested());
}

Task<void> WaitAndNote(Event& event, std::vector<int>& out, int id) {
  co_await event.Wait();
  out.push_back(id);
}

TEST(EventTest, WakesAllInTheOrderTheyCame) {
  ReadyQueue ready;
  Event event(ready);
  std::vector<int> out;
  Nursery nursery(ready);
  for (int id = 0; id < 4; ++id) nursery.Spawn(WaitAndNote(event, out, id));
  event.Set();
  EXPECT_TRUE(out.empty()) << "waking never resumes in place";
  Drain(ready);
  EXPECT_EQ(out, (std::vector<int>{0, 1, 2, 3}));
  nursery.Spawn(WaitAndNote(event, out, 4));
  EXPECT_EQ(out.back(), 4) << "a set event is passed without waiting";
}

TEST(EventTest, AResetDoesNotTakeBackAWakeUp) {
  ReadyQueue ready;
  Event event(ready);
  std::vector<int> out;
  Nursery nursery(ready);
  nursery.Spawn(WaitAndNote(event, out, 1));
  event.Set();
  event.Reset();
  nursery.Spawn(WaitAndNote(event, out, 2));
  Drain(ready);
  EXPECT_EQ(out, (std::vector<int>{1}));
  event.Set();
  Drain(ready);
  EXPECT_EQ(out, (std::vector<int>{1, 2}));
}

TEST(EventTest, AWaiterThatIsDestroyedLeaves) {
  ReadyQueue ready;
  Event event(ready);
  std::vector<int> out;
  Nursery staying(ready);
  staying.Spawn(WaitAndNote(event, out, 1));
  {
    Nursery leaving(ready);
    leaving.Spawn(WaitAndNote(event, out, 2));
  }
  staying.Spawn(WaitAndNote(event, out, 3));
  event.Set();
  Drain(ready);
  EXPECT_EQ(out, (std::vector<int>{1, 3}));
}

// Acquires, notes 100 + id when it holds a permit and 200 + id when it was stopped, holds it until
// `release` is set, and gives it back.
Task<void> Hold(Semaphore& semaphore, Event& release, std::vector<int>& out, int id,
                StopToken token) {
  const bool granted = co_await semaphore.Acquire(token);
  out.push_back((granted ? 100 : 200) + id);
  if (!granted) co_return;
  co_await release.Wait();
  semaphore.Release();
}

TEST(SemaphoreTest, FirstComeFirstServed) {
  ReadyQueue ready;
  Semaphore semaphore(ready, 2);
  Event release(ready);
  std::vector<int> out;
  Nursery nursery(ready);
  for (int id = 0; id < 5; ++id) nursery.Spawn(Hold(semaphore, release, out, id, {}));
  EXPECT_EQ(out, (std::vector<int>{100, 101}));
  EXPECT_EQ(semaphore.count(), 0u);
  release.Set();
  Drain(ready);
  EXPECT_EQ(out, (std::vector<int>{100, 101, 102, 103, 104}));
  EXPECT_EQ(semaphore.count(), 2u);
}

TEST(SemaphoreTest, APermitGivenBackGoesToTheWaiterNotToALateComer) {
  ReadyQueue ready;
  Semaphore semaphore(ready, 1);
  Event release(ready);
  std::vector<int> out;
  Nursery nursery(ready);
  ASSERT_TRUE(semaphore.TryAcquire());
  nursery.Spawn(Hold(semaphore, release, out, 1, {}));
  semaphore.Release();
  EXPECT_FALSE(semaphore.TryAcquire()) << "it was taken from the one who waited";
  Drain(ready);
  EXPECT_EQ(out, (std::vector<int>{101}));
}

TEST(SemaphoreTest, AStopEndsTheWaitWithoutAPermit) {
  ReadyQueue ready;
  Semaphore semaphore(ready, 1);
  Event release(ready);
  StopSource stop;
  std::vector<int> out;
  Nursery nursery(ready);
  nursery.Spawn(Hold(semaphore, release, out, 0, {}));
  nursery.Spawn(Hold(semaphore, release, out, 1, stop.token()));
  nursery.Spawn(Hold(semaphore, release, out, 2, {}));
  stop.RequestStop();
  nursery.Spawn(Hold(semaphore, release, out, 3, stop.token()));
  Drain(ready);
  EXPECT_EQ(out, (std::vector<int>{100, 203, 201}));
  release.Set();
  Drain(ready);
  EXPECT_EQ(out.back(), 102);
  EXPECT_EQ(semaphore.count(), 1u);
}

TEST(SemaphoreTest, AStopAfterTheGrantChangesNothing) {
  ReadyQueue ready;
  Semaphore semaphore(ready, 1);
  Event release(ready);
  StopSource stop;
  std::vector<int> out;
  Nursery nursery(ready);
  ASSERT_TRUE(semaphore.TryAcquire());
  nursery.Spawn(Hold(semaphore, release, out, 1, stop.token()));
  semaphore.Release();
  stop.RequestStop();
  Drain(ready);
  EXPECT_EQ(out, (std::vector<int>{101}));
  release.Set();
  Drain(ready);
  EXPECT_EQ(semaphore.count(), 1u);
}

TEST(SemaphoreTest, AWaiterDestroyedWhileItWaitsTakesNoPermit) {
  ReadyQueue ready;
  Semaphore semaphore(ready, 1);
  Event release(ready);
  std::vector<int> out;
  Nursery nursery(ready);
  nursery.Spawn(Hold(semaphore, release, out, 0, {}));
  {
    Nursery leaving(ready);
    leaving.Spawn(Hold(semaphore, release, out, 1, {}));
  }
  nursery.Spawn(Hold(semaphore, release, out, 2, {}));
  release.Set();
  Drain(ready);
  EXPECT_EQ(out, (std::vector<int>{100, 102}));
  EXPECT_EQ(semaphore.count(), 1u);
}

TEST(SemaphoreTest, AWaiterDestroyedWhileGrantedPassesItsPermitOn) {
  ReadyQueue ready;
  Semaphore semaphore(ready, 1);
  Event release(ready);
  std::vector<int> out;
  Nursery nursery(ready);
  ASSERT_TRUE(semaphore.TryAcquire());
  {
    Nursery leaving(ready);
    leaving.Spawn(Hold(semaphore, release, out, 1, {}));
    nursery.Spawn(Hold(semaphore, release, out, 2, {}));
    semaphore.Release();  // granted to 1, which is destroyed before it runs
  }
  release.Set();
  Drain(ready);
  EXPECT_EQ(out, (std::vector<int>{102}));
  EXPECT_EQ(semaphore.count(), 1u);
}

// Random holders, stops and destructions; at the end every permit is back.
TEST(SemaphoreTest, NoPermitIsLostHoweverItsHoldersEnd) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    Prng prng(seed);
    ReadyQueue ready;
    const uint64_t permits = 1 + prng.Below(4);
    Semaphore semaphore(ready, permits);
    Event release(ready);
    std::vector<int> out;
    std::optional<StopSource> stop;
    stop.emplace();
    uint64_t taken = 0;
    {
      // Those of a destroyed nursery may hold a permit that nobody gives back: counted apart.
      std::vector<std::unique_ptr<Nursery>> nurseries;
      for (int step = 0; step < 200; ++step) {
        switch (prng.Below(6)) {
          case 0:
          case 1:
            nurseries.push_back(std::make_unique<Nursery>(ready));
            nurseries.back()->Spawn(Hold(semaphore, release, out, step,
                                         prng.Chance(1, 2) ? stop->token() : StopToken()));
            break;
          case 2:
            ready.RunReady();
            break;
          case 3:
            if (semaphore.TryAcquire()) ++taken;
            break;
          case 4:
            if (taken > 0) {
              --taken;
              semaphore.Release();
            }
            break;
          default:
            release.Set();
            Drain(ready);
            release.Reset();
            // Now nobody holds one but this loop; waiters come and go.
            if (!nurseries.empty()) nurseries.erase(nurseries.begin());
        }
      }
      if (prng.Chance(1, 2)) stop->RequestStop();
      while (taken > 0) {
        --taken;
        semaphore.Release();
      }
      release.Set();
      Drain(ready);
      for (const auto& nursery : nurseries) EXPECT_EQ(nursery->size(), 0u) << "seed " << seed;
    }
    EXPECT_EQ(semaphore.count(), permits) << "seed " << seed;
  }
}

}  // namespace
}  // namespace pakv
