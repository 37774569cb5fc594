#include "kv/log/log_reader.h"

#include <algorithm>
#include <string>
#include <utility>

#include "kv/log/file_io.h"
#include "runtime/base/check.h"
#include "runtime/base/log.h"
#include "runtime/base/seeded_bug.h"

namespace pakv {

class LogReader::Use {
 public:
  Use(LogReader& reader, OpenSegment& entry) : entry_(entry) {
    ++entry_.users;
    entry_.Unlink();
    reader.by_use_.PushBack(entry_);
  }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;
  ~Use() { --entry_.users; }

 private:
  OpenSegment& entry_;
};

LogReader::LogReader(Core& core, const StoreDirectory& directory, size_t open_segments_max)
    : core_(core), directory_(directory), open_segments_max_(open_segments_max) {}

LogReader::~LogReader() = default;

Task<IoResult> LogReader::Open(OpenSegment& entry) {
  if (entry.opened.is_set()) co_return entry.result;
  if (entry.users > 1) {  // somebody else is at it
    co_await entry.opened.Wait();
    co_return entry.result;
  }
  const std::string path = directory_.PathOf(SegmentName(entry.segment));
  entry.result = co_await File::Open(core_.io(), path.c_str(), O_RDONLY | directory_.direct_flag());
  if (entry.result.ok()) entry.file = File(core_.io(), Handle{entry.result.value()});
  entry.opened.Set();
  co_return entry.result;
}

Task<void> LogReader::CloseUnused() {
  OpenSegment* entry = by_use_.First();
  while (segments_.size() > open_segments_max_ && entry != nullptr) {
    OpenSegment* next = by_use_.Next(*entry);
    if (entry->users == 0 && entry->opened.is_set()) {
      const auto found = segments_.find(entry->segment);
      std::unique_ptr<OpenSegment> closing = std::move(found->second);
      segments_.erase(found);
      closing->Unlink();
      if (closing->file.valid()) {
        const IoResult closed = co_await closing->file.Close();
        if (!closed.ok()) LogWarning("cannot close a segment: {}", closed.text());
        next = by_use_.First();  // others may have come and gone meanwhile
      }
    }
    entry = next;
  }
}

Task<absl::StatusOr<RecordInMemory>> LogReader::Read(Location location, uint32_t namespace_id,
                                                     std::string_view key, Lsn lsn) {
  PAKV_CHECK(location.segment != 0 && location.length >= kRecordHeaderSize);
  const std::string path = directory_.PathOf(SegmentName(location.segment));
  const uint32_t unit = directory_.alignment();
  const uint64_t begin = RoundDown(location.offset, unit);
  const uint64_t end = RoundUp(uint64_t{location.offset} + location.length, unit);
  AlignedBuffer buffer(end - begin);
  {
    std::unique_ptr<OpenSegment>& slot = segments_[location.segment];
    if (slot == nullptr) {
      slot = std::make_unique<OpenSegment>(core_.ready());
      slot->segment = location.segment;
    }
    OpenSegment& segment = *slot;
    const Use use(*this, segment);
    const IoResult opened = co_await Open(segment);
    if (!opened.ok()) {
      // The next reader tries again.
      if (segment.users == 1) segment.opened.Reset();
      if (opened.error() == ENOENT) {
        co_return Damaged(path, 0, "missing, although a key refers to it");
      }
      co_return IoErrorAt("open", path, 0, opened);
    }
    const absl::StatusOr<uint64_t> read = co_await ReadAll(segment.file, buffer.data(), end - begin,
                                                           begin, directory_.transfer_unit(), path);
    if (!read.ok()) co_return read.status();
    if (begin + *read < uint64_t{location.offset} + location.length) {
      co_return Damaged(path, location.offset, "the file ends within a record");
    }
  }
  if (segments_.size() > open_segments_max_) co_await CloseUnused();

  const std::optional<Record> record =
      DecodeRecord(Bytes(buffer.data() + (location.offset - begin), location.length));
  if (!record || record->length != location.length) {
    co_return Damaged(path, location.offset, "a record's checksum is wrong");
  }
  const RecordFields fields = record->fields;
  if (PAKV_BUG(kColdReadTrustsPlace)) co_return RecordInMemory(std::move(buffer), fields);
  if (fields.key != key || fields.lsn != lsn || fields.namespace_id != namespace_id ||
      !HoldsValue(fields.flags)) {
    co_return Damaged(path, location.offset, "a record, but not the one that was written there");
  }
  co_return RecordInMemory(std::move(buffer), fields);
}

Task<void> LogReader::CloseSegment(uint32_t segment) {
  const auto found = segments_.find(segment);
  if (found == segments_.end()) co_return;
  PAKV_CHECK(found->second->users == 0, "a read is under way");
  const std::unique_ptr<OpenSegment> closing = std::move(found->second);
  segments_.erase(found);
  closing->Unlink();
  if (!closing->file.valid()) co_return;
  const IoResult closed = co_await closing->file.Close();
  if (!closed.ok()) LogWarning("cannot close a segment: {}", closed.text());
}

Task<void> LogReader::Close() {
  while (!segments_.empty()) {
    std::unique_ptr<OpenSegment> closing = std::move(segments_.begin()->second);
    segments_.erase(segments_.begin());
    PAKV_CHECK(closing->users == 0, "a read is under way");
    if (!closing->file.valid()) continue;
    const IoResult closed = co_await closing->file.Close();
    if (!closed.ok()) LogWarning("cannot close a segment: {}", closed.text());
  }
}

}  // namespace pakv
