// WatchTable beside a model: whoever is marked, however many there are and in whatever order they
// come and go, and that its lists are as many as its watches.
#include "kv/shard/messages/watch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "runtime/base/prng.h"

namespace pakv {
namespace {

constexpr size_t kFirstLists = 1024;

std::unique_ptr<Watch> WatchOf(uint64_t hash, uint32_t namespace_id = 0) {
  auto watch = std::make_unique<Watch>();
  watch->hash = hash;
  watch->namespace_id = namespace_id;
  return watch;
}

TEST(WatchTableTest, MarksThoseOfTheKeyAndNoOthers) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Prng prng(seed);
    WatchTable table;
    // Few hashes: many watch the same key. Many: the lists become more and fewer.
    const uint64_t hashes = prng.Chance(1, 2) ? 50 : 100'000;
    struct Known {
      std::unique_ptr<Watch> watch;
      bool changed = false;
    };
    std::vector<Known> known;
    size_t hung = 0;
    for (int phase = 0; phase < 4; ++phase) {
      const bool grows = phase % 2 == 0;
      for (int step = 0; step < 5000; ++step) {
        const uint64_t hash = prng.Below(hashes) * 0x9e3779b97f4a7c15;
        const uint64_t what = prng.Below(100);
        if (what < (grows ? 90u : 20u)) {
          known.push_back({WatchOf(hash, static_cast<uint32_t>(prng.Below(3)))});
          table.Add(*known.back().watch);
          ++hung;
        } else if (what < 98 && !known.empty()) {
          const size_t at = prng.Below(known.size());
          table.Remove(*known[at].watch);
          ASSERT_EQ(known[at].watch->changed, known[at].changed);
          hung -= known[at].changed ? 0 : 1;
          std::swap(known[at], known.back());
          known.pop_back();
        } else if (step % 1000 == 999) {
          const auto namespace_id = static_cast<uint32_t>(prng.Below(3));
          table.MarkAll(namespace_id, [](const Watch& watch) { return watch.hash % 2 == 0; });
          for (Known& each : known) {
            if (each.changed || each.watch->namespace_id != namespace_id) continue;
            each.changed = each.watch->hash % 2 == 0;
            hung -= each.changed ? 1 : 0;
          }
        } else {
          table.Mark(hash);
          for (Known& each : known) {
            if (each.changed || each.watch->hash != hash) continue;
            each.changed = true;
            --hung;
          }
        }
        ASSERT_EQ(table.count(), hung);
        ASSERT_GE(std::max(table.list_count(), size_t{1}), hung);
      }
      for (const Known& each : known) ASSERT_EQ(each.watch->changed, each.changed);
    }
    for (Known& each : known) table.Remove(*each.watch);
    EXPECT_TRUE(table.empty());
  }
}

// What a write looks at does not become more with the number of watches; and what they took is
// given back.
TEST(WatchTableTest, ItsListsAreAsManyAsItsWatches) {
  constexpr size_t kWatches = 100'000;
  Prng prng(1);
  WatchTable table;
  std::vector<std::unique_ptr<Watch>> watches;
  for (size_t count = 1; count <= kWatches; ++count) {
    watches.push_back(WatchOf(prng.Next()));
    table.Add(*watches.back());
    ASSERT_EQ(table.list_count(), std::max(count, kFirstLists));
  }
  while (!watches.empty()) {
    if (watches.size() % 2 == 0) {
      table.Mark(watches.back()->hash);
      ASSERT_TRUE(watches.back()->changed);
    }
    table.Remove(*watches.back());
    watches.pop_back();
    // Half of them go before the first list does, so that it does not flap.
    ASSERT_EQ(table.list_count(), std::clamp(2 * watches.size(), kFirstLists, kWatches));
  }
  EXPECT_EQ(table.list_count(), kFirstLists);
}

// A key that is written over and over costs its watchers once.
TEST(WatchTableTest, AMarkedWatchHangsNoMore) {
  WatchTable table;
  const auto first = WatchOf(7);
  const auto second = WatchOf(7);
  table.Add(*first);
  table.Add(*second);
  table.Mark(7);
  EXPECT_TRUE(first->changed);
  EXPECT_TRUE(second->changed);
  EXPECT_TRUE(table.empty());
  table.Remove(*first);
  EXPECT_TRUE(table.empty());
}

}  // namespace
}  // namespace pakv
