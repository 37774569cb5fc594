// How long transactions of many keys hold a core up: the longest pass of any core, and the whole,
// of writes, of reads and writes, of snapshots, and of counts that leave many keys out; in memory,
// so that no device is waited for.
//
//   pass_bench [--cores N] [--keys N] [--rounds N]
//
// Each figure is the least of its rounds: what else the machine runs lengthens passes.
#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "kv/store/store.h"
#include "kv/store/transaction.h"
#include "perf/micro/program_folder.h"
#include "runtime/base/check.h"
#include "runtime/base/clock.h"
#include "runtime/core/cores.h"
#include "runtime/core/next_pass.h"
#include "runtime/io/uring_ring.h"

namespace pakv {
namespace {

constexpr size_t kLoadStep = 256;  // keys of one transaction that fills the store

struct Options {
  uint32_t cores = 1;
  size_t keys = kTransactionKeysMax;
  int rounds = 5;
};

// The longest pass since it was begun. One core's, at the end of whose passes it looks.
class PassWatch : private Runnable {
 public:
  explicit PassWatch(Core& core)
      : Runnable([](Runnable& self) { static_cast<PassWatch&>(self).PassEnds(); }), core_(core) {
    core_.AtPassEnd(*this);
  }
  uint64_t TakeLongest() { return std::exchange(longest_ns_, 0); }
  void Stop() { stopped_ = true; }

 private:
  void PassEnds() {
    longest_ns_ = std::max(longest_ns_, SystemClock().MonotonicNs() - core_.now_ns());
    if (!stopped_) core_.AtPassEnd(*this);  // which keeps the core awake
  }
  Core& core_;
  uint64_t longest_ns_ = 0;
  bool stopped_ = false;
};

enum class Kind { kWrite, kUpdate, kSnapshot, kCount };
constexpr std::pair<Kind, const char*> kKinds[] = {{Kind::kWrite, "write"},
                                                   {Kind::kUpdate, "read and write"},
                                                   {Kind::kSnapshot, "snapshot"},
                                                   {Kind::kCount, "count"}};

class Bench {
 public:
  Bench(Cores& cores, const Options& options) : cores_(cores), options_(options) {
    for (size_t i = 0; i < options.keys; ++i) names_.push_back("key:" + std::to_string(i * 7919));
  }

  // On core 0.
  Task<void> Run(std::string directory) {
    StoreOptions store_options;
    store_options.directory = std::move(directory);
    store_options.engine = EngineKind::kMemory;
    store_options.cache_bytes = 256 << 20;
    OpenReport report;
    auto opened = co_await Store::Open(cores_, store_options, report);
    PAKV_CHECK(opened.ok(), "cannot open a store");
    store_ = std::move(*opened);
    Core& here = cores_.core(0);
    for (uint32_t id = 0; id < here.count(); ++id) {
      watches_.push_back(
          co_await here.CallOn(id, [](Core& there) { return std::make_unique<PassWatch>(there); }));
    }
    for (size_t begin = 0; begin < names_.size(); begin += kLoadStep) {
      co_await Transact(here, begin, std::min(names_.size(), begin + kLoadStep), Kind::kWrite);
    }
    for (const auto& [kind, name] : kKinds) co_await Measure(here, kind, name);
    for (uint32_t id = 0; id < here.count(); ++id) {
      PassWatch* const watch = watches_[id].get();
      co_await here.CallOn(id, [watch](Core&) { return watch->Stop(), true; });
    }
    const absl::Status stopped = co_await store_->Stop();
    PAKV_CHECK(stopped.ok());
  }

 private:
  Task<void> Measure(Core& here, Kind kind, const char* name) {
    uint64_t least_pass_ns = UINT64_MAX;
    uint64_t least_ns = UINT64_MAX;
    for (int round = 0; round < options_.rounds; ++round) {
      static_cast<void>(co_await LongestPass(here));
      const uint64_t begin_ns = SystemClock().MonotonicNs();
      if (kind == Kind::kCount) {
        co_await Count(here);
      } else {
        co_await Transact(here, 0, names_.size(), kind);
      }
      least_ns = std::min(least_ns, SystemClock().MonotonicNs() - begin_ns);
      const uint64_t pass_ns = co_await LongestPass(here);
      least_pass_ns = std::min(least_pass_ns, pass_ns);
    }
    std::printf("%zu keys, %u cores, %s: longest pass %.2f ms, all of it %.1f ms\n", names_.size(),
                here.count(), name, static_cast<double>(least_pass_ns) / 1e6,
                static_cast<double>(least_ns) / 1e6);
  }

  Task<uint64_t> LongestPass(Core& here) {
    uint64_t longest_ns = 0;
    for (uint32_t id = 0; id < here.count(); ++id) {
      PassWatch* const watch = watches_[id].get();
      const uint64_t ns = co_await here.CallOn(id, [watch](Core&) { return watch->TakeLongest(); });
      longest_ns = std::max(longest_ns, ns);
    }
    co_return longest_ns;
  }

  Task<void> Transact(Core& here, size_t begin, size_t end, Kind kind) {
    Transaction transaction(1);
    const OldState needs = kind == Kind::kWrite ? OldState::kNothing : OldState::kValue;
    for (size_t i = begin; i < end; ++i) {
      const std::string& name = names_[i];
      transaction.AddKey(store_->Hash(kDefaultNamespace, name), kDefaultNamespace, name, needs,
                         kind != Kind::kSnapshot);
      if (i % kLoadStep == kLoadStep - 1) co_await NextPass(here);
    }
    const auto decide = [&](Transaction& decided) {
      for (size_t i = 0; i < end - begin; ++i)
        decided.Write(i, "a value of 32 bytes for each key.", kNoExpiry);
      return true;
    };
    const Outcome outcome = kind == Kind::kSnapshot
                                ? co_await store_->Snapshot(here, transaction)
                                : co_await store_->Transact(here, transaction, decide);
    PAKV_CHECK(outcome == Outcome::kDone, "it was refused");
    while (transaction.FreeSome()) co_await NextPass(here);
  }

  Task<void> Count(Core& here) {
    std::vector<Store::KeyName> names;
    for (const std::string& name : names_) {
      names.push_back({store_->Hash(kDefaultNamespace, name), name});
    }
    std::sort(names.begin(), names.end(),
              [](const auto& one, const auto& other) { return one.hash < other.hash; });
    co_await NextPass(here);
    static_cast<void>(co_await LongestPass(here));
    const uint64_t left = co_await store_->CountKeys(here, kDefaultNamespace, names);
    PAKV_CHECK(left == 0, "all were left out");
  }

  Cores& cores_;
  const Options options_;
  std::vector<std::string> names_;
  std::unique_ptr<Store> store_;
  std::vector<std::unique_ptr<PassWatch>> watches_;
};

int Main(const Options& options) {
  std::string parent = ProgramFolder() + "/pakv-pass-XXXXXX";
  PAKV_CHECK(mkdtemp(parent.data()) != nullptr, "cannot create a directory");
  std::vector<std::unique_ptr<Ring>> rings;
  for (uint32_t id = 0; id < options.cores; ++id) {
    std::string error;
    rings.push_back(UringRing::Create({}, error));
    if (rings.back() == nullptr) {
      std::fprintf(stderr, "pass_bench: %s\n", error.c_str());
      return 4;
    }
  }
  Cores cores(SystemClock(), std::move(rings), {});
  PAKV_CHECK(cores.Start(), "no thread");
  Bench bench(cores, options);
  struct Begin : Message {
    Begin(Cores& cores_in, Bench& bench_in, std::string directory_in)
        : Message([](Message& self, Core& here) {
            here.nursery().Spawn(Run(static_cast<Begin&>(self)));
          }),
          cores(cores_in),
          bench(bench_in),
          directory(std::move(directory_in)) {}
    static Task<void> Run(Begin& begin) {
      co_await begin.bench.Run(begin.directory);
      begin.cores.RequestLeave();
    }
    Cores& cores;
    Bench& bench;
    std::string directory;
  };
  Begin begin(cores, bench, parent + "/data");
  cores.core(0).Post(begin);
  cores.Join();
  std::filesystem::remove_all(parent);
  return 0;
}

}  // namespace
}  // namespace pakv

int main(int argc, char** argv) {
  pakv::Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    const int value = std::max(1, std::atoi(argv[i + 1]));
    if (name == "--cores") options.cores = static_cast<uint32_t>(value);
    if (name == "--keys") options.keys = static_cast<size_t>(value);
    if (name == "--rounds") options.rounds = value;
  }
  return pakv::Main(options);
}
