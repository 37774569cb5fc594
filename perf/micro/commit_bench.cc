// What a commit costs beside what the device asks for it.
//
// 1. A lone writer's commit, from Start to done, beside the same io_uring operation (one direct
//    write of the same padding with RWF_DSYNC, from a registered buffer into a zero-written file)
//    in a bare loop; the two alternate, so that a busy neighbour meets both.
// 2. Bytes written per acknowledged byte (key and value) with 1, 50 and 800 writers.
//
//   commit_bench [--dir DIR] [--rounds N] [--commits N] [--json FILE]
//
// Data goes below DIR, by default where the program lies, and is removed at the end.
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "kv/log/format/format.h"
#include "kv/store/store.h"
#include "perf/micro/program_folder.h"
#include "runtime/base/check.h"
#include "runtime/base/clock.h"
#include "runtime/core/cores.h"
#include "runtime/io/uring_ring.h"
#include "tests/kv/store/store_call.h"

namespace pakv {
namespace {

constexpr size_t kKeyBytes = 16;
constexpr size_t kValueBytes = 64;
constexpr long kTmpfsMagic = 0x01021994;  // statfs(2)

struct Options {
  std::string directory = ProgramFolder();
  int rounds = 20;
  int commits = 200;
  std::string json;
};

uint64_t Percentile(std::vector<uint64_t> values, double share) {
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(share * static_cast<double>(values.size() - 1))];
}

std::unique_ptr<Ring> MakeRing() {
  std::string error;
  std::unique_ptr<Ring> ring = UringRing::Create({}, error);
  if (ring == nullptr) {
    std::fprintf(stderr, "commit_bench: %s\n", error.c_str());
    std::exit(4);
  }
  return ring;
}

// The bare loop: nothing but the operation.
class Floor {
 public:
  Floor(const std::string& path, uint32_t block_bytes)
      : block_bytes_(block_bytes),
        ring_(MakeRing()),
        pool_(*ring_, 1, kDirectAlignment),
        buffer_(pool_.Take(kDirectAlignment)) {
    ring_->Start();
    std::memset(buffer_.data(), 0, buffer_.size());
    IoRequest open;
    open.opcode = Opcode::kOpen;
    open.path = path.c_str();
    open.open_flags = O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC;
    open.mode = 0640;
    file_ = Handle{Run(open).value()};
    PAKV_CHECK(static_cast<int>(file_) >= 0, "cannot open the floor's file");
    for (uint64_t offset = 0; offset < kFileBytes; offset += buffer_.size()) {
      WriteOnce(offset, static_cast<uint32_t>(buffer_.size()));
    }
    std::memset(buffer_.data(), 'x', buffer_.size());
  }
  ~Floor() {
    IoRequest close;
    close.opcode = Opcode::kClose;
    close.handle = file_;
    static_cast<void>(Run(close));
    buffer_ = AlignedBuffer();
  }

  void Measure(int count, std::vector<uint64_t>& latencies_ns) {
    for (int i = 0; i < count; ++i) {
      const uint64_t begin_ns = SystemClock().MonotonicNs();
      WriteOnce(offset_, block_bytes_);
      latencies_ns.push_back(SystemClock().MonotonicNs() - begin_ns);
      offset_ = (offset_ + block_bytes_) % kFileBytes;
    }
  }

 private:
  static constexpr uint64_t kFileBytes = 4 << 20;

  void WriteOnce(uint64_t offset, uint32_t length) {
    IoRequest write;
    write.opcode = Opcode::kWrite;
    write.sync = true;
    write.buffer_index = buffer_.index();
    write.handle = file_;
    write.length = length;
    write.offset = offset;
    write.const_buffer = buffer_.data();
    PAKV_CHECK(Run(write).value() == static_cast<int32_t>(length), "the floor's write failed");
  }
  IoResult Run(const IoRequest& request) {
    Operation operation([](Completion&) {}, request);
    ring_->Submit(operation);
    IntrusiveList<Completion> completed;
    while (completed.empty()) ring_->Enter(kNever, completed);
    completed.PopFront();
    return operation.result;
  }

  uint32_t block_bytes_;
  std::unique_ptr<Ring> ring_;
  BufferPool pool_;
  AlignedBuffer buffer_;
  Handle file_ = Handle::kNone;
  uint64_t offset_ = 0;
};

// Sets keys of `writer` one after another, each time durable.
Task<void> RunWriter(Store& store, Core& here, int writer, int count,
                     std::vector<uint64_t>* latencies_ns) {
  StoreCall call(store, here);
  char key[32];
  const std::string value(kValueBytes, 'v');
  for (int i = 0; i < count; ++i) {
    std::snprintf(key, sizeof(key), "key%06d%07d", writer % 1000000, i % 10000000);
    const uint64_t begin_ns = SystemClock().MonotonicNs();
    co_await call.Update(SetFunction, OldState::kNothing, key, value);
    if (latencies_ns != nullptr) latencies_ns->push_back(SystemClock().MonotonicNs() - begin_ns);
    PAKV_CHECK(call.outcome == Outcome::kDone, "a write was refused");
  }
}

// Hands work from the main thread to core 0 and waits for its end.
class Hand {
 public:
  explicit Hand(Cores& cores) : cores_(cores) {}
  void Run(Task<void> task) {
    struct Start : Message {
      Start(Hand& hand_in, Task<void> task_in)
          : Message([](Message& self, Core& here) {
              auto& start = static_cast<Start&>(self);
              here.nursery().Spawn(Finish(start.hand, std::move(start.task)));
            }),
            hand(hand_in),
            task(std::move(task_in)) {}
      Hand& hand;
      Task<void> task;
    };
    finished_ = false;
    Start start(*this, std::move(task));
    cores_.core(0).Post(start);
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [this] { return finished_; });
  }

 private:
  static Task<void> Finish(Hand& hand, Task<void> task) {
    co_await std::move(task);
    const std::lock_guard lock(hand.mutex_);
    hand.finished_ = true;
    hand.wake_.notify_one();
  }
  Cores& cores_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool finished_ = false;
};

Task<void> OpenStore(Cores& cores, StoreOptions options, std::unique_ptr<Store>& store) {
  OpenReport report;
  auto opened = co_await Store::Open(cores, options, report);
  if (!opened.ok()) {
    std::fprintf(stderr, "commit_bench: %s\n", opened.status().ToString().c_str());
    std::exit(3);
  }
  store = std::move(*opened);
}

Task<void> StopStore(Store& store) {
  const absl::Status stopped = co_await store.Stop();
  PAKV_CHECK(stopped.ok());
}

Task<void> ReadStats(Store& store, Core& here, StoreStats& stats) {
  stats = co_await store.Stats(here);
}

Task<void> LoneCommits(Store& store, Core& here, int count, std::vector<uint64_t>& latencies_ns) {
  co_await RunWriter(store, here, 0, count, &latencies_ns);
}

Task<void> RunWriters(Store& store, Core& here, int writers, int commits_each) {
  Nursery nursery(here.ready());
  for (int writer = 0; writer < writers; ++writer) {
    nursery.Spawn(RunWriter(store, here, writer, commits_each, nullptr));
  }
  co_await nursery.Join();
}

int Main(const Options& options) {
  struct statfs file_system{};
  PAKV_CHECK(statfs(options.directory.c_str(), &file_system) == 0, "no such directory");
  if (file_system.f_type == kTmpfsMagic) {
    std::fprintf(stderr, "commit_bench: %s is on tmpfs, where a flush costs nothing\n",
                 options.directory.c_str());
    return 1;
  }
  std::string parent = options.directory + "/pakv-commit-XXXXXX";
  PAKV_CHECK(mkdtemp(parent.data()) != nullptr, "cannot create a directory");

  std::vector<std::unique_ptr<Ring>> rings;
  rings.push_back(MakeRing());
  Cores cores(SystemClock(), std::move(rings), {});
  PAKV_CHECK(cores.Start(), "no thread");
  Hand hand(cores);
  std::unique_ptr<Store> store;
  StoreOptions store_options;
  store_options.directory = parent + "/data";
  store_options.cache_bytes = 64 << 20;
  hand.Run(OpenStore(cores, store_options, store));
  Core& core = cores.core(0);

  // The padding is the device's; the first commit shows it.
  std::vector<uint64_t> ignored;
  StoreStats before;
  StoreStats after;
  hand.Run(ReadStats(*store, core, before));
  hand.Run(LoneCommits(*store, core, 1, ignored));
  hand.Run(ReadStats(*store, core, after));
  const auto block_bytes = static_cast<uint32_t>(after.block_bytes - before.block_bytes);

  std::vector<uint64_t> floor_ns;
  std::vector<uint64_t> commit_ns;
  std::vector<double> ratios;
  {
    Floor floor(parent + "/floor", block_bytes);
    for (int round = 0; round < options.rounds; ++round) {
      std::vector<uint64_t> floor_round;
      std::vector<uint64_t> commit_round;
      floor.Measure(options.commits, floor_round);
      hand.Run(LoneCommits(*store, core, options.commits, commit_round));
      ratios.push_back(static_cast<double>(Percentile(commit_round, 0.5)) /
                       static_cast<double>(Percentile(floor_round, 0.5)));
      floor_ns.insert(floor_ns.end(), floor_round.begin(), floor_round.end());
      commit_ns.insert(commit_ns.end(), commit_round.begin(), commit_round.end());
    }
  }
  std::sort(ratios.begin(), ratios.end());
  const double ratio = ratios[ratios.size() / 2];
  std::printf(
      "lone commit, %u-byte blocks: p50 %.1f us, p99 %.1f us; floor p50 %.1f us, p99 %.1f "
      "us; ratio of p50 %.3f (median of %d rounds)\n",
      block_bytes, static_cast<double>(Percentile(commit_ns, 0.5)) / 1e3,
      static_cast<double>(Percentile(commit_ns, 0.99)) / 1e3,
      static_cast<double>(Percentile(floor_ns, 0.5)) / 1e3,
      static_cast<double>(Percentile(floor_ns, 0.99)) / 1e3, ratio, options.rounds);

  std::string json = "{\"block_bytes\": " + std::to_string(block_bytes) +
                     ", \"p50_ratio\": " + std::to_string(ratio) + ", \"writers\": [";
  for (const int writers : {1, 50, 800}) {
    const int commits_each = std::max(1, options.rounds * options.commits / writers);
    hand.Run(ReadStats(*store, core, before));
    const uint64_t begin_ns = SystemClock().MonotonicNs();
    hand.Run(RunWriters(*store, core, writers, commits_each));
    const uint64_t duration_ns = SystemClock().MonotonicNs() - begin_ns;
    hand.Run(ReadStats(*store, core, after));
    const double writes = static_cast<double>(after.writes - before.writes);
    const double per_byte = static_cast<double>(after.block_bytes - before.block_bytes) /
                            (writes * (kKeyBytes + kValueBytes));
    const double per_block = writes / static_cast<double>(after.blocks - before.blocks);
    std::printf(
        "%d writers: %.0f writes/s, %.1f writes per flush, %.2f bytes written per "
        "acknowledged byte\n",
        writers, writes / (static_cast<double>(duration_ns) / 1e9), per_block, per_byte);
    json += std::string(writers == 1 ? "" : ", ") + "{\"writers\": " + std::to_string(writers) +
            ", \"writes_per_flush\": " + std::to_string(per_block) +
            ", \"bytes_per_acknowledged_byte\": " + std::to_string(per_byte) + "}";
  }
  json += "]}\n";
  if (!options.json.empty()) {
    FILE* file = std::fopen(options.json.c_str(), "we");
    PAKV_CHECK(file != nullptr, "cannot write the JSON file");
    std::fputs(json.c_str(), file);
    std::fclose(file);
  }
  hand.Run(StopStore(*store));
  cores.RequestLeave();
  cores.Join();
  store.reset();
  std::filesystem::remove_all(parent);
  return 0;
}

}  // namespace
}  // namespace pakv

int main(int argc, char** argv) {
  pakv::Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    const char* value = i + 1 < argc ? argv[i + 1] : nullptr;
    if (value == nullptr) {
      std::fprintf(stderr,
                   "usage: commit_bench [--dir DIR] [--rounds N] [--commits N] "
                   "[--json FILE]\n");
      return 2;
    }
    ++i;
    if (name == "--dir") options.directory = value;
    if (name == "--rounds") options.rounds = std::max(1, std::atoi(value));
    if (name == "--commits") options.commits = std::max(1, std::atoi(value));
    if (name == "--json") options.json = value;
  }
  return pakv::Main(options);
}
