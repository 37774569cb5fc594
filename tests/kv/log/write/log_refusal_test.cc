// What a log has admitted, and then finds no segment for: it is refused, in order, and never
// written; nothing is built on it; and what frees space goes on.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kv/log/files/file_io.h"
#include "kv/log/write/log_writer.h"
#include "tests/kv/log/log_fixture.h"

namespace pakv {
namespace {

using LogRefusalTest = FaultyLogFixture;

// A queue that is admitted before anybody knows that the disk is full, of more than what is ready
// holds: blocks are written as long as there is room, then all that is left is refused, in order.
struct Queue {
  explicit Queue(Core& core, size_t count) {
    for (size_t i = 0; i < count; ++i) {
      entries.push_back(std::make_unique<TestEntry>(core.ready(), &order, static_cast<int>(i)));
    }
  }
  std::vector<int> order;
  std::vector<std::unique_ptr<TestEntry>> entries;
};
constexpr size_t kQueued = 40;

Task<void> QueueMoreThanThereIsRoomFor(TestLog& log, Core& core, FaultRing& faults) {
  EXPECT_TRUE(co_await log.Put("before", "1"));
  co_await log.UntilAllIsReady();
  FillDisk(faults);
  Queue queue(core, kQueued);
  for (size_t i = 0; i < kQueued; ++i) {
    EXPECT_EQ(log.writer->Admit(30'000, false), Admission::kOk) << "nobody knows yet";
    log.Append("key" + std::to_string(i), std::string(30'000, 'v'), *queue.entries[i]);
  }
  TestEntry last(core.ready(), &queue.order, kQueued);
  EXPECT_TRUE(log.writer->WaitNewest(last));
  co_await last.settled.Wait();
  EXPECT_EQ(last.settlement, Settlement::kDiskFull);
  EXPECT_EQ(last.location().segment, 0u);
  size_t durable = 0;
  while (queue.entries[durable]->ok) ++durable;
  EXPECT_GT(durable, 1u);
  EXPECT_LT(durable, 6u) << "the reserve is for others";
  for (size_t i = durable; i < kQueued; ++i) {
    EXPECT_EQ(queue.entries[i]->settlement, Settlement::kDiskFull) << i;
    EXPECT_EQ(queue.entries[i]->location().segment, 0u);
  }
  EXPECT_TRUE(std::is_sorted(queue.order.begin(), queue.order.end()));
  EXPECT_EQ(queue.order.size(), kQueued + 1);
  EXPECT_EQ(log.failures, 0);
  EXPECT_FALSE(log.writer->read_only());
  EXPECT_TRUE(log.writer->idle());
  EXPECT_EQ(log.writer->pending_bytes(), 0u);
  EXPECT_EQ(log.writer->Admit(30'000, false), Admission::kDiskFull);
  // What frees space goes on from the reserve, which is whole.
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(log.writer->Admit(EncodedRecordSize(4, 0), true), Admission::kOk);
    TestEntry gone(core.ready());
    log.Append("key0", "", gone, kRecordDelete);
    co_await gone.settled.Wait();
    EXPECT_TRUE(gone.ok);
  }
  faults.after = nullptr;
  co_await log.Until([&] { return log.writer->Admit(30'000, false) == Admission::kOk; });
  EXPECT_TRUE(co_await log.Put("after", "2"));
}

TEST_F(LogRefusalTest, WhatIsQueuedWhenTheDiskIsFullIsRefusedAndNeverWritten) {
  Life(QueueMoreThanThereIsRoomFor);
  const auto values = Recovered();
  EXPECT_EQ(values.at("before"), "1");
  EXPECT_EQ(values.at("after"), "2");
  EXPECT_EQ(values.at("key0"), "");
  EXPECT_EQ(values.count("key1"), 1u);
  for (size_t i = 6; i < kQueued; ++i) EXPECT_EQ(values.count("key" + std::to_string(i)), 0u) << i;
}

// One that asks, while it is refused, to write, and to wait for what else is pending.
struct RefusedEntry : DurableEntry {
  RefusedEntry(LogWriter& writer_in, TestEntry& other_in)
      : DurableEntry([](DurableEntry& self, Settlement settlement) {
          auto& entry = static_cast<RefusedEntry&>(self);
          EXPECT_EQ(settlement, Settlement::kDiskFull);
          EXPECT_EQ(entry.writer.Admit(1, false), Admission::kDiskFull);
          EXPECT_EQ(entry.writer.Admit(1, true), Admission::kDiskFull);
          const Admission clock = entry.writer.WaitClock(entry.other);
          EXPECT_EQ(clock, Admission::kDiskFull);
          entry.waited = entry.writer.WaitNewest(entry.other);
        }),
        writer(writer_in),
        other(other_in) {}
  LogWriter& writer;
  TestEntry& other;
  bool waited = false;
};

Task<void> AskWhileRefusing(TestLog& log, Core& core, FaultRing& faults) {
  EXPECT_TRUE(co_await log.Put("before", "1"));
  co_await log.UntilAllIsReady();
  FillDisk(faults);
  TestEntry other(core.ready());
  RefusedEntry refused(*log.writer, other);
  TestEntry behind(core.ready());
  // Longer than all that is ready.
  const std::string value(2 * TestLog::kSegmentBytes, 'v');
  log.writer->Append({.lsn = log.clock->Next(core.wall_us()), .key = "long", .value = value},
                     refused);
  log.Append("behind", "value", behind);
  co_await other.settled.Wait();
  EXPECT_TRUE(refused.waited);
  EXPECT_TRUE(behind.settled.is_set()) << "what it waits for is told before";
  EXPECT_EQ(behind.settlement, Settlement::kDiskFull);
  EXPECT_EQ(other.settlement, Settlement::kDiskFull);
  EXPECT_EQ(log.writer->Admit(1, true), Admission::kOk) << "all are told";
}

TEST_F(LogRefusalTest, NothingIsBuiltOnWhatIsBeingRefused) {
  Life(AskWhileRefusing);
  EXPECT_EQ(Recovered().size(), 1u);
}

// A record longer than any segment that there is room for is refused, and no shortage is left of
// it: others have room.
Task<void> RefuseOneThatIsTooLong(TestLog& log, Core&, FaultRing& faults) {
  EXPECT_TRUE(co_await log.Put("before", "1"));
  co_await log.UntilAllIsReady();
  faults.after = [](Operation& operation) {
    if (operation.request.opcode != Opcode::kSpace) return;
    operation.request.space->free_bytes = 4 * TestLog::kSegmentBytes + kSpaceMarginBytes;
  };
  EXPECT_FALSE(co_await log.Put("long", std::string(8 * TestLog::kSegmentBytes, 'v')));
  co_await log.Until([&] { return log.writer->shortage() == Shortage::kNone; });
  EXPECT_EQ(log.writer->shortage(), Shortage::kNone);
  EXPECT_TRUE(co_await log.Put("short", "2"));
}

TEST_F(LogRefusalTest, ARecordTooLongForTheDiskStopsNobodyElse) {
  Life(RefuseOneThatIsTooLong);
  const auto values = Recovered();
  EXPECT_EQ(values.count("long"), 0u);
  EXPECT_EQ(values.at("short"), "2");
}

// What frees space, in one block with others, may take the reserve.
Task<void> QueueADeleteWithOthers(TestLog& log, Core& core, FaultRing& faults) {
  EXPECT_TRUE(co_await log.Put("before", "1"));
  co_await log.UntilAllIsReady();
  FillDisk(faults);
  Queue queue(core, 3);
  // The rest of the segment, the spare, and one more.
  for (size_t i = 0; i < 3; ++i) {
    log.Append("key" + std::to_string(i), std::string(60'000, 'v'), *queue.entries[i]);
  }
  TestEntry gone(core.ready());
  log.Append("before", "", gone, kRecordDelete);
  co_await gone.settled.Wait();
  EXPECT_TRUE(gone.ok);
  EXPECT_TRUE(queue.entries[2]->ok) << "it shares the block";
}

TEST_F(LogRefusalTest, ABlockWithADeleteTakesTheReserve) {
  Life(QueueADeleteWithOthers);
  EXPECT_EQ(Recovered().at("before"), "");
}

// ---- MANIFEST ----

// Up to 200 namespaces, or until one is refused; how many there are.
Task<uint32_t> AppendToManifest(TestLog& log, Core& core, std::string name, absl::Status& status) {
  Manifest& manifest = *log.recovered.manifest;
  for (uint32_t appended = 0; appended < 200; ++appended) {
    const std::string numbered = name + std::to_string(appended);
    std::vector<ManifestEntry> entries(1);
    entries[0].type = ManifestEntry::Type::kNamespace;
    entries[0].namespace_id = manifest.listed().next_namespace;
    entries[0].name = numbered;
    status = co_await manifest.Append(core, std::move(entries));
    if (!status.ok()) co_return appended;
  }
  co_return 200;
}

// Zeros ahead carry MANIFEST on; once they are used up an append is refused, and that is all.
Task<void> ManifestOnAFullDisk(TestLog& log, Core& core, FaultRing& faults) {
  co_await log.UntilAllIsReady();
  FillDisk(faults);
  absl::Status status;
  const uint32_t appended = co_await AppendToManifest(log, core, "name", status);
  EXPECT_GT(appended, 30u);  // half of what is made ahead, at least
  EXPECT_EQ(ShortageOf(status), Shortage::kSpace) << status;
  EXPECT_FALSE(log.writer->read_only());
  faults.after = nullptr;
  const uint32_t later = co_await AppendToManifest(log, core, "later", status);
  EXPECT_EQ(later, 200u) << status;
  EXPECT_TRUE(co_await log.Put("key", "value"));
}

TEST_F(LogRefusalTest, AFullDiskIsNoFailureOfManifest) {
  Life(ManifestOnAFullDisk);
  EXPECT_EQ(Recovered().at("key"), "value");
}

// The next segment is there, and cannot be listed: what is queued is refused, and what comes is not
// admitted, until it can be.
Task<void> RefuseForManifest(TestLog& log, Core& core, FaultRing& faults) {
  co_await log.UntilAllIsReady();
  FillDisk(faults);
  absl::Status status;
  co_await AppendToManifest(log, core, "name", status);
  EXPECT_EQ(ShortageOf(status), Shortage::kSpace) << status;
  const std::string value(TestLog::kSegmentBytes / 2, 'v');
  EXPECT_TRUE(co_await log.Put("fits", value));
  TestEntry entry(core.ready());
  log.Append("does not", value, entry);
  co_await entry.settled.Wait();
  EXPECT_EQ(entry.settlement, Settlement::kDiskFull);
  EXPECT_EQ(log.writer->Admit(1, false), Admission::kDiskFull);
  EXPECT_EQ(log.writer->Admit(1, true), Admission::kDiskFull) << "there is nowhere to write it to";
  EXPECT_EQ(log.writer->shortage(), Shortage::kSpace);
  EXPECT_FALSE(log.writer->read_only());
  faults.after = nullptr;
  co_await log.Until([&] { return log.writer->Admit(4000, false) == Admission::kOk; });
  EXPECT_TRUE(co_await log.Put("later", value));
}

TEST_F(LogRefusalTest, WhatFindsNoRoomInManifestIsRefused) {
  Life(RefuseForManifest);
  const auto values = Recovered();
  EXPECT_EQ(values.count("fits"), 1u);
  EXPECT_EQ(values.count("later"), 1u);
  EXPECT_EQ(values.count("does not"), 0u);
}

Task<void> StopWhileManifestIsFull(TestLog& log, Core& core, FaultRing& faults) {
  co_await log.UntilAllIsReady();
  FillDisk(faults);
  absl::Status status;
  co_await AppendToManifest(log, core, "name", status);
  const std::string value(TestLog::kSegmentBytes / 2, 'v');
  EXPECT_TRUE(co_await log.Put("fits", value));
  EXPECT_FALSE(co_await log.Put("does not", value));
  co_await log.writer->Stop();
  EXPECT_FALSE(log.writer->read_only()) << "it is no failure";
}

TEST_F(LogRefusalTest, WhoStopsDoesNotWaitForRoomInManifest) {
  Life(StopWhileManifestIsFull);
  EXPECT_EQ(Recovered().count("fits"), 1u);
}

}  // namespace
}  // namespace pakv
