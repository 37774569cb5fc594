#include "kv/log/read/scan.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "kv/log/files/file_io.h"
#include "kv/log/read/footer.h"
#include "runtime/base/check.h"
#include "runtime/base/crc32c.h"
#include "runtime/base/log.h"
#include "runtime/task/nursery.h"

namespace pakv {
namespace {

// Blocks judged before others on this core have their turn; several turns fit one pass.
constexpr uint64_t kJudgeBytesMax = uint64_t{1} << 20;

// One file that several tasks read side by side, each a piece at a time.
struct PiecewiseRead {
  File& file;
  uint8_t* data;
  uint64_t length;
  uint64_t piece_bytes;
  uint32_t unit;
  const std::string& path;

  uint64_t next = 0;    // where the next piece begins
  uint64_t end = 0;     // the file's, as far as it was met
  absl::Status status;  // of the first piece, by offset, that failed
  uint64_t failed_at = 0;
};

Task<void> ReadPieces(PiecewiseRead& read) {
  while (read.next < read.length && read.status.ok()) {
    const uint64_t begin = read.next;
    const uint64_t length = std::min(read.piece_bytes, read.length - begin);
    read.next += length;
    const absl::StatusOr<uint64_t> got =
        co_await ReadAll(read.file, read.data + begin, length, begin, read.unit, read.path);
    if (!got.ok()) {
      if (read.status.ok() || begin < read.failed_at) {
        read.status = got.status();
        read.failed_at = begin;
      }
    } else if (*got < length) {
      read.end = std::min(read.end, begin + *got);
    }
  }
}

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

uint64_t BytesToRead(const SegmentInfo& info) { return info.sealed_end.value_or(info.size); }
bool HasFooter(const SegmentInfo& info) { return info.sealed_end && info.footer_bytes != 0; }

}  // namespace

void ScanTotals::Add(const ScanTotals& other) {
  blocks += other.blocks;
  records += other.records;
  block_bytes += other.block_bytes;
  footers += other.footers;
  lsn_max = std::max(lsn_max, other.lsn_max);
  expiry_clock_ms = std::max(expiry_clock_ms, other.expiry_clock_ms);
}

Task<absl::StatusOr<Bytes>> ReadSegment(Core& here, const StoreDirectory& directory,
                                        const SegmentInfo& info, uint64_t read_bytes,
                                        AlignedBuffer& memory, uint64_t& file_bytes) {
  const std::string path = directory.PathOf(SegmentName(info.segment));
  absl::StatusOr<File> file = co_await OpenFile(here, path, O_RDONLY | directory.direct_flag());
  if (absl::IsNotFound(file.status())) {
    co_return Damaged(path, 0, "missing, although MANIFEST lists it");
  }
  if (!file.ok()) co_return file.status();
  const uint64_t wanted = BytesToRead(info);
  const uint64_t padded = RoundUp(wanted, directory.alignment());
  if (memory.size() < padded || !memory.valid()) {
    memory = AlignedBuffer(std::max<uint64_t>(padded, directory.alignment()));
  }
  PiecewiseRead read{.file = *file,
                     .data = memory.data(),
                     .length = padded,
                     .piece_bytes = read_bytes,
                     .unit = directory.transfer_unit(),
                     .path = path,
                     .end = padded,
                     .status = {}};
  FileStat stat;
  const IoResult stated = co_await file->Stat(stat);
  if (!stated.ok()) {
    read.status = IoError("stat", path, stated);
  } else {
    Nursery nursery(here.ready());
    for (uint32_t i = 0; i < LogScan::kReadsPerWorker; ++i) nursery.Spawn(ReadPieces(read));
    co_await nursery.Join();
  }
  const IoResult closed = co_await file->Close();
  if (read.status.ok() && !closed.ok()) read.status = IoError("close", path, closed);
  if (!read.status.ok()) co_return read.status;
  if (read.end < wanted) co_return Damaged(path, read.end, "shorter than MANIFEST says");
  file_bytes = stat.size_bytes;
  co_return Bytes(memory.data(), wanted);
}

struct LogScan::Unit {
  std::vector<const SegmentInfo*> infos;
  // Once it was scanned.
  absl::Status status;
  ScanTotals totals;
  std::vector<ScannedSegment> segments;
  std::vector<ScannedCut> cuts;

  // Of segments that are read whole: what memory has to hold.
  uint64_t segment_bytes() const {
    uint64_t sum = 0;
    for (const SegmentInfo* info : infos) sum += BytesToRead(*info);
    return sum;
  }
  // Read if all footers are right.
  uint64_t bytes() const { return HasFooter(*infos[0]) ? infos[0]->footer_bytes : segment_bytes(); }
};

// Scans units one after another on its core. Touches nothing of the scan but what is constant, its
// own units, and the atomics.
class LogScan::Worker {
 public:
  Worker(LogScan& scan, Core& here) : scan_(scan), here_(here) {}

  Task<void> Run() {
    while (Unit* unit = scan_.NextUnit()) {
      unit->status = co_await Scan(*unit);
      if (unit->status.ok() || scan_.LeavesOut(unit->status)) continue;
      scan_.failed_.store(true, std::memory_order_relaxed);
    }
  }

 private:
  bool cancelled() const {
    const std::atomic<bool>* cancel = scan_.options_.cancel;
    return cancel != nullptr && cancel->load(std::memory_order_relaxed);
  }

  Task<absl::Status> Scan(Unit& unit) {
    bool done = false;
    absl::Status status;
    if (HasFooter(*unit.infos[0])) status = co_await ScanFooter(unit, done);
    if (status.ok() && !done) status = co_await ScanBlocks(unit);
    scan_.Done(here_, unit.bytes());
    co_return status;
  }

  // Sets `done` if the footer is right and its records are delivered.
  Task<absl::Status> ScanFooter(Unit& unit, bool& done) {
    if (cancelled()) co_return absl::CancelledError("asked to stop");
    if (memory_.empty()) memory_.resize(1);
    const SegmentInfo& info = *unit.infos[0];
    const absl::StatusOr<SegmentFooter> found =
        co_await ReadFooter(here_, scan_.directory_, info, memory_[0]);
    if (!found.ok()) co_return found.status();
    if (!found->footer) {
      LogWarning("{}: its footer is damaged; the segment is read whole",
                 scan_.directory_.PathOf(SegmentName(info.segment)));
      co_return absl::OkStatus();
    }
    const FooterTrailer& trailer = found->footer->trailer;
    unit.totals.footers = 1;
    unit.totals.blocks = trailer.block_count;
    unit.totals.block_bytes = trailer.end_offset;
    unit.totals.records = trailer.record_count;
    unit.totals.lsn_max = trailer.lsn_max;
    unit.totals.expiry_clock_ms = trailer.expiry_clock_ms;
    unit.segments.push_back({.segment = info.segment,
                             .end = trailer.end_offset,
                             .file_bytes = found->file_bytes,
                             .sealed = true,
                             .footer_bytes = info.footer_bytes});
    batch_.clear();
    FooterEntriesReader entries(found->footer->entries, trailer.end_offset);
    while (const auto entry = entries.Next()) {
      batch_.push_back(
          {.location = {.segment = info.segment, .offset = entry->offset, .length = entry->length},
           .fields = entry->fields});
      if (batch_.size() < RecoverySink::kRecordsMax) continue;
      const absl::Status status = co_await Flush();
      if (!status.ok()) co_return status;
    }
    done = true;
    if (batch_.empty()) co_return absl::OkStatus();
    co_return co_await Flush();
  }

  Task<absl::Status> ScanBlocks(Unit& unit) {
    std::vector<JudgedSegment> segments;
    if (memory_.size() < unit.infos.size()) memory_.resize(unit.infos.size());
    for (size_t i = 0; i < unit.infos.size(); ++i) {
      if (cancelled()) co_return absl::CancelledError("asked to stop");
      const SegmentInfo& info = *unit.infos[i];
      ScannedSegment& scanned = unit.segments.emplace_back();
      scanned.segment = info.segment;
      scanned.sealed = info.sealed_end.has_value();
      const absl::StatusOr<Bytes> bytes = co_await ReadSegment(
          here_, scan_.directory_, info, scan_.options_.read_bytes, memory_[i], scanned.file_bytes);
      if (!bytes.ok()) co_return bytes.status();
      segments.push_back({.segment = info.segment,
                          .first_sequence = info.first_sequence,
                          .first_chain = info.first_chain,
                          .sealed_end = info.sealed_end,
                          .bytes = *bytes});
    }
    const JudgedLog log{.run = unit.infos[0]->run, .log = unit.infos[0]->log, .segments = segments};
    BlockCollector collector;
    LogJudge judge(log, &collector);
    while (!judge.Advance(kJudgeBytesMax)) co_await here_.ready().Yield();
    const Judgement judgement = judge.TakeResult();
    if (judgement.outcome == Judgement::Outcome::kCorrupt) {
      co_return Damaged(scan_.directory_.PathOf(SegmentName(judgement.segment)), judgement.offset,
                        judgement.reason);
    }
    unit.totals.expiry_clock_ms = collector.expiry_clock_ms;
    for (size_t i = 0; i < segments.size(); ++i) {
      const uint64_t end = judgement.ends[i].end;
      if (segments[i].sealed_end.value_or(end) != end) {
        co_return Damaged(scan_.directory_.PathOf(SegmentName(segments[i].segment)), end,
                          "blocks are missing before this segment of the log");
      }
      NoteEnd(unit, unit.segments[i], judgement.ends[i], segments[i].bytes, judgement);
      ScannedSegment& scanned = unit.segments[i];
      if (scanned.sealed || scan_.directory_.direct()) continue;
      for (uint64_t at = 0; at < scanned.end; at += kJudgeBytesMax) {
        scanned.checksum = Crc32c(scanned.checksum, segments[i].bytes.data() + at,
                                  std::min(scanned.end - at, kJudgeBytesMax));
        co_await here_.ready().Yield();
      }
    }
    co_return co_await Deliver(unit, collector.blocks);
  }

  static void NoteEnd(Unit& unit, ScannedSegment& scanned, const Judgement::End& end, Bytes bytes,
                      const Judgement& judgement) {
    const bool torn = judgement.outcome == Judgement::Outcome::kTorn;
    scanned.end = end.end;
    if (scanned.sealed) return;
    scanned.torn = torn;
    if (end.cut_end == end.end) return;
    const Bytes rest = bytes.subspan(end.end, end.cut_end - end.end);
    unit.cuts.push_back({.segment = scanned.segment,
                         .offset = end.end,
                         .bytes = std::vector<uint8_t>(rest.begin(), rest.end()),
                         .reason = std::string(torn ? judgement.reason : "behind the log's end")});
  }

  Task<absl::Status> Deliver(Unit& unit, const std::vector<BlockCollector::Found>& blocks) {
    batch_.clear();
    for (const BlockCollector::Found& found : blocks) {
      ++unit.totals.blocks;
      unit.totals.block_bytes += found.block.size();
      BlockRecords records(found.block, found.record_count);
      while (const std::optional<Record> record = records.Next()) {
        ++unit.totals.records;
        unit.totals.lsn_max = std::max(unit.totals.lsn_max, record->fields.lsn);
        batch_.push_back({.location = {.segment = found.segment,
                                       .offset = found.offset + records.offset(),
                                       .length = record->length},
                          .fields = record->fields});
        if (batch_.size() < RecoverySink::kRecordsMax) continue;
        const absl::Status status = co_await Flush();
        if (!status.ok()) co_return status;
      }
    }
    if (batch_.empty()) co_return absl::OkStatus();
    co_return co_await Flush();
  }

  Task<absl::Status> Flush() {
    if (cancelled()) co_return absl::CancelledError("asked to stop");
    const absl::Status status = co_await scan_.sink_.Take(here_, batch_);
    batch_.clear();
    co_return status;
  }

  LogScan& scan_;
  Core& here_;
  std::vector<AlignedBuffer> memory_;  // used again for the next unit of the same size or less
  std::vector<RecoveredRecord> batch_;
};

LogScan::LogScan(Core& core, const StoreDirectory& directory, const ManifestState& manifest,
                 RecoverySink& sink, const ScanOptions& options)
    : core_(core), directory_(directory), manifest_(manifest), sink_(sink), options_(options) {
  PAKV_CHECK(options.read_bytes > 0 && options.read_bytes % kDirectAlignment == 0);
  ListUnits();
}

LogScan::~LogScan() = default;

void LogScan::ListUnits() {
  std::map<std::pair<uint64_t, uint32_t>, std::vector<const SegmentInfo*>> logs;
  for (const auto& [segment, info] : manifest_.segments) {
    logs[{info.run, info.log}].push_back(&info);
  }
  for (auto& [log, segments] : logs) {
    // Numbers do not tell the order: a large segment may have been made after one that is used
    // later. Two with one first sequence: the earlier one stayed empty.
    std::sort(segments.begin(), segments.end(), [](const auto* left, const auto* right) {
      return std::pair(left->first_sequence, left->place) <
             std::pair(right->first_sequence, right->place);
    });
    auto begin = segments.begin();
    while (begin != segments.end()) {
      const auto end = (*begin)->sealed_end ? begin + 1 : segments.end();
      units_.emplace_back().infos.assign(begin, end);
      total_bytes_ += units_.back().bytes();
      begin = end;
    }
  }
}

uint32_t LogScan::WorkerCount() const {
  uint64_t largest = 1;
  for (const Unit& unit : units_) largest = std::max(largest, unit.segment_bytes());
  const uint64_t workers = std::min<uint64_t>(uint64_t{core_.count()} * kWorkersPerCore,
                                              options_.memory_bytes_max / largest);
  return static_cast<uint32_t>(
      std::clamp<uint64_t>(workers, 1, std::max<size_t>(units_.size(), 1)));
}

LogScan::Unit* LogScan::NextUnit() {
  if (failed_.load(std::memory_order_relaxed)) return nullptr;
  const size_t index = next_unit_.fetch_add(1, std::memory_order_relaxed);
  return index < units_.size() ? &units_[index] : nullptr;
}

// Any core: so many bytes more were read and judged.
void LogScan::Done(Core& here, uint64_t bytes) {
  const uint64_t done = done_bytes_.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  if (options_.progress != nullptr) options_.progress->done_bytes.store(done);
  if (!options_.logs_progress) return;
  uint64_t due_ns = report_ns_.load(std::memory_order_relaxed);
  if (here.now_ns() < due_ns || done == total_bytes_) return;
  if (!report_ns_.compare_exchange_strong(due_ns, here.now_ns() + kReportNs)) return;
  LogInfo("{}: recovering, {} % of {} MiB read", directory_.path(), done * 100 / total_bytes_,
          total_bytes_ >> 20);
}

Task<void> LogScan::RunWorker(uint32_t target) {
  const auto work = [](LogScan* scan, Core& there) -> Task<bool> {
    Worker worker(*scan, there);
    co_await worker.Run();
    co_return true;
  };
  const bool ended =
      co_await core_.CallTaskOn(target, [this, work](Core& there) { return work(this, there); });
  PAKV_CHECK(ended);
}

Task<absl::Status> LogScan::Run() {
  report_ns_.store(core_.now_ns() + kReportNs, std::memory_order_relaxed);
  if (options_.progress != nullptr) options_.progress->total_bytes.store(total_bytes_);
  {
    Nursery nursery(core_.ready());
    const uint32_t workers = WorkerCount();
    for (uint32_t i = 0; i < workers; ++i) nursery.Spawn(RunWorker(i % core_.count()));
    co_await nursery.Join();
  }
  for (Unit& unit : units_) {
    if (LeavesOut(unit.status)) {
      Damage& damage = damages_.emplace_back();
      damage.why = unit.status;
      for (const SegmentInfo* info : unit.infos) damage.segments.push_back(*info);
      continue;
    }
    if (!unit.status.ok()) co_return unit.status;
    totals_.Add(unit.totals);
    for (const ScannedSegment& segment : unit.segments) segments_.push_back(segment);
    for (ScannedCut& cut : unit.cuts) cuts_.push_back(std::move(cut));
  }
  co_return absl::OkStatus();
}

}  // namespace pakv
