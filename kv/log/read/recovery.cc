#include "kv/log/read/recovery.h"

#include <algorithm>
#include <cerrno>
#include <map>
#include <optional>
#include <utility>

#include "kv/log/files/file_io.h"
#include "kv/log/format/format_value_file.h"
#include "kv/log/read/judge.h"
#include "kv/log/read/salvage.h"
#include "runtime/base/check.h"
#include "runtime/base/counted.h"
#include "runtime/base/coverage.h"
#include "runtime/base/crc32c.h"
#include "runtime/base/log.h"
#include "runtime/base/seeded_bug.h"

namespace pakv {
namespace {

constexpr std::string_view kCutName = "cut";
// Of a segment, within a pass of the core.
constexpr uint64_t kCheckedBytesMax = 1 << 20;

class Recovery {
 public:
  Recovery(Core& core, const StoreDirectory& directory, RecoverySink& sink,
           const RecoveryOptions& options)
      : core_(core),
        directory_(directory),
        sink_(sink),
        options_(options),
        salvage_(core, directory, sink, options.run) {}

  Task<absl::StatusOr<Recovered>> Run() {
    absl::Status status;
    // It writes before all is judged, and is not refused for damage.
    if (options_.salvage) status = co_await directory_.Upgrade(core_);
    if (status.ok()) status = co_await ReadNames();
    if (status.ok()) status = co_await JudgeAll();
    if (status.ok()) status = co_await TakeLoose();
    if (absl::IsDataLoss(status) && !options_.salvage) {
      status = absl::DataLossError(MessageOf(status) + "; --salvage goes on without it");
    }
    if (status.ok()) status = CheckClock();
    if (status.ok()) status = co_await EndRecords();
    // From here on the directory changes: nobody refuses it any more.
    if (status.ok() && !options_.salvage) status = co_await directory_.Upgrade(core_);
    if (status.ok()) status = co_await SyncAll();
    if (status.ok()) status = co_await MakeRoom();
    if (status.ok()) status = co_await KeepCuts();
    if (!status.ok()) co_return status;
    absl::StatusOr<std::unique_ptr<Manifest>> manifest = co_await Seal();
    if (!manifest.ok()) co_return manifest.status();
    co_await Tidy();
    Recovered recovered;
    recovered.manifest = std::move(*manifest);
    recovered.report = std::move(report_);
    recovered.reopened = reopened_;
    for (const auto& [segment, info] : state_.segments) {
      if (!info.sealed_end || info.footer_bytes != 0) continue;
      recovered.without_footer.push_back(
          {.run = info.run, .log = info.log, .segment = segment, .end_offset = *info.sealed_end});
    }
    co_return std::move(recovered);
  }

 private:
  std::string PathOf(uint32_t segment) const { return directory_.PathOf(SegmentName(segment)); }

  Task<absl::Status> ReadNames() {
    const IoResult listed = co_await ListDirectory(core_.io(), directory_.path().c_str(), names_);
    if (!listed.ok()) co_return IoError("list directory", directory_.path(), listed);
    absl::StatusOr<ManifestState> state = co_await Manifest::Read(core_, directory_);
    if (state.ok()) {
      state_ = std::move(*state);
    } else if (!Salvages(state.status())) {
      co_return state.status();
    } else {
      manifest_is_lost_ = true;
      salvage_.Note(state.status());
      const absl::Status kept = co_await salvage_.Keep("MANIFEST");
      if (!kept.ok()) co_return kept;
    }
    next_segment_ = state_.next_segment;
    for (const std::string& name : names_) {
      const uint32_t segment = SegmentOfName(name);
      if (segment == 0) continue;
      next_segment_ = std::max(next_segment_, segment + 1);
      if (state_.run == 0) {
        absl::Status missing =
            Damaged(directory_.PathOf("MANIFEST"), 0, "missing, although there are segments");
        if (!Salvages(missing)) co_return missing;
        if (!manifest_is_lost_) salvage_.Note(missing);
        manifest_is_lost_ = true;
        loose_.push_back({.segment = segment, .run = std::nullopt, .end = std::nullopt});
        continue;
      }
      if (state_.segments.contains(segment) || state_.dropped.contains(segment)) continue;
      if (PAKV_BUG(kSegmentNotListed)) continue;
      const absl::Status status = co_await CheckUnlisted(segment);
      if (Salvages(status)) {
        salvage_.Note(status);
        loose_.push_back({.segment = segment, .run = state_.run, .end = std::nullopt});
        continue;
      }
      if (!status.ok()) co_return status;
      spares_.push_back(name);
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
    ScanOptions scan_options = options_.scan;
    scan_options.salvage = options_.salvage;
    LogScan scan(core_, directory_, state_, sink_, scan_options);
    const absl::Status status = co_await scan.Run();
    if (!status.ok()) co_return status;
    const ScanTotals& totals = scan.totals();
    report_.segments = scan.segments().size();
    report_.blocks = totals.blocks;
    report_.records = totals.records;
    report_.bytes = totals.block_bytes;
    report_.footers = totals.footers;
    report_.lsn_max = totals.lsn_max;
    report_.expiry_clock_ms = totals.expiry_clock_ms;
    for (const LogScan::Damage& damage : scan.damages()) {
      salvage_.Note(damage.why);
      for (const SegmentInfo& info : damage.segments) {
        loose_.push_back({.segment = info.segment, .run = info.run, .end = info.sealed_end});
        state_.segments.erase(info.segment);
      }
    }
    cuts_ = std::move(scan.cuts());
    for (const ScannedSegment& scanned : scan.segments()) {
      ends_[scanned.segment] = scanned.end;
      sizes_[scanned.segment] = scanned.file_bytes;
      footers_[scanned.segment] = scanned.footer_bytes;
      if (scanned.sealed) continue;
      unsealed_.push_back(scanned.segment);
      checksums_[scanned.segment] = scanned.checksum;
      if (PAKV_BUG(kReopenTornSegment)) NoteTorn(scanned);
    }
    co_return absl::OkStatus();
  }

  // ---- What cannot be believed as it is ----

  bool Salvages(const absl::Status& status) const {
    return options_.salvage && absl::IsDataLoss(status);
  }

  Task<absl::Status> TakeLoose() {
    for (const Loose& loose : loose_) {
      const absl::Status status =
          co_await salvage_.Take(loose.segment, loose.run, loose.end, next_segment_);
      if (!status.ok()) co_return status;
    }
    report_.records += salvage_.records();
    report_.lsn_max = std::max(report_.lsn_max, salvage_.lsn_max());
    report_.expiry_clock_ms = std::max(report_.expiry_clock_ms, salvage_.expiry_clock_ms());
    const absl::Status marked = co_await salvage_.MarkUnfinished();
    if (!marked.ok()) co_return marked;
    report_.salvage = std::move(salvage_.findings());
    if (manifest_is_lost_) CountStartsByValueFiles();
    for (const auto& [segment, info] : salvage_.segments()) {
      state_.segments.emplace(segment, info);
      ends_[segment] = sizes_[segment] = info.size;
      footers_[segment] = 0;
    }
    co_return absl::OkStatus();
  }

  // Value files are numbered by starts, which MANIFEST counts: without it, by what is left of them.
  void CountStartsByValueFiles() {
    uint64_t file_max = salvage_.value_file_max();
    for (const std::string& name : names_) file_max = std::max(file_max, ValueFileOfName(name));
    state_.run_counter = std::max(state_.run_counter, file_max >> 32);
  }

  // What kReopenTornSegment goes on with: the first torn segment that has a block.
  void NoteTorn(const ScannedSegment& scanned) {
    if (!scanned.torn || scanned.end == 0 || reopened_.segment != 0) return;
    const SegmentInfo& info = state_.segments.at(scanned.segment);
    reopened_ = {
        .segment = info.segment, .size = info.size, .offset = scanned.end, .log = info.log};
    std::erase_if(cuts_, [&](const ScannedCut& cut) { return cut.segment == info.segment; });
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

  Task<absl::Status> EndRecords() {
    const RecoveryEnd end{.next_namespace = state_.next_namespace,
                          .expiry_clock_ms = report_.expiry_clock_ms};
    co_return co_await sink_.End(core_, end);
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
  // file, which takes the old one's place whole. If it is not what was judged any more the page
  // cache has lost it in between, as it could not be written: nothing was shown of it yet, so the
  // next start judges what there is then.
  Task<absl::Status> CopySegment(uint32_t segment) {
    AlignedBuffer memory;
    uint64_t file_bytes = 0;
    const absl::StatusOr<Bytes> bytes =
        co_await ReadSegment(core_, directory_, state_.segments.at(segment),
                             options_.scan.read_bytes, memory, file_bytes);
    if (!bytes.ok()) co_return bytes.status();
    uint32_t checksum = 0;
    for (uint64_t at = 0; at < ends_.at(segment); at += kCheckedBytesMax) {
      checksum =
          Crc32c(checksum, bytes->data() + at, std::min(ends_.at(segment) - at, kCheckedBytesMax));
      co_await core_.ready().Yield();
    }
    if (checksum != checksums_.at(segment) && !PAKV_BUG(kCopyOfWhatWasLost)) {
      co_return absl::UnavailableError(
          PathOf(segment) +
          ": has changed since it was read a moment ago: the system has failed to write it to the "
          "disk (see its log). Start again, which judges what is there now");
    }
    const std::string name = SegmentName(segment);
    co_return co_await WriteWholeFile(core_, directory_.path(), name, *bytes);
  }

  // All that follows writes, and the disk may be full: spares, and files that were never finished,
  // go first. Whatever a crash brings back does not refer to them: the directory has been synced,
  // and what of MANIFEST may not last is its end, so that a segment that it does not mention now
  // was not mentioned before. One that it says is dropped has to wait for the fresh MANIFEST: that
  // very entry may not last. Nor may what is listed become shorter before it is sealed there.
  Task<absl::Status> MakeRoom() {
    std::vector<std::string> leaving = spares_;
    for (const std::string& name : names_) {
      if (name.ends_with(".tmp")) leaving.push_back(name);
    }
    if (leaving.empty()) co_return absl::OkStatus();
    for (const std::string& name : leaving) co_await Remove(name);
    PAKV_COVERED(kStartMadeRoom);
    if (PAKV_BUG(kTailsCutBeforeSeal)) {
      for (const uint32_t segment : unsealed_) {
        if (ends_.at(segment) != 0) state_.segments.at(segment).sealed_end = ends_.at(segment);
      }
      co_await CutTails();
    }
    // Some file systems give the space back with this alone.
    co_return co_await SyncNames(core_, directory_.path());
  }

  Task<absl::Status> KeepCuts() {
    if (cuts_.empty()) co_return absl::OkStatus();
    const std::string kept = directory_.PathOf(kCutName);
    const IoResult made = co_await MakeDirectory(core_.io(), kept.c_str());
    if (!made.ok() && made.error() != EEXIST) co_return IoError("create directory", kept, made);
    absl::Status status = co_await SyncNames(core_, directory_.path());
    if (!status.ok()) co_return status;
    for (const ScannedCut& cut : cuts_) {
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
      LogWarning("{}: cut off at {}: {} ({}, kept in {}/{})", PathOf(cut.segment), cut.offset,
                 cut.reason, Counted(cut.bytes.size(), "byte"), kept, name);
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
    if (!PAKV_BUG(kNamespaceForgotten)) {
      next.namespaces = state_.namespaces;
      next.next_namespace = state_.next_namespace;
    }
    for (const auto& [segment, info] : state_.segments) {
      const uint64_t end = ends_.at(segment);
      if (end == 0) continue;
      SegmentInfo sealed = info;
      if (!(PAKV_BUG(kReopenTornSegment) && segment == reopened_.segment)) {
        sealed.sealed_end = end;
      }
      sealed.footer_bytes = footers_.at(segment);
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
      if (unlisted) co_await Remove(name);
    }
    co_await CutTails();
  }

  Task<void> Remove(const std::string& name) {
    const std::string path = directory_.PathOf(name);
    const IoResult unlinked = co_await UnlinkFile(core_.io(), path.c_str());
    if (unlinked.ok() || unlinked.error() == ENOENT) co_return;
    LogWarning("{}", MessageOf(IoError("remove", path, unlinked)));
  }

  // What lies behind the ends that MANIFEST says.
  Task<void> CutTails() {
    for (const auto& [segment, info] : state_.segments) {
      if (!info.sealed_end) continue;
      const uint64_t length = *info.sealed_end + info.footer_bytes;
      if (sizes_.at(segment) <= length) continue;
      const std::string path = PathOf(segment);
      absl::StatusOr<File> file = co_await OpenFile(core_, path, O_RDWR);
      if (!file.ok()) {
        LogWarning("{}", MessageOf(file.status()));
        continue;
      }
      const IoResult cut = co_await file->Truncate(length);
      if (!cut.ok()) LogWarning("{}", MessageOf(IoError("truncate", path, cut)));
      const IoResult closed = co_await file->Close();
      if (!closed.ok()) LogWarning("{}", MessageOf(IoError("close", path, closed)));
    }
  }

  Core& core_;
  const StoreDirectory& directory_;
  RecoverySink& sink_;
  const RecoveryOptions options_;
  Salvage salvage_;
  struct Loose {
    uint32_t segment = 0;
    std::optional<uint64_t> run;
    std::optional<uint64_t> end;
  };
  std::vector<Loose> loose_;  // segments whose records are copied
  std::vector<std::string> names_;
  std::vector<std::string> spares_;  // segments that MANIFEST has never mentioned
  bool manifest_is_lost_ = false;
  ManifestState state_;
  uint32_t next_segment_ = 1;
  std::map<uint32_t, uint64_t> ends_;
  std::map<uint32_t, uint64_t> sizes_;
  std::map<uint32_t, uint32_t> footers_;
  std::vector<uint32_t> unsealed_;
  std::map<uint32_t, uint32_t> checksums_;  // of their blocks, see CopySegment
  std::vector<ScannedCut> cuts_;
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
                     uint64_t segment_bytes, uint64_t segment_bytes_min) {
  LogContext context;
  context.directory = &directory;
  context.manifest = recovered.manifest.get();
  context.run = recovered.manifest->run();
  context.segment_bytes = segment_bytes;
  context.segment_bytes_min = std::min(segment_bytes, segment_bytes_min);
  context.reopened = recovered.reopened;
  return context;
}

}  // namespace pakv
