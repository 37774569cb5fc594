// kv/log: what a start finds. Directories that are not ours, files that are damaged, torn ends,
// and recoveries that die on the way. A copy of the directory taken while the store runs is what a
// killed process leaves.
// Long because: all of it is one fixture's, and each way to find a directory is a test.
#include "kv/log/read/recovery.h"

#include <gtest/gtest.h>
#include <sys/file.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "tests/kv/log/identity_bytes.h"
#include "tests/kv/log/log_fixture.h"

namespace pakv {
namespace {

using Values = std::map<std::string, std::string>;

// The result of one recovery.
struct Found {
  absl::Status status;
  Values values;
  RecoveryReport report;
  uint64_t run_counter = 0;
};

class RecoveryTest : public ::testing::Test {
 protected:
  // Opens and recovers `path`, and closes it again.
  Found Recover(const std::string& path, FaultRing::Rule rule = nullptr,
                bool accept_clock = false) {
    const auto before = Contents(path);
    TestCore core;
    core.faults->rule = std::move(rule);
    TestLog log(*core.core, path, ++run_);
    Found found;
    core.Run(RecoverAndClose(log, found, accept_clock, *core.faults));
    if (absl::IsDataLoss(found.status) || absl::IsFailedPrecondition(found.status)) {
      EXPECT_TRUE(Contents(path) == before) << "changed, although refused: " << found.status;
    }
    return found;
  }
  Found Recover() { return Recover(store()); }

  // A life that writes keys k0 ... and copies the directory, as a kill would leave it, before the
  // clean stop. `marks`: waits for the mark block first.
  void WriteAndKill(int keys, size_t value_bytes, bool mark) {
    TestCore core;
    TestLog log(*core.core, directory_.Path("life"), ++run_);
    if (std::filesystem::exists(store())) CopyDirectory(store(), directory_.Path("life"));
    core.Run(WriteLife(log, keys, value_bytes, mark));
    written_ = log.written;
  }

  std::string store() const { return directory_.store(); }
  std::string SegmentOf(const std::string& key) const {
    return store() + "/" + SegmentName(written_.at(key).segment);
  }
  // Where the block of `key`, one of its own, starts.
  size_t BlockOf(const std::string& key) const {
    return written_.at(key).offset - kBlockHeaderSize;
  }

  TempDirectory directory_;
  uint64_t run_ = 100;
  std::map<std::string, Location> written_;

 private:
  static std::map<std::string, std::string> Contents(const std::string& path) {
    std::map<std::string, std::string> files;
    if (std::filesystem::is_directory(path)) files = ReadDirectory(path);
    files.erase("LOCK");
    return files;
  }
  static Task<void> RecoverAndClose(TestLog& log, Found& found, bool accept_clock,
                                    FaultRing& faults) {
    found.status = co_await log.Recover(accept_clock);
    faults.rule = nullptr;
    if (!found.status.ok()) co_return;
    found.values = log.Values();
    found.report = log.recovered.report;
    found.run_counter = log.recovered.manifest->run_counter();
    co_await log.Close();
  }
  Task<void> WriteLife(TestLog& log, int keys, size_t value_bytes, bool mark) {
    const absl::Status opened = co_await log.Open();
    EXPECT_TRUE(opened.ok()) << opened;
    for (int i = 0; i < keys; ++i) {
      const bool ok = co_await log.Put("k" + std::to_string(i), std::string(value_bytes, 'v'));
      EXPECT_TRUE(ok);
    }
    if (mark) {
      co_await log.UntilMark();
      co_await log.UntilAllIsReady();
    }
    CopyDirectory(directory_.Path("life"), store());
    co_await log.Close();
  }
};

std::string Zeros(size_t count) { return std::string(count, '\0'); }

// ---- The directory ----

TEST_F(RecoveryTest, EmptyDirectoryBecomesAStore) {
  std::filesystem::create_directory(store());
  WriteFile(store() + "/LOCK", "");
  WriteFile(store() + "/IDENTITY.tmp", "half");
  EXPECT_TRUE(Recover().status.ok());
  const auto files = ReadDirectory(store());
  EXPECT_EQ(files.at("IDENTITY").size(), kIdentitySize);
  EXPECT_TRUE(files.contains("MANIFEST"));
  EXPECT_FALSE(files.contains("IDENTITY.tmp"));
  EXPECT_EQ(Recover().run_counter, 2u);
}

TEST_F(RecoveryTest, ForeignDirectoryIsRefusedAndUntouched) {
  std::filesystem::create_directory(store());
  WriteFile(store() + "/notes.txt", "mine");
  const Found found = Recover();
  EXPECT_EQ(found.status.code(), absl::StatusCode::kFailedPrecondition) << found.status;
  EXPECT_EQ(ReadDirectory(store()), (Values{{"notes.txt", "mine"}}));
}

TEST_F(RecoveryTest, MissingDirectoriesAreMadeAndTheirNamesSyncedBeforeIdentity) {
  std::vector<std::string> synced;
  bool identity = false;
  const Found found = Recover(directory_.Path("a/b//c/"), [&](Operation& operation) {
    const IoRequest& request = operation.request;
    if (request.opcode == Opcode::kSyncDirectory && !identity) synced.push_back(request.path);
    identity = identity || request.opcode == Opcode::kRename;
    return true;
  });
  EXPECT_TRUE(found.status.ok()) << found.status;
  EXPECT_TRUE(std::filesystem::exists(directory_.Path("a/b/c/IDENTITY")));
  for (const std::string& parent :
       {directory_.Path("a/b"), directory_.Path("a"), directory_.Path(".")}) {
    const auto same = [&](const std::string& path) {
      return std::filesystem::path(path + "/").lexically_normal() ==
             std::filesystem::path(parent + "/").lexically_normal();
    };
    EXPECT_EQ(std::count_if(synced.begin(), synced.end(), same), 1) << parent;
  }
}

TEST_F(RecoveryTest, AFailedSyncOfADirectoryThatWasMadeIsAnError) {
  for (const std::string made : {"a/b", "a"}) {
    std::filesystem::remove_all(directory_.Path("a"));
    const Found found = Recover(directory_.Path("a/b/c"), [&](Operation& operation) {
      const IoRequest& request = operation.request;
      if (request.opcode != Opcode::kSyncDirectory || request.path != directory_.Path(made)) {
        return true;
      }
      operation.result = IoResult(-EIO);
      return false;
    });
    EXPECT_FALSE(found.status.ok()) << made;
    EXPECT_FALSE(std::filesystem::exists(directory_.Path("a/b/c/IDENTITY")));
  }
}

// It is not what a file system without direct I/O says: that one would be served without.
TEST_F(RecoveryTest, AnErrorOfTheDirectOpenIsNoReasonToGoWithoutDirectIo) {
  const Found found = Recover(directory_.Path("store"), [](Operation& operation) {
    const IoRequest& request = operation.request;
    if (request.opcode != Opcode::kOpen || (request.open_flags & O_DIRECT) == 0) return true;
    operation.result = IoResult(-EMFILE);
    return false;
  });
  EXPECT_FALSE(found.status.ok());
  EXPECT_NE(found.status.ToString().find("IDENTITY"), std::string::npos) << found.status;
}

TEST_F(RecoveryTest, AFileInTheWayIsAnErrorThatNamesThePath) {
  WriteFile(directory_.Path("file"), "mine");
  const Found found = Recover(directory_.Path("file/no/place"));
  EXPECT_FALSE(found.status.ok());
  EXPECT_NE(found.status.ToString().find("file/no"), std::string::npos) << found.status;
  EXPECT_EQ(ReadFile(directory_.Path("file")), "mine");
}

TEST_F(RecoveryTest, LostAndFoundOfAMountedFileSystemIsNotForeign) {
  const std::string lost = store() + "/lost+found";
  std::filesystem::create_directories(lost);
  EXPECT_TRUE(Recover().status.ok());
  EXPECT_TRUE(Recover().status.ok());
  EXPECT_TRUE(std::filesystem::exists(lost));

  // As somebody who may not look into it.
  std::filesystem::remove_all(store());
  std::filesystem::create_directories(lost);
  const Found found = Recover(store(), [&](Operation& operation) {
    if (operation.request.opcode != Opcode::kList || operation.request.path != lost) return true;
    operation.result = IoResult(-EACCES);
    return false;
  });
  EXPECT_TRUE(found.status.ok()) << found.status;
}

TEST_F(RecoveryTest, LostAndFoundWithSomethingInItOrAFileOfThatNameIsForeign) {
  const std::string lost = store() + "/lost+found";
  std::filesystem::create_directories(lost);
  WriteFile(lost + "/#1234", "found");
  EXPECT_EQ(Recover().status.code(), absl::StatusCode::kFailedPrecondition);
  std::filesystem::remove_all(lost);
  WriteFile(lost, "a file");
  EXPECT_EQ(Recover().status.code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(RecoveryTest, LockedDirectoryIsRefused) {
  EXPECT_TRUE(Recover().status.ok());
  const int lock = open((store() + "/LOCK").c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_EQ(flock(lock, LOCK_EX | LOCK_NB), 0);
  const Found found = Recover();
  EXPECT_EQ(found.status.code(), absl::StatusCode::kUnavailable) << found.status;
  close(lock);
  EXPECT_TRUE(Recover().status.ok());
}

TEST_F(RecoveryTest, AnotherEngineIsRefusedByName) {
  EXPECT_TRUE(Recover().status.ok());
  Identity identity{.engine = EngineKind::kMemory};
  std::string bytes(kIdentitySize, '\0');
  EncodeIdentity(reinterpret_cast<uint8_t*>(bytes.data()), identity);
  WriteFile(store() + "/IDENTITY", bytes);
  const Found found = Recover();
  EXPECT_EQ(found.status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(found.status.ToString().find("'memory'"), std::string::npos) << found.status;
  EXPECT_NE(found.status.ToString().find("'log'"), std::string::npos) << found.status;
}

TEST_F(RecoveryTest, DamagedIdentityIsAnError) {
  EXPECT_TRUE(Recover().status.ok());
  Patch(store() + "/IDENTITY", 20, "x");
  EXPECT_TRUE(absl::IsDataLoss(Recover().status));
  WriteFile(store() + "/IDENTITY", "");
  EXPECT_TRUE(absl::IsDataLoss(Recover().status));
}

TEST_F(RecoveryTest, OlderFormatIsUpgradedOnceAndDurablyBeforeMANIFESTIsWritten) {
  WriteAndKill(3, 100, true);
  const std::string path = store() + "/IDENTITY";
  const std::string now = ReadFile(path);
  WriteFile(path, IdentityOfFormat(now, kFormatVersion - 1));
  std::vector<std::string> order;
  const auto watch = [&](Operation& operation) {
    const IoRequest& request = operation.request;
    if (request.opcode == Opcode::kRename) order.emplace_back(request.path);
    if (request.opcode == Opcode::kSyncDirectory) order.emplace_back(request.path);
    return true;
  };
  const Found found = Recover(store(), watch);
  ASSERT_TRUE(found.status.ok()) << found.status;
  EXPECT_EQ(found.values.size(), 3u);
  EXPECT_EQ(ReadFile(path), now);
  const auto at = [&](const std::string& what, size_t from) {
    return static_cast<size_t>(
        std::find(order.begin() + static_cast<ptrdiff_t>(from), order.end(), what) - order.begin());
  };
  const size_t renamed = at(path + ".tmp", 0);
  const size_t manifest = at(store() + "/MANIFEST.tmp", 0);
  ASSERT_LT(renamed, order.size());
  ASSERT_LT(manifest, order.size());
  EXPECT_LT(at(store(), renamed), manifest) << "not synced before MANIFEST";

  order.clear();
  EXPECT_EQ(Recover(store(), watch).values, found.values);
  EXPECT_EQ(at(path + ".tmp", 0), order.size()) << "upgraded once more";
}

TEST_F(RecoveryTest, OlderFormatThatCannotBeUpgradedIsAnErrorAndStaysAsItWas) {
  WriteAndKill(3, 100, true);
  const std::string path = store() + "/IDENTITY";
  WriteFile(path, IdentityOfFormat(ReadFile(path), kFormatVersion - 1));
  const auto before = ReadDirectory(store());
  for (const Opcode failing : {Opcode::kRename, Opcode::kSyncDirectory}) {
    const Found found = Recover(store(), [&](Operation& operation) {
      if (operation.request.opcode != failing) return true;
      operation.result = IoResult(-EIO);
      return false;
    });
    EXPECT_EQ(found.status.code(), absl::StatusCode::kInternal) << found.status;
    auto after = ReadDirectory(store());
    after.erase("IDENTITY.tmp");
    if (failing == Opcode::kSyncDirectory) after["IDENTITY"] = before.at("IDENTITY");
    EXPECT_EQ(after, before);
  }
  EXPECT_EQ(Recover().values.size(), 3u);
  EXPECT_EQ(FormatOfIdentity(ReadFile(path)), kFormatVersion);
}

TEST_F(RecoveryTest, OlderFormatOfAnotherEngineIsRefusedAsItIs) {
  EXPECT_TRUE(Recover().status.ok());
  std::string bytes(kIdentitySize, '\0');
  EncodeIdentity(reinterpret_cast<uint8_t*>(bytes.data()), {.engine = EngineKind::kMemory});
  bytes = IdentityOfFormat(bytes, kFormatVersion - 1);
  WriteFile(store() + "/IDENTITY", bytes);
  EXPECT_EQ(Recover().status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ReadFile(store() + "/IDENTITY"), bytes);
}

TEST_F(RecoveryTest, NewerFormatIsRefusedAndNothingIsTouched) {
  WriteAndKill(3, 100, true);
  const std::string path = store() + "/IDENTITY";
  WriteFile(path, IdentityOfFormat(ReadFile(path), kFormatVersion + 1));
  const auto before = ReadDirectory(store());
  const Found found = Recover();
  EXPECT_EQ(found.status.code(), absl::StatusCode::kFailedPrecondition) << found.status;
  const std::string text = found.status.ToString();
  EXPECT_NE(text.find(path + ": written by a newer pakvd (format 2; this one knows up to 1)"),
            std::string::npos)
      << text;
  EXPECT_EQ(ReadDirectory(store()), before);
}

// ---- Clean and killed ----

TEST_F(RecoveryTest, KilledStoreIsFoundWhole) {
  WriteAndKill(20, 100, false);
  const Found found = Recover();
  ASSERT_TRUE(found.status.ok()) << found.status;
  EXPECT_EQ(found.values.size(), 20u);
  EXPECT_TRUE(found.report.cuts.empty());
  EXPECT_GT(found.report.lsn_max, 0u);
}

Task<void> DropSegment(Core& core, TestLog& log, uint32_t segment) {
  absl::Status status = co_await log.Recover();
  EXPECT_TRUE(status.ok()) << status;
  std::vector<ManifestEntry> entries(1);
  entries[0].type = ManifestEntry::Type::kDropped;
  entries[0].segment = segment;
  status = co_await log.recovered.manifest->Append(core, std::move(entries));
  EXPECT_TRUE(status.ok()) << status;
  co_await log.Close();
}

// What compaction has removed may have held the newest of both: LSNs do not begin again behind it,
// nor does what has expired come back.
TEST_F(RecoveryTest, ClocksDoNotGoBackWithTheSegmentThatHeldThem) {
  WriteAndKill(3, 100, true);
  const Found before = Recover();
  ASSERT_TRUE(before.status.ok()) << before.status;
  EXPECT_GT(before.report.lsn_max, 0u);
  EXPECT_GT(before.report.expiry_clock_ms, 0u);
  TestCore core;
  TestLog log(*core.core, store(), ++run_);
  core.Run(DropSegment(*core.core, log, written_.at("k0").segment));
  const Found after = Recover();
  ASSERT_TRUE(after.status.ok()) << after.status;
  EXPECT_TRUE(after.values.empty());
  EXPECT_EQ(after.report.lsn_max, before.report.lsn_max);
  EXPECT_EQ(after.report.expiry_clock_ms, before.report.expiry_clock_ms);
}

TEST_F(RecoveryTest, SegmentsOfAnEarlierRunAreSealedTruncatedAndNeverAppendedTo) {
  WriteAndKill(3, 100, true);
  const std::string segment = SegmentOf("k0");
  ASSERT_EQ(std::filesystem::file_size(segment), TestLog::kSegmentBytes);
  ASSERT_TRUE(Recover().status.ok());
  const std::string sealed = ReadFile(segment);
  EXPECT_LT(sealed.size(), TestLog::kSegmentBytes);
  WriteAndKill(3, 100, true);
  EXPECT_NE(SegmentOf("k0"), segment);
  EXPECT_EQ(ReadFile(segment), sealed);
  EXPECT_EQ(Recover().values.size(), 3u);
  EXPECT_EQ(ReadFile(segment), sealed);
}

TEST_F(RecoveryTest, UnlistedFilesAreRemovedAndSegmentNumbersNotUsedAgain) {
  WriteAndKill(1, 100, true);
  WriteFile(store() + "/00000900.seg", Zeros(8192));
  WriteFile(store() + "/MANIFEST.tmp", "half");
  ASSERT_TRUE(Recover().status.ok());
  const auto files = ReadDirectory(store());
  EXPECT_FALSE(files.contains("00000900.seg"));
  EXPECT_FALSE(files.contains("MANIFEST.tmp"));
  WriteAndKill(1, 100, true);
  EXPECT_GT(written_.at("k0").segment, 900u);
}

// ---- Torn and corrupt, on disk ----

// A full disk has no room for the fresh MANIFEST. But one that a crash brings back may not miss
// what it lists: so a dropped segment stays until the fresh one stands.
TEST_F(RecoveryTest, WhatNoManifestMentionsGoesFirstAndWhatOneDroppedGoesLast) {
  WriteAndKill(3, 100, true);
  const std::string path = store() + "/MANIFEST";
  const std::string bytes = ReadFile(path);
  auto state = ParseManifest(Bytes(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()));
  ASSERT_TRUE(state.ok()) << state.status();
  state->dropped.insert(50);
  state->next_segment = 51;
  const std::vector<uint8_t> changed = EncodeManifest(*state);
  WriteFile(path, {reinterpret_cast<const char*>(changed.data()), changed.size()});
  WriteFile(store() + "/00000050.seg", Zeros(4096));
  WriteFile(store() + "/00000099.seg", Zeros(4096));
  WriteFile(store() + "/00000098.seg.tmp", "half");
  std::vector<std::string> order;
  const Found found = Recover(store(), [&](Operation& operation) {
    const IoRequest& request = operation.request;
    if (request.opcode == Opcode::kUnlink) order.emplace_back(request.path);
    if (request.opcode == Opcode::kOpen && (request.open_flags & O_CREAT) != 0) {
      order.emplace_back(request.path);
    }
    return true;
  });
  ASSERT_TRUE(found.status.ok()) << found.status;
  const auto at = [&](const std::string& name) {
    const auto place = std::find(order.begin(), order.end(), store() + "/" + name);
    EXPECT_NE(place, order.end()) << name;
    return place;
  };
  EXPECT_LT(at("00000099.seg"), at("MANIFEST.tmp"));
  EXPECT_LT(at("00000098.seg.tmp"), at("MANIFEST.tmp"));
  EXPECT_GT(at("00000050.seg"), at("MANIFEST.tmp"));
  EXPECT_FALSE(std::filesystem::exists(store() + "/00000050.seg"));
}

TEST_F(RecoveryTest, TornTailIsCutKeptAndReportedAndAllBeforeItIsThere) {
  WriteAndKill(3, 3000, false);
  const size_t block = BlockOf("k2");
  const std::string before = ReadFile(SegmentOf("k2")).substr(block, 4096);
  Patch(SegmentOf("k2"), block + 1024, Zeros(512));
  const Found found = Recover();
  ASSERT_TRUE(found.status.ok()) << found.status;
  EXPECT_EQ(found.values.size(), 2u);
  ASSERT_EQ(found.report.cuts.size(), 1u);
  EXPECT_EQ(found.report.cuts[0].offset, block);
  const std::string kept = ReadFile(found.report.cuts[0].kept_in);
  EXPECT_EQ(kept.substr(0, 1024), before.substr(0, 1024));
  EXPECT_EQ(found.report.cuts[0].bytes, kept.size());
  // The seal holds: a second start finds the same, and has nothing to cut.
  const Found again = Recover();
  ASSERT_TRUE(again.status.ok()) << again.status;
  EXPECT_EQ(again.values, found.values);
  EXPECT_TRUE(again.report.cuts.empty());
}

TEST_F(RecoveryTest, TornHeaderSectorIsCut) {
  WriteAndKill(3, 3000, false);
  Patch(SegmentOf("k2"), BlockOf("k2"), Zeros(512));
  const Found found = Recover();
  ASSERT_TRUE(found.status.ok()) << found.status;
  EXPECT_EQ(found.values.size(), 2u);
  EXPECT_EQ(found.report.cuts.size(), 1u);
}

// What is wrong with a durable block: refused with file and offset, and nothing is touched.
void ExpectCorruptAt(const Found& found, const std::string& path, size_t offset) {
  EXPECT_TRUE(absl::IsDataLoss(found.status)) << found.status;
  const std::string text = found.status.ToString();
  EXPECT_NE(text.find(path), std::string::npos) << text;
  EXPECT_NE(text.find("offset " + std::to_string(offset) + ":"), std::string::npos) << text;
}

TEST_F(RecoveryTest, ZeroedSectorOfAWitnessedBlockIsRefused) {
  for (const size_t sector : {0, 512, 1024}) {
    WriteAndKill(3, 3000, true);
    Patch(SegmentOf("k2"), BlockOf("k2") + sector, Zeros(512));
    const auto before = ReadDirectory(store());
    ExpectCorruptAt(Recover(), SegmentOf("k2"), BlockOf("k2"));
    EXPECT_EQ(ReadDirectory(store()), before);
    std::filesystem::remove_all(store());
    std::filesystem::remove_all(directory_.Path("life"));
  }
}

TEST_F(RecoveryTest, FlippedBitIsRefusedAlsoInTheNewestBlock) {
  WriteAndKill(3, 3000, false);
  const std::string path = SegmentOf("k2");
  const std::string good = ReadFile(path);
  for (const char* key : {"k0", "k2"}) {
    for (const size_t at : {size_t{10}, size_t{500}, size_t{2000}}) {
      std::string flipped(1, good[BlockOf(key) + at]);
      flipped[0] ^= 8;
      Patch(path, BlockOf(key) + at, flipped);
      ExpectCorruptAt(Recover(), path, BlockOf(key));
      WriteFile(path, good);
    }
  }
  EXPECT_EQ(Recover().values.size(), 3u);
}

TEST_F(RecoveryTest, DamageInASealedSegmentIsRefused) {
  WriteAndKill(3, 3000, true);
  ASSERT_TRUE(Recover().status.ok());
  Patch(SegmentOf("k1"), BlockOf("k1") + 1024, Zeros(512));
  ExpectCorruptAt(Recover(), SegmentOf("k1"), BlockOf("k1"));
}

TEST_F(RecoveryTest, MissingOrShortSegmentIsRefused) {
  WriteAndKill(3, 3000, true);
  const std::string path = SegmentOf("k0");
  const std::string good = ReadFile(path);
  std::filesystem::remove(path);
  ExpectCorruptAt(Recover(), path, 0);
  WriteFile(path, good.substr(0, 20'000));
  EXPECT_TRUE(absl::IsDataLoss(Recover().status));
  WriteFile(path, good);
  EXPECT_EQ(Recover().values.size(), 3u);
  std::filesystem::resize_file(path, 4096);  // sealed now
  EXPECT_TRUE(absl::IsDataLoss(Recover().status));
}

TEST_F(RecoveryTest, RollIsFollowedThroughManySegments) {
  WriteAndKill(60, 5000, true);
  EXPECT_GT(SegmentFiles(store()).size(), 4u);
  const Found found = Recover();
  ASSERT_TRUE(found.status.ok()) << found.status;
  EXPECT_EQ(found.values.size(), 60u);
}

// ---- MANIFEST ----

TEST_F(RecoveryTest, DamagedManifestIsRefused) {
  WriteAndKill(40, 5000, true);
  const std::string path = store() + "/MANIFEST";
  const std::string good = ReadFile(path);
  for (size_t at = 0; at < 4 * kSectorSize; at += 37) {
    const size_t sector = at / kSectorSize * kSectorSize;
    if (good[sector] == 0 && good[sector + 4] == 0) continue;
    std::string flipped(1, good[at]);
    flipped[0] ^= 1;
    Patch(path, at, flipped);
    EXPECT_TRUE(absl::IsDataLoss(Recover().status)) << at;
    WriteFile(path, good);
  }
  WriteFile(path, "");
  EXPECT_TRUE(absl::IsDataLoss(Recover().status));
  std::filesystem::remove(path);
  EXPECT_TRUE(absl::IsDataLoss(Recover().status));
  WriteFile(path, good);
  EXPECT_EQ(Recover().values.size(), 40u);
}

TEST_F(RecoveryTest, LostCreatedEntryIsFoundByTheBlocksOfItsSegment) {
  WriteAndKill(1, 100, true);
  const std::string path = store() + "/MANIFEST";
  std::string manifest = ReadFile(path);
  // Sector 0 is the start; the one entry behind it is `created`. It is zeroed as a whole, as only
  // damage can do to an append that was durable.
  size_t at = kSectorSize;
  while (manifest.compare(at + 4, 4, "PAKM") != 0) at += kSectorSize;
  Patch(path, at, Zeros(kSectorSize));
  const Found found = Recover();
  EXPECT_TRUE(absl::IsDataLoss(found.status)) << found.status;
  EXPECT_TRUE(std::filesystem::exists(SegmentOf("k0")));
}

TEST_F(RecoveryTest, UnfinishedAppendOfTheManifestIsIgnored) {
  WriteAndKill(3, 100, true);
  const std::string path = store() + "/MANIFEST";
  WriteFile(path, ReadFile(path) + "half a sector");
  EXPECT_EQ(Recover().values.size(), 3u);
}

// ---- The clock ----

TEST_F(RecoveryTest, DataFromFarAheadNeedsPermission) {
  WriteAndKill(1, 100, true);
  // The only record, made two days ahead of now: its block is written again, all checksums right.
  const std::string path = SegmentOf("k0");
  std::string bytes = ReadFile(path);
  auto* block = reinterpret_cast<uint8_t*>(bytes.data());
  const BlockHeader first = DecodeBlockHeader(Bytes(block, 512))->header;
  const Lsn ahead = MakeLsn(LsnTickOfWallUs(SystemClock().WallUs() + 2 * kLsnAheadUsMax), 0);
  BlockHeader header = first;
  const uint32_t checksum =
      EncodeRecord(block + kBlockHeaderSize, {.lsn = ahead, .key = "k0", .value = "v"});
  const size_t end = kBlockHeaderSize + EncodedRecordSize("k0", "v");
  std::fill(bytes.begin() + ptrdiff_t(end), bytes.end(), '\0');
  header.body_checksum = BodyChecksum(0, checksum);
  header.zero_sectors = CountZeroSectors(Bytes(block, header.length));
  EncodeBlockHeader(block, header);
  WriteFile(path, bytes);
  const Found refused = Recover();
  EXPECT_EQ(refused.status.code(), absl::StatusCode::kFailedPrecondition) << refused.status;
  EXPECT_NE(refused.status.ToString().find("--accept-clock"), std::string::npos);
  const Found accepted = Recover(store(), nullptr, /*accept_clock=*/true);
  EXPECT_TRUE(accepted.status.ok()) << accepted.status;
  EXPECT_EQ(accepted.report.lsn_max, ahead);
}

// ---- A recovery that dies ----

bool Changes(const IoRequest& request) {
  switch (request.opcode) {
    case Opcode::kOpen:
      return (request.open_flags & O_CREAT) != 0;
    case Opcode::kWrite:
    case Opcode::kSyncData:
    case Opcode::kSyncDirectory:
    case Opcode::kRename:
    case Opcode::kUnlink:
    case Opcode::kTruncate:
    case Opcode::kMakeDirectory:
      return true;
    default:
      return false;
  }
}

// After each change that a recovery makes, the process dies; the next one, and the one after that,
// find the same.
TEST_F(RecoveryTest, RecoveryThatDiesAnywhereIsRepeatedWithTheSameResult) {
  WriteAndKill(30, 3000, false);
  Patch(SegmentOf("k29"), BlockOf("k29") + 1024, Zeros(512));
  const std::string killed = directory_.Path("killed");
  CopyDirectory(store(), killed);
  bool finished = false;
  int steps = 0;
  for (; !finished; ++steps) {
    ASSERT_LT(steps, 200);
    std::filesystem::remove_all(store());
    CopyDirectory(killed, store());
    int left = steps;
    const Found died = Recover(store(), [&left](Operation& operation) {
      if (!Changes(operation.request) || left-- > 0) return true;
      left = 0;
      operation.result = IoResult(-EIO);
      return false;
    });
    finished = left > 0;
    const Found next = Recover();
    ASSERT_TRUE(next.status.ok()) << steps << ": " << next.status;
    EXPECT_EQ(next.values.size(), 29u) << steps;
    const Found third = Recover();
    ASSERT_TRUE(third.status.ok()) << steps << ": " << third.status;
    EXPECT_EQ(third.values, next.values);
    EXPECT_TRUE(std::filesystem::exists(store() + "/cut/" +
                                        SegmentName(written_.at("k29").segment) + "." +
                                        std::to_string(BlockOf("k29"))));
  }
  EXPECT_GT(steps, 10);
}

// The same for the very first start.
TEST_F(RecoveryTest, FirstStartThatDiesAnywhereLeavesADirectoryThatStarts) {
  bool finished = false;
  int steps = 0;
  for (; !finished; ++steps) {
    ASSERT_LT(steps, 100);
    std::filesystem::remove_all(store());
    int left = steps;
    Recover(store(), [&left](Operation& operation) {
      if (!Changes(operation.request) || left-- > 0) return true;
      left = 0;
      operation.result = IoResult(-EIO);
      return false;
    });
    finished = left > 0;
    const Found next = Recover();
    ASSERT_TRUE(next.status.ok()) << steps << ": " << next.status;
  }
  EXPECT_GT(steps, 8);
}

// Design's order: nothing is sealed before what was read is durable.
TEST_F(RecoveryTest, UnsealedSegmentsAndTheDirectoryAreSyncedBeforeTheSeal) {
  WriteAndKill(3, 100, true);
  std::vector<Opcode> order;
  const Found found = Recover(store(), [&order](Operation& operation) {
    if (Changes(operation.request)) order.push_back(operation.request.opcode);
    return true;
  });
  ASSERT_TRUE(found.status.ok());
  // The directory and LOCK; then the segment is synced, and the directory; then what nobody refers
  // to goes; only then MANIFEST.
  order.resize(std::min<size_t>(order.size(), 13));
  EXPECT_EQ(order, (std::vector<Opcode>{Opcode::kMakeDirectory, Opcode::kOpen, Opcode::kSyncData,
                                        Opcode::kSyncDirectory, Opcode::kUnlink, Opcode::kUnlink,
                                        Opcode::kUnlink, Opcode::kSyncDirectory, Opcode::kOpen,
                                        Opcode::kWrite, Opcode::kSyncData, Opcode::kRename,
                                        Opcode::kSyncDirectory}));
}

}  // namespace
}  // namespace pakv
