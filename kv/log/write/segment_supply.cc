#include "kv/log/write/segment_supply.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "kv/log/files/file_io.h"
#include "runtime/base/check.h"
#include "runtime/base/coverage.h"
#include "runtime/base/log.h"
#include "runtime/base/seeded_bug.h"
#include "runtime/core/space.h"

namespace pakv {
namespace {

// Zeros written at a time: short enough that a commit never waits long behind one.
constexpr uint64_t kZeroChunkBytes = uint64_t{256} << 10;
// What is ready may be so many times as long as it would be made now.
constexpr uint64_t kLongerMax = 2;

}  // namespace

SegmentSupply::RetryTimer::RetryTimer(SegmentSupply& supply_in)
    : Timer([](Timer& self) { static_cast<RetryTimer&>(self).supply.needed_.Set(); }),
      supply(supply_in) {}

SegmentSupply::SegmentSupply(Core& core, const LogContext& context, SegmentKind kind)
    : core_(core),
      context_(context),
      kind_(kind),
      changed_(core.ready()),
      needed_(core.ready()),
      retry_(*this),
      nursery_(core.ready()) {
  // ClaimReserve has said so.
  claimed_ = Lacking(kind, ReserveBytes(context, kind), 0, 0);
}

uint64_t SegmentSupply::ReserveBytes(const LogContext& context, SegmentKind kind) {
  if (kind == SegmentKind::kCompaction) return CompactionReserveBytes(context);
  return std::min(UsualSegmentBytes(context), kReserveBytesMax);
}

uint64_t SegmentSupply::LeastBytes(uint64_t reserve_bytes) {
  return std::max<uint64_t>(reserve_bytes / kReservePartMin, 1);
}

// The ranks are those of kv/log/files/space_claims.h.
size_t SegmentSupply::RankOf(SegmentKind kind, size_t reserve) {
  if (kind == SegmentKind::kCompaction) return reserve == 0 ? 1 : 4;
  return reserve == 0 ? 2 : 3;
}

// Of two reserve segments, of these lengths so far.
SpaceClaims::Bytes SegmentSupply::Lacking(SegmentKind kind, uint64_t whole, uint64_t longest,
                                          uint64_t other) {
  SpaceClaims::Bytes bytes{};
  uint64_t first = whole - std::min(whole, longest);
  if (kind == SegmentKind::kCommit) {
    const uint64_t least = LeastBytes(whole);
    bytes[0] = least - std::min(least, longest);
    first -= bytes[0];
  }
  bytes[RankOf(kind, 0)] = first;
  bytes[RankOf(kind, 1)] = whole - std::min(whole, other);
  return bytes;
}

void SegmentSupply::ClaimReserve(const LogContext& context, SegmentKind kind) {
  context.claims->Change({}, Lacking(kind, ReserveBytes(context, kind), 0, 0));
}

void SegmentSupply::Start() { nursery_.Spawn(Work()); }

// The longest of those that there are counts as the first.
void SegmentSupply::ShowClaims() {
  if (context_.claims == nullptr) return;
  std::array<uint64_t, kReserveCount> there{};
  for (size_t i = 0; i < kReserveCount; ++i) {
    if (reserves_[i]) there[i] = reserves_[i]->size;
    if (making_ == &reserves_[i]) there[i] = std::max(there[i], making_bytes_);
  }
  SpaceClaims::Bytes lacking{};
  if (!stopped_) {
    const auto [other, longest] = std::minmax(there[0], there[1]);
    lacking = Lacking(kind_, ReserveBytes(context_, kind_), longest, other);
  }
  context_.claims->Change(claimed_, lacking);
  claimed_ = lacking;
}

uint64_t SegmentSupply::reserve_bytes() const {
  uint64_t longest = 0;
  for (const auto& reserve : reserves_) longest = std::max(longest, reserve ? reserve->size : 0);
  return longest;
}

std::vector<uint64_t> SegmentSupply::ReadyBytes() const {
  std::vector<uint64_t> lengths;
  if (spare_) lengths.push_back(spare_->size);
  for (const auto& reserve : reserves_) {
    if (reserve) lengths.push_back(reserve->size);
  }
  return lengths;
}

void SegmentSupply::Retry() {
  if (disk_full()) needed_.Set();
}

// In a shortage the timer asks.
void SegmentSupply::FilesChanged() {
  if (is_short()) return;
  for (size_t i = 0; i < kReserveCount; ++i) {
    if (WantedReserve(i).place != nullptr) needed_.Set();
  }
}

Task<void> SegmentSupply::Stop() {
  stopped_ = true;
  ShowClaims();
  needed_.Set();
  co_await nursery_.Join();
  for (std::optional<NewSegment>* place : {&spare_, &reserves_[0], &reserves_[1], &special_}) {
    if (!*place) continue;
    NewSegment unused = std::move(**place);
    place->reset();
    co_await Discard(std::move(unused));
  }
  changed_.Set();
}

NewSegment SegmentSupply::TakeFrom(std::optional<NewSegment>& place) {
  NewSegment taken = std::move(*place);
  place.reset();
  ShowClaims();
  hurry_ = false;
  needed_.Set();
  return taken;
}

std::optional<NewSegment> SegmentSupply::TakeReserve(uint64_t bytes) {
  std::optional<NewSegment>* place = nullptr;
  for (std::optional<NewSegment>& reserve : reserves_) {
    if (!reserve || reserve->size < bytes) continue;
    if (place == nullptr || reserve->size < (*place)->size) place = &reserve;
  }
  if (place == nullptr) return std::nullopt;
  return TakeFrom(*place);
}

Task<absl::StatusOr<NewSegment>> SegmentSupply::Take(uint64_t bytes) {
  PAKV_CHECK(!waiting_, "one call at a time");
  while (true) {
    if (!failure_.ok()) co_return failure_;
    if (stopped_) co_return absl::CancelledError("the log is being closed");
    if (special_ && special_->size >= bytes) co_return TakeFrom(special_);
    if (spare_ && spare_->size >= bytes) co_return TakeFrom(spare_);
    if (kind_ == SegmentKind::kCompaction) {
      std::optional<NewSegment> reserve = TakeReserve(bytes);
      if (reserve) co_return std::move(*reserve);
    }
    if (is_short()) {
      // It may have been one that is longer than others are.
      needed_.Set();
      co_return short_of_;
    }
    waiting_ = true;
    wanted_bytes_ = bytes;
    needed_.Set();
    changed_.Reset();
    co_await changed_.Wait();
    waiting_ = false;
  }
}

// In the order in which they are made: first what a Take waits for, then the reserve.
SegmentSupply::Wanted SegmentSupply::WantedAt(size_t turn) {
  const uint64_t usual = UsualSegmentBytes(context_);
  // Also where the spare is one of a store that was smaller.
  const bool larger =
      waiting_ && (wanted_bytes_ > usual || (spare_ && spare_->size < wanted_bytes_));
  const bool is_there = spare_.has_value();
  const bool spare =
      kind_ == SegmentKind::kCommit && (!spare_ || spare_->size > kLongerMax * usual);
  if (turn == 0 && larger && !special_) {
    return {.place = &special_, .bytes = wanted_bytes_, .bytes_min = wanted_bytes_};
  }
  if ((turn == 1 && waiting_ && !larger && spare) || (turn == kWantedCount - 1 && spare)) {
    return {.place = &spare_, .bytes = usual, .bytes_min = usual, .is_there = is_there};
  }
  if (turn >= 2 && turn < 2 + kReserveCount) return WantedReserve(turn - 2);
  if (turn == 2 + kReserveCount && kind_ == SegmentKind::kCommit && reserve_bytes() == 0) {
    Wanted least = WantedReserve(0);
    least.bytes = least.bytes_min;
    least.is_least = true;
    least.rank = 0;
    return least;
  }
  return {};
}

SegmentSupply::Wanted SegmentSupply::WantedReserve(size_t reserve) {
  const uint64_t whole = ReserveBytes(context_, kind_);
  const uint64_t there = reserves_[reserve] ? reserves_[reserve]->size : 0;
  if (there >= whole && there <= kLongerMax * whole) return {};
  // It is the second one if there is one already.
  const auto& other = reserves_[kReserveCount - 1 - reserve];
  const bool is_second = other && other->size >= there;
  const uint64_t least = RoundUp(LeastBytes(whole), context_.directory->alignment());
  return {.place = &reserves_[reserve],
          .bytes = whole,
          .bytes_min = std::min(whole, there == 0 ? least : 2 * there),
          .rank = RankOf(kind_, is_second ? 1 : 0),
          .is_there = there >= whole};
}

Task<void> SegmentSupply::Work() {
  while (!stopped_ && failure_.ok()) {
    // What comes while it works is news.
    needed_.Reset();
    bool made = false;
    const absl::Status lacking = co_await MakeNext(made);
    if (stopped_) break;
    if (made) {
      if (!lacking.ok()) {
        NoteShortage(lacking);
      } else if (is_short() && (spare_ || special_)) {
        ShortageEnded();
      }
      changed_.Set();
      continue;
    }
    if (lacking.ok()) {
      if (is_short()) ShortageEnded();
    } else if (ShortageOf(lacking) != Shortage::kNone) {
      NoteShortage(lacking);
      retry_.Arm(core_.timers(), core_.now_ns() + kRetryNs);
      changed_.Set();
    } else {
      failure_ = lacking;
      changed_.Set();
      break;
    }
    co_await needed_.Wait();
  }
}

// Makes the first that can be made, `made` tells. Returns what one that comes before it lacks, or,
// where none can be made, the first; ok if nothing is lacking.
Task<absl::Status> SegmentSupply::MakeNext(bool& made) {
  const std::string& path = context_.directory->path();
  ShowClaims();  // which grow with the store
  Room room;
  LookAtOthers(room);
  const IoResult asked = co_await AskSpace(core_, path, room.space);
  if (!asked.ok()) co_return IoError("ask for the space of", path, asked);
  // Once more: what they have begun and written since is free no more, or still is, as it was
  // asked.
  LookAtOthers(room);
  absl::Status lacking;
  for (size_t turn = 0; turn < kWantedCount; ++turn) {
    const Wanted wanted = WantedAt(turn);
    if (wanted.place == nullptr) continue;
    const absl::StatusOr<uint64_t> size = SizeOf(wanted, room);
    if (size.ok()) {
      const absl::Status status = co_await Make(wanted, *size);
      made = status.ok();
      co_return made ? lacking : status;
    }
    if (lacking.ok() && !wanted.is_there) lacking = size.status();
  }
  co_return lacking;
}

void SegmentSupply::LookAtOthers(Room& room) const {
  if (context_.claims == nullptr || PAKV_BUG(kReserveForgotten)) return;
  for (size_t rank = 0; rank < room.others_bytes.size(); ++rank) {
    room.others_bytes[rank] = std::max(room.others_bytes[rank], context_.claims->Before(rank));
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

// As much as there is room for and the others leave. Asked before: a write at the limit would be
// cut to what is no multiple of the alignment, and what comes before it would be written in vain,
// again and again.
absl::StatusOr<uint64_t> SegmentSupply::SizeOf(const Wanted& wanted, const Room& room) const {
  uint64_t kept_bytes = kSpaceMarginBytes;
  // What frees space may come closer: what it takes now it soon gives back.
  if (wanted.rank != SpaceClaims::kRankOfOthers) kept_bytes /= 8;
  kept_bytes += room.others_bytes[wanted.rank];
  const uint64_t free_bytes = room.space.free_bytes - std::min(room.space.free_bytes, kept_bytes);
  const uint64_t bytes = std::min({wanted.bytes, free_bytes, room.space.file_bytes_max});
  const uint64_t size =
      bytes == wanted.bytes ? bytes : RoundDown(bytes, context_.directory->alignment());
  if (size >= wanted.bytes_min && size > 0) return size;
  return IoError("make a segment in", context_.directory->path(),
                 IoResult(free_bytes < wanted.bytes_min ? -ENOSPC : -EFBIG));
}

Task<absl::Status> SegmentSupply::Make(Wanted wanted, uint64_t size) {
  const StoreDirectory& directory = *context_.directory;
  // Nobody sees a moment at which these bytes are neither claimed nor being written.
  uint64_t unwritten = size;
  if (context_.claims != nullptr) context_.claims->Begin(unwritten);
  making_ = wanted.place;
  making_bytes_ = size;
  ShowClaims();
  NewSegment made;
  made.segment = context_.manifest->NextSegment();
  made.size = size;
  made.reserve = wanted.rank != SpaceClaims::kRankOfOthers;
  const std::string path = directory.PathOf(SegmentName(made.segment));
  absl::StatusOr<File> file =
      co_await OpenFile(core_, path, O_RDWR | O_CREAT | O_EXCL | directory.direct_flag());
  absl::Status status = file.status();
  if (status.ok()) {
    made.file = std::move(*file);
    status = co_await Fill(made, path, unwritten);
  }
  making_ = nullptr;
  if (!status.ok()) {
    ShowClaims();
    if (context_.claims != nullptr) context_.claims->End(unwritten);
    if (made.file.valid()) co_await Discard(std::move(made));
    co_return status;
  }
  if (size < wanted.bytes || wanted.is_least) PAKV_COVERED(kShortReserveMade);
  std::optional<NewSegment> before = std::exchange(*wanted.place, std::move(made));
  ShowClaims();
  if (before) {
    if (before->size < size) PAKV_COVERED(kReserveGrown);
    co_await Discard(std::move(*before));
  }
  co_return absl::OkStatus();
}

// Zeros, the file's size and its name are on stable storage before anybody sees the segment.
Task<absl::Status> SegmentSupply::Fill(NewSegment& made, const std::string& path,
                                       uint64_t& unwritten) {
  const absl::Status written = co_await WriteZeros(made, path, unwritten);
  if (!written.ok()) co_return written;
  const IoResult synced = co_await made.file.SyncData();
  if (!synced.ok()) co_return IoError("sync", path, synced);
  co_return co_await SyncNames(core_, context_.directory->path());
}

Task<absl::Status> SegmentSupply::WriteZeros(NewSegment& made, const std::string& path,
                                             uint64_t& unwritten) {
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
    unwritten -= chunk.size();
    if (context_.claims != nullptr) context_.claims->End(chunk.size());
    if (hurry_ || waiting_) continue;
    // In two steps, so that a rate of any size neither overflows nor divides to nothing.
    const uint64_t rate_kib = std::max<uint64_t>(context_.zero_bytes_per_second >> 10, 1);
    const uint64_t due_ns = begin_ns + (offset >> 10) * kNsPerSecond / rate_kib;
    if (due_ns > core_.now_ns()) co_await core_.timers().SleepUntil(due_ns);
  }
  co_return absl::OkStatus();
}

Task<void> SegmentSupply::Discard(NewSegment made) {
  const std::string path = context_.directory->PathOf(SegmentName(made.segment));
  const IoResult closed = co_await made.file.Close();
  const IoResult unlinked = co_await UnlinkFile(core_.io(), path.c_str());
  // It is not listed: the next start removes what stays behind.
  if (!closed.ok()) LogWarning("{}", MessageOf(IoError("close", path, closed)));
  if (!unlinked.ok()) LogWarning("{}", MessageOf(IoError("remove", path, unlinked)));
  if (stopped_) co_return;
  // What it took is free on some file systems only then.
  const absl::Status synced = co_await SyncNames(core_, context_.directory->path());
  if (!synced.ok()) LogWarning("{}", MessageOf(synced));
}

}  // namespace pakv
