// A store that only grew, until the disk was full: compaction has taken nothing from its reserve
// meanwhile, and has to be able to copy what lives of the longest segments all the same.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "kv/store/store.h"
#include "tests/kv/store/store_tasks.h"
#include "tests/sim/world/sim_node.h"

namespace pakv {
namespace {

constexpr uint32_t kAlignment = 512;

std::string KeyOf(int number) { return "key" + std::to_string(100'000 + number); }
// One fills a block to its end, so that nothing is gained by packing them.
std::string Value() {
  return std::string(7 * kAlignment - kBlockHeaderSize - EncodedRecordSize(KeyOf(0), ""), 'v');
}

TEST(CompactionReserveTest, ItGrowsWithAStoreThatDeletesNothing) {
  SimWorld world(1);
  SimNode node(world, "10.0.0.1", {.capacity_bytes = 6 << 20, .direct_alignment = kAlignment});
  node.disk().MakeDirectories("/data");
  node.Start({.core_count = 1, .core = {.buffer_bytes = 8 << 10}});
  StoreOptions options;
  options.directory = "/data/store";
  options.segment_bytes = 256 << 10;
  options.segment_bytes_min = 16 << 10;
  options.entropy = StoreEntropy{{}, 17, 1};
  OpenReport report;
  auto opened = node.Run(Store::Open(node.cores(), options, report));
  ASSERT_TRUE(opened && opened->ok()) << world.failure();
  Store& store = node.Own(std::move(**opened));
  int keys = 0;
  while (true) {
    const auto set = node.Run(SetOne(store, node.core(0), KeyOf(keys), Value()));
    ASSERT_TRUE(set) << world.failure();
    if (*set == Outcome::kDiskFull) break;
    ASSERT_EQ(*set, Outcome::kDone) << keys;
    ++keys;
  }
  // Of what came first, and lies in short segments, nothing is deleted; of the rest every second.
  for (int i = keys / 3; i < keys; i += 2) {
    ASSERT_EQ(node.Run(DeleteOne(store, node.core(0), KeyOf(i))), Outcome::kDone) << i;
  }
  world.RunFor(10 * kNsPerSecond);
  // The deleted ones have given their space back, but for what is left for compaction.
  int more = 0;
  while (more < keys / 8) {
    const auto set = node.Run(SetOne(store, node.core(0), KeyOf(keys + more), Value()));
    ASSERT_EQ(set, Outcome::kDone) << more;
    ++more;
  }
  ASSERT_TRUE(node.Run(StopStore(store)).value_or(false)) << world.failure();
}

}  // namespace
}  // namespace pakv
