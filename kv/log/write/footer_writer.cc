#include "kv/log/write/footer_writer.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "kv/log/files/file_io.h"
#include "kv/log/format/key_filter.h"
#include "kv/log/format/key_hash.h"
#include "runtime/base/check.h"
#include "runtime/base/crc32c.h"
#include "runtime/base/log.h"
#include "runtime/base/seeded_bug.h"
#include "runtime/core/space.h"

namespace pakv {
namespace {

enum class Added : uint8_t { kAdded, kDamaged, kNoFooter };

}  // namespace

// A footer that is being written: its bytes go out as they come, behind the segment's end.
class FooterWriter::Draft {
 public:
  Draft(File& file, const FooterJob& job, const StoreDirectory& directory, const std::string& path)
      : file_(file), directory_(directory), path_(path), out_(kWindowBytes) {
    trailer_.run = job.run;
    trailer_.log = job.log;
    trailer_.segment = job.segment;
    trailer_.end_offset = job.end_offset;
  }

  // The records of a block.
  Added Add(const BlockHeader& header, Bytes block) {
    ++trailer_.block_count;
    trailer_.expiry_clock_ms = std::max(trailer_.expiry_clock_ms, header.expiry_clock_ms);
    BlockRecords records(block, header.record_count);
    while (const std::optional<Record> record = records.Next()) {
      const RecordFields& fields = record->fields;
      if (PAKV_BUG(kFooterWithoutDeletes) && !HoldsValue(fields.flags)) continue;
      if (!entries_.Append(fields, header.offset + records.offset())) return Added::kNoFooter;
      ++trailer_.record_count;
      trailer_.lsn_max = std::max(trailer_.lsn_max, fields.lsn);
      if (!HoldsValue(fields.flags)) continue;
      hashes_.Add(KeyHash(directory_.identity().hash_seed, fields.namespace_id, fields.key));
      trailer_.plain_lsn_min = trailer_.plain_lsn_min == kNoLsn
                                   ? fields.lsn
                                   : std::min(trailer_.plain_lsn_min, fields.lsn);
    }
    return records.BodyRight(header) ? Added::kAdded : Added::kDamaged;
  }

  // Takes the entries of what was added so far to the file.
  Task<absl::Status> WriteEntries() {
    const Bytes bytes = entries_.bytes();
    trailer_.entries_bytes += static_cast<uint32_t>(bytes.size());
    trailer_.entries_checksum = Crc32c(trailer_.entries_checksum, bytes.data(), bytes.size());
    const absl::Status status = co_await Put(bytes);
    entries_.Clear();
    co_return status;
  }

  // All entries are written: the rest, made durable. The footer's length.
  Task<absl::StatusOr<uint32_t>> Finish() {
    const std::vector<uint8_t> filter = hashes_.BuildFilter();
    trailer_.filter_bytes = static_cast<uint32_t>(filter.size());
    trailer_.filter_checksum = Crc32c(0, filter.data(), filter.size());
    const size_t bytes = FooterBytes(trailer_.entries_bytes, filter.size(), directory_.alignment());
    absl::Status status = co_await Put(filter);
    std::vector<uint8_t> rest(bytes - trailer_.entries_bytes - filter.size());
    EncodeFooterTrailer(rest.data() + rest.size() - kSectorSize, trailer_);
    if (status.ok()) status = co_await Put(rest);
    if (status.ok()) status = co_await Flush();
    if (!status.ok()) co_return status;
    PAKV_CHECK(written_ == bytes);
    const IoResult synced = co_await file_.SyncData();
    if (!synced.ok()) co_return IoError("sync", path_, synced);
    co_return static_cast<uint32_t>(bytes);
  }

  uint64_t bytes() const { return written_ + used_; }
  // The filter is made of the hashes: ten bits of each 64.
  size_t memory_bytes() const {
    return out_.size() + hashes_.memory_bytes() + hashes_.memory_bytes() / 6;
  }

 private:
  Task<absl::Status> Put(Bytes bytes) {
    while (!bytes.empty()) {
      const size_t length = std::min(bytes.size(), out_.size() - used_);
      std::memcpy(out_.data() + used_, bytes.data(), length);
      used_ += length;
      bytes = bytes.subspan(length);
      if (used_ < out_.size()) continue;
      const absl::Status status = co_await Flush();
      if (!status.ok()) co_return status;
    }
    co_return absl::OkStatus();
  }

  Task<absl::Status> Flush() {
    const absl::Status status =
        co_await WriteAll(file_, Bytes(out_.data(), used_), trailer_.end_offset + written_,
                          directory_.transfer_unit(), /*sync=*/false, path_);
    written_ += used_;
    used_ = 0;
    co_return status;
  }

  File& file_;
  const StoreDirectory& directory_;
  const std::string& path_;
  FooterTrailer trailer_;
  FooterEntries entries_;
  KeyHashes hashes_;
  AlignedBuffer out_;
  size_t used_ = 0;       // of out_
  uint64_t written_ = 0;  // of the footer
};

FooterWriter::FooterWriter(Core& core, const LogContext& context)
    : core_(core), context_(context), needed_(core.ready()), nursery_(core.ready()) {}

bool FooterWriter::Wanted(uint64_t end_offset) const {
  return end_offset > 0 && end_offset >= context_.footer_segment_bytes_min &&
         end_offset % context_.directory->alignment() == 0;
}

void FooterWriter::Add(const FooterJob& job) {
  if (!Wanted(job.end_offset)) return;
  queue_.push_back(job);
  needed_.Set();
}

Task<void> FooterWriter::Stop(uint64_t limit_ns) {
  stopping_ = true;
  deadline_ns_ = core_.now_ns() + limit_ns;
  needed_.Set();
  co_await nursery_.Join();
}

Task<void> FooterWriter::Work() {
  while (true) {
    if (queue_.empty()) {
      if (stopping_) co_return;
      needed_.Reset();
      co_await needed_.Wait();
      continue;
    }
    if (GivenUp()) co_return;
    if (!stopping_ && Busy() && queue_.size() <= kYoungMax) {
      const uint64_t until_ns = core_.now_ns() + kPauseNs;
      co_await core_.timers().SleepUntil(until_ns);
      continue;
    }
    const FooterJob job = queue_.front();
    queue_.pop_front();
    const absl::Status status = co_await Write(job);
    if (status.ok() || absl::IsCancelled(status) || absl::IsNotFound(status)) continue;
    if (absl::IsDataLoss(status)) {
      LogError("{}; found while its footer was made", MessageOf(status));
    } else {
      LogWarning("no footer: {}", MessageOf(status));
    }
  }
}

Task<absl::Status> FooterWriter::Pause() {
  if (GivenUp()) co_return absl::CancelledError("the log is being closed");
  const uint64_t completions = core_.counters().completions;
  const uint64_t since = completions - std::exchange(completions_seen_, completions);
  if (!stopping_ && (Busy() || since > kOwnCompletions)) {
    const uint64_t until_ns = core_.now_ns() + kPauseNs;
    co_await core_.timers().SleepUntil(until_ns);
  } else {
    co_await core_.ready().Yield();
  }
  co_return absl::OkStatus();
}

// The last space is for users, and for what others have claimed.
Task<bool> FooterWriter::SpaceIsShort() {
  SpaceStat space;
  const IoResult asked = co_await AskSpace(core_, context_.directory->path(), space);
  uint64_t kept_bytes = 2 * UsualSegmentBytes(context_);
  if (context_.claims != nullptr) {
    kept_bytes += context_.claims->Before(SpaceClaims::kRankOfOthers);
  }
  co_return !asked.ok() || space.free_bytes < kept_bytes;
}

Task<absl::Status> FooterWriter::Write(FooterJob job) {
  const StoreDirectory& directory = *context_.directory;
  const bool space_is_short = co_await SpaceIsShort();
  if (space_is_short) co_return absl::CancelledError("the disk is nearly full");
  const std::string path = directory.PathOf(SegmentName(job.segment));
  absl::StatusOr<File> file = co_await OpenFile(core_, path, O_RDWR | directory.direct_flag());
  if (!file.ok()) co_return file.status();
  absl::Status status;
  uint32_t footer_bytes = 0;
  {
    Draft draft(*file, job, directory, path);
    status = co_await Read(*file, job, path, draft);
    if (status.ok()) {
      const absl::StatusOr<uint32_t> finished = co_await draft.Finish();
      status = finished.status();
      if (finished.ok()) footer_bytes = *finished;
    }
  }
  draft_bytes_ = 0;
  const IoResult closed = co_await file->Close();
  if (status.ok() && !closed.ok()) status = IoError("close", path, closed);
  if (!status.ok()) co_return status;
  std::vector<ManifestEntry> entries(1);
  entries[0].type = ManifestEntry::Type::kFooter;
  entries[0].segment = job.segment;
  entries[0].footer_bytes = footer_bytes;
  status = co_await context_.manifest->Append(core_, std::move(entries));
  if (status.ok()) ++written_;
  co_return status;
}

// Reads the segment's blocks once more, each verified, in a window that moves over them.
Task<absl::Status> FooterWriter::Read(File& file, const FooterJob& job, const std::string& path,
                                      Draft& draft) {
  const StoreDirectory& directory = *context_.directory;
  AlignedBuffer window(std::min<uint64_t>(kWindowBytes, job.end_offset));
  uint64_t begin = 0;  // of what the window holds, in the segment
  uint64_t end = 0;
  uint64_t offset = 0;
  while (offset < job.end_offset) {
    uint64_t wanted = kSectorSize;
    std::optional<DecodedBlockHeader> decoded;
    if (offset + kSectorSize <= end) {
      decoded = DecodeBlockHeader(Bytes(window.data() + (offset - begin), kSectorSize));
      const bool right = decoded && decoded->header.run == job.run &&
                         decoded->header.log == job.log && decoded->header.segment == job.segment &&
                         decoded->header.offset == offset &&
                         decoded->header.length <= job.end_offset - offset;
      if (!right) co_return Damaged(path, offset, "not the block that was written there");
      wanted = decoded->header.length;
    }
    if (!decoded || offset + wanted > end) {
      begin = RoundDown(offset, directory.alignment());
      const uint64_t needed = RoundUp(offset - begin + wanted, directory.alignment());
      if (needed > window.size()) window = AlignedBuffer(needed);
      const uint64_t length = std::min<uint64_t>(window.size(), job.end_offset - begin);
      const absl::StatusOr<uint64_t> read =
          co_await ReadAll(file, window.data(), length, begin, directory.transfer_unit(), path);
      if (!read.ok()) co_return read.status();
      if (*read < length) co_return Damaged(path, begin + *read, "shorter than MANIFEST says");
      end = begin + length;
      const absl::Status paused = co_await Pause();
      if (!paused.ok()) co_return paused;
      continue;
    }
    const Bytes block(window.data() + (offset - begin), wanted);
    switch (draft.Add(decoded->header, block)) {
      case Added::kAdded:
        break;
      case Added::kDamaged:
        co_return Damaged(path, offset, "a block's body is damaged");
      case Added::kNoFooter:
        co_return absl::CancelledError("a key that is too long");
    }
    const absl::Status written = co_await draft.WriteEntries();
    if (!written.ok()) co_return written;
    if (draft.bytes() > job.end_offset / kPartMax && !context_.footers_of_any_size) {
      co_return absl::CancelledError("larger than what it would spare");
    }
    draft_bytes_ = window.size() + draft.memory_bytes();
    offset += wanted;
  }
  co_return absl::OkStatus();
}

}  // namespace pakv
