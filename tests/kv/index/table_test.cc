// The index. Method: random operations against an absl::btree_map, in which operations, hashes
// (spread, crowded, equal) and key lengths are picked anew for each seed. What only shows at size
// is in table_size_test.cc.
#include "kv/index/table.h"

#include <absl/container/btree_map.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "tests/kv/index/index_keys.h"

namespace pakv {
namespace {

using Outcome = Table::Outcome;

TEST(HashRangeTest, RangesOfCoresTileTheSpaceAndAgreeWithTheOwner) {
  for (uint32_t cores = 1; cores <= 256; ++cores) {
    uint64_t first = 0;
    for (uint32_t core = 0; core < cores; ++core) {
      const HashRange range = RangeOf(core, cores);
      ASSERT_EQ(range.first, first);
      ASSERT_EQ(OwnerOf(range.first, cores), core);
      ASSERT_EQ(OwnerOf(range.last, cores), core);
      first = range.last + 1;
    }
    ASSERT_EQ(first, 0u);
  }
}

// What the table should hold, and the operations on both.
class Model {
 public:
  explicit Model(uint64_t seed) : prng_(seed), range_(PickRange()), table_(range_) {
    hash_mode_ = static_cast<int>(prng_.Below(4));
    keys_ = prng_.Chance(1, 2) ? 200 : 20'000;
    long_keys_ = prng_.Chance(1, 4);
    for (uint32_t& weight : weights_) weight = static_cast<uint32_t>(prng_.Below(8));
    weights_[kUpsert] += 2;
  }

  void Run(uint32_t operations) {
    for (uint32_t i = 0; i < operations; ++i) {
      // Growth and decline take turns, so that merges are met as well.
      if (i % 5000 == 0) std::swap(weights_[kUpsert], weights_[kErase]);
      Step();
      if (HasFatalFailure()) return;
      if (i % 4096 == 0) Compare();
    }
    Compare();
    while (!table_.DropStep(1)) {
    }
  }

 private:
  enum Operation {
    kUpsert,
    kErase,
    kFind,
    kMove,
    kCache,
    kSweep,
    kVisit,
    kRandom,
    kRecount,
    kOperations
  };
  using Id = std::tuple<uint64_t, uint32_t, std::string>;  // hash, namespace, key
  struct Expected {
    Version version;
    uint32_t cache = 0;
    bool referenced = false;
  };

  static bool HasFatalFailure() { return testing::Test::HasFatalFailure(); }

  HashRange PickRange() {
    const uint32_t cores = static_cast<uint32_t>(prng_.Chance(1, 2) ? 1 : prng_.Between(2, 256));
    return RangeOf(static_cast<uint32_t>(prng_.Below(cores)), cores);
  }

  Id PickId() {
    const uint64_t number = prng_.Below(keys_);
    Prng of_key(number);
    size_t length = of_key.Below(40);
    if (long_keys_ && of_key.Chance(1, 50)) length = of_key.Below(30'000);
    std::string key(length, static_cast<char>('a' + number % 26));
    for (size_t i = 0; i < length && i < 8; ++i) key[i] = static_cast<char>(number >> (8 * i));
    const uint32_t namespace_id = of_key.Chance(1, 4) ? 1 + number % 3 : 0;
    const uint64_t spread = HashOf(key, namespace_id);
    uint64_t hash = spread;
    switch (hash_mode_) {
      case 1:  // many keys on one hash
        hash = (spread % 16) << 60;
        break;
      case 2:  // deep: all but the last bits are shared
        hash = 0x5555'5555'5555'0000u | spread % 4096;
        break;
      case 3:  // crowded at both ends
        hash = (spread & 1) ? spread >> 40 : ~(spread >> 40);
        break;
      default:
        break;
    }
    // Into the range, order kept; the modes' shapes stay at its edges.
    const uint64_t size_less_one = range_.last - range_.first;
    if (size_less_one != ~uint64_t{0}) hash = range_.first + hash % (size_less_one + 1);
    return {hash, namespace_id, key};
  }
  static TableKey KeyOfId(const Id& id) {
    return {std::get<0>(id), std::get<1>(id), std::get<2>(id)};
  }
  static Id IdOf(Entry entry) {
    return {entry.hash(), entry.namespace_id(), std::string(entry.key())};
  }
  Lsn PickLsn() { return prng_.Chance(1, 8) ? prng_.Between(1, next_lsn_) : ++next_lsn_; }

  void Step() {
    uint32_t total = 0;
    for (const uint32_t weight : weights_) total += weight;
    uint64_t pick = prng_.Below(total);
    int operation = 0;
    while (pick >= weights_[operation]) pick -= weights_[operation++];
    const Id id = PickId();
    const TableKey key = KeyOfId(id);
    const auto known = model_.find(id);
    switch (operation) {
      case kUpsert:
        return StepUpsert(id);
      case kErase: {
        const Lsn lsn = PickLsn();
        const Table::Change change = table_.Erase(key, lsn);
        if (known == model_.end()) {
          ASSERT_EQ(change.outcome, Outcome::kMissing);
        } else if (known->second.version.lsn >= lsn) {
          ASSERT_EQ(change.outcome, Outcome::kStale);
          ASSERT_EQ(change.previous, known->second.version);
          ASSERT_EQ(change.entry.lsn(), known->second.version.lsn);
        } else {
          ASSERT_EQ(change.outcome, Outcome::kErased);
          ASSERT_EQ(change.previous, known->second.version);
          ASSERT_EQ(change.cache, known->second.cache);
          model_.erase(known);
        }
        return;
      }
      case kFind: {
        table_.Prefetch(std::span(&key, 1), [](const TableKey& each) { return each.hash; });
        const Entry entry = table_.Find(key);
        ASSERT_EQ(static_cast<bool>(entry), known != model_.end());
        if (entry) Same(entry, known->second);
        return;
      }
      case kMove: {
        if (known == model_.end()) return;
        Version& version = known->second.version;
        const Location to{prng_.Chance(1, 2) ? 7u : 8u, ++places_, 10};
        ASSERT_FALSE(table_.MoveLocation(key.hash, version.lsn + 1, version.location, to));
        ASSERT_FALSE(table_.MoveLocation(key.hash, version.lsn, {6, 6, 6}, to));
        ASSERT_TRUE(table_.MoveLocation(key.hash, version.lsn, version.location, to));
        version.location = to;
        return;
      }
      case kCache:
        return StepCache(id);
      case kSweep:
        return StepSweep();
      case kRecount:
        // Step by step between all the other operations.
        if (!table_.RecountStep(static_cast<uint32_t>(prng_.Between(1, 20)))) return;
        ASSERT_EQ(table_.recounted().List(), table_.live_bytes().List());
        ASSERT_EQ(table_.recounted().total(), table_.live_bytes().total());
        table_.EndRecount();
        if (prng_.Chance(1, 4)) table_.TrimLiveBytes();
        return;
      case kVisit:
        return StepVisit();
      case kRandom: {
        const Entry entry = table_.RandomEntry(prng_);
        ASSERT_EQ(static_cast<bool>(entry), !model_.empty());
        if (!entry) return;
        const auto found = model_.find(IdOf(entry));
        ASSERT_NE(found, model_.end());
        Same(entry, found->second);
        return;
      }
      default:
        return;
    }
  }

  void StepUpsert(const Id& id) {
    Version version;
    version.lsn = PickLsn();
    version.location = {static_cast<uint32_t>(prng_.Below(4)), ++places_, 3};
    if (prng_.Chance(1, 4)) version.expiry_ms = prng_.Between(1, ~uint64_t{0});
    if (prng_.Chance(1, 5)) {
      version.file = prng_.Between(1, ~uint64_t{0});
      version.file_bytes = prng_.Next();
    }
    version.tombstone = prng_.Chance(1, 8);
    const Table::Change change = table_.Upsert(KeyOfId(id), version);
    const auto known = model_.find(id);
    if (known == model_.end()) {
      ASSERT_EQ(change.outcome, Outcome::kInserted);
      model_[id] = {version};
      Same(change.entry, model_[id]);
      return;
    }
    ASSERT_EQ(change.previous, known->second.version);
    if (known->second.version.lsn >= version.lsn) {
      ASSERT_EQ(change.outcome, Outcome::kStale);
    } else {
      ASSERT_EQ(change.outcome, Outcome::kReplaced);
      ASSERT_EQ(change.cache, known->second.cache);
      known->second.version = version;
      known->second.cache = 0;
    }
    ASSERT_EQ(IdOf(change.entry), id);
    ASSERT_EQ(change.entry.key().data(), table_.Find(KeyOfId(id)).key().data());
    Same(change.entry, known->second);
  }

  void StepCache(const Id& id) {
    const auto known = model_.find(id);
    const Entry entry = table_.Find(KeyOfId(id));
    if (known == model_.end()) return;
    if (known->second.cache == 0) {
      known->second.cache = ++next_cache_;
      entry.set_cache(next_cache_);
    } else {
      ASSERT_FALSE(table_.ForgetCached(entry.hash(), next_cache_ + 1));
      ASSERT_TRUE(table_.ForgetCached(entry.hash(), known->second.cache));
      known->second.cache = 0;
    }
    known->second.referenced = prng_.Chance(1, 2);
    entry.set_referenced(known->second.referenced);
  }

  // Erases the tombstones, or a third of all, in steps.
  void StepSweep() {
    if (!prng_.Chance(1, 200)) return;
    const bool tombstones = prng_.Chance(2, 3);
    const uint64_t salt = prng_.Next();
    const auto unwanted = [&](const Id& id, bool tombstone) {
      return tombstones ? tombstone : (std::get<0>(id) ^ std::get<2>(id).size() ^ salt) % 3 == 0;
    };
    const uint32_t step = static_cast<uint32_t>(prng_.Between(1, 100));
    std::optional<uint64_t> from = 0;
    std::set<Id> asked;
    while (from) {
      uint32_t looked_at = 0;
      from = table_.SweepFrom(*from, step, [&](Entry entry) {
        ++looked_at;
        // Those that share a hash with an erased one may be asked again.
        EXPECT_TRUE(asked.insert(IdOf(entry)).second || hash_mode_ != 0);
        return unwanted(IdOf(entry), entry.tombstone());
      });
      if (hash_mode_ == 0) {
        ASSERT_LE(looked_at, step);
      }
    }
    for (auto it = model_.begin(); it != model_.end();) {
      it = unwanted(it->first, it->second.version.tombstone) ? model_.erase(it) : std::next(it);
    }
  }

  // One reply of a scan: exactly the model's entries from a hash on, no group cut.
  void StepVisit() {
    if (!prng_.Chance(1, 20)) return;
    const uint64_t begin =
        prng_.Chance(1, 4) ? 0 : std::get<0>(PickId()) - prng_.Below(2) * prng_.Below(5000);
    const uint32_t entries_max = static_cast<uint32_t>(prng_.Below(100));
    std::set<Id> visited;
    uint64_t group = 0;
    const auto next = table_.VisitFrom(begin, entries_max, [&](Entry entry) {
      EXPECT_GE(entry.hash() >> 12, group);
      group = entry.hash() >> 12;
      EXPECT_TRUE(visited.insert(IdOf(entry)).second) << "visited twice";
    });
    if (next) {
      ASSERT_EQ(*next & 0xfff, 0u);
      ASSERT_GE(visited.size(), std::max(1u, entries_max));
      ASSERT_LT(group, *next >> 12);
    }
    auto expected = model_.lower_bound(Id{begin, 0, ""});
    for (; expected != model_.end(); ++expected) {
      if (next && std::get<0>(expected->first) >= *next) break;
      ASSERT_EQ(visited.erase(expected->first), 1u);
    }
    ASSERT_TRUE(visited.empty());
    if (next) {
      ASSERT_NE(expected, model_.end());
      ASSERT_EQ(std::get<0>(expected->first) >> 12, *next >> 12) << "no skipping, no empty reply";
    }
  }

  static void Same(Entry entry, const Expected& expected) {
    ASSERT_EQ(entry.version(), expected.version);
    ASSERT_EQ(entry.cache(), expected.cache);
    ASSERT_EQ(entry.referenced(), expected.referenced);
  }

  void Compare() {
    table_.CheckInvariants();
    uint64_t tombstones = 0;
    absl::btree_map<uint32_t, uint64_t> counts;
    for (const auto& [id, expected] : model_) {
      const Entry entry = table_.Find(KeyOfId(id));
      ASSERT_TRUE(entry);
      Same(entry, expected);
      ++(expected.version.tombstone ? tombstones : counts[std::get<1>(id)]);
    }
    ASSERT_EQ(table_.tombstones(), tombstones);
    ASSERT_EQ(table_.count(), model_.size() - tombstones);
    for (uint32_t namespace_id = 0; namespace_id < 5; ++namespace_id) {
      ASSERT_EQ(table_.count(namespace_id), counts[namespace_id]);
    }
  }

  Prng prng_;
  const HashRange range_;
  Table table_;
  absl::btree_map<Id, Expected> model_;
  uint32_t weights_[kOperations];
  int hash_mode_;
  uint64_t keys_;
  bool long_keys_;
  Lsn next_lsn_ = 0;
  uint32_t places_ = 10;  // one record each, as on a disk
  uint32_t next_cache_ = 0;
};

TEST(TableTest, DoesWhatABtreeMapDoes) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Model model(seed);
    model.Run(20'000);
    if (HasFatalFailure()) return;
  }
}

TEST(TableTest, EmptyKeyIsAKeyAndNamespacesAreApart) {
  Table table((HashRange()));
  table.Upsert({5, 0, ""}, VersionOf(1));
  table.Upsert({5, 1, ""}, VersionOf(2));
  table.Upsert({5, 2, std::string_view("\0", 1)}, VersionOf(3));
  EXPECT_EQ(table.Find({5, 0, ""}).lsn(), 1u);
  EXPECT_EQ(table.Find({5, 1, ""}).lsn(), 2u);
  EXPECT_FALSE(table.Find({5, 2, ""}));
  EXPECT_EQ(table.Find({5, 2, std::string_view("\0", 1)}).lsn(), 3u);
  EXPECT_EQ(table.count(1), 1u);
}

TEST(TableTest, AnEqualLsnIsNotNewer) {
  Table table((HashRange()));
  const TableKey key = KeyOf("k");
  EXPECT_EQ(table.Upsert(key, VersionOf(7)).outcome, Outcome::kInserted);
  EXPECT_EQ(table.Upsert(key, VersionOf(7)).outcome, Outcome::kStale);
  EXPECT_EQ(table.Erase(key, 7).outcome, Outcome::kStale);
  EXPECT_EQ(table.Erase(key, 8).outcome, Outcome::kErased);
}

TEST(TableTest, AKeyOfSixteenMegabytesFits) {
  Table table((HashRange()));
  const std::string key(Item::kKeyBytesMax, 'x');
  const size_t before = table.bytes_used();
  table.Upsert({1, 0, key}, VersionOf(1));
  table.Upsert({1, 0, "twin"}, VersionOf(2));
  EXPECT_EQ(table.Find({1, 0, key}).key(), key);
  EXPECT_GE(table.bytes_used(), before + key.size());
  table.Erase({1, 0, key}, 2);
  EXPECT_EQ(table.Find({1, 0, "twin"}).lsn(), 2u);
  EXPECT_LT(table.bytes_used(), before + 300'000);
}

// Keys of two namespaces, some with an expiry; one of the two is dropped.
TEST(TableTest, WhatIsDroppedIsAbsentAtOnceAndThereUntilItIsSwept) {
  constexpr uint64_t kKeys = 3000;
  Drops drops;
  Table table(HashRange(), &drops);
  const auto key_of = [](uint64_t number, uint32_t namespace_id, std::string& text) {
    text = "key" + std::to_string(number);
    return TableKey{HashOf(text, namespace_id), namespace_id, text};
  };
  std::string text;
  Lsn lsn = 0;
  for (uint64_t i = 0; i < kKeys; ++i) {
    for (const uint32_t namespace_id : {0u, 3u}) {
      Version version = VersionOf(++lsn);
      version.location = {1 + namespace_id, 0, 10};
      if (i % 4 == 0) version.expiry_ms = 99;
      table.Upsert(key_of(i, namespace_id, text), version).entry.set_cache(7);
    }
  }
  for (const uint32_t gone : {3u, 0u}) {
    SCOPED_TRACE(gone);
    const uint64_t others = table.count() - table.count(gone);
    ASSERT_TRUE(drops.Note(gone, ++lsn));
    const uint64_t live_before = table.live_bytes().total();
    table.Drop(gone);
    table.CheckInvariants();
    EXPECT_EQ(table.count(gone), 0u);
    EXPECT_EQ(table.expiring(gone), 0u);
    EXPECT_EQ(table.count(), others);
    EXPECT_EQ(table.expiring(), others / 4);
    EXPECT_EQ(table.dropped(), kKeys);
    // Their records are referred to until they are swept out.
    EXPECT_EQ(table.live_bytes().total(), live_before);
    while (!table.RecountStep(100)) {
    }
    EXPECT_EQ(table.recounted().List(), table.live_bytes().List());
    table.EndRecount();
    for (uint64_t i = 0; i < kKeys; ++i) {
      ASSERT_FALSE(table.Find(key_of(i, gone, text)));
      ASSERT_EQ(static_cast<bool>(table.Find(key_of(i, 3 - gone, text))), others != 0);
    }
    // A new version takes the place of one that was dropped, with or without another layout.
    for (uint64_t i = 0; i < 8; ++i) {
      Version version = VersionOf(++lsn);
      version.location = {9, 0, 10};
      if (i % 2 == 0) version.expiry_ms = 99;
      const Table::Change change = table.Upsert(key_of(i, gone, text), version);
      EXPECT_EQ(change.cache, 7u);
      EXPECT_TRUE(table.Find(key_of(i, gone, text)));
      EXPECT_FALSE(table.IsDropped(change.entry));
    }
    EXPECT_EQ(table.Erase(key_of(8, gone, text), ++lsn).outcome, Outcome::kErased);
    EXPECT_EQ(table.count(gone), 8u);
    EXPECT_EQ(table.expiring(gone), 4u);
    EXPECT_EQ(table.dropped(), kKeys - 9);
    EXPECT_EQ(table.live_bytes().Of(9), 8 * 10u);
    table.CheckInvariants();
    while (!table.RecountStep(100)) {
    }
    EXPECT_EQ(table.recounted().List(), table.live_bytes().List());
    table.EndRecount();
    for (std::optional<uint64_t> next = 0; next;) {
      next = table.SweepFrom(*next, 64, [&](Entry entry) { return table.IsDropped(entry); });
    }
    EXPECT_EQ(table.dropped(), 0u);
    EXPECT_EQ(table.live_bytes().Of(1 + gone), 0u);
    EXPECT_EQ(table.count(), others + 8);
    for (uint64_t i = 0; i < 8; ++i) table.Erase(key_of(i, gone, text), ++lsn);
    table.CheckInvariants();
  }
  EXPECT_EQ(table.count(), 0u);
}

TEST(TableTest, ADropOfAllIsOneOfEach) {
  Drops drops;
  EXPECT_EQ(drops.Of(5), kNoLsn);
  EXPECT_TRUE(drops.Note(5, 10));
  EXPECT_FALSE(drops.Note(5, 9));
  EXPECT_EQ(drops.Of(6), kNoLsn);
  EXPECT_TRUE(drops.Note(kEveryNamespace, 20));
  EXPECT_EQ(drops.Of(5), 20u);
  EXPECT_EQ(drops.Of(6), 20u);
  EXPECT_FALSE(drops.Note(5, 15));
  EXPECT_TRUE(drops.Note(5, 30));
  EXPECT_EQ(drops.Of(5), 30u);
  EXPECT_EQ(drops.Of(6), 20u);
  EXPECT_EQ(drops.Of(kEveryNamespace), 20u);
}

}  // namespace
}  // namespace pakv
