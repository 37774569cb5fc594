#include "kv/index/table.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "runtime/base/prefetch.h"
#include "runtime/base/seeded_bug.h"

namespace pakv {

// Adds what one operation moved and wrote to the record of the most.
class Table::WorkScope {
 public:
  explicit WorkScope(Table& table) : table_(table), before_(table.work_total()) {}
  ~WorkScope() { table_.work_max_ = std::max(table_.work_max_, table_.work_total() - before_); }
  WorkScope(const WorkScope&) = delete;
  WorkScope& operator=(const WorkScope&) = delete;

 private:
  Table& table_;
  const uint64_t before_;
};

Table::Table(HashRange range, const Drops* drops)
    : range_(range),
      shift_(std::min(63, std::countl_zero(range.last - range.first))),
      drops_(drops) {
  PAKV_CHECK(range.first <= range.last);
}

Table::~Table() = default;

void Table::PrefetchBucket(uint64_t hash) const {
  const DirectoryRef bucket = directory_.Find(Normal(hash));
  if (bucket.line_count() == 0) return;
  PrefetchLine(&bucket.lines()[HomeOf(TagOf(hash), bucket.line_count())]);
}

void Table::PrefetchItem(uint64_t hash) const {
  FindSlot(directory_.Find(Normal(hash)), TagOf(hash), [&](uint32_t handle) {
    // Its place alone: to the end of a key of sixteen bytes that is all there is to it.
    const char* const item = reinterpret_cast<const char*>(items_.At(handle));
    PrefetchLine(item);
    PrefetchLine(item + sizeof(Item) + 15);
    return true;
  });
}

Entry Table::FindByHash(uint64_t hash) const {
  const Reference head = HeadOf(hash);
  return head.slot == nullptr ? Entry() : Entry(items_.At(head.handle));
}

Entry Table::Find(const TableKey& key) const {
  Item* found = nullptr;
  FindSlot(directory_.Find(Normal(key.hash)), TagOf(key.hash), [&](uint32_t handle) {
    Item* item = items_.At(handle);
    if (item->hash != key.hash) return false;
    while (!item->Is(key.namespace_id, key.key)) {
      const uint32_t next = item->next();
      if (next == ChunkArena::kNoHandle) return true;
      item = items_.At(next);
    }
    found = item;
    return true;
  });
  const Entry entry(found);
  return found != nullptr && IsDropped(entry) ? Entry() : entry;
}

Table::Reference Table::HeadOf(uint64_t hash) const {
  Reference head;
  head.slot = FindSlot(directory_.Find(Normal(hash)), TagOf(hash),
                       [&](uint32_t handle) { return items_.At(handle)->hash == hash; });
  if (head.slot != nullptr) head.handle = *head.slot;
  return head;
}

Table::Reference Table::Follow(Reference reference, const TableKey& key) const {
  while (reference.handle != ChunkArena::kNoHandle) {
    Item* item = items_.At(reference.handle);
    if (item->Is(key.namespace_id, key.key)) break;
    reference.before = item;
    reference.handle = item->next();
  }
  return reference;
}

// Never touches the memory of `handle` itself: it may be gone already.
Table::Reference Table::ReferenceTo(uint64_t hash, uint32_t handle) const {
  Reference reference;
  reference.slot = FindSlot(directory_.Find(Normal(hash)), TagOf(hash), [&](uint32_t head) {
    if (head == handle) return true;
    Item* item = items_.At(head);
    if (item->hash != hash) return false;
    while (item->next() != handle) {
      PAKV_CHECK(item->next() != ChunkArena::kNoHandle, "each item is referred to");
      item = items_.At(item->next());
    }
    reference.before = item;
    return true;
  });
  PAKV_CHECK(reference.slot != nullptr, "each item is referred to");
  reference.handle = handle;
  return reference;
}

void Table::Redirect(const Reference& reference, uint32_t handle) {
  if (reference.before != nullptr) {
    reference.before->set_next(handle);
  } else {
    *reference.slot = handle;
  }
}

void Table::Account(Item& item, int change) {
  if (item.Has(Item::kHasFile)) [[unlikely]] {
    files_ += change;
    file_bytes_ += change > 0 ? item.file_bytes() : 0 - item.file_bytes();
  }
  if (IsDropped(Entry(&item))) [[unlikely]] {
    dropped_ += change;
    return;
  }
  const int expiring = item.Has(Item::kHasExpiry) ? change : 0;
  expiring_ += expiring;
  if (item.Has(Item::kTombstone)) {
    tombstones_ += change;
  } else if (!item.Has(Item::kHasNamespace)) {
    zero_.keys += change;
    zero_.expiring += expiring;
  } else {
    const auto counted = counts_.try_emplace(item.namespace_id()).first;
    counted->second.keys += change;
    counted->second.expiring += expiring;
    if (counted->second.keys == 0) counts_.erase(counted);
  }
}

Table::OfNamespace Table::CountsOf(uint32_t namespace_id) const {
  if (namespace_id == 0) return zero_;
  const auto counted = counts_.find(namespace_id);
  return counted == counts_.end() ? OfNamespace() : counted->second;
}

void Table::Drop(uint32_t namespace_id) {
  PAKV_CHECK(tombstones_ == 0, "recovery knows its drops before the table does");
  const OfNamespace of = CountsOf(namespace_id);
  dropped_ += of.keys;
  expiring_ -= of.expiring;
  if (namespace_id == 0) {
    zero_ = OfNamespace();
  } else {
    counts_.erase(namespace_id);
  }
}

uint32_t Table::NewItem(const TableKey& key, const Version& version, uint32_t next) {
  uint32_t flags = 0;
  if (next != ChunkArena::kNoHandle) flags |= Item::kHasNext;
  if (key.namespace_id != 0) flags |= Item::kHasNamespace;
  if (version.expiry_ms != kNoExpiry) flags |= Item::kHasExpiry;
  if (version.file != 0) flags |= Item::kHasFile;
  const uint32_t key_length = static_cast<uint32_t>(key.key.size());
  const uint32_t handle = items_.Allocate(Item::Bytes(flags, key_length));
  if (handle == ChunkArena::kNoHandle) return handle;
  Item* item = items_.At(handle);
  item->hash = key.hash;
  item->key_length_and_flags = flags | key_length;
  if (next != ChunkArena::kNoHandle) item->set_next(next);
  if (key.namespace_id != 0) item->set_namespace_id(key.namespace_id);
  if (key_length > 0) std::memcpy(item->mutable_key(), key.key.data(), key_length);
  SetVersion(*item, version);
  return handle;
}

void Table::SetVersion(Item& item, const Version& version) {
  item.lsn = version.lsn;
  item.segment = version.location.segment;
  item.offset = version.location.offset;
  item.length = version.location.length;
  item.cache = 0;
  item.Set(Item::kTombstone, version.tombstone);
  if (version.expiry_ms != kNoExpiry) item.set_expiry_ms(version.expiry_ms);
  if (version.file != 0) item.set_file(version.file, version.file_bytes);
}

Table::Change Table::Upsert(const TableKey& key, const Version& version) {
  PAKV_CHECK(range_.Contains(key.hash), "another core owns this hash");
  PAKV_CHECK(key.key.size() <= Item::kKeyBytesMax);
  WorkScope scope(*this);
  const Reference head = HeadOf(key.hash);
  const Reference found = Follow(head, key);
  if (found.handle == ChunkArena::kNoHandle) {
    const uint32_t handle = NewItem(key, version, head.handle);
    if (handle == ChunkArena::kNoHandle) return {.outcome = Outcome::kFull};
    if (head.slot != nullptr) {
      *head.slot = handle;
    } else {
      InsertSlot(key.hash, handle);
    }
    Account(*items_.At(handle), +1);
    if (!version.tombstone) Refer(key.hash, version.location.segment, version.location.length);
    return {.outcome = Outcome::kInserted, .entry = Entry(items_.At(handle))};
  }
  Item* item = items_.At(found.handle);
  Change change{.outcome = Outcome::kReplaced, .entry = Entry(item)};
  change.previous = change.entry.version();
  if (item->lsn >= version.lsn) {
    change.outcome = Outcome::kStale;
    return change;
  }
  change.cache = item->cache;
  if ((version.expiry_ms != kNoExpiry) == item->Has(Item::kHasExpiry) &&
      (version.file != 0) == item->Has(Item::kHasFile)) {
    const bool recount = change.previous.tombstone != version.tombstone || version.file != 0 ||
                         IsDropped(change.entry);
    if (recount) Account(*item, -1);
    SetVersion(*item, version);
    if (recount) Account(*item, +1);
  } else {
    const bool referenced = item->Has(Item::kReferenced);
    const uint32_t handle = NewItem(key, version, item->next());
    if (handle == ChunkArena::kNoHandle) return {.outcome = Outcome::kFull};
    items_.At(handle)->Set(Item::kReferenced, referenced);
    Account(*item, -1);
    Account(*items_.At(handle), +1);
    Redirect(found, handle);
    const ItemStore::Moved moved = FreeItem(found.handle);
    change.entry = Entry(items_.At(moved.from == handle ? moved.to : handle));
  }
  const Location& old = change.previous.location;
  if (!change.previous.tombstone && !PAKV_BUG(kLiveBytesDrift)) {
    Unrefer(key.hash, old.segment, old.length);
  }
  if (!version.tombstone) Refer(key.hash, version.location.segment, version.location.length);
  return change;
}

Table::Change Table::Erase(const TableKey& key, Lsn lsn) {
  const Reference found = Follow(HeadOf(key.hash), key);
  if (found.handle == ChunkArena::kNoHandle) return {.outcome = Outcome::kMissing};
  Item* item = items_.At(found.handle);
  Change change{.outcome = Outcome::kErased, .previous = Entry(item).version()};
  if (item->lsn >= lsn) {
    change.outcome = Outcome::kStale;
    change.entry = Entry(item);
    return change;
  }
  change.cache = item->cache;
  EraseReference(found);
  return change;
}

bool Table::MoveLocation(uint64_t hash, Lsn lsn, Location from, Location to) {
  uint32_t handle = HeadOf(hash).handle;
  if (handle == ChunkArena::kNoHandle) return false;
  Item* item = items_.At(handle);
  const auto is_it = [&] { return item->lsn == lsn && Entry(item).location() == from; };
  while (!is_it() && !PAKV_BUG(kCompactionOverwritesNewer)) {
    handle = item->next();
    if (handle == ChunkArena::kNoHandle) return false;
    item = items_.At(handle);
  }
  const Location now = Entry(item).location();
  if (!item->Has(Item::kTombstone)) {
    Unrefer(hash, now.segment, now.length);
    Refer(hash, to.segment, to.length);
  }
  item->segment = to.segment;
  item->offset = to.offset;
  item->length = to.length;
  return true;
}

bool Table::ForgetCached(uint64_t hash, uint32_t cache) {
  for (uint32_t handle = HeadOf(hash).handle; handle != ChunkArena::kNoHandle;) {
    Item* item = items_.At(handle);
    if (item->cache == cache) {
      item->cache = 0;
      return true;
    }
    handle = item->next();
  }
  return false;
}

void Table::EraseReference(const Reference& reference) {
  WorkScope scope(*this);
  Item* item = items_.At(reference.handle);
  Account(*item, -1);
  if (!item->Has(Item::kTombstone)) Unrefer(item->hash, item->segment, item->length);
  if (reference.before != nullptr || item->next() != ChunkArena::kNoHandle) {
    Redirect(reference, item->next());
  } else {
    EraseSlot(item->hash, reference.slot);
  }
  FreeItem(reference.handle);
}

ItemStore::Moved Table::FreeItem(uint32_t handle) {
  const ItemStore::Moved moved = items_.Free(handle);
  if (moved.from != ChunkArena::kNoHandle) {
    Redirect(ReferenceTo(items_.At(moved.to)->hash, moved.from), moved.to);
    ++work_;
  }
  return moved;
}

void Table::FreeBucket(DirectoryRef bucket) {
  const DirectoryRef moved = buckets_.Free(bucket);
  if (moved.line_count() == 0) return;
  const uint64_t hash = items_.At(AnyHandle(moved))->hash;
  const Directory::Place place = directory_.Locate(Normal(hash));
  PAKV_CHECK(place.ref.line_count() == moved.line_count());
  directory_.Replace(place, moved);
  work_ += CountOf(moved);
}

void Table::Resize(const Directory::Place& place, const BucketSlot* slots, uint32_t count) {
  directory_.Replace(place, buckets_.New(slots, count));
  work_ += count;
  FreeBucket(place.ref);
}

void Table::InsertSlot(uint64_t hash, uint32_t handle) {
  const BucketSlot slot{TagOf(hash), handle};
  while (true) {
    const Directory::Place place = directory_.Locate(Normal(hash));
    const uint32_t count = CountOf(place.ref);
    if (count < place.ref.line_count() * BucketLine::kSlots) {
      AddSlot(place.ref, slot);
      return;
    }
    if (count < kBucketSlotsMax) {
      BucketSlot slots[kBucketSlotsMax];
      CopySlots(place.ref, slots);
      slots[count] = slot;
      Resize(place, slots, count + 1);
      return;
    }
    // All slots may go to one side, then again: at most 64 times, as no two share all bits.
    SplitBucket(place);
  }
}

void Table::SplitBucket(const Directory::Place& place) {
  BucketSlot slots[kBucketSlotsMax];
  BucketSlot low[kBucketSlotsMax];
  BucketSlot high[kBucketSlotsMax];
  uint32_t low_count = 0;
  uint32_t high_count = 0;
  const uint32_t count = CopySlots(place.ref, slots);
  for (uint32_t i = 0; i < count; ++i) PrefetchLine(items_.At(slots[i].handle));
  for (uint32_t i = 0; i < count; ++i) {
    const BucketSlot slot = slots[i];
    if (Normal(items_.At(slot.handle)->hash) >> (63 - place.bits) & 1) {
      high[high_count++] = slot;
    } else {
      low[low_count++] = slot;
    }
  }
  directory_.Split(place, buckets_.New(low, low_count), buckets_.New(high, high_count));
  work_ += count;
  FreeBucket(place.ref);
}

void Table::EraseSlot(uint64_t hash, const uint32_t* slot) {
  Directory::Place place = directory_.Locate(Normal(hash));
  RemoveSlot(place.ref, slot);
  const uint32_t count = CountOf(place.ref);
  if (count == 0) {
    Resize(place, nullptr, 0);
    place = directory_.Locate(Normal(hash));
  }
  bool merged = false;
  while (CountOf(place.ref) <= kMergeSlotsMax / 2 && TryMerge(place)) {
    merged = true;
    place = directory_.Locate(Normal(hash));
  }
  if (!merged && count > 0 &&
      count + kShrinkSlack <= (place.ref.line_count() - 1) * BucketLine::kSlots) {
    BucketSlot slots[kBucketSlotsMax];
    CopySlots(place.ref, slots);
    Resize(place, slots, count);
  }
}

bool Table::TryMerge(const Directory::Place& place) {
  const std::optional<DirectoryRef> buddy = directory_.Buddy(place);
  if (!buddy) return false;
  const uint32_t count = CountOf(place.ref);
  const uint32_t buddy_count = CountOf(*buddy);
  if (count + buddy_count > kMergeSlotsMax) return false;
  BucketSlot slots[kMergeSlotsMax];
  CopySlots(place.ref, slots);
  CopySlots(*buddy, slots + count);
  directory_.Merge(place, buckets_.New(slots, count + buddy_count));
  work_ += count + buddy_count;
  // Neither hangs in the directory any more, so neither may be the one that moves.
  DirectoryRef first = place.ref;
  DirectoryRef second = *buddy;
  if (buckets_.IsLast(second)) std::swap(first, second);
  FreeBucket(first);
  FreeBucket(second);
  return true;
}

bool Table::DropStep(uint32_t steps_max) {
  return items_.Drop(steps_max) && buckets_.Drop(steps_max) && directory_.Drop(steps_max);
}

size_t Table::bytes_used() const {
  return sizeof(*this) + directory_.bytes_used() + buckets_.bytes_used() + items_.bytes_used() +
         counts_bytes_ + live_.bytes_used() +
         (recount_ == nullptr ? 0 : sizeof(*recount_) + recount_->live.bytes_used());
}

}  // namespace pakv
