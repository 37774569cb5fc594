// What tests of the log share: a directory of their own, a core over the kernel's ring (with faults
// on demand), and a log that is opened, written and closed by coroutines.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"

#include "kv/log/files/store_directory.h"
#include "kv/log/read/recovery.h"
#include "kv/log/write/log_writer.h"
#include "runtime/core/core.h"
#include "runtime/io/uring_ring.h"
#include "tests/kv/log/fault_ring.h"

namespace pakv {

// Removed with everything in it.
class TempDirectory {
 public:
  TempDirectory() {
    char name[] = "/tmp/pakv-log-XXXXXX";
    PAKV_CHECK(mkdtemp(name) != nullptr);
    path_ = name;
  }
  TempDirectory(const TempDirectory&) = delete;
  TempDirectory& operator=(const TempDirectory&) = delete;
  ~TempDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string store() const { return path_ + "/store"; }
  std::string Path(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

inline std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}
inline void WriteFile(const std::string& path, const std::string& bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}
// Overwrites bytes within a file.
inline void Patch(const std::string& path, size_t offset, const std::string& bytes) {
  std::string all = ReadFile(path);
  ASSERT_LE(offset + bytes.size(), all.size());
  all.replace(offset, bytes.size(), bytes);
  WriteFile(path, all);
}
inline std::map<std::string, std::string> ReadDirectory(const std::string& path) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
    if (entry.is_regular_file()) {
      files[entry.path().lexically_relative(path)] = ReadFile(entry.path());
    }
  }
  return files;
}
inline void CopyDirectory(const std::string& from, const std::string& to) {
  std::filesystem::remove_all(to);
  std::filesystem::copy(from, to, std::filesystem::copy_options::recursive);
}
inline std::vector<std::string> SegmentFiles(const std::string& path) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(path)) {
    const std::string name = entry.path().filename();
    if (SegmentOfName(name) != 0) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

// A core on this thread.
class TestCore {
 public:
  explicit TestCore(size_t buffer_bytes = 1 << 18) {
    std::string error;
    std::unique_ptr<Ring> uring = UringRing::Create({}, error);
    PAKV_CHECK(uring != nullptr, error.c_str());
    auto ring = std::make_unique<FaultRing>(std::move(uring));
    faults = ring.get();
    core = std::make_unique<Core>(0, 1, SystemClock(), std::move(ring),
                                  CoreOptions{.buffer_count = 4, .buffer_bytes = buffer_bytes});
  }
  // Runs `task` to its end, and whatever it started meanwhile.
  void Run(Task<void> task) {
    core->nursery().Spawn(RunAndLeave(std::move(task)));
    core->Run();
  }
  FaultRing* faults = nullptr;
  std::unique_ptr<Core> core;

 private:
  Task<void> RunAndLeave(Task<void> task) {
    co_await std::move(task);
    core->Leave();
  }
};

// There is no space from now on.
inline void FillDisk(FaultRing& faults) {
  faults.after = [](Operation& operation) {
    if (operation.request.opcode == Opcode::kSpace) operation.request.space->free_bytes = 0;
  };
}

// From now on each write of MANIFEST is an error.
inline void FailManifestWrites(FaultRing& faults) {
  faults.rule = [](Operation& operation) {
    const auto* bytes = static_cast<const char*>(operation.request.const_buffer);
    if (operation.request.opcode != Opcode::kWrite || std::memcmp(bytes + 4, "PAKM", 4) != 0) {
      return true;
    }
    operation.result = IoResult(-EIO);
    return false;
  };
}

// Waits for its record; writes down the order in which entries are settled.
struct TestEntry : DurableEntry {
  explicit TestEntry(ReadyQueue& ready, std::vector<int>* order_in = nullptr, int number_in = 0)
      : DurableEntry([](DurableEntry& self, Settlement ended) {
          auto& entry = static_cast<TestEntry&>(self);
          entry.settlement = ended;
          entry.ok = ended == Settlement::kDurable;
          if (entry.order != nullptr) entry.order->push_back(entry.number);
          entry.settled.Set();
        }),
        settled(ready),
        order(order_in),
        number(number_in) {}
  Event settled;
  Settlement settlement = Settlement::kUnknown;
  bool ok = false;
  std::vector<int>* order;
  int number;
};

inline bool IsBlockWrite(const Operation& operation) {
  const auto* bytes = static_cast<const char*>(operation.request.const_buffer);
  return operation.request.opcode == Opcode::kWrite && operation.request.length >= 512 &&
         std::memcmp(bytes + 4, "PAKB", 4) == 0;
}

struct CopiedRecord {
  std::string key;
  std::string value;
  Lsn lsn = 0;
  uint32_t flags = 0;
  Location location;
};

// One life of a store's log 0.
class TestLog : private RecoverySink {
 public:
  static constexpr uint64_t kSegmentBytes = 64 << 10;

  TestLog(Core& core, std::string path, uint64_t run, uint64_t segment_bytes = kSegmentBytes)
      : core_(core), path_(std::move(path)), run_(run), segment_bytes_(segment_bytes) {}

  // Directory and recovery.
  Task<absl::Status> Recover(bool accept_clock = false) {
    DirectoryOptions options{.path = path_, .engine = EngineKind::kLog, .entropy = {}};
    options.entropy.hash_seed = 7;
    absl::StatusOr<std::unique_ptr<StoreDirectory>> opened =
        co_await StoreDirectory::Open(core_, std::move(options));
    if (!opened.ok()) co_return opened.status();
    directory = std::move(*opened);
    RecoveryOptions how{.run = run_, .accept_clock = accept_clock};
    how.scan.progress = &progress;
    absl::StatusOr<Recovered> found = co_await pakv::Recover(core_, *directory, *this, how);
    if (!found.ok()) {
      co_await directory->Close();
      co_return found.status();
    }
    recovered = std::move(*found);
    co_return absl::OkStatus();
  }
  // And a writer.
  Task<absl::Status> Open() {
    const absl::Status status = co_await Recover();
    if (!status.ok()) co_return status;
    clock = std::make_unique<LsnClock>(0, recovered.report.lsn_max);
    context_ = ContextOf(*directory, recovered, segment_bytes_);
    context_.footer_segment_bytes_min = footer_segment_bytes_min;
    context_.footers_of_any_size = true;
    LogWriterOptions options;
    options.failed = [](void* owner, const absl::Status& why) {
      auto& log = *static_cast<TestLog*>(owner);
      ++log.failures;
      log.failure = why;
    };
    options.owner = this;
    options.settling = [](void* settler, std::span<const uint64_t> hashes) {
      auto& log = *static_cast<TestLog*>(settler);
      log.announced.insert(log.announced.end(), hashes.begin(), hashes.end());
    };
    options.settler = this;
    writer = std::make_unique<LogWriter>(core_, context_, options);
    writer->Start();
    co_return absl::OkStatus();
  }
  Task<void> Close() {
    if (writer != nullptr) co_await writer->Stop();
    if (recovered.manifest != nullptr) co_await recovered.manifest->Close();
    if (directory != nullptr) co_await directory->Close();
    writer.reset();
  }

  Appended Append(const std::string& key, const std::string& value, TestEntry& entry,
                  uint32_t flags = kRecordPlain) {
    const RecordFields fields{
        .lsn = clock->Next(core_.wall_us()), .flags = flags, .key = key, .value = value};
    return writer->Append(fields, entry);
  }
  // Writes one record and waits until it is settled.
  Task<bool> Put(std::string key, std::string value) {
    TestEntry entry(core_.ready());
    Append(key, value, entry);
    co_await entry.settled.Wait();
    written[key] = entry.location();
    co_return entry.ok;
  }
  Task<void> Sleep(uint64_t ns) { co_await core_.timers().SleepUntil(core_.now_ns() + ns); }
  // Until `condition` holds, which something in the background brings about. Looks are counted, not
  // time: it may pass while this process does not run.
  Task<void> Until(absl::FunctionRef<bool()> condition) {
    for (int looks = 0; !condition(); ++looks) {
      EXPECT_LT(looks, 60'000) << "it does not come";
      if (looks == 60'000) co_return;
      co_await Sleep(kNsPerMs);
    }
  }
  // Until spare and reserve are there.
  Task<void> UntilAllIsReady() {
    co_await Until([this] { return IsAllReady(); });
  }
  bool IsAllReady() const {
    return writer->ready_bytes() >= writer->unwritten_bytes() + 3 * segment_bytes_;
  }
  // Until a mark has been written that tells of all that was written before.
  Task<void> UntilMark() {
    const uint64_t before = writer->counters().marks;
    co_await Until([&] { return writer->counters().marks > before; });
  }

  // The newest value of each key, as recovered.
  std::map<std::string, std::string> Values() const {
    std::map<std::string, std::pair<Lsn, std::string>> newest;
    for (const CopiedRecord& record : records) {
      auto& slot = newest[record.key];
      if (record.lsn > slot.first) slot = {record.lsn, record.value};
    }
    std::map<std::string, std::string> values;
    for (const auto& [key, slot] : newest) values[key] = slot.second;
    return values;
  }

  std::vector<CopiedRecord> records;
  std::map<std::string, Location> written;
  std::unique_ptr<StoreDirectory> directory;
  Recovered recovered;
  std::unique_ptr<LsnClock> clock;
  std::unique_ptr<LogWriter> writer;
  // Footers are off, since what is recovered from them has no values; 1: every segment has one.
  uint64_t footer_segment_bytes_min = UINT64_MAX;
  ScanProgress progress;  // of the recovery
  int failures = 0;
  absl::Status failure;             // the last
  std::vector<uint64_t> announced;  // hashes of entries about to be settled

 private:
  Task<absl::Status> Take(Core&, std::span<const RecoveredRecord> taken) override {
    for (const RecoveredRecord& record : taken) {
      records.push_back({.key = std::string(record.fields.key),
                         .value = std::string(record.fields.value),
                         .lsn = record.fields.lsn,
                         .flags = record.fields.flags,
                         .location = record.location});
    }
    co_return absl::OkStatus();
  }

  Core& core_;
  std::string path_;
  uint64_t run_;
  uint64_t segment_bytes_;
  LogContext context_;
};

// A whole life: opens the log, awaits body(log, args...), and stops it.
template <typename Body, typename... Args>
Task<void> RunLife(TestLog& log, Body body, Args&... args) {
  const absl::Status opened = co_await log.Open();
  EXPECT_TRUE(opened.ok()) << opened;
  if (!opened.ok()) co_return;
  co_await body(log, args...);
  co_await log.Close();
}

// Lives of one directory's log, on the kernel's ring with faults put between. They end before the
// log is stopped.
class FaultyLogFixture : public ::testing::Test {
 protected:
  using Body = Task<void> (*)(TestLog& log, Core& core, FaultRing& faults);
  void Life(Body body, void (*prepare)(FaultRing&) = nullptr) {
    TestCore core;
    if (prepare != nullptr) prepare(*core.faults);
    TestLog log(*core.core, directory_.store(), ++run_);
    core.Run(RunLife(log, &RunBody, body, *core.core, *core.faults));
    values_ = log.Values();
    records_ = std::move(log.records);
    written_ = std::move(log.written);
  }
  static Task<void> DoNothing(TestLog&, Core&, FaultRing&) { co_return; }
  std::map<std::string, std::string> Recovered() {
    Life(DoNothing);
    return values_;
  }

  TempDirectory directory_;
  uint64_t run_ = 0;
  // Of the last life: what it has found, of each key the newest value, and what it has written.
  std::vector<CopiedRecord> records_;
  std::map<std::string, std::string> values_;
  std::map<std::string, Location> written_;

 private:
  static Task<void> RunBody(TestLog& log, Body& body, Core& core, FaultRing& faults) {
    co_await body(log, core, faults);
    faults.rule = nullptr;
    faults.after = nullptr;
  }
};

}  // namespace pakv
