// The index at size: growth, memory, decline, and walks while it changes.
#include <absl/container/btree_map.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "kv/index/table.h"
#include "tests/kv/index/index_keys.h"

namespace pakv {
namespace {

using Outcome = Table::Outcome;

// The growth test's figures are the promises of the header: the work of one operation is bounded
// whatever the size, and a key costs at most 48 bytes beside its own 16.
TEST(TableSizeTest, GrowsToTwoMillionKeysWithBoundedWorkAndMemory) {
  constexpr uint64_t kKeys = 2'000'000;
  // Slots of a split and of the buckets that move for it, and a directory node that doubles.
  constexpr uint64_t kWorkMax = (1 << Directory::kNodeDepthMax) + 16 * kBucketSlotsMax;
  Table table(RangeOf(1, 3));
  Prng prng(1);
  size_t overhead_max = 0;
  std::vector<uint64_t> hashes;
  hashes.reserve(kKeys);
  for (uint64_t i = 0; i < kKeys; ++i) {
    const uint64_t hash = RangeOf(1, 3).first + prng.Below(~uint64_t{0} / 3);
    hashes.push_back(hash);
    ASSERT_EQ(table.Upsert({hash, 0, NumberedKey(i)}, VersionOf(i + 1)).outcome,
              Outcome::kInserted);
    // All sizes, as filling buckets, splitting buckets and growing nodes take turns.
    if (i > 200'000 && i % 8192 == 0) {
      overhead_max = std::max(overhead_max, table.bytes_used() / (i + 1) - 16);
    }
  }
  EXPECT_LE(table.work_max(), kWorkMax);
  EXPECT_LE(overhead_max, 48u);
  table.CheckInvariants();
  const size_t bytes_full = table.bytes_used();

  // Deletes give the memory back, in the same proportion, whatever their order.
  uint64_t left = kKeys;
  const auto erase = [&](uint64_t i) {
    ASSERT_EQ(table.Erase({hashes[i], 0, NumberedKey(i)}, kKeys + 1).outcome, Outcome::kErased);
    --left;
  };
  for (uint64_t i = 1; i < kKeys; i += 2) erase(i);
  EXPECT_LE(table.bytes_used(), bytes_full / 2 * 107 / 100);
  for (uint64_t i = 0; i < kKeys; i += 2) {
    if (i % 10 != 0) erase(i);
  }
  EXPECT_EQ(table.count(), left);
  EXPECT_LE(table.bytes_used(), bytes_full / 10 * 5 / 4);
  table.CheckInvariants();
  for (uint64_t i = 0; i < kKeys; i += 10) {
    ASSERT_EQ(table.Find({hashes[i], 0, NumberedKey(i)}).lsn(), i + 1);
    table.Erase({hashes[i], 0, NumberedKey(i)}, kKeys + 1);
  }
  EXPECT_LE(table.work_max(), kWorkMax);
  EXPECT_EQ(table.count(), 0u);
  EXPECT_LE(table.bytes_used(), Table((HashRange())).bytes_used() + 600'000);
  table.CheckInvariants();
}

// An expiry costs its eight bytes, and they come back with it.
TEST(TableSizeTest, ExpiryTakesEightBytesAndOnlyOfKeysThatHaveOne) {
  constexpr uint64_t kKeys = 300'000;
  Table table((HashRange()));
  Prng prng(2);
  std::vector<uint64_t> hashes;
  for (uint64_t i = 0; i < kKeys; ++i) {
    hashes.push_back(prng.Next());
    table.Upsert({hashes[i], 0, NumberedKey(i)}, VersionOf(i + 1));
  }
  const size_t bytes_without = table.bytes_used();
  const auto set_expiry = [&](uint64_t expiry_ms, uint64_t lsn) {
    for (uint64_t i = 0; i < kKeys; ++i) {
      Version version = VersionOf(lsn + i);
      version.expiry_ms = expiry_ms;
      ASSERT_EQ(table.Upsert({hashes[i], 0, NumberedKey(i)}, version).outcome, Outcome::kReplaced);
    }
  };
  // Chunks kept warm and those that are not full are what may come on top.
  constexpr size_t kSlackBytes = 4 * ChunkArena::kChunkBytes;
  set_expiry(1000, kKeys + 1);
  EXPECT_EQ(table.expiring(), kKeys);
  EXPECT_GE(table.bytes_used(), bytes_without + 8 * kKeys - kSlackBytes);
  EXPECT_LE(table.bytes_used(), bytes_without + 8 * kKeys + kSlackBytes);
  set_expiry(kNoExpiry, 2 * kKeys + 1);
  EXPECT_EQ(table.expiring(), 0u);
  EXPECT_LE(table.bytes_used(), bytes_without + kSlackBytes);
  table.CheckInvariants();
}

// Hashes that an attacker who knew the seed could make: each bit but the last few shared.
TEST(TableSizeTest, WorkIsBoundedForHashesThatShareTheirLeadingBits) {
  Table table((HashRange()));
  for (uint64_t i = 0; i < 100'000; ++i) {
    const uint64_t hash = (i % 64) << (i / 64 % 58);
    table.Upsert({hash, 0, NumberedKey(i)}, VersionOf(i + 1));
  }
  // Six levels of nodes, each grown to its full depth at once.
  EXPECT_LE(table.work_max(), Directory::kLevelsMax * (2u << Directory::kNodeDepthMax));
  table.CheckInvariants();
}

// The promise of SCAN: between its calls keys come and go, the table grows tenfold and shrinks
// again; each key that was there throughout is returned.
TEST(TableSizeTest, ScanReturnsEveryKeyThatStaysWhileOthersComeAndGo) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    Prng prng(seed);
    Table table(RangeOf(0, 1));
    constexpr uint64_t kStaying = 2'000;
    for (uint64_t i = 0; i < kStaying; ++i) {
      table.Upsert(KeyOf(NumberedKey(i)), VersionOf(i + 1));
    }
    uint64_t added = kStaying;
    uint64_t erased = kStaying;
    std::set<std::string> seen;
    std::optional<uint64_t> cursor = 0;
    while (cursor) {
      cursor = table.VisitFrom(*cursor, 10, [&](Entry entry) { seen.emplace(entry.key()); });
      const bool grows = seen.size() < kStaying / 2;
      for (int i = 0; i < 100; ++i) {
        if (grows == prng.Chance(4, 5)) {
          table.Upsert(KeyOf(NumberedKey(added)), VersionOf(added + 1));
          ++added;
        } else if (erased < added) {
          ASSERT_EQ(table.Erase(KeyOf(NumberedKey(erased)), kLsnMax).outcome, Outcome::kErased);
          ++erased;
        }
      }
    }
    for (uint64_t i = 0; i < kStaying; ++i) EXPECT_EQ(seen.count(NumberedKey(i)), 1u);
  }
}

TEST(TableSizeTest, ScanNeverSeparatesHashesThatShareFiftyTwoBits) {
  const HashRange range = RangeOf(1, 3);  // its groups do not lie on the directory's bits
  Table table(range);
  for (uint64_t i = 0; i < 3'000; ++i) {
    const uint64_t hash = range.first + 4096 * (i / 300) + i;
    table.Upsert({hash, 0, NumberedKey(i)}, VersionOf(i + 1));
  }
  std::set<uint64_t> groups;
  uint64_t keys = 0;
  std::optional<uint64_t> cursor = 0;
  while (cursor) {
    std::set<uint64_t> groups_now;
    cursor = table.VisitFrom(*cursor, 1, [&](Entry entry) {
      groups_now.insert(entry.hash() >> 12);
      ++keys;
    });
    EXPECT_EQ(groups_now.size(), 1u);
    for (const uint64_t group : groups_now) EXPECT_TRUE(groups.insert(group).second);
  }
  EXPECT_EQ(keys, 3'000u);
}

TEST(TableSizeTest, RandomEntryIsEven) {
  Table table((HashRange()));
  constexpr uint64_t kKeys = 400;
  absl::btree_map<std::string, uint64_t> drawn;
  for (uint64_t i = 0; i < kKeys; ++i) {
    std::string key = NumberedKey(i);
    key.resize(16 + i % 5 * 100 + (i % 50 == 0 ? 10'000 : 0), 'x');
    drawn[key] = 0;
    table.Upsert(KeyOf(key), VersionOf(i + 1));
  }
  Prng prng(1);
  for (uint64_t i = 0; i < kKeys * 1'000; ++i) {
    ++drawn[std::string(table.RandomEntry(prng).key())];
  }
  double chi_squared = 0;
  for (const auto& [key, count] : drawn) {
    const double off = static_cast<double>(count) - 1'000;
    chi_squared += off * off / 1'000;
  }
  EXPECT_EQ(drawn.size(), kKeys);
  EXPECT_LT(chi_squared, 399 + 5 * 28.3) << "399 degrees of freedom, deviation 28.3";
}

TEST(TableSizeTest, RandomEntryIsEvenWhenAPoolHasManyChunks) {
  Table table((HashRange()));
  constexpr uint64_t kKeys = 150'000;
  for (uint64_t i = 0; i < kKeys; ++i) {
    table.Upsert(KeyOf(NumberedKey(i)), VersionOf(i + 1));
  }
  Prng prng(1);
  uint64_t low = 0;
  for (int i = 0; i < 100'000; ++i) low += table.RandomEntry(prng).lsn() <= kKeys / 2 ? 1 : 0;
  EXPECT_NEAR(static_cast<double>(low), 50'000, 5 * 158);
}

TEST(TableSizeTest, DropStepFreesATableBitByBit) {
  Table table((HashRange()));
  for (uint64_t i = 0; i < 100'000; ++i) {
    std::string key = NumberedKey(i);
    if (i % 1000 == 0) key.resize(9'000);
    table.Upsert(KeyOf(key), VersionOf(i + 1));
  }
  size_t bytes = table.bytes_used();
  size_t freed_max = 0;
  bool done = false;
  while (!done) {
    done = table.DropStep(1);
    freed_max = std::max(freed_max, bytes - table.bytes_used());
    bytes = table.bytes_used();
  }
  EXPECT_LE(freed_max, 3 * ChunkArena::kChunkBytes);
  EXPECT_LT(bytes, 10 * ChunkArena::kChunkBytes);
}

}  // namespace
}  // namespace pakv
