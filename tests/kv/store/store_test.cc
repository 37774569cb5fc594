// The store on a real disk: small, since the simulated world (tests/sim) goes further.
#include "kv/store/store.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "runtime/core/cores.h"
#include "runtime/io/uring_ring.h"
#include "tests/kv/store/store_call.h"

namespace pakv {
namespace {

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "pakv-store-XXXXXX").string();
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    path_ = name;
  }
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
  std::string store() const { return path_ + "/data"; }

 private:
  std::string path_;
};

Task<std::string> Get(Store& store, Core& here, std::string key) {
  StoreCall call(store, here);
  co_await call.Read(GetFunction, OldState::kValue, key);
  if (call.outcome != Outcome::kDone) co_return "failed";
  co_return call.reply.kind == Reply::Kind::kNull ? "missing" : std::string(call.reply.bytes);
}

Task<bool> Set(Store& store, Core& here, std::string key, std::string value) {
  StoreCall call(store, here);
  co_await call.Update(SetFunction, OldState::kNothing, key, value);
  EXPECT_EQ(call.outcome, Outcome::kDone);
  co_return call.outcome == Outcome::kDone;
}

Task<int64_t> Append(Store& store, Core& here, std::string key, std::string value) {
  StoreCall call(store, here);
  co_await call.Update(AppendFunction, OldState::kValue, key, value);
  co_return call.reply.integer;
}

Task<int64_t> Delete(Store& store, Core& here, std::string key) {
  StoreCall call(store, here);
  co_await call.Update(DeleteFunction, OldState::kExistence, key);
  co_return call.reply.integer;
}

using Body = Task<void> (*)(Store& store, Core& here);

Task<void> OpenRunStop(Cores& cores, StoreOptions options, Body body) {
  OpenReport report;
  auto opened = co_await Store::Open(cores, options, report);
  EXPECT_TRUE(opened.ok()) << opened.status();
  if (opened.ok()) {
    std::unique_ptr<Store> store = std::move(*opened);
    co_await body(*store, cores.core(0));
    const absl::Status stopped = co_await store->Stop();
    EXPECT_TRUE(stopped.ok()) << stopped;
  }
  cores.RequestLeave();
}

void WithStore(const StoreOptions& options, uint32_t core_count, Body body) {
  std::vector<std::unique_ptr<Ring>> rings;
  for (uint32_t i = 0; i < core_count; ++i) {
    std::string error;
    rings.push_back(UringRing::Create({}, error));
    ASSERT_NE(rings.back(), nullptr) << error;
  }
  Cores cores(SystemClock(), std::move(rings), {});
  cores.core(0).nursery().Spawn(OpenRunStop(cores, options, body));
  ASSERT_TRUE(cores.Start());
  cores.Join();
}

StoreOptions Small(const TemporaryDirectory& directory, uint64_t cache_bytes) {
  StoreOptions options;
  options.directory = directory.store();
  options.segment_bytes = 1 << 20;
  options.cache_bytes = cache_bytes;
  return options;
}

Task<void> WriteThousand(Store& store, Core& here) {
  for (int i = 0; i < 1000; ++i) {
    co_await Set(store, here, "key" + std::to_string(i), "value" + std::to_string(i));
  }
  for (int i = 0; i < 1000; i += 3) {
    const int64_t removed = co_await Delete(store, here, "key" + std::to_string(i));
    EXPECT_EQ(removed, 1);
  }
  const int64_t length = co_await Append(store, here, "key1", "+more");
  EXPECT_EQ(length, 11);
  const int64_t again = co_await Delete(store, here, "key0");
  EXPECT_EQ(again, 0);
}

Task<void> ReadThousand(Store& store, Core& here) {
  for (int i = 0; i < 1000; ++i) {
    std::string value = co_await Get(store, here, "key" + std::to_string(i));
    if (i % 3 == 0) {
      EXPECT_EQ(value, "missing");
    } else if (i == 1) {
      EXPECT_EQ(value, "value1+more");
    } else {
      EXPECT_EQ(value, "value" + std::to_string(i));
    }
  }
  const uint64_t count = co_await store.CountKeys(here, kDefaultNamespace);
  EXPECT_EQ(count, 666u);
}

Task<void> WriteAndRead(Store& store, Core& here) {
  co_await WriteThousand(store, here);
  co_await ReadThousand(store, here);
}

class StoreTest : public ::testing::TestWithParam<uint32_t> {};
INSTANTIATE_TEST_SUITE_P(Cores, StoreTest, ::testing::Values(1, 2, 3));

TEST_P(StoreTest, ReadsWhatItWrote) {
  TemporaryDirectory directory;
  WithStore(Small(directory, 16 << 20), GetParam(), WriteAndRead);
}

TEST_P(StoreTest, ReadsFromTheDeviceWithoutACache) {
  TemporaryDirectory directory;
  WithStore(Small(directory, 0), GetParam(), WriteAndRead);
}

Task<void> ScanAll(Store& store, Core& here) {
  co_await WriteThousand(store, here);
  std::vector<std::string> keys;
  uint64_t cursor = 0;
  int steps = 0;
  do {
    ScanStep step = co_await store.Scan(here, kDefaultNamespace, cursor, 10,
                                        [](std::string_view, uint64_t&) { return true; });
    cursor = step.cursor;
    keys.insert(keys.end(), step.keys.begin(), step.keys.end());
    ++steps;
  } while (cursor != 0);
  EXPECT_GT(steps, 50);
  std::sort(keys.begin(), keys.end());
  keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
  EXPECT_EQ(keys.size(), 666u);
}

TEST_P(StoreTest, ScanVisitsEveryKey) {
  TemporaryDirectory directory;
  WithStore(Small(directory, 0), GetParam(), ScanAll);
}

Task<void> FlushAll(Store& store, Core& here) {
  co_await WriteThousand(store, here);
  const Outcome flushed = co_await store.Flush(here, kDefaultNamespace);
  EXPECT_EQ(flushed, Outcome::kDone);
  uint64_t count = co_await store.CountKeys(here, kDefaultNamespace);
  EXPECT_EQ(count, 0u);
  co_await Set(store, here, "after", "the flush");
  std::string value = co_await Get(store, here, "after");
  EXPECT_EQ(value, "the flush");
}

Task<void> OnlyAfter(Store& store, Core& here) {
  std::string value = co_await Get(store, here, "after");
  EXPECT_EQ(value, "the flush");
  const uint64_t count = co_await store.CountKeys(here, kDefaultNamespace);
  EXPECT_EQ(count, 1u);
}

TEST_P(StoreTest, FlushIsForEver) {
  TemporaryDirectory directory;
  WithStore(Small(directory, 1 << 20), GetParam(), FlushAll);
  WithStore(Small(directory, 1 << 20), 1 + GetParam() % 3, OnlyAfter);
}

TEST_P(StoreTest, OpensAgainWithAnotherNumberOfCores) {
  TemporaryDirectory directory;
  WithStore(Small(directory, 1 << 20), GetParam(), WriteThousand);
  WithStore(Small(directory, 1 << 20), 1 + GetParam() % 3, ReadThousand);
  WithStore(Small(directory, 0), GetParam(), ReadThousand);
}

}  // namespace
}  // namespace pakv
