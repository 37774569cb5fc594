// kv/log when the disk misbehaves: short transfers, errors, failed flushes, no space, no direct
// I/O, no descriptors. On the kernel's ring, with the faults put between
// (tests/kv/log/fault_ring.h).
//
// Long because: each fault is a small story of its own on the same fixture.
#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kv/log/files/file_io.h"
#include "kv/log/files/shortage.h"
#include "kv/log/write/log_writer.h"
#include "tests/kv/log/log_fixture.h"

namespace pakv {
namespace {

using LogFaultTest = FaultyLogFixture;

// ---- Short writes ----

Task<void> WriteInShortPieces(TestLog& log, Core& core, FaultRing& faults) {
  EXPECT_TRUE(co_await log.Put("warm", "up"));
  int pieces = 0;
  TestEntry* waiting = nullptr;
  faults.rule = [&pieces, &waiting](Operation& operation) {
    if (!IsBlockWrite(operation) && pieces == 0) return true;
    if (operation.request.opcode != Opcode::kWrite || !operation.request.sync) return true;
    // Nobody has been answered as long as a piece is missing.
    EXPECT_FALSE(waiting != nullptr && waiting->settled.is_set());
    ++pieces;
    operation.request.length = std::min<uint32_t>(operation.request.length, 4096);
    return true;
  };
  TestEntry entry(core.ready());
  waiting = &entry;
  log.Append("large", std::string(30'000, 'x'), entry);
  co_await entry.settled.Wait();
  faults.rule = nullptr;
  EXPECT_TRUE(entry.ok);
  EXPECT_EQ(pieces, 8);
  EXPECT_EQ(log.writer->counters().short_writes, 7u);
}

TEST_F(LogFaultTest, ShortWriteIsFinishedBeforeAnybodyIsAnswered) {
  Life(WriteInShortPieces);
  EXPECT_EQ(Recovered().at("large"), std::string(30'000, 'x'));
}

// ---- Failures ----

Task<void> FailOneWrite(TestLog& log, Core& core, FaultRing& faults) {
  EXPECT_TRUE(co_await log.Put("before", "1"));
  std::vector<int> order;
  TestEntry one(core.ready(), &order, 1);
  TestEntry behind(core.ready(), &order, 2);
  TestEntry two(core.ready(), &order, 3);
  TestEntry newest(core.ready(), &order, 4);
  int block_writes = 0;
  faults.rule = [&](Operation& operation) {
    if (!IsBlockWrite(operation)) return true;
    ++block_writes;
    // What comes while the block is in flight fails with it.
    log.Append("two", "2", two);
    EXPECT_TRUE(log.writer->WaitNewest(newest));
    operation.result = IoResult(-EIO);
    return false;
  };
  log.Append("one", "1", one);
  LogWriter::InsertBehind(one, behind);
  co_await newest.settled.Wait();
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3, 4}));
  EXPECT_FALSE(one.ok || behind.ok || two.ok || newest.ok);
  EXPECT_EQ(two.location().segment, 0u);
  EXPECT_EQ(log.failures, 1);
  EXPECT_TRUE(log.writer->read_only());
  EXPECT_EQ(log.writer->Admit(100, false), Admission::kReadOnly);
  EXPECT_EQ(log.writer->Admit(100, true), Admission::kReadOnly);
  EXPECT_TRUE(log.writer->idle());
  // Nothing is retried, and no mark says anything about it.
  co_await log.Sleep(10 * kNsPerMs);
  EXPECT_EQ(block_writes, 1);
  EXPECT_EQ(log.writer->counters().marks, 0u);
}

TEST_F(LogFaultTest, FailedWriteSettlesAllThatIsPendingInOrderAndTheLogRefusesMore) {
  Life(FailOneWrite);
  const auto values = Recovered();
  EXPECT_EQ(values.at("before"), "1");
  EXPECT_FALSE(values.contains("two"));
}

// An entry that asks, while it fails, to wait for what else is pending.
struct AskingEntry : DurableEntry {
  AskingEntry(LogWriter& writer_in, TestEntry& other_in)
      : DurableEntry([](DurableEntry& self, Settlement settlement) {
          auto& entry = static_cast<AskingEntry&>(self);
          EXPECT_EQ(settlement, Settlement::kUnknown);
          entry.waited = entry.writer.WaitNewest(entry.other);
        }),
        writer(writer_in),
        other(other_in) {}
  LogWriter& writer;
  TestEntry& other;
  bool waited = false;
};

Task<void> AskWhileFailing(TestLog& log, Core& core, FaultRing& faults) {
  TestEntry other(core.ready());
  AskingEntry entry(*log.writer, other);
  const RecordFields fields{.lsn = log.clock->Next(core.wall_us()), .key = "k"};
  faults.rule = [](Operation& operation) {
    if (!IsBlockWrite(operation)) return true;
    operation.result = IoResult(-EIO);
    return false;
  };
  log.writer->Append(fields, entry);
  co_await other.settled.Wait();
  EXPECT_TRUE(entry.waited);
  EXPECT_FALSE(other.ok);
}

TEST_F(LogFaultTest, WaiterThatComesWhileTheLogFailsFailsToo) { Life(AskWhileFailing); }

Task<void> FailTheManifest(TestLog& log, Core& core, FaultRing& faults) {
  EXPECT_TRUE(co_await log.Put("before", std::string(50'000, 'b')));
  FailManifestWrites(faults);
  TestEntry entry(core.ready());
  log.Append("after", std::string(50'000, 'a'), entry);  // does not fit: a new segment
  co_await entry.settled.Wait();
  EXPECT_FALSE(entry.ok);
  EXPECT_TRUE(log.writer->read_only());
}

TEST_F(LogFaultTest, SegmentThatCannotBeListedFailsTheLog) {
  Life(FailTheManifest);
  const auto values = Recovered();
  EXPECT_EQ(values.size(), 1u);
  EXPECT_EQ(values.at("before").size(), 50'000u);
}

// ---- A segment that cannot be opened ----

bool OpensSegment(const Operation& operation) {
  return operation.request.opcode == Opcode::kOpen &&
         std::string_view(operation.request.path).ends_with(".seg");
}

// The next segment is made in the background. What became of it is not forgotten when the disk is
// well again: the log is of one piece, or it has ended.
template <int kError>
Task<void> FailToMakeASegment(TestLog& log, Core& core, FaultRing& faults) {
  const std::string value(50'000, 'v');  // each needs a segment of its own
  EXPECT_TRUE(co_await log.Put("before", value));
  int refused = 0;
  faults.rule = [&refused](Operation& operation) {
    if (!OpensSegment(operation)) return true;
    ++refused;
    operation.result = IoResult(-kError);
    return false;
  };
  int done = 0;
  bool durable = true;
  while (durable && done < 10 && log.writer->Admit(60'000, false) == Admission::kOk) {
    durable = co_await log.Put("at" + std::to_string(done), value);
    if (durable) ++done;
  }
  EXPECT_FALSE(durable) << "it is no shortage";
  EXPECT_LE(done, 1) << "there was but one to spare";
  EXPECT_EQ(refused, 1) << "it is not tried again";
  EXPECT_EQ(log.failures, 1);
  EXPECT_EQ(ErrnoOf(log.failure), kError);
  EXPECT_TRUE(log.failure.message().find(".seg: ") != absl::string_view::npos) << log.failure;
  EXPECT_TRUE(log.writer->read_only());
  faults.rule = nullptr;
  co_await log.Sleep(10 * kNsPerMs);
  EXPECT_EQ(log.writer->Admit(100, false), Admission::kReadOnly);
  EXPECT_EQ(log.writer->Admit(100, true), Admission::kReadOnly);
  TestEntry late(core.ready());
  EXPECT_FALSE(log.writer->WaitNewest(late)) << "nothing is left waiting";
}

class LogDescriptorTest : public LogFaultTest {
 protected:
  void ExpectOnlyWhatWasAcknowledged() {
    const auto values = Recovered();
    EXPECT_EQ(values.at("before").size(), 50'000u);
    EXPECT_FALSE(values.contains("at1")) << "it was never acknowledged";
  }
};

TEST_F(LogDescriptorTest, ASegmentThatTheDiskCannotMakeFailsTheLog) {
  Life(FailToMakeASegment<EIO>);
  ExpectOnlyWhatWasAcknowledged();
}

TEST_F(LogDescriptorTest, ASegmentOnAFileSystemThatIsReadOnlyFailsTheLog) {
  Life(FailToMakeASegment<EROFS>);
  ExpectOnlyWhatWasAcknowledged();
}

// Descriptors are planned so that a log never lacks one (cmd/pakvd/descriptor_plan.h); but the
// whole system may, and who lowers the limit of a process that runs.
template <int kError>
Task<void> RunOutOfDescriptors(TestLog& log, Core& core, FaultRing& faults) {
  const std::string value(50'000, 'v');  // each needs a segment of its own
  EXPECT_TRUE(co_await log.Put("before", value));
  co_await log.UntilAllIsReady();
  const uint64_t begin_ns = core.now_ns();
  uint64_t refused = 0;
  faults.rule = [&refused](Operation& operation) {
    if (!OpensSegment(operation)) return true;
    ++refused;
    operation.result = IoResult(-kError);
    return false;
  };
  int done = 0;
  while (done < 10 && log.writer->Admit(60'000, false) == Admission::kOk) {
    EXPECT_TRUE(co_await log.Put("at" + std::to_string(done), value));
    ++done;
    co_await log.Until([&] { return log.writer->shortage() != Shortage::kNone; });
  }
  EXPECT_EQ(done, 1) << "there was one to spare";
  EXPECT_GE(refused, 1u);
  const uint64_t retries = (core.now_ns() - begin_ns) / SegmentSupply::kRetryNs;
  // That the spare is taken is news to whoever makes segments, and so is the log's hurry.
  EXPECT_LE(refused, 2 + retries) << "it is not tried in a loop";
  EXPECT_EQ(log.writer->Admit(60'000, false), Admission::kNoDescriptors);
  EXPECT_EQ(log.writer->Admit(1000, false), Admission::kOk) << "there is room for it";
  // What frees space goes on from the reserve.
  int deletes = 0;
  while (deletes < 10 && log.writer->Admit(EncodedRecordSize(6, 0), true) == Admission::kOk) {
    TestEntry entry(core.ready());
    log.Append("before", "", entry, kRecordDelete);
    co_await entry.settled.Wait();
    EXPECT_TRUE(entry.ok);
    ++deletes;
  }
  EXPECT_EQ(deletes, 10);
  EXPECT_FALSE(log.writer->disk_full());
  EXPECT_FALSE(log.writer->read_only());
  EXPECT_EQ(log.failures, 0);
  // And writing resumes by itself.
  faults.rule = nullptr;
  co_await log.Until([&] { return log.writer->Admit(60'000, false) == Admission::kOk; });
  EXPECT_EQ(log.writer->Admit(60'000, false), Admission::kOk);
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(co_await log.Put("later", value));
}

TEST_F(LogDescriptorTest, WithoutDescriptorsOfTheProcessWritesAreRefusedAndResume) {
  Life(RunOutOfDescriptors<EMFILE>);
  const auto values = Recovered();
  EXPECT_EQ(values.at("at0").size(), 50'000u);
  EXPECT_EQ(values.at("before"), "");
  EXPECT_EQ(values.at("later").size(), 50'000u);
}
TEST_F(LogDescriptorTest, WithoutDescriptorsOfTheSystemWritesAreRefusedAndResume) {
  Life(RunOutOfDescriptors<ENFILE>);
  EXPECT_EQ(Recovered().at("later").size(), 50'000u);
}
TEST_F(LogDescriptorTest, WithoutMemoryOfTheSystemWritesAreRefusedAndResume) {
  Life(RunOutOfDescriptors<ENOMEM>);
  EXPECT_EQ(Recovered().at("later").size(), 50'000u);
}
TEST_F(LogDescriptorTest, AnInterruptedOpenIsTriedAgain) {
  Life(RunOutOfDescriptors<EINTR>);
  EXPECT_EQ(Recovered().at("later").size(), 50'000u);
}

// What was admitted before it was known is refused once what is ready is full.
Task<void> AdmittedBeforeItIsKnown(TestLog& log, Core& core, FaultRing& faults) {
  const std::string value(50'000, 'v');
  EXPECT_TRUE(co_await log.Put("before", value));
  co_await log.UntilAllIsReady();
  faults.rule = [](Operation& operation) {
    if (!OpensSegment(operation)) return true;
    operation.result = IoResult(-EMFILE);
    return false;
  };
  TestEntry spare(core.ready());
  TestEntry refused(core.ready());
  TestEntry last(core.ready());
  log.Append("spare", value, spare);
  log.Append("refused", value, refused);
  log.Append("last", value, last);
  co_await last.settled.Wait();
  EXPECT_TRUE(spare.ok);
  EXPECT_EQ(refused.settlement, Settlement::kNoDescriptors);
  EXPECT_EQ(last.settlement, Settlement::kNoDescriptors);
  EXPECT_EQ(log.failures, 0);
  faults.rule = nullptr;
  co_await log.Until([&] { return log.writer->Admit(50'000, false) == Admission::kOk; });
  EXPECT_TRUE(co_await log.Put("after", value));
}

TEST_F(LogDescriptorTest, WhatWasAdmittedBeforeItWasKnownIsRefused) {
  Life(AdmittedBeforeItIsKnown);
  const auto values = Recovered();
  EXPECT_EQ(values.count("spare"), 1u);
  EXPECT_EQ(values.count("refused") + values.count("last"), 0u);
  EXPECT_EQ(values.count("after"), 1u);
}

// A fresh MANIFEST has got its name, and the directory cannot be opened to make that last: a power
// cut may bring the old file back. So nothing is appended until it could be.
Task<void> NameOfAFreshManifestWaits(TestLog& log, Core&, FaultRing& faults) {
  log.recovered.manifest->set_appends_max(1);
  bool renamed = false;
  bool short_of = true;
  int refused = 0;
  int early = 0;
  faults.rule = [&](Operation& operation) {
    const IoRequest& request = operation.request;
    if (request.opcode == Opcode::kRename) renamed = true;
    if (!renamed || !short_of) return true;
    if (request.opcode == Opcode::kWrite && request.length >= 8) {
      const auto* bytes = static_cast<const char*>(request.const_buffer);
      if (std::memcmp(bytes + 4, "PAKM", 4) == 0) ++early;
    }
    if (request.opcode != Opcode::kSyncDirectory) return true;
    ++refused;
    operation.result = IoResult(-EMFILE);
    return false;
  };
  const std::string value(50'000, 'v');
  bool written = true;
  for (int i = 0; i < 10 && written; ++i) {
    EXPECT_EQ(log.writer->Admit(value.size(), false), Admission::kOk);
    written = co_await log.Put("key" + std::to_string(i), value);
    co_await log.Until([&] { return refused > 0 || log.IsAllReady(); });
  }
  EXPECT_TRUE(renamed);
  EXPECT_FALSE(written) << "it is refused";
  EXPECT_GT(refused, 0);
  EXPECT_EQ(early, 0);
  EXPECT_EQ(log.writer->Admit(value.size(), false), Admission::kNoDescriptors);
  EXPECT_EQ(log.failures, 0);
  short_of = false;
  co_await log.Until([&] { return log.writer->Admit(value.size(), false) == Admission::kOk; });
  EXPECT_EQ(log.failures, 0);
  EXPECT_TRUE(co_await log.Put("after", std::string(50'000, 'v')));
}

TEST_F(LogDescriptorTest, NothingIsAppendedToAFreshManifestBeforeItsNameLasts) {
  Life(NameOfAFreshManifestWaits);
  const auto values = Recovered();
  EXPECT_EQ(values.at("key0").size(), 50'000u);
  EXPECT_EQ(values.at("after").size(), 50'000u);
}

TEST(ShortageTest, IsTheTable) {
  constexpr std::pair<int, Shortage> kTable[] = {
      {ENOSPC, Shortage::kSpace},       {EDQUOT, Shortage::kSpace},
      {EMFILE, Shortage::kDescriptors}, {ENFILE, Shortage::kDescriptors},
      {ENOMEM, Shortage::kMemory},      {EINTR, Shortage::kMemory},
      {EIO, Shortage::kNone},           {EROFS, Shortage::kNone},
      {ENOENT, Shortage::kNone},        {EACCES, Shortage::kNone},
      {EFBIG, Shortage::kSpace},
  };
  for (const auto& [error, shortage] : kTable) {
    const absl::Status status = IoError("open", "file", IoResult(-error));
    EXPECT_EQ(ShortageOf(status), shortage) << status;
  }
  EXPECT_EQ(ShortageOf(absl::OkStatus()), Shortage::kNone);
  EXPECT_EQ(ShortageOf(absl::ResourceExhaustedError("more --memory")), Shortage::kNone);
  const auto remedy = [](int error) {
    return RemedyOfShortage(IoError("open", "file", IoResult(-error)));
  };
  EXPECT_NE(remedy(EMFILE).find("ulimit -n"), std::string_view::npos);
  EXPECT_NE(remedy(EFBIG).find("ulimit -f"), std::string_view::npos);
}

// ---- No space ----

void LimitFileSize(FaultRing& faults) {
  faults.after = [](Operation& operation) {
    if (operation.request.opcode == Opcode::kSpace) operation.request.space->file_bytes_max = 8191;
  };
}

template <void (*kTakeSpace)(FaultRing&)>
Task<void> RunOutOfSpace(TestLog& log, Core& core, FaultRing& faults) {
  EXPECT_TRUE(co_await log.Put("first", "1"));
  co_await log.UntilAllIsReady();
  kTakeSpace(faults);
  const std::string value(3000, 'v');
  int admitted = 0;
  while (log.writer->Admit(EncodedRecordSize(3, value.size()), false) == Admission::kOk) {
    EXPECT_TRUE(co_await log.Put("key", value));
    ++admitted;
    if (admitted > 1000) break;
    co_await log.Sleep(0);
  }
  // What was left of a segment, and the spare, were used; nothing that was admitted failed.
  EXPECT_GT(admitted, 10);
  EXPECT_LT(admitted, 60);
  EXPECT_EQ(log.writer->Admit(EncodedRecordSize(3, value.size()), false), Admission::kDiskFull);
  EXPECT_FALSE(log.writer->read_only());
  // What frees space goes on from the reserve.
  int deletes = 0;
  while (log.writer->Admit(EncodedRecordSize(3, 0), true) == Admission::kOk && deletes < 50) {
    TestEntry entry(core.ready());
    log.Append("key", "", entry, kRecordDelete);
    co_await entry.settled.Wait();
    EXPECT_TRUE(entry.ok);
    ++deletes;
  }
  EXPECT_EQ(deletes, 50);
  // And writing resumes by itself.
  faults.after = nullptr;
  co_await log.Until([&] { return log.writer->Admit(4000, false) == Admission::kOk; });
  EXPECT_EQ(log.writer->Admit(4000, false), Admission::kOk);
  for (int i = 0; i < 40; ++i) EXPECT_TRUE(co_await log.Put("later", value));
}

TEST_F(LogFaultTest, FullDiskIsRefusedAtAdmissionDeletesGoOnAndWritingResumes) {
  Life(RunOutOfSpace<FillDisk>);
  const auto values = Recovered();
  EXPECT_EQ(values.at("key"), "");
  EXPECT_EQ(values.at("later").size(), 3000u);
}

TEST_F(LogFaultTest, AFileSizeLimitBelowASegmentIsAFullDisk) {
  Life(RunOutOfSpace<LimitFileSize>);
  const auto values = Recovered();
  EXPECT_EQ(values.at("key"), "");
  EXPECT_EQ(values.at("later").size(), 3000u);
}

Task<void> NoSpaceAtStart(TestLog& log, Core& core, FaultRing& faults) {
  uint64_t asked = 0;
  faults.after = [&asked](Operation& operation) {
    if (operation.request.opcode != Opcode::kSpace) return;
    ++asked;
    operation.request.space->free_bytes = 0;
  };
  const uint64_t begin_ns = core.now_ns();
  co_await log.Until([&] { return log.writer->disk_full(); });
  co_await log.Sleep(50 * kNsPerMs);
  const uint64_t retries = (core.now_ns() - begin_ns) / SegmentSupply::kRetryNs;
  EXPECT_LE(asked, 4 + retries);  // now and then, not in a loop
  EXPECT_EQ(log.writer->Admit(100, false), Admission::kDiskFull);
  faults.after = nullptr;
  co_await log.Until([&] { return log.writer->Admit(100, false) == Admission::kOk; });
  EXPECT_TRUE(co_await log.Put("a", "1"));
}

TEST_F(LogFaultTest, StoreStartsOnAFullDiskAndWaits) {
  Life(NoSpaceAtStart, FillDisk);
  EXPECT_EQ(Recovered().at("a"), "1");
}

Task<void> StopOnFullDisk(TestLog& log, Core&, FaultRing&) {
  co_await log.Until([&] { return log.writer->disk_full(); });
  EXPECT_EQ(log.writer->Admit(100, false), Admission::kDiskFull);
}

TEST_F(LogFaultTest, StopDoesNotWaitForSpace) { Life(StopOnFullDisk, FillDisk); }

// The first segment is made, and the next one on its way, as it turns out that there is no room.
void OneSegmentIsAll(FaultRing& faults) {
  faults.rule = [&faults, opened = 0](Operation& operation) mutable {
    if (!OpensSegment(operation) || ++opened == 1) return true;
    if (opened == 2) faults.Hold();
    operation.result = IoResult(-ENOSPC);
    return false;
  };
}

// The log's last segment is full to the last byte, so that even the mark wants another one.
Task<void> MarkOnFullDisk(TestLog& log, Core&, FaultRing& faults) {
  const size_t room = TestLog::kSegmentBytes - kBlockHeaderSize - EncodedRecordSize("key", "");
  EXPECT_TRUE(co_await log.Put("key", std::string(room, 'v')));
  EXPECT_EQ(log.writer->unwritten_bytes(), 0u);
  co_await log.Until([&] { return !log.writer->idle() && faults.is_holding(); });
  faults.Release();
  co_await log.Until([&] { return log.writer->idle(); });
  EXPECT_EQ(log.writer->Admit(100, false), Admission::kDiskFull);
  EXPECT_TRUE(log.writer->idle());
  EXPECT_FALSE(log.writer->read_only());
  EXPECT_EQ(log.failures, 0);
}

TEST_F(LogFaultTest, ASegmentThatOnlyAMarkWaitsForIsNoFailure) {
  Life(MarkOnFullDisk, OneSegmentIsAll);
  EXPECT_EQ(Recovered().count("key"), 1u);
}

// A segment's zeros meet the end of the disk halfway: the piece is removed, nobody is hurt.
template <int kError>
Task<void> ZeroingFindsNoSpace(TestLog& log, Core&, FaultRing& faults) {
  EXPECT_TRUE(co_await log.Put("a", "1"));
  co_await log.UntilAllIsReady();
  faults.rule = [](Operation& operation) {
    if (operation.request.opcode != Opcode::kWrite || operation.request.sync) return true;
    operation.result = IoResult(-kError);
    return false;
  };
  EXPECT_TRUE(co_await log.Put("b", std::string(60'000, 'b')));
  EXPECT_TRUE(co_await log.Put("c", std::string(60'000, 'c')));  // takes the spare
  co_await log.Until([&] { return log.writer->disk_full(); });
  EXPECT_EQ(log.writer->Admit(60'000, false), Admission::kDiskFull);
  EXPECT_FALSE(log.writer->read_only());
  faults.rule = nullptr;
  co_await log.Until([&] { return log.writer->Admit(60'000, false) == Admission::kOk; });
  EXPECT_TRUE(co_await log.Put("d", std::string(60'000, 'd')));
}

TEST_F(LogFaultTest, ZeroingAheadThatFindsNoSpaceIsTriedAgain) {
  Life(ZeroingFindsNoSpace<ENOSPC>);
  EXPECT_EQ(Recovered().size(), 4u);
}

TEST_F(LogFaultTest, ZeroingAheadThatMeetsALimitOfFilesIsTriedAgain) {
  Life(ZeroingFindsNoSpace<EFBIG>);
  EXPECT_EQ(Recovered().size(), 4u);
}

// ---- One operation or two ----

// A block's write asks for the flush, too, or an operation behind it does: answered is after it.
Task<void> WriteBlocksOfAllSizes(TestLog& log, Core& core, FaultRing& faults) {
  EXPECT_TRUE(co_await log.Put("a", "1"));
  EXPECT_TRUE(log.directory->direct());
  const FlushApart apart;
  for (const uint32_t records : {1u, apart.records_min - 1, apart.records_min, apart.records_max,
                                 apart.records_max + 1, 3 * apart.records_max}) {
    std::vector<std::unique_ptr<TestEntry>> entries;
    std::optional<Handle> written;
    bool at_once = false;
    bool flushed = false;
    faults.rule = [&](Operation& operation) {
      if (!IsBlockWrite(operation)) return true;
      written = operation.request.handle;
      at_once = operation.request.sync;
      return true;
    };
    faults.after = [&](Operation& operation) {
      if (operation.request.opcode != Opcode::kSyncData || operation.request.handle != written)
        return;
      EXPECT_FALSE(entries.front()->settled.is_set());
      flushed = true;
    };
    for (uint32_t i = 0; i < records; ++i) {
      entries.push_back(std::make_unique<TestEntry>(core.ready()));
      log.Append("key" + std::to_string(i), "value", *entries.back());
    }
    co_await entries.back()->settled.Wait();
    EXPECT_TRUE(written.has_value());
    EXPECT_EQ(at_once, !apart.Has(records)) << records;
    EXPECT_EQ(flushed, apart.Has(records)) << records;
    faults.rule = nullptr;
    faults.after = nullptr;
  }
}

TEST_F(LogFaultTest, BlocksOfMiddlingSizeAreFlushedByAnOperationOfTheirOwn) {
  Life(WriteBlocksOfAllSizes);
  EXPECT_EQ(Recovered().size(), 1u + 3 * FlushApart().records_max);
}

// ---- No direct I/O ----

void RefuseDirectIo(FaultRing& faults) {
  faults.rule = [](Operation& operation) {
    const IoRequest& request = operation.request;
    if (request.opcode != Opcode::kOpen || (request.open_flags & O_DIRECT) == 0) return true;
    operation.result = IoResult(-EINVAL);
    return false;
  };
}

Task<void> WriteBuffered(TestLog& log, Core& core, FaultRing& faults) {
  EXPECT_FALSE(log.directory->direct());
  EXPECT_TRUE(co_await log.Put("a", "1"));
  // The record is answered after the flush, not after the write.
  bool synced = false;
  TestEntry entry(core.ready());
  faults.after = [&synced, &entry](Operation& operation) {
    if (operation.request.opcode != Opcode::kSyncData) return;
    EXPECT_FALSE(entry.settled.is_set());
    synced = true;
  };
  log.Append("b", "2", entry);
  co_await entry.settled.Wait();
  EXPECT_TRUE(entry.ok);
  EXPECT_TRUE(synced);
  // And a failed flush is a failed commit.
  faults.after = [](Operation& operation) {
    if (operation.request.opcode == Opcode::kSyncData) operation.result = IoResult(-EIO);
  };
  EXPECT_FALSE(co_await log.Put("c", "3"));
  EXPECT_TRUE(log.writer->read_only());
  RefuseDirectIo(faults);
}

TEST_F(LogFaultTest, WithoutDirectIoAFlushComesBeforeTheAnswer) {
  Life(WriteBuffered, RefuseDirectIo);
  const auto values = Recovered();
  EXPECT_EQ(values.at("a"), "1");
  EXPECT_EQ(values.at("b"), "2");
}

}  // namespace
}  // namespace pakv
