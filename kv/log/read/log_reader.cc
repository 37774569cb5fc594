#include "kv/log/read/log_reader.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "kv/log/files/file_io.h"
#include "runtime/base/check.h"
#include "runtime/base/log.h"
#include "runtime/base/seeded_bug.h"

namespace pakv {
namespace {

// Whether a record that holds a value refers to this file, or to none if its number is 0.
bool RefersTo(const RecordFields& fields, const ValueFileHead& file) {
  if ((fields.flags & kRecordFile) == 0) return file.file == 0;
  const std::optional<ValueReference> reference = ValueReference::Decode(fields.value);
  return reference && reference->file() == file.file && reference->length() == file.length;
}

}  // namespace

class LogReader::Use {
 public:
  Use(LogReader& reader, OpenSegment& entry) : reader_(reader), entry_(entry) {}
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;
  ~Use() {
    if (--entry_.users == 0 && reader_.waiting_ > 0) reader_.left_.Set();
  }

 private:
  LogReader& reader_;
  OpenSegment& entry_;
};

LogReader::LogReader(Core& core, const StoreDirectory& directory, size_t open_segments_max)
    : core_(core),
      directory_(directory),
      open_segments_max_(open_segments_max),
      turn_(core.ready(), 1),
      left_(core.ready()) {
  PAKV_CHECK(open_segments_max > 0);
}

LogReader::~LogReader() = default;

// The segment's place, with one user more; nullptr: all are in use. If another segment had to go
// for it, its file is `leaving`, to be closed before this one is opened.
LogReader::OpenSegment* LogReader::TakePlace(uint32_t segment, File& leaving) {
  OpenSegment* place = nullptr;
  if (const auto found = segments_.find(segment); found != segments_.end()) {
    place = found->second.get();
    place->Unlink();
  } else {
    if (segments_.size() >= open_segments_max_) {
      OpenSegment* unused = by_use_.First();
      while (unused != nullptr && unused->users > 0) unused = by_use_.Next(*unused);
      if (unused == nullptr) return nullptr;
      leaving = std::move(unused->file);
      unused->Unlink();
      const uint32_t gone = unused->segment;
      segments_.erase(gone);
    }
    std::unique_ptr<OpenSegment>& slot = segments_[segment];
    slot = std::make_unique<OpenSegment>(core_.ready());
    place = slot.get();
    place->segment = segment;
  }
  by_use_.PushBack(*place);
  ++place->users;
  return place;
}

// Whoever comes meanwhile waits behind, also for a segment that is open: else those whose segment
// is not would never have their turn.
Task<LogReader::OpenSegment*> LogReader::WaitForPlace(uint32_t segment, File& leaving) {
  ++waiting_;
  const bool granted = co_await turn_.Acquire();
  PAKV_CHECK(granted, "nothing stops this wait");
  OpenSegment* place = TakePlace(segment, leaving);
  while (place == nullptr) {
    left_.Reset();
    co_await left_.Wait();
    place = TakePlace(segment, leaving);
  }
  --waiting_;
  turn_.Release();
  co_return place;
}

Task<IoResult> LogReader::Open(OpenSegment& entry, File leaving) {
  const bool opens = !entry.opening && !entry.opened.is_set();
  if (opens) entry.opening = true;
  if (leaving.valid()) {
    const IoResult closed = co_await leaving.Close();
    if (!closed.ok()) LogWarning("cannot close a segment: {}", closed.text());
  }
  if (!opens) {
    co_await entry.opened.Wait();
    co_return entry.result;
  }
  const std::string path = directory_.PathOf(SegmentName(entry.segment));
  entry.result = co_await File::Open(core_.io(), path.c_str(), O_RDONLY | directory_.direct_flag());
  if (entry.result.ok()) entry.file = File(core_.io(), Handle{entry.result.value()});
  entry.opening = false;
  entry.opened.Set();
  co_return entry.result;
}

Task<absl::StatusOr<RecordInMemory>> LogReader::Read(Location location, uint32_t namespace_id,
                                                     std::string_view key, Lsn lsn,
                                                     ValueFileHead file) {
  PAKV_CHECK(location.segment != 0 && location.length >= kRecordHeaderSize);
  const std::string path = directory_.PathOf(SegmentName(location.segment));
  const uint32_t unit = directory_.alignment();
  const uint64_t begin = RoundDown(location.offset, unit);
  const uint64_t end = RoundUp(uint64_t{location.offset} + location.length, unit);
  File leaving;
  OpenSegment* place = nullptr;
  if (waiting_ == 0) place = TakePlace(location.segment, leaving);
  if (place == nullptr) place = co_await WaitForPlace(location.segment, leaving);
  AlignedBuffer buffer;
  {
    OpenSegment& segment = *place;
    const Use use(*this, segment);
    const IoResult opened = co_await Open(segment, std::move(leaving));
    if (!opened.ok()) {
      // The next reader tries again.
      if (segment.users == 1) segment.opened.Reset();
      if (opened.error() == ENOENT) {
        co_return Damaged(path, 0, "missing, although a key refers to it");
      }
      co_return IoErrorAt("open", path, 0, opened);
    }
    buffer = AlignedBuffer(end - begin);
    const absl::StatusOr<uint64_t> read = co_await ReadAll(segment.file, buffer.data(), end - begin,
                                                           begin, directory_.transfer_unit(), path);
    if (!read.ok()) co_return read.status();
    if (begin + *read < uint64_t{location.offset} + location.length) {
      co_return Damaged(path, location.offset, "the file ends within a record");
    }
  }

  const std::optional<Record> record =
      DecodeRecord(Bytes(buffer.data() + (location.offset - begin), location.length));
  if (!record || record->length != location.length) {
    co_return Damaged(path, location.offset, "a record's checksum is wrong");
  }
  const RecordFields fields = record->fields;
  if (PAKV_BUG(kColdReadTrustsPlace)) co_return RecordInMemory(std::move(buffer), fields);
  if (fields.key != key || fields.lsn != lsn || fields.namespace_id != namespace_id ||
      !HoldsValue(fields.flags) || !RefersTo(fields, file)) {
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
