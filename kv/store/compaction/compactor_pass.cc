// Compactor's way with one victim: from reading it to its unlinking.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "kv/log/files/file_io.h"
#include "kv/log/files/store_directory.h"
#include "kv/log/write/awaited_entry.h"
#include "kv/store/compaction/compactor.h"
#include "runtime/base/check.h"
#include "runtime/base/coverage.h"
#include "runtime/base/log.h"
#include "runtime/base/seeded_bug.h"

namespace pakv {
namespace {

// Records that owners are asked about at a time, and places asked for deletes until others have
// their turn: each some 100 us.
constexpr size_t kAskedMax = 512;
constexpr size_t kProbesMax = 5'000;
// While the log's next segment is being made.
constexpr uint64_t kRoomRetryNs = 5 * kNsPerMs;

}  // namespace

Compactor::Staged::Staged(Compactor& compactor_in, const Shard::Asked& asked, size_t bytes_begin_in)
    : DurableEntry([](DurableEntry& entry, Settlement settlement) {
        auto& staged = static_cast<Staged&>(entry);
        Compactor& owner = staged.compactor;
        staged.is_refused = IsRefused(settlement);
        if (settlement == Settlement::kUnknown) owner.durable_ = false;
        if (--owner.pending_ == 0) owner.settled_.Set();
      }),
      compactor(compactor_in),
      hash(asked.hash),
      lsn(asked.record->fields.lsn),
      source(asked.record->location),
      bytes_begin(bytes_begin_in),
      is_value(HoldsValue(asked.record->fields.flags)),
      is_grave(asked.fate == Shard::Fate::kGrave) {}

Task<Compactor::Passed> Compactor::Compact(SegmentInfo victim) {
  dropped_early_ = false;
  newest_ = NewestOfTransactions(victim);
  co_await TakeDead(victim.segment);
  // What is begun can be finished: copies of what has to stay take room that nothing gives back
  // until the victim is gone.
  if (RoomForCopies() < 2 * books_.FileBytes(victim)) {
    const Passed measured = co_await Measure(victim);
    if (measured != Passed::kDone) co_return measured;
  }
  SegmentScanner scanner(core_, *parts_.context->directory, victim, options_.read_bytes, &dead_);
  const absl::Status opened = co_await scanner.Open();
  if (!opened.ok()) co_return NotReadable(victim, opened);
  const Passed copied = co_await CopyAll(victim, scanner);
  staged_.clear();
  co_await scanner.Close();
  if (copied != Passed::kDone) co_return copied;
  if (dropped_early_) co_return Passed::kDone;
  const Passed kept = co_await KeepClock(victim, scanner.expiry_clock_ms());
  if (kept != Passed::kDone) co_return kept;
  const bool empty = co_await NothingLivesIn(victim.segment);
  if (!empty) {
    LogError("{} cannot be removed: some of its records live and were not found in it",
             parts_.context->directory->PathOf(SegmentName(victim.segment)));
    books_.NoteDamage(victim.segment);
    books_.SetAside(victim.segment);
    co_return Passed::kNotNow;
  }
  if (ended()) co_return Passed::kEnded;
  const bool dropped = co_await Drop(victim);
  if (!dropped) co_return Passed::kNotNow;
  dead_ = {};
  ++counters_.segments;
  PAKV_COVERED(kSegmentCompacted);
  if (victim.kind == SegmentKind::kCompaction) PAKV_COVERED(kCompactedTwice);
  co_return Passed::kDone;
}

Task<void> Compactor::TakeDead(uint32_t segment) {
  if (std::exchange(dead_of_, segment) != segment) dead_ = {};
  for (Shard* shard : parts_.shards) {
    RecordPlaces known = co_await core_.CallOn(
        shard->core().id(), [shard, segment](Core&) { return shard->TakeDead(segment); });
    dead_.Merge(std::move(known));
  }
}

// No transaction that is under way has written in it with a larger LSN. In a commit log LSNs grow,
// from segment to segment, too. What earlier runs have written is published, and so was what
// compaction has copied.
Lsn Compactor::NewestOfTransactions(const SegmentInfo& victim) const {
  if (victim.run != parts_.context->run || victim.kind != SegmentKind::kCommit) return kNoLsn;
  Lsn newest = kLsnMax;
  for (const auto& [segment, info] : manifest_.segments()) {
    const bool is_later = info.log == victim.log && info.run == victim.run &&
                          info.kind == victim.kind && info.place > victim.place;
    if (is_later) newest = std::min(newest, info.lsn_floor);
  }
  return newest;
}

Compactor::Passed Compactor::NotReadable(const SegmentInfo& victim, const absl::Status& why) {
  why_ = why;
  NoteUnreadable(victim.segment, why);
  return Passed::kNotNow;
}

// Whether what has to stay of the victim fits where there is room for certain, and is less than
// what it occupies.
Task<Compactor::Passed> Compactor::Measure(const SegmentInfo& victim) {
  if (PAKV_BUG(kPassesNotMeasured)) co_return Passed::kDone;
  SegmentScanner scanner(core_, *parts_.context->directory, victim, options_.read_bytes, &dead_);
  const absl::Status opened = co_await scanner.Open();
  if (!opened.ok()) co_return NotReadable(victim, opened);
  measured_.clear();
  measures_ = true;
  const Passed read = co_await CopyAll(victim, scanner);
  measures_ = false;
  measured_batch_bytes_ = 0;
  co_await scanner.Close();
  if (read != Passed::kDone) co_return read;
  const uint64_t file_bytes = books_.FileBytes(victim);
  uint64_t need_bytes = measured_.empty() ? 0 : kBlockHeaderSize;
  for (const uint32_t length : measured_) need_bytes += length;
  need_bytes = RoundUp(need_bytes, parts_.context->directory->alignment());
  const bool gains = need_bytes <= books_.BytesAfterMax(file_bytes, need_);
  const bool fits = log_.AllFit(measured_);
  if (gains && fits) co_return Passed::kDone;
  PAKV_COVERED(kCompactionDidNotFit);
  NoteDoesNotFit(victim, need_bytes, fits);
  co_return Passed::kDoesNotFit;
}

// It is left alone until there is more room, or less of it lives, or another segment has gone.
void Compactor::NoteDoesNotFit(const SegmentInfo& victim, uint64_t need_bytes, bool fits) {
  const auto lives = live_.find(victim.segment);
  if (!fits) need_bytes = std::max(need_bytes, RoomForCopies() + 1);
  books_.NoteNeed(victim, lives == live_.end() ? 0 : lives->second, need_bytes);
}

Task<Compactor::Passed> Compactor::CopyAll(const SegmentInfo& victim, SegmentScanner& scanner) {
  staged_.clear();
  staged_bytes_.clear();
  while (true) {
    const absl::StatusOr<bool> more = co_await scanner.Next(records_);
    if (!more.ok()) {
      if (absl::IsDataLoss(more.status())) {
        // It stays as it is: what can still be read of it is.
        PAKV_COVERED(kCompactionOfDamage);
        LogError("{}; the segment is not compacted", MessageOf(more.status()));
        books_.NoteDamage(victim.segment);
        books_.SetAside(victim.segment);
        co_return Passed::kNotNow;
      }
      co_return NotReadable(victim, more.status());
    }
    if (!*more) break;
    const bool staged = co_await Stage(victim);
    if (!staged) co_return books_.IsSetAside(victim.segment) ? Passed::kNotNow : Passed::kHeld;
    if (measured_batch_bytes_ >= options_.batch_bytes) {
      measured_.push_back(LogWriter::kBatchEnds);
      measured_batch_bytes_ = 0;
    } else if (staged_bytes_.size() >= options_.batch_bytes) {
      const Passed moved = co_await MoveStaged(victim, /*last=*/false);
      if (moved != Passed::kDone) co_return moved;
    }
    co_await Pace();
    if (ended()) {
      PAKV_COVERED(kStopDuringCompaction);
      co_return Passed::kEnded;
    }
  }
  co_return co_await MoveStaged(victim, /*last=*/true);
}

// call(shard) on its core, when that has nothing else to do.
template <typename Call>
Task<bool> Compactor::CallWhenIdle(Core& there, Shard& shard, Call& call) {
  co_await there.WhenIdle();
  call(shard);
  co_return true;
}

template <typename Call>
Task<void> Compactor::AtOwner(uint32_t owner, Call call) {
  Shard& shard = *parts_.shards[owner];
  if (owner == core_.id()) {
    co_await CallWhenIdle(core_, shard, call);
    co_return;
  }
  const bool called = co_await core_.CallTaskOn(
      owner, [&shard, &call](Core& there) { return CallWhenIdle(there, shard, call); });
  PAKV_CHECK(called);
}

// Asks the owners of records_[begin, end) what becomes of them: the answers are in asked_.
Task<void> Compactor::AskFates(size_t begin, size_t end) {
  asked_.resize(parts_.shards.size());
  for (auto& of_owner : asked_) of_owner.clear();
  for (size_t i = begin; i < end; ++i) {
    const RecordFields& fields = records_[i].fields;
    const uint64_t hash = parts_.hash(fields.namespace_id, fields.key);
    const bool is_drop = (fields.flags & kRecordDrop) != 0;
    const uint32_t owner = is_drop ? 0 : parts_.owner_of(hash);
    asked_[owner].push_back({.hash = hash, .record = &records_[i]});
  }
  for (uint32_t owner = 0; owner < asked_.size(); ++owner) {
    if (asked_[owner].empty()) continue;
    co_await AtOwner(owner,
                     [this, owner](Shard& shard) { shard.JudgeFates(asked_[owner], newest_); });
  }
}

// Of the deletes in asked_, the newest; kNoLsn: there is none.
Lsn Compactor::NewestGrave() const {
  Lsn newest = kNoLsn;
  for (const auto& of_owner : asked_) {
    for (const Shard::Asked& asked : of_owner) {
      if (asked.fate == Shard::Fate::kGrave) newest = std::max(newest, asked.record->fields.lsn);
    }
  }
  return newest;
}

// Finds out what of records_ has to be copied. False: one of them cannot be.
Task<bool> Compactor::Stage(const SegmentInfo& victim) {
  blockers_known_ = false;
  for (size_t begin = 0; begin < records_.size(); begin += kAskedMax) {
    const size_t end = std::min(begin + kAskedMax, records_.size());
    co_await AskFates(begin, end);
    if (const Lsn newest = NewestGrave(); newest != kNoLsn) {
      co_await LearnFromFooters(newest, victim.segment);
      blockers_known_ = false;
    }
    for (const auto& of_owner : asked_) {
      for (const Shard::Asked& asked : of_owner) {
        if (asked.fate == Shard::Fate::kDead) continue;
        // Its owner will refer to it in a moment: this segment's turn comes later.
        if (asked.fate == Shard::Fate::kUnpublished) co_return false;
        const uint32_t length = asked.record->location.length;
        const uint64_t block_bytes =
            RoundUp(kBlockHeaderSize + length, parts_.context->directory->alignment());
        if (block_bytes > parts_.context->segment_bytes) {
          LogWarning("{} is not compacted: it holds a record of {} bytes, longer than a segment",
                     parts_.context->directory->PathOf(SegmentName(victim.segment)), length);
          books_.SetAside(victim.segment);
          co_return false;
        }
        if (asked.fate == Shard::Fate::kGrave && DeleteMayLeave(victim, asked)) continue;
        StageRecord(asked);
        if (probes_ < kProbesMax) continue;
        probes_ = 0;
        co_await core_.WhenIdle();
      }
    }
  }
  co_return true;
}

// A delete is needed as long as an older record of its key may be somewhere else.
bool Compactor::DeleteMayLeave(const SegmentInfo& victim, const Shard::Asked& grave) {
  books_.NoteGraveMet();
  if (!std::exchange(blockers_known_, true)) blockers_ = books_.Blockers(victim.segment);
  probes_ += blockers_.size();
  const Lsn lsn = grave.record->fields.lsn;
  if (SegmentBooks::MayHoldOlder(blockers_, grave.hash, lsn)) {
    PAKV_COVERED(kDeleteStayed);
    return false;
  }
  PAKV_COVERED(kDeleteLeft);
  if (!blockers_.empty() && blockers_.front().oldest < lsn) PAKV_COVERED(kFilterLetDeleteGo);
  return true;
}

void Compactor::StageRecord(const Shard::Asked& asked) {
  const Bytes bytes = asked.record->bytes;
  if (measures_) {
    measured_.push_back(static_cast<uint32_t>(bytes.size()));
    measured_batch_bytes_ += bytes.size();
    return;
  }
  if ((asked.record->fields.flags & kRecordDrop) != 0) PAKV_COVERED(kDropStayed);
  staged_.emplace_back(*this, asked, staged_bytes_.size());
  staged_bytes_.insert(staged_bytes_.end(), bytes.begin(), bytes.end());
}

// Copies what is staged, durably, and lets the index follow.
Task<Compactor::Passed> Compactor::MoveStaged(const SegmentInfo& victim, bool last) {
  size_t next = 0;
  while (next < staged_.size()) {
    const size_t begin = next;
    const Passed appended = co_await AppendSome(next);
    if (appended == Passed::kDoesNotFit) {
      NoteDoesNotFit(victim, staged_bytes_.size(), /*fits=*/false);
    }
    if (appended != Passed::kDone) co_return appended;
    if (PAKV_BUG(kUnlinkBeforeCopyDurable) && last && next == staged_.size()) {
      dropped_early_ = co_await Drop(victim);
    }
    while (pending_ > 0) {
      settled_.Reset();
      co_await settled_.Wait();
    }
    if (!durable_) {
      failed_ = true;
      co_return Passed::kEnded;
    }
    // What is refused is behind all that is durable. The victim stays, and its turn comes later.
    const size_t appended_end = next;
    while (next > begin && staged_[next - 1].is_refused) --next;
    co_await MoveDurable(begin, next);
    if (next < appended_end) co_return Passed::kNotNow;
  }
  staged_.clear();
  staged_bytes_.clear();
  co_return Passed::kDone;
}

// Appends staged_[next...], as much as there is room for, at least one.
Task<Compactor::Passed> Compactor::AppendSome(size_t& next) {
  const size_t begin = next;
  co_await core_.WhenIdle();
  while (true) {
    if (ended()) co_return Passed::kEnded;
    for (; next < staged_.size(); ++next) {
      Staged& staged = staged_[next];
      const uint32_t length = staged.source.length;
      if (!log_.FitsForCertain(length)) break;
      if (log_.disk_full()) PAKV_COVERED(kCompactionInReserve);
      log_.AppendCopy(Bytes(staged_bytes_).subspan(staged.bytes_begin, length), staged);
      ++pending_;
      counters_.copied_bytes += length;
    }
    if (next > begin) co_return Passed::kDone;
    if (log_.shortage() != Shortage::kNone) {
      PAKV_COVERED(kCompactionWithoutRoom);
      co_return log_.disk_full() ? Passed::kDoesNotFit : Passed::kNotNow;
    }
    const uint64_t wake_ns = core_.now_ns() + kRoomRetryNs;
    co_await core_.timers().SleepUntil(wake_ns, nursery_.token());
  }
}

// The copies of staged_[begin, end) are durable: the books and the owners take note.
Task<void> Compactor::MoveDurable(size_t begin, size_t end) {
  moves_.resize(parts_.shards.size());
  for (size_t slice = begin; slice < end; slice += kAskedMax) {
    const size_t slice_end = std::min(slice + kAskedMax, end);
    for (auto& of_owner : moves_) of_owner.clear();
    for (size_t i = slice; i < slice_end; ++i) {
      const Staged& staged = staged_[i];
      books_.NoteCopy(staged.location().segment, {.hash = staged.hash,
                                                  .lsn = staged.lsn,
                                                  .bytes = staged.source.length,
                                                  .is_value = staged.is_value,
                                                  .is_grave = staged.is_grave});
      if (!staged.is_value || staged.is_grave) continue;
      moves_[parts_.owner_of(staged.hash)].push_back({.hash = staged.hash,
                                                      .lsn = staged.lsn,
                                                      .source = staged.source,
                                                      .target = staged.location()});
    }
    for (uint32_t owner = 0; owner < moves_.size(); ++owner) {
      if (moves_[owner].empty()) continue;
      co_await AtOwner(owner, [this, owner](Shard& shard) { shard.FollowMoves(moves_[owner]); });
    }
  }
}

// What was shown as expired is so by the largest clock of the directory, and the victim may hold
// it. Those of earlier runs are in MANIFEST.
Task<Compactor::Passed> Compactor::KeepClock(const SegmentInfo& victim, uint64_t expiry_clock_ms) {
  if (victim.run != parts_.context->run || log_.segment_clock_ms() >= expiry_clock_ms) {
    co_return Passed::kDone;
  }
  log_.ShowClock(expiry_clock_ms);
  if (ended()) co_return Passed::kEnded;
  if (!log_.FitsForCertain(0)) co_return Passed::kNotNow;
  AwaitedEntry entry(core_.ready());
  const Admission admitted = log_.WaitClock(entry);
  if (admitted != Admission::kOk) co_return Passed::kNotNow;
  PAKV_COVERED(kClockKept);
  co_await entry.settled.Wait();
  if (entry.settlement == Settlement::kDurable) co_return Passed::kDone;
  if (IsRefused(entry.settlement)) co_return Passed::kNotNow;
  failed_ = true;
  co_return Passed::kEnded;
}

Task<bool> Compactor::NothingLivesIn(uint32_t segment) {
  uint64_t live_bytes = 0;
  for (Shard* shard : parts_.shards) {
    live_bytes += co_await core_.CallOn(shard->core().id(), [shard, segment](Core&) {
      return shard->table().live_bytes().Of(segment);
    });
  }
  co_return live_bytes == 0;
}

// The victim's records are durable elsewhere, and nobody refers to it any more.
Task<bool> Compactor::Drop(const SegmentInfo& victim) {
  std::vector<ManifestEntry> entries;
  entries.push_back({.type = ManifestEntry::Type::kDropped, .segment = victim.segment});
  const absl::Status status = co_await manifest_.Append(core_, std::move(entries));
  if (!status.ok()) {
    // In a shortage nothing has begun: the next pass tries again.
    if (ShortageOf(status) != Shortage::kNone) {
      why_ = status;
      SayOnce(status);
      co_return false;
    }
    failed_ = true;
    parts_.failed(parts_.owner, status);
    co_return false;
  }
  books_.Forget(victim.segment);
  unreadable_until_ns_.erase(victim.segment);
  const uint32_t segment = victim.segment;
  if (!PAKV_BUG(kUnlinkUnderReader)) {
    for (Shard* shard : parts_.shards) {
      const bool released = co_await core_.CallTaskOn(
          shard->core().id(), [shard, segment](Core&) { return shard->ReleaseSegment(segment); });
      PAKV_CHECK(released);
    }
  }
  const std::string path = parts_.context->directory->PathOf(SegmentName(segment));
  const IoResult unlinked = co_await UnlinkFile(core_.io(), path.c_str());
  // It is listed no more: the next start removes what stays behind.
  if (!unlinked.ok()) LogWarning("{}", MessageOf(IoError("remove", path, unlinked)));
  removed_unsynced_ = true;
  co_await GiveBack();
  // Compaction first: nothing else frees space.
  log_.SpaceFreed();
  if (disk_full_) {
    for (Shard* shard : parts_.shards) {
      const bool told = co_await core_.CallOn(shard->core().id(), [shard](Core&) {
        shard->SpaceFreed();
        return true;
      });
      PAKV_CHECK(told);
    }
  }
  co_return true;
}

}  // namespace pakv
