#include "kv/log/write/segment_supply.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "kv/log/files/file_io.h"
#include "runtime/base/check.h"
#include "runtime/base/coverage.h"
#include "runtime/base/log.h"
#include "runtime/core/space.h"

namespace pakv {
namespace {

// Zeros written at a time: short enough that a commit never waits long behind one.
constexpr uint64_t kZeroChunkBytes = uint64_t{256} << 10;

}  // namespace

SegmentSupply::RetryTimer::RetryTimer(SegmentSupply& supply_in)
    : Timer([](Timer& self) { static_cast<RetryTimer&>(self).supply.needed_.Set(); }),
      supply(supply_in) {}

SegmentSupply::SegmentSupply(Core& core, const LogContext& context, SegmentKind kind)
    : core_(core),
      context_(context),
      kind_(kind),
      reserve_size_(kind == SegmentKind::kCompaction
                        ? context.segment_bytes
                        : std::min(context.segment_bytes, kReserveBytesMax)),
      changed_(core.ready()),
      needed_(core.ready()),
      retry_(*this),
      nursery_(core.ready()) {}

void SegmentSupply::Start() {
  SayWhatIsOwed();
  nursery_.Spawn(Work());
}

// What compaction has not got yet, other logs may not take.
void SegmentSupply::SayWhatIsOwed() {
  if (kind_ != SegmentKind::kCompaction || context_.compaction_owed_bytes == nullptr) return;
  uint64_t owed = (spare_ ? 0 : context_.segment_bytes) + (reserve_ ? 0 : reserve_size_);
  owed -= std::min(owed, made_bytes_);
  context_.compaction_owed_bytes->store(stopped_ ? 0 : owed, std::memory_order_relaxed);
}

void SegmentSupply::Retry() {
  if (disk_full()) needed_.Set();
}

Task<void> SegmentSupply::Stop() {
  stopped_ = true;
  SayWhatIsOwed();
  needed_.Set();
  co_await nursery_.Join();
  for (std::optional<NewSegment>* place : {&spare_, &reserve_, &special_}) {
    if (!*place) continue;
    NewSegment unused = std::move(**place);
    place->reset();
    co_await Discard(std::move(unused));
  }
  changed_.Set();
}

void SegmentSupply::DoNotWait() {
  wait_for_space_ = false;
  changed_.Set();
}

Task<absl::StatusOr<NewSegment>> SegmentSupply::Take(uint64_t bytes) {
  PAKV_CHECK(!waiting_, "one call at a time");
  bool asked = false;
  while (true) {
    if (!failure_.ok()) co_return failure_;
    if (stopped_) co_return absl::CancelledError("the log is being closed");
    std::optional<NewSegment>* place = nullptr;
    if (spare_ && spare_->size >= bytes) place = &spare_;
    if (special_ && special_->size >= bytes) place = &special_;
    if (place == nullptr && is_short() && reserve_ && reserve_->size >= bytes) place = &reserve_;
    if (place != nullptr) {
      NewSegment taken = std::move(**place);
      place->reset();
      SayWhatIsOwed();
      hurry_ = false;
      needed_.Set();
      co_return std::move(taken);
    }
    if (is_short() && !wait_for_space_) co_return short_of_;
    waiting_ = true;
    wanted_bytes_ = bytes;
    // Once: in a shortage the timer tries again, not those who wait for its end.
    if (!std::exchange(asked, true)) needed_.Set();
    changed_.Reset();
    co_await changed_.Wait();
    waiting_ = false;
  }
}

std::optional<NewSegment>* SegmentSupply::NextPlace(uint64_t& bytes) {
  bytes = context_.segment_bytes;
  if (waiting_ && wanted_bytes_ > context_.segment_bytes) {
    bytes = wanted_bytes_;
    return special_ ? nullptr : &special_;
  }
  if (waiting_ && !spare_) return &spare_;
  if (!reserve_) {
    bytes = reserve_size_;
    return &reserve_;
  }
  return spare_ ? nullptr : &spare_;
}

Task<void> SegmentSupply::Work() {
  while (!stopped_ && failure_.ok()) {
    uint64_t bytes = 0;
    std::optional<NewSegment>* place = NextPlace(bytes);
    absl::Status made;
    if (place != nullptr) {
      made = co_await Make(*place, bytes);
      const bool no_space = ShortageOf(made) == Shortage::kSpace;
      if (no_space && !reserve_ && place != &reserve_ && !stopped_) {
        // Not enough for a whole segment: perhaps for what lets space be freed.
        const absl::Status small = co_await Make(reserve_, reserve_size_);
        if (!small.ok() && ShortageOf(small) != Shortage::kSpace) made = small;
      }
    }
    if (stopped_) break;
    const bool waits = ShortageOf(made) != Shortage::kNone;
    if (waits) {
      NoteShortage(made);
      retry_.Arm(core_.timers(), core_.now_ns() + kRetryNs);
    } else if (!made.ok()) {
      failure_ = made;
    } else if (is_short() && (spare_ || special_ || place == nullptr)) {
      ShortageEnded();
    }
    if (place != nullptr) changed_.Set();
    if (place == nullptr || waits) {
      needed_.Reset();
      co_await needed_.Wait();
    }
  }
}

void SegmentSupply::NoteShortage(const absl::Status& why) {
  shortage_ = ShortageOf(why);
  short_of_ = why;
  if (shortage_ != Shortage::kSpace) PAKV_COVERED(kSegmentNoDescriptor);
  if (told_ == shortage_ && core_.now_ns() < tell_again_ns_) return;
  told_ = shortage_;
  tell_again_ns_ = core_.now_ns() + kShortageToldEveryNs;
  tells_end_ = true;
  LogWarning("{}; {} until that passes, which is tried each second. What to do: {}", MessageOf(why),
             kind_ == SegmentKind::kCompaction ? "compaction lives on its reserve"
                                               : "writes are refused once what is ready is full",
             RemedyOfShortage(why));
}

void SegmentSupply::ShortageEnded() {
  const bool was_space = disk_full();
  shortage_ = Shortage::kNone;
  if (!std::exchange(tells_end_, false)) return;
  LogInfo("{}: {}, {}", context_.directory->path(),
          was_space ? "there is space again" : "files can be opened again",
          kind_ == SegmentKind::kCompaction ? "compaction has its reserve" : "writes are accepted");
}

Task<absl::Status> SegmentSupply::Make(std::optional<NewSegment>& place, uint64_t bytes) {
  const StoreDirectory& directory = *context_.directory;
  SpaceStat space;
  const IoResult asked = co_await AskSpace(core_, directory.path(), space);
  if (!asked.ok()) co_return IoError("ask for the space of", directory.path(), asked);
  NewSegment made;
  made.segment = context_.manifest->NextSegment();
  made.size = bytes;
  made.reserve = &place == &reserve_;
  const std::string path = directory.PathOf(SegmentName(made.segment));
  uint64_t others_bytes = kSpaceMarginBytes;
  if (kind_ == SegmentKind::kCompaction) {
    // What it takes now it soon gives back.
    others_bytes /= 8;
  } else if (context_.compaction_owed_bytes != nullptr) {
    others_bytes += context_.compaction_owed_bytes->load(std::memory_order_relaxed);
  }
  // Asked before: the write at the limit would be cut to what is no multiple of the alignment, and
  // what comes before it would be written in vain, again and again.
  if (bytes > space.file_bytes_max) co_return IoError("make segment", path, IoResult(-EFBIG));
  if (space.free_bytes < bytes + others_bytes) {
    co_return IoError("make segment", path, IoResult(-ENOSPC));
  }
  absl::StatusOr<File> file =
      co_await OpenFile(core_, path, O_RDWR | O_CREAT | O_EXCL | directory.direct_flag());
  if (!file.ok()) co_return file.status();
  made.file = std::move(*file);
  const absl::Status filled = co_await Fill(made, path);
  made_bytes_ = 0;
  if (!filled.ok()) {
    SayWhatIsOwed();
    co_await Discard(std::move(made));
    co_return filled;
  }
  place.emplace(std::move(made));
  SayWhatIsOwed();
  co_return absl::OkStatus();
}

// Zeros, the file's size and its name are on stable storage before anybody sees the segment.
Task<absl::Status> SegmentSupply::Fill(NewSegment& made, const std::string& path) {
  AlignedBuffer zeros(std::min(kZeroChunkBytes, made.size));
  std::memset(zeros.data(), 0, zeros.size());
  const uint64_t begin_ns = core_.now_ns();
  uint64_t offset = 0;
  while (offset < made.size) {
    if (stopped_) co_return absl::CancelledError("the log is being closed");
    const Bytes chunk(zeros.data(), std::min<uint64_t>(zeros.size(), made.size - offset));
    const absl::Status written = co_await WriteAll(
        made.file, chunk, offset, context_.directory->transfer_unit(), false, path);
    if (!written.ok()) co_return written;
    offset += chunk.size();
    zeroed_bytes_ += chunk.size();
    made_bytes_ = offset;
    SayWhatIsOwed();
    if (hurry_ || waiting_) continue;
    // In two steps, so that a rate of any size neither overflows nor divides to nothing.
    const uint64_t rate_kib = std::max<uint64_t>(context_.zero_bytes_per_second >> 10, 1);
    const uint64_t due_ns = begin_ns + (offset >> 10) * kNsPerSecond / rate_kib;
    if (due_ns > core_.now_ns()) co_await core_.timers().SleepUntil(due_ns);
  }
  const IoResult synced = co_await made.file.SyncData();
  if (!synced.ok()) co_return IoError("sync", path, synced);
  co_return co_await SyncNames(core_, context_.directory->path());
}

Task<void> SegmentSupply::Discard(NewSegment made) {
  const std::string path = context_.directory->PathOf(SegmentName(made.segment));
  const IoResult closed = co_await made.file.Close();
  const IoResult unlinked = co_await UnlinkFile(core_.io(), path.c_str());
  // It is not listed: the next start removes what stays behind.
  if (!closed.ok()) LogWarning("{}", MessageOf(IoError("close", path, closed)));
  if (!unlinked.ok()) LogWarning("{}", MessageOf(IoError("remove", path, unlinked)));
}

}  // namespace pakv
