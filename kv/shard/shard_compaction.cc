// What compaction asks of a shard, and what it does to it.
#include <algorithm>
#include <utility>

#include "kv/shard/shard.h"
#include "runtime/base/check.h"
#include "runtime/base/coverage.h"
#include "runtime/base/seeded_bug.h"

namespace pakv {
namespace {

// Writes that are held back wait no longer than this, so that slow is not stopped.
constexpr uint64_t kSlowPeriodNs = 10 * kNsPerMs;

}  // namespace

// Whatever is durable is published by now, but for a transaction's records: those lie in its
// coordinator's log before their owner hears of them, who holds their keys meanwhile. Any other
// record in a sealed segment that the index does not know has been overtaken, deleted, dropped, or
// has expired. (A key that is held later, by another transaction, has had this record's LSN
// before.)
Shard::Fate Shard::FateOf(uint64_t hash, const RecordFields& fields, const Location& location,
                          Lsn newest) {
  const Lsn drop = DropLsn(fields.namespace_id);
  // The newest drop of a namespace stays for ever.
  if ((fields.flags & kRecordDrop) != 0) return fields.lsn < drop ? Fate::kDead : Fate::kLive;
  const Entry entry =
      table_->Find({.hash = hash, .namespace_id = fields.namespace_id, .key = fields.key});
  if (entry && entry.lsn() == fields.lsn && entry.location() == location) {
    // A transaction that holds the key may have written it, durably, in this very segment. Once
    // that is published, this record is dead; and if it is a delete, it leaves when it is asked
    // about, as nothing else hides behind it, while the copy of this one stays. Of one that came to
    // hold it later nothing lies here: else keys that somebody holds at any time would keep all
    // segments that they live in.
    const PendingTable::Slot* slot = pending_.Find(hash, fields.namespace_id, fields.key);
    const bool is_held = slot != nullptr && slot->blocked != nullptr && slot->blocked->is_held();
    if (!is_held || slot->blocked->locked_lsn >= newest) return Fate::kLive;
    PAKV_COVERED(kHeldMet);
    return Fate::kUnpublished;
  }
  if (fields.lsn < drop && table_->dropped() > 0) {
    // It may lie here for the sweep to find: then the segment holds it no longer than this.
    const Table::Change erased =
        table_->Erase({.hash = hash, .namespace_id = fields.namespace_id, .key = fields.key}, drop);
    if (erased.outcome == Table::Outcome::kErased) PAKV_COVERED(kDroppedLeftToCompaction);
    if (erased.cache != 0) cache_->Erase(erased.cache);
    if (erased.outcome == Table::Outcome::kErased && erased.previous.file != 0) {
      files_->Remove(erased.previous.file);
    }
  }
  // A copy, a newer version, or a drop is durable elsewhere.
  if (fields.lsn <= drop || (entry && entry.lsn() >= fields.lsn)) return Fate::kDead;
  const PendingTable::Slot* slot = pending_.Find(hash, fields.namespace_id, fields.key);
  const BlockedKey* const blocked = slot == nullptr ? nullptr : slot->blocked;
  if (blocked != nullptr && blocked->is_held() && fields.lsn > blocked->locked_lsn &&
      !PAKV_BUG(kCompactionDropsUnpublished)) {
    PAKV_COVERED(kUnpublishedMet);
    return Fate::kUnpublished;
  }
  // A record with an expiry hides others by being over. One that is not was overtaken, whatever has
  // become of the newer one: that may lie in this segment, too, and be let go, so that a copy of
  // the older one would come back.
  const bool over = LifetimeOf(fields.expiry_ms) == Lifetime::kOver;
  const bool hides = !HoldsValue(fields.flags) || over || entry;
  return hides ? Fate::kGrave : Fate::kDead;
}

// What FateOf would say of this version from now on, with a newer one durable: dead. Not so of one
// with an expiry, once the newer one is gone, too.
void Shard::NoteDead(const Version& overtaken) {
  if (overtaken.expiry_ms == kNoExpiry && !overtaken.tombstone && !memory_.refusing()) {
    dead_records_.Note(overtaken.location);
  }
}

void Shard::JudgeFates(std::span<Asked> asked, Lsn newest) {
  for (size_t begin = 0; begin < asked.size(); begin += kPrefetchMax) {
    const auto group = asked.subspan(begin, std::min(kPrefetchMax, asked.size() - begin));
    table_->Prefetch(group, [](const Asked& each) { return each.hash; });
    for (Asked& each : group) {
      each.fate = FateOf(each.hash, each.record->fields, each.record->location, newest);
    }
  }
}

void Shard::FollowMoves(std::span<const Moved> moves) {
  for (size_t begin = 0; begin < moves.size(); begin += kPrefetchMax) {
    const auto group = moves.subspan(begin, std::min(kPrefetchMax, moves.size() - begin));
    table_->Prefetch(group, [](const Moved& moved) { return moved.hash; });
    for (const Moved& moved : group) {
      const bool followed = table_->MoveLocation(moved.hash, moved.lsn, moved.source, moved.target);
      if (!followed) PAKV_COVERED(kCopyOvertaken);
    }
  }
}

bool Shard::AnyDeviceReadOf(uint32_t segment) const {
  return std::any_of(device_reads_.begin(), device_reads_.end(), [segment](const auto& read) {
    return static_cast<uint32_t>(read.first >> 32) == segment;
  });
}

// The index refers to the segment no more, so no further read of it begins: also none of an older
// version that was found before (Request::FoundVersion::releases).
Task<bool> Shard::ReleaseSegment(uint32_t segment) {
  ++releases_;
  static_cast<void>(dead_records_.Take(segment));
  while (AnyDeviceReadOf(segment)) {
    PAKV_COVERED(kReaderPinsSegment);
    device_read_ended_.Reset();
    co_await device_read_ended_.Wait();
  }
  co_await reader_->CloseSegment(segment);
  co_return true;
}

Shard::Space Shard::LookAtSpace() {
  Space space;
  table_->TrimLiveBytes();
  space.live = table_->live_bytes().List();
  space.disk_full = log_->disk_full();
  space.empty_segment = log_->empty_segment();
  if (space.empty_segment != 0) space.floor = NextLsn();
  return space;
}

// ---- Slowing writes ----

Shard::SlowTimer::SlowTimer(Shard& shard_in)
    : Timer([](Timer& self) { static_cast<SlowTimer&>(self).shard.TakeTurn(); }), shard(shard_in) {}

void Shard::SlowWrites(uint32_t permille) {
  slow_permille_ = std::min<uint32_t>(permille, 1000);
  if (permille == 0) {
    slow_timer_.Disarm();
    if (slow_holds_) {
      slow_holds_ = false;
      RestartFrozen();
    }
  } else if (!slow_timer_.armed()) {
    TakeTurn();
  }
}

// Holding and letting go take turns.
void Shard::TakeTurn() {
  slow_holds_ = !slow_holds_;
  const uint64_t part = slow_holds_ ? slow_permille_ : 1000 - slow_permille_;
  slow_timer_.Arm(core_.timers(), core_.now_ns() + kSlowPeriodNs / 1000 * part);
  if (slow_holds_) {
    PAKV_COVERED(kWritesSlowed);
  } else {
    RestartFrozen();
  }
}

}  // namespace pakv
