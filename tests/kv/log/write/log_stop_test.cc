// kv/log: what a clean stop leaves: no segment that the next start would have to search for the
// log's end. Crashes in the middle of it are the simulator's (the sweep, and the store's lives).
#include <gtest/gtest.h>

#include <cerrno>
#include <string>

#include "tests/kv/log/log_fixture.h"

namespace pakv {
namespace {

using Values = std::map<std::string, std::string>;

class LogStopTest : public ::testing::Test {
 protected:
  // A life of the store: `body`, then a clean stop.
  template <typename Body>
  void Life(Body body) {
    TestCore core;
    TestLog log(*core.core, store(), ++run_);
    core.Run(RunLife(log, body, *core.faults));
  }
  // A life that writes nothing: what it found, and the bytes of segments that it read for that.
  Values Restart() {
    Values values;
    Life([&](TestLog& log, FaultRing&) { return Look(log, values, read_bytes_); });
    return values;
  }
  ManifestState Manifest() const {
    const std::string bytes = ReadFile(store() + "/MANIFEST");
    const auto state =
        ParseManifest(Bytes(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()));
    EXPECT_TRUE(state.ok()) << state.status();
    return state.ok() ? *state : ManifestState();
  }
  std::string store() const { return directory_.store(); }

  TempDirectory directory_;
  uint64_t run_ = 0;
  uint64_t read_bytes_ = 0;

 private:
  static Task<void> Look(TestLog& log, Values& values, uint64_t& read_bytes) {
    values = log.Values();
    read_bytes = log.progress.total_bytes.load();
    co_return;
  }
};

Task<void> PutTwo(TestLog& log, FaultRing&) {
  EXPECT_TRUE(co_await log.Put("a", "1"));
  EXPECT_TRUE(co_await log.Put("b", "2"));
}
const Values kTwo{{"a", "1"}, {"b", "2"}};

// Waits until the first segment is there, in which nothing is written then.
Task<void> PutNothing(TestLog& log, FaultRing&) {
  while (log.writer->counters().segments == 0) co_await log.Sleep(kNsPerMs);
}

TEST_F(LogStopTest, SmallSegmentIsSealedSoThatTheNextStartReadsNoZeros) {
  Life(PutTwo);
  const ManifestState state = Manifest();
  ASSERT_EQ(state.segments.size(), 1u);
  const SegmentInfo& info = state.segments.begin()->second;
  ASSERT_TRUE(info.sealed_end.has_value());
  EXPECT_GT(*info.sealed_end, 0u);
  EXPECT_LT(*info.sealed_end, TestLog::kSegmentBytes / 2);
  EXPECT_EQ(info.footer_bytes, 0u);
  EXPECT_EQ(Restart(), kTwo);
  EXPECT_EQ(read_bytes_, *info.sealed_end);
  EXPECT_EQ(Restart(), kTwo);
  EXPECT_EQ(read_bytes_, *info.sealed_end) << "lives that write nothing leave nothing";
}

TEST_F(LogStopTest, SegmentWithoutABlockIsRemoved) {
  Life(PutNothing);
  const ManifestState state = Manifest();
  EXPECT_TRUE(state.segments.empty());
  EXPECT_EQ(state.dropped.size(), 1u);
  EXPECT_TRUE(SegmentFiles(store()).empty());
  EXPECT_TRUE(Restart().empty());
  EXPECT_EQ(read_bytes_, 0u);
}

TEST_F(LogStopTest, FileOfADroppedSegmentThatACrashBringsBackIsRemovedByTheNextStart) {
  Life(PutTwo);
  Life(PutNothing);
  const ManifestState state = Manifest();
  ASSERT_EQ(state.dropped.size(), 1u);
  const std::string name = SegmentName(*state.dropped.begin());
  WriteFile(store() + "/" + name, std::string(TestLog::kSegmentBytes, '\0'));
  EXPECT_EQ(Restart(), kTwo);
  EXPECT_FALSE(std::filesystem::exists(store() + "/" + name));
}

Task<void> FailTheSecond(TestLog& log, FaultRing& faults) {
  EXPECT_TRUE(co_await log.Put("a", "1"));
  faults.rule = [](Operation& operation) {
    if (operation.request.opcode != Opcode::kWrite) return true;
    operation.result = IoResult(-EIO);
    return false;
  };
  EXPECT_FALSE(co_await log.Put("b", "2"));
  faults.rule = nullptr;
}

TEST_F(LogStopTest, LogThatHasFailedIsLeftForTheNextStartToJudge) {
  Life(FailTheSecond);
  const ManifestState state = Manifest();
  ASSERT_EQ(state.segments.size(), 1u);
  EXPECT_FALSE(state.segments.begin()->second.sealed_end.has_value());
  EXPECT_EQ(Restart(), (Values{{"a", "1"}}));
  EXPECT_EQ(read_bytes_, TestLog::kSegmentBytes);
}

Task<void> FailTheManifestFromNowOn(TestLog& log, FaultRing& faults) {
  co_await PutTwo(log, faults);
  FailManifestWrites(faults);
}

TEST_F(LogStopTest, StopThatCannotSealLosesNothing) {
  Life(FailTheManifestFromNowOn);
  EXPECT_FALSE(Manifest().segments.begin()->second.sealed_end.has_value());
  EXPECT_EQ(Restart(), kTwo);
}

// What was sealed without a footer may get one later, as after every start.
TEST_F(LogStopTest, SealedSegmentIsJudgedLikeAnyOther) {
  Life(PutTwo);
  const SegmentInfo info = Manifest().segments.begin()->second;
  const std::string path = store() + "/" + SegmentName(info.segment);
  const std::string good = ReadFile(path);
  // Its last block is the mark: no witness is left for it, and yet it may not go.
  std::string bad = good;
  std::fill(bad.begin() + static_cast<ptrdiff_t>(*info.sealed_end - kSectorSize),
            bad.begin() + static_cast<ptrdiff_t>(*info.sealed_end), '\0');
  ASSERT_NE(bad, good);
  WriteFile(path, bad);
  TestCore core;
  TestLog log(*core.core, store(), ++run_);
  absl::Status status;
  core.Run([](TestLog& refused, absl::Status& found) -> Task<void> {
    found = co_await refused.Recover();
  }(log, status));
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
}

}  // namespace
}  // namespace pakv
