// What it costs to go from one core to another and back: over a bare mailbox, between cores that
// spin, between cores that sleep, and many messages at once. `cpu_us` is the CPU time of both
// threads per item; wall time alone says little when neighbours share the machine.
#include <benchmark/benchmark.h>
#include <sys/resource.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "runtime/core/cores.h"
#include "runtime/io/uring_ring.h"

namespace pakv {
namespace {

constexpr uint64_t kRoundTrips = 2000;
constexpr uint64_t kMessages = 200'000;
constexpr uint64_t kWindow = 64;

double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

std::unique_ptr<Cores> MakeCores(uint32_t count) {
  std::vector<std::unique_ptr<Ring>> rings;
  for (uint32_t i = 0; i < count; ++i) {
    std::string error;
    rings.push_back(UringRing::Create({}, error));
    if (rings.back() == nullptr) {
      std::fprintf(stderr, "mailbox_bench: %s\n", error.c_str());
      std::exit(4);
    }
  }
  return std::make_unique<Cores>(SystemClock(), std::move(rings), CoreOptions{.buffer_count = 0});
}

// What one run on two cores took, and what it cost.
struct Cost {
  uint64_t wall_ns = 0;
  double cpu_seconds = 0;
};

template <typename Run>
void Measure(benchmark::State& state, uint64_t items, Run run) {
  double cpu_seconds = 0;
  for (auto _ : state) {
    Cost cost;
    run(cost);
    cpu_seconds += cost.cpu_seconds;
    state.SetIterationTime(static_cast<double>(cost.wall_ns) / 1e9);
  }
  const auto all = static_cast<double>(state.iterations()) * static_cast<double>(items);
  state.SetItemsProcessed(static_cast<int64_t>(all));
  state.counters["cpu_us"] = cpu_seconds / all * 1e6;
}

// Two threads that spin on two bare mailboxes: the floor.
void BM_MailboxRoundTrip(benchmark::State& state) {
  Measure(state, kRoundTrips, [](Cost& cost) {
    Mailbox there;
    Mailbox back;
    Message message;
    std::thread echo([&] {
      Message* chain = nullptr;
      uint64_t stamp = 0;
      for (uint64_t i = 0; i < kRoundTrips; ++i) {
        while (!there.TryPop(chain, stamp)) {
        }
        back.TryPush(chain, stamp);
      }
    });
    const double cpu_begin = CpuSeconds();
    const uint64_t begin_ns = SystemClock().MonotonicNs();
    Message* chain = nullptr;
    uint64_t stamp = 0;
    for (uint64_t i = 0; i < kRoundTrips; ++i) {
      there.TryPush(&message, i);
      while (!back.TryPop(chain, stamp)) {
      }
    }
    cost.wall_ns = SystemClock().MonotonicNs() - begin_ns;
    cost.cpu_seconds = CpuSeconds() - cpu_begin;
    echo.join();
  });
}
BENCHMARK(BM_MailboxRoundTrip)->UseManualTime();

// Keeps a core from sleeping.
Task<void> Spin(Core& core, StopToken token) {
  while (!token.stop_requested()) co_await core.ready().Yield();
}

Task<void> CallRoundTrips(Cores& cores, Core& core, Cost& cost) {
  const double cpu_begin = CpuSeconds();
  const uint64_t begin_ns = SystemClock().MonotonicNs();
  uint64_t sum = 0;
  for (uint64_t i = 0; i < kRoundTrips; ++i) {
    sum += co_await core.CallOn(1, [i](Core&) { return i; });
  }
  benchmark::DoNotOptimize(sum);
  cost.wall_ns = SystemClock().MonotonicNs() - begin_ns;
  cost.cpu_seconds = CpuSeconds() - cpu_begin;
  for (uint32_t id = 0; id < cores.count(); ++id) {
    co_await core.CallOn(id, [](Core& there) {
      there.nursery().RequestStop();
      return true;
    });
  }
  cores.RequestLeave();
}

void RunRoundTrips(benchmark::State& state, bool spin) {
  Measure(state, kRoundTrips, [spin](Cost& cost) {
    const auto cores = MakeCores(2);
    for (uint32_t id = 0; id < 2 && spin; ++id) {
      Core& core = cores->core(id);
      core.nursery().Spawn(Spin(core, core.nursery().token()));
    }
    Core& first = cores->core(0);
    first.nursery().Spawn(CallRoundTrips(*cores, first, cost));
    if (!cores->Start()) std::exit(1);
    cores->Join();
  });
}
void BM_CallRoundTripSpinning(benchmark::State& state) { RunRoundTrips(state, true); }
BENCHMARK(BM_CallRoundTripSpinning)->UseManualTime();
void BM_CallRoundTripSleeping(benchmark::State& state) { RunRoundTrips(state, false); }
BENCHMARK(BM_CallRoundTripSleeping)->UseManualTime();

// Messages that travel to core 1 and back again and again, kWindow of them at once.
class Window {
 public:
  Window(Cores& cores, Cost& cost) : cores_(cores), cost_(cost) {}

  void Begin(Core& here) {
    cpu_begin_ = CpuSeconds();
    begin_ns_ = SystemClock().MonotonicNs();
    for (uint64_t i = 0; i < kWindow; ++i) Send(here, travellers_.emplace_back(*this));
  }

 private:
  struct Traveller : Message {
    explicit Traveller(Window& window_in) : window(window_in) {}
    Window& window;
  };
  void Send(Core& here, Traveller& traveller) {
    ++sent_;
    traveller.set_function([](Message& self, Core& there) {
      self.set_function([](Message& back, Core& home) {
        auto& arrived = static_cast<Traveller&>(back);
        arrived.window.Returned(arrived, home);
      });
      there.Send(0, self);
    });
    here.Send(1, traveller);
  }
  void Returned(Traveller& traveller, Core& here) {
    ++returned_;
    if (sent_ < kMessages) {
      Send(here, traveller);
    } else if (returned_ == kMessages) {
      cost_.wall_ns = SystemClock().MonotonicNs() - begin_ns_;
      cost_.cpu_seconds = CpuSeconds() - cpu_begin_;
      cores_.RequestLeave();
    }
  }

  Cores& cores_;
  Cost& cost_;
  std::deque<Traveller> travellers_;
  uint64_t sent_ = 0;
  uint64_t returned_ = 0;
  uint64_t begin_ns_ = 0;
  double cpu_begin_ = 0;
};

void BM_MessagesInAWindow(benchmark::State& state) {
  Measure(state, kMessages, [](Cost& cost) {
    const auto cores = MakeCores(2);
    Window window(*cores, cost);
    struct Begin : Message {
      explicit Begin(Window& window_in)
          : Message(
                [](Message& self, Core& here) { static_cast<Begin&>(self).window.Begin(here); }),
            window(window_in) {}
      Window& window;
    } begin(window);
    cores->core(0).Post(begin);
    if (!cores->Start()) std::exit(1);
    cores->Join();
  });
}
BENCHMARK(BM_MessagesInAWindow)->UseManualTime();

}  // namespace
}  // namespace pakv

BENCHMARK_MAIN();
