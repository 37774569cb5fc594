// Memory in runs of pages. Method: random operations against a map of what is in use; and what is
// counted against what the kernel says is resident (mincore).
#include "kv/index/page_runs.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <iterator>
#include <map>
#include <optional>
#include <vector>

#include "runtime/base/prng.h"

namespace pakv {
namespace {

constexpr size_t kPage = PageRuns::kPageBytes;

// Pages of it that are in memory; none if it is not mapped.
std::optional<size_t> ResidentPages(char* address, size_t bytes) {
  std::vector<unsigned char> pages(bytes / kPage);
  if (mincore(address, bytes, pages.data()) != 0) {
    EXPECT_EQ(errno, ENOMEM);
    return std::nullopt;
  }
  size_t resident = 0;
  for (const unsigned char page : pages) resident += page & 1;
  return resident;
}

char* HeaderOf(char* run) { return run - reinterpret_cast<uint64_t>(run) % PageRuns::kRegionBytes; }

char* Filled(PageRuns& runs, size_t bytes) {
  char* const run = runs.Allocate(bytes);
  std::memset(run, 'v', PageRuns::RunBytes(bytes));
  return run;
}

TEST(PageRunsTest, ARunIsAtMostAnEighthLargerThanItsPages) {
  EXPECT_EQ(PageRuns::RunBytes(0), kPage);
  EXPECT_EQ(PageRuns::RunBytes(1), kPage);
  EXPECT_EQ(PageRuns::RunBytes(kPage), kPage);
  EXPECT_EQ(PageRuns::RunBytes(kPage + 1), 2 * kPage);
  EXPECT_EQ(PageRuns::RunBytes(16 * kPage), 16 * kPage);
  EXPECT_EQ(PageRuns::RunBytes(16 * kPage + 1), 18 * kPage);
  EXPECT_EQ(PageRuns::RunBytes(PageRuns::kClassedBytesMax), PageRuns::kClassedBytesMax);
  for (size_t bytes = 1; bytes <= PageRuns::kClassedBytesMax + 20 * kPage; bytes += 511) {
    const size_t whole = (bytes + kPage - 1) / kPage * kPage;
    const size_t run = PageRuns::RunBytes(bytes);
    ASSERT_GE(run, whole);
    ASSERT_LE(run, whole + whole / 8);
    ASSERT_EQ(run % kPage, 0u);
    const bool is_exact = bytes <= 16 * kPage || bytes > PageRuns::kClassedBytesMax;
    ASSERT_TRUE(run == whole || !is_exact);
    // What fills it is of its class.
    ASSERT_EQ(PageRuns::RunBytes(run), run);
  }
}

struct Run {
  size_t bytes;
  size_t run_bytes;
  unsigned char filled_with;
};

void RandomOperations(uint64_t seed) {
  Prng prng(seed);
  PageRuns runs;
  std::map<char*, Run> used;
  size_t used_bytes = 0;
  const uint64_t size_bits_max = prng.Between(13, 22);
  const uint64_t grows_until = prng.Between(100, 3'000);
  bool grows = true;
  const auto expect_whole = [](char* run, const Run& held) {
    ASSERT_EQ(static_cast<unsigned char>(run[0]), held.filled_with);
    ASSERT_EQ(static_cast<unsigned char>(run[held.bytes / 2]), held.filled_with);
    ASSERT_EQ(static_cast<unsigned char>(run[held.bytes - 1]), held.filled_with);
  };
  for (uint64_t i = 0; i < 6'000; ++i) {
    if (i % 500 == 0) grows = used.size() < grows_until && prng.Chance(2, 3);
    const size_t held = runs.held_bytes();
    const size_t warm = runs.warm_bytes();
    switch (prng.Below(grows ? 4 : 8)) {
      case 0:
        if (prng.Chance(1, 50)) {
          runs.set_warm_bytes_max(prng.Below(3) * prng.Below(size_t{8} << 20));
          break;
        }
        ASSERT_EQ(runs.GiveBack(), warm > 0);
        ASSERT_TRUE(runs.warm_bytes() < warm || warm == 0);
        break;
      case 1:
      case 2:
      case 3: {
        if (used_bytes > size_t{64} << 20) break;
        const size_t bytes = 1 + prng.Below(uint64_t{1} << prng.Between(10, size_bits_max));
        const size_t growth = runs.GrowthFor(bytes);
        char* const run = runs.Allocate(bytes);
        ASSERT_EQ(runs.held_bytes(), held + growth);
        ASSERT_EQ(reinterpret_cast<uint64_t>(run) % kPage, 0u);
        const size_t run_bytes = PageRuns::BytesOf(run);
        ASSERT_TRUE(PageRuns::Suits(run, bytes));
        ASSERT_TRUE(growth == 0 || run_bytes == PageRuns::RunBytes(bytes));
        const auto next = used.lower_bound(run);
        ASSERT_TRUE(next == used.end() || run + run_bytes <= next->first) << "overlap";
        ASSERT_TRUE(next == used.begin() ||
                    std::prev(next)->first + std::prev(next)->second.run_bytes <= run)
            << "overlap";
        const auto fill = static_cast<unsigned char>(i);
        std::memset(run, fill, bytes);
        used[run] = {bytes, run_bytes, fill};
        used_bytes += run_bytes;
        break;
      }
      default: {
        if (used.empty()) break;
        auto leaves = used.lower_bound(used.begin()->first + prng.Below(size_t{256} << 20));
        if (leaves == used.end()) leaves = used.begin();
        expect_whole(leaves->first, leaves->second);
        used_bytes -= leaves->second.run_bytes;
        runs.Free(leaves->first);
        used.erase(leaves);
        ASSERT_LE(runs.held_bytes(), held);
        break;
      }
    }
    ASSERT_EQ(used_bytes + runs.warm_bytes() + runs.regions() * kPage, runs.held_bytes());
    if (i % 1'000 == 0) runs.CheckInvariants();
  }
  for (const auto& [run, held] : used) {
    expect_whole(run, held);
    ASSERT_EQ(ResidentPages(run, (held.bytes + kPage - 1) / kPage * kPage),
              (held.bytes + kPage - 1) / kPage);
    runs.Free(run);
  }
  runs.CheckInvariants();
  while (runs.GiveBack()) {
  }
  ASSERT_EQ(runs.held_bytes(), 0u);
  ASSERT_EQ(runs.regions(), 0u);
}

TEST(PageRunsTest, RunsInUseAreNobodyElses) {
  for (uint64_t seed = 1; seed <= 16; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    RandomOperations(seed);
    if (testing::Test::HasFatalFailure()) return;
  }
}

// All that was ever handed out is looked at, used or not: so no hole keeps memory.
TEST(PageRunsTest, WhatIsCountedIsWhatIsResident) {
  Prng prng(1);
  PageRuns runs;
  runs.set_warm_bytes_max(size_t{2} << 20);
  std::map<char*, size_t> ever;  // the run's size
  std::vector<char*> used;
  size_t used_bytes = 0;
  const auto compare = [&] {
    size_t resident = 0;
    std::map<char*, size_t> headers;
    for (const auto& [run, run_bytes] : ever) {
      resident += ResidentPages(run, run_bytes).value_or(0) * kPage;
      headers[HeaderOf(run)] = 1;
    }
    for (const auto& [header, pages] : headers) {
      resident += ResidentPages(header, kPage).value_or(0) * kPage;
    }
    ASSERT_EQ(resident, runs.held_bytes());
    ASSERT_EQ(resident, used_bytes + runs.warm_bytes() + runs.regions() * kPage);
  };
  // Every class, all mixed; then all but every tenth go.
  for (int i = 0; i < 400; ++i) {
    const size_t bytes = 1 + prng.Below(uint64_t{1} << prng.Between(12, 20));
    used.push_back(Filled(runs, bytes));
    ever[used.back()] = PageRuns::RunBytes(bytes);
    used_bytes += PageRuns::RunBytes(bytes);
  }
  compare();
  const size_t held_full = runs.held_bytes();
  for (size_t i = 0; i < used.size(); ++i) {
    if (i % 10 == 0) continue;
    runs.Free(used[i]);
    used_bytes -= ever[used[i]];
  }
  compare();
  EXPECT_GT(runs.warm_bytes(), 0u);
  EXPECT_LE(runs.warm_bytes(), runs.warm_bytes_max());
  EXPECT_LT(runs.held_bytes(), held_full / 4);
  while (runs.GiveBack()) {
  }
  compare();
  for (size_t i = 0; i < used.size(); i += 10) runs.Free(used[i]);
  while (runs.GiveBack()) {
  }
  EXPECT_EQ(runs.held_bytes(), 0u);
}

TEST(PageRunsTest, AWarmRunIsTakenAgainAndAColdOneHoldsNothing) {
  PageRuns runs;
  runs.set_warm_bytes_max(size_t{1} << 20);
  char* const keeper = Filled(runs, 100'000);  // of the same region
  char* const run = Filled(runs, 100'000);
  const size_t run_bytes = PageRuns::RunBytes(100'000);
  EXPECT_EQ(run_bytes, 26 * kPage);
  const size_t held = runs.held_bytes();
  EXPECT_EQ(held, 2 * run_bytes + kPage);
  runs.Free(run);
  EXPECT_EQ(runs.held_bytes(), held);
  EXPECT_EQ(runs.warm_bytes(), run_bytes);
  EXPECT_EQ(runs.GrowthFor(99'000), 0u);
  EXPECT_EQ(runs.Allocate(99'000), run);
  EXPECT_EQ(runs.warm_bytes(), 0u);
  runs.Free(run);
  ASSERT_TRUE(runs.GiveBack());
  EXPECT_EQ(ResidentPages(run, run_bytes), 0u);
  EXPECT_EQ(runs.held_bytes(), held - run_bytes);
  EXPECT_EQ(runs.GrowthFor(100'000), run_bytes);
  EXPECT_FALSE(runs.GiveBack());
  // Taken again it is in memory as far as it was asked for, before anybody writes to it.
  EXPECT_EQ(runs.Allocate(98'305), run);
  EXPECT_EQ(ResidentPages(run, run_bytes), 25u);
  runs.Free(run);
  runs.Free(keeper);
}

TEST(PageRunsTest, AWarmRunServesValuesOfUpToAFifthLess) {
  PageRuns runs;
  runs.set_warm_bytes_max(size_t{1} << 20);
  char* const run = Filled(runs, 20 * kPage);
  runs.Free(run);
  EXPECT_EQ(runs.GrowthFor(20 * kPage + 1), 22 * kPage + kPage);
  EXPECT_EQ(runs.GrowthFor(15 * kPage), 15 * kPage + kPage);
  EXPECT_EQ(runs.GrowthFor(16 * kPage), 0u);
  EXPECT_EQ(runs.Allocate(16 * kPage), run);
  EXPECT_EQ(PageRuns::BytesOf(run), 20 * kPage);
  EXPECT_TRUE(PageRuns::Suits(run, 20 * kPage));
  EXPECT_FALSE(PageRuns::Suits(run, 20 * kPage + 1));
  EXPECT_FALSE(PageRuns::Suits(run, 15 * kPage));
  runs.Free(run);
}

TEST(PageRunsTest, ARegionThatHoldsNothingIsUnmapped) {
  PageRuns runs;
  char* const first = Filled(runs, 1 << 20);
  std::vector<char*> others;
  while (runs.regions() == 1) others.push_back(Filled(runs, 1 << 20));
  EXPECT_EQ(others.size(), 3u);
  EXPECT_EQ(runs.GrowthFor(1 << 20), size_t{1} << 20);
  EXPECT_EQ(runs.GrowthFor(500'000), PageRuns::RunBytes(500'000) + kPage);
  for (char* const run : others) runs.Free(run);
  EXPECT_EQ(runs.regions(), 1u);
  EXPECT_FALSE(ResidentPages(HeaderOf(others.back()), PageRuns::kRegionBytes));
  EXPECT_TRUE(ResidentPages(HeaderOf(first), PageRuns::kRegionBytes));
  runs.Free(first);
  EXPECT_FALSE(ResidentPages(HeaderOf(first), PageRuns::kRegionBytes));
  EXPECT_EQ(runs.held_bytes(), 0u);
}

TEST(PageRunsTest, ALargeRunHasARegionOfItsOwn) {
  PageRuns runs;
  runs.set_warm_bytes_max(size_t{64} << 20);
  char* const small = Filled(runs, 10'000);
  const size_t held = runs.held_bytes();
  constexpr size_t kBytes = (size_t{9} << 20) + 1;
  EXPECT_EQ(runs.GrowthFor(kBytes), PageRuns::RunBytes(kBytes) + kPage);
  char* const run = Filled(runs, kBytes);
  EXPECT_EQ(runs.held_bytes(), held + (size_t{9} << 20) + 2 * kPage);
  EXPECT_EQ(runs.regions(), 2u);
  runs.CheckInvariants();
  runs.Free(run);
  EXPECT_EQ(runs.held_bytes(), held);
  EXPECT_FALSE(ResidentPages(run, PageRuns::RunBytes(kBytes)));
  runs.Free(small);
}

// A pool that may hold nothing any more empties with what is freed, a few runs each time.
TEST(PageRunsTest, FreeGivesBackAFewAtOnce) {
  PageRuns runs;
  runs.set_warm_bytes_max(size_t{8} << 20);
  std::vector<char*> used;
  for (int i = 0; i < 110; ++i) used.push_back(Filled(runs, 10'000));
  for (int i = 0; i < 100; ++i) runs.Free(used[static_cast<size_t>(i)]);
  const size_t run_bytes = PageRuns::RunBytes(10'000);
  EXPECT_EQ(runs.warm_bytes(), 100 * run_bytes);
  runs.set_warm_bytes_max(0);
  EXPECT_EQ(runs.warm_bytes(), 100 * run_bytes);
  runs.Free(used[100]);
  EXPECT_EQ(runs.warm_bytes(), (101 - PageRuns::kGiveBacksPerFree) * run_bytes);
  for (size_t i = 101; i < 110; ++i) runs.Free(used[i]);
  EXPECT_EQ(runs.warm_bytes(), (110 - 10 * PageRuns::kGiveBacksPerFree) * run_bytes);
}

// The class that has most gives first, so that each keeps some.
TEST(PageRunsTest, TheFullestClassGivesBack) {
  PageRuns runs;
  runs.set_warm_bytes_max(size_t{1} << 20);
  char* const rare = Filled(runs, 100'000);
  runs.Free(rare);
  std::vector<char*> used;
  for (int i = 0; i < 200; ++i) used.push_back(Filled(runs, 20'000));
  for (char* const run : used) runs.Free(run);
  EXPECT_LE(runs.warm_bytes(), runs.warm_bytes_max());
  EXPECT_EQ(runs.GrowthFor(100'000), 0u);
  EXPECT_EQ(runs.GrowthFor(20'000), 0u);
}

TEST(PageRunsDeathTest, ARunIsFreedOnce) {
  PageRuns runs;
  runs.set_warm_bytes_max(size_t{1} << 20);
  char* const keeper = runs.Allocate(10'000);
  char* const run = runs.Allocate(10'000);
  runs.Free(run);
  EXPECT_DEATH(runs.Free(run), "freed twice");
  EXPECT_DEATH(runs.Free(keeper + kPage), "not a run's address");
  runs.Free(keeper);
}

}  // namespace
}  // namespace pakv
