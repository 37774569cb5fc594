// --salvage and value files: what a lost record referred to is kept, what refers to a lost file is
// listed and gone, and a crash at any operation on the way loses nothing that could be read.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kv/log/format/format_value_file.h"
#include "tests/kv/shard/values/value_file_fixture.h"

namespace pakv {
namespace {

class SalvageValuesTest : public ValueFileFixture {
 protected:
  using Image = std::vector<std::pair<std::string, std::string>>;  // by path

  void Adjust(StoreOptions& options) override { options.compaction.segments_min = 1000; }

  std::vector<std::string> Names(const std::string& directory) {
    std::vector<std::string> names;
    if (node_->disk().List(directory.c_str(), names) < 0) names.clear();
    std::sort(names.begin(), names.end());
    return names;
  }
  std::string Contents(const std::string& path) {
    return node_->disk().Contents(path.c_str()).value_or("");
  }
  // In which something was written.
  std::vector<std::string> Segments() {
    std::vector<std::string> names = Names("/store");
    std::erase_if(names, [this](const std::string& name) {
      return !name.ends_with(".seg") ||
             Contents("/store/" + name).find_first_not_of('\0') == std::string::npos;
    });
    return names;
  }
  std::vector<std::string> KeptFiles() {
    std::vector<std::string> names = Names("/store/salvage");
    std::erase_if(names, [](const std::string& name) { return ValueFileOfName(name) == 0; });
    return names;
  }
  void Unlink(const std::string& name) {
    ASSERT_EQ(node_->disk().Unlink(("/store/" + name).c_str()), 0) << name;
    // For good.
    node_->disk().SyncDirectory("/store");
  }
  std::string FileOf(const std::string& value) {
    for (const std::string& name : Files()) {
      if (Contents("/store/" + name).starts_with(value)) return name;
    }
    ADD_FAILURE() << "no file has this value";
    return {};
  }
  // And the directory stays as it was, byte for byte.
  void ExpectRefused(const std::string& text) {
    const Image before = TakeImage();
    salvage_ = false;
    const std::optional<absl::Status> opened = TryOpen();
    ASSERT_TRUE(opened);
    ASSERT_TRUE(absl::IsDataLoss(*opened)) << *opened;
    EXPECT_NE(std::string(opened->message()).find(text), std::string::npos) << *opened;
    EXPECT_NE(std::string(opened->message()).find("--salvage goes on"), std::string::npos)
        << *opened;
    node_->Crash(CrashKind::kProcessKill);
    EXPECT_TRUE(TakeImage() == before) << "a refused start has changed something";
  }
  void Salvage() {
    salvage_ = true;
    Open();
    salvage_ = false;
    EXPECT_FALSE(report_.notes.empty());
  }
  bool Noted(const std::string& text) {
    return std::any_of(report_.notes.begin(), report_.notes.end(), [&](const std::string& note) {
      return note.find(text) != std::string::npos;
    });
  }

  // Two lives; what the second wrote is lost, but for the files. Not running.
  void LoseTheSecondLife(const std::string& key, const std::string& value) {
    const std::vector<std::string> before = Segments();
    Restart();
    ASSERT_EQ(Put(key, value), Outcome::kDone);
    Settle();
    node_->Crash(CrashKind::kPowerCut);
    for (const std::string& name : Segments()) {
      if (std::find(before.begin(), before.end(), name) == before.end()) Unlink(name);
    }
  }

  Image TakeImage() {
    Image image;
    for (const char* directory : {"/store", "/store/salvage", "/store/cut"}) {
      for (const std::string& name : Names(directory)) {
        const std::string path = std::string(directory) + "/" + name;
        if (const auto contents = node_->disk().Contents(path.c_str())) {
          image.emplace_back(path, *contents);
        }
      }
    }
    return image;
  }
  void PutImage(const Image& image) {
    NewNode();
    for (const auto& [path, contents] : image) node_->disk().Put(path.c_str(), contents);
  }
};

INSTANTIATE_TEST_SUITE_P(Cores, SalvageValuesTest, testing::Values(1, 3));

TEST_P(SalvageValuesTest, FilesOfLostRecordsAreKept) {
  const std::string safe = ValueOf('a', 9000);
  const std::string lost = ValueOf('b', 12'345);
  EXPECT_EQ(Put("safe", safe), Outcome::kDone);
  LoseTheSecondLife("lost", lost);
  const std::string file = FileOf(lost);
  ExpectRefused("missing");
  EXPECT_EQ(FileOf(lost), file);
  Salvage();
  EXPECT_TRUE(Noted("1 value file that no key refers to"));
  EXPECT_EQ(Get("lost"), "missing");
  EXPECT_TRUE(Get("safe") == safe);
  EXPECT_EQ(KeptFiles(), std::vector<std::string>{file});
  EXPECT_TRUE(Contents("/store/salvage/" + file).starts_with(lost));
  EXPECT_EQ(Files().size(), 1u);
  EXPECT_TRUE(Contents("/store/salvage/UNFINISHED").empty());
  // From now on it opens as usual, and what a crash leaves is removed as ever.
  node_->Crash(CrashKind::kPowerCut);
  node_->disk().Put("/store/0000000100000099.val", "left by a crash");
  Open();
  Settle();
  EXPECT_TRUE(report_.notes.empty());
  EXPECT_TRUE(Get("safe") == safe);
  EXPECT_EQ(Files().size(), 1u);
  EXPECT_EQ(KeptFiles(), std::vector<std::string>{file});
  EXPECT_TRUE(Contents("/store/salvage/" + file).starts_with(lost));
}

TEST_P(SalvageValuesTest, AKeyWhoseFileIsMissingIsListedAndRemoved) {
  const std::string safe = ValueOf('a', 9000);
  EXPECT_EQ(Put("safe", safe), Outcome::kDone);
  for (int i = 0; i < 250; ++i) {
    EXPECT_EQ(Put("lost" + std::to_string(i), ValueOf('b', 400)), Outcome::kDone);
  }
  node_->Crash(CrashKind::kPowerCut);
  const std::string kept = FileOf(safe);
  for (const std::string& name : Files()) {
    if (name != kept) Unlink(name);
  }
  ExpectRefused("missing: the value of key \"lost");
  Salvage();
  EXPECT_TRUE(Noted("removed 250 keys whose values are lost"));
  EXPECT_EQ(report_.keys, 1u);
  EXPECT_EQ(Get("lost7"), "missing");
  EXPECT_TRUE(Get("safe") == safe);
  EXPECT_EQ(Put("lost7", ValueOf('c', 700)), Outcome::kDone);
  Restart();
  EXPECT_EQ(report_.keys, 2u);
  EXPECT_TRUE(report_.notes.empty());
  EXPECT_TRUE(Get("lost7") == ValueOf('c', 700));
  EXPECT_EQ(Get("lost8"), "missing");
}

TEST_P(SalvageValuesTest, WhatThereIsOfAFileThatIsShortIsKept) {
  const std::string value = ValueOf('a', 9000);
  EXPECT_EQ(Put("key", value), Outcome::kDone);
  node_->Crash(CrashKind::kPowerCut);
  const std::string name = FileOf(value);
  node_->disk().Put(("/store/" + name).c_str(), value.substr(0, 4096));
  ExpectRefused("shorter than the value of key \"key\"");
  Salvage();
  EXPECT_EQ(Get("key"), "missing");
  Settle();
  EXPECT_TRUE(Files().empty());
  EXPECT_TRUE(Contents("/store/salvage/" + name) == value.substr(0, 4096));
  Restart();
  EXPECT_TRUE(report_.notes.empty());
}

// The older version comes back, and its file has gone when it was replaced.
TEST_P(SalvageValuesTest, WhatALostRecordHasReplacedIsListed) {
  const std::string older = ValueOf('a', 9000);
  const std::string newer = ValueOf('b', 9000);
  EXPECT_EQ(Put("key", older), Outcome::kDone);
  LoseTheSecondLife("key", newer);
  const std::string file = FileOf(newer);
  ExpectRefused("missing");
  Salvage();
  EXPECT_EQ(Get("key"), "missing");
  EXPECT_EQ(KeptFiles(), std::vector<std::string>{file});
  EXPECT_TRUE(Contents("/store/salvage/" + file).starts_with(newer));
  Restart();
  EXPECT_EQ(Get("key"), "missing");
}

TEST_P(SalvageValuesTest, NumbersGoOnWithoutManifest) {
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(Put("key" + std::to_string(i), ValueOf('a', 5000)), Outcome::kDone);
    Restart();
  }
  // The newest number is in a record alone.
  Call(false, DeleteFunction, OldState::kExistence, "key3");
  Settle();
  const std::vector<std::string> before = Files();
  node_->Crash(CrashKind::kPowerCut);
  Unlink("MANIFEST");
  ExpectRefused("MANIFEST");
  Salvage();
  EXPECT_EQ(Put("more", ValueOf('b', 5000)), Outcome::kDone);
  EXPECT_GT(ValueFileOfName(FileOf(ValueOf('b', 5000))) >> 32, 4u);
  EXPECT_EQ(Files().size(), before.size() + 1);
  Restart();
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(Get("key" + std::to_string(i)) == ValueOf('a', 5000));
  }
  EXPECT_TRUE(Get("more") == ValueOf('b', 5000));
}

TEST_P(SalvageValuesTest, NamespacesGetNewNamesWithoutManifest) {
  const auto open = [](Store& store, Core& here, std::string name) {
    return store.OpenNamespace(here, std::move(name), /*create=*/false);
  };
  const auto create = [](Store& store, Core& here) {
    return store.OpenNamespace(here, "orders", /*create=*/true);
  };
  const auto set = [](Store& store, Core& here, uint32_t id) -> Task<Outcome> {
    StoreCall call(store, here);
    call.namespace_id = id;
    co_await call.Update(SetFunction, OldState::kNothing, "key", "value");
    co_return call.outcome;
  };
  const auto get = [](Store& store, Core& here, uint32_t id) -> Task<std::string> {
    StoreCall call(store, here);
    call.namespace_id = id;
    co_await call.Read(GetFunction, OldState::kValue, "key");
    co_return std::string(call.reply.bytes);
  };
  const auto created = node_->Run(create(*store_, node_->core(0)));
  ASSERT_TRUE(created && created->id);
  const uint32_t id = *created->id;
  ASSERT_EQ(node_->Run(set(*store_, node_->core(0), id)), Outcome::kDone);
  node_->Crash(CrashKind::kPowerCut);
  Unlink("MANIFEST");
  ExpectRefused("MANIFEST");
  Salvage();
  const std::string name = "salvaged-" + std::to_string(id);
  EXPECT_TRUE(Noted("it is " + name + " now"));
  for (int i = 0; i < 2; ++i) {
    const auto found = node_->Run(open(*store_, node_->core(0), name));
    ASSERT_TRUE(found && found->id);
    EXPECT_EQ(*found->id, id);
    EXPECT_EQ(node_->Run(get(*store_, node_->core(0), id)), "value");
    Restart();
  }
}

// At each operation of the start that salvages, and of the one after it.
TEST_P(SalvageValuesTest, ACrashAnywhereLosesNothing) {
  const std::string safe = ValueOf('a', 9000);
  const std::string lost = ValueOf('b', 12'345);
  EXPECT_EQ(Put("safe", safe), Outcome::kDone);
  EXPECT_EQ(Put("gone", ValueOf('c', 5000)), Outcome::kDone);
  Call(false, SetFunction, OldState::kNothing, "small", "value");
  LoseTheSecondLife("lost", lost);
  const std::string file = FileOf(lost);
  Unlink(FileOf(ValueOf('c', 5000)));
  const Image image = TakeImage();
  uint64_t crashes = 0;
  bool finished_without = false;
  // Each start after a crash with the flag, and each without.
  for (const uint64_t turn : {0, 1}) {
    for (uint64_t operation = 0; true; ++operation) {
      PutImage(image);
      const CrashKind kind =
          operation / 2 % 2 == 0 ? CrashKind::kPowerCut : CrashKind::kProcessKill;
      salvage_ = true;
      crash_after_ = operation;
      crash_kind_ = kind;
      const std::optional<absl::Status> opened = TryOpen();
      crash_after_.reset();
      if (opened && node_->running()) {
        ASSERT_TRUE(opened->ok()) << *opened;
        node_->Crash(kind);
      } else {
        ++crashes;
      }
      // Without the flag it may be refused, as before, and then nothing has changed for the worse.
      salvage_ = operation % 2 == turn;
      std::optional<absl::Status> again = TryOpen();
      ASSERT_TRUE(again) << operation;
      if (!again->ok()) {
        ASSERT_TRUE(absl::IsDataLoss(*again)) << *again;
        node_->Crash(CrashKind::kPowerCut);
        salvage_ = true;
        again = TryOpen();
        ASSERT_TRUE(again) << operation;
      } else if (!salvage_) {
        finished_without = true;
      }
      ASSERT_TRUE(again->ok()) << operation << ": " << *again;
      EXPECT_TRUE(Get("safe") == safe) << operation;
      EXPECT_EQ(Get("small"), "value") << operation;
      EXPECT_EQ(Get("gone"), "missing") << operation;
      EXPECT_EQ(Get("lost"), "missing") << operation;
      Settle();
      EXPECT_EQ(KeptFiles(), std::vector<std::string>{file}) << operation;
      EXPECT_TRUE(Contents("/store/salvage/" + file).starts_with(lost)) << operation;
      EXPECT_EQ(Files().size(), 1u) << operation;
      EXPECT_TRUE(Contents("/store/salvage/UNFINISHED").empty()) << operation;
      if (HasFailure()) break;
      if (opened && opened->ok()) break;
    }
  }
  EXPECT_GT(crashes, 100u);
  EXPECT_TRUE(finished_without);
}

}  // namespace
}  // namespace pakv
