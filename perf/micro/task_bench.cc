// What coroutines cost: awaits, suspensions, child tasks, frames, wake-ups, timers. Figures are
// per item. Nothing here enters the kernel.
#include <benchmark/benchmark.h>

#include <coroutine>
#include <cstdint>
#include <memory>
#include <new>
#include <vector>

#include "runtime/base/histogram.h"
#include "runtime/base/prng.h"
#include "runtime/io/timer.h"
#include "runtime/task/frame_allocator.h"
#include "runtime/task/nursery.h"
#include "runtime/task/ready_queue.h"
#include "runtime/task/sync.h"
#include "runtime/task/task.h"

namespace pakv {
namespace {

constexpr int kBatch = 1000;

void Drain(ReadyQueue& ready) {
  while (!ready.empty()) ready.RunReady();
}

// Runs `task(ready, ...)` to its end, once per iteration.
template <typename MakeTask>
void RunTasks(benchmark::State& state, MakeTask make_task) {
  ReadyQueue ready;
  for (auto _ : state) {
    Nursery nursery(ready);
    nursery.Spawn(make_task(ready));
    Drain(ready);
  }
  state.SetItemsProcessed(state.iterations() * kBatch);
}

struct Ready {
  explicit Ready(uint64_t value_in) : value(value_in) {}
  bool await_ready() const { return true; }
  void await_suspend(std::coroutine_handle<>) const {}
  uint64_t await_resume() const { return value; }
  uint64_t value;
};

Task<void> AwaitReady(ReadyQueue&) {
  uint64_t sum = 0;
  for (uint64_t i = 0; i < kBatch; ++i) {
    sum += co_await Ready(i);
    benchmark::DoNotOptimize(sum);
  }
}
void BM_ReadyAwait(benchmark::State& state) { RunTasks(state, AwaitReady); }
BENCHMARK(BM_ReadyAwait);

Task<void> YieldBatch(ReadyQueue& ready) {
  for (int i = 0; i < kBatch; ++i) co_await ready.Yield();
}
void BM_SuspendAndResume(benchmark::State& state) { RunTasks(state, YieldBatch); }
BENCHMARK(BM_SuspendAndResume);

// Two tasks that take turns: what it costs to go from one to the other.
Task<void> YieldHalf(ReadyQueue& ready) {
  for (int i = 0; i < kBatch / 2; ++i) co_await ready.Yield();
}
void BM_TaskSwitch(benchmark::State& state) {
  ReadyQueue ready;
  for (auto _ : state) {
    Nursery nursery(ready);
    nursery.Spawn(YieldHalf(ready));
    nursery.Spawn(YieldHalf(ready));
    Drain(ready);
  }
  state.SetItemsProcessed(state.iterations() * kBatch);
}
BENCHMARK(BM_TaskSwitch);

__attribute__((noinline)) Task<uint64_t> Child(uint64_t value) { co_return value + 1; }
Task<void> AwaitChildren(ReadyQueue&) {
  uint64_t value = 0;
  for (int i = 0; i < kBatch; ++i) value = co_await Child(value);
  benchmark::DoNotOptimize(value);
}
void BM_ChildTask(benchmark::State& state) { RunTasks(state, AwaitChildren); }
BENCHMARK(BM_ChildTask);

__attribute__((noinline)) Task<uint64_t> SuspendingChild(ReadyQueue& ready, uint64_t value) {
  co_await ready.Yield();
  co_return value + 1;
}
Task<void> AwaitSuspendingChildren(ReadyQueue& ready) {
  uint64_t value = 0;
  for (int i = 0; i < kBatch; ++i) value = co_await SuspendingChild(ready, value);
  benchmark::DoNotOptimize(value);
}
void BM_SuspendingChildTask(benchmark::State& state) { RunTasks(state, AwaitSuspendingChildren); }
BENCHMARK(BM_SuspendingChildTask);

__attribute__((noinline)) Task<void> Nothing() { co_return; }
void BM_Spawn(benchmark::State& state) {
  ReadyQueue ready;
  Nursery nursery(ready);
  for (auto _ : state) nursery.Spawn(Nothing());
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_Spawn);

Task<void> WaitTurns(Event& mine, Event& other) {
  for (int i = 0; i < kBatch / 2; ++i) {
    co_await mine.Wait();
    mine.Reset();
    other.Set();
  }
}
void BM_EventWake(benchmark::State& state) {
  ReadyQueue ready;
  for (auto _ : state) {
    Event first(ready);
    Event second(ready);
    Nursery nursery(ready);
    nursery.Spawn(WaitTurns(first, second));
    nursery.Spawn(WaitTurns(second, first));
    first.Set();
    Drain(ready);
  }
  state.SetItemsProcessed(state.iterations() * kBatch);
}
BENCHMARK(BM_EventWake);

// One frame, freed and allocated again, as a child task in a loop does. The pointers are const
// since Google Benchmark 1.7 may otherwise give back another one (its "+m,r" with GCC).
void BM_FrameAllocation(benchmark::State& state) {
  const auto bytes = static_cast<size_t>(state.range(0));
  for (auto _ : state) {
    void* const frame = AllocateFrame(bytes);
    benchmark::DoNotOptimize(frame);
    FreeFrame(frame, bytes);
  }
}
BENCHMARK(BM_FrameAllocation)->Arg(128)->Arg(1024);

void BM_FrameOperatorNew(benchmark::State& state) {
  const auto bytes = static_cast<size_t>(state.range(0));
  for (auto _ : state) {
    void* const frame = ::operator new(bytes);
    benchmark::DoNotOptimize(frame);
    ::operator delete(frame);
  }
}
BENCHMARK(BM_FrameOperatorNew)->Arg(128)->Arg(1024);

// Moving the deadline of one timer among many, as each request of a connection does.
void BM_TimerArm(benchmark::State& state) {
  TimerQueue timers;
  Prng prng(1);
  std::vector<std::unique_ptr<Timer>> all;
  for (int64_t i = 0; i < state.range(0); ++i) {
    all.push_back(std::make_unique<Timer>([](Timer&) {}));
    all.back()->Arm(timers, prng.Below(1'000'000'000));
  }
  uint64_t now_ns = 1'000'000'000;
  for (auto _ : state) {
    all[prng.Below(all.size())]->Arm(timers, ++now_ns);
  }
}
BENCHMARK(BM_TimerArm)->Arg(16)->Arg(10000);

void BM_HistogramRecord(benchmark::State& state) {
  Histogram histogram;
  Prng prng(1);
  for (auto _ : state) histogram.Record(prng.Next() >> 40);
  benchmark::DoNotOptimize(histogram.Percentile(50));
}
BENCHMARK(BM_HistogramRecord);

}  // namespace
}  // namespace pakv

BENCHMARK_MAIN();
