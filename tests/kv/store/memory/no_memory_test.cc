// What a store does when the system gives it no more memory, whatever --memory allows: new keys are
// refused, as at that limit, and nothing else; what cannot be refused ends the process by its
// new-handler, never by an abort.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <new>
#include <string>

#include "kv/index/page_runs.h"
#include "kv/index/value_cache.h"
#include "kv/store/store.h"
#include "runtime/base/pages.h"
#include "runtime/base/sanitizer.h"
#include "tests/kv/store/memory/address_limit.h"
#include "tests/kv/store/store_call.h"
#include "tests/sim/world/sim_node.h"

namespace pakv {
namespace {

constexpr size_t kMiB = size_t{1} << 20;

[[noreturn]] void EndTest() {
  std::fflush(nullptr);
  _exit(testing::Test::HasFailure() ? 1 : 0);
}

TEST(NoMemoryTest, PagesThatTheSystemDoesNotGiveAreNone) {
  EXPECT_EQ(MapPages(SIZE_MAX / 4), nullptr);
}

TEST(NoMemoryDeathTest, WhoCannotDoWithoutEndsByTheNewHandler) {
  EXPECT_EXIT(
      {
        std::set_new_handler([] { _exit(7); });
        static_cast<void>(MapPagesOrEnd(SIZE_MAX / 4));
      },
      testing::ExitedWithCode(7), "");
  EXPECT_DEATH(EndForLackOfMemory(), "out of memory");
}

TEST(NoMemoryTest, ARunThatTheSystemDoesNotGiveIsNone) {
  PageRuns runs;
  EXPECT_EQ(runs.Allocate(size_t{1} << 60), nullptr);
  EXPECT_EQ(runs.held_bytes(), 0u);
  runs.CheckInvariants();
}

void CacheWithoutMemory() {
  ValueCache cache(1024 * kMiB, nullptr, nullptr);
  const uint32_t small = cache.Insert(1, "small");
  const uint32_t large = cache.Insert(2, std::string(2 * kMiB, 'l'));
  const std::string larger(16 * kMiB, 'm');
  {
    const AddressLimit limit(kMiB);
    EXPECT_EQ(cache.Insert(3, larger), ValueCache::kNoHandle) << "it is not kept";
    EXPECT_EQ(cache.Replace(large, 2, larger), ValueCache::kNoHandle) << "nor is the old one";
    EXPECT_EQ(cache.Get(small), "small");
    cache.CheckInvariants();
  }
  EXPECT_NE(cache.Insert(3, larger), ValueCache::kNoHandle);
  cache.CheckInvariants();
}

TEST(NoMemoryDeathTest, AValueThatThereIsNoMemoryForIsNotCached) {
  if (PAKV_SANITIZER_ALLOCATES) GTEST_SKIP() << "it takes address space of its own";
  EXPECT_EXIT(
      {
        CacheWithoutMemory();
        EndTest();
      },
      testing::ExitedWithCode(0), "");
}

// One core, and keys of 8000 bytes, of which few fill the index.
class TinyStore {
 public:
  TinyStore() {
    node_.disk().MakeDirectories("/data");
    node_.Start({.core = {.buffer_bytes = 64 << 10}});
    StoreOptions options;
    options.directory = "/data/store";
    options.segment_bytes = 4 << 20;
    options.memory.limit_bytes = 1024 * kMiB;
    options.cache_bytes = 0;
    options.entropy = StoreEntropy{{}, 17, 1};
    OpenReport report;
    auto opened = node_.Run(Store::Open(node_.cores(), options, report));
    PAKV_CHECK(opened && opened->ok(), world_.failure().c_str());
    store_ = &node_.Own(std::move(**opened));
  }

  static std::string Key(int number) {
    std::string key = "key" + std::to_string(number) + "-";
    key.resize(8000, 'k');
    return key;
  }
  Outcome Set(int number, std::string value) {
    const auto set = [](Store& store, Core& here, std::string key,
                        std::string bytes) -> Task<Outcome> {
      StoreCall call(store, here);
      co_await call.Update(SetFunction, OldState::kNothing, std::move(key), std::move(bytes));
      co_return call.outcome;
    };
    return node_.Run(set(*store_, node_.core(0), Key(number), std::move(value)))
        .value_or(Outcome::kStopping);
  }
  Outcome Delete(int number) {
    const auto erase = [](Store& store, Core& here, std::string key) -> Task<Outcome> {
      StoreCall call(store, here);
      co_await call.Update(DeleteFunction, OldState::kExistence, std::move(key), "");
      co_return call.outcome;
    };
    return node_.Run(erase(*store_, node_.core(0), Key(number))).value_or(Outcome::kStopping);
  }
  std::string Get(int number) {
    const auto get = [](Store& store, Core& here, std::string key) -> Task<std::string> {
      StoreCall call(store, here);
      co_await call.Read(GetFunction, OldState::kValue, std::move(key));
      co_return std::string(call.reply.bytes);
    };
    return node_.Run(get(*store_, node_.core(0), Key(number))).value_or("no answer");
  }
  void RunFor(uint64_t ns) { world_.RunFor(ns); }

 private:
  SimWorld world_{1};
  SimNode node_{world_, "10.0.0.1"};
  Store* store_ = nullptr;
};

void StoreWithoutMemory() {
  TinyStore store;
  EXPECT_EQ(store.Set(0, "0"), Outcome::kDone);
  int keys = 1;
  {
    const AddressLimit limit(3 * kMiB);
    Outcome outcome = Outcome::kDone;
    for (; keys < 10'000; ++keys) {
      outcome = store.Set(keys, std::to_string(keys));
      if (outcome != Outcome::kDone) break;
    }
    EXPECT_EQ(outcome, Outcome::kOutOfMemory);
    EXPECT_GT(keys, 100);
    EXPECT_EQ(store.Set(keys + 1, "v"), Outcome::kOutOfMemory);
    EXPECT_EQ(store.Set(1, "new"), Outcome::kDone) << "what is there can be written";
    EXPECT_EQ(store.Get(1), "new");
    EXPECT_EQ(store.Get(keys - 1), std::to_string(keys - 1));
    EXPECT_EQ(store.Delete(2), Outcome::kDone);
  }
  store.RunFor(10 * kNsPerMs);
  for (int i = keys; i < keys + 1000; ++i) EXPECT_EQ(store.Set(i, "v"), Outcome::kDone) << i;
}

TEST(NoMemoryDeathTest, NewKeysAreRefusedAndNothingElse) {
  if (PAKV_SANITIZER_ALLOCATES) GTEST_SKIP() << "it takes address space of its own";
  EXPECT_EXIT(
      {
        StoreWithoutMemory();
        EndTest();
      },
      testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace pakv
