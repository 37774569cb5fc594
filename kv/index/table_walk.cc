// Table: what goes over many entries, in the order of their hashes.
#include <algorithm>
#include <map>

#include "kv/index/table.h"
#include "runtime/base/prefetch.h"

namespace pakv {
namespace {

// SCAN's unit: clients keep cursors in a double, which holds 52 bits and to spare.
constexpr uint32_t kGroupShift = 12;

}  // namespace

struct Table::Gathered {
  struct Head {
    uint64_t hash;
    uint32_t handle;  // of the chain's first item
  };
  Head heads[kBucketSlotsMax];
  uint32_t count = 0;
  bool is_last = false;      // no bucket behind it
  uint64_t next_normal = 0;  // where the next bucket begins, if not
};

void Table::Gather(uint64_t normal_begin, Gathered& gathered) const {
  uint32_t bits = 0;
  const DirectoryRef bucket = directory_.Find(normal_begin, bits);
  const uint64_t normal_last = normal_begin | (bits == 64 ? 0 : ~uint64_t{0} >> bits);
  gathered.is_last = normal_last >= Normal(range_.last);
  gathered.next_normal = normal_last + 1;
  gathered.count = 0;
  BucketSlot slots[kBucketSlotsMax];
  const uint32_t count = CopySlots(bucket, slots);
  for (uint32_t i = 0; i < count; ++i) PrefetchLine(items_.At(slots[i].handle));
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t handle = slots[i].handle;
    const uint64_t hash = items_.At(handle)->hash;
    if (Normal(hash) >= normal_begin) gathered.heads[gathered.count++] = {hash, handle};
  }
  std::sort(gathered.heads, gathered.heads + gathered.count,
            [](const Gathered::Head& a, const Gathered::Head& b) { return a.hash < b.hash; });
}

std::optional<uint64_t> Table::VisitFrom(uint64_t hash_begin, uint32_t entries_max,
                                         absl::FunctionRef<void(Entry)> visit) const {
  return VisitFrom(hash_begin, VisitBounds{.entries_max = entries_max}, [&](Entry entry) {
    visit(entry);
    return uint64_t{0};
  });
}

std::optional<uint64_t> Table::VisitFrom(uint64_t hash_begin, const VisitBounds& bounds,
                                         absl::FunctionRef<uint64_t(Entry)> visit) const {
  if (hash_begin > range_.last) return std::nullopt;
  uint64_t normal = Normal(std::max(hash_begin, range_.first));
  uint64_t visited = 0;
  uint64_t work = 0;
  uint64_t group = hash_begin >> kGroupShift;
  while (true) {
    Gathered gathered;
    Gather(normal, gathered);
    for (uint32_t i = 0; i < gathered.count; ++i) {
      const auto [hash, head] = gathered.heads[i];
      const bool is_enough = visited >= bounds.entries_max || work >= bounds.work_max;
      if (visited > 0 && is_enough && hash >> kGroupShift != group) {
        return hash >> kGroupShift << kGroupShift;
      }
      group = hash >> kGroupShift;
      for (uint32_t handle = head; handle != ChunkArena::kNoHandle;) {
        Item* item = items_.At(handle);
        handle = item->next();
        work += visit(Entry(item));
        ++visited;
      }
    }
    if (gathered.is_last) return std::nullopt;
    normal = gathered.next_normal;
  }
}

std::optional<uint64_t> Table::SweepFrom(uint64_t hash_begin, uint32_t entries_max,
                                         absl::FunctionRef<bool(Entry)> unwanted) {
  if (hash_begin > range_.last) return std::nullopt;
  uint64_t normal = Normal(std::max(hash_begin, range_.first));
  uint64_t looked_at = 0;
  uint64_t group = hash_begin >> kGroupShift;
  while (true) {
    Gathered gathered;
    Gather(normal, gathered);
    bool erased = false;
    for (uint32_t i = 0; i < gathered.count && !erased; ++i) {
      const auto [hash, head] = gathered.heads[i];
      if (looked_at > 0 && looked_at >= entries_max && hash >> kGroupShift != group) {
        return hash >> kGroupShift << kGroupShift;
      }
      group = hash >> kGroupShift;
      for (uint32_t handle = head; handle != ChunkArena::kNoHandle && !erased;) {
        Item* item = items_.At(handle);
        ++looked_at;
        if (unwanted(Entry(item))) {
          // Erasing moves items and buckets: gather again, from this hash on.
          EraseReference(ReferenceTo(hash, handle));
          normal = Normal(hash);
          erased = true;
        } else {
          handle = item->next();
        }
      }
    }
    if (erased) continue;
    if (gathered.is_last) return std::nullopt;
    normal = gathered.next_normal;
  }
}

bool Table::RecountStep(uint32_t entries_max) {
  if (recount_ == nullptr) recount_ = std::make_unique<Recount>();
  const std::optional<uint64_t> next = VisitFrom(recount_->next, entries_max, [this](Entry entry) {
    if (entry.tombstone()) return;
    const Location location = entry.location();
    recount_->live.Add(location.segment, location.length);
  });
  recount_->all_seen = !next.has_value();
  if (next) recount_->next = *next;
  return recount_->all_seen;
}

Entry Table::RandomEntry(Prng& prng) const {
  const uint32_t handle = items_.Random(prng);
  return handle == ChunkArena::kNoHandle ? Entry() : Entry(items_.At(handle));
}

void Table::CheckInvariants() const {
  directory_.CheckInvariants();
  uint64_t items = 0;
  uint64_t buckets = 0;
  uint64_t tombstones = 0;
  uint64_t expiring = 0;
  uint64_t dropped = 0;
  std::map<uint32_t, OfNamespace> counts;
  uint64_t files = 0;
  uint64_t file_bytes = 0;
  LiveBytes live;
  uint64_t normal = 0;
  while (true) {
    uint32_t bits = 0;
    const DirectoryRef bucket = directory_.Find(normal, bits);
    BucketSlot slots[kBucketSlotsMax];
    CheckBucket(bucket);
    const uint32_t count = CopySlots(bucket, slots);
    PAKV_CHECK((count == 0) == (bucket.line_count() == 0), "empty buckets have no memory");
    PAKV_CHECK(count <= bucket.line_count() * BucketLine::kSlots);
    buckets += bucket.line_count() > 0 ? 1 : 0;
    for (uint32_t i = 0; i < count; ++i) {
      const BucketSlot slot = slots[i];
      const uint64_t hash = items_.At(slot.handle)->hash;
      PAKV_CHECK(slot.tag == TagOf(hash) && range_.Contains(hash));
      PAKV_CHECK(bits == 0 || (Normal(hash) ^ normal) >> (64 - bits) == 0);
      for (uint32_t handle = slot.handle; handle != ChunkArena::kNoHandle;) {
        Item* item = items_.At(handle);
        PAKV_CHECK(item->hash == hash);
        PAKV_CHECK(ReferenceTo(hash, handle).handle == handle);
        ++items;
        const bool is_dropped = IsDropped(Entry(item));
        const uint64_t expires = item->Has(Item::kHasExpiry) && !is_dropped ? 1 : 0;
        expiring += expires;
        files += item->Has(Item::kHasFile) ? 1 : 0;
        file_bytes += item->file_bytes();
        if (item->Has(Item::kTombstone)) {
          ++tombstones;
        } else if (is_dropped) {
          ++dropped;
          live.Add(item->segment, item->length);
        } else {
          ++counts[item->namespace_id()].keys;
          counts[item->namespace_id()].expiring += expires;
          live.Add(item->segment, item->length);
        }
        handle = item->next();
      }
    }
    const uint64_t normal_last = normal | (bits == 64 ? 0 : ~uint64_t{0} >> bits);
    if (normal_last == ~uint64_t{0}) break;
    normal = normal_last + 1;
  }
  PAKV_CHECK(items == items_.size());
  PAKV_CHECK(live.List() == live_.List() && live.total() == live_.total());
  PAKV_CHECK(buckets == buckets_.buckets());
  PAKV_CHECK(tombstones == tombstones_);
  PAKV_CHECK(expiring == expiring_);
  PAKV_CHECK(dropped == dropped_);
  PAKV_CHECK(counts[0].keys == zero_.keys && counts[0].expiring == zero_.expiring);
  PAKV_CHECK(files == files_ && file_bytes == file_bytes_);
  counts.erase(0);
  PAKV_CHECK(counts.size() == counts_.size());
  for (const auto& [namespace_id, of] : counts) {
    PAKV_CHECK(count(namespace_id) == of.keys && this->expiring(namespace_id) == of.expiring);
  }
}

}  // namespace pakv
