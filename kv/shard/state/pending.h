// PendingTable: the writes of one core that are not durable yet, by key. Small and hot beside the
// index: a key without pending writes costs nothing here.
//
// Each key has its pending writes as a chain from the newest to the oldest, linked in the requests
// themselves, and, while it is blocked, a queue of those who come after. It is blocked while its
// value is read from the device (then it has no pending writes, since they all came after), or by a
// transaction: that holds the key as soon as what is pending before it is durable. So does an edit
// whose value goes to a file (Shard::Edit), which is in the queue's head as a device read is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "kv/shard/messages/request.h"
#include "runtime/base/intrusive_list.h"
#include "runtime/base/prefetch.h"

namespace pakv {

// A key that no further write is decided on, until a device read or a transaction is done with it.
struct BlockedKey {
  uint64_t hash = 0;
  uint32_t namespace_id = 0;
  // The transaction's part that holds it, or will; nullptr for a device read or an edit, and for
  // nobody: those who wait stay in their order while writes are held.
  Request* lock = nullptr;
  // Once it holds the key: every LSN that this key has had is at most this, the transaction's own
  // will be above it.
  Lsn locked_lsn = kNoLsn;
  bool is_kept = false;  // for nobody
  // In order; for a device read or an edit its head is whom that is for.
  IntrusiveList<Request> waiting;
  IntrusiveList<Request> readers;  // that wait for the transaction's end, whatever is in `waiting`
  std::string_view key() { return lock != nullptr ? lock->key : waiting.front().key; }
  bool is_held() const { return locked_lsn != kNoLsn; }
};

class PendingTable {
 public:
  struct Slot {
    uint64_t hash = 0;
    Request* newest = nullptr;
    BlockedKey* blocked = nullptr;  // owned by the table
    bool used() const { return newest != nullptr || blocked != nullptr; }
  };

  PendingTable();
  ~PendingTable();
  PendingTable(const PendingTable&) = delete;
  PendingTable& operator=(const PendingTable&) = delete;

  bool empty() const { return count_ == 0; }
  size_t count() const { return count_; }
  size_t bytes_used() const { return slots_.capacity() * sizeof(Slot); }

  // The key's slot, nullptr if nothing is pending. Valid until the table is changed.
  Slot* Find(uint64_t hash, uint32_t namespace_id, std::string_view key) {
    return const_cast<Slot*>(std::as_const(*this).Find(hash, namespace_id, key));
  }
  const Slot* Find(uint64_t hash, uint32_t namespace_id, std::string_view key) const;

  // Begins to fetch what Find, PushNewest and RemoveOldest look at first.
  void Prefetch(uint64_t hash) const { PrefetchLine(&slots_[Home(hash)]); }

  // `request` is now the key's newest pending write. Its pending fields are set.
  void PushNewest(Request& request);
  // `request`, the key's oldest pending write, has settled. If it was the last one and a
  // transaction or an edit waits for the key, that one's hold on it; as a rule nullptr.
  BlockedKey* RemoveOldest(Request& request);

  // `request`'s key waits for the device, or for an edit; the request is the queue's head.
  BlockedKey& Block(Request& request);
  // `lock` is to have the key, which is not blocked yet but may have pending writes.
  BlockedKey& Lock(Request& lock);
  // Ends either, and `blocked` with it; the caller has taken the waiting requests.
  void Unblock(BlockedKey& blocked);

 private:
  static constexpr size_t kInitialSlots = 4096;

  static bool Matches(const Slot& slot, uint64_t hash, uint32_t namespace_id, std::string_view key);
  // The hash's high bits choose the owner and the bucket of the index: its low ones are left.
  size_t Home(uint64_t hash) const { return hash & (slots_.size() - 1); }
  Slot& FindOrInsert(uint64_t hash, uint32_t namespace_id, std::string_view key);
  BlockedKey& NewBlocked(const Request& request);
  void EraseAt(size_t index);
  void Grow();

  std::vector<Slot> slots_;  // a power of two; linear probing, no tombstones
  size_t count_ = 0;
};

}  // namespace pakv
