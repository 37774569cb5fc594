// Nursery: who owns background tasks, and how they end.
#include "runtime/task/nursery.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace pakv {
namespace {

void Drain(ReadyQueue& ready) {
  while (!ready.empty()) ready.RunReady();
}

// Notes its number when it is destroyed.
class Noting {
 public:
  Noting(std::vector<int>& out, int id) : out_(&out), id_(id) {}
  Noting(Noting&& other) noexcept : out_(std::exchange(other.out_, nullptr)), id_(other.id_) {}
  Noting& operator=(Noting&&) = delete;
  ~Noting() {
    if (out_ != nullptr) out_->push_back(id_);
  }

 private:
  std::vector<int>* out_;
  int id_;
};

Task<void> WaitHolding(Event& event, Noting held) {
  co_await event.Wait();
  static_cast<void>(held);
}

Task<void> JoinAndNote(Nursery& nursery, std::vector<int>& out, int id) {
  co_await nursery.Join();
  out.push_back(id);
}

TEST(NurseryTest, SpawnRunsATaskUntilItSuspends) {
  ReadyQueue ready;
  Nursery nursery(ready);
  int steps = 0;
  nursery.Spawn([](ReadyQueue& queue, int& count) -> Task<void> {
    ++count;
    co_await queue.Yield();
    ++count;
  }(ready, steps));
  EXPECT_EQ(steps, 1);
  EXPECT_EQ(nursery.size(), 1u);
  Drain(ready);
  EXPECT_EQ(steps, 2);
  EXPECT_EQ(nursery.size(), 0u);
}

TEST(NurseryTest, JoinOfAnEmptyOneDoesNotWait) {
  ReadyQueue ready;
  Nursery nursery(ready);
  Nursery outer(ready);
  std::vector<int> out;
  outer.Spawn(JoinAndNote(nursery, out, 1));
  EXPECT_EQ(out, (std::vector<int>{1}));
}

TEST(NurseryTest, JoinEndsWhenTheLastTaskHasEndedAndIsGone) {
  ReadyQueue ready;
  Event go(ready);
  std::vector<int> out;
  Nursery nursery(ready);
  Nursery outer(ready);
  nursery.Spawn(WaitHolding(go, Noting(out, 1)));
  nursery.Spawn(WaitHolding(go, Noting(out, 2)));
  outer.Spawn(JoinAndNote(nursery, out, 100));
  Drain(ready);
  EXPECT_TRUE(out.empty());
  go.Set();
  Drain(ready);
  EXPECT_EQ(out, (std::vector<int>{1, 2, 100})) << "joined before all frames were freed";
  // Usable again after a join.
  go.Reset();
  nursery.Spawn(WaitHolding(go, Noting(out, 3)));
  outer.Spawn(JoinAndNote(nursery, out, 101));
  go.Set();
  Drain(ready);
  EXPECT_EQ(out, (std::vector<int>{1, 2, 100, 3, 101}));
}

TEST(NurseryTest, DestructionEndsTasksNewestFirst) {
  ReadyQueue ready;
  Event never(ready);
  std::vector<int> out;
  {
    Nursery nursery(ready);
    for (int id = 1; id <= 4; ++id) nursery.Spawn(WaitHolding(never, Noting(out, id)));
  }
  EXPECT_EQ(out, (std::vector<int>{4, 3, 2, 1}));
}

TEST(NurseryTest, DestructionSparesThoseThatHaveEnded) {
  ReadyQueue ready;
  Event first(ready);
  Event never(ready);
  std::vector<int> out;
  {
    Nursery nursery(ready);
    nursery.Spawn(WaitHolding(never, Noting(out, 1)));
    nursery.Spawn(WaitHolding(first, Noting(out, 2)));
    nursery.Spawn(WaitHolding(never, Noting(out, 3)));
    first.Set();
    Drain(ready);
    EXPECT_EQ(out, (std::vector<int>{2}));
  }
  EXPECT_EQ(out, (std::vector<int>{2, 3, 1}));
}

Task<void> UntilStopped(ReadyQueue& ready, StopToken token, std::vector<int>& out, int id) {
  while (!token.stop_requested()) co_await ready.Yield();
  out.push_back(id);
}

TEST(NurseryTest, AStopReachesItsTasksAndJoinAwaitsThem) {
  ReadyQueue ready;
  std::vector<int> out;
  Nursery nursery(ready);
  Nursery outer(ready);
  nursery.Spawn(UntilStopped(ready, nursery.token(), out, 1));
  nursery.Spawn(UntilStopped(ready, nursery.token(), out, 2));
  outer.Spawn(JoinAndNote(nursery, out, 100));
  for (int i = 0; i < 10; ++i) ready.RunReady();
  EXPECT_TRUE(out.empty());
  nursery.RequestStop();
  EXPECT_TRUE(nursery.stop_requested());
  EXPECT_TRUE(out.empty()) << "a stop is a request, not a resume in place";
  Drain(ready);
  EXPECT_EQ(out, (std::vector<int>{1, 2, 100}));
}

TEST(NurseryTest, AParentsStopReachesIt) {
  ReadyQueue ready;
  Nursery parent(ready);
  Nursery child(ready, parent.token());
  Nursery sibling(ready);
  parent.RequestStop();
  EXPECT_TRUE(child.stop_requested());
  EXPECT_FALSE(sibling.stop_requested());
  const Nursery late(ready, parent.token());
  EXPECT_TRUE(late.stop_requested());
}

TEST(NurseryTest, AChildsStopDoesNotReachItsParent) {
  ReadyQueue ready;
  Nursery parent(ready);
  {
    Nursery child(ready, parent.token());
    child.RequestStop();
  }
  EXPECT_FALSE(parent.stop_requested());
  parent.RequestStop();  // the child that is gone is not called
}

TEST(NurseryTest, TasksMaySpawnFurtherOnes) {
  ReadyQueue ready;
  Nursery nursery(ready);
  int count = 0;
  nursery.Spawn([](Nursery& all, ReadyQueue& queue, int& ran) -> Task<void> {
    for (int i = 0; i < 100; ++i) {
      all.Spawn([](ReadyQueue& inner, int& done) -> Task<void> {
        co_await inner.Yield();
        ++done;
      }(queue, ran));
    }
    co_return;
  }(nursery, ready, count));
  EXPECT_EQ(nursery.size(), 100u);
  Drain(ready);
  EXPECT_EQ(count, 100);
  EXPECT_EQ(nursery.size(), 0u);
}

}  // namespace
}  // namespace pakv
