// The cache of values. Method: random operations against a map, in which sizes and the cap are
// picked anew for each seed; then claims about what stays and what goes.
#include "kv/index/value_cache.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "kv/index/table.h"
#include "runtime/base/prng.h"

namespace pakv {
namespace {

// Who owns the values: knows each by its handle, and is told when the cache drops one.
struct Owner {
  struct Held {
    uint64_t hash;
    std::string value;
  };
  std::map<uint32_t, Held> held;
  uint64_t told = 0;

  static void Dropped(void* context, uint64_t hash, uint32_t handle) {
    Owner& owner = *static_cast<Owner*>(context);
    const auto found = owner.held.find(handle);
    ASSERT_NE(found, owner.held.end());
    EXPECT_EQ(found->second.hash, hash);
    owner.held.erase(found);
    ++owner.told;
  }
};

std::string ValueOf(uint64_t number, size_t size) {
  std::string value(size, static_cast<char>('a' + number % 26));
  for (size_t i = 0; i < size && i < 8; ++i) value[i] = static_cast<char>(number >> (8 * i));
  return value;
}

constexpr size_t kMiB = size_t{1} << 20;

void RandomOperations(uint64_t seed) {
  Prng prng(seed);
  const auto pick_cap = [&] { return prng.Chance(1, 8) ? 0 : prng.Below(4 * kMiB); };
  size_t cap = pick_cap();
  Owner owner;
  ValueCache cache(cap, Owner::Dropped, &owner);
  const auto pick_size_bits = [&] { return prng.Between(4, prng.Chance(1, 4) ? 21 : 18); };
  uint64_t size_bits_max = pick_size_bits();
  for (uint64_t i = 0; i < 20'000; ++i) {
    if (i % 4'000 == 0) size_bits_max = pick_size_bits();
    const uint64_t told = owner.told;
    switch (prng.Below(10)) {
      case 0: {
        if (owner.held.empty()) break;
        const auto first = owner.held.lower_bound(static_cast<uint32_t>(prng.Next()));
        if (first == owner.held.end()) break;
        cache.Erase(first->first);
        owner.held.erase(first);
        ASSERT_EQ(owner.told, told);
        break;
      }
      case 1:
      case 2: {
        const auto first = owner.held.lower_bound(static_cast<uint32_t>(
            prng.Below(owner.held.empty() ? 1 : owner.held.rbegin()->first + 1)));
        if (first == owner.held.end()) break;
        ASSERT_EQ(cache.Get(first->first), first->second.value);
        cache.Touch(first->first);
        break;
      }
      case 3:
        if (prng.Chance(1, 500)) {
          cap = pick_cap();
          cache.SetCap(cap);
          if (prng.Chance(1, 2)) {
            while (!cache.ShrinkStep(1)) {
            }
            ASSERT_LE(cache.held_bytes(), cap);
          }
        }
        break;
      case 4:
      case 5: {
        const auto first = owner.held.lower_bound(static_cast<uint32_t>(
            prng.Below(owner.held.empty() ? 1 : owner.held.rbegin()->first + 1)));
        if (first == owner.held.end()) break;
        const size_t size = prng.Chance(1, 2)
                                ? first->second.value.size()
                                : prng.Below(uint64_t{1} << prng.Below(size_bits_max));
        const std::string value = ValueOf(i, size);
        const uint32_t replaced = first->first;
        owner.held.erase(first);
        const uint32_t handle = cache.Replace(replaced, i, value);
        if (handle != ValueCache::kNoHandle) {
          ASSERT_FALSE(owner.held.contains(handle)) << "still in use";
          owner.held[handle] = {i, value};
          ASSERT_EQ(cache.Get(handle), value);
        }
        break;
      }
      default: {
        const std::string value = ValueOf(i, prng.Below(uint64_t{1} << prng.Below(size_bits_max)));
        const bool above = cache.held_bytes() > cap;
        const uint32_t handle = cache.Insert(i, value);
        if (handle != ValueCache::kNoHandle) {
          ASSERT_FALSE(owner.held.contains(handle)) << "still in use";
          owner.held[handle] = {i, value};
          ASSERT_EQ(cache.Get(handle), value);
        }
        ASSERT_TRUE(above || cache.held_bytes() <= cap);
        ASSERT_LE(owner.told - told, ValueCache::kDropsPerCallMax);
        break;
      }
    }
    ASSERT_EQ(cache.count(), owner.held.size());
    ASSERT_LE(cache.value_bytes(), cache.held_bytes());
    ASSERT_LE(cache.held_bytes(), cache.bytes_used());
    if (i % 1'000 == 0) cache.CheckInvariants();
  }
  cache.CheckInvariants();
  for (const auto& [handle, held] : owner.held) ASSERT_EQ(cache.Get(handle), held.value);
  if (seed % 2 == 0) return;  // destroyed as it is
  cache.SetCap(0);
  while (!cache.ShrinkStep(ValueCache::kDropsPerCallMax)) {
  }
  ASSERT_TRUE(owner.held.empty());
  ASSERT_EQ(cache.held_bytes(), 0u);
}

TEST(ValueCacheTest, HoldsWhatAMapHolds) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    RandomOperations(seed);
    if (HasFatalFailure()) return;
  }
}

TEST(ValueCacheTest, AValueOfTheSameSizeTakesTheOldOnesPlace) {
  Owner owner;
  ValueCache cache(kMiB, Owner::Dropped, &owner);
  const uint32_t handle = cache.Insert(1, ValueOf(1, 64));
  EXPECT_EQ(cache.Replace(handle, 2, ValueOf(2, 64)), handle);
  EXPECT_EQ(cache.Get(handle), ValueOf(2, 64));
  EXPECT_EQ(cache.count(), 1u);
  EXPECT_EQ(cache.value_bytes(), 64u);
  EXPECT_EQ(owner.told, 0u);
  cache.CheckInvariants();
}

TEST(ValueCacheTest, ALargeValueOfTheSameClassTakesTheOldOnesRun) {
  Owner owner;
  ValueCache cache(8 * kMiB, Owner::Dropped, &owner);
  for (const size_t size : {9'000u, 100'000u, 2'000'000u}) {
    const uint32_t handle = cache.Insert(1, ValueOf(1, size));
    const char* const run = cache.Get(handle).data();
    const size_t held = cache.held_bytes();
    EXPECT_EQ(cache.Replace(handle, 2, ValueOf(2, size + 1'000)), handle);
    EXPECT_EQ(cache.Get(handle), ValueOf(2, size + 1'000));
    EXPECT_EQ(cache.Get(handle).data(), run);
    EXPECT_EQ(cache.held_bytes(), held);
    EXPECT_EQ(cache.value_bytes(), size + 1'000);
    cache.CheckInvariants();
    cache.Erase(handle);
  }
  EXPECT_EQ(owner.told, 0u);
}

// What one value leaves is the next one's, so a full cache asks the system for nothing.
TEST(ValueCacheTest, AFullCacheOfLargeValuesReusesTheirRuns) {
  Owner owner;
  ValueCache cache(8 * kMiB, Owner::Dropped, &owner);
  const auto insert = [&](uint64_t number) {
    const std::string value = ValueOf(number, 300'000);
    const uint32_t handle = cache.Insert(number, value);
    ASSERT_NE(handle, ValueCache::kNoHandle);
    owner.held[handle] = {number, value};
  };
  uint64_t number = 0;
  while (owner.told == 0) insert(++number);
  const size_t held = cache.held_bytes();
  const uint64_t count = cache.count();
  for (int i = 0; i < 200; ++i) insert(++number);
  EXPECT_EQ(cache.held_bytes(), held);
  EXPECT_EQ(cache.count(), count);
  EXPECT_EQ(owner.told, 201u);
}

// Runs without a value are no reserve against values of other sizes.
TEST(ValueCacheTest, WarmRunsMakeRoomForSmallValues) {
  const auto small_values_held = [](size_t large) {
    Owner owner;
    ValueCache cache(4 * kMiB, Owner::Dropped, &owner);
    std::vector<uint32_t> handles;
    for (size_t i = 0; i < large; ++i) {
      const std::string value = ValueOf(i, 10'000 + i * 1'000);
      handles.push_back(cache.Insert(i, value));
      owner.held[handles.back()] = {i, value};
    }
    for (const uint32_t handle : handles) {
      cache.Erase(handle);
      owner.held.erase(handle);
    }
    for (uint64_t i = 0; i < 100'000; ++i) {
      const std::string value = ValueOf(i, 100);
      const uint32_t handle = cache.Insert(i, value);
      if (handle != ValueCache::kNoHandle) owner.held[handle] = {i, value};
    }
    cache.CheckInvariants();
    return cache.count();
  };
  EXPECT_EQ(small_values_held(20), small_values_held(0));
}

TEST(ValueCacheTest, AReplacedValueMovesWhereItsSizeIsAtHome) {
  ValueCache cache(8 * kMiB, nullptr, nullptr);
  uint32_t handle = cache.Insert(1, ValueOf(1, 10));
  for (const size_t size : {5'000u, 100'000u, 200'000u, 7u}) {
    handle = cache.Replace(handle, size, ValueOf(size, size));
    ASSERT_NE(handle, ValueCache::kNoHandle);
    ASSERT_EQ(cache.Get(handle), ValueOf(size, size));
    ASSERT_EQ(cache.count(), 1u);
    ASSERT_EQ(cache.value_bytes(), size);
    cache.CheckInvariants();
  }
}

TEST(ValueCacheTest, ACapOfNothingHoldsNothing) {
  ValueCache cache(0, nullptr, nullptr);
  EXPECT_EQ(cache.Insert(1, "value"), ValueCache::kNoHandle);
  EXPECT_EQ(cache.Insert(1, ""), ValueCache::kNoHandle);
  EXPECT_EQ(cache.held_bytes(), 0u);
}

TEST(ValueCacheTest, WhatFitsIsNeverDropped) {
  Owner owner;
  ValueCache cache(8 * kMiB, Owner::Dropped, &owner);
  std::vector<uint32_t> handles;
  for (uint64_t i = 0; i < 20'000; ++i) {
    handles.push_back(cache.Insert(i, ValueOf(i, 100 + i % 200)));
    ASSERT_NE(handles.back(), ValueCache::kNoHandle);
  }
  // Overwritten many times over, also with values of other sizes.
  Prng prng(1);
  for (uint64_t i = 0; i < 200'000; ++i) {
    uint32_t& handle = handles[prng.Below(handles.size())];
    cache.Erase(handle);
    handle = cache.Insert(i, ValueOf(i, 100 + prng.Below(200)));
    ASSERT_NE(handle, ValueCache::kNoHandle);
  }
  EXPECT_EQ(cache.drops(), 0u);
  EXPECT_GE(cache.value_bytes() * 5 / 4, cache.held_bytes()) << "slack at most a quarter";
}

// Keys with values of `size` bytes, read again and again, on top of a cache.
class WorkingSet {
 public:
  WorkingSet(ValueCache& cache, uint64_t first, size_t keys, size_t size)
      : cache_(cache), first_(first), size_(size), handles_(keys) {}

  // Reads one; true if it was in memory. What was not is inserted.
  bool Read(uint64_t index) {
    if (handles_[index] != ValueCache::kNoHandle) {
      cache_.Touch(handles_[index]);
      return true;
    }
    handles_[index] = cache_.Insert(first_ + index, ValueOf(index, size_));
    return false;
  }
  double HitRatio(Prng& prng, uint64_t reads) {
    uint64_t hits = 0;
    for (uint64_t i = 0; i < reads; ++i) hits += Read(prng.Below(handles_.size())) ? 1 : 0;
    return static_cast<double>(hits) / static_cast<double>(reads);
  }
  bool Forget(uint64_t hash) {
    if (hash < first_ || hash >= first_ + handles_.size()) return false;
    handles_[hash - first_] = ValueCache::kNoHandle;
    return true;
  }

 private:
  ValueCache& cache_;
  const uint64_t first_;
  const size_t size_;
  std::vector<uint32_t> handles_;
};

struct WorkingSets {
  std::vector<WorkingSet*> sets;
  static void Dropped(void* context, uint64_t hash, uint32_t) {
    for (WorkingSet* set : static_cast<WorkingSets*>(context)->sets) {
      if (set->Forget(hash)) return;
    }
  }
};

TEST(ValueCacheTest, AScanDoesNotFlushWhatIsInUse) {
  for (const size_t scan_size : {100u, 1'000u, 20'000u}) {
    WorkingSets sets;
    ValueCache cache(4 * kMiB, WorkingSets::Dropped, &sets);
    WorkingSet hot(cache, 0, 15'000, 100);  // half of the cap
    sets.sets.push_back(&hot);
    Prng prng(1);
    hot.HitRatio(prng, 150'000);
    uint64_t hits = 0;
    constexpr uint64_t kReads = 400'000;
    for (uint64_t i = 0; i < kReads; ++i) {
      hits += hot.Read(prng.Below(15'000)) ? 1 : 0;
      // Each once: twenty times the cap and more.
      (void)cache.Insert(1'000'000 + i, ValueOf(i, scan_size));
    }
    EXPECT_GE(static_cast<double>(hits) / kReads, 0.9) << "scanning values of " << scan_size;
  }
}

TEST(ValueCacheTest, MemoryFollowsTheSizesInUse) {
  WorkingSets sets;
  ValueCache cache(8 * kMiB, WorkingSets::Dropped, &sets);
  std::vector<std::unique_ptr<WorkingSet>> owned;
  Prng prng(1);
  // Each takes three quarters of the cap; then nobody asks for it any more.
  uint64_t first = 0;
  for (const size_t size : {100u, 1'000u, 20u, 50'000u, 300u, 500'000u, 64u}) {
    const size_t keys = 6 * kMiB / (size + 40);
    owned.push_back(std::make_unique<WorkingSet>(cache, first, keys, size));
    sets.sets.push_back(owned.back().get());
    first += keys;
    owned.back()->HitRatio(prng, 40 * keys + 20'000);
    EXPECT_GE(owned.back()->HitRatio(prng, 10 * keys), 0.9) << "values of " << size;
    cache.CheckInvariants();
  }
}

TEST(ValueCacheTest, DropStepFreesBitByBit) {
  ValueCache cache(16 * kMiB, nullptr, nullptr);
  for (uint64_t i = 0; i < 100'000; ++i) {
    (void)cache.Insert(i, ValueOf(i, i % 100 == 0 ? 30'000 : i % 300));
  }
  size_t bytes = cache.bytes_used();
  EXPECT_GE(bytes, 12 * kMiB);
  size_t freed_max = 0;
  bool done = false;
  while (!done) {
    done = cache.DropStep(1);
    freed_max = std::max(freed_max, bytes - cache.bytes_used());
    bytes = cache.bytes_used();
  }
  EXPECT_LE(freed_max, ChunkArena::kChunkBytes);
  EXPECT_EQ(cache.held_bytes(), 0u);
}

// As a shard puts them together: the entry's handle and the cache never disagree.
TEST(ValueCacheTest, DroppedValuesAreForgottenByTheirEntries) {
  Table table((HashRange()));
  ValueCache cache(
      kMiB,
      [](void* context, uint64_t hash, uint32_t handle) {
        EXPECT_TRUE(static_cast<Table*>(context)->ForgetCached(hash, handle));
      },
      &table);
  Prng prng(1);
  for (uint64_t i = 1; i <= 100'000; ++i) {
    const uint64_t number = prng.Below(20'000);
    const std::string key = std::to_string(number);
    // Pairs of keys share a hash.
    const TableKey table_key{number / 2 * 0x9e37'79b9'7f4a'7c15u, 0, key};
    if (prng.Chance(1, 2)) {
      const Table::Change change = table.Upsert(table_key, {.lsn = i});
      if (change.cache != ValueCache::kNoHandle) cache.Erase(change.cache);
      const uint32_t handle = cache.Insert(table_key.hash, key + ValueOf(i, i % 120));
      table.Find(table_key).set_cache(handle);
    } else if (const Entry entry = table.Find(table_key); entry && entry.cache() != 0) {
      ASSERT_EQ(cache.Get(entry.cache()).substr(0, key.size()), key);
      cache.Touch(entry.cache());
    }
  }
  uint64_t cached = 0;
  table.VisitFrom(0, ~uint32_t{0}, [&](Entry entry) { cached += entry.cache() != 0 ? 1 : 0; });
  EXPECT_EQ(cached, cache.count());
  EXPECT_GT(cache.drops(), 1'000u);
}

}  // namespace
}  // namespace pakv
