// The parts of Shard that are about keys whose time is over (kv/shard/state/expiry.h).
#include <algorithm>

#include "kv/log/write/awaited_entry.h"
#include "kv/shard/shard.h"
#include "runtime/base/seeded_bug.h"

namespace pakv {
namespace {

// Entries that one pass looks at, to take out those that are over; the pause before the next while
// there is more to look through, and if most of what was looked at was over.
constexpr uint32_t kSweepStep = 128;
constexpr uint64_t kSweepPauseNs = 10 * kNsPerMs;
constexpr uint64_t kSweepHurryNs = 1 * kNsPerMs;
// Draws of a random key before the index is walked from a random place.
constexpr int kRandomDraws = 32;

}  // namespace

// ---- Judging ----

Lifetime Shard::LifetimeOf(uint64_t expiry_ms) const {
  if (expiry_ms == kNoExpiry) return Lifetime::kLives;
  if (expiry_ms <= log_->durable_clock_ms()) return Lifetime::kOver;
  if (expiry_ms > log_->ExpiryClockMs()) return Lifetime::kLives;
  return PAKV_BUG(kExpiryNotDurable) ? Lifetime::kOver : Lifetime::kOverUnproven;
}

// The answer is made: that the key's time is over. It leaves when that is durable. Reads wait for
// it, too: it is nobody else's write that they wait for, but what they are about to say.
bool Shard::AnswerWhenProven(Request& request) {
  const Admission admission = log_->WaitClock(request);
  if (admission != Admission::kOk) return Refuse(request, OutcomeOf(admission));
  request.KeepArguments();
  request.KeepReply();
  request.role_ = Request::Role::kAnswer;
  request.settles_hash = 0;
  return false;
}

// A read, at its start, of a version whose time is over; `proven`: for good.
bool Shard::ReadOver(Request& request, bool proven) {
  PendingTable::Slot* slot = pending_.Find(request.hash, request.namespace_id, request.key);
  Request* newest = slot == nullptr ? nullptr : slot->newest;
  if (newest != nullptr && newest->lsn > DropLsn(request.namespace_id)) {
    // It may have been decided before that time, and have given the key more: then the key has been
    // there all the while, and the read is one behind that write.
    if (LifetimeOf(newest->pending_expiry_ms_) == Lifetime::kLives) {
      QueueBehind(*newest, request);
      return false;
    }
    proven = false;
  } else if (slot != nullptr && slot->blocked != nullptr && slot->blocked->is_held()) {
    // A transaction may have found it alive, and give it more.
    HoldRead(request, slot->blocked->readers);
    return false;
  }
  ++counters_.read_misses;
  request.lsn = kNoLsn;
  static_cast<void>(request.function(OldValue(), request));
  return proven || AnswerWhenProven(request);
}

Task<Outcome> Shard::MakeClockDurable() {
  AwaitedEntry entry(core_.ready());
  const Admission admission = log_->WaitClock(entry);
  if (admission != Admission::kOk) co_return OutcomeOf(admission);
  co_await entry.settled.Wait();
  if (entry.settlement == Settlement::kUnknown) co_return Outcome::kReadOnly;
  co_return OutcomeOf(entry.settlement);
}

Shard::LiveVisit Shard::VisitLive(uint64_t hash_begin, const VisitBounds& bounds,
                                  absl::FunctionRef<uint64_t(Entry)> visit) {
  LiveVisit result;
  result.next = table_->VisitFrom(hash_begin, bounds, [&](Entry entry) {
    ++result.visited;
    if (table_->IsDropped(entry)) return uint64_t{0};
    const Lifetime lifetime = LifetimeOf(entry.expiry_ms());
    if (lifetime == Lifetime::kLives) return visit(entry);
    result.unproven = result.unproven || lifetime == Lifetime::kOverUnproven;
    result.undecided = result.undecided || HasPending(entry);
    return uint64_t{0};
  });
  return result;
}

bool Shard::HasPending(Entry entry) {
  return pending_.Find(entry.hash(), entry.namespace_id(), entry.key()) != nullptr;
}

Entry Shard::RandomLive(Prng& prng, uint32_t namespace_id) {
  for (int i = 0; i < kRandomDraws; ++i) {
    const Entry entry = table_->RandomEntry(prng);
    if (!entry) break;
    if (entry.namespace_id() == namespace_id && !table_->IsDropped(entry) &&
        LifetimeOf(entry.expiry_ms()) == Lifetime::kLives) {
      return entry;
    }
  }
  return Entry();
}

uint64_t Shard::RandomHash(Prng& prng) const {
  const HashRange& range = options_.range;
  const uint64_t width = range.last - range.first;
  return range.first + (width == UINT64_MAX ? prng.Next() : prng.Below(width + 1));
}

// ---- Giving back ----

Shard::ExpiryTimer::ExpiryTimer(Shard& shard_in)
    : Timer([](Timer& self) { static_cast<ExpiryTimer&>(self).shard.ExpiryDue(); }),
      shard(shard_in) {}

void Shard::NoteExpiry(uint64_t hash, uint64_t expiry_ms) {
  expiries_.Note(hash, expiry_ms);
  // Between passes that do something it is armed for a second at the latest.
  if (log_ != nullptr && !expiry_timer_.armed() && !stopping_) {
    expiry_timer_.Arm(core_.timers(), core_.now_ns() + kSweepPauseNs);
  }
}

void Shard::ExpiryDue() {
  const uint64_t now_ns = core_.now_ns();
  uint64_t next_ns = log_->PersistClock();
  const uint64_t durable_ms = log_->durable_clock_ms();
  if (!sweeping_) sweeping_ = expiries_.TakeDue(durable_ms);
  if (sweeping_) {
    const uint32_t over = SweepExpired(durable_ms);
    next_ns = std::min(next_ns, now_ns + (over > kSweepStep / 2 ? kSweepHurryNs : kSweepPauseNs));
  } else if (const uint64_t earliest_ms = expiries_.earliest_ms();
             earliest_ms != ExpiryMap::kNever) {
    // The next key's time, if that comes first; what is over is taken out once that is durable.
    const uint64_t clock_ms = log_->ExpiryClockMs();
    if (earliest_ms > clock_ms) {
      const uint64_t left_ns =
          std::min(earliest_ms - clock_ms, LogWriter::kClockIntervalNs / kNsPerMs) * kNsPerMs;
      next_ns = std::min(next_ns, now_ns + std::max(left_ns, kSweepPauseNs));
    } else if (!log_->idle()) {
      next_ns = std::min(next_ns, now_ns + kSweepPauseNs);
    }
  }
  if (table_->expiring() > 0) expiry_timer_.Arm(core_.timers(), next_ns);
}

// One step through the part that is being looked through. How many entries were taken out.
uint32_t Shard::SweepExpired(uint64_t durable_ms) {
  uint32_t over = 0;
  const std::optional<uint64_t> next =
      table_->SweepFrom(sweeping_->first, kSweepStep, [&](Entry entry) {
        const uint64_t expiry_ms = entry.expiry_ms();
        if (expiry_ms == kNoExpiry || table_->IsDropped(entry)) return false;
        // Until a pending write of the key is settled its version tells why a read waits for that.
        if (expiry_ms > durable_ms || HasPending(entry)) {
          expiries_.Note(entry.hash(), expiry_ms);
          return false;
        }
        if (entry.cache() != 0) cache_->Erase(entry.cache());
        if (entry.file() != 0) files_->Remove(entry.file());
        ++over;
        return true;
      });
  counters_.expired += over;
  if (next && *next <= sweeping_->last) {
    sweeping_->first = *next;
  } else {
    sweeping_.reset();
  }
  return over;
}

}  // namespace pakv
