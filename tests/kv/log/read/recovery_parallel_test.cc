// kv/log: recovery on many cores finds what judging one log after another finds. The reference
// reads the files of a simulated disk, parses MANIFEST and judges the logs in order with JudgeLog;
// directories are damaged at random.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "kv/log/files/manifest.h"
#include "kv/log/read/judge.h"
#include "kv/log/read/recovery.h"
#include "kv/store/store.h"
#include "runtime/base/prng.h"
#include "tests/kv/store/store_call.h"
#include "tests/sim/world/sim_node.h"
#include "tests/sim/world/sim_world.h"

namespace pakv {
namespace {

constexpr const char* kDirectory = "/data";

// segment, offset, LSN, key: every record that was found, in no order.
using FoundRecord = std::tuple<uint32_t, uint32_t, Lsn, std::string>;

struct Result {
  std::string error;  // empty: it went well
  std::multiset<FoundRecord> records;
  std::map<uint32_t, uint64_t> ends;                           // of segments that hold a block
  std::set<std::tuple<std::string, uint64_t, uint64_t>> cuts;  // path, offset, bytes

  bool operator==(const Result&) const = default;
};

std::string PathOf(uint32_t segment) {
  return std::string(kDirectory) + "/" + SegmentName(segment);
}

std::string DamagedText(const std::string& path, uint64_t offset, std::string_view reason) {
  return path + ": damaged at offset " + std::to_string(offset) + ": " + std::string(reason);
}

// ---- The reference: one log after another ----

class Collect final : public BlockVisitor {
 public:
  explicit Collect(Result& result) : result_(result) {}
  void OnBlock(const JudgedSegment& segment, const BlockHeader& header, Bytes block) override {
    BlockRecords records(block, header.record_count);
    while (const std::optional<Record> record = records.Next()) {
      result_.records.emplace(segment.segment, header.offset + records.offset(), record->fields.lsn,
                              std::string(record->fields.key));
    }
  }

 private:
  Result& result_;
};

Result Reference(SimDisk& disk) {
  Result result;
  const std::string manifest_bytes =
      *disk.Contents((std::string(kDirectory) + "/MANIFEST").c_str());
  const absl::StatusOr<ManifestState> state = ParseManifest(
      Bytes(reinterpret_cast<const uint8_t*>(manifest_bytes.data()), manifest_bytes.size()));
  EXPECT_TRUE(state.ok());
  std::vector<SegmentInfo> infos;
  for (const auto& [segment, info] : state->segments) infos.push_back(info);
  std::sort(infos.begin(), infos.end(), [](const SegmentInfo& left, const SegmentInfo& right) {
    return std::tuple(left.run, left.log, left.first_sequence, left.place) <
           std::tuple(right.run, right.log, right.first_sequence, right.place);
  });
  size_t begin = 0;
  while (begin < infos.size()) {
    size_t end = begin + 1;
    while (!infos[begin].sealed_end && end < infos.size() && infos[end].run == infos[begin].run &&
           infos[end].log == infos[begin].log) {
      ++end;
    }
    std::vector<std::string> contents;
    std::vector<JudgedSegment> judged;
    for (size_t i = begin; i < end; ++i) {
      const SegmentInfo& info = infos[i];
      const auto bytes = disk.Contents(PathOf(info.segment).c_str());
      const uint64_t wanted = info.sealed_end.value_or(info.size);
      if (!bytes) {
        return {
            .error = DamagedText(PathOf(info.segment), 0, "missing, although MANIFEST lists it"),
            .records = {},
            .ends = {},
            .cuts = {}};
      }
      if (bytes->size() < wanted) {
        return {
            .error = DamagedText(PathOf(info.segment), bytes->size(), "shorter than MANIFEST says"),
            .records = {},
            .ends = {},
            .cuts = {}};
      }
      contents.push_back(bytes->substr(0, wanted));
    }
    for (size_t i = begin; i < end; ++i) {
      const std::string& text = contents[i - begin];
      judged.push_back(
          {.segment = infos[i].segment,
           .first_sequence = infos[i].first_sequence,
           .first_chain = infos[i].first_chain,
           .sealed_end = infos[i].sealed_end,
           .bytes = Bytes(reinterpret_cast<const uint8_t*>(text.data()), text.size())});
    }
    Collect collect(result);
    const Judgement judgement =
        JudgeLog({.run = infos[begin].run, .log = infos[begin].log, .segments = judged}, &collect);
    if (judgement.outcome == Judgement::Outcome::kCorrupt) {
      return {.error = DamagedText(PathOf(judgement.segment), judgement.offset, judgement.reason),
              .records = {},
              .ends = {},
              .cuts = {}};
    }
    for (size_t i = 0; i < judged.size(); ++i) {
      const Judgement::End& found = judgement.ends[i];
      if (found.end != 0) result.ends[judged[i].segment] = found.end;
      if (!judged[i].sealed_end && found.cut_end != found.end) {
        result.cuts.emplace(PathOf(judged[i].segment), found.end, found.cut_end - found.end);
      }
    }
    begin = end;
  }
  return result;
}

// ---- Recovery ----

class RecordingSink final : public RecoverySink {
 public:
  Task<absl::Status> Take(Core& here, std::span<const RecoveredRecord> taken) override {
    // What it does at its owners takes other turns of several cores.
    for (uint32_t owner = 0; owner < here.count(); ++owner) {
      const bool there = co_await here.CallOn(owner, [](Core&) { return true; });
      EXPECT_TRUE(there);
    }
    for (const RecoveredRecord& record : taken) {
      records.emplace(record.location.segment, record.location.offset, record.fields.lsn,
                      std::string(record.fields.key));
    }
    co_return absl::OkStatus();
  }
  std::multiset<FoundRecord> records;
};

// Asks for the end after so many batches.
class CancellingSink final : public RecoverySink {
 public:
  explicit CancellingSink(uint64_t batches) : left_(batches) {}
  Task<absl::Status> Take(Core&, std::span<const RecoveredRecord>) override {
    if (left_ == 0) cancel.store(true);
    left_ -= left_ == 0 ? 0 : 1;
    co_return absl::OkStatus();
  }
  std::atomic<bool> cancel{false};

 private:
  uint64_t left_;
};

Task<void> RecoverAndCancel(Core& core, uint64_t run, uint64_t batches, absl::Status& status) {
  DirectoryOptions directory_options;
  directory_options.path = kDirectory;
  auto directory = co_await StoreDirectory::Open(core, directory_options);
  EXPECT_TRUE(directory.ok()) << directory.status();
  CancellingSink sink(batches);
  RecoveryOptions options{.run = run, .accept_clock = true, .scan = {}};
  options.scan.cancel = &sink.cancel;
  auto recovered = co_await Recover(core, **directory, sink, options);
  status = recovered.status();
  if (recovered.ok()) co_await recovered->manifest->Close();
  co_await (*directory)->Close();
}

Task<void> RecoverOnce(Core& core, uint64_t run, uint64_t read_bytes, Result& result) {
  DirectoryOptions directory_options;
  directory_options.path = kDirectory;
  auto directory = co_await StoreDirectory::Open(core, directory_options);
  EXPECT_TRUE(directory.ok()) << directory.status();
  RecordingSink sink;
  RecoveryOptions options{.run = run, .accept_clock = true, .scan = {}};
  options.scan.read_bytes = read_bytes;
  auto recovered = co_await Recover(core, **directory, sink, options);
  if (!recovered.ok()) {
    result.error = std::string(recovered.status().message());
  } else {
    result.records = std::move(sink.records);
    for (const RecoveryCut& cut : recovered->report.cuts) {
      result.cuts.emplace(cut.path, cut.offset, cut.bytes);
    }
    co_await recovered->manifest->Close();
  }
  co_await (*directory)->Close();
}

Task<void> Fill(SimNode& node, uint64_t seed, uint64_t run, bool& filled) {
  Prng prng(seed * 100 + run);
  OpenReport report;
  StoreOptions options;
  options.directory = kDirectory;
  options.segment_bytes = 16 << 10;
  options.accept_clock = true;
  options.entropy.emplace();
  options.entropy->hash_seed = 7;
  options.entropy->run = run;
  auto opened = co_await Store::Open(node.cores(), options, report);
  EXPECT_TRUE(opened.ok()) << opened.status();
  if (!opened.ok()) co_return;
  std::unique_ptr<Store> store = std::move(*opened);
  Core& here = node.core(0);
  const uint64_t writes = prng.Between(1, 80);
  for (uint64_t i = 0; i < writes; ++i) {
    StoreCall call(*store, here);
    const std::string key = "key" + std::to_string(prng.Below(30));
    if (prng.Chance(1, 6)) {
      co_await call.Update(DeleteFunction, OldState::kExistence, key);
    } else {
      co_await call.Update(SetFunction, OldState::kNothing, key,
                           std::string(prng.Below(3000), 'v'));
    }
  }
  if (prng.Chance(1, 2)) {
    const absl::Status stopped = co_await store->Stop();
    EXPECT_TRUE(stopped.ok());
    store.reset();
  } else {
    node.Own(std::move(store));  // until the process is killed
  }
  filled = true;
}

using Files = std::map<std::string, std::string>;

Files ReadAllFiles(SimDisk& disk) {
  Files files;
  std::vector<std::string> names;
  EXPECT_GE(disk.List(kDirectory, names), 0);
  for (const std::string& name : names) {
    const std::string path = std::string(kDirectory) + "/" + name;
    if (auto contents = disk.Contents(path.c_str())) files[path] = *contents;
  }
  return files;
}

void Damage(Files& files, Prng& prng) {
  std::vector<std::string> segments;
  for (const auto& [path, contents] : files) {
    if (path.ends_with(".seg") && contents.find_first_not_of('\0') != std::string::npos) {
      segments.push_back(path);
    }
  }
  if (segments.empty()) return;
  std::string& contents = files[segments[prng.Below(segments.size())]];
  const size_t used = contents.find_last_not_of('\0') + 1;
  const size_t at = prng.Below(used);
  const size_t sector = at / kSectorSize * kSectorSize;
  switch (prng.Below(8)) {
    case 0:
    case 1:
      contents[at] = static_cast<char>(contents[at] ^ (1 << prng.Below(8)));
      break;
    case 2:
    case 3: {
      const size_t length = std::min(prng.Between(1, 4) * kSectorSize, contents.size() - sector);
      contents.replace(sector, length, length, '\0');
      break;
    }
    case 4:
      contents.resize(at);
      break;
    case 5:
    case 6: {
      // Within the newest block, as a rule.
      const size_t last = (used - 1) / kSectorSize * kSectorSize;
      const size_t newest = last - std::min(last, prng.Below(5) * kSectorSize);
      contents.replace(newest, kSectorSize, kSectorSize, '\0');
      break;
    }
    case 7:
      files.erase(segments[prng.Below(segments.size())]);
      break;
  }
}

Result RecoverIn(uint64_t seed, const Files& files, uint32_t cores, uint64_t read_bytes,
                 Result& reference) {
  SimWorld world(seed);
  SimNode node(world, "10.0.0.1");
  node.disk().MakeDirectories(kDirectory);
  for (const auto& [path, contents] : files) node.disk().Put(path.c_str(), contents);
  reference = Reference(node.disk());
  SimNodeOptions options;
  options.core_count = cores;
  node.Start(options);
  Result result;
  EXPECT_TRUE(node.Run(RecoverOnce(node.core(0), 1000 + seed, read_bytes, result)));
  if (result.error.empty()) {
    const Files after = ReadAllFiles(node.disk());
    const std::string& manifest = after.at(std::string(kDirectory) + "/MANIFEST");
    const auto state =
        ParseManifest(Bytes(reinterpret_cast<const uint8_t*>(manifest.data()), manifest.size()));
    EXPECT_TRUE(state.ok());
    for (const auto& [segment, info] : state->segments) {
      EXPECT_TRUE(info.sealed_end.has_value());
      result.ends[segment] = info.sealed_end.value_or(0);
    }
  }
  node.Crash(CrashKind::kProcessKill);
  return result;
}

std::string_view WithoutRemedy(std::string_view error) {
  constexpr std::string_view kRemedy = "; --salvage goes on without it";
  if (error.ends_with(kRemedy)) error.remove_suffix(kRemedy.size());
  return error;
}

TEST(RecoveryParallelTest, FindsWhatJudgingOneLogAfterAnotherFinds) {
  int refused = 0;
  int cut = 0;
  int whole = 0;
  for (uint64_t seed = 1; seed <= 600; ++seed) {
    SCOPED_TRACE(seed);
    Prng prng(seed);
    Files files;
    {
      SimWorld world(seed);
      SimNode node(world, "10.0.0.1");
      const uint64_t lives = prng.Between(1, 3);
      for (uint64_t life = 1; life <= lives; ++life) {
        SimNodeOptions options;
        options.core_count = static_cast<uint32_t>(prng.Between(1, 3));
        node.Start(options);
        bool filled = false;
        ASSERT_TRUE(node.Run(Fill(node, seed, life, filled)));
        ASSERT_TRUE(filled);
        node.Crash(prng.Chance(1, 2) ? CrashKind::kProcessKill : CrashKind::kPowerCut);
      }
      files = ReadAllFiles(node.disk());
    }
    const uint64_t damages = prng.Below(3);
    for (uint64_t i = 0; i < damages; ++i) Damage(files, prng);
    Result reference;
    const auto cores = static_cast<uint32_t>(prng.Between(1, 4));
    const uint64_t read_bytes = uint64_t{4096} << prng.Below(4);
    const Result result = RecoverIn(seed, files, cores, read_bytes, reference);
    // The reference says what is wrong, recovery also what can be done.
    ASSERT_EQ(WithoutRemedy(result.error), reference.error);
    ASSERT_EQ(result.records, reference.records);
    ASSERT_EQ(result.cuts, reference.cuts);
    ASSERT_EQ(result.ends, reference.ends);
    refused += reference.error.empty() ? 0 : 1;
    cut += reference.cuts.empty() ? 0 : 1;
    whole += reference.error.empty() && reference.cuts.empty() ? 1 : 0;
  }
  EXPECT_GT(refused, 50);
  EXPECT_GT(cut, 5);
  EXPECT_GT(whole, 50);
}

// A signal that comes while a store is read: it ends soon and leaves every byte as it was.
TEST(RecoveryParallelTest, CancelledRecoveryChangesNothing) {
  int cancelled = 0;
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    SCOPED_TRACE(seed);
    Prng prng(seed);
    SimWorld world(seed);
    SimNode node(world, "10.0.0.1");
    for (uint64_t life = 1; life <= 3; ++life) {
      SimNodeOptions options;
      options.core_count = 2;
      node.Start(options);
      bool filled = false;
      ASSERT_TRUE(node.Run(Fill(node, seed, life, filled)));
      ASSERT_TRUE(filled);
      node.Crash(CrashKind::kProcessKill);
    }
    const Files before = ReadAllFiles(node.disk());
    SimNodeOptions options;
    options.core_count = static_cast<uint32_t>(prng.Between(1, 3));
    node.Start(options);
    absl::Status status;
    ASSERT_TRUE(node.Run(RecoverAndCancel(node.core(0), 1000, prng.Below(8), status)));
    node.Stop();
    if (status.ok()) continue;
    ++cancelled;
    ASSERT_TRUE(absl::IsCancelled(status)) << status;
    ASSERT_EQ(ReadAllFiles(node.disk()), before);
  }
  EXPECT_GT(cancelled, 30);
}

}  // namespace
}  // namespace pakv
