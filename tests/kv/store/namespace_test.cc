// Namespaces in a simulated world: their names and ids last, their keys are apart, and emptying one
// takes its keys at once, for ever, and no others.
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kv/log/files/manifest.h"
#include "kv/store/store.h"
#include "runtime/base/coverage.h"
#include "tests/kv/store/store_call.h"
#include "tests/kv/store/store_tasks.h"
#include "tests/sim/world/sim_node.h"

namespace pakv {
namespace {

class NamespaceTest : public testing::TestWithParam<uint32_t> {
 protected:
  void SetUp() override {
    node_.disk().MakeDirectories("/data");
    ASSERT_TRUE(Open(GetParam()).ok());
  }

  absl::Status Open(uint32_t core_count) {
    node_.Start({.core_count = core_count, .core = {.buffer_bytes = 64 << 10}});
    StoreOptions options;
    options.directory = "/data/store";
    options.segment_bytes = 256 << 10;
    options.cache_bytes = 1 << 20;
    options.sweep_dropped_step = sweep_dropped_step_;
    options.entropy = StoreEntropy{{}, 17, ++run_};
    auto opened = node_.Run(Store::Open(node_.cores(), options, report_));
    if (!opened) return absl::InternalError("it does not end");
    if (!opened->ok()) return opened->status();
    store_ = &node_.Own(std::move(**opened));
    return absl::OkStatus();
  }
  void Stop() {
    ASSERT_TRUE(node_.Run(StopStore(*store_)).value_or(false)) << world_.failure();
    node_.Stop();
  }
  void CutPower() { node_.Crash(CrashKind::kPowerCut); }

  std::optional<uint32_t> Find(const std::string& name, bool create) {
    const auto found = node_.Run(store_->OpenNamespace(node_.core(0), name, create));
    EXPECT_TRUE(found && found->outcome == Outcome::kDone) << world_.failure();
    return found ? found->id : std::nullopt;
  }
  static Task<Outcome> SetOne(Store& store, Core& here, uint32_t in, std::string key,
                              std::string value) {
    StoreCall call(store, here);
    call.namespace_id = in;
    co_await call.Update(SetFunction, OldState::kNothing, std::move(key), std::move(value));
    co_return call.outcome;
  }
  static Task<std::string> GetOne(Store& store, Core& here, uint32_t in, std::string key) {
    StoreCall call(store, here);
    call.namespace_id = in;
    co_await call.Read(GetFunction, OldState::kValue, std::move(key));
    if (call.outcome != Outcome::kDone) co_return "failed";
    co_return call.reply.kind == Reply::Kind::kNull ? "missing" : std::string(call.reply.bytes);
  }
  // Many writes that share their blocks.
  static Task<void> SetMany(Store& store, Core& here, uint32_t in, uint64_t count) {
    constexpr uint64_t kAtATime = 512;
    for (uint64_t begin = 0; begin < count; begin += kAtATime) {
      Nursery nursery(here.ready());
      for (uint64_t i = begin; i < std::min(count, begin + kAtATime); ++i) {
        nursery.Spawn(SetNumber(store, here, in, i));
      }
      co_await nursery.Join();
    }
  }
  static Task<void> SetNumber(Store& store, Core& here, uint32_t in, uint64_t number) {
    const Outcome outcome = co_await SetOne(store, here, in, "key" + std::to_string(number),
                                            std::to_string(in) + "." + std::to_string(number));
    EXPECT_EQ(outcome, Outcome::kDone);
  }
  void Set(uint32_t in, const std::string& key, const std::string& value) {
    ASSERT_EQ(node_.Run(SetOne(*store_, node_.core(0), in, key, value)), Outcome::kDone);
  }
  std::string Get(uint32_t in, const std::string& key) {
    return node_.Run(GetOne(*store_, node_.core(0), in, key)).value_or("nothing");
  }
  uint64_t Count(uint32_t in) {
    return node_.Run(store_->CountKeys(node_.core(0), in)).value_or(UINT64_MAX);
  }
  void Flush(uint32_t in) {
    ASSERT_EQ(node_.Run(store_->Flush(node_.core(0), in)), Outcome::kDone);
  }
  uint64_t Scan(uint32_t in) {
    uint64_t count = 0;
    uint64_t cursor = 0;
    do {
      const auto step = node_.Run(store_->Scan(node_.core(0), in, cursor, 100,
                                               [](std::string_view, uint64_t&) { return true; }));
      EXPECT_TRUE(step && step->outcome == Outcome::kDone);
      if (!step) break;
      count += step->keys.size();
      cursor = step->cursor;
    } while (cursor != 0);
    return count;
  }
  StoreStats Stats() { return node_.Run(store_->Stats(node_.core(0))).value_or(StoreStats()); }
  void ExpectBooksRight() {
    const auto report = node_.Run(store_->Check(node_.core(0)));
    ASSERT_TRUE(report) << world_.failure();
    EXPECT_TRUE(report->findings.empty()) << report->findings.front().what;
  }
  // MANIFEST as somebody else would have left it.
  void ChangeManifest(void (*change)(ManifestState& state)) {
    const std::string bytes = *node_.disk().Contents("/data/store/MANIFEST");
    auto state = ParseManifest(Bytes(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()));
    ASSERT_TRUE(state.ok()) << state.status();
    change(*state);
    const std::vector<uint8_t> changed = EncodeManifest(*state);
    node_.disk().Put("/data/store/MANIFEST",
                     {reinterpret_cast<const char*>(changed.data()), changed.size()});
  }

  SimWorld world_{5};
  SimNode node_{world_, "10.0.0.1", {.direct_alignment = 512}};
  OpenReport report_;
  uint64_t run_ = 0;
  uint32_t sweep_dropped_step_ = 64;
  Store* store_ = nullptr;
};
INSTANTIATE_TEST_SUITE_P(Cores, NamespaceTest, testing::Values(1u, 2u));

// ---- Names ----

TEST_P(NamespaceTest, NumbersAreTheirOwnNamesAndAlwaysThere) {
  for (uint32_t number = 0; number < kNumberedNamespaces; ++number) {
    EXPECT_EQ(Find(std::to_string(number), /*create=*/false), number);
    EXPECT_TRUE(store_->IsNamespace(number));
  }
  EXPECT_FALSE(store_->IsNamespace(kNumberedNamespaces));
  EXPECT_FALSE(store_->IsNamespace(kEveryNamespace));
  EXPECT_EQ(Find("16", /*create=*/false), std::nullopt);
  EXPECT_EQ(Find("00", /*create=*/false), std::nullopt);
}

TEST_P(NamespaceTest, ANameKeepsItsIdOverRestarts) {
  EXPECT_EQ(Find("orders", /*create=*/false), std::nullopt);
  EXPECT_EQ(Find("orders", /*create=*/true), 16u);
  EXPECT_EQ(Find("orders", /*create=*/true), 16u);
  EXPECT_EQ(Find("16", /*create=*/true), 17u);
  EXPECT_TRUE(store_->IsNamespace(17));
  EXPECT_FALSE(store_->IsNamespace(18));
  Set(16, "k", "v");
  Stop();
  ASSERT_TRUE(Open(3 - GetParam()).ok());
  EXPECT_EQ(Find("orders", /*create=*/false), 16u);
  EXPECT_EQ(Get(16, "k"), "v");
  EXPECT_EQ(Get(0, "k"), "missing");
  EXPECT_EQ(Find("a third", /*create=*/true), 18u);
  // What was answered is durable, also without a record in it.
  CutPower();
  ASSERT_TRUE(Open(GetParam()).ok());
  EXPECT_EQ(Find("a third", /*create=*/false), 18u);
  EXPECT_EQ(Find("16", /*create=*/false), 17u);
  // An id stays that name's when all keys are gone.
  Flush(kEveryNamespace);
  EXPECT_EQ(Find("another", /*create=*/true), 19u);
  Stop();
}

static Task<void> OpenInto(Store& store, Core& here, std::string name, std::vector<uint32_t>& ids) {
  const Catalogue::Found found = co_await store.OpenNamespace(here, name, /*create=*/true);
  ids.push_back(found.id.value_or(0));
}

TEST_P(NamespaceTest, TheyAreListedAlsoAfterARestart) {
  ASSERT_EQ(Find("orders", /*create=*/true), 16u);
  ASSERT_EQ(Find("empty", /*create=*/true), 17u);
  Set(16, "k", "v");
  Set(4, "k", "v");
  Set(5, "k", "v");
  Flush(5);
  for (int life = 0; life < 2; ++life) {
    const auto page = node_.Run(store_->ListNamespaces(node_.core(0), 0, 100));
    ASSERT_TRUE(page);
    EXPECT_EQ(page->next, std::nullopt);
    std::string found;
    for (const NamespacePage::Entry& each : page->entries) {
      found += std::to_string(each.namespace_id) + "=" + each.name + ":" +
               std::to_string(each.keys) + " ";
    }
    EXPECT_EQ(found, "4=4:1 16=orders:1 17=empty:0 ");
    CutPower();
    ASSERT_TRUE(Open(GetParam()).ok());
  }
}

TEST_P(NamespaceTest, TwoWhoAskForOneNewNameGetOneId) {
  std::vector<uint32_t> ids;
  for (int i = 0; i < 4; ++i) {
    const uint32_t core = GetParam() - 1;
    node_.Spawn(core, OpenInto(*store_, node_.core(core), i % 2 == 0 ? "a" : "b", ids));
  }
  ASSERT_TRUE(world_.RunUntil([&] { return ids.size() == 4; }));
  EXPECT_EQ(ids[0], ids[2]);
  EXPECT_EQ(ids[1], ids[3]);
  EXPECT_NE(ids[0], ids[1]);
}

TEST_P(NamespaceTest, TheirNumberIsBounded) {
  Stop();
  ChangeManifest([](ManifestState& state) {
    state.namespaces["the last but one"] = kNamespacesMax - 2;
    state.next_namespace = kNamespacesMax - 1;
  });
  ASSERT_TRUE(Open(GetParam()).ok());
  EXPECT_EQ(Find("the last", /*create=*/true), kNamespacesMax - 1);
  const auto found = node_.Run(store_->OpenNamespace(node_.core(0), "one more", true));
  ASSERT_TRUE(found);
  EXPECT_TRUE(found->too_many);
  EXPECT_EQ(found->id, std::nullopt);
  EXPECT_EQ(Find("the last but one", /*create=*/true), kNamespacesMax - 2);
}

// A name is durable before the first record that uses its id: a record without one is damage.
TEST_P(NamespaceTest, KeysInANamespaceWithoutANameAreDamage) {
  ASSERT_EQ(Find("orders", /*create=*/true), 16u);
  Set(16, "k", "v");
  Stop();
  ChangeManifest([](ManifestState& state) {
    state.namespaces.clear();
    state.next_namespace = kNumberedNamespaces;
  });
  const auto contents = [this] {
    std::map<std::string, std::optional<std::string>> files;
    std::vector<std::string> names;
    EXPECT_GE(node_.disk().List("/data/store", names), 0);
    for (const std::string& name : names) {
      files[name] = node_.disk().Contents(("/data/store/" + name).c_str());
    }
    return files;
  };
  const auto before = contents();
  const absl::Status opened = Open(GetParam());
  EXPECT_EQ(opened.code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(contents() == before) << "a refused start has changed something";
  EXPECT_NE(opened.message().find("/data/store/MANIFEST: has no name for namespace 16"),
            std::string::npos)
      << opened;
}

TEST_P(NamespaceTest, AFailedManifestCreatesNothingAndIsTheEndOfWrites) {
  node_.disk().faults.flush_error = 10'000;
  const auto found = node_.Run(store_->OpenNamespace(node_.core(0), "orders", true));
  node_.disk().faults.flush_error = 0;
  ASSERT_TRUE(found);
  EXPECT_EQ(found->outcome, Outcome::kReadOnly);
  EXPECT_EQ(found->id, std::nullopt);
  EXPECT_TRUE(store_->read_only());
  EXPECT_FALSE(store_->IsNamespace(16));
}

// ---- Keys ----

TEST_P(NamespaceTest, TheSameKeyIsAnotherOneInEachNamespace) {
  Set(0, "k", "zero");
  Set(3, "k", "three");
  Set(3, "", "empty");
  EXPECT_EQ(Get(0, "k"), "zero");
  EXPECT_EQ(Get(3, "k"), "three");
  EXPECT_EQ(Get(4, "k"), "missing");
  EXPECT_EQ(Get(0, ""), "missing");
  EXPECT_EQ(Count(0), 1u);
  EXPECT_EQ(Count(3), 2u);
  EXPECT_EQ(Count(kEveryNamespace), 3u);
  EXPECT_EQ(Scan(0), 1u);
  EXPECT_EQ(Scan(3), 2u);
  EXPECT_EQ(Scan(4), 0u);
  const auto counts = node_.Run(store_->CountNumbered(node_.core(0)));
  ASSERT_TRUE(counts && counts->size() == 2);
  EXPECT_EQ((*counts)[0].namespace_id, 0u);
  EXPECT_EQ((*counts)[1].namespace_id, 3u);
  EXPECT_EQ((*counts)[1].keys, 2u);
  EXPECT_EQ((*counts)[1].expiring, 0u);
}

TEST_P(NamespaceTest, ARandomKeyIsFoundAmongManyOfOthers) {
  node_.Run(SetMany(*store_, node_.core(0), 0, 4000));
  EXPECT_EQ(node_.Run(store_->RandomKey(node_.core(0), 7))->key, std::nullopt);
  Set(7, "alone", "v");
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(node_.Run(store_->RandomKey(node_.core(0), 7))->key, "alone");
  }
}

// ---- Drops ----

TEST_P(NamespaceTest, EmptyingOneTakesItsKeysAtOnceAndNoOthers) {
  constexpr uint64_t kKeys = 20'000;
  Stop();
  sweep_dropped_step_ = 1;
  ASSERT_TRUE(Open(GetParam()).ok());
  for (const uint32_t in : {0u, 3u, 4u}) {
    ASSERT_TRUE(node_.Run(SetMany(*store_, node_.core(0), in, kKeys)));
  }
  const StoreStats full = Stats();
  Flush(3);
  // Before the sweep can have got far.
  EXPECT_EQ(Count(3), 0u);
  EXPECT_EQ(Count(0), kKeys);
  EXPECT_EQ(Count(kEveryNamespace), 2 * kKeys);
  EXPECT_EQ(Get(3, "key17"), "missing");
  EXPECT_EQ(Get(4, "key17"), "4.17");
  EXPECT_GT(Stats().live_bytes, full.live_bytes * 5 / 6) << "the sweep is not over";
  ExpectBooksRight();
  Set(3, "key17", "again");
  EXPECT_EQ(Scan(3), 1u);
  EXPECT_EQ(node_.Run(store_->RandomKey(node_.core(0), 3))->key, "key17");
  world_.RunFor(kNsPerSecond);
  const StoreStats swept = Stats();
  EXPECT_LT(swept.index_bytes, full.index_bytes);
  EXPECT_LT(swept.live_bytes, full.live_bytes * 3 / 4);
  ExpectBooksRight();
  for (const uint32_t in : {0u, 4u}) EXPECT_EQ(Scan(in), kKeys);
  EXPECT_EQ(Get(3, "key17"), "again");
  CutPower();
  ASSERT_TRUE(Open(3 - GetParam()).ok());
  EXPECT_EQ(report_.keys, 2 * kKeys + 1);
  EXPECT_EQ(Count(3), 1u);
  EXPECT_EQ(Get(3, "key17"), "again");
  EXPECT_EQ(Get(3, "key18"), "missing");
  EXPECT_EQ(Get(0, "key18"), "0.18");
  ExpectBooksRight();
  Stop();
}

// The second comes while the first is being swept out.
TEST_P(NamespaceTest, DropsMayOverlap) {
  constexpr uint64_t kKeys = 4000;
  for (const uint32_t in : {0u, 3u, 4u}) {
    ASSERT_TRUE(node_.Run(SetMany(*store_, node_.core(0), in, kKeys)));
  }
  Flush(3);
  Flush(4);
  EXPECT_EQ(Count(kEveryNamespace), kKeys);
  ExpectBooksRight();
  ASSERT_TRUE(node_.Run(SetMany(*store_, node_.core(0), 3, 100)));
  Flush(3);
  EXPECT_EQ(Count(3), 0u);
  EXPECT_EQ(Count(0), kKeys);
  ASSERT_TRUE(node_.Run(SetMany(*store_, node_.core(0), 4, 10)));
  // What is left is alone: the table goes as a whole, with what the sweep was to find.
  Flush(kEveryNamespace);
  EXPECT_EQ(Count(kEveryNamespace), 0u);
  Set(4, "k", "v");
  world_.RunFor(kNsPerSecond);
  ExpectBooksRight();
  EXPECT_EQ(Scan(4), 1u);
  Stop();
  ASSERT_TRUE(Open(3 - GetParam()).ok());
  EXPECT_EQ(Count(kEveryNamespace), 1u);
  EXPECT_EQ(Get(4, "k"), "v");
}

// It comes to segments whose keys are gone and not swept out yet: they go all the same, and what
// lives in them stays.
TEST_P(NamespaceTest, CompactionNeedNotWaitForTheSweep) {
  constexpr uint64_t kKeys = 10'000;
  Stop();
  sweep_dropped_step_ = 1;
  ASSERT_TRUE(Open(GetParam()).ok());
  // Side by side; then all that is in 0 is overwritten, so that half of each segment is dead, and
  // the other half is what goes.
  node_.Spawn(0, SetMany(*store_, node_.core(0), 0, kKeys));
  ASSERT_TRUE(node_.Run(SetMany(*store_, node_.core(0), 3, kKeys)));
  ASSERT_TRUE(node_.Run(SetMany(*store_, node_.core(0), 0, kKeys)));
  Flush(3);
#ifdef PAKV_SIMULATOR
  const uint64_t* met =
      CoverageCounts() + static_cast<size_t>(CoverageMark::kDroppedLeftToCompaction);
  const uint64_t met_before = *met;
#endif
  const auto begun = node_.Run(store_->RequestCompaction(node_.core(0), 10));
  ASSERT_TRUE(begun) << world_.failure();
  ExpectBooksRight();
  for (int i = 0; i < 200 && Stats().compacted_segments < 2; ++i) world_.RunFor(5 * kNsPerMs);
  EXPECT_GE(Stats().compacted_segments, 2u);
  EXPECT_EQ(Stats().damaged_segments, 0u);
  world_.RunFor(kNsPerSecond);
  ExpectBooksRight();
  EXPECT_EQ(Scan(0), kKeys);
  EXPECT_EQ(Get(0, "key17"), "0.17");
  EXPECT_EQ(Scan(3), 0u);
#ifdef PAKV_SIMULATOR
  EXPECT_GT(*met, met_before) << "the sweep was faster";
#endif
}

TEST_P(NamespaceTest, ASweepThatAStopEndsIsDoneByTheNextStart) {
  for (const uint32_t in : {0u, 3u}) {
    ASSERT_TRUE(node_.Run(SetMany(*store_, node_.core(0), in, 5000)));
  }
  Flush(3);
  Stop();
  ASSERT_TRUE(Open(GetParam()).ok());
  EXPECT_EQ(report_.keys, 5000u);
  EXPECT_EQ(Scan(3), 0u);
  ExpectBooksRight();
}

}  // namespace
}  // namespace pakv
