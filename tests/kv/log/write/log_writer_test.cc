// kv/log: the writer on the kernel's ring. What is acknowledged is found again; the order of
// settling, marks, segments, and what MANIFEST says of them.
//
// Long because: each is a life of the same small log, and these share its fixture.
#include "kv/log/write/log_writer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "kv/log/read/log_reader.h"
#include "kv/log/write/awaited_entry.h"
#include "runtime/core/next_pass.h"
#include "runtime/task/nursery.h"
#include "tests/kv/log/log_fixture.h"

namespace pakv {
namespace {

// One test: a directory, and tasks that run on a core of their own each.
class LogWriterTest : public ::testing::Test {
 protected:
  // Runs `body` in a fresh process life of the store.
  template <typename Body>
  void Life(Body body, size_t buffer_bytes = 1 << 18,
            uint64_t segment_bytes = TestLog::kSegmentBytes) {
    TestCore core(buffer_bytes);
    TestLog log(*core.core, directory_.store(), ++run_, segment_bytes);
    faults_ = core.faults;
    core.Run(RunLife(log, body, *core.core));
  }
  // What a recovery finds.
  std::map<std::string, std::string> Recovered() {
    std::map<std::string, std::string> values;
    Life([&values](TestLog& log, Core&) { return TakeValues(log, values); });
    return values;
  }

  TempDirectory directory_;
  FaultRing* faults_ = nullptr;
  uint64_t run_ = 0;

 private:
  static Task<void> TakeValues(TestLog& log, std::map<std::string, std::string>& values) {
    values = log.Values();
    co_return;
  }
};

Task<void> HoldMarks(TestLog& log, Core&) {
  log.writer->HoldMarks(true);
  EXPECT_TRUE(co_await log.Put("a", "1"));
  co_await log.Sleep(20 * LogWriter::kMarkDelayNs);
  EXPECT_TRUE(co_await log.Put("b", "2"));
  co_await log.Sleep(20 * LogWriter::kMarkDelayNs);
  EXPECT_EQ(log.writer->counters().marks, 0u);
  log.writer->HoldMarks(false);
  co_await log.UntilMark();
  EXPECT_EQ(log.writer->counters().marks, 1u);
}

TEST_F(LogWriterTest, MarksWaitAsLongAsTheyAreHeld) { Life(HoldMarks); }

Task<void> PutThree(TestLog& log, Core&) {
  EXPECT_TRUE(co_await log.Put("a", "1"));
  EXPECT_TRUE(co_await log.Put("b", "2"));
  EXPECT_TRUE(co_await log.Put("a", "3"));
}

TEST_F(LogWriterTest, RecordsAreFoundAgain) {
  Life(PutThree);
  EXPECT_EQ(Recovered(), (std::map<std::string, std::string>{{"a", "3"}, {"b", "2"}}));
  EXPECT_EQ(Recovered(), (std::map<std::string, std::string>{{"a", "3"}, {"b", "2"}}));
}

Task<void> AppendManyInOnePass(TestLog& log, Core& core) {
  std::vector<std::unique_ptr<TestEntry>> entries;
  std::vector<int> order;
  for (int i = 0; i < 100; ++i) {
    entries.push_back(std::make_unique<TestEntry>(core.ready(), &order, i));
    log.Append("key" + std::to_string(i), "value", *entries.back());
  }
  co_await entries.back()->settled.Wait();
  EXPECT_EQ(log.writer->counters().blocks, 1u);
  EXPECT_EQ(log.writer->counters().records, 100u);
  EXPECT_EQ(order.size(), 100u);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
  EXPECT_TRUE(log.writer->idle());
  EXPECT_EQ(log.writer->pending_bytes(), 0u);
}

TEST_F(LogWriterTest, WritesOfOnePassShareABlock) {
  Life(AppendManyInOnePass);
  EXPECT_EQ(Recovered().size(), 100u);
}

Task<void> AppendWithHashes(TestLog& log, Core& core) {
  constexpr size_t kEntries = 2 * LogWriter::kSettlingMax + 5;
  std::vector<std::unique_ptr<TestEntry>> entries;
  std::vector<uint64_t> hashes;
  for (size_t i = 0; i < kEntries; ++i) {
    entries.push_back(std::make_unique<TestEntry>(core.ready()));
    entries.back()->settles_hash = i % 7 == 0 ? 0 : i;
    if (i % 7 != 0) hashes.push_back(i);
    log.Append("key" + std::to_string(i), "value", *entries.back());
  }
  EXPECT_TRUE(log.announced.empty());
  co_await entries.back()->settled.Wait();
  EXPECT_EQ(log.announced, hashes);
}

TEST_F(LogWriterTest, TellsWhichKeysItIsAboutToSettle) { Life(AppendWithHashes); }

Task<void> FillWhileWriting(TestLog& log, Core& core) {
  EXPECT_TRUE(co_await log.Put("first", "x"));  // the segment is there
  const uint64_t blocks = log.writer->counters().blocks;
  std::vector<int> order;
  TestEntry one(core.ready(), &order, 1);
  log.Append("one", "1", one);
  co_await core.ready().Yield();
  while (core.counters().passes == 0) co_await core.ready().Yield();
  co_await log.Sleep(0);  // a pass later: block 1 is in flight
  TestEntry two(core.ready(), &order, 2);
  TestEntry three(core.ready(), &order, 3);
  log.Append("two", "2", two);
  log.Append("three", "3", three);
  co_await three.settled.Wait();
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
  EXPECT_LE(log.writer->counters().blocks - blocks, 2u);
}

TEST_F(LogWriterTest, NextBlockFillsWhileOneIsWritten) {
  Life(FillWhileWriting);
  EXPECT_EQ(Recovered().size(), 4u);
}

// Only what a block says counts: a crash would leave no more.
Task<void> ShowClockWhileWriting(TestLog& log, Core& core) {
  EXPECT_TRUE(co_await log.Put("first", "x"));  // the segment is there
  constexpr uint64_t kLaterMs = UINT64_MAX / 4;
  TestEntry one(core.ready());
  log.Append("one", "1", one);
  co_await log.Sleep(0);  // a pass later: its block is in flight
  log.writer->ShowClock(kLaterMs);
  co_await one.settled.Wait();
  EXPECT_LT(log.writer->durable_clock_ms(), kLaterMs);
  EXPECT_LT(log.writer->segment_clock_ms(), kLaterMs);
  EXPECT_TRUE(co_await log.Put("two", "2"));
  EXPECT_EQ(log.writer->durable_clock_ms(), kLaterMs);
  EXPECT_EQ(log.writer->segment_clock_ms(), kLaterMs);
}

TEST_F(LogWriterTest, AClockThatIsShownIsDurableWithTheNextBlock) { Life(ShowClockWhileWriting); }

Task<void> EntriesBetween(TestLog& log, Core& core) {
  std::vector<int> order;
  TestEntry nobody(core.ready());
  EXPECT_FALSE(log.writer->WaitNewest(nobody));
  TestEntry first(core.ready(), &order, 1);
  TestEntry second(core.ready(), &order, 2);
  TestEntry newest(core.ready(), &order, 3);
  TestEntry behind(core.ready(), &order, 10);
  const Appended appended = log.Append("key", "value", first);
  EXPECT_EQ(appended.key(), "key");
  EXPECT_EQ(appended.value(), "value");
  log.Append("other", "2", second);
  EXPECT_TRUE(log.writer->WaitNewest(newest));
  LogWriter::InsertBehind(first, behind);
  {
    TestEntry gone(core.ready(), &order, 99);
    LogWriter::InsertBehind(first, gone);
  }
  co_await newest.settled.Wait();
  EXPECT_EQ(order, (std::vector<int>{1, 10, 2, 3}));
  EXPECT_EQ(newest.location().segment, 0u);
  EXPECT_NE(first.location().segment, 0u);
  EXPECT_EQ(first.location().length, EncodedRecordSize(3, 5));
  EXPECT_EQ(second.location().offset, first.location().offset + first.location().length);
}

TEST_F(LogWriterTest, EntriesAreSettledInTheirPlaces) { Life(EntriesBetween); }

// Appends from within its settled function: a chain of dependent writes.
struct ChainEntry : DurableEntry {
  ChainEntry(TestLog& log_in, Core& core, int left_in)
      : DurableEntry([](DurableEntry& self, Settlement settlement) {
          auto& entry = static_cast<ChainEntry&>(self);
          EXPECT_EQ(settlement, Settlement::kDurable);
          if (--entry.left == 0) {
            entry.done.Set();
            return;
          }
          const RecordFields fields{.lsn = entry.log.clock->Next(0), .key = "chain"};
          entry.log.writer->Append(fields, entry);
        }),
        log(log_in),
        done(core.ready()),
        left(left_in) {}
  TestLog& log;
  Event done;
  int left;
};

Task<void> AppendFromSettled(TestLog& log, Core& core) {
  ChainEntry entry(log, core, 20);
  const RecordFields fields{.lsn = log.clock->Next(core.wall_us()), .key = "chain"};
  log.writer->Append(fields, entry);
  co_await entry.done.Wait();
  EXPECT_EQ(log.writer->counters().blocks - log.writer->counters().marks, 20u);
}

TEST_F(LogWriterTest, SettledEntryMayAppendAgain) { Life(AppendFromSettled); }

// ---- Marks ----

Task<void> WaitForMark(TestLog& log, Core&) {
  EXPECT_TRUE(co_await log.Put("a", "1"));
  EXPECT_EQ(log.writer->counters().marks, 0u);
  co_await log.UntilMark();
  co_await log.Sleep(20 * kNsPerMs);
  EXPECT_EQ(log.writer->counters().marks, 1u);  // and no mark for the mark
  EXPECT_TRUE(co_await log.Put("b", "2"));
  co_await log.UntilMark();
  EXPECT_EQ(log.writer->counters().marks, 2u);
}

TEST_F(LogWriterTest, IdleLogMarksOnceThatItsLastBlockWasDurable) { Life(WaitForMark); }

Task<void> PutOne(TestLog& log, Core&) {
  EXPECT_TRUE(co_await log.Put("a", "1"));
  EXPECT_EQ(log.writer->counters().marks, 0u);
}

TEST_F(LogWriterTest, CleanStopEndsOnAMark) {
  Life(PutOne);
  const auto files = SegmentFiles(directory_.store());
  ASSERT_EQ(files.size(), 1u);
  const std::string bytes = ReadFile(directory_.store() + "/" + files[0]);
  const auto first =
      DecodeBlockHeader(Bytes(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()));
  ASSERT_TRUE(first);
  const auto mark =
      DecodeBlockHeader(Bytes(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size())
                            .subspan(first->header.length));
  ASSERT_TRUE(mark);
  EXPECT_EQ(mark->header.record_count, 0u);
  EXPECT_EQ(mark->header.known_durable, 1u);
}

Task<void> DoNothing(TestLog& log, Core&) {
  co_await log.Sleep(5 * kNsPerMs);
  EXPECT_EQ(log.writer->counters().blocks, 0u);
}

TEST_F(LogWriterTest, LogWithoutCommitsWritesNothingAndLeavesNoSegment) {
  Life(DoNothing);
  Life(DoNothing);
  Recovered();
  EXPECT_LE(SegmentFiles(directory_.store()).size(), 1u);
}

// ---- Segments ----

// The value with which a block of one record fills `bytes` exactly.
std::string ValueFilling(size_t bytes) {
  return std::string(bytes - kBlockHeaderSize - kRecordHeaderSize - 1, 'v');
}

Task<void> FillSegmentExactly(TestLog& log, Core&) {
  EXPECT_TRUE(co_await log.Put("a", ValueFilling(TestLog::kSegmentBytes)));
  EXPECT_TRUE(co_await log.Put("b", "2"));
  EXPECT_TRUE(co_await log.Put("c", "3"));
  EXPECT_EQ(log.written["a"].offset, kBlockHeaderSize);
  EXPECT_NE(log.written["a"].segment, log.written["b"].segment);
  EXPECT_EQ(log.written["b"].offset, kBlockHeaderSize);
  EXPECT_EQ(log.written["b"].segment, log.written["c"].segment);
}

TEST_F(LogWriterTest, ExactlyFullSegmentRollsToTheNext) {
  Life(FillSegmentExactly);
  const auto values = Recovered();
  EXPECT_EQ(values.size(), 3u);
  EXPECT_EQ(values.at("a").size(), ValueFilling(TestLog::kSegmentBytes).size());
}

// What MANIFEST says of a segment's oldest record decides which deletes may leave others.
Lsn FloorOf(TestLog& log, const TestEntry& entry) {
  return log.recovered.manifest->segments().at(entry.location().segment).lsn_floor;
}
void AppendOf(TestLog& log, Lsn lsn, size_t value_bytes, TestEntry& entry) {
  const std::string value(value_bytes, 'v');
  log.writer->Append({.lsn = lsn, .flags = kRecordPlain, .key = "key", .value = value}, entry);
}

Task<void> RollWithTwoQueued(TestLog& log, Core& core) {
  log.writer->HoldMarks(true);
  TestEntry five(core.ready());
  TestEntry nine(core.ready());
  AppendOf(log, 5, 10, five);
  AppendOf(log, 9, 10, nine);
  co_await nine.settled.Wait();
  EXPECT_EQ(five.location().segment, nine.location().segment);
  EXPECT_EQ(FloorOf(log, five), 5u);
  // What is on its way to the segment before is none of the next one's.
  TestEntry twelve(core.ready());
  TestEntry fifteen(core.ready());
  TestEntry nineteen(core.ready());
  AppendOf(log, 12, 10, twelve);
  co_await NextPass(core);
  constexpr size_t kMost = TestLog::kSegmentBytes - 900;  // both blocks before it are longer
  AppendOf(log, 15, kMost, fifteen);
  AppendOf(log, 19, kMost, nineteen);
  co_await nineteen.settled.Wait();
  EXPECT_EQ(twelve.location().segment, nine.location().segment);
  EXPECT_NE(fifteen.location().segment, twelve.location().segment);
  EXPECT_NE(nineteen.location().segment, fifteen.location().segment);
  EXPECT_EQ(FloorOf(log, fifteen), 15u);
  EXPECT_EQ(FloorOf(log, nineteen), 19u);
  // With nothing queued: all that comes is newer than what there is.
  TestEntry thirty(core.ready());
  while (log.writer->empty_segment() == 0) {
    log.writer->RollNow();
    co_await log.Sleep(kNsPerMs);
  }
  AppendOf(log, 30, 10, thirty);
  co_await thirty.settled.Wait();
  EXPECT_EQ(FloorOf(log, thirty), 19u);
}

TEST_F(LogWriterTest, ASegmentsFloorIsTheOldestThatIsQueuedWhenItBegins) {
  Life(RollWithTwoQueued);
}

// A block without records comes first, and the record behind it is too long to join it.
Task<void> RollWithAClockBefore(TestLog& log, Core& core) {
  AwaitedEntry clock(core.ready());
  TestEntry five(core.ready());
  TestEntry nine(core.ready());
  const Admission admitted = log.writer->WaitClock(clock);
  EXPECT_EQ(admitted, Admission::kOk);
  AppendOf(log, 5, 20 << 10, five);
  AppendOf(log, 9, 10, nine);
  co_await nine.settled.Wait();
  EXPECT_GT(five.location().offset, kBlockHeaderSize) << "the clock's block is before it";
  EXPECT_EQ(five.location().segment, nine.location().segment);
  EXPECT_EQ(FloorOf(log, five), 5u);
}

TEST_F(LogWriterTest, ASegmentsFloorIsTheOldestBehindABlockWithoutRecords) {
  Life(RollWithAClockBefore, /*buffer_bytes=*/16 << 10);
}

Task<void> RollByWhatDoesNotFit(TestLog& log, Core&) {
  EXPECT_TRUE(co_await log.Put("a", std::string(40 << 10, 'a')));
  EXPECT_TRUE(co_await log.Put("b", std::string(40 << 10, 'b')));
  EXPECT_NE(log.written["a"].segment, log.written["b"].segment);
  EXPECT_EQ(log.written["b"].offset, kBlockHeaderSize);
  EXPECT_EQ(log.writer->counters().segments, 2u);
}

TEST_F(LogWriterTest, BlockThatDoesNotFitBeginsANewSegment) {
  Life(RollByWhatDoesNotFit);
  EXPECT_EQ(Recovered().size(), 2u);
}

Task<void> WriteLargerThanSegment(TestLog& log, Core&) {
  EXPECT_TRUE(co_await log.Put("small", "1"));
  EXPECT_TRUE(co_await log.Put("large", std::string(300 << 10, 'x')));
  EXPECT_TRUE(co_await log.Put("after", "2"));
  EXPECT_NE(log.written["large"].segment, log.written["after"].segment);
}

TEST_F(LogWriterTest, BlockLargerThanASegmentHasOneOfItsOwnSize) {
  Life(WriteLargerThanSegment, /*buffer_bytes=*/1 << 16);
  const auto values = Recovered();
  ASSERT_EQ(values.size(), 3u);
  EXPECT_EQ(values.at("large"), std::string(300 << 10, 'x'));
}

Task<void> AppendGroup(TestLog& log, Core& core) {
  const std::string large(20 << 10, 'g');
  std::vector<RecordFields> records;
  std::vector<std::unique_ptr<TestEntry>> entries;
  std::vector<DurableEntry*> pointers;
  const std::vector<std::string> keys = {"g1", "g2", "g3", "g4"};
  TestEntry before(core.ready());
  log.Append("before", large, before);  // so that the group does not fit behind it
  const Lsn lsn = log.clock->Next(core.wall_us());
  for (const std::string& key : keys) {
    records.push_back({.lsn = lsn, .key = key, .value = large});
    entries.push_back(std::make_unique<TestEntry>(core.ready()));
    pointers.push_back(entries.back().get());
  }
  std::vector<Appended> appended(records.size());
  log.writer->AppendGroup(records, pointers, appended);
  EXPECT_EQ(appended[2].key(), "g3");
  EXPECT_EQ(appended[2].value(), large);
  co_await entries.back()->settled.Wait();
  EXPECT_EQ(entries[0]->location().segment, entries[3]->location().segment);
  EXPECT_EQ(entries[3]->location().offset,
            entries[0]->location().offset + 3 * EncodedRecordSize(2, large.size()));
}

TEST_F(LogWriterTest, GroupLiesInOneBlock) {
  Life(AppendGroup, /*buffer_bytes=*/32 << 10);
  EXPECT_EQ(Recovered().size(), 5u);
}

Task<void> WriteManySegments(TestLog& log, Core&) {
  for (int i = 0; i < 300; ++i) {
    EXPECT_TRUE(
        co_await log.Put("key" + std::to_string(i % 50), std::string(2000, char('a' + i % 26))));
  }
  EXPECT_GT(log.writer->counters().segments, 5u);
}

TEST_F(LogWriterTest, ManySegmentsAreReadBackOverManyLives) {
  for (int life = 0; life < 4; ++life) Life(WriteManySegments);
  const auto values = Recovered();
  EXPECT_EQ(values.size(), 50u);
  for (int i = 250; i < 300; ++i) {
    EXPECT_EQ(values.at("key" + std::to_string(i % 50)), std::string(2000, char('a' + i % 26)));
  }
}

// ---- Reading single records ----

Task<void> ReadBack(TestLog& log, Core& core) {
  EXPECT_TRUE(co_await log.Put("a", "hello"));
  const Lsn lsn = log.clock->largest();
  EXPECT_TRUE(co_await log.Put("b", std::string(50'000, 'b')));
  const Lsn lsn_b = log.clock->largest();
  LogReader reader(core, *log.directory, 2);
  const Location at = log.written["a"];
  auto a = co_await reader.Read(at, 0, "a", lsn);
  EXPECT_TRUE(a.ok()) << a.status();
  EXPECT_EQ(a->value(), "hello");
  auto b = co_await reader.Read(log.written["b"], 0, "b", lsn_b);
  EXPECT_TRUE(b.ok()) << b.status();
  EXPECT_EQ(b->value(), std::string(50'000, 'b'));
  auto other_lsn = co_await reader.Read(at, 0, "a", lsn + 256);
  EXPECT_TRUE(absl::IsDataLoss(other_lsn.status())) << other_lsn.status();
  auto other_key = co_await reader.Read(at, 0, "x", lsn);
  EXPECT_TRUE(absl::IsDataLoss(other_key.status())) << other_key.status();
  Location moved = at;
  moved.offset += 1;
  auto elsewhere = co_await reader.Read(moved, 0, "a", lsn);
  EXPECT_TRUE(absl::IsDataLoss(elsewhere.status())) << elsewhere.status();
  co_await reader.Close();
}

TEST_F(LogWriterTest, RecordIsReadBackByItsLocationAndBelievedOnlyIfItIsTheOne) { Life(ReadBack); }

// Found by the fuzzer: the index had a file for a record that refers to none.
Task<void> ReadBackOfFiles(TestLog& log, Core& core) {
  const std::vector<uint32_t> checksums{7};
  const std::string reference = EncodeValueReference({.file = 9, .length = 3000}, 4096, checksums);
  TestEntry plain(core.ready());
  log.Append("plain", reference, plain);
  const Lsn plain_lsn = log.clock->largest();
  TestEntry referring(core.ready());
  log.Append("file", reference, referring, kRecordFile);
  const Lsn file_lsn = log.clock->largest();
  co_await plain.settled.Wait();
  co_await referring.settled.Wait();
  LogReader reader(core, *log.directory, 2);
  const ValueFileHead none;
  const ValueFileHead right{.file = 9, .length = 3000};
  const ValueFileHead other{.file = 8, .length = 3000};
  const ValueFileHead longer{.file = 9, .length = 3001};
  const std::array<ValueFileHead, 4> all{none, right, other, longer};
  for (const ValueFileHead& expected : all) {
    const auto value = co_await reader.Read(plain.location(), 0, "plain", plain_lsn, expected);
    EXPECT_EQ(value.ok(), expected.file == 0) << value.status();
    const auto found = co_await reader.Read(referring.location(), 0, "file", file_lsn, expected);
    EXPECT_EQ(found.ok(), expected.file == 9 && expected.length == 3000) << found.status();
    EXPECT_TRUE(found.ok() || absl::IsDataLoss(found.status())) << found.status();
  }
  co_await reader.Close();
}

TEST_F(LogWriterTest, ARecordIsBelievedOnlyIfItRefersToTheFileThatIsExpected) {
  Life(ReadBackOfFiles);
}

Task<void> ReadOne(LogReader& reader, Location at, std::string key, Lsn lsn, uint64_t& right) {
  const auto read = co_await reader.Read(at, 0, key, lsn);
  EXPECT_TRUE(read.ok()) << read.status();
  if (read.ok() && read->value() == std::string(25'000, key[0])) ++right;
}

// How many segments are open for reading at a time is counted at the ring.
Task<void> ReadManySegmentsThroughTwoFiles(TestLog& log, Core& core) {
  constexpr int kKeys = 16;
  constexpr int kRounds = 4;
  std::vector<std::pair<std::string, Lsn>> keys;
  for (int i = 0; i < kKeys; ++i) {
    const std::string key(1, static_cast<char>('a' + i));
    EXPECT_TRUE(co_await log.Put(key, std::string(25'000, key[0])));
    keys.emplace_back(key, log.clock->largest());
  }
  EXPECT_GT(log.writer->counters().segments, 5u);
  auto& ring = static_cast<FaultRing&>(core.ring());
  std::set<Handle> open;
  size_t open_max = 0;
  ring.after = [&](Operation& operation) {
    const IoRequest& request = operation.request;
    if (request.opcode == Opcode::kClose) open.erase(request.handle);
    if (request.opcode != Opcode::kOpen || (request.open_flags & O_CREAT) != 0) return;
    if (operation.result.ok()) open.insert(Handle{operation.result.value()});
    open_max = std::max(open_max, open.size());
  };
  LogReader reader(core, *log.directory, 2);
  uint64_t right = 0;
  {
    Nursery nursery(core.ready());
    for (int round = 0; round < kRounds; ++round) {
      for (const auto& [key, lsn] : keys) {
        nursery.Spawn(ReadOne(reader, log.written[key], key, lsn, right));
      }
    }
    co_await nursery.Join();
  }
  EXPECT_EQ(right, uint64_t{kKeys} * kRounds);
  EXPECT_EQ(open_max, 2u);
  co_await reader.Close();
  ring.after = nullptr;
}

TEST_F(LogWriterTest, ReadsOfMoreSegmentsThanMayBeOpenWaitForTheirTurn) {
  Life(ReadManySegmentsThroughTwoFiles);
}

}  // namespace
}  // namespace pakv
