// Uploads that rest while nothing comes: what they make of a value wherever they stopped, whom they
// keep from a turn meanwhile, what they hold, and what is left of them when they fail or end.
#include "kv/shard/values/value_upload.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kv/log/files/file_io.h"
#include "runtime/base/prng.h"
#include "tests/kv/shard/values/value_file_fixture.h"

namespace pakv {
namespace {

constexpr uint32_t kLongChunkBytes = 16 << 10;

class ValueUploadTest : public ValueFileFixture {
 protected:
  void Adjust(StoreOptions& options) override {
    options.value_files.chunk_bytes = chunk_bytes_;
    options.value_files.uploads_max = uploads_max_;
  }
  // A new machine whose disk has transfers of such units, and so many turns on each core.
  void OpenNew(uint32_t direct_alignment, uint32_t uploads_max) {
    uploads_max_ = uploads_max;
    node_.reset();
    node_ = std::make_unique<SimNode>(
        world_, "10.0.0.1",
        SimDiskOptions{.capacity_bytes = 32 << 20, .direct_alignment = direct_alignment});
    Open();
  }
  ValueUpload& NewUpload() {
    return node_->Own(std::make_unique<ValueUpload>(store_->value_files(node_->core(0))));
  }
  Outcome Run(Task<Outcome> step) {
    const auto outcome = node_->Run(std::move(step));
    EXPECT_TRUE(outcome) << world_.failure();
    return outcome.value_or(Outcome::kUnknown);
  }
  // Adds all of it, with a turn where it takes one.
  static Task<Outcome> AddAll(ValueUpload& upload, std::string_view bytes) {
    Outcome outcome = Outcome::kDone;
    while (outcome == Outcome::kDone && !bytes.empty()) {
      const size_t piece = std::min(bytes.size(), upload.room());
      upload.Add(bytes.substr(0, piece));
      bytes.remove_prefix(piece);
      if (upload.room() == 0) outcome = co_await upload.MakeRoom();
    }
    co_return outcome;
  }
  // The same in pieces of up to so many bytes, with rests between them.
  static Task<Outcome> AddWithRests(ValueUpload& upload, std::string_view bytes, Prng& prng,
                                    uint64_t piece_max) {
    Outcome outcome = Outcome::kDone;
    while (outcome == Outcome::kDone && !bytes.empty()) {
      const size_t piece = std::min<size_t>(bytes.size(), prng.Between(1, piece_max));
      outcome = co_await AddAll(upload, bytes.substr(0, piece));
      bytes.remove_prefix(piece);
      if (outcome == Outcome::kDone && prng.Chance(3, 4)) outcome = co_await upload.Rest();
    }
    co_return outcome;
  }
  // The value becomes that of `key`.
  Outcome Store(ValueUpload& upload, const std::string& key) {
    const auto store = [](ValueUpload& finished, StoreCall& call,
                          std::string of_key) -> Task<Outcome> {
      Outcome outcome = co_await finished.Finish();
      bool kept = false;
      if (outcome == Outcome::kDone) {
        call.file_admitted = &kept;
        co_await call.Update(SetFunction, OldState::kNothing, of_key,
                             std::string(finished.reference()));
        outcome = call.outcome;
      }
      co_await finished.Close(kept);
      co_return outcome;
    };
    StoreCall& call = node_->Own(std::make_unique<StoreCall>(*store_, node_->core(0)));
    return Run(store(upload, call, key));
  }
  uint64_t MemoryBytes() {
    const auto stats = node_->Run(store_->Stats(node_->core(0)));
    return stats ? stats->memory_bytes : 0;
  }

  static Task<void> Note(Task<Outcome> step, std::optional<Outcome>& outcome) {
    outcome = co_await std::move(step);
  }
  ValueUpload& NewUploadOn(uint32_t core) {
    return node_->Own(std::make_unique<ValueUpload>(store_->value_files(node_->core(core))));
  }
  void Close(ValueUpload& upload) { EXPECT_TRUE(node_->Run(upload.Close(/*kept=*/false))); }
  // What was removed is free, which it is on some file systems only then.
  void SettleAndFree() {
    Settle();
    const auto synced = node_->Run(SyncNames(node_->core(0), "/store"));
    EXPECT_TRUE(synced && synced->ok());
  }
  // A multiple of the alignment: for the longest upload that may be begun now.
  uint64_t RoomBytes() {
    uint64_t fits = 0;
    uint64_t refused = node_->disk().options().capacity_bytes;
    while (refused - fits > kAlignment) {
      const uint64_t bytes = RoundDown(fits + (refused - fits) / 2, kAlignment);
      ValueUpload& upload = NewUpload();
      const Outcome outcome = Run(upload.Begin(bytes));
      EXPECT_TRUE(outcome == Outcome::kDone || outcome == Outcome::kDiskFull);
      Close(upload);
      (outcome == Outcome::kDone ? fits : refused) = bytes;
    }
    return fits;
  }

  static constexpr uint64_t kAlignment = 4096;
  uint32_t chunk_bytes_ = kLongChunkBytes;
  uint32_t uploads_max_ = 1;
};

INSTANTIATE_TEST_SUITE_P(Cores, ValueUploadTest, testing::Values(1, 2));

TEST_P(ValueUploadTest, IsWhatWasAddedWhereverItHasRested) {
  for (const uint32_t alignment : {512u, 4096u, 0u}) {
    for (const uint32_t chunk_bytes : {4096u, kLongChunkBytes}) {
      chunk_bytes_ = chunk_bytes;
      OpenNew(alignment, /*uploads_max=*/1);
      Prng prng(alignment + chunk_bytes);
      for (int round = 0; round < 40; ++round) {
        const std::string value = ValueOf(static_cast<char>(round), prng.Between(1, 60'000));
        const uint64_t piece_max = uint64_t{1} << prng.Between(5, 15);
        ValueUpload& upload = NewUpload();
        ASSERT_EQ(Run(upload.Begin(value.size())), Outcome::kDone);
        ASSERT_EQ(Run(AddWithRests(upload, value, prng, piece_max)), Outcome::kDone);
        ASSERT_EQ(Store(upload, "key"), Outcome::kDone);
        ASSERT_TRUE(Get("key") == value) << alignment << " " << chunk_bytes << " " << round;
      }
      Settle();
      EXPECT_EQ(Files().size(), 1u);
    }
  }
}

// Many more than there are turns, none of which goes on: the next one is through at once.
TEST_P(ValueUploadTest, ThoseThatRestKeepNobodyFromATurn) {
  for (const uint32_t turns : {1u, 2u, 5u}) {
    OpenNew(4096, turns);
    constexpr size_t kCount = 50;
    std::vector<ValueUpload*> uploads;
    std::vector<std::string> values;
    for (size_t i = 0; i < kCount; ++i) {
      values.push_back(ValueOf(static_cast<char>(i), 20'000 + 777 * i));
      uploads.push_back(&NewUpload());
      ASSERT_EQ(Run(uploads[i]->Begin(values[i].size())), Outcome::kDone);
      ASSERT_EQ(Run(AddAll(*uploads[i], values[i].substr(0, 400 * i))), Outcome::kDone);
      ASSERT_EQ(Run(uploads[i]->Rest()), Outcome::kDone);
    }
    EXPECT_EQ(Put("other", ValueOf('o', 50'000)), Outcome::kDone);
    EXPECT_EQ(Files().size(), kCount + 1);
    for (size_t i = 0; i < kCount; ++i) {
      ASSERT_EQ(Run(AddAll(*uploads[i], values[i].substr(400 * i))), Outcome::kDone);
      ASSERT_EQ(Run(uploads[i]->Rest()), Outcome::kDone);
    }
    for (size_t i = 0; i < kCount; ++i) {
      const std::string key = "key" + std::to_string(i);
      ASSERT_EQ(Store(*uploads[i], key), Outcome::kDone);
      EXPECT_TRUE(Get(key) == values[i]) << i;
    }
    EXPECT_TRUE(Get("other") == ValueOf('o', 50'000));
  }
}

TEST_P(ValueUploadTest, OneThatRestsKeepsItsTurnWhileHalfAreFree) {
  OpenNew(4096, /*uploads_max=*/4);
  Settle();
  const uint64_t before = MemoryBytes();
  std::vector<ValueUpload*> uploads;
  for (int i = 0; i < 4; ++i) {
    uploads.push_back(&NewUpload());
    ASSERT_EQ(Run(uploads.back()->Begin(10)), Outcome::kDone);
    uploads.back()->Add("rest");
  }
  EXPECT_EQ(MemoryBytes(), before + 4 * kLongChunkBytes);
  for (ValueUpload* upload : uploads) ASSERT_EQ(Run(upload->Rest()), Outcome::kDone);
  EXPECT_EQ(MemoryBytes(), before + 2 * kLongChunkBytes + 2 * 4096u);
  for (ValueUpload* upload : uploads) EXPECT_TRUE(node_->Run(upload->Close(/*kept=*/false)));
  Settle();
  EXPECT_EQ(MemoryBytes(), before);
  EXPECT_TRUE(Files().empty());
}

// Between two buffers, not within one: a turn is worth a buffer's length.
TEST_P(ValueUploadTest, OneThatIsBusyLetsOthersBetweenItsBuffers) {
  OpenNew(4096, /*uploads_max=*/1);
  ValueUpload& first = NewUpload();
  const std::string value = ValueOf('a', 3 * kLongChunkBytes);
  ASSERT_EQ(Run(first.Begin(value.size())), Outcome::kDone);
  ASSERT_EQ(Run(first.LetOthers()), Outcome::kDone);  // nobody waits
  std::vector<char> order;
  const auto upload = [](ValueUpload& own, std::vector<char>& seen, char name) -> Task<void> {
    const Outcome begun = co_await own.Begin(10);
    EXPECT_EQ(begun, Outcome::kDone);
    seen.push_back(name);
    own.Add("rest");
    const Outcome rested = co_await own.Rest();
    EXPECT_EQ(rested, Outcome::kDone);
  };
  ValueUpload& second = NewUpload();
  ValueUpload& third = NewUpload();
  node_->Spawn(0, upload(second, order, 'b'));
  node_->Spawn(0, upload(third, order, 'c'));
  world_.RunFor(kNsPerMs);
  first.Add(value.substr(0, 5000));
  ASSERT_EQ(Run(first.LetOthers()), Outcome::kDone);
  world_.RunFor(kNsPerMs);
  EXPECT_TRUE(order.empty());
  first.Add(value.substr(5000, kLongChunkBytes - 5000));
  ASSERT_EQ(Run(first.MakeRoom()), Outcome::kDone);
  ASSERT_EQ(Run(first.LetOthers()), Outcome::kDone);
  ASSERT_EQ(Run(AddAll(first, value.substr(kLongChunkBytes))), Outcome::kDone);
  EXPECT_EQ(order, (std::vector<char>{'b', 'c'})) << "first come, first served";
  ASSERT_EQ(Store(first, "key"), Outcome::kDone);
  EXPECT_TRUE(Get("key") == value);
  EXPECT_TRUE(node_->Run(second.Close(/*kept=*/false)));
  EXPECT_TRUE(node_->Run(third.Close(/*kept=*/false)));
}

TEST_P(ValueUploadTest, AFullDiskIsToldWhereItIsMet) {
  OpenNew(4096, /*uploads_max=*/1);
  ValueUpload& upload = NewUpload();
  ASSERT_EQ(Run(upload.Begin(1)), Outcome::kDone);
  upload.Add(ValueOf('a', 10'000));
  SpaceStat space;
  node_->disk().Space(space);
  node_->disk().SetBallast(space.free_bytes);
  EXPECT_EQ(Run(upload.Rest()), Outcome::kDiskFull);
  EXPECT_TRUE(node_->Run(upload.Close(/*kept=*/false)));
  node_->disk().SetBallast(0);
  world_.RunFor(3 * kNsPerSecond);  // a log that was full, too, asks again
  EXPECT_TRUE(Files().empty());
  EXPECT_EQ(Put("key", ValueOf('b', 9000)), Outcome::kDone) << "its turn is free";
}

// ---- Space ----

TEST_P(ValueUploadTest, OfTwoThatFitButNotBothTheSecondIsRefused) {
  OpenNew(kAlignment, /*uploads_max=*/4);
  Settle();
  const uint64_t room = RoomBytes();
  ASSERT_GT(room, 8u << 20);
  const uint64_t more_than_half = RoundDown(room * 5 / 8, kAlignment);
  ValueUpload& first = NewUpload();
  ASSERT_EQ(Run(first.Begin(more_than_half)), Outcome::kDone);
  ValueUpload& second = NewUpload();
  EXPECT_EQ(Run(second.Begin(more_than_half)), Outcome::kDiskFull);
  Close(second);
  EXPECT_EQ(RoomBytes(), room - more_than_half);
  // What the first has written is used by then, and not claimed any more.
  ASSERT_EQ(Run(AddAll(first, ValueOf('a', more_than_half / 2))), Outcome::kDone);
  EXPECT_NEAR(RoomBytes(), room - more_than_half, kLongChunkBytes);
  Close(first);
  SettleAndFree();
  EXPECT_EQ(RoomBytes(), room);
}

// On two cores, if there are: both ask the disk before either of them is told.
TEST_P(ValueUploadTest, OfTwoThatAskAtOnceOneIsRefused) {
  OpenNew(kAlignment, /*uploads_max=*/4);
  Settle();
  const uint64_t room = RoomBytes();
  const uint32_t last = GetParam() - 1;
  ValueUpload& first = NewUploadOn(0);
  ValueUpload& second = NewUploadOn(last);
  std::array<std::optional<Outcome>, 2> outcomes;
  node_->Spawn(0, Note(first.Begin(room * 5 / 8), outcomes[0]));
  node_->Spawn(last, Note(second.Begin(room * 5 / 8), outcomes[1]));
  world_.RunFor(kNsPerSecond);
  EXPECT_EQ(std::count(outcomes.begin(), outcomes.end(), Outcome::kDone), 1);
  EXPECT_EQ(std::count(outcomes.begin(), outcomes.end(), Outcome::kDiskFull), 1);
  node_->Spawn(0, first.Close(/*kept=*/false));
  node_->Spawn(last, second.Close(/*kept=*/false));
  Settle();
  EXPECT_EQ(RoomBytes(), room);
}

TEST_P(ValueUploadTest, AClaimEndsWithItsUploadWhateverBecameOfThat) {
  OpenNew(kAlignment, /*uploads_max=*/4);
  Settle();
  const uint64_t room = RoomBytes();
  // Shorter than was said; what is kept takes its own length.
  ValueUpload& shorter = NewUpload();
  ASSERT_EQ(Run(shorter.Begin(room / 2)), Outcome::kDone);
  shorter.Add(ValueOf('a', 10'000));
  ASSERT_EQ(Run(shorter.Finish()), Outcome::kDone);
  EXPECT_EQ(RoomBytes(), room - RoundUp(10'000, kAlignment)) << "before it is closed";
  Close(shorter);
  // One that failed, at a write and at a rest.
  ValueUpload& failed = NewUpload();
  ASSERT_EQ(Run(failed.Begin(room / 2)), Outcome::kDone);
  node_->disk().faults.write_error = 10'000;
  EXPECT_EQ(Run(AddAll(failed, ValueOf('a', 40'000))), Outcome::kFileError);
  node_->disk().faults = {};
  Close(failed);
  // One whose file cannot be made.
  node_->disk().faults.name_error = 10'000;
  ValueUpload& nameless = NewUpload();
  EXPECT_EQ(Run(nameless.Begin(room / 2)), Outcome::kFileError);
  node_->disk().faults = {};
  Close(nameless);
  // One whose client has gone while it had no turn.
  OpenNew(kAlignment, /*uploads_max=*/1);
  Settle();
  ASSERT_EQ(RoomBytes(), room);
  ValueUpload& resting = NewUpload();
  ASSERT_EQ(Run(resting.Begin(room / 2)), Outcome::kDone);
  ASSERT_EQ(Run(AddAll(resting, ValueOf('a', 10'000))), Outcome::kDone);
  ASSERT_EQ(Run(resting.Rest()), Outcome::kDone);
  EXPECT_LE(RoomBytes(), room - room / 2) << "who rests keeps his claim";
  Close(resting);
  SettleAndFree();
  EXPECT_EQ(RoomBytes(), room);
}

// What is promised to deletes and compaction is not for those whose length nobody has told.
TEST_P(ValueUploadTest, MoreThanWasSaidIsRefusedWhereOthersNeedTheSpace) {
  OpenNew(kAlignment, /*uploads_max=*/2);
  Settle();
  const uint64_t room = RoomBytes();
  ValueUpload& claims_most = NewUpload();
  ASSERT_EQ(Run(claims_most.Begin(room - 20'000)), Outcome::kDone);
  ValueUpload& upload = NewUpload();
  ASSERT_EQ(Run(upload.Begin(1)), Outcome::kDone);
  upload.Add(ValueOf('a', 10'000));
  EXPECT_EQ(Run(upload.Rest()), Outcome::kDone);
  EXPECT_EQ(Run(AddAll(upload, ValueOf('b', 30'000))), Outcome::kDiskFull);
  Close(upload);
  Close(claims_most);
  SettleAndFree();
  EXPECT_EQ(RoomBytes(), room);
}

TEST_P(ValueUploadTest, AFailedWriteOrOpenIsAnErrorAndItsTurnIsFree) {
  OpenNew(4096, /*uploads_max=*/1);
  Settle();  // no write of the log is under way
  for (const bool opens : {false, true}) {
    ValueUpload& upload = NewUpload();
    ASSERT_EQ(Run(upload.Begin(1)), Outcome::kDone);
    upload.Add(ValueOf('a', 10'000));
    if (opens) {
      ASSERT_EQ(Run(upload.Rest()), Outcome::kDone);
      node_->disk().faults.name_error = 10'000;
      EXPECT_EQ(Run(upload.MakeRoom()), Outcome::kFileError);
      EXPECT_NE(upload.error().find("cannot open"), std::string::npos) << upload.error();
    } else {
      node_->disk().faults.write_error = 10'000;
      EXPECT_EQ(Run(upload.Rest()), Outcome::kFileError);
      EXPECT_NE(upload.error().find("cannot write"), std::string::npos) << upload.error();
    }
    node_->disk().faults = {};
    EXPECT_TRUE(node_->Run(upload.Close(/*kept=*/false)));
    EXPECT_TRUE(node_->Run(upload.Close(/*kept=*/false))) << "again does nothing";
    EXPECT_EQ(Put("key", ValueOf('b', 9000)), Outcome::kDone);
    Settle();
    EXPECT_EQ(Files().size(), 1u);
  }
}

// What the page cache could lose without a word is on stable storage before the file is closed.
TEST_P(ValueUploadTest, WithoutDirectIoARestMakesItsBytesLast) {
  for (const uint32_t alignment : {0u, 4096u}) {
    OpenNew(alignment, /*uploads_max=*/1);
    ValueUpload& upload = NewUpload();
    ASSERT_EQ(Run(upload.Begin(1)), Outcome::kDone);
    upload.Add(ValueOf('a', 10'000));
    node_->disk().faults.flush_error = 10'000;
    EXPECT_EQ(Run(upload.Rest()), alignment == 0 ? Outcome::kFileError : Outcome::kDone);
    node_->disk().faults = {};
    EXPECT_TRUE(node_->Run(upload.Close(/*kept=*/false)));
  }
}

TEST_P(ValueUploadTest, ACrashLeavesNothingOfOneThatRests) {
  for (const CrashKind kind : {CrashKind::kProcessKill, CrashKind::kPowerCut}) {
    OpenNew(4096, /*uploads_max=*/1);
    EXPECT_EQ(Put("key", ValueOf('b', 9000)), Outcome::kDone);
    ValueUpload& upload = NewUpload();
    ASSERT_EQ(Run(upload.Begin(1)), Outcome::kDone);
    upload.Add(ValueOf('a', 10'000));
    ASSERT_EQ(Run(upload.Rest()), Outcome::kDone);
    EXPECT_EQ(Files().size(), 2u);
    node_->Crash(kind);
    Open();
    Settle();
    EXPECT_EQ(Files().size(), 1u);
    EXPECT_TRUE(Get("key") == ValueOf('b', 9000));
  }
}

// ---- And back ----

// A pass of the core has no more than a piece of a chunk to check, and all of it is checked.
TEST_P(ValueUploadTest, AChunkIsCheckedPieceByPiece) {
  chunk_bytes_ = kValueChunkBytes;
  OpenNew(4096, /*uploads_max=*/1);
  const auto passes_of = [this](size_t length) {
    const std::string value = ValueOf('a', length);
    EXPECT_EQ(Put("key", value), Outcome::kDone);
    Settle();
    const uint64_t before = node_->core(0).counters().passes;
    EXPECT_TRUE(Get("key") == value);
    return node_->core(0).counters().passes - before;
  };
  EXPECT_GE(passes_of(kValueChunkBytes), passes_of(1000) + 5);
  EXPECT_EQ(Put("key", ValueOf('b', kValueChunkBytes)), Outcome::kDone);
  Settle();
  const std::string path = OnlyFile();
  for (uint64_t at = 0; at < kValueChunkBytes; at += 32'767) {
    node_->disk().FlipBit(path.c_str(), at, 5);
    EXPECT_TRUE(absl::IsDataLoss(Read(Call(true, GetAny, OldState::kValueOrFile, "key")).status()))
        << at;
    node_->disk().FlipBit(path.c_str(), at, 5);
  }
  EXPECT_TRUE(Get("key") == ValueOf('b', kValueChunkBytes));
}

}  // namespace
}  // namespace pakv
