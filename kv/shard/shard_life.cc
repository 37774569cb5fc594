// The parts of Shard that are no request: FLUSH, recovery, start and stop, counters.
#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "kv/log/write/awaited_entry.h"
#include "kv/shard/shard.h"
#include "runtime/base/check.h"
#include "runtime/base/coverage.h"
#include "runtime/base/pages.h"
#include "runtime/base/seeded_bug.h"

namespace pakv {
namespace {

// Index entries that one step of background work touches.
constexpr uint32_t kBackgroundStep = 256;

}  // namespace

std::unique_ptr<ValueCache> Shard::MakeCache() {
  return std::make_unique<ValueCache>(
      options_.keeps_values ? SIZE_MAX : memory_.cache_bytes(),
      [](void* self, uint64_t hash, uint32_t handle) {
        static_cast<Shard*>(self)->table_->ForgetCached(hash, handle);
      },
      this);
}

// ---- FLUSH ----

Task<Outcome> Shard::WriteDrop(uint32_t namespace_id, Lsn lsn) {
  const Admission admission = log_->Admit(EncodedRecordSize(0, 0), /*frees_space=*/true);
  if (admission != Admission::kOk) co_return OutcomeOf(admission);
  RecordFields fields;
  fields.lsn = lsn;
  fields.namespace_id = namespace_id;
  fields.flags = kRecordDrop;
  AwaitedEntry entry(core_.ready());
  static_cast<void>(log_->Append(fields, entry));
  co_await entry.settled.Wait();
  co_return OutcomeOf(entry.settlement);
}

void Shard::Drop(uint32_t namespace_id, Lsn lsn) {
  // Every write that came before is older, every later one newer.
  if (drops_.Of(namespace_id) >= lsn) return;
  watches_.MarkAll(namespace_id, [this](const Watch& watch) {
    return static_cast<bool>(
        table_->Find({.hash = watch.hash, .namespace_id = watch.namespace_id, .key = watch.key}));
  });
  static_cast<void>(drops_.Note(namespace_id, lsn));
  const bool is_all = namespace_id == kEveryNamespace ||
                      table_->count(namespace_id) == table_->count() || PAKV_BUG(kDropTakesAll);
  if (!is_all) {
    PAKV_COVERED(kDropSwept);
    table_->Drop(namespace_id);
    if (table_->dropped() == 0 || sweeping_drops_) return;
    sweeping_drops_ = true;
    nursery_.Spawn(SweepDropped());
    return;
  }
  // The table as a whole goes.
  auto table = std::make_unique<Table>(options_.range, &drops_);
  auto cache = MakeCache();
  table.swap(table_);
  cache.swap(cache_);
  expiries_.Clear();
  sweeping_.reset();
  nursery_.Spawn(FreeInBackground(std::move(table), std::move(cache)));
}

// Round after round, as long as there is something: a drop may come behind where it is. A store
// that stops leaves the rest to the next start.
Task<void> Shard::SweepDropped() {
  uint64_t begin = options_.range.first;
  while (table_->dropped() > 0 && !stopping_) {
    const std::optional<uint64_t> next =
        table_->SweepFrom(begin, options_.sweep_dropped_step, [this](Entry entry) {
          if (!table_->IsDropped(entry)) return false;
          if (entry.cache() != 0) cache_->Erase(entry.cache());
          if (entry.file() != 0) files_->Remove(entry.file());
          return true;
        });
    begin = next.value_or(options_.range.first);
    co_await core_.WhenIdle();
  }
  sweeping_drops_ = false;
}

Task<void> Shard::FreeInBackground(std::unique_ptr<Table> table,
                                   std::unique_ptr<ValueCache> cache) {
  co_await RemoveFilesOf(*table);
  uint64_t counted = 0;
  bool table_is_gone = false;
  while (true) {
    const uint64_t left = table->bytes_used() + cache->bytes_used();
    dropping_bytes_ += left - counted;
    counted = left;
    if (table_is_gone && cache->DropStep(kBackgroundStep)) break;
    if (!table_is_gone) table_is_gone = table->DropStep(kBackgroundStep);
    co_await core_.WhenIdle();
  }
  dropping_bytes_ -= counted;
}

void Shard::OpenReads() {
  PAKV_CHECK(reads_closed_ > 0);
  --closed_count_;
  if (--reads_closed_ > 0) return;
  IntrusiveList<Request> waiting;
  waiting.Splice(closed_reads_);
  RestartAll(waiting);
}

void Shard::Thaw() {
  PAKV_CHECK(freeze_count_ > 0);
  if (--freeze_count_ == 0) RestartFrozen();
}

void Shard::RestartFrozen() {
  thawed_.Set();
  if (WritesAreHeld()) return;
  for (BlockedKey* kept : std::exchange(kept_, {})) {
    kept->is_kept = false;
    Release(*kept);
  }
  IntrusiveList<Request> waiting;
  waiting.Splice(frozen_);
  RestartAll(waiting);
}

// ---- Recovery and the rest ----

// In groups, whose cache misses are waited for together.
void Shard::Recover(std::span<const HashedRecord> records) {
  for (size_t begin = 0; begin < records.size(); begin += kPrefetchMax) {
    const auto group = records.subspan(begin, std::min(kPrefetchMax, records.size() - begin));
    table_->Prefetch(group, [](const HashedRecord& found) { return found.hash; });
    for (const HashedRecord& found : group) {
      RecoverOne(found.hash, found.record->fields, found.record->location);
    }
  }
}

void Shard::RecoverOne(uint64_t hash, const RecordFields& fields, Location location) {
  if (fields.lsn <= DropLsn(fields.namespace_id)) return;
  const TableKey key{.hash = hash, .namespace_id = fields.namespace_id, .key = fields.key};
  Version version{.lsn = fields.lsn,
                  .location = location,
                  .expiry_ms = fields.expiry_ms,
                  .tombstone = (fields.flags & kRecordDelete) != 0};
  if (fields.flags == kRecordFile) NoteFile(fields.value, version);
  const Table::Change change = table_->Upsert(key, version);
  if (change.outcome == Table::Outcome::kFull) EndForLackOfMemory();
}

void Shard::RecoverDrop(uint32_t namespace_id, Lsn lsn) {
  if (PAKV_BUG(kDropForgotten)) return;
  static_cast<void>(drops_.Note(namespace_id, lsn));
}

Task<bool> Shard::FinishRecovery() {
  uint64_t begin = options_.range.first;
  while (true) {
    const std::optional<uint64_t> next =
        table_->SweepFrom(begin, kBackgroundStep, [this](Entry entry) {
          if (entry.tombstone() || entry.lsn() <= DropLsn(entry.namespace_id())) return true;
          // Also one whose time is over hides older records of its key until all is read.
          if (entry.expiry_ms() != kNoExpiry) NoteExpiry(entry.hash(), entry.expiry_ms());
          return false;
        });
    if (!next) co_return true;
    begin = *next;
    co_await core_.ready().Yield();
  }
}

void Shard::Run(const LogContext& context, const LogWriterOptions& log_options, LogReader& reader,
                ValueFiles& files, Lsn largest) {
  clock_.emplace(core_.id(), largest);
  reader_ = &reader;
  files_ = &files;
  static_assert(LogWriter::kSettlingMax <= kPrefetchMax);
  LogWriterOptions options = log_options;
  options.settling = [](void* self, std::span<const uint64_t> hashes) {
    static_cast<Shard*>(self)->PrefetchSettling(hashes);
  };
  options.settler = this;
  options.lsn_before = largest;
  log_ = std::make_unique<LogWriter>(core_, context, options);
  // Another core's log may have failed before this one was there.
  if (refuses_writes_) log_->Refuse();
  log_->Start();
  if (table_->expiring() > 0) expiry_timer_.Arm(core_.timers(), core_.now_ns());
}

void Shard::PrefetchArrived(const Request& request) {
  if (arrived_left_ == 0) {
    std::array<uint64_t, kPrefetchMax> hashes;
    const Request* each = &request;
    while (each != nullptr && arrived_left_ < hashes.size()) {
      hashes[arrived_left_++] = each->hash;
      each = static_cast<const Request*>(each->NextAlike());
    }
    Prefetch(std::span(hashes.data(), arrived_left_));
  }
  --arrived_left_;
}

void Shard::Prefetch(std::span<const uint64_t> hashes) const {
  if (hashes.size() < 2) return;
  table_->Prefetch(hashes, [](uint64_t hash) { return hash; });
  for (const uint64_t hash : hashes) {
    const Entry entry = table_->FindByHash(hash);
    if (entry && entry.cache() != 0) cache_->Prefetch(entry.cache());
  }
}

// Of writes that are about to be published: also what is changed of the versions before them.
void Shard::PrefetchSettling(std::span<const uint64_t> hashes) const {
  if (hashes.size() < 2) return;
  for (const uint64_t hash : hashes) pending_.Prefetch(hash);
  table_->Prefetch(hashes, [](uint64_t hash) { return hash; });
  for (const uint64_t hash : hashes) {
    const Entry entry = table_->FindByHash(hash);
    if (!entry) continue;
    if (entry.cache() != 0) cache_->Prefetch(entry.cache());
    dead_records_.Prefetch(entry.location());
  }
}

Task<Shard::LiveCheck> Shard::CheckLiveBytes() {
  // After a FLUSH it is another table, to be counted from its beginning; the old one is going.
  while (!table_->RecountStep(kBackgroundStep)) co_await core_.WhenIdle();
  LiveCheck check;
  check.live = table_->recounted().List();
  const std::vector<LiveBytes::OfSegment> known = table_->live_bytes().List();
  table_->EndRecount();
  // Both are in order, without segments in which nothing lives.
  size_t k = 0;
  for (size_t c = 0; c < check.live.size() || k < known.size();) {
    const uint32_t of_counted = c < check.live.size() ? check.live[c].segment : UINT32_MAX;
    const uint32_t of_known = k < known.size() ? known[k].segment : UINT32_MAX;
    LiveCheck::Wrong compared;
    compared.segment = std::min(of_counted, of_known);
    if (of_counted == compared.segment) compared.counted_bytes = check.live[c++].bytes;
    if (of_known == compared.segment) compared.known_bytes = known[k++].bytes;
    if (compared.known_bytes != compared.counted_bytes) check.wrong.push_back(compared);
  }
  co_return check;
}

Task<bool> Shard::Stop() {
  stopping_ = true;
  expiry_timer_.Disarm();
  SlowWrites(0);
  // Device reads end by themselves, and may append.
  while (nursery_.size() > 0) co_await nursery_.Join();
  if (log_ != nullptr) co_await log_->Stop();
  co_return true;
}

void Shard::AddTo(StoreStats& stats) const {
  const LogWriterCounters& log = log_->counters();
  stats.keys += table_->count();
  stats.keys_expiring += table_->expiring();
  stats.expired += counters_.expired;
  stats.index_bytes += table_->bytes_used();
  stats.cached_bytes += cache_->bytes_used();
  stats.reads += counters_.reads;
  stats.read_hits += counters_.read_hits;
  stats.read_device += counters_.read_device;
  stats.read_misses += counters_.read_misses;
  stats.writes += counters_.writes;
  stats.writes_unknown += counters_.writes_unknown;
  stats.blocks += log.blocks;
  stats.block_bytes += log.block_bytes;
  stats.record_bytes += log.record_bytes;
  stats.commit_ns.Merge(log.commit_ns);
  stats.live_bytes += table_->live_bytes().total();
  stats.value_files += table_->files();
  stats.value_file_bytes += table_->file_bytes();
  stats.value_chunks_damaged += files_->counters().damaged;
  stats.disk_full = stats.disk_full || log_->disk_full();
  const Admission admission = log_->Admit(EncodedRecordSize(0, 0), /*frees_space=*/false);
  stats.no_descriptors = stats.no_descriptors || admission == Admission::kNoDescriptors;
  const MemoryUse use = UseOfMemory();
  stats.memory_bytes += use.counted_bytes + use.cached_bytes;
  if (!options_.keeps_values) stats.cache_cap_bytes += cache_->cap_bytes();
  stats.new_keys_refused += counters_.new_keys_refused;
  stats.memory_full = stats.memory_full || memory_.refusing();
}

void Shard::RefuseWrites() {
  refuses_writes_ = true;
  if (log_ != nullptr) log_->Refuse();
}

}  // namespace pakv
