#include "kv/log/recovery.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <set>
#include <utility>

#include "kv/log/file_io.h"
#include "kv/log/judge.h"
#include "runtime/base/check.h"
#include "runtime/base/log.h"
#include "runtime/base/seeded_bug.h"

namespace pakv {
namespace {

constexpr std::string_view kCutName = "cut";
// Blocks judged before others on this core have their turn; several turns fit one pass.
constexpr uint64_t kJudgeBytesMax = uint64_t{1} << 20;

// Memory for reading segments into, used again for the next one of the same size or less.
class SegmentMemory {
 public:
  uint8_t* Of(uint64_t bytes) {
    if (buffer_.size() < bytes) buffer_ = AlignedBuffer(bytes);
    return buffer_.data();
  }

 private:
  AlignedBuffer buffer_;
};

class BlockCollector final : public BlockVisitor {
 public:
  struct Found {
    uint32_t segment;
    uint32_t offset;
    uint32_t record_count;
    Bytes block;
  };
  void OnBlock(const JudgedSegment& segment, const BlockHeader& header, Bytes block) override {
    blocks.push_back({segment.segment, header.offset, header.record_count, block});
    expiry_clock_ms = std::max(expiry_clock_ms, header.expiry_clock_ms);
  }
  std::vector<Found> blocks;
  uint64_t expiry_clock_ms = 0;
};

class Recovery {
 public:
  Recovery(Core& core, const StoreDirectory& directory, RecoverySink& sink,
           const RecoveryOptions& options)
      : core_(core), directory_(directory), sink_(sink), options_(options) {}

  Task<absl::StatusOr<Recovered>> Run() {
    absl::Status status = co_await ReadNames();
    if (status.ok()) status = co_await JudgeAll();
    if (status.ok()) status = CheckClock();
    if (status.ok()) status = co_await SyncAll();
    if (status.ok()) status = co_await KeepCuts();
    if (!status.ok()) co_return status;
    absl::StatusOr<std::unique_ptr<Manifest>> manifest = co_await Seal();
    if (!manifest.ok()) co_return manifest.status();
    co_await Tidy();
    Recovered recovered;
    recovered.manifest = std::move(*manifest);
    recovered.report = std::move(report_);
    recovered.reopened = reopened_;
    co_return std::move(recovered);
  }

 private:
  // Bytes to be cut, until they are copied.
  struct Cut {
    uint32_t segment;
    uint64_t offset;
    std::vector<uint8_t> bytes;
    std::string reason;
  };

  std::string PathOf(uint32_t segment) const { return directory_.PathOf(SegmentName(segment)); }

  Task<absl::Status> ReadNames() {
    const IoResult listed = co_await ListDirectory(core_.io(), directory_.path().c_str(), names_);
    if (!listed.ok()) co_return IoError("list directory", directory_.path(), listed);
    absl::StatusOr<ManifestState> state = co_await Manifest::Read(core_, directory_);
    if (!state.ok()) co_return state.status();
    state_ = std::move(*state);
    next_segment_ = state_.next_segment;
    for (const std::string& name : names_) {
      const uint32_t segment = SegmentOfName(name);
      if (segment == 0) continue;
      if (state_.run == 0) {
        co_return Damaged(directory_.PathOf("MANIFEST"), 0, "missing, although there are segments");
      }
      next_segment_ = std::max(next_segment_, segment + 1);
      if (state_.segments.contains(segment) || state_.dropped.contains(segment)) continue;
      const absl::Status status = co_await CheckUnlisted(segment);
      if (!status.ok()) co_return status;
    }
    co_return absl::OkStatus();
  }

  // A file that MANIFEST does not know is a spare that was never used, unless a block of the run
  // that wrote MANIFEST lies in it: then MANIFEST has lost an entry.
  Task<absl::Status> CheckUnlisted(uint32_t segment) {
    const std::string path = PathOf(segment);
    absl::StatusOr<File> file = co_await OpenFile(core_, path, O_RDONLY | directory_.direct_flag());
    if (!file.ok()) co_return file.status();
    AlignedBuffer memory(directory_.alignment());
    const absl::StatusOr<uint64_t> read = co_await ReadAll(
        *file, memory.data(), directory_.alignment(), 0, directory_.transfer_unit(), path);
    absl::Status status = read.status();
    if (read.ok() && StartsWithBlockOf(Bytes(memory.data(), *read), state_.run, segment)) {
      status = Damaged(path, 0, "a segment that is in use and not in MANIFEST");
    }
    const IoResult closed = co_await file->Close();
    if (status.ok() && !closed.ok()) status = IoError("close", path, closed);
    co_return status;
  }

  // ---- Judging ----

  Task<absl::Status> JudgeAll() {
    std::map<std::pair<uint64_t, uint32_t>, std::vector<const SegmentInfo*>> logs;
    for (const auto& [segment, info] : state_.segments) {
      logs[{info.run, info.log}].push_back(&info);
    }
    for (auto& [log, segments] : logs) {
      // Numbers do not tell the order: a large segment may have been made after one that is used
      // later. Two with one first sequence: the earlier one stayed empty.
      std::sort(segments.begin(), segments.end(), [](const auto* left, const auto* right) {
        return std::pair(left->first_sequence, left->place) <
               std::pair(right->first_sequence, right->place);
      });
      // Sealed segments one by one; from the first that is not, all together, since those behind
      // it are its witnesses.
      size_t begin = 0;
      while (begin < segments.size()) {
        const bool sealed = segments[begin]->sealed_end.has_value();
        const size_t end = sealed ? begin + 1 : segments.size();
        const absl::Status status =
            co_await JudgeSome(std::span(segments).subspan(begin, end - begin));
        if (!status.ok()) co_return status;
        begin = end;
      }
    }
    co_return absl::OkStatus();
  }

  Task<absl::Status> JudgeSome(std::span<const SegmentInfo* const> infos) {
    std::vector<JudgedSegment> segments;
    if (memory_.size() < infos.size()) memory_.resize(infos.size());
    for (size_t i = 0; i < infos.size(); ++i) {
      const absl::StatusOr<Bytes> bytes = co_await ReadSegment(*infos[i], memory_[i]);
      if (!bytes.ok()) co_return bytes.status();
      segments.push_back({.segment = infos[i]->segment,
                          .first_sequence = infos[i]->first_sequence,
                          .first_chain = infos[i]->first_chain,
                          .sealed_end = infos[i]->sealed_end,
                          .bytes = *bytes});
    }
    const JudgedLog log{.run = infos[0]->run, .log = infos[0]->log, .segments = segments};
    BlockCollector collector;
    LogJudge judge(log, &collector);
    while (!judge.Advance(kJudgeBytesMax)) co_await core_.ready().Yield();
    const Judgement judgement = judge.TakeResult();
    if (judgement.outcome == Judgement::Outcome::kCorrupt) {
      co_return Damaged(PathOf(judgement.segment), judgement.offset, judgement.reason);
    }
    report_.segments += infos.size();
    report_.expiry_clock_ms = std::max(report_.expiry_clock_ms, collector.expiry_clock_ms);
    for (size_t i = 0; i < infos.size(); ++i) {
      NoteEnd(*infos[i], judgement.ends[i], segments[i].bytes, judgement);
    }
    co_return co_await Deliver(collector.blocks);
  }

  void NoteEnd(const SegmentInfo& info, const Judgement::End& end, Bytes bytes,
               const Judgement& judgement) {
    const bool torn = judgement.outcome == Judgement::Outcome::kTorn;
    ends_[info.segment] = info.sealed_end.value_or(end.end);
    if (info.sealed_end) return;
    unsealed_.push_back(info.segment);
    if (PAKV_BUG(kReopenTornSegment) && torn && reopened_.segment == 0 && end.end > 0) {
      reopened_ = {.segment = info.segment, .size = info.size, .offset = end.end, .log = info.log};
      return;
    }
    if (end.cut_end == end.end) return;
    const Bytes rest = bytes.subspan(end.end, end.cut_end - end.end);
    cuts_.push_back({.segment = info.segment,
                     .offset = end.end,
                     .bytes = std::vector<uint8_t>(rest.begin(), rest.end()),
                     .reason = std::string(torn ? judgement.reason : "behind the log's end")});
  }

  // All bytes that may hold blocks: up to the end of a sealed segment, the whole of another.
  Task<absl::StatusOr<Bytes>> ReadSegment(const SegmentInfo& info, SegmentMemory& memory) {
    const std::string path = PathOf(info.segment);
    absl::StatusOr<File> file = co_await OpenFile(core_, path, O_RDONLY | directory_.direct_flag());
    if (absl::IsNotFound(file.status())) {
      co_return Damaged(path, 0, "missing, although MANIFEST lists it");
    }
    if (!file.ok()) co_return file.status();
    const uint64_t wanted = info.sealed_end.value_or(info.size);
    const uint64_t padded = RoundUp(wanted, directory_.alignment());
    uint8_t* data = memory.Of(std::max<uint64_t>(padded, directory_.alignment()));
    FileStat stat;
    absl::Status status;
    uint64_t got = 0;
    const IoResult stated = co_await file->Stat(stat);
    if (!stated.ok()) status = IoError("stat", path, stated);
    if (status.ok()) {
      const absl::StatusOr<uint64_t> read =
          co_await ReadAll(*file, data, padded, 0, directory_.transfer_unit(), path);
      status = read.status();
      if (read.ok()) got = *read;
    }
    const IoResult closed = co_await file->Close();
    if (status.ok() && !closed.ok()) status = IoError("close", path, closed);
    if (!status.ok()) co_return status;
    if (got < wanted) co_return Damaged(path, got, "shorter than MANIFEST says");
    sizes_[info.segment] = stat.size_bytes;
    co_return Bytes(data, wanted);
  }

  Task<absl::Status> Deliver(const std::vector<BlockCollector::Found>& blocks) {
    std::vector<RecoveredRecord> batch;
    for (const BlockCollector::Found& found : blocks) {
      ++report_.blocks;
      report_.bytes += found.block.size();
      BlockRecords records(found.block, found.record_count);
      while (const std::optional<Record> record = records.Next()) {
        ++report_.records;
        report_.lsn_max = std::max(report_.lsn_max, record->fields.lsn);
        batch.push_back({.location = {.segment = found.segment,
                                      .offset = found.offset + records.offset(),
                                      .length = record->length},
                         .fields = record->fields});
        if (batch.size() < RecoverySink::kRecordsMax) continue;
        const absl::Status status = co_await sink_.Take(batch);
        if (!status.ok()) co_return status;
        batch.clear();
      }
    }
    if (batch.empty()) co_return absl::OkStatus();
    co_return co_await sink_.Take(batch);
  }

  absl::Status CheckClock() {
    report_.lsn_max = std::max(report_.lsn_max, state_.lsn_max);
    report_.expiry_clock_ms = std::max(report_.expiry_clock_ms, state_.expiry_clock_ms);
    if (options_.accept_clock || !LsnFarAhead(report_.lsn_max, core_.wall_us())) {
      return absl::OkStatus();
    }
    const uint64_t ahead_us =
        LsnTick(report_.lsn_max) / kLsnTicksPerUs + kLsnEpochUs -
        std::min(core_.wall_us(), LsnTick(report_.lsn_max) / kLsnTicksPerUs + kLsnEpochUs);
    return absl::FailedPreconditionError(
        directory_.path() + ": holds data from " + std::to_string(ahead_us / 3'600'000'000) +
        " hours ahead of this machine's clock. Set the clock right, or start once with "
        "--accept-clock");
  }

  // ---- Making it last ----

  Task<absl::Status> SyncAll() {
    if (PAKV_BUG(kServeVolatileCache)) co_return absl::OkStatus();
    for (const uint32_t segment : unsealed_) {
      // Two statements: GCC 12 destroys the result of a co_await within ?: twice.
      absl::Status status;
      if (directory_.direct()) {
        status = co_await SyncSegment(segment);
      } else {
        status = co_await CopySegment(segment);
      }
      if (!status.ok()) co_return status;
    }
    co_return co_await SyncNames(core_, directory_.path());
  }

  Task<absl::Status> SyncSegment(uint32_t segment) {
    const std::string path = PathOf(segment);
    absl::StatusOr<File> file = co_await OpenFile(core_, path, O_RDWR);
    if (!file.ok()) co_return file.status();
    const IoResult synced = co_await file->SyncData();
    const IoResult closed = co_await file->Close();
    if (!synced.ok()) co_return IoError("sync", path, synced);
    if (!closed.ok()) co_return IoError("close", path, closed);
    co_return absl::OkStatus();
  }

  // Without direct I/O the page cache may show bytes that a failed flush of an earlier process has
  // dropped, and a flush would now succeed without writing them. So what was read goes into a new
  // file, which takes the old one's place whole.
  Task<absl::Status> CopySegment(uint32_t segment) {
    const absl::StatusOr<Bytes> bytes =
        co_await ReadSegment(state_.segments.at(segment), memory_[0]);
    if (!bytes.ok()) co_return bytes.status();
    const std::string name = SegmentName(segment);
    co_return co_await WriteWholeFile(core_, directory_.path(), name, *bytes);
  }

  Task<absl::Status> KeepCuts() {
    if (cuts_.empty()) co_return absl::OkStatus();
    const std::string kept = directory_.PathOf(kCutName);
    const IoResult made = co_await MakeDirectory(core_.io(), kept.c_str());
    if (!made.ok() && made.error() != EEXIST) co_return IoError("create directory", kept, made);
    absl::Status status = co_await SyncNames(core_, directory_.path());
    if (!status.ok()) co_return status;
    for (const Cut& cut : cuts_) {
      const std::string name = SegmentName(cut.segment) + "." + std::to_string(cut.offset);
      status = co_await WriteWholeFile(core_, kept, name, cut.bytes);
      if (!status.ok()) co_return status;
      std::string path = kept;
      path.append("/").append(name);
      report_.cuts.push_back({.path = PathOf(cut.segment),
                              .offset = cut.offset,
                              .bytes = cut.bytes.size(),
                              .kept_in = path,
                              .reason = cut.reason});
      LogWarning("{}: cut off at {}: {} ({} bytes, kept in {}/{})", PathOf(cut.segment), cut.offset,
                 cut.reason, cut.bytes.size(), kept, name);
    }
    co_return absl::OkStatus();
  }

  Task<absl::StatusOr<std::unique_ptr<Manifest>>> Seal() {
    ManifestState next;
    next.run = options_.run;
    next.run_counter = state_.run_counter + 1;
    next.next_segment = next_segment_;
    next.lsn_max = report_.lsn_max;
    next.expiry_clock_ms = report_.expiry_clock_ms;
    for (const auto& [segment, info] : state_.segments) {
      const uint64_t end = ends_.at(segment);
      if (end == 0) continue;
      SegmentInfo sealed = info;
      if (!(PAKV_BUG(kReopenTornSegment) && segment == reopened_.segment)) {
        sealed.sealed_end = end;
      }
      next.segments.emplace(segment, sealed);
    }
    state_ = next;
    co_return co_await Manifest::WriteFresh(core_, directory_, std::move(next));
  }

  // What a crash may leave undone: it is done again by the next start.
  Task<void> Tidy() {
    for (const std::string& name : names_) {
      const uint32_t segment = SegmentOfName(name);
      const bool unlisted = segment != 0 && !state_.segments.contains(segment);
      if (!unlisted && !name.ends_with(".tmp")) continue;
      const std::string path = directory_.PathOf(name);
      const IoResult unlinked = co_await UnlinkFile(core_.io(), path.c_str());
      // MANIFEST.tmp has become MANIFEST.
      if (!unlinked.ok() && unlinked.error() != ENOENT) {
        LogWarning("{}", MessageOf(IoError("remove", path, unlinked)));
      }
    }
    for (const auto& [segment, info] : state_.segments) {
      if (!info.sealed_end || sizes_.at(segment) <= *info.sealed_end) continue;
      const std::string path = PathOf(segment);
      absl::StatusOr<File> file = co_await OpenFile(core_, path, O_RDWR);
      if (!file.ok()) {
        LogWarning("{}", MessageOf(file.status()));
        continue;
      }
      const IoResult cut = co_await file->Truncate(*info.sealed_end);
      if (!cut.ok()) LogWarning("{}", MessageOf(IoError("truncate", path, cut)));
      const IoResult closed = co_await file->Close();
      if (!closed.ok()) LogWarning("{}", MessageOf(IoError("close", path, closed)));
    }
  }

  Core& core_;
  const StoreDirectory& directory_;
  RecoverySink& sink_;
  const RecoveryOptions options_;
  std::vector<std::string> names_;
  ManifestState state_;
  uint32_t next_segment_ = 1;
  std::vector<SegmentMemory> memory_;
  std::map<uint32_t, uint64_t> ends_;
  std::map<uint32_t, uint64_t> sizes_;
  std::vector<uint32_t> unsealed_;
  std::vector<Cut> cuts_;
  ReopenedSegment reopened_;
  RecoveryReport report_;
};

}  // namespace

Task<absl::StatusOr<Recovered>> Recover(Core& core, const StoreDirectory& directory,
                                        RecoverySink& sink, RecoveryOptions options) {
  PAKV_CHECK(options.run != 0);
  Recovery recovery(core, directory, sink, options);
  co_return co_await recovery.Run();
}

LogContext ContextOf(const StoreDirectory& directory, const Recovered& recovered,
                     uint64_t segment_bytes) {
  LogContext context;
  context.directory = &directory;
  context.manifest = recovered.manifest.get();
  context.run = recovered.manifest->run();
  context.segment_bytes = segment_bytes;
  context.reopened = recovered.reopened;
  return context;
}

}  // namespace pakv
