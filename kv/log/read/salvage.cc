#include "kv/log/read/salvage.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "kv/log/files/file_io.h"
#include "kv/log/format/block_builder.h"
#include "kv/log/format/format_value_file.h"
#include "runtime/base/check.h"
#include "runtime/base/counted.h"
#include "runtime/base/log.h"
#include "runtime/base/seeded_bug.h"

namespace pakv {
namespace {

// A damaged segment is read whole.
constexpr uint64_t kFileBytesMax = kSegmentBytesMax;
// Records that share a new block.
constexpr size_t kBlockBytes = size_t{256} << 10;
// Keys of people's own are shown up to here.
constexpr size_t kKeyShownMax = 64;
// UNFINISHED, for whoever looks.
constexpr std::string_view kUnfinishedText =
    "A start with --salvage has not ended here. The next start moves the value files that no key\n"
    "refers to into this directory, and removes this file.\n";

std::string Printable(const std::string& key) {
  std::string text;
  for (const char c : key.substr(0, kKeyShownMax)) {
    text += c >= ' ' && c <= '~' ? c : '.';
  }
  return key.size() > kKeyShownMax ? text + "..." : text;
}

}  // namespace

Task<absl::Status> MakeSalvageDirectory(Core& core, const StoreDirectory& directory) {
  const std::string path = directory.PathOf(kSalvageName);
  const IoResult made = co_await MakeDirectory(core.io(), path.c_str());
  if (!made.ok() && made.error() != EEXIST) co_return IoError("create directory", path, made);
  co_return co_await SyncNames(core, directory.path());
}

void Salvage::Note(const absl::Status& why) {
  LogWarning("salvage: {}", MessageOf(why));
  findings_.push_back(MessageOf(why));
}

Task<absl::Status> Salvage::Keep(const std::string& name) {
  absl::StatusOr<std::vector<uint8_t>> bytes =
      co_await ReadWholeFile(core_, directory_.PathOf(name), kFileBytesMax);
  if (absl::IsNotFound(bytes.status())) co_return absl::OkStatus();
  if (!bytes.ok()) co_return bytes.status();
  const absl::Status made = co_await MakeSalvageDirectory(core_, directory_);
  if (!made.ok()) co_return made;
  co_return co_await WriteWholeFile(core_, directory_.PathOf(kSalvageName), name, *bytes);
}

Task<absl::Status> Salvage::MarkUnfinished() {
  if (findings_.empty() || PAKV_BUG(kSalvageNotMarked)) co_return absl::OkStatus();
  const absl::Status made = co_await MakeSalvageDirectory(core_, directory_);
  if (!made.ok()) co_return made;
  const std::string name(kUnfinishedName);
  const Bytes text(reinterpret_cast<const uint8_t*>(kUnfinishedText.data()),
                   kUnfinishedText.size());
  co_return co_await WriteWholeFile(core_, directory_.PathOf(kSalvageName), name, text);
}

Task<absl::Status> Salvage::Take(uint32_t segment, std::optional<uint64_t> run,
                                 std::optional<uint64_t> end, uint32_t& next_segment) {
  const std::string name = SegmentName(segment);
  const std::string path = directory_.PathOf(name);
  absl::StatusOr<std::vector<uint8_t>> bytes = co_await ReadWholeFile(core_, path, kFileBytesMax);
  if (absl::IsNotFound(bytes.status())) {
    Note(Damaged(path, 0, "missing: nothing is left of what it held"));
    co_return absl::OkStatus();
  }
  if (!bytes.ok()) co_return bytes.status();
  // A spare that was never used.
  if (!end && AllZero(*bytes)) co_return absl::OkStatus();
  const absl::Status kept = co_await Keep(name);
  if (!kept.ok()) co_return kept;
  const SalvagedSegment found = SalvageSegment(*bytes, segment, run, end);
  List(path, found);
  expiry_clock_ms_ = std::max(expiry_clock_ms_, found.expiry_clock_ms);
  for (const Record& record : found.records) {
    lsn_max_ = std::max(lsn_max_, record.fields.lsn);
    if (record.fields.flags != kRecordFile) continue;
    const std::optional<ValueFileHead> head = DecodeValueFileHead(record.fields.value);
    if (head) value_file_max_ = std::max(value_file_max_, head->file);
  }
  records_ += found.records.size();
  if (found.records.empty()) co_return absl::OkStatus();
  co_return co_await Write(found, next_segment++);
}

void Salvage::List(const std::string& path, const SalvagedSegment& found) {
  for (const DamagedPlace& place : found.places) {
    std::string text = path + ": damaged at " + std::to_string(place.offset) + ": " + place.what;
    if (place.bytes > 0) {
      text += "; " + Counted(place.bytes, "byte") + (place.bytes == 1 ? " is lost" : " are lost");
    }
    if (!place.key.empty()) text += "; of a record of key '" + Printable(place.key) + "'";
    LogWarning("salvage: {}", text);
    findings_.push_back(std::move(text));
  }
  const size_t copied = found.records.size();
  std::string kept = path + ": " + Counted(copied, "record") + (copied == 1 ? " was" : " were") +
                     " copied out of it; the file is kept in " + directory_.PathOf(kSalvageName);
  LogWarning("salvage: {}", kept);
  findings_.push_back(std::move(kept));
}

// A segment of these records alone, whole and sealed.
Task<absl::Status> Salvage::Write(const SalvagedSegment& found, uint32_t segment) {
  const std::vector<Record>& records = found.records;
  const uint32_t alignment = directory_.alignment();
  SegmentInfo info;
  info.segment = segment;
  info.run = run_;
  // Behind the logs of the cores and compaction's.
  info.log = core_.count() + 1;
  info.kind = SegmentKind::kCompaction;
  info.first_sequence = sequence_;
  info.first_chain = chain_;
  std::vector<size_t> block_ends;  // by record
  uint64_t total = 0;
  for (size_t begin = 0; begin < records.size();) {
    size_t bytes = records[begin].length;
    size_t end = begin + 1;
    while (end < records.size() && bytes + records[end].length <= kBlockBytes) {
      bytes += records[end++].length;
    }
    total += RoundUp(kBlockHeaderSize + bytes, alignment);
    block_ends.push_back(end);
    begin = end;
  }
  const AlignedBuffer buffer(total);
  std::vector<uint32_t> offsets;
  uint64_t at = 0;
  size_t begin = 0;
  for (const size_t end : block_ends) {
    size_t bytes = 0;
    for (size_t i = begin; i < end; ++i) bytes += records[i].length;
    const size_t length = RoundUp(kBlockHeaderSize + bytes, alignment);
    BlockBuilder builder(std::span(buffer.data() + at, length), alignment);
    for (size_t i = begin; i < end; ++i) {
      offsets.push_back(static_cast<uint32_t>(at) + builder.Append(records[i].fields));
    }
    const BlockBuilder::Sealed sealed = builder.Seal({.run = run_,
                                                      .log = info.log,
                                                      .segment = segment,
                                                      .offset = static_cast<uint32_t>(at),
                                                      .sequence = sequence_,
                                                      .known_durable = sequence_ - 1,
                                                      .expiry_clock_ms = expiry_clock_ms_,
                                                      .chain = chain_});
    PAKV_CHECK(sealed.bytes.size() == length);
    ++sequence_;
    chain_ = sealed.checksum;
    at += length;
    begin = end;
  }
  info.size = at;
  info.sealed_end = at;
  absl::Status status = co_await WriteWholeFile(core_, directory_.path(), SegmentName(segment),
                                                Bytes(buffer.data(), at));
  if (!status.ok()) co_return status;
  segments_.emplace(segment, info);
  co_return co_await Deliver(found, segment, offsets);
}

Task<absl::Status> Salvage::Deliver(const SalvagedSegment& found, uint32_t segment,
                                    const std::vector<uint32_t>& offsets) {
  std::vector<RecoveredRecord> batch;
  for (size_t i = 0; i < found.records.size(); ++i) {
    const Record& record = found.records[i];
    batch.push_back(
        {.location = {.segment = segment, .offset = offsets[i], .length = record.length},
         .fields = record.fields});
    if (batch.size() < RecoverySink::kRecordsMax && i + 1 < found.records.size()) continue;
    const absl::Status status = co_await sink_.Take(core_, batch);
    if (!status.ok()) co_return status;
    batch.clear();
  }
  co_return absl::OkStatus();
}

}  // namespace pakv
