// Groups of records that are written into their block in several passes: others' records come
// behind them meanwhile, in the log and in time; and the log may fail under them.
#include <gtest/gtest.h>

#include <cerrno>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kv/log/write/log_writer.h"
#include "runtime/core/next_pass.h"
#include "tests/kv/log/log_fixture.h"

namespace pakv {
namespace {

constexpr size_t kRecords = 5;
constexpr std::string_view kValue = "one of a group";

// A group of kRecords, one added in each pass.
class SlowGroup {
 public:
  SlowGroup(TestLog& log, Core& core) : log_(log), core_(core), entry(core.ready()) {
    for (size_t i = 0; i < kRecords; ++i) {
      keys_.push_back("group" + std::to_string(i));
      bytes_ += EncodedRecordSize(keys_.back(), kValue);
      places.emplace_back(core.ready());
    }
  }
  void Begin() {
    lsn_ = log_.clock->Next(core_.wall_us());
    group_ = &log_.writer->BeginGroup(bytes_);
    Add(0);
  }
  // Nothing: it is hung; else what has become of it.
  Task<std::optional<Settlement>> Complete() {
    for (size_t i = 1; i < kRecords; ++i) {
      co_await NextPass(core_);
      Add(i);
    }
    co_return log_.writer->EndGroup(*group_, entry);
  }

 private:
  void Add(size_t i) {
    log_.writer->AddToGroup(*group_, {.lsn = lsn_, .key = keys_[i], .value = kValue}, places[i]);
  }

  TestLog& log_;
  Core& core_;
  std::vector<std::string> keys_;
  size_t bytes_ = 0;
  Lsn lsn_ = kNoLsn;
  LogWriter::Block* group_ = nullptr;

 public:
  TestEntry entry;
  std::deque<TestEntry> places;
};

using LogGroupTest = FaultyLogFixture;

Task<void> AppendAroundAGroup(TestLog& log, Core& core, FaultRing&) {
  std::vector<int> order;
  TestEntry before(core.ready(), &order, 0);
  TestEntry behind(core.ready(), &order, 2);
  SlowGroup group(log, core);
  group.entry.order = &order;
  group.entry.number = 1;
  log.Append("before", "value", before);
  group.Begin();
  log.Append("behind", "value", behind);
  const std::optional<Settlement> given_up = co_await group.Complete();
  EXPECT_FALSE(given_up.has_value());
  EXPECT_FALSE(behind.settled.is_set()) << "it was written before those that it is behind";
  co_await behind.settled.Wait();
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2}));
  EXPECT_TRUE(before.ok && group.entry.ok && behind.ok);
  EXPECT_EQ(log.writer->counters().records, kRecords + 2);
  EXPECT_EQ(log.writer->pending_bytes(), 0u);
  log.written["before"] = before.location();
  log.written["behind"] = behind.location();
  for (size_t i = 0; i < kRecords; ++i) {
    group.places[i].PlaceIn(group.entry.location());
    log.written["group" + std::to_string(i)] = group.places[i].location();
  }
}

TEST_F(LogGroupTest, WhatIsAppendedMeanwhileComesBehind) {
  Life(AppendAroundAGroup);
  const std::map<std::string, Location> written = written_;
  Life(DoNothing);
  ASSERT_EQ(records_.size(), kRecords + 2);
  EXPECT_EQ(records_.front().key, "before");
  EXPECT_EQ(records_.back().key, "behind");
  for (const CopiedRecord& record : records_) {
    EXPECT_EQ(record.location, written.at(record.key)) << record.key;
  }
  for (size_t i = 1; i < records_.size(); ++i) {
    EXPECT_GE(records_[i].lsn, records_[i - 1].lsn) << records_[i].key;
  }
}

Task<void> FailUnderAGroup(TestLog& log, Core& core, FaultRing& faults) {
  EXPECT_TRUE(co_await log.Put("before", "value"));
  TestEntry failing(core.ready());
  TestEntry waiting(core.ready());
  SlowGroup group(log, core);
  faults.rule = [&](Operation& operation) {
    if (!IsBlockWrite(operation)) return true;
    group.Begin();
    EXPECT_TRUE(log.writer->WaitNewest(waiting));
    operation.result = IoResult(-EIO);
    return false;
  };
  log.Append("failing", "value", failing);
  co_await waiting.settled.Wait();
  EXPECT_FALSE(failing.ok || waiting.ok);
  EXPECT_EQ(log.failures, 1);
  const std::optional<Settlement> given_up = co_await group.Complete();
  EXPECT_EQ(given_up, Settlement::kUnknown);
  EXPECT_EQ(log.writer->pending_bytes(), 0u);
  EXPECT_TRUE(log.writer->idle());
}

TEST_F(LogGroupTest, ALogThatFailsMeanwhileTakesNothingOfIt) {
  Life(FailUnderAGroup);
  Life(DoNothing);
  ASSERT_EQ(records_.size(), 1u);
  EXPECT_EQ(records_[0].key, "before");
}

// What is before it finds no segment: it is refused with that, whole, although half of it is not
// there yet.
Task<void> RefuseUnderAGroup(TestLog& log, Core& core, FaultRing& faults) {
  EXPECT_TRUE(co_await log.Put("before", "value"));
  co_await log.UntilAllIsReady();
  faults.after = [](Operation& operation) {
    if (operation.request.opcode == Opcode::kSpace) operation.request.space->free_bytes = 0;
  };
  TestEntry refused(core.ready());
  TestEntry waiting(core.ready());
  // Longer than what is ready, and its block has no room for a record more.
  const std::string key = "refused";
  log.Append(key,
             std::string(2 * TestLog::kSegmentBytes - kBlockHeaderSize -
                             EncodedRecordSize(key, std::string_view()),
                         'v'),
             refused);
  SlowGroup group(log, core);
  group.Begin();
  EXPECT_TRUE(log.writer->WaitNewest(waiting));
  co_await waiting.settled.Wait();
  EXPECT_EQ(refused.settlement, Settlement::kDiskFull);
  EXPECT_EQ(waiting.settlement, Settlement::kDiskFull);
  EXPECT_TRUE(log.writer->idle());
  const std::optional<Settlement> given_up = co_await group.Complete();
  EXPECT_EQ(given_up, Settlement::kDiskFull);
  EXPECT_EQ(log.failures, 0);
  EXPECT_EQ(log.writer->pending_bytes(), 0u);
  EXPECT_TRUE(log.writer->idle());
  faults.after = nullptr;
  co_await log.Until([&] { return log.writer->Admit(4000, false) == Admission::kOk; });
  EXPECT_TRUE(co_await log.Put("after", "value"));
}

TEST_F(LogGroupTest, AGroupThatIsRefusedMeanwhileIsRefusedWhole) {
  Life(RefuseUnderAGroup);
  Life(DoNothing);
  ASSERT_EQ(records_.size(), 2u);
  EXPECT_EQ(records_[0].key, "before");
  EXPECT_EQ(records_[1].key, "after");
}

}  // namespace
}  // namespace pakv
