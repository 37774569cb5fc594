// The published index of one core: key -> version, where its record lies, its value in the cache.
//
// Shape: a directory (trie over the hash's leading bits) leads to buckets of up to 40 slots, a slot
// {16-bit tag, 4-byte handle} to the item, 36 bytes and the key. A hit costs one miss for the
// bucket and one for the item; tags keep misses from touching items. Buckets lie in the order of
// hashes.
//
// Kept at any time: no operation touches more than a bounded number of slots and entries, whatever
// the size (work_max() counts; there is no rehash); memory follows what is held, in both
// directions: items and buckets have no holes, deletes merge buckets and shrink the directory.
// That is paid for by moving: whatever changes the table may move items, so an Entry is valid only
// until the next call that is not const.
//
// Hashes come from the caller, mixed with the namespace, and lie in the range given at
// construction. Keys that share a whole 64-bit hash are told apart, at linear cost. One core owns a
// table; nothing suspends, does I/O or calls back but for the visitors named as such. Out of memory
// aborts.
#pragma once

#include <absl/container/btree_map.h>
#include <absl/functional/function_ref.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "kv/index/bucket.h"
#include "kv/index/directory.h"
#include "kv/index/drops.h"
#include "kv/index/hash_range.h"
#include "kv/index/item_store.h"
#include "kv/index/live_bytes.h"
#include "kv/log/format/format.h"
#include "kv/log/format/lsn.h"
#include "runtime/base/prng.h"

namespace pakv {

struct TableKey {
  uint64_t hash = 0;
  uint32_t namespace_id = 0;
  std::string_view key;  // at most Item::kKeyBytesMax bytes
};

struct Version {
  Lsn lsn = kNoLsn;
  Location location;
  uint64_t expiry_ms = kNoExpiry;  // kNoExpiry: none, and then it takes no memory
  bool tombstone = false;          // recovery alone keeps them, until all is read
  // Of a value that lies in a file of its own: the file's number and the value's length. 0: it lies
  // in the record, and then they take no memory.
  uint64_t file = 0;
  uint64_t file_bytes = 0;
  bool operator==(const Version&) const = default;
};

// One key of a table, read in place. The default is no entry.
class Entry {
 public:
  Entry() = default;
  explicit Entry(Item* item) : item_(item) {}

  explicit operator bool() const { return item_ != nullptr; }
  uint64_t hash() const { return item_->hash; }
  uint32_t namespace_id() const { return item_->namespace_id(); }
  std::string_view key() const { return item_->key(); }
  Lsn lsn() const { return item_->lsn; }
  Location location() const { return {item_->segment, item_->offset, item_->length}; }
  uint64_t expiry_ms() const { return item_->expiry_ms(); }
  bool tombstone() const { return item_->Has(Item::kTombstone); }
  uint64_t file() const { return item_->file(); }
  uint64_t file_bytes() const { return item_->file_bytes(); }
  Version version() const {
    return {lsn(), location(), expiry_ms(), tombstone(), file(), file_bytes()};
  }

  // The value's handle in the ValueCache, 0 for none.
  uint32_t cache() const { return item_->cache; }
  void set_cache(uint32_t handle) const { item_->cache = handle; }
  // One bit for the cache's policy. Publishing a version leaves it as it is.
  bool referenced() const { return item_->Has(Item::kReferenced); }
  void set_referenced(bool on) const { item_->Set(Item::kReferenced, on); }

 private:
  Item* item_ = nullptr;
};

// Where a visit stops, whichever comes first.
struct VisitBounds {
  uint32_t entries_max = UINT32_MAX;
  uint64_t work_max = UINT64_MAX;  // in the visitor's own units
};

class Table {
 public:
  // `drops`, which outlives the table, says what is gone without being erased (see Drop).
  explicit Table(HashRange range, const Drops* drops = nullptr);
  ~Table();
  Table(const Table&) = delete;
  Table& operator=(const Table&) = delete;

  // Tombstones are found too; what was dropped is not.
  Entry Find(const TableKey& key) const;
  // For batches, whose misses else come one after another: begins to fetch what Find, Upsert and
  // Erase will look at, for each of `keys`, whose hash `hash_of` tells. Step by step for all of
  // them (the directory's entry, the bucket, the items), as each step's addresses come from what
  // the one before has fetched. Of some 16 at a time; more drive each other out of the first cache.
  template <typename Keys, typename HashOf>
  void Prefetch(const Keys& keys, HashOf hash_of) const {
    for (const auto& key : keys) directory_.Prefetch(Normal(hash_of(key)));
    for (const auto& key : keys) PrefetchBucket(hash_of(key));
    for (const auto& key : keys) PrefetchItem(hash_of(key));
  }
  // An entry with this hash, whatever its key: to fetch what belongs to it in advance.
  Entry FindByHash(uint64_t hash) const;

  enum class Outcome : uint8_t {
    kInserted,
    kReplaced,
    kErased,
    kStale,    // the entry's LSN is not older: nothing changed
    kMissing,  // nothing to erase
    kFull,     // no room for a new item (or 128 GiB of index in one core): nothing changed
  };
  struct Change {
    Outcome outcome = Outcome::kMissing;
    Entry entry = {};       // what stands now; none after kErased, kMissing, kFull
    Version previous = {};  // kReplaced, kErased, kStale: what stood (for kStale: stands)
    uint32_t cache = 0;     // kReplaced, kErased: its cached value, now the caller's to erase
  };
  // Publishes a version if there is none or an older one. The entry then has no cached value.
  Change Upsert(const TableKey& key, const Version& version);
  // Removes the entry if its LSN is older than `lsn`.
  Change Erase(const TableKey& key, Lsn lsn);
  // Compaction moved a record: follows if an entry with this hash still is that version at that
  // place. A place means one record for ever, so its key need not be compared.
  bool MoveLocation(uint64_t hash, Lsn lsn, Location from, Location to);
  // The cache dropped a value: forgets the handle, if an entry with this hash holds it.
  bool ForgetCached(uint64_t hash, uint32_t cache);

  // Visits entries in the order of their hashes' top 52 bits, from those of `hash_begin` on; stops
  // behind `entries_max` of them, but never between two that share the top 52 bits. Returns the
  // hash to go on from (its low 12 bits are 0), nothing at the range's end. An entry present from
  // the first to the last of a chain of calls is visited, whatever changes between them. The
  // visitor may use the Entry's setters; it may not call the table.
  std::optional<uint64_t> VisitFrom(uint64_t hash_begin, uint32_t entries_max,
                                    absl::FunctionRef<void(Entry)> visit) const;
  // The same, bounded by work as well: `visit` returns what the entry has cost.
  std::optional<uint64_t> VisitFrom(uint64_t hash_begin, const VisitBounds& bounds,
                                    absl::FunctionRef<uint64_t(Entry)> visit) const;
  // The same walk, erasing each entry for which `unwanted` is true (it has to free the cached
  // value itself). Bounded as VisitFrom, here by entries looked at. For tombstones at recovery's
  // end, dropped namespaces, expired keys. Both walks meet what was dropped.
  std::optional<uint64_t> SweepFrom(uint64_t hash_begin, uint32_t entries_max,
                                    absl::FunctionRef<bool(Entry)> unwanted);
  // Each entry, tombstones and dropped ones too, is equally likely; none if the table is empty.
  Entry RandomEntry(Prng& prng) const;

  // `drops` has just taken in one that all of the namespace's entries are older than: they are
  // absent from now on, and count no more. They keep their memory, and their records live, until
  // they are swept out or replaced. No tombstones are left by then.
  void Drop(uint32_t namespace_id);
  bool IsDropped(Entry entry) const {
    if (dropped_ == 0) [[likely]]
      return false;
    return entry.lsn() < drops_->Of(entry.namespace_id());
  }
  // Entries that were dropped and are still there.
  uint64_t dropped() const { return dropped_; }

  // Bytes of the records that the entries refer to, by segment; tombstones' are dead. Exact.
  const LiveBytes& live_bytes() const { return live_; }
  void TrimLiveBytes() { live_.Trim(); }
  // Counts them again, in steps bounded as VisitFrom, while the table goes on changing: true when
  // all entries were seen. Then `recounted` is what `live_bytes` has to be; EndRecount forgets it.
  bool RecountStep(uint32_t entries_max);
  const LiveBytes& recounted() const { return recount_->live; }
  void EndRecount() { recount_.reset(); }

  // Entries, tombstones and dropped ones not counted.
  uint64_t count() const { return items_.size() - tombstones_ - dropped_; }
  uint64_t count(uint32_t namespace_id) const { return CountsOf(namespace_id).keys; }
  uint64_t tombstones() const { return tombstones_; }
  // Of those, the ones with an expiry.
  uint64_t expiring() const { return expiring_; }
  uint64_t expiring(uint32_t namespace_id) const { return CountsOf(namespace_id).expiring; }
  // Entries whose values lie in files, dropped ones too, and the sum of their lengths.
  uint64_t files() const { return files_; }
  uint64_t file_bytes() const { return file_bytes_; }

  // Frees everything in bounded steps: a step is a chunk, a directory node or a large key. True
  // when all is free. After the first call only DropStep and destruction are allowed: to clear a
  // table, put a new one in its place and drop the old one bit by bit.
  bool DropStep(uint32_t steps_max);

  // Whether the system gives the memory that the next few thousand entries take: see ChunkArena.
  bool HasRoomAhead() { return items_.HasRoomAhead() && buckets_.HasRoomAhead(); }
  // Exact: all memory behind the table, allocators' overhead and slack included.
  size_t bytes_used() const;
  // Slots, items and directory entries moved or written by one operation: the most so far, and all.
  uint64_t work_max() const { return work_max_; }
  uint64_t work_total() const { return work_ + directory_.entries_written(); }
  // For tests: aborts unless the whole structure is sound.
  void CheckInvariants() const;

 private:
  void PrefetchBucket(uint64_t hash) const;
  void PrefetchItem(uint64_t hash) const;

  // Two buddies that together hold this many become one; splits leave about twice as many.
  static constexpr uint32_t kMergeSlotsMax = kBucketSlotsMax / 2;
  // Slots that must be free beyond a line before the line goes.
  static constexpr uint32_t kShrinkSlack = 4;

  // What refers to an item: a bucket's slot, or the item before it in a chain of equal hashes.
  struct Reference {
    uint32_t handle = ChunkArena::kNoHandle;
    uint32_t* slot = nullptr;
    Item* before = nullptr;
  };
  class WorkScope;

  uint64_t Normal(uint64_t hash) const { return (hash - range_.first) << shift_; }
  // The reference to the first item with this hash; without a handle if there is none.
  Reference HeadOf(uint64_t hash) const;
  // From the head of a chain to the key's item; without a handle if it is not in the chain.
  Reference Follow(Reference reference, const TableKey& key) const;
  Reference ReferenceTo(uint64_t hash, uint32_t handle) const;
  static void Redirect(const Reference& reference, uint32_t handle);

  uint32_t NewItem(const TableKey& key, const Version& version, uint32_t next);
  static void SetVersion(Item& item, const Version& version);
  ItemStore::Moved FreeItem(uint32_t handle);
  void EraseReference(const Reference& reference);
  void Account(Item& item, int change);
  // The entry with this hash begins, or ends, to refer to a record.
  void Refer(uint64_t hash, uint32_t segment, uint32_t bytes) {
    live_.Add(segment, bytes);
    if (recount_ != nullptr && recount_->Saw(hash)) recount_->live.Add(segment, bytes);
  }
  void Unrefer(uint64_t hash, uint32_t segment, uint32_t bytes) {
    live_.Subtract(segment, bytes);
    if (recount_ != nullptr && recount_->Saw(hash)) recount_->live.Subtract(segment, bytes);
  }

  void InsertSlot(uint64_t hash, uint32_t handle);
  void EraseSlot(uint64_t hash, const uint32_t* slot);
  void SplitBucket(const Directory::Place& place);
  bool TryMerge(const Directory::Place& place);
  void Resize(const Directory::Place& place, const BucketSlot* slots, uint32_t count);
  void FreeBucket(DirectoryRef bucket);

  // The slots of one bucket from a hash on, in order.
  struct Gathered;
  void Gather(uint64_t normal_begin, Gathered& gathered) const;

  const HashRange range_;
  const uint32_t shift_;  // moves the range's hashes to the top of the 64 bits
  Directory directory_;
  BucketStore buckets_;
  ItemStore items_;
  // A recount under way: what lies before `next` was seen.
  struct Recount {
    LiveBytes live;
    uint64_t next = 0;
    bool all_seen = false;
    bool Saw(uint64_t hash) const { return all_seen || hash < next; }
  };
  LiveBytes live_;
  std::unique_ptr<Recount> recount_;
  const Drops* const drops_;
  uint64_t tombstones_ = 0;
  uint64_t expiring_ = 0;
  uint64_t dropped_ = 0;
  struct OfNamespace {
    uint64_t keys = 0;
    uint64_t expiring = 0;
  };
  OfNamespace CountsOf(uint32_t namespace_id) const;
  OfNamespace zero_;  // namespace 0: most users have no other
  uint64_t files_ = 0;
  uint64_t file_bytes_ = 0;

  // Counts its memory, so that bytes_used() stays exact.
  template <typename T>
  struct CountingAllocator {
    using value_type = T;
    explicit CountingAllocator(size_t* bytes_in) : bytes(bytes_in) {}
    template <typename U>
    CountingAllocator(const CountingAllocator<U>& other) : bytes(other.bytes) {}
    T* allocate(size_t count) {
      *bytes += count * sizeof(T);
      return std::allocator<T>().allocate(count);
    }
    void deallocate(T* memory, size_t count) {
      *bytes -= count * sizeof(T);
      std::allocator<T>().deallocate(memory, count);
    }
    template <typename U>
    bool operator==(const CountingAllocator<U>& other) const {
      return bytes == other.bytes;
    }
    size_t* bytes;
  };
  using Counts = absl::btree_map<uint32_t, OfNamespace, std::less<uint32_t>,
                                 CountingAllocator<std::pair<const uint32_t, OfNamespace>>>;
  size_t counts_bytes_ = 0;
  Counts counts_{CountingAllocator<std::pair<const uint32_t, OfNamespace>>(&counts_bytes_)};

  uint64_t work_ = 0;
  uint64_t work_max_ = 0;
};

}  // namespace pakv
