// Task: values, ownership, and that the stack is as deep as the chain of awaits, never as long as
// a loop, in every build (symmetric transfer would need tail calls).
#include "runtime/task/task.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/task/nursery.h"
#include "runtime/task/ready_queue.h"
#include "runtime/task/sync.h"

namespace pakv {
namespace {

// Runs what is ready until nothing is.
void Drain(ReadyQueue& ready) {
  while (!ready.empty()) ready.RunReady();
}

// Runs `task` to its end; whatever it waits for has to come through `ready`.
void RunToEnd(ReadyQueue& ready, Task<void> task) {
  Nursery nursery(ready);
  nursery.Spawn(std::move(task));
  Drain(ready);
  ASSERT_EQ(nursery.size(), 0u);
}

// Counts how many live; each copy and move is one more.
struct Counted {
  static inline int alive = 0;
  Counted() { ++alive; }
  Counted(const Counted&) { ++alive; }
  Counted(Counted&&) noexcept { ++alive; }
  Counted& operator=(const Counted&) = default;
  Counted& operator=(Counted&&) = default;
  ~Counted() { --alive; }
};

uintptr_t StackPointer() { return reinterpret_cast<uintptr_t>(__builtin_frame_address(0)); }

// How far apart the stack was at the calls of Note.
class StackRange {
 public:
  void Note() {
    const uintptr_t here = StackPointer();
    lowest_ = std::min(lowest_, here);
    highest_ = std::max(highest_, here);
  }
  uintptr_t bytes() const { return highest_ - lowest_; }

 private:
  uintptr_t lowest_ = UINTPTR_MAX;
  uintptr_t highest_ = 0;
};

Task<int> Number(int value) { co_return value; }

Task<std::unique_ptr<int>> MoveOnly(int value) { co_return std::make_unique<int>(value); }

Task<std::string> Text(std::string text) { co_return text; }

Task<std::pair<int, std::string>> Braced() { co_return {7, "seven"}; }

TEST(TaskTest, ReturnsWhatItsCoroutineReturns) {
  ReadyQueue ready;
  bool ended = false;
  RunToEnd(ready, [](bool& done) -> Task<void> {
    const int number = co_await Number(41);
    EXPECT_EQ(number, 41);
    const std::unique_ptr<int> owned = co_await MoveOnly(42);
    EXPECT_EQ(*owned, 42);
    const std::string text = co_await Text("a text that is too long for the string itself");
    EXPECT_EQ(text, "a text that is too long for the string itself");
    const std::pair<int, std::string> pair = co_await Braced();
    EXPECT_EQ(pair.second, "seven");
    done = true;
  }(ended));
  EXPECT_TRUE(ended);
}

Task<void> SetFlag(bool& flag) {
  flag = true;
  co_return;
}

TEST(TaskTest, DoesNothingBeforeItIsAwaited) {
  bool ran = false;
  {
    const Task<void> task = SetFlag(ran);
    EXPECT_TRUE(task.valid());
  }
  EXPECT_FALSE(ran);
}

TEST(TaskTest, MovingKeepsOneOwner) {
  bool first_ran = false;
  bool second_ran = false;
  Task<void> first = SetFlag(first_ran);
  Task<void> second = SetFlag(second_ran);
  Task<void> moved = std::move(first);
  EXPECT_FALSE(first.valid());
  EXPECT_TRUE(moved.valid());
  moved = std::move(second);  // the task that it held goes
  ReadyQueue ready;
  RunToEnd(ready, std::move(moved));
  EXPECT_FALSE(first_ran);
  EXPECT_TRUE(second_ran);
}

TEST(TaskTest, AMovedInOwnerLivesAsLongAsTheTask) {
  ReadyQueue ready;
  Event go(ready);
  {
    Nursery nursery(ready);
    nursery.Spawn([](Event& event, Counted owned) -> Task<void> {
      co_await event.Wait();
      static_cast<void>(owned);
    }(go, Counted()));
    EXPECT_EQ(Counted::alive, 1);
    go.Set();
    Drain(ready);
    EXPECT_EQ(Counted::alive, 0) << "the frame of an ended task was kept";
  }
}

Task<int> AfterYield(ReadyQueue& ready, int value) {
  co_await ready.Yield();
  co_return value;
}

TEST(TaskTest, AChildThatSuspendsResumesItsParent) {
  ReadyQueue ready;
  int sum = 0;
  RunToEnd(ready, [](ReadyQueue& queue, int& total) -> Task<void> {
    total += co_await AfterYield(queue, 1);
    total += co_await Number(10);
    total += co_await AfterYield(queue, 100);
  }(ready, sum));
  EXPECT_EQ(sum, 111);
}

constexpr int kLoop = 100000;

TEST(TaskTest, ALoopOverChildrenThatEndAtOnceNeedsNoStack) {
  ReadyQueue ready;
  StackRange stack;
  uint64_t sum = 0;
  RunToEnd(ready, [](StackRange& range, uint64_t& total) -> Task<void> {
    for (int i = 0; i < kLoop; ++i) {
      total += static_cast<uint64_t>(co_await Number(i));
      range.Note();
    }
  }(stack, sum));
  EXPECT_EQ(sum, uint64_t{kLoop} * (kLoop - 1) / 2);
  EXPECT_LE(stack.bytes(), 4096u);
}

TEST(TaskTest, ALoopOverChildrenThatSuspendNeedsNoStack) {
  ReadyQueue ready;
  StackRange stack;
  uint64_t sum = 0;
  RunToEnd(ready, [](ReadyQueue& queue, StackRange& range, uint64_t& total) -> Task<void> {
    for (int i = 0; i < kLoop; ++i) {
      total += static_cast<uint64_t>(co_await AfterYield(queue, i));
      range.Note();
    }
  }(ready, stack, sum));
  EXPECT_EQ(sum, uint64_t{kLoop} * (kLoop - 1) / 2);
  EXPECT_LE(stack.bytes(), 4096u);
}

TEST(TaskTest, ALoopThatMixesBothNeedsNoStack) {
  ReadyQueue ready;
  StackRange stack;
  RunToEnd(ready, [](ReadyQueue& queue, StackRange& range) -> Task<void> {
    for (int i = 0; i < kLoop; ++i) {
      if (i % 3 == 0) {
        co_await AfterYield(queue, i);
      } else {
        co_await Number(i);
      }
      range.Note();
    }
  }(ready, stack));
  EXPECT_LE(stack.bytes(), 4096u);
}

Task<int> Chain(ReadyQueue& ready, int depth) {
  if (depth == 0) co_return co_await AfterYield(ready, 0);
  const int below = co_await Chain(ready, depth - 1);
  co_return below + 1;
}

TEST(TaskTest, ADeepChainOfAwaitsReturnsThroughAllOfThem) {
  ReadyQueue ready;
  int depth = 0;
  RunToEnd(ready, [](ReadyQueue& queue, int& result) -> Task<void> {
    result = co_await Chain(queue, 1000);
  }(ready, depth));
  EXPECT_EQ(depth, 1000);
}

Task<void> HoldAndWait(Event& event, int depth) {
  const Counted local;
  if (depth > 0) {
    co_await HoldAndWait(event, depth - 1);
  } else {
    co_await event.Wait();
  }
  ADD_FAILURE() << "it was destroyed, not resumed";
}

TEST(TaskTest, DestroyingARootDestroysAllThatItAwaits) {
  ReadyQueue ready;
  Event never(ready);
  {
    Nursery nursery(ready);
    nursery.Spawn(HoldAndWait(never, 9));
    EXPECT_EQ(Counted::alive, 10);
  }
  EXPECT_EQ(Counted::alive, 0);
  never.Set();
  EXPECT_TRUE(ready.empty()) << "a destroyed task was still waiting";
}

TEST(TaskTest, ATaskDestroyedWhileItIsReadyIsNotResumed) {
  ReadyQueue ready;
  Event event(ready);
  {
    Nursery nursery(ready);
    nursery.Spawn(HoldAndWait(event, 2));
    event.Set();
    EXPECT_FALSE(ready.empty());
  }
  EXPECT_TRUE(ready.empty());
  EXPECT_EQ(Counted::alive, 0);
}

TEST(TaskDeathTest, ATaskIsAwaitedOnce) {
  ReadyQueue ready;
  EXPECT_DEATH(RunToEnd(ready,
                        []() -> Task<void> {
                          Task<int> task = Number(1);
                          co_await std::move(task);
                          co_await std::move(task);
                        }()),
               "awaited twice");
}

TEST(TaskDeathTest, AnEmptyTaskIsNotAwaited) {
  ReadyQueue ready;
  EXPECT_DEATH(RunToEnd(ready, Task<void>()), "empty or moved-from");
}

TEST(ReadyQueueTest, RunsInOrderAndLeavesWhatComesMeanwhileForTheNextCall) {
  ReadyQueue ready;
  Nursery nursery(ready);
  std::vector<int> order;
  for (int i = 0; i < 3; ++i) {
    nursery.Spawn([](ReadyQueue& queue, std::vector<int>& out, int id) -> Task<void> {
      co_await queue.Yield();
      out.push_back(id);
      co_await queue.Yield();
      out.push_back(id + 10);
    }(ready, order, i));
  }
  EXPECT_EQ(ready.RunReady(), 3u);
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2}));
  EXPECT_EQ(ready.RunReady(), 3u);
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 10, 11, 12}));
  EXPECT_EQ(ready.RunReady(), 0u);
}

TEST(ReadyQueueDeathTest, NothingIsQueuedTwice) {
  ReadyQueue ready;
  Runnable runnable([](Runnable&) {});
  ready.MakeReady(runnable);
  EXPECT_DEATH(ready.MakeReady(runnable), "two lists");
}

}  // namespace
}  // namespace pakv
