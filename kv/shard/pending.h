// PendingTable: the writes of one core that are not durable yet, by key. Small and hot beside the
// index: a key without pending writes costs nothing here.
//
// Each key has its pending writes as a chain from the newest to the oldest, linked in the requests
// themselves, and, while its value is being read from the device, a queue of requests that wait for
// that: then it has no pending writes, since they all came after.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "kv/shard/request.h"
#include "runtime/base/intrusive_list.h"

namespace pakv {

// Requests on one key, in order, behind a device read.
struct BlockedKey {
  uint64_t hash = 0;
  uint32_t namespace_id = 0;
  IntrusiveList<Request> waiting;  // the head is the one that the read is for
  std::string_view key() { return waiting.front().key; }
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

  // The key's slot, nullptr if nothing is pending. Valid until the table is changed.
  Slot* Find(uint64_t hash, uint32_t namespace_id, std::string_view key);

  // `request` is now the key's newest pending write. Its pending fields are set.
  void PushNewest(Request& request);
  // `request`, the key's oldest pending write, has settled.
  void RemoveOldest(Request& request);

  // `request`'s key waits for the device; the request is the queue's head.
  BlockedKey& Block(Request& request);
  // Ends that; the caller has taken the waiting requests.
  void Unblock(BlockedKey& blocked);

 private:
  static constexpr size_t kInitialSlots = 4096;

  static bool Matches(const Slot& slot, uint64_t hash, uint32_t namespace_id, std::string_view key);
  size_t Home(uint64_t hash) const;
  Slot& FindOrInsert(uint64_t hash, uint32_t namespace_id, std::string_view key);
  void EraseAt(size_t index);
  void Grow();

  std::vector<Slot> slots_;  // a power of two; linear probing, no tombstones
  size_t count_ = 0;
};

}  // namespace pakv
