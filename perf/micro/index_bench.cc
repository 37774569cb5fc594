// The index and the value cache, at sizes where they do not fit the caches of the CPU: time per
// lookup, the longest single insert while it grows (not only the mean), memory per key.
#include <benchmark/benchmark.h>
#include <sys/resource.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <fstream>
#include <memory>
#include <ranges>
#include <string>
#include <utility>
#include <vector>

#include "kv/index/table.h"
#include "kv/index/value_cache.h"

namespace pakv {
namespace {

constexpr size_t kKeyBytes = 16;

// 16 bytes; numbers from `keys` on are not in the table.
void WriteKey(uint64_t number, char* key) {
  std::memcpy(key, "key:", 4);
  for (size_t i = kKeyBytes; i > 4; number /= 10) key[--i] = static_cast<char>('0' + number % 10);
}

TableKey KeyOf(const char* key) {
  return {XXH3_64bits_withSeed(key, kKeyBytes, 1), 0, {key, kKeyBytes}};
}

Version VersionOf(uint64_t number) {
  return {.lsn = number + 1, .location = {1, static_cast<uint32_t>(number), 120}};
}

void Insert(Table& table, uint64_t number) {
  char key[kKeyBytes];
  WriteKey(number, key);
  table.Upsert(KeyOf(key), VersionOf(number));
}

// One table of each size stands for all benchmarks that do not change it.
Table& FullTable(uint64_t keys) {
  static std::unique_ptr<Table> table;
  static uint64_t size = 0;
  if (size != keys) {
    table = nullptr;
    table = std::make_unique<Table>(HashRange());
    for (uint64_t number = 0; number < keys; ++number) Insert(*table, number);
    size = keys;
  }
  return *table;
}

// Keys to look for, made before the clock runs: what is measured is the table.
struct Queries {
  static constexpr size_t kCount = size_t{1} << 18;
  std::vector<char> bytes = std::vector<char>(kCount * kKeyBytes);
  std::vector<TableKey> keys;

  Queries(uint64_t first, uint64_t count) {
    Prng prng(1);
    for (size_t i = 0; i < kCount; ++i) {
      WriteKey(first + prng.Below(count), &bytes[i * kKeyBytes]);
      keys.push_back(KeyOf(&bytes[i * kKeyBytes]));
    }
  }
  const TableKey& at(size_t i) const { return keys[i & (kCount - 1)]; }
};

void Find(benchmark::State& state, bool present) {
  const uint64_t keys = static_cast<uint64_t>(state.range(0));
  const Table& table = FullTable(keys);
  const Queries queries(present ? 0 : keys, keys);
  size_t i = 0;
  uint64_t found = 0;
  for (auto _ : state) found += table.Find(queries.at(i++)) ? 1 : 0;
  if (found != (present ? i : 0)) state.SkipWithError("wrong answers");
  state.SetItemsProcessed(state.iterations());
}
void FindHit(benchmark::State& state) { Find(state, true); }
void FindMiss(benchmark::State& state) { Find(state, false); }

// Each lookup's key depends on the one before: latency, where the CPU can overlap nothing.
void FindHitDependent(benchmark::State& state) {
  const uint64_t keys = static_cast<uint64_t>(state.range(0));
  const Table& table = FullTable(keys);
  const Queries queries(0, keys);
  size_t i = 0;
  for (auto _ : state) i += 1 + (table.Find(queries.at(i)).lsn() & 1);
  benchmark::DoNotOptimize(i);
  state.SetItemsProcessed(state.iterations());
}

// As a pipeline of requests does: each step is asked for, for all, before the next one.
void FindHitPrefetched(benchmark::State& state) {
  constexpr size_t kBatch = 16;
  const uint64_t keys = static_cast<uint64_t>(state.range(0));
  const Table& table = FullTable(keys);
  const Queries queries(0, keys);
  size_t i = 0;
  uint64_t found = 0;
  for (auto _ : state) {
    table.Prefetch(std::views::iota(i, i + kBatch),
                   [&](size_t number) { return queries.at(number).hash; });
    for (size_t j = 0; j < kBatch; ++j) found += table.Find(queries.at(i + j)) ? 1 : 0;
    i += kBatch;
  }
  if (found != i) state.SkipWithError("wrong answers");
  state.SetItemsProcessed(state.iterations() * kBatch);
}

// What the system did to this thread: fresh pages (whose cost is the machine's, on a virtual one
// up to hundreds of µs) and the CPU taken away.
int64_t Disturbances() {
  rusage usage;
  getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_minflt + usage.ru_majflt + usage.ru_nivcsw + usage.ru_nvcsw;
}

// From empty to n keys, each insert timed alone. The work counter is the promise; the times show
// what it means here: of all inserts, and of those that the system did not disturb.
void InsertGrowth(benchmark::State& state) {
  using Clock = std::chrono::steady_clock;
  constexpr uint32_t kDisturbed = 1u << 31;
  const uint64_t keys = static_cast<uint64_t>(state.range(0));
  std::vector<uint32_t> times_ns(keys);
  for (auto _ : state) {
    auto table = std::make_unique<Table>(HashRange());
    double seconds = 0;
    for (uint64_t number = 0; number < keys; ++number) {
      const int64_t disturbances = Disturbances();
      const auto begin = Clock::now();
      Insert(*table, number);
      const uint32_t ns = static_cast<uint32_t>((Clock::now() - begin).count());
      seconds += ns * 1e-9;
      times_ns[number] = ns | (Disturbances() == disturbances ? 0 : kDisturbed);
    }
    state.SetIterationTime(seconds);
    std::vector<uint32_t> own;
    uint32_t max_ns = 0;
    for (const uint32_t time_ns : times_ns) {
      max_ns = std::max(max_ns, time_ns & ~kDisturbed);
      if ((time_ns & kDisturbed) == 0) own.push_back(time_ns);
    }
    std::sort(own.begin(), own.end());
    const auto own_us = [&](double quantile) {
      return own[static_cast<size_t>(static_cast<double>(own.size() - 1) * quantile)] / 1e3;
    };
    state.counters["disturbed"] = static_cast<double>(keys - own.size());
    state.counters["max_us"] = max_ns / 1e3;
    state.counters["own_p99.9_us"] = own_us(0.999);
    state.counters["own_p99.999_us"] = own_us(0.99999);
    state.counters["own_max_us"] = own_us(1);
    state.counters["own_over_50us"] =
        static_cast<double>(own.end() - std::upper_bound(own.begin(), own.end(), 50'000u));
    state.counters["work_max"] = static_cast<double>(table->work_max());
    state.counters["bytes_beside_key"] =
        static_cast<double>(table->bytes_used()) / static_cast<double>(keys) - kKeyBytes;
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(keys));
}

void Overwrite(benchmark::State& state) {
  const uint64_t keys = static_cast<uint64_t>(state.range(0));
  Table& table = FullTable(keys);
  const Queries queries(0, keys);
  static Lsn lsn = kLsnMax / 2;
  size_t i = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(table.Upsert(queries.at(i++), {.lsn = ++lsn, .location = {2, 1, 1}}));
  }
  state.SetItemsProcessed(state.iterations());
}

void EraseAndInsert(benchmark::State& state) {
  const uint64_t keys = static_cast<uint64_t>(state.range(0));
  Table& table = FullTable(keys);
  const Queries queries(0, keys);
  size_t i = 0;
  for (auto _ : state) {
    const TableKey& key = queries.at(i++);
    if (table.Erase(key, kLsnMax).outcome != Table::Outcome::kErased) {
      state.SkipWithError("a key is missing");
      break;
    }
    table.Upsert(key, VersionOf(i));
  }
  state.SetItemsProcessed(state.iterations());
}

void Scan(benchmark::State& state) {
  const Table& table = FullTable(static_cast<uint64_t>(state.range(0)));
  uint64_t cursor = 0;
  uint64_t visited = 0;
  uint64_t key_bytes = 0;
  for (auto _ : state) {
    cursor = table
                 .VisitFrom(cursor, 100,
                            [&](Entry entry) {
                              ++visited;
                              key_bytes += entry.key().size();
                            })
                 .value_or(0);
  }
  benchmark::DoNotOptimize(key_bytes);
  state.SetItemsProcessed(static_cast<int64_t>(visited));
}

void Random(benchmark::State& state) {
  const Table& table = FullTable(static_cast<uint64_t>(state.range(0)));
  Prng prng(1);
  for (auto _ : state) benchmark::DoNotOptimize(table.RandomEntry(prng));
  state.SetItemsProcessed(state.iterations());
}

// Values of 64 bytes into a cache of as many: once it is full, each insert drops one.
void CacheInsert(benchmark::State& state) {
  ValueCache cache(static_cast<size_t>(state.range(0)) * 88, nullptr, nullptr);
  const std::string value(64, 'v');
  uint64_t hash = 0;
  for (auto _ : state) benchmark::DoNotOptimize(cache.Insert(++hash, value));
  state.counters["bytes_beside_value"] =
      cache.count() == 0 ? 0
                         : static_cast<double>(cache.bytes_used() - cache.value_bytes()) /
                               static_cast<double>(cache.count());
  state.SetItemsProcessed(state.iterations());
}

size_t ResidentBytes() {
  size_t pages = 0;
  size_t resident = 0;
  std::ifstream("/proc/self/statm") >> pages >> resident;
  return resident * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

// Values of 8 KiB to 1 MiB into a full cache of so many KiB, a tenth of them erased by their owner:
// how many find room, and whether the memory of the process follows what is counted.
void CacheInsertLarge(benchmark::State& state) {
  struct Owner {
    std::vector<uint32_t> handles = std::vector<uint32_t>(1 << 16);
    uint32_t& of(uint64_t hash) { return handles[hash % handles.size()]; }
  };
  Owner owner;
  const size_t cap_bytes = static_cast<size_t>(state.range(0)) << 10;
  const std::string value(size_t{1} << 20, 'v');
  Prng prng(1);
  const auto pick_size = [&] { return prng.Between(8193, uint64_t{1} << prng.Between(14, 20)); };
  const size_t resident_empty = ResidentBytes();
  ValueCache cache(
      cap_bytes,
      [](void* context, uint64_t hash, uint32_t) { static_cast<Owner*>(context)->of(hash) = 0; },
      &owner);
  uint64_t hash = 0;
  uint64_t declined = 0;
  const auto insert = [&](size_t size) {
    uint32_t& old = owner.of(++hash);
    if (old != 0) cache.Erase(old);
    old = 0;
    const uint32_t handle = cache.Insert(hash, {value.data(), size});
    owner.of(hash) = handle;
    declined += handle == 0 ? 1 : 0;
    uint32_t& any = owner.of(prng.Next());
    if (hash % 10 == 0 && any != 0) cache.Erase(std::exchange(any, 0));
  };
  for (uint64_t bytes = 0; bytes < 4 * cap_bytes;) {
    const size_t size = pick_size();
    insert(size);
    bytes += size;
  }
  declined = 0;
  size_t inserted = 0;
  for (auto _ : state) {
    const size_t size = pick_size();
    insert(size);
    inserted += size;
  }
  const auto part = [](size_t of, size_t whole) {
    return static_cast<double>(of) / static_cast<double>(whole);
  };
  state.counters["declined"] = part(declined, static_cast<size_t>(state.iterations()));
  state.counters["values_of_cap"] = part(cache.value_bytes(), cap_bytes);
  state.counters["resident_of_cap"] = part(ResidentBytes() - resident_empty, cap_bytes);
  state.SetBytesProcessed(static_cast<int64_t>(inserted));
  state.SetItemsProcessed(state.iterations());
}

void CacheGetAndTouch(benchmark::State& state) {
  const uint64_t values = static_cast<uint64_t>(state.range(0));
  ValueCache cache(values * 128, nullptr, nullptr);
  const std::string value(64, 'v');
  std::vector<uint32_t> handles;
  for (uint64_t i = 0; i < values; ++i) handles.push_back(cache.Insert(i, value));
  Prng prng(1);
  std::vector<uint32_t> queries(Queries::kCount);
  for (uint32_t& query : queries) query = handles[prng.Below(values)];
  size_t i = 0;
  uint64_t bytes = 0;
  for (auto _ : state) {
    const uint32_t handle = queries[i++ & (Queries::kCount - 1)];
    bytes += static_cast<uint64_t>(cache.Get(handle)[63]);
    cache.Touch(handle);
  }
  benchmark::DoNotOptimize(bytes);
  state.SetItemsProcessed(state.iterations());
}

// The small size keeps the programs honest in the test suite; the large ones are the figures.
void Sizes(benchmark::internal::Benchmark* each) {
  for (const int64_t keys : {10'000, 5'000'000}) each->Arg(keys);
}

BENCHMARK(FindHit)->Apply(Sizes);
BENCHMARK(FindMiss)->Apply(Sizes);
BENCHMARK(FindHitDependent)->Apply(Sizes);
BENCHMARK(FindHitPrefetched)->Apply(Sizes);
BENCHMARK(Overwrite)->Apply(Sizes);
BENCHMARK(EraseAndInsert)->Apply(Sizes);
BENCHMARK(Scan)->Apply(Sizes);
BENCHMARK(Random)->Apply(Sizes);
BENCHMARK(CacheInsert)->Apply(Sizes);
BENCHMARK(CacheInsertLarge)->Arg(10'000)->Arg(250'000);
BENCHMARK(CacheGetAndTouch)->Apply(Sizes);
BENCHMARK(InsertGrowth)
    ->Apply(Sizes)
    ->Arg(50'000'000)
    ->Iterations(1)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace pakv

BENCHMARK_MAIN();
