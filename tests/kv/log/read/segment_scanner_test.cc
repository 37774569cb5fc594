// SegmentScanner over the kernel's ring: what it reads, and when it tells of an error.
#include "kv/log/read/segment_scanner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tests/kv/log/log_fixture.h"

namespace pakv {
namespace {

constexpr uint64_t kReadBytes = 4096;

class SegmentScannerTest : public ::testing::Test {
 protected:
  // Of all that the log has written, the segment that most lies in.
  static SegmentInfo Fullest(const TestLog& log) {
    SegmentInfo fullest;
    for (const auto& [segment, info] : log.recovered.manifest->segments()) {
      if (info.sealed_end.value_or(0) > fullest.sealed_end.value_or(0)) fullest = info;
    }
    return fullest;
  }
  static void FlipBit(const std::string& path, uint64_t offset) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(offset));
    const int byte = file.get();
    file.seekp(static_cast<std::streamoff>(offset));
    file.put(static_cast<char>(byte ^ 1));
    EXPECT_TRUE(file.good());
  }
  // Writes values of these lengths, and scans that segment.
  Task<void> Scan(Core& core, std::vector<size_t> lengths) {
    TestLog log(core, directory_.store(), /*run=*/1);
    const absl::Status opened = co_await log.Open();
    EXPECT_TRUE(opened.ok()) << opened;
    for (size_t i = 0; i < lengths.size(); ++i) {
      const bool put = co_await log.Put("key" + std::to_string(i), std::string(lengths[i], 'v'));
      EXPECT_TRUE(put);
    }
    co_await log.writer->Stop();
    written_clock_ms_ = log.writer->durable_clock_ms();
    log.writer.reset();
    info_ = Fullest(log);
    RecordPlaces stepped_over;
    for (const std::string& key : stepped_over_) {
      EXPECT_EQ(log.written[key].segment, info_.segment);
      stepped_over.Add(log.written[key].offset);
    }
    if (damaged_.has_value()) {
      FlipBit(log.directory->PathOf(SegmentName(info_.segment)),
              log.written[damaged_->key].offset + damaged_->byte);
    }
    if (before_scan_) before_scan_();
    SegmentScanner scanner(core, *log.directory, info_, kReadBytes, &stepped_over);
    const absl::Status scans = co_await scanner.Open();
    EXPECT_TRUE(scans.ok()) << scans;
    std::vector<RecoveredRecord> records;
    while (true) {
      const absl::StatusOr<bool> more = co_await scanner.Next(records);
      status_ = more.status();
      if (!more.ok() || !*more) break;
      for (const RecoveredRecord& record : records) {
        found_.push_back(record.fields.value.size());
        EXPECT_EQ(record.fields.value, std::string(record.fields.value.size(), 'v'));
      }
    }
    clock_ms_ = scanner.expiry_clock_ms();
    co_await scanner.Close();
    co_await log.Close();
  }

  TempDirectory directory_;
  TestCore core_;
  std::function<void()> before_scan_;
  std::vector<std::string> stepped_over_;  // keys
  struct Damage {
    std::string key;
    uint32_t byte = 0;  // of its record
  };
  std::optional<Damage> damaged_;
  SegmentInfo info_;
  absl::Status status_;
  std::vector<size_t> found_;  // lengths of values
  uint64_t written_clock_ms_ = 0;
  uint64_t clock_ms_ = 0;  // as scanned
};

// In pieces it would be moved, and its memory made anew, as often as there are of them.
TEST_F(SegmentScannerTest, ABlockThatIsLongerThanAPieceIsReadAtOnce) {
  int reads = 0;
  uint64_t bytes = 0;
  before_scan_ = [&] {
    core_.faults->rule = [&](Operation& operation) {
      if (operation.request.opcode != Opcode::kRead) return true;
      ++reads;
      bytes += operation.request.length;
      return true;
    };
  };
  core_.Run(Scan(*core_.core, {900'000}));
  EXPECT_TRUE(status_.ok()) << status_;
  EXPECT_EQ(found_, std::vector<size_t>{900'000});
  EXPECT_LE(reads, 3) << "its beginning, the rest, and what is behind it";
  EXPECT_LE(bytes, RoundUp(*info_.sealed_end, 4096)) << "each byte once";
}

TEST_F(SegmentScannerTest, StepsOverWhatItsCallerKnows) {
  stepped_over_ = {"key0", "key2", "key5"};
  core_.Run(Scan(*core_.core, {100, 101, 102, 103, 104, 105}));
  EXPECT_TRUE(status_.ok()) << status_;
  EXPECT_EQ(found_, (std::vector<size_t>{101, 103, 104}));
}

// Compaction keeps it: what was shown as expired is so by the largest there is.
TEST_F(SegmentScannerTest, TellsTheExpiryClockOfItsBlocks) {
  stepped_over_ = {"key1"};
  core_.Run(Scan(*core_.core, {100, 101}));
  EXPECT_TRUE(status_.ok()) << status_;
  EXPECT_GT(written_clock_ms_, 0u);
  EXPECT_EQ(clock_ms_, written_clock_ms_);
}

// Nobody wants it, so its damage is nobody's.
TEST_F(SegmentScannerTest, DamageInWhatIsSteppedOverIsNoLoss) {
  stepped_over_ = {"key1"};
  damaged_ = {.key = "key1", .byte = kRecordHeaderSize + 50};
  core_.Run(Scan(*core_.core, {100, 101, 102}));
  EXPECT_TRUE(status_.ok()) << status_;
  EXPECT_EQ(found_, (std::vector<size_t>{100, 102}));
}

// But it hides no other record, by a length that is not its own.
TEST_F(SegmentScannerTest, DamageThatCouldHideAnotherRecordIsTold) {
  stepped_over_ = {"key1"};
  damaged_ = {.key = "key1", .byte = 4};
  core_.Run(Scan(*core_.core, {100, 101, 102}));
  EXPECT_TRUE(absl::IsDataLoss(status_)) << status_;
}

// What was read before is handed on first, and what is under way has ended before the file closes.
TEST_F(SegmentScannerTest, AnErrorOfReadingAheadComesInItsTurn) {
  before_scan_ = [&] {
    core_.faults->rule = [](Operation& operation) {
      const auto& request = operation.request;
      if (request.opcode != Opcode::kRead || request.offset + request.length <= 20'000) return true;
      operation.result = IoResult(-EIO);
      return false;
    };
  };
  core_.Run(Scan(*core_.core, std::vector<size_t>(20, 2000)));
  EXPECT_FALSE(status_.ok());
  EXPECT_FALSE(absl::IsDataLoss(status_)) << status_;
  EXPECT_GE(found_.size(), 3u);
  EXPECT_LT(found_.size(), 20u);
}

}  // namespace
}  // namespace pakv
