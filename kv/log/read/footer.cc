#include "kv/log/read/footer.h"

#include <algorithm>
#include <string>

#include "kv/log/files/file_io.h"
#include "runtime/base/check.h"
#include "runtime/base/crc32c.h"
#include "runtime/base/seeded_bug.h"

namespace pakv {
namespace {

// Entries checked before others on this core have their turn.
constexpr uint32_t kCheckEntriesMax = 32 << 10;

bool IsOf(const FooterTrailer& trailer, const SegmentInfo& info) {
  return trailer.run == info.run && trailer.log == info.log && trailer.segment == info.segment &&
         trailer.end_offset == info.sealed_end;
}

// Some bytes of a file, in `memory`, which is as large as direct I/O needs it; empty if the file
// does not reach as far.
Task<absl::StatusOr<Bytes>> ReadPart(File& file, const StoreDirectory& directory, uint64_t begin,
                                     uint64_t length, const std::string& path,
                                     AlignedBuffer& memory) {
  const uint64_t unit = directory.alignment();
  const uint64_t read_begin = RoundDown(begin, unit);
  const uint64_t read_length = RoundUp(begin + length, unit) - read_begin;
  if (!memory.valid() || memory.size() < read_length) memory = AlignedBuffer(read_length);
  const absl::StatusOr<uint64_t> got = co_await ReadAll(
      file, memory.data(), read_length, read_begin, directory.transfer_unit(), path);
  if (!got.ok()) co_return got.status();
  if (*got < begin - read_begin + length) co_return Bytes();
  co_return Bytes(memory.data() + (begin - read_begin), length);
}

Task<absl::StatusOr<std::optional<FooterSummary>>> ReadSummary(File& file,
                                                               const StoreDirectory& directory,
                                                               const SegmentInfo& info,
                                                               const std::string& path) {
  AlignedBuffer memory;
  const uint64_t end = *info.sealed_end + info.footer_bytes;
  const absl::StatusOr<Bytes> last =
      co_await ReadPart(file, directory, end - kSectorSize, kSectorSize, path, memory);
  if (!last.ok()) co_return last.status();
  const std::optional<FooterTrailer> trailer =
      last->empty() ? std::nullopt : DecodeFooterTrailer(*last);
  if (!trailer || !IsOf(*trailer, info)) co_return std::nullopt;
  const uint64_t body = info.footer_bytes - kSectorSize;
  if (trailer->entries_bytes > body || trailer->filter_bytes > body - trailer->entries_bytes) {
    co_return std::nullopt;
  }
  const absl::StatusOr<Bytes> filter =
      co_await ReadPart(file, directory, *info.sealed_end + trailer->entries_bytes,
                        trailer->filter_bytes, path, memory);
  if (!filter.ok()) co_return filter.status();
  const bool right = filter->size() == trailer->filter_bytes &&
                     (PAKV_BUG(kFooterChecksumIgnored) ||
                      Crc32c(0, filter->data(), filter->size()) == trailer->filter_checksum);
  if (!right) co_return std::nullopt;
  FooterSummary summary;
  summary.plain_lsn_min = trailer->plain_lsn_min;
  summary.filter.assign(filter->begin(), filter->end());
  co_return summary;
}

}  // namespace

Task<absl::StatusOr<SegmentFooter>> ReadFooter(Core& here, const StoreDirectory& directory,
                                               const SegmentInfo& info, AlignedBuffer& memory) {
  PAKV_CHECK(info.sealed_end.has_value() && info.footer_bytes != 0);
  const std::string path = directory.PathOf(SegmentName(info.segment));
  absl::StatusOr<File> file = co_await OpenFile(here, path, O_RDONLY | directory.direct_flag());
  if (absl::IsNotFound(file.status())) {
    co_return Damaged(path, 0, "missing, although MANIFEST lists it");
  }
  if (!file.ok()) co_return file.status();
  const uint64_t end = *info.sealed_end;
  const uint64_t begin = RoundDown(end, directory.alignment());
  const uint64_t length = RoundUp(end + info.footer_bytes, directory.alignment()) - begin;
  if (!memory.valid() || memory.size() < length) memory = AlignedBuffer(length);
  FileStat stat;
  absl::Status status;
  uint64_t got = 0;
  const IoResult stated = co_await file->Stat(stat);
  if (!stated.ok()) status = IoError("stat", path, stated);
  if (status.ok()) {
    const absl::StatusOr<uint64_t> read =
        co_await ReadAll(*file, memory.data(), length, begin, directory.transfer_unit(), path);
    status = read.status();
    if (read.ok()) got = *read;
  }
  const IoResult closed = co_await file->Close();
  if (status.ok() && !closed.ok()) status = IoError("close", path, closed);
  if (!status.ok()) co_return status;
  SegmentFooter found;
  found.file_bytes = stat.size_bytes;
  if (stat.size_bytes < end) co_return Damaged(path, stat.size_bytes, "shorter than MANIFEST says");
  if (got < end - begin + info.footer_bytes) co_return found;
  const std::optional<DecodedFooter> footer =
      DecodeFooter(Bytes(memory.data() + (end - begin), info.footer_bytes));
  if (!footer) co_return found;
  if (!IsOf(footer->trailer, info)) co_return found;
  FooterCheck check(*footer);
  while (!check.Advance(kCheckEntriesMax)) co_await here.ready().Yield();
  if (check.right()) found.footer = footer;
  co_return found;
}

Task<absl::StatusOr<std::optional<FooterSummary>>> ReadFooterSummary(
    Core& here, const StoreDirectory& directory, const SegmentInfo& info) {
  PAKV_CHECK(info.sealed_end.has_value());
  if (info.footer_bytes < kSectorSize) co_return std::nullopt;
  const std::string path = directory.PathOf(SegmentName(info.segment));
  absl::StatusOr<File> file = co_await OpenFile(here, path, O_RDONLY | directory.direct_flag());
  if (!file.ok()) co_return file.status();
  absl::StatusOr<std::optional<FooterSummary>> summary =
      co_await ReadSummary(*file, directory, info, path);
  const IoResult closed = co_await file->Close();
  if (summary.ok() && !closed.ok()) co_return IoError("close", path, closed);
  co_return std::move(summary);
}

}  // namespace pakv
