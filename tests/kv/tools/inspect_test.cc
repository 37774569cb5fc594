// kv/tools/inspect: what `pakvctl verify` and `pakvctl segments` find in a directory, and that they
// change nothing in it.
#include "kv/tools/inspect.h"

#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "kv/log/format/format_value_file.h"
#include "runtime/base/crc32c.h"
#include "tests/kv/log/log_fixture.h"

namespace pakv {
namespace {

class InspectTest : public ::testing::Test {
 protected:
  // `stop`: ends well, with footers behind every segment; else the copy is what a kill leaves.
  void Write(int keys, size_t value_bytes, bool stop) {
    TestCore core;
    const std::string path = stop ? store() : directory_.Path("life");
    TestLog log(*core.core, path, ++run_);
    log.footer_segment_bytes_min = 1;
    core.Run(WriteLife(log, keys, value_bytes, stop));
    written_ = log.written;
  }
  Inspection Inspect(InspectDepth depth = InspectDepth::kVerify) {
    const auto before = ReadDirectory(store());
    const absl::StatusOr<Inspection> found = InspectDirectory(store(), depth);
    EXPECT_TRUE(found.ok()) << found.status();
    EXPECT_EQ(ReadDirectory(store()), before);
    return found.ok() ? *found : Inspection();
  }
  std::string store() const { return directory_.store(); }
  std::string SegmentOf(const std::string& key) const {
    return store() + "/" + SegmentName(written_.at(key).segment);
  }
  void Flip(const std::string& path, size_t at) {
    std::string byte(1, ReadFile(path).at(at));
    byte[0] = static_cast<char>(byte[0] ^ 4);
    Patch(path, at, byte);
  }

  TempDirectory directory_;
  uint64_t run_ = 700;
  std::map<std::string, Location> written_;

 private:
  Task<void> WriteLife(TestLog& log, int keys, size_t value_bytes, bool stop) {
    const absl::Status opened = co_await log.Open();
    EXPECT_TRUE(opened.ok()) << opened;
    for (int i = 0; i < keys; ++i) {
      const bool ok = co_await log.Put("k" + std::to_string(i), std::string(value_bytes, 'v'));
      EXPECT_TRUE(ok);
    }
    if (!stop) CopyDirectory(directory_.Path("life"), store());
    co_await log.Close();
  }
};

TEST_F(InspectTest, SoundDirectoryHasNoFindings) {
  Write(60, 5000, /*stop=*/true);
  const Inspection found = Inspect();
  EXPECT_TRUE(found.findings.empty()) << found.findings[0].what;
  EXPECT_FALSE(found.damaged());
  uint64_t records = 0;
  for (const InspectedSegment& segment : found.segments) records += segment.records.value_or(0);
  EXPECT_EQ(records, 60u);
  const Inspection listed = Inspect(InspectDepth::kList);
  EXPECT_EQ(listed.segments.size(), found.segments.size());
  for (const InspectedSegment& segment : listed.segments) {
    EXPECT_EQ(segment.footer_is_right, segment.info.sealed_end.has_value());
  }
}

// Keys "old" and "new" have values in files; the one of "old" was overwritten, and its file is
// gone.
Task<void> WriteFileLife(Core& core, TestLog& log, std::string store, std::string value) {
  const absl::Status opened = co_await log.Open();
  EXPECT_TRUE(opened.ok()) << opened;
  std::vector<uint32_t> checksums;
  for (size_t at = 0; at < value.size(); at += 512) {
    checksums.push_back(Crc32c(0, value.data() + at, std::min<size_t>(512, value.size() - at)));
  }
  for (const uint64_t file : {1, 2}) {
    TestEntry entry(core.ready());
    log.Append(file == 1 ? "old" : "new",
               EncodeValueReference({.file = file, .length = value.size()}, 512, checksums), entry,
               kRecordFile);
    co_await entry.settled.Wait();
    EXPECT_TRUE(entry.ok);
  }
  const bool overwritten = co_await log.Put("old", "small");
  EXPECT_TRUE(overwritten);
  co_await log.Close();
  std::ofstream(store + "/" + ValueFileName(2), std::ios::binary) << value;
}

// "first" in the log, then "new" with its value in a file, and no end: what a kill leaves of it.
Task<void> WriteOpenLife(Core& core, TestLog& log, std::string life) {
  const absl::Status opened = co_await log.Open();
  EXPECT_TRUE(opened.ok()) << opened;
  const bool written = co_await log.Put("first", std::string(700, 'f'));
  EXPECT_TRUE(written);
  const std::string value(300, 'v');
  TestEntry entry(core.ready());
  log.Append("new",
             EncodeValueReference({.file = 2, .length = value.size()}, 512,
                                  std::vector{Crc32c(0, value.data(), value.size())}),
             entry, kRecordFile);
  co_await entry.settled.Wait();
  EXPECT_TRUE(entry.ok);
  WriteFile(life + "/" + ValueFileName(2), value);
  const std::filesystem::path store = std::filesystem::path(life).parent_path() / "store";
  CopyDirectory(life, store);
  co_await log.Close();
}

TEST_F(InspectTest, ValueFilesAreCheckedAsFarAsKeysReferToThem) {
  const std::string value(1300, 'v');
  {
    TestCore core;
    TestLog log(*core.core, store(), ++run_);
    core.Run(WriteFileLife(*core.core, log, store(), value));
  }
  const std::string path = store() + "/" + ValueFileName(2);
  EXPECT_TRUE(Inspect().findings.empty());
  Flip(path, 600);
  Inspection found = Inspect();
  ASSERT_EQ(found.findings.size(), 1u);
  EXPECT_EQ(found.findings[0].file, path);
  EXPECT_EQ(found.findings[0].offset, 512u);
  EXPECT_EQ(found.findings[0].key, "new");
  EXPECT_TRUE(found.damaged());
  Flip(path, 600);
  std::filesystem::resize_file(path, 1299);
  EXPECT_TRUE(Inspect().damaged());
  std::filesystem::remove(path);
  found = Inspect();
  ASSERT_EQ(found.findings.size(), 1u);
  EXPECT_EQ(found.findings[0].what, "missing, although the key's value lies in it");
  std::ofstream(path, std::ios::binary) << value;
  std::ofstream(store() + "/" + ValueFileName(9)) << "left by a crash";
  found = Inspect();
  ASSERT_EQ(found.findings.size(), 1u);
  EXPECT_FALSE(found.damaged());
}

// Where a newer value of a key is lost with its record, the file of the older one has gone rightly.
TEST_F(InspectTest, AMissingValueFileBesideADamagedLogMayHaveBeenReplaced) {
  {
    TestCore core;
    TestLog log(*core.core, store(), ++run_);
    core.Run(WriteFileLife(*core.core, log, store(), std::string(1300, 'v')));
    written_ = log.written;
  }
  ASSERT_TRUE(Inspect().findings.empty());
  Flip(SegmentOf("old"), written_.at("old").offset + kRecordHeaderSize);
  const Inspection found = Inspect();
  ASSERT_EQ(found.findings.size(), 2u);
  EXPECT_EQ(found.findings[0].file, SegmentOf("old"));
  EXPECT_EQ(found.findings[1].file, store() + "/" + ValueFileName(1));
  EXPECT_EQ(found.findings[1].what,
            "missing, although the key's value lies in it, unless a newer one was in what is "
            "damaged");
}

// Behind the damage, in a log that was in use, "new" refers to its file still; what nobody refers
// to is told as what --salvage keeps.
TEST_F(InspectTest, RecordsBehindDamageReferToTheirValueFiles) {
  {
    TestCore core;
    const std::string life = directory_.Path("life");
    TestLog log(*core.core, life, ++run_);
    core.Run(WriteOpenLife(*core.core, log, life));
    written_ = log.written;
  }
  ASSERT_TRUE(Inspect().findings.empty()) << Inspect().findings[0].what;
  Flip(SegmentOf("first"), written_.at("first").offset + kRecordHeaderSize + 8);
  Inspection found = Inspect();
  ASSERT_EQ(found.findings.size(), 2u);
  for (const InspectFinding& finding : found.findings) {
    EXPECT_EQ(finding.file, SegmentOf("first"));
  }
  WriteFile(store() + "/" + ValueFileName(9), "whose?");
  found = Inspect();
  ASSERT_EQ(found.findings.size(), 3u);
  EXPECT_FALSE(found.findings[2].is_damage);
  EXPECT_EQ(found.findings[2].what,
            "no key that is left refers to this value file; --salvage keeps it");
}

// "early" and "other" have values in files, then comes the drop, then "late" gets one.
Task<void> WriteDropLife(Core& core, TestLog& log, uint32_t dropped, std::string value) {
  const absl::Status opened = co_await log.Open();
  EXPECT_TRUE(opened.ok()) << opened;
  const std::vector<uint32_t> checksums{Crc32c(0, value.data(), value.size())};
  struct Step {
    const char* key;
    uint32_t namespace_id;
    uint64_t file;  // 0: the drop
  };
  const Step steps[] = {{"early", 7, 1}, {"other", 0, 2}, {"", dropped, 0}, {"late", 7, 3}};
  for (const Step& step : steps) {
    TestEntry entry(core.ready());
    std::string bytes;
    if (step.file != 0) {
      bytes = EncodeValueReference({.file = step.file, .length = value.size()}, 512, checksums);
    }
    const RecordFields fields{.lsn = log.clock->Next(core.wall_us()),
                              .namespace_id = step.namespace_id,
                              .flags = step.file != 0 ? kRecordFile : kRecordDrop,
                              .key = step.key,
                              .value = bytes};
    static_cast<void>(log.writer->Append(fields, entry));
    co_await entry.settled.Wait();
    EXPECT_TRUE(entry.ok);
  }
  co_await log.Close();
}

// Which keys' values are missed when all files are gone: those that no drop has emptied out.
TEST_F(InspectTest, ValueFilesOfDroppedKeysAreNotMissed) {
  const std::map<uint32_t, std::vector<std::string>> missed_after_drop_of = {
      {kEveryNamespace, {"late"}},
      {7, {"other", "late"}},
      {0, {"early", "late"}},
      {3, {"other", "early", "late"}}};
  for (const auto& [dropped, missed] : missed_after_drop_of) {
    std::filesystem::remove_all(store());
    {
      TestCore core;
      TestLog log(*core.core, store(), ++run_);
      core.Run(WriteDropLife(*core.core, log, dropped, std::string(400, 'v')));
    }
    std::vector<std::string> found;
    for (const InspectFinding& finding : Inspect().findings) {
      EXPECT_EQ(finding.what, "missing, although the key's value lies in it");
      found.push_back(finding.key.value_or("?"));
    }
    EXPECT_EQ(found, missed) << dropped;
  }
}

TEST_F(InspectTest, KilledDirectoryIsSound) {
  Write(20, 3000, /*stop=*/false);
  EXPECT_FALSE(Inspect().damaged());
}

TEST_F(InspectTest, DamagedRecordIsNamedWithFileOffsetAndKey) {
  Write(30, 5000, /*stop=*/true);
  const Location where = written_.at("k3");
  Flip(SegmentOf("k3"), where.offset + 2000);
  const Inspection found = Inspect();
  ASSERT_EQ(found.findings.size(), 1u);
  EXPECT_TRUE(found.damaged());
  EXPECT_EQ(found.findings[0].file, SegmentOf("k3"));
  EXPECT_EQ(found.findings[0].offset, where.offset);
  EXPECT_EQ(found.findings[0].key, "k3");
}

TEST_F(InspectTest, DamageBehindDamageIsFoundToo) {
  Write(10, 5000, /*stop=*/true);
  ASSERT_EQ(written_.at("k1").segment, written_.at("k6").segment);
  Flip(SegmentOf("k1"), written_.at("k1").offset - kBlockHeaderSize + 20);
  Flip(SegmentOf("k6"), written_.at("k6").offset + 3000);
  const Inspection found = Inspect();
  ASSERT_EQ(found.findings.size(), 2u);
  EXPECT_EQ(found.findings[0].offset, written_.at("k1").offset - kBlockHeaderSize);
  EXPECT_EQ(found.findings[1].key, "k6");
}

TEST_F(InspectTest, EveryFlippedByteOfASealedSegmentIsFound) {
  Write(10, 700, /*stop=*/true);
  const std::string path = SegmentOf("k0");
  const std::string good = ReadFile(path);
  ASSERT_FALSE(Inspect().damaged());
  const size_t end =
      *Inspect().segments.front().info.sealed_end + Inspect().segments.front().info.footer_bytes;
  for (size_t at = 0; at < end; at += 53) {
    Flip(path, at);
    EXPECT_TRUE(InspectDirectory(store(), InspectDepth::kVerify)->damaged()) << at;
    WriteFile(path, good);
  }
}

TEST_F(InspectTest, MissingAndShortSegmentsAreFound) {
  Write(30, 5000, /*stop=*/true);
  std::filesystem::resize_file(SegmentOf("k0"), 4096);
  std::filesystem::remove(SegmentOf("k29"));
  const Inspection found = Inspect();
  ASSERT_EQ(found.findings.size(), 2u);
  EXPECT_EQ(found.findings[0].file, SegmentOf("k0"));
  EXPECT_EQ(found.findings[0].offset, 4096u);
  EXPECT_EQ(found.findings[1].file, SegmentOf("k29"));
}

TEST_F(InspectTest, TornEndIsNoDamage) {
  Write(3, 3000, /*stop=*/false);
  const size_t block = written_.at("k2").offset - kBlockHeaderSize;
  Patch(SegmentOf("k2"), block + 1024, std::string(512, '\0'));
  const Inspection found = Inspect();
  ASSERT_EQ(found.findings.size(), 1u);
  EXPECT_FALSE(found.damaged());
  EXPECT_EQ(found.findings[0].offset, block);
}

TEST_F(InspectTest, CorruptTailIsFoundWithItsKeysAndWhatIsDamagedBehindIt) {
  Write(5, 3000, /*stop=*/false);
  for (const char* key : {"k1", "k3"}) Flip(SegmentOf(key), written_.at(key).offset + 100);
  const Inspection found = Inspect();
  ASSERT_EQ(found.findings.size(), 3u);
  EXPECT_TRUE(found.damaged());
  EXPECT_EQ(found.findings[0].offset, written_.at("k1").offset - kBlockHeaderSize);
  for (const auto& [index, key] : {std::pair(1, "k1"), std::pair(2, "k3")}) {
    EXPECT_EQ(found.findings[index].file, SegmentOf(key));
    EXPECT_EQ(found.findings[index].offset, written_.at(key).offset);
    EXPECT_EQ(found.findings[index].key, key);
  }
}

TEST_F(InspectTest, DamagedIdentityIsAnErrorThatNamesTheFile) {
  Write(3, 3000, /*stop=*/true);
  Flip(store() + "/IDENTITY", 40);
  const auto found = InspectDirectory(store(), InspectDepth::kVerify);
  EXPECT_TRUE(absl::IsDataLoss(found.status())) << found.status();
  EXPECT_NE(found.status().ToString().find("IDENTITY"), std::string::npos);
}

// What is there is read all the same, footers included: they are no damage.
TEST_F(InspectTest, WithoutManifestEverySegmentIsRead) {
  Write(60, 5000, /*stop=*/true);
  const std::string path = store() + "/MANIFEST";
  for (const bool missing : {false, true}) {
    if (missing) {
      std::filesystem::remove(path);
    } else {
      Flip(path, kSectorSize + 40);
    }
    Inspection found = Inspect();
    ASSERT_EQ(found.findings.size(), 1u) << found.findings[1].file << found.findings[1].what;
    EXPECT_EQ(found.findings[0].file, path);
    EXPECT_EQ(found.findings[0].offset, missing ? 0 : kSectorSize);
    EXPECT_TRUE(found.damaged());
    uint64_t records = 0;
    for (const InspectedSegment& segment : found.segments) {
      EXPECT_FALSE(segment.is_listed);
      records += segment.records.value_or(0);
    }
    EXPECT_EQ(records, 60u);
    EXPECT_GT(found.bytes_read, 60u * 5000);
    EXPECT_EQ(Inspect(InspectDepth::kList).segments.size(), found.segments.size());
  }
  Flip(SegmentOf("k3"), written_.at("k3").offset + 200);
  const Inspection found = Inspect();
  ASSERT_EQ(found.findings.size(), 2u);
  EXPECT_EQ(found.findings[1].file, SegmentOf("k3"));
  EXPECT_EQ(found.findings[1].offset, written_.at("k3").offset);
  EXPECT_EQ(found.findings[1].key, "k3");
}

TEST_F(InspectTest, AStartThatDiedBeforeItsFirstSegmentIsNoDamage) {
  Write(1, 100, /*stop=*/true);
  for (const auto& entry : std::filesystem::directory_iterator(store())) {
    const std::string name = entry.path().filename();
    if (name == "MANIFEST" || name.ends_with(".seg")) std::filesystem::remove(entry.path());
  }
  EXPECT_TRUE(Inspect().findings.empty());
}

TEST_F(InspectTest, SegmentThatManifestMissesIsFound) {
  Write(1, 100, /*stop=*/false);
  const std::string path = store() + "/MANIFEST";
  const std::string manifest = ReadFile(path);
  size_t at = kSectorSize;
  while (manifest.compare(at + 4, 4, "PAKM") != 0) at += kSectorSize;
  Patch(path, at, std::string(kSectorSize, '\0'));
  const Inspection found = Inspect();
  ASSERT_EQ(found.findings.size(), 1u);
  EXPECT_EQ(found.findings[0].file, SegmentOf("k0"));
}

TEST_F(InspectTest, LockedForeignAndAbsentDirectoriesAreRefused) {
  Write(3, 100, /*stop=*/true);
  const int lock = open((store() + "/LOCK").c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_EQ(flock(lock, LOCK_EX | LOCK_NB), 0);
  EXPECT_TRUE(absl::IsUnavailable(InspectDirectory(store(), InspectDepth::kList).status()));
  close(lock);
  EXPECT_TRUE(InspectDirectory(store(), InspectDepth::kList).ok());
  std::filesystem::remove(store() + "/IDENTITY");
  EXPECT_EQ(InspectDirectory(store(), InspectDepth::kList).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(InspectDirectory(directory_.Path("nowhere"), InspectDepth::kList).ok());
}

}  // namespace
}  // namespace pakv
