// What compaction costs per user's write, in a simulated world: a store on a simulated disk whose
// keys are overwritten evenly, so that what is counted is pakv's own work. For
//   valgrind --tool=callgrind --toggle-collect='pakv::Compactor::*' compaction_bench
// and for the amplification that the rules of kv/store/compaction/compactor.h come to.
//
//   compaction_bench [--keys N] [--overwrites N] [--segment-kib N] [--cores N]
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "kv/store/store.h"
#include "runtime/base/check.h"
#include "runtime/task/nursery.h"
#include "tests/kv/store/store_call.h"
#include "tests/sim/world/sim_node.h"

namespace pakv {
namespace {

constexpr int kWriters = 800;  // 50 connections with batches of 16
constexpr size_t kValueBytes = 64;

struct Options {
  uint64_t keys = 20'000;
  uint64_t overwrites = 100'000;
  uint64_t segment_kib = 1024;
  uint32_t cores = 1;
};

struct Load {
  uint64_t keys = 0;
  uint64_t left = 0;
  bool in_order = false;
  Prng prng{11};
};

Task<void> RunWriter(Store& store, Core& here, Load& load) {
  StoreCall call(store, here);
  char key[32];
  const std::string value(kValueBytes, 'v');
  while (load.left > 0) {
    --load.left;
    const uint64_t number = load.in_order ? load.left : load.prng.Below(load.keys);
    std::snprintf(key, sizeof(key), "key:%012llu", static_cast<unsigned long long>(number));
    co_await call.Update(SetFunction, OldState::kNothing, key, value);
    PAKV_CHECK(call.outcome == Outcome::kDone, "a write was refused");
  }
}

Task<bool> RunWriters(Store& store, Core& here, Load& load) {
  Nursery nursery(here.ready());
  for (int writer = 0; writer < kWriters; ++writer) nursery.Spawn(RunWriter(store, here, load));
  co_await nursery.Join();
  co_return true;
}

int Main(const Options& options) {
  SimWorld world(7);
  SimNode node(world, "10.0.0.1", {.direct_alignment = 512});
  node.disk().MakeDirectories("/data");
  node.Start({.core_count = options.cores, .core = {}});
  StoreOptions store_options;
  store_options.directory = "/data/store";
  store_options.segment_bytes = options.segment_kib << 10;
  store_options.entropy = StoreEntropy{{}, 17, 1};
  OpenReport report;
  auto opened = node.Run(Store::Open(node.cores(), store_options, report));
  PAKV_CHECK(opened && opened->ok(), "cannot open");
  Store& store = node.Own(std::move(**opened));
  Load load{.keys = options.keys, .left = options.keys, .in_order = true};
  PAKV_CHECK(node.Run(RunWriters(store, node.core(0), load)).has_value());
  load.left = options.overwrites / 2;
  load.in_order = false;
  PAKV_CHECK(node.Run(RunWriters(store, node.core(0), load)).has_value());
  const StoreStats before = *node.Run(store.Stats(node.core(0)));
  load.left = options.overwrites / 2;
  PAKV_CHECK(node.Run(RunWriters(store, node.core(0), load)).has_value());
  const StoreStats after = *node.Run(store.Stats(node.core(0)));
  const auto written = static_cast<double>(after.block_bytes - before.block_bytes);
  const auto copied =
      static_cast<double>(after.compaction_block_bytes - before.compaction_block_bytes);
  const uint64_t segments = after.compacted_segments - before.compacted_segments;
  std::printf(
      "%llu segments compacted, %.2f of each copied; %.2f bytes written per byte of the "
      "log; disk %.2f times the live data; writers slowed %llu per mille\n",
      static_cast<unsigned long long>(segments),
      segments == 0 ? 0.0
                    : copied / static_cast<double>(segments) /
                          static_cast<double>(store_options.segment_bytes),
      (written + copied) / written,
      static_cast<double>(after.disk_bytes) / static_cast<double>(after.live_bytes),
      static_cast<unsigned long long>(after.slowed_permille));
  return 0;
}

}  // namespace
}  // namespace pakv

int main(int argc, char** argv) {
  pakv::Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    const uint64_t value = std::strtoull(argv[i + 1], nullptr, 10);
    if (name == "--keys") options.keys = value;
    if (name == "--overwrites") options.overwrites = value;
    if (name == "--segment-kib") options.segment_kib = value;
    if (name == "--cores") options.cores = static_cast<uint32_t>(value);
  }
  return pakv::Main(options);
}
