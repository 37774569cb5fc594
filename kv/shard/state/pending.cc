#include "kv/shard/state/pending.h"

#include <utility>

#include "runtime/base/check.h"

namespace pakv {

PendingTable::PendingTable() : slots_(kInitialSlots) {}

PendingTable::~PendingTable() {
  for (Slot& slot : slots_) delete slot.blocked;
}

bool PendingTable::Matches(const Slot& slot, uint64_t hash, uint32_t namespace_id,
                           std::string_view key) {
  if (slot.hash != hash) return false;
  if (slot.newest != nullptr) {
    return slot.newest->pending_key_ == key && slot.newest->namespace_id == namespace_id;
  }
  return slot.blocked->key() == key && slot.blocked->namespace_id == namespace_id;
}

const PendingTable::Slot* PendingTable::Find(uint64_t hash, uint32_t namespace_id,
                                             std::string_view key) const {
  for (size_t i = Home(hash); slots_[i].used(); i = (i + 1) & (slots_.size() - 1)) {
    if (Matches(slots_[i], hash, namespace_id, key)) return &slots_[i];
  }
  return nullptr;
}

PendingTable::Slot& PendingTable::FindOrInsert(uint64_t hash, uint32_t namespace_id,
                                               std::string_view key) {
  if ((count_ + 1) * 2 > slots_.size()) Grow();
  size_t i = Home(hash);
  for (; slots_[i].used(); i = (i + 1) & (slots_.size() - 1)) {
    if (Matches(slots_[i], hash, namespace_id, key)) return slots_[i];
  }
  slots_[i].hash = hash;
  ++count_;
  return slots_[i];
}

void PendingTable::Grow() {
  std::vector<Slot> old(slots_.size() * 2);
  old.swap(slots_);
  for (const Slot& slot : old) {
    if (!slot.used()) continue;
    size_t i = Home(slot.hash);
    while (slots_[i].used()) i = (i + 1) & (slots_.size() - 1);
    slots_[i] = slot;
  }
}

// Moves later slots of the run forward, so that no search ends too soon.
void PendingTable::EraseAt(size_t index) {
  const size_t mask = slots_.size() - 1;
  --count_;
  size_t hole = index;
  for (size_t i = (index + 1) & mask; slots_[i].used(); i = (i + 1) & mask) {
    const size_t home = Home(slots_[i].hash);
    // The slot may move to the hole unless its home lies between the two.
    if (((i - home) & mask) >= ((i - hole) & mask)) {
      slots_[hole] = slots_[i];
      hole = i;
    }
  }
  slots_[hole] = Slot{};
}

void PendingTable::PushNewest(Request& request) {
  Slot& slot = FindOrInsert(request.hash, request.namespace_id, request.pending_key_);
  PAKV_DCHECK(slot.blocked == nullptr || slot.blocked->is_held(), "it goes behind those who wait");
  request.older_ = slot.newest;
  request.newer_ = nullptr;
  if (slot.newest != nullptr) slot.newest->newer_ = &request;
  slot.newest = &request;
}

BlockedKey* PendingTable::RemoveOldest(Request& request) {
  PAKV_CHECK(request.older_ == nullptr, "writes of one key settle in their order");
  if (request.newer_ != nullptr) {
    request.newer_->older_ = nullptr;
    request.newer_ = nullptr;
    return nullptr;
  }
  Slot* slot = Find(request.hash, request.namespace_id, request.pending_key_);
  PAKV_CHECK(slot != nullptr && slot->newest == &request);
  if (slot->blocked != nullptr) {
    slot->newest = nullptr;
    return slot->blocked;
  }
  EraseAt(static_cast<size_t>(slot - slots_.data()));
  return nullptr;
}

BlockedKey& PendingTable::NewBlocked(const Request& request) {
  Slot& slot = FindOrInsert(request.hash, request.namespace_id, request.key);
  PAKV_CHECK(slot.blocked == nullptr);
  slot.blocked = new BlockedKey();
  slot.blocked->hash = request.hash;
  slot.blocked->namespace_id = request.namespace_id;
  return *slot.blocked;
}

BlockedKey& PendingTable::Block(Request& request) {
  BlockedKey& blocked = NewBlocked(request);
  blocked.waiting.PushBack(request);
  return blocked;
}

BlockedKey& PendingTable::Lock(Request& lock) {
  BlockedKey& blocked = NewBlocked(lock);
  blocked.lock = &lock;
  return blocked;
}

void PendingTable::Unblock(BlockedKey& blocked) {
  // Found by identity: its queue, which may name its key, is empty by now.
  size_t i = Home(blocked.hash);
  while (slots_[i].blocked != &blocked) {
    PAKV_CHECK(slots_[i].used());
    i = (i + 1) & (slots_.size() - 1);
  }
  delete std::exchange(slots_[i].blocked, nullptr);
  if (slots_[i].newest == nullptr) EraseAt(i);
}

}  // namespace pakv
