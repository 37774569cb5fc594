#include "kv/store/compaction/compactor.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "kv/log/files/file_io.h"
#include "kv/log/files/shortage.h"
#include "kv/log/files/store_directory.h"
#include "kv/log/read/footer.h"
#include "runtime/base/check.h"
#include "runtime/base/coverage.h"
#include "runtime/base/log.h"
#include "runtime/base/seeded_bug.h"
#include "runtime/core/space.h"

namespace pakv {
namespace {

// Hashes put into a filter until others have their turn.
constexpr size_t kAddedMax = 20'000;
// Footers read for the deletes that are met in some of a victim's records.
constexpr size_t kFootersMax = 8;
// The pressure is worked out again after this long.
constexpr uint64_t kPressNs = 10 * kNsPerMs;
// What compaction takes of the time at least, once it works at all, and the longest pause.
constexpr uint32_t kShareMin = 50;
constexpr uint32_t kShareAsked = 500;
constexpr uint64_t kPauseNsMax = 200 * kNsPerMs;
// How much of the time writes wait at most, and how far beyond what is allowed that is reached.
constexpr uint32_t kSlowMax = 900;
constexpr uint64_t kSlowPart = 10;
// A segment that could not be read is tried again after this long: as a rule it is the medium, for
// good, and each try reads all that comes before.
constexpr uint64_t kUnreadableNs = 10 * kNsPerSecond;

LogWriterOptions WriterOptions(const Compactor::Parts& parts) {
  LogWriterOptions options;
  options.log = static_cast<uint32_t>(parts.shards.size());
  options.kind = SegmentKind::kCompaction;
  options.expiry_clock_ms = parts.expiry_clock_ms;
  options.failed = parts.failed;
  options.owner = parts.owner;
  return options;
}

SegmentBooks::Ground GroundOf(const Compactor::Parts& parts) {
  const LogContext& context = *parts.context;
  return {.listed = &context.manifest->segments(),
          .run = context.run,
          .block_bytes_max =
              std::min<uint64_t>(parts.core->buffers().buffer_bytes(), context.segment_bytes_min),
          .alignment = context.directory->alignment()};
}

}  // namespace

Compactor::Compactor(Parts parts, const CompactionOptions& options)
    : parts_(std::move(parts)),
      options_(options),
      core_(*parts_.core),
      manifest_(*parts_.context->manifest),
      books_(GroundOf(parts_)),
      log_(core_, *parts_.context, WriterOptions(parts_)),
      settled_(core_.ready()),
      news_(core_.ready()),
      tick_(*this),
      nursery_(core_.ready(), core_.nursery().token()) {}

Compactor::~Compactor() = default;

Compactor::TickTimer::TickTimer(Compactor& compactor_in)
    : Timer([](Timer& self) { static_cast<TickTimer&>(self).compactor.news_.Set(); }),
      compactor(compactor_in) {}

void Compactor::Start() {
  log_.Start();
  manifest_.OnChange([](void* self) { static_cast<Compactor*>(self)->news_.Set(); }, this);
  nursery_.Spawn(Run());
}

Task<void> Compactor::Stop() {
  nursery_.RequestStop();
  news_.Set();
  co_await nursery_.Join();
  manifest_.OnChange(nullptr, nullptr);
  staged_.clear();
  co_await log_.Stop();
}

CompactionCounters Compactor::counters() const {
  CompactionCounters counters = counters_;
  counters.block_bytes = log_.counters().block_bytes;
  counters.disk_bytes = books_.ListedBytes();
  counters.listed_segments = manifest_.segments().size();
  counters.slowed_permille = slow_permille_;
  counters.damaged = books_.DamagedCount();
  for (const auto& [segment, until_ns] : unreadable_until_ns_) {
    counters.damaged += books_.IsDamaged(segment) ? 0 : 1;
  }
  return counters;
}

uint64_t Compactor::memory_bytes() const {
  uint64_t asked_bytes = 0;
  for (const auto& asked_of : asked_) asked_bytes += asked_of.capacity() * sizeof(Shard::Asked);
  return log_.memory_bytes() + books_.memory_bytes() + dead_.bytes_used() +
         staged_bytes_.capacity() + staged_.size() * sizeof(Staged) +
         records_.capacity() * sizeof(RecoveredRecord) + measured_.capacity() * sizeof(uint32_t) +
         asked_bytes + (records_.empty() ? 0 : 4 * options_.read_bytes);
}

// ---- How much, and when ----

Task<void> Compactor::Run() {
  while (!ended()) {
    // What comes while it looks is news.
    news_.Reset();
    co_await Look();
    PutOffUnreadable();
    uint32_t victim = books_.PickVictim(live_, need_, RoomForCopies());
    gains_ = victim != 0;
    const uint32_t asked_for = VictimOfRequest();
    co_await Press();
    const bool is_short = disk_full_ || share_permille_ >= 1000;
    if (asked_for != 0 && !is_short) victim = asked_for;
    bool worked = false;
    step_begin_ns_ = core_.now_ns();
    if ((wanted_ || asked_for != 0) && !ended()) {
      // Deletes that stay only for want of a look at other segments are no gain as they are.
      const uint64_t graves_max = options_.grave_bytes_max != 0
                                      ? options_.grave_bytes_max
                                      : UsualSegmentBytes(*parts_.context);
      const bool graves_matter = books_.grave_bytes() > graves_max ||
                                 (disk_full_ && victim == 0 && books_.grave_bytes() > 0);
      if (graves_matter) worked = co_await HelpDeletesToLeave();
      if (victim != 0 && !ended()) {
        why_ = absl::OkStatus();
        const SegmentInfo info = manifest_.segments().at(victim);
        log_.HoldMarks(true);
        const Passed passed = co_await Compact(info);
        log_.HoldMarks(false);
        NoteForRequest(info, passed);
        if (passed == Passed::kHeld) books_.PutOff(victim);
        // Another one is looked for at once.
        const bool another = passed == Passed::kDoesNotFit || passed == Passed::kHeld ||
                             unreadable_until_ns_.contains(victim);
        worked =
            worked || passed == Passed::kDone || another || (asked() && books_.IsSetAside(victim));
      }
    }
    if (worked) continue;
    if (!news_.is_set()) tick_.Arm(core_.timers(), core_.now_ns() + options_.tick_ns);
    co_await news_.Wait();
    tick_.Disarm();
    books_.TryAllAgain();
  }
  if (asked()) {
    const bool stops = nursery_.stop_requested();
    EndRequest(stops ? Outcome::kStopping : Outcome::kReadOnly,
               stops ? "the server is stopping" : "a write has failed: see the server's log");
  }
  // Whoever stops does not wait for space.
  for (Shard* shard : parts_.shards) {
    const bool let_go = co_await core_.CallOn(shard->core().id(), [shard](Core&) {
      shard->SlowWrites(0);
      return true;
    });
    PAKV_CHECK(let_go);
  }
}

// Asks the owners what lives where, and the disk what is free.
Task<void> Compactor::Look() {
  live_.clear();
  live_bytes_ = 0;
  disk_full_ = log_.disk_full();
  for (Shard* shard : parts_.shards) {
    const Shard::Space space =
        co_await core_.CallOn(shard->core().id(), [shard](Core&) { return shard->LookAtSpace(); });
    for (const LiveBytes::OfSegment& of : space.live) {
      live_[of.segment] += of.bytes;
      live_bytes_ += of.bytes;
    }
    disk_full_ = disk_full_ || space.disk_full;
    if (space.empty_segment != 0) books_.NoteOldest(space.empty_segment, space.floor);
  }
  SpaceStat stat;
  const IoResult asked = co_await AskSpace(core_, parts_.context->directory->path(), stat);
  const uint64_t free_before = std::exchange(free_bytes_, asked.ok() ? stat.free_bytes : 0);
  // Somebody else has freed some.
  if (free_bytes_ > free_before) log_.SpaceFreed();
  books_.RefreshGraves();
  SpaceClaims* claims = parts_.context->claims;
  if (claims != nullptr) {
    claims->SetFiles(books_.ListedBytes(), books_.LongestBytes());
    // Its reserve is as long as any victim: also while nothing is taken from it, as long as a store
    // only grows. Later there may be no room for that.
    log_.FilesChanged();
  }
  // Before a log has met the end of the disk: what is claimed is more than there is.
  room_counts_ =
      disk_full_ || (claims != nullptr && free_bytes_ < claims->Before(SpaceClaims::kRankOfOthers));
  co_await GiveBack();
  need_ = SegmentBooks::Need::kNone;
  if (disk_full_) {
    const bool lacking = claims != nullptr && claims->FirstsLack();
    need_ = lacking ? SegmentBooks::Need::kReserve : SegmentBooks::Need::kSpace;
  }
}

// What was removed is free on some file systems only once the directory is synced.
Task<void> Compactor::GiveBack() {
  if (!room_counts_ || !std::exchange(removed_unsynced_, false)) co_return;
  const absl::Status synced = co_await SyncNames(core_, parts_.context->directory->path());
  if (!synced.ok()) LogWarning("{}", MessageOf(synced));
}

// As long as the disk may give no more.
uint64_t Compactor::RoomForCopies() const { return room_counts_ ? log_.ready_bytes() : UINT64_MAX; }

uint64_t Compactor::LimitBytes(uint64_t disk_bytes) const {
  const uint64_t segment = UsualSegmentBytes(*parts_.context);
  // What each log has open and ready: no compaction makes that less.
  const uint64_t logs = (parts_.shards.size() * 2 + 3) * segment;
  uint64_t limit =
      std::max(live_bytes_ * options_.space_percent / 100, logs + options_.segments_min * segment);
  // On a disk that is filling up, no more than what is there.
  const uint64_t room = disk_bytes + free_bytes_;
  const uint64_t kept = logs + kSpaceMarginBytes + room / SpaceClaims::kDeletesPart;
  limit = std::min(limit, room - std::min(room, kept));
  return std::max<uint64_t>(limit, 1);
}

// The later it begins, the more of a victim is dead, and the less has to be copied. What has to be
// left is room for it to catch up in: some part, and the next segment of each log.
uint64_t Compactor::BeginBytes(uint64_t limit) const {
  const uint64_t part = limit / 100 * (100 - options_.begin_percent);
  const uint64_t next =
      std::min(parts_.shards.size() * UsualSegmentBytes(*parts_.context), limit / 4);
  return limit - std::max(part, next);
}

// Of the files that are listed, what the logs have not come to yet. It is counted as they come to
// it, so that what is used grows with what is written, and not by whole segments.
Task<uint64_t> Compactor::UnwrittenBytes() {
  uint64_t unwritten = log_.unwritten_bytes();
  for (Shard* shard : parts_.shards) {
    unwritten += co_await core_.CallOn(shard->core().id(),
                                       [shard](Core&) { return shard->unwritten_bytes(); });
  }
  co_return unwritten;
}

// From the space that is used to what compaction may take of the time, and how much writers wait.
Task<void> Compactor::Press() {
  pressed_ns_ = core_.now_ns();
  const uint64_t unwritten = co_await UnwrittenBytes();
  const uint64_t ready = parts_.shards.size() * UsualSegmentBytes(*parts_.context) +
                         2 * CompactionReserveBytes(*parts_.context);
  const uint64_t files = books_.ListedBytes() + ready;
  const uint64_t used = files - std::min(files, unwritten);
  const uint64_t limit = LimitBytes(files);
  const uint64_t begin = BeginBytes(limit);
  wanted_ = used > begin || disk_full_;
  share_permille_ = kShareMin;
  if (used >= limit || disk_full_) {
    share_permille_ = 1000;
  } else if (used > begin) {
    const auto part = static_cast<uint32_t>((used - begin) * 1000 / (limit - begin));
    share_permille_ = std::max(kShareMin, part);
  }
  if (asked()) share_permille_ = std::max(kShareAsked, share_permille_);
  uint32_t slow = 0;
  if (used > limit && gains_ && !nursery_.stop_requested()) {
    const uint64_t beyond = (used - limit) * kSlowPart;
    slow = static_cast<uint32_t>(std::min<uint64_t>(kSlowMax, beyond * kSlowMax / limit));
  }
  if (slow == slow_permille_) co_return;
  slow_permille_ = slow;
  for (Shard* shard : parts_.shards) {
    const bool told = co_await core_.CallOn(shard->core().id(), [shard, slow](Core&) {
      shard->SlowWrites(slow);
      return true;
    });
    PAKV_CHECK(told);
  }
}

// At the end of each step: pauses for as long as the users' share of the time is. That is shorter
// as soon as a log needs its next segment.
Task<void> Compactor::Pace() {
  const uint64_t begin_ns = core_.now_ns();
  const uint64_t worked_ns = begin_ns - step_begin_ns_;
  if (begin_ns >= pressed_ns_ + kPressNs) co_await Press();
  while (share_permille_ < 1000 && !ended()) {
    const uint64_t pause_ns =
        std::min(worked_ns * (1000 - share_permille_) / share_permille_, kPauseNsMax);
    const uint64_t wake_ns = begin_ns + pause_ns;
    if (core_.now_ns() >= wake_ns) break;
    news_.Reset();
    tick_.Arm(core_.timers(), wake_ns);
    co_await news_.Wait();
    tick_.Disarm();
    if (core_.now_ns() < wake_ns) co_await Press();
  }
  step_begin_ns_ = core_.now_ns();
}

// It is tried again with each tick.
void Compactor::SayOnce(const absl::Status& status) {
  const std::string message = MessageOf(status);
  if (message == said_) return;
  said_ = message;
  LogWarning("cannot compact: {}", message);
}

// Neither damage, which is for good, nor a shortage, which passes: it is not in the others' way.
void Compactor::NoteUnreadable(uint32_t segment, const absl::Status& status) {
  SayOnce(status);
  if (ShortageOf(status) != Shortage::kNone) return;
  unreadable_until_ns_[segment] = core_.now_ns() + kUnreadableNs;
  books_.PutOff(segment);
}

void Compactor::PutOffUnreadable() {
  std::erase_if(unreadable_until_ns_,
                [this](const auto& unreadable) { return unreadable.second <= core_.now_ns(); });
  for (const auto& [segment, until_ns] : unreadable_until_ns_) books_.PutOff(segment);
}

// ---- Deletes that could leave ----

// Something that lets deletes go sooner was done: another segment's keys are known, or a log whose
// present segment is old has gone on to the next.
Task<bool> Compactor::HelpDeletesToLeave() {
  if (const uint32_t lacking = books_.LackingSummary(); lacking != 0) {
    const SegmentInfo info = manifest_.segments().at(lacking);
    const bool taken = co_await TakeFooter(info);
    if (taken) co_return true;
    co_return co_await Summarize(info);
  }
  const Lsn oldest = books_.OldestFullGraveyard();
  if (oldest == kNoLsn || gains_) co_return false;
  std::vector<Shard*> idle;
  for (const auto& [segment, info] : manifest_.segments()) {
    if (info.sealed_end || info.kind != SegmentKind::kCommit) continue;
    if (info.log < parts_.shards.size() && books_.MayHoldOlderThan(info, oldest)) {
      idle.push_back(parts_.shards[info.log]);
    }
  }
  for (Shard* shard : idle) {
    PAKV_COVERED(kIdleLogRolled);
    const bool told = co_await core_.CallOn(shard->core().id(), [shard](Core&) {
      shard->RollLog();
      return true;
    });
    PAKV_CHECK(told);
  }
  co_return false;
}

// A sealed segment's footer tells which keys it may hold.
Task<bool> Compactor::TakeFooter(SegmentInfo segment) {
  absl::StatusOr<std::optional<FooterSummary>> found =
      co_await ReadFooterSummary(core_, *parts_.context->directory, segment);
  if (!found.ok()) {
    NoteUnreadable(segment.segment, found.status());
    co_return false;
  }
  if (!found->has_value()) {
    if (segment.footer_bytes != 0) {
      PAKV_COVERED(kFooterUseless);
      books_.NoteUselessFooter(segment.segment);
    }
    co_return false;
  }
  SegmentSummary summary;
  const Lsn oldest = (*found)->plain_lsn_min;
  summary.lsn_min = oldest == kNoLsn ? kLsnMax : oldest;
  summary.filter = std::make_unique<KeyFilter>(std::move((*found)->filter));
  books_.NoteSummary(segment.segment, std::move(summary));
  PAKV_COVERED(kFilterFromFooter);
  co_return true;
}

// Deletes up to `newest` are met: looks at footers of those that may keep them from going, some at
// a time. Without a footer, deletes stay until there are so many that whole segments are read.
Task<void> Compactor::LearnFromFooters(Lsn newest, uint32_t victim) {
  for (const uint32_t segment : books_.WithUnreadFooter(newest, kFootersMax, victim)) {
    const auto listed = manifest_.segments().find(segment);
    if (listed == manifest_.segments().end() || ended()) co_return;
    const SegmentInfo info = listed->second;
    const bool taken = co_await TakeFooter(info);
    if (!taken) co_return;  // the next records meet deletes, too
  }
}

// Reads a sealed segment for the keys that it may hold.
Task<bool> Compactor::Summarize(SegmentInfo segment) {
  SegmentScanner scanner(core_, *parts_.context->directory, segment, options_.read_bytes);
  const absl::Status opened = co_await scanner.Open();
  if (!opened.ok()) {
    NoteUnreadable(segment.segment, opened);
    co_return false;
  }
  std::vector<uint64_t> hashes;
  SegmentSummary summary;
  summary.lsn_min = kLsnMax;
  bool whole = false;
  while (!ended()) {
    const absl::StatusOr<bool> more = co_await scanner.Next(records_);
    if (!more.ok()) {
      if (absl::IsDataLoss(more.status())) {
        // Not necessarily in what compaction has to read of it.
        LogError("{}; deletes of what it may hold stay", MessageOf(more.status()));
        books_.NoteDamage(segment.segment);
      } else {
        NoteUnreadable(segment.segment, more.status());
      }
      break;
    }
    whole = !*more;
    if (whole) break;
    for (const RecoveredRecord& record : records_) {
      if (!HoldsValue(record.fields.flags)) continue;
      summary.lsn_min = std::min(summary.lsn_min, record.fields.lsn);
      hashes.push_back(parts_.hash(record.fields.namespace_id, record.fields.key));
    }
    co_await Pace();
  }
  co_await scanner.Close();
  if (!whole) co_return false;
  summary.filter = std::make_unique<KeyFilter>(hashes.size());
  for (size_t i = 0; i < hashes.size(); ++i) {
    summary.filter->Add(hashes[i]);
    if (i % kAddedMax == kAddedMax - 1) co_await core_.WhenIdle();
  }
  books_.NoteSummary(segment.segment, std::move(summary));
  PAKV_COVERED(kFilterBuilt);
  co_return true;
}

}  // namespace pakv
