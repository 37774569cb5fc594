// A store that serves. How it opens and stops: store_life.cc; transactions: transaction.cc.
#include "kv/store/store.h"

#include <algorithm>
#include <array>
#include <utility>

#include "kv/index/hash_range.h"
#include "kv/log/format/key_hash.h"
#include "kv/store/store_shared.h"
#include "runtime/base/check.h"

namespace pakv {
namespace {

// Keys that are looked up in one pass to leave them out of a count.
constexpr size_t kCountStepMax = 2048;

}  // namespace

Store::Store(StoreOptions options) : options_(std::move(options)) {}

Store::~Store() = default;

uint64_t Store::Hash(uint32_t namespace_id, std::string_view key) const {
  return KeyHash(hash_seed_, namespace_id, key);
}

bool Store::read_only() const { return shared_->read_only.load(std::memory_order_relaxed); }

void Store::Prefetch(const Core& here, std::span<const uint64_t> hashes) const {
  std::array<uint64_t, Shard::kPrefetchMax> own;
  size_t count = 0;
  for (const uint64_t hash : hashes) {
    if (count < own.size() && OwnerOf(hash) == here.id()) own[count++] = hash;
  }
  shards_[here.id()]->Prefetch(std::span(own.data(), count));
}

void Store::PrefetchPending(const Core& here, uint64_t hash) const {
  if (OwnerOf(hash) == here.id()) shards_[here.id()]->PrefetchPending(hash);
}

size_t Store::ReadBytesExpected(const Core& here, uint64_t hash) const {
  const Entry entry = shards_[here.id()]->table().FindByHash(hash);
  return entry ? entry.location().length : 0;
}

ValueFiles& Store::value_files(const Core& here) { return *shared_->value_files[here.id()]; }

void Store::ReleaseFile(const Core& here, Request& request) {
  const uint64_t file = std::exchange(request.pinned_file_, 0);
  if (file == 0) return;
  value_files(here).Release(*shared_->value_files[OwnerOf(request.hash)], file);
}

// ---- Requests ----

bool Store::Start(Core& here, Request& request) {
  const uint32_t owner = OwnerOf(request.hash);
  request.source_core_ = here.id();
  Shard& shard = *shards_[owner];
  if (owner == here.id()) return shard.Start(request);
  request.shard_ = &shard;
  request.KeepArguments();
  request.set_function(RunAtOwner);
  here.Send(owner, request);
  return false;
}

void Store::KeepsReply(Request& request) { request.shard_->KeepsReply(request); }

void Store::StartDue(Core& here, Request& request) {
  PAKV_DCHECK(request.reply.kind == Reply::Kind::kLater);
  request.kind_ = Request::Kind::kDue;
  const bool is_complete = Start(here, request);
  PAKV_CHECK(!is_complete, "such requests are given back by `done`");
}

void Store::StartGroup(Core& here, Request* const* requests, size_t count) {
  PAKV_CHECK(count > 0);
  Request& leader = *requests[0];
  leader.group_ = std::make_unique<std::vector<Request*>>(requests, requests + count);
  leader.kind_ = Request::Kind::kGroup;
  for (size_t i = 0; i < count; ++i) {
    requests[i]->source_core_ = here.id();
    PAKV_CHECK(OwnerOf(requests[i]->hash) == OwnerOf(leader.hash), "a group has one owner");
  }
  const uint32_t owner = OwnerOf(leader.hash);
  leader.shard_ = shards_[owner].get();
  if (owner == here.id()) {
    leader.shard_->StartGroup(leader);
    return;
  }
  for (size_t i = 0; i < count; ++i) requests[i]->KeepArguments();
  leader.set_function(RunAtOwner);
  here.Send(owner, leader);
}

void Store::RunAtOwner(Message& message, Core&) {
  auto& request = static_cast<Request&>(message);
  Shard& shard = *request.shard_;
  shard.PrefetchArrived(request);
  if (shard.Start(request)) shard.Complete(request);
}

// ---- Memory ----

void Store::SetClientMemory(Core& here, std::function<uint64_t()> bytes) {
  shards_[here.id()]->SetClientMemory(std::move(bytes));
}

Task<void> Store::SetMemoryLimit(Core& here, uint64_t bytes) {
  PAKV_CHECK(here.id() == 0, "the limit is divided there");
  co_await shared_->memory->SetLimit(bytes);
}

// ---- Namespaces ----

Task<Catalogue::Found> Store::OpenNamespace(Core& here, std::string name, bool create) {
  Catalogue* catalogue = shared_->catalogue.get();
  auto open = [catalogue, create, moved = std::move(name)](Core&) mutable {
    return catalogue->Open(std::move(moved), create);
  };
  co_return co_await here.CallTaskOn(shared_->cores.core(0).id(), std::move(open));
}

Task<NamespacePage> Store::ListNamespaces(Core& here, uint32_t begin, size_t count) {
  PAKV_CHECK(count > 0);
  const Catalogue* catalogue = shared_->catalogue.get();
  const std::vector<Catalogue::Named> named = co_await here.CallOn(
      shared_->cores.core(0).id(),
      [catalogue, begin, count](Core&) { return catalogue->List(begin, count); });
  NamespacePage page;
  if (named.size() == count) page.next = named.back().id + 1;
  for (const Catalogue::Named& each : named) page.entries.push_back({each.id, each.name, 0});
  for (uint32_t owner = 0; owner < here.count(); ++owner) {
    const Shard* shard = shards_[owner].get();
    co_await here.CallOn(owner, [shard, &page](Core&) {
      for (NamespacePage::Entry& each : page.entries) {
        each.keys += shard->table().count(each.namespace_id);
      }
      return true;
    });
  }
  std::erase_if(page.entries, [](const NamespacePage::Entry& each) {
    return each.namespace_id < kNumberedNamespaces && each.keys == 0;
  });
  co_return page;
}

bool Store::IsNamespace(uint32_t namespace_id) const {
  return namespace_id < kNumberedNamespaces || namespace_id < shared_->catalogue->end();
}

// ---- Over all keys ----

Task<ScanStep> Store::Scan(Core& here, uint32_t namespace_id, uint64_t cursor, size_t count,
                           KeyFilter accept) {
  ScanStep step;
  size_t step_bytes = 0;
  uint64_t begin = FirstHashOf(cursor);
  uint32_t owner = OwnerOf(begin);
  size_t left = count == 0 ? 1 : count;
  while (true) {
    struct Visit {
      Shard::LiveVisit live;
      std::vector<std::string> keys;
      size_t bytes = 0;
    };
    const auto entries_max = static_cast<uint32_t>(std::min<size_t>(left, kScanStepMax));
    Shard* shard = shards_[owner].get();
    Visit visit =
        co_await here.CallOn(owner, [shard, begin, entries_max, namespace_id, &accept](Core&) {
          Visit found;
          const VisitBounds bounds{.entries_max = entries_max, .work_max = kScanWorkMax};
          found.live = shard->VisitLive(begin, bounds, [&](Entry entry) {
            uint64_t work = 0;
            if (entry.namespace_id() != namespace_id || !accept(entry.key(), work)) return work;
            found.keys.emplace_back(entry.key());
            found.bytes += entry.key().size();
            return work + entry.key().size();
          });
          return found;
        });
    if (visit.live.unproven || visit.live.undecided) {
      const Outcome outcome =
          co_await here.CallTaskOn(owner, [shard](Core&) { return shard->MakeClockDurable(); });
      if (outcome != Outcome::kDone) {
        step.outcome = outcome;
        co_return step;
      }
      // For that a key's time has to end while a write that gives it more is under way.
      if (visit.live.undecided) continue;
    }
    for (std::string& key : visit.keys) step.keys.push_back(std::move(key));
    step_bytes += visit.bytes;
    left = step_bytes >= kScanBytesMax ? 0 : left - std::min(left, visit.live.visited);
    if (visit.live.next) {
      begin = *visit.live.next;
      if (left > 0) continue;
      step.cursor = begin >> kCursorShift;
      co_return step;
    }
    if (++owner == here.count()) co_return step;
    begin = RangeOf(owner, here.count()).first;
    // Keys that share a cursor come in one reply, also where two owners meet within one.
    const bool whole = (begin & ((uint64_t{1} << kCursorShift) - 1)) == 0;
    if (left == 0 && whole) {
      step.cursor = begin >> kCursorShift;
      co_return step;
    }
    left = std::max<size_t>(left, 1);
  }
}

Task<uint64_t> Store::CountKeys(Core& here, uint32_t namespace_id,
                                std::span<const KeyName> but_for) {
  uint64_t count = 0;
  for (uint32_t id = 0; id < here.count(); ++id) {
    const Shard* shard = shards_[id].get();
    // Owners have ranges of hashes, in the order of their numbers.
    const auto end =
        std::partition_point(but_for.begin(), but_for.end(),
                             [this, id](const KeyName& name) { return OwnerOf(name.hash) <= id; });
    auto own = but_for.first(static_cast<size_t>(end - but_for.begin()));
    but_for = but_for.subspan(own.size());
    uint64_t all = 0;
    uint64_t there = 0;
    do {
      const auto step = own.first(std::min(own.size(), kCountStepMax));
      own = own.subspan(step.size());
      there += co_await here.CallOn(id, [shard, namespace_id, step, &all](Core&) {
        const Table& table = shard->table();
        all = namespace_id == kEveryNamespace ? table.count() : table.count(namespace_id);
        return CountThere(*shard, namespace_id, step);
      });
    } while (!own.empty());
    // Some of them may have gone between the steps.
    count += all - std::min(all, there);
  }
  co_return count;
}

uint64_t Store::CountThere(const Shard& shard, uint32_t namespace_id,
                           std::span<const KeyName> names) {
  uint64_t count = 0;
  while (!names.empty()) {
    const auto group = names.first(std::min(Shard::kPrefetchMax, names.size()));
    names = names.subspan(group.size());
    std::array<uint64_t, Shard::kPrefetchMax> hashes;
    std::transform(group.begin(), group.end(), hashes.begin(),
                   [](const KeyName& name) { return name.hash; });
    shard.Prefetch(std::span(hashes.data(), group.size()));
    for (const KeyName& name : group) {
      const TableKey key{.hash = name.hash, .namespace_id = namespace_id, .key = name.key};
      if (shard.table().Find(key)) ++count;
    }
  }
  return count;
}

Task<std::vector<NamespaceCount>> Store::CountNumbered(Core& here) {
  std::vector<NamespaceCount> counts(kNumberedNamespaces);
  for (uint32_t id = 0; id < here.count(); ++id) {
    const Shard* shard = shards_[id].get();
    co_await here.CallOn(id, [shard, &counts](Core&) {
      for (uint32_t number = 0; number < kNumberedNamespaces; ++number) {
        counts[number].namespace_id = number;
        counts[number].keys += shard->table().count(number);
        counts[number].expiring += shard->table().expiring(number);
      }
      return true;
    });
  }
  std::erase_if(counts, [](const NamespaceCount& count) { return count.keys == 0; });
  co_return counts;
}

Task<RandomDraw> Store::RandomKey(Core& here, uint32_t namespace_id) {
  const auto first = static_cast<uint32_t>(shared_->per_core[here.id()].prng.Below(here.count()));
  for (uint32_t i = 0; i < here.count(); ++i) {
    RandomDraw draw = co_await RandomKeyOf(here, (first + i) % here.count(), namespace_id);
    if (draw.key || draw.outcome != Outcome::kDone) co_return draw;
  }
  co_return RandomDraw();
}

// A few draws; then a walk, step by step, from a random hash to the last and from the first again.
Task<RandomDraw> Store::RandomKeyOf(Core& here, uint32_t owner, uint32_t namespace_id) {
  Shard* shard = shards_[owner].get();
  Prng* prng = &shared_->per_core[owner].prng;
  RandomDraw draw;
  while (true) {
    std::optional<uint64_t> begin =
        co_await here.CallOn(owner, [shard, prng, namespace_id, &draw](Core&) {
          std::optional<uint64_t> walk_from;
          if (shard->table().count(namespace_id) == 0) return walk_from;
          const Entry entry = shard->RandomLive(*prng, namespace_id);
          if (entry) {
            draw.key = entry.key();
          } else {
            walk_from = shard->RandomHash(*prng);
          }
          return walk_from;
        });
    if (!begin) co_return draw;
    bool unproven = false;
    bool undecided = false;
    for (int round = 0; round < 2 && !draw.key; ++round) {
      while (begin && !draw.key) {
        const uint64_t from = *begin;
        const Shard::LiveVisit visit =
            co_await here.CallOn(owner, [shard, from, namespace_id, &draw](Core&) {
              const VisitBounds bounds{.entries_max = kScanStepMax};
              return shard->VisitLive(from, bounds, [&](Entry entry) {
                if (!draw.key && entry.namespace_id() == namespace_id) draw.key = entry.key();
                return uint64_t{0};
              });
            });
        unproven = unproven || visit.unproven;
        undecided = undecided || visit.undecided;
        begin = visit.next;
      }
      begin = RangeOf(owner, here.count()).first;
    }
    if (draw.key || (!unproven && !undecided)) co_return draw;
    draw.outcome =
        co_await here.CallTaskOn(owner, [shard](Core&) { return shard->MakeClockDurable(); });
    // Once more, if a write that gave a key more time was under way.
    if (draw.outcome != Outcome::kDone || !undecided) co_return draw;
  }
}

Task<Outcome> Store::Flush(Core& here, uint32_t namespace_id, Lsn* lsn) {
  // Nobody decides a write from here on, so the drop's LSN, above all clocks, divides all writes
  // into those before and those after it.
  co_await AtAllOwners(here, [](Shard& shard) { shard.Freeze(); });
  Shard& own = *shards_[here.id()];
  const Lsn drop_lsn = own.NextLsn();
  if (lsn != nullptr) *lsn = drop_lsn;
  const Outcome outcome = co_await own.WriteDrop(namespace_id, drop_lsn);
  if (outcome == Outcome::kDone) {
    // No reader sees a part of it; no write comes behind it before all owners know of it.
    co_await AtAllOwners(here, [](Shard& shard) { shard.CloseReads(); });
    co_await AtAllOwners(here, [namespace_id, drop_lsn](Shard& shard) {
      shard.Drop(namespace_id, drop_lsn);
      shard.OpenReads();
    });
  }
  co_await AtAllOwners(here, [](Shard& shard) { shard.Thaw(); });
  co_return outcome;
}

Task<Outcome> Store::FlushFor(Core& here, uint32_t namespace_id, Transaction& transaction) {
  if (transaction.too_large()) co_return Outcome::kTooLarge;
  const Outcome outcome = co_await Flush(here, namespace_id);
  Shard& own = *shards_[here.id()];
  transaction.TakeClock(own, own.ExpiryClockMs());
  co_return outcome;
}

Task<void> Store::AtAllOwners(Core& here, absl::FunctionRef<void(Shard&)> what) {
  for (uint32_t id = 0; id < here.count(); ++id) {
    Shard* shard = shards_[id].get();
    co_await here.CallOn(id, [shard, what](Core&) {
      what(*shard);
      return true;
    });
  }
}

Task<StoreStats> Store::Stats(Core& here) {
  StoreStats stats;
  for (uint32_t id = 0; id < here.count(); ++id) {
    const Shard* shard = shards_[id].get();
    co_await here.CallOn(id, [shard, &stats](Core&) {
      shard->AddTo(stats);
      return true;
    });
  }
  const Compactor* compactor = shared_->compactor.get();
  const CompactionCounters compaction =
      co_await here.CallOn(0, [compactor](Core&) { return compactor->counters(); });
  const MemoryBudget* memory = shared_->memory.get();
  stats.memory_bytes += co_await here.CallOn(0, [memory](Core&) { return memory->fixed_bytes(); });
  stats.memory_limit_bytes =
      co_await here.CallOn(0, [memory](Core&) { return memory->limit_bytes(); });
  stats.segments = compaction.listed_segments;
  stats.disk_bytes = compaction.disk_bytes;
  stats.compacted_segments = compaction.segments;
  stats.compaction_copied_bytes = compaction.copied_bytes;
  stats.compaction_block_bytes = compaction.block_bytes;
  if (stats.record_bytes != 0) {
    stats.write_amplification_percent =
        (stats.block_bytes + stats.compaction_block_bytes) * 100 / stats.record_bytes;
  }
  stats.slowed_permille = compaction.slowed_permille;
  stats.damaged_segments = compaction.damaged;
  stats.read_only = read_only();
  co_return stats;
}

// ---- For operators ----

Task<CheckReport> Store::Check(Core& here) {
  co_return co_await here.CallTaskOn(0, [this](Core&) { return CheckOnCore0(); });
}

Task<CheckReport> Store::CheckOnCore0() {
  const bool mine = co_await shared_->one_check.Acquire();
  PAKV_CHECK(mine, "nothing asks it to stop");
  CheckReport report = co_await CheckBooks(shared_->cores.core(0), shards_, *shared_->directory,
                                           *shared_->recovered.manifest);
  shared_->one_check.Release();
  co_return report;
}

Task<CompactionProgress> Store::RequestCompaction(Core& here, uint32_t gain_percent) {
  Compactor* compactor = shared_->compactor.get();
  co_return co_await here.CallOn(
      0, [compactor, gain_percent](Core&) { return compactor->Request(gain_percent); });
}

Task<std::optional<CompactionProgress>> Store::CompactionProgressOf(Core& here, uint64_t number) {
  const Compactor* compactor = shared_->compactor.get();
  co_return co_await here.CallOn(
      0, [compactor, number](Core&) { return compactor->ProgressOf(number); });
}

}  // namespace pakv
