// Values in files of their own: what they are while all is well, at each limit, and after damage.
// Crashes at every step are the simulator's (tests/sim/scenarios/store_scenario.cc).
#include "kv/shard/values/value_files.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "tests/kv/shard/values/value_file_fixture.h"

namespace pakv {
namespace {

class ValueFilesTest : public ValueFileFixture {};

INSTANTIATE_TEST_SUITE_P(Cores, ValueFilesTest, testing::Values(1, 3));

TEST_P(ValueFilesTest, ValuesOfAllLengthsComeBack) {
  const size_t lengths[] = {1, 511, 4095, 4096, 4097, 8192, 3 * 4096 + 7, 100'000};
  for (const size_t length : lengths) {
    const std::string key = "key" + std::to_string(length);
    EXPECT_EQ(Put(key, ValueOf('a', length)), Outcome::kDone);
    EXPECT_TRUE(Get(key) == ValueOf('a', length));
    EXPECT_EQ(Call(true, Length, OldState::kExistence, key).reply.integer,
              static_cast<int64_t>(length));
  }
  Restart();
  for (const size_t length : lengths) {
    const std::string key = "key" + std::to_string(length);
    EXPECT_TRUE(Get(key) == ValueOf('a', length));
    EXPECT_EQ(Call(true, Length, OldState::kExistence, key).reply.integer,
              static_cast<int64_t>(length));
  }
  const auto stats = node_->Run(store_->Stats(node_->core(0)));
  EXPECT_EQ(stats->value_files, std::size(lengths));
  EXPECT_EQ(Files().size(), std::size(lengths));
}

TEST_P(ValueFilesTest, FilesGoWithWhatRefersToThem) {
  EXPECT_EQ(Put("key", ValueOf('a', 9000)), Outcome::kDone);
  EXPECT_EQ(Put("key", ValueOf('b', 9000)), Outcome::kDone);
  Settle();
  EXPECT_EQ(Files().size(), 1u);
  EXPECT_TRUE(Get("key") == ValueOf('b', 9000));
  Call(false, SetFunction, OldState::kNothing, "key", "small");
  Settle();
  EXPECT_TRUE(Files().empty());
  EXPECT_EQ(Get("key"), "small");
  EXPECT_EQ(Put("key", ValueOf('c', 9000)), Outcome::kDone);
  Call(false, DeleteFunction, OldState::kExistence, "key");
  Settle();
  EXPECT_TRUE(Files().empty());
  EXPECT_EQ(Get("key"), "missing");
}

// Where values stay in memory one may be too much for it in place of a reference. The answer would
// have been the file.
class ValueFilesInMemoryTest : public ValueFileFixture {
  void Adjust(StoreOptions& options) override { options.engine = EngineKind::kMemory; }
};
INSTANTIATE_TEST_SUITE_P(Cores, ValueFilesInMemoryTest, testing::Values(1, 3));

TEST_P(ValueFilesInMemoryTest, ARefusedWriteAnswersWithNoFileAndHoldsNone) {
  EXPECT_EQ(Put("key", ValueOf('a', 9000)), Outcome::kDone);
  for (int i = 0; i < 2000; ++i) {
    Call(false, SetFunction, OldState::kNothing, "key" + std::to_string(i), ValueOf('b', 200));
  }
  ASSERT_TRUE(node_->Run(store_->SetMemoryLimit(node_->core(0), 1)));
  const StoreCall& refused =
      Call(false, GetAndSet, OldState::kValueOrFile, "key", ValueOf('c', kInlineBytesMax));
  EXPECT_EQ(refused.outcome, Outcome::kOutOfMemory);
  EXPECT_NE(refused.reply.kind, Reply::Kind::kFile);
  EXPECT_TRUE(Get("key") == ValueOf('a', 9000));
  Call(false, DeleteFunction, OldState::kExistence, "key");
  Settle();
  EXPECT_TRUE(Files().empty()) << "nobody holds it";
}

TEST_P(ValueFilesTest, ATransactionHoldsTheFilesThatItHasSeen) {
  const std::string value = ValueOf('a', 9000);
  EXPECT_EQ(Put("key", value), Outcome::kDone);
  const auto add = [this](Transaction& transaction, std::string_view key) {
    return transaction.AddKey(store_->Hash(kDefaultNamespace, key), kDefaultNamespace, key,
                              OldState::kValueOrFile, false);
  };
  for (const bool alone : {true, false}) {
    Transaction transaction(1);
    transaction.TakeFile(add(transaction, "key"));
    for (const char* other : {"b", "c", "d", "e", "f", "g", "h"}) {
      if (!alone) add(transaction, other);
    }
    EXPECT_EQ(node_->Run(store_->Snapshot(node_->core(0), transaction)), Outcome::kDone);
    const OldValue old = transaction.Old(0);
    EXPECT_TRUE(old.in_file);
    EXPECT_EQ(old.value_length, value.size());
    Call(false, SetFunction, OldState::kNothing, "key", "small");
    Settle();
    EXPECT_EQ(Files().size(), 1u);
    store_->ReleaseFiles(node_->core(0), transaction);
    Settle();
    EXPECT_TRUE(Files().empty());
    EXPECT_EQ(Put("key", value), Outcome::kDone);
  }
  // Who does not ask for files gets none.
  Transaction plain(1);
  add(plain, "key");
  EXPECT_EQ(node_->Run(store_->Snapshot(node_->core(0), plain)), Outcome::kInFile);
}

TEST_P(ValueFilesTest, FlushRemovesThemInTheBackground) {
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(Put("key" + std::to_string(i), ValueOf('a', 5000)), Outcome::kDone);
  }
  EXPECT_EQ(node_->Run(store_->Flush(node_->core(0), kDefaultNamespace)), Outcome::kDone);
  EXPECT_EQ(Get("key3"), "missing");
  Settle();
  EXPECT_TRUE(Files().empty());
}

TEST_P(ValueFilesTest, ExpiryMovesWithTheReferenceAndThenTakesTheFile) {
  const uint64_t now_ms = node_->clock().WallUs() / 1000;
  EXPECT_EQ(Put("key", ValueOf('a', 9000), SetUntil, OldState::kNothing, now_ms + 5000),
            Outcome::kDone);
  Call(false, ExpireAt, OldState::kValueOrFile, "key", {}, now_ms + 20'000);
  Restart();
  EXPECT_TRUE(Get("key") == ValueOf('a', 9000));
  world_.RunFor(10 * kNsPerSecond);
  EXPECT_TRUE(Get("key") == ValueOf('a', 9000));
  EXPECT_EQ(Files().size(), 1u);
  world_.RunFor(20 * kNsPerSecond);
  EXPECT_EQ(Get("key"), "missing");
  EXPECT_TRUE(Files().empty());
  // Its record is still in the log, and no damage without its file.
  Restart();
  EXPECT_EQ(Get("key"), "missing");
}

TEST_P(ValueFilesTest, AReaderKeepsItsFile) {
  EXPECT_EQ(Put("key", ValueOf('a', 9000)), Outcome::kDone);
  StoreCall& read = Call(true, GetAny, OldState::kValueOrFile, "key");
  ASSERT_EQ(read.reply.kind, Reply::Kind::kFile);
  EXPECT_EQ(Put("key", ValueOf('b', 9000)), Outcome::kDone);
  Settle();
  EXPECT_EQ(Files().size(), 2u);
  EXPECT_TRUE(*Read(read) == ValueOf('a', 9000));
  Settle();
  EXPECT_EQ(Files().size(), 1u);
}

TEST_P(ValueFilesTest, TheOldValueIsReadAfterItWasReplaced) {
  EXPECT_EQ(Put("key", ValueOf('a', 9000)), Outcome::kDone);
  EXPECT_EQ(Put("key", ValueOf('b', 5000), GetAndSet, OldState::kValueOrFile), Outcome::kDone);
  Settle();
  ASSERT_EQ(call_->reply.kind, Reply::Kind::kFile);
  EXPECT_TRUE(*Read(*call_) == ValueOf('a', 9000));
  Settle();
  EXPECT_EQ(Files().size(), 1u);
  EXPECT_TRUE(Get("key") == ValueOf('b', 5000));
}

TEST_P(ValueFilesTest, AConditionThatIsNotMetLeavesNoFile) {
  EXPECT_EQ(Put("key", ValueOf('a', 9000)), Outcome::kDone);
  EXPECT_EQ(Put("key", ValueOf('b', 9000), SetIfAbsent, OldState::kExistence), Outcome::kDone);
  EXPECT_EQ(call_->reply.kind, Reply::Kind::kNull);
  Settle();
  EXPECT_EQ(Files().size(), 1u);
  EXPECT_TRUE(Get("key") == ValueOf('a', 9000));
}

TEST_P(ValueFilesTest, FunctionsThatWorkInMemoryAreNotCalled) {
  EXPECT_EQ(Put("key", ValueOf('a', 9000)), Outcome::kDone);
  EXPECT_EQ(Call(false, AppendFunction, OldState::kValue, "key", "more").outcome, Outcome::kInFile);
  EXPECT_EQ(Call(true, GetFunction, OldState::kValue, "key").outcome, Outcome::kInFile);
  EXPECT_TRUE(Get("key") == ValueOf('a', 9000));
}

TEST_P(ValueFilesTest, FullDiskRefusesBeforeAndWhileItIsWritten) {
  Settle();
  SpaceStat space;
  node_->disk().Space(space);
  node_->disk().SetBallast(space.free_bytes - (512 << 10));
  EXPECT_EQ(Put("key", ValueOf('a', 400'000)), Outcome::kDiskFull);
  EXPECT_TRUE(Files().empty());
  said_bytes_ = 1;
  EXPECT_EQ(Put("key", ValueOf('a', 600'000)), Outcome::kDiskFull);
  Settle();
  EXPECT_TRUE(Files().empty());
  EXPECT_EQ(Get("key"), "missing");
  node_->disk().SetBallast(0);
  EXPECT_EQ(Put("key", ValueOf('a', 100'000)), Outcome::kDone);
  EXPECT_TRUE(Get("key") == ValueOf('a', 100'000));
}

TEST_P(ValueFilesTest, AFailedSyncOfTheFileRefusesTheWriteAlone) {
  Settle();
  node_->disk().faults.flush_error = 10'000;
  EXPECT_EQ(Put("key", ValueOf('a', 9000)), Outcome::kFileError);
  EXPECT_NE(upload_->error().find("cannot sync"), std::string::npos) << upload_->error();
  node_->disk().faults = {};
  Settle();
  EXPECT_TRUE(Files().empty());
  EXPECT_FALSE(store_->read_only());
  EXPECT_EQ(Put("key", ValueOf('a', 9000)), Outcome::kDone);
  EXPECT_TRUE(Get("key") == ValueOf('a', 9000));
}

TEST_P(ValueFilesTest, AFlippedBitIsNamedAndNeverSent) {
  EXPECT_EQ(Put("key", ValueOf('a', 3 * kChunkBytes)), Outcome::kDone);
  const std::string path = OnlyFile();
  node_->disk().FlipBit(path.c_str(), 2 * kChunkBytes + 17, 3);
  StoreCall& call = Call(true, GetAny, OldState::kValueOrFile, "key");
  const absl::StatusOr<std::string> read = Read(call);
  EXPECT_TRUE(absl::IsDataLoss(read.status()));
  EXPECT_EQ(read.status().message(),
            path + ": damaged at offset 8192: a chunk's checksum is wrong");
  const auto stats = node_->Run(store_->Stats(node_->core(0)));
  EXPECT_EQ(stats->value_chunks_damaged, 1u);
}

TEST_P(ValueFilesTest, AMissingOrShorterFileStopsTheStart) {
  EXPECT_EQ(Put("key", ValueOf('a', 9000)), Outcome::kDone);
  const std::string path = OnlyFile();
  const std::string whole = *node_->disk().Contents(path.c_str());
  node_->Crash(CrashKind::kPowerCut);
  node_->disk().Put(path.c_str(), whole.substr(0, 8192));
  std::optional<absl::Status> opened = TryOpen();
  ASSERT_TRUE(opened);
  EXPECT_TRUE(absl::IsDataLoss(*opened));
  EXPECT_EQ(opened->message(), path +
                                   ": damaged at offset 8192: shorter than the value of key "
                                   "\"key\", which has 9000 bytes; --salvage goes on without it");
  node_->Crash(CrashKind::kPowerCut);
  node_->disk().Unlink(path.c_str());
  opened = TryOpen();
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->message(), path +
                                   ": damaged at offset 0: missing: the value of key \"key\"; "
                                   "--salvage goes on without it");
  node_->Crash(CrashKind::kPowerCut);
  node_->disk().Put(path.c_str(), whole);
  Open();
  EXPECT_TRUE(Get("key") == ValueOf('a', 9000));
}

TEST_P(ValueFilesTest, AStartRemovesFilesThatNobodyRefersTo) {
  EXPECT_EQ(Put("key", ValueOf('a', 9000)), Outcome::kDone);
  node_->Crash(CrashKind::kPowerCut);
  node_->disk().Put("/store/0000000100000099.val", "left by a crash");
  node_->disk().Put("/store/notes.val", "somebody's own");
  Open();
  Settle();
  EXPECT_EQ(Files().size(), 1u);
  EXPECT_TRUE(node_->disk().Contents("/store/notes.val"));
  EXPECT_TRUE(Get("key") == ValueOf('a', 9000));
}

TEST_P(ValueFilesTest, NumbersAreNeverUsedAgain) {
  EXPECT_EQ(Put("key", ValueOf('a', 9000)), Outcome::kDone);
  const std::string first = OnlyFile();
  Call(false, DeleteFunction, OldState::kExistence, "key");
  Settle();
  Restart();
  EXPECT_EQ(Put("key", ValueOf('b', 9000)), Outcome::kDone);
  EXPECT_GT(OnlyFile(), first);
}

// ---- The reference's bytes ----

TEST(ValueReferenceTest, WhatDoesNotAgreeIsNoReference) {
  const uint32_t checksums[] = {1, 2, 3};
  const std::string bytes =
      EncodeValueReference({.file = 7, .length = 2 * 4096 + 1}, 4096, checksums);
  const auto reference = ValueReference::Decode(bytes);
  ASSERT_TRUE(reference);
  EXPECT_EQ(reference->chunk_count(), 3u);
  EXPECT_EQ(reference->ChunkLength(1), 4096u);
  EXPECT_EQ(reference->ChunkLength(2), 1u);
  EXPECT_EQ(reference->ChunkChecksum(2), 3u);
  for (size_t cut = 0; cut < bytes.size(); ++cut) {
    EXPECT_FALSE(ValueReference::Decode(bytes.substr(0, cut)));
  }
  EXPECT_FALSE(ValueReference::Decode(bytes + "1234"));
  const auto with = [&bytes](size_t at, char byte) {
    std::string changed = bytes;
    changed[at] = byte;
    return changed;
  };
  EXPECT_FALSE(ValueReference::Decode(with(0, 0)));      // file 0
  EXPECT_FALSE(ValueReference::Decode(with(9, 0x30)));   // a length of four chunks
  EXPECT_FALSE(ValueReference::Decode(with(15, 0x7f)));  // a length beyond all files
  EXPECT_FALSE(ValueReference::Decode(with(16, 1)));     // chunks of 4097 bytes
  EXPECT_FALSE(ValueReference::Decode(with(17, 0)));     // of none
}

TEST(ValueReferenceTest, OfOneNumberThereIsOneName) {
  EXPECT_EQ(ValueFileName(0x0000000300000007), "0000000300000007.val");
  EXPECT_EQ(ValueFileOfName("0000000300000007.val"), 0x0000000300000007u);
  for (const char* name : {"0000000000000000.val", "000000030000000A.val", "000000030000007.val",
                           "+000000300000007.val", "0000000300000007.seg", ".val", ""}) {
    EXPECT_EQ(ValueFileOfName(name), 0u) << name;
  }
}

}  // namespace
}  // namespace pakv
