#include "kv/log/footer.h"

#include <algorithm>
#include <string>

#include "kv/log/file_io.h"
#include "runtime/base/check.h"

namespace pakv {
namespace {

// Entries checked before others on this core have their turn.
constexpr uint32_t kCheckEntriesMax = 32 << 10;

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
  const FooterTrailer& trailer = footer->trailer;
  if (trailer.run != info.run || trailer.log != info.log || trailer.segment != info.segment ||
      trailer.end_offset != end) {
    co_return found;
  }
  FooterCheck check(*footer);
  while (!check.Advance(kCheckEntriesMax)) co_await here.ready().Yield();
  if (check.right()) found.footer = footer;
  co_return found;
}

}  // namespace pakv
