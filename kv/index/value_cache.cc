#include "kv/index/value_cache.h"

#include <algorithm>
#include <cstring>

#include "runtime/base/check.h"

namespace pakv {
namespace {

constexpr uint32_t kStrideMin = 32;

}  // namespace

ValueCache::ValueCache(size_t cap_bytes, Dropped dropped, void* context)
    : dropped_(dropped), context_(context) {
  SetCap(cap_bytes);
  uint32_t units = 0;  // of 8 bytes, up to the class's stride
  for (uint32_t stride = kStrideMin; units < kStrideMax / 8; ++class_count_) {
    PAKV_CHECK(class_count_ < kSlabClasses);
    classes_[class_count_].stride = stride;
    for (; units <= stride / 8; ++units) {
      class_of_stride_[units] = static_cast<uint8_t>(class_count_);
    }
    stride = std::min(kStrideMax, stride + std::max(8u, stride / 8 / 8 * 8));
  }
  classes_[kLargeClass].stride = kLargeStride;
  for (Class& each : classes_) {
    if (each.stride == 0) continue;
    each.slots_per_chunk = std::min<uint32_t>(
        ChunkArena::kSlotsPerChunkMax, (ChunkArena::kChunkBytes - kChunkHeaderBytes) / each.stride);
  }
}

ValueCache::~ValueCache() {
  while (!DropStep(~uint32_t{0})) {
  }
}

char* ValueCache::LargeValue(const Slot* slot) {
  char* value;
  std::memcpy(&value, slot + 1, sizeof(value));
  return value;
}

uint32_t ValueCache::ClassOf(size_t value_bytes) const {
  if (HasRun(value_bytes)) return kLargeClass;
  return class_of_stride_[(value_bytes + sizeof(Slot) + 7) / 8];
}

std::string_view ValueCache::Get(uint32_t handle) const {
  const Slot* slot = SlotAt(handle);
  PAKV_DCHECK(slot->used);
  if (IsLarge(handle)) [[unlikely]]
    return {LargeValue(slot), slot->length};
  return {reinterpret_cast<const char*>(slot + 1), slot->length};
}

uint32_t ValueCache::Insert(uint64_t hash, std::string_view value) {
  ++inserts_;
  uint32_t drops_left = kDropsPerCallMax;
  if (held_bytes() > cap_bytes_) {
    ShrinkStep(drops_left);
    return kNoHandle;
  }
  ContinueDrain(drops_left);
  if (value.size() > cap_bytes_ / 2 || value.size() > UINT32_MAX) return kNoHandle;
  const uint32_t class_index = ClassOf(value.size());
  const bool is_large = class_index == kLargeClass;
  if (is_large && !MakeRoomForLarge(value.size(), drops_left)) return kNoHandle;
  const uint32_t handle = MakeSlot(class_index, drops_left);
  if (handle == kNoHandle) return kNoHandle;
  Slot* slot = SlotAt(handle);
  char* target = reinterpret_cast<char*>(slot + 1);
  if (is_large) {
    char* const run = runs_.Allocate(value.size());
    if (run == nullptr) {
      ReleaseSlot(handle);
      return kNoHandle;
    }
    std::memcpy(target, &run, sizeof(run));
    target = run;
  }
  if (!value.empty()) std::memcpy(target, value.data(), value.size());
  Fill(*slot, hash, value.size());
  ++count_;
  value_bytes_ += value.size();
  return handle;
}

void ValueCache::Erase(uint32_t handle) {
  const Slot* slot = SlotAt(handle);
  PAKV_CHECK(slot->used, "erased twice");
  --count_;
  value_bytes_ -= slot->length;
  if (IsLarge(handle)) runs_.Free(LargeValue(slot));
  ReleaseSlot(handle);
}

uint32_t ValueCache::Replace(uint32_t handle, uint64_t hash, std::string_view value) {
  const uint32_t class_index = ClassOf(value.size());
  const uint32_t stride = arena_.Stride(ChunkArena::ChunkOf(handle));
  // While room is being made each call does its part of that.
  const bool busy = IsDraining() || held_bytes() > cap_bytes_;
  Slot* slot = SlotAt(handle);
  const bool is_large = class_index == kLargeClass;
  const bool fits = classes_[class_index].stride == stride &&
                    (!is_large || PageRuns::Suits(LargeValue(slot), value.size()));
  if (!fits || busy) {
    Erase(handle);
    return Insert(hash, value);
  }
  ++inserts_;
  PAKV_CHECK(slot->used, "replaced after it was erased");
  value_bytes_ += value.size();
  value_bytes_ -= slot->length;
  Fill(*slot, hash, value.size());
  char* target = is_large ? LargeValue(slot) : reinterpret_cast<char*>(slot + 1);
  if (!value.empty()) std::memcpy(target, value.data(), value.size());
  return handle;
}

void ValueCache::Fill(Slot& slot, uint64_t hash, size_t length) const {
  slot.hash = hash;
  slot.length = static_cast<uint32_t>(length);
  slot.was_touched = 0;
  slot.touches = 0;
  slot.touched_at = Now();
}

void ValueCache::Drop(uint32_t handle) {
  ++drops_;
  if (dropped_ != nullptr) dropped_(context_, SlotAt(handle)->hash, handle);
  Erase(handle);
}

// ---- Chunks and slots ----

bool ValueCache::AddChunk(uint32_t class_index) {
  if (!Fits(ChunkArena::kChunkBytes)) return false;
  Class& to = classes_[class_index];
  const uint32_t id = arena_.Allocate(to.stride);
  if (id == ChunkArena::kNoChunk) return false;
  Chunk* chunk = ChunkAt(id);
  *chunk = {.class_index = class_index, .free_head = kNoSlot};
  if (to.hand_chunk == ChunkArena::kNoChunk) {
    chunk->ring_next = chunk->ring_previous = id;
    to.hand_chunk = id;
    to.hand_slot = 0;
    to.lap_begin = inserts_;
    to.lap_length = 0;
    to.chunks_to_lap_end = 1;
  } else {
    // Before the hand: it comes here last.
    Chunk* next = ChunkAt(to.hand_chunk);
    chunk->ring_next = to.hand_chunk;
    chunk->ring_previous = next->ring_previous;
    ChunkAt(next->ring_previous)->ring_next = id;
    next->ring_previous = id;
  }
  ++to.chunks;
  LinkOpen(to, id);
  return true;
}

void ValueCache::LeaveRing(uint32_t id) {
  Chunk* chunk = ChunkAt(id);
  Class& from = classes_[chunk->class_index];
  if (chunk->used < from.slots_per_chunk) UnlinkOpen(from, id);
  if (from.hand_chunk == id) AdvanceHandChunk(from);
  if (from.hand_chunk == id) {
    from.hand_chunk = ChunkArena::kNoChunk;
  } else {
    ChunkAt(chunk->ring_next)->ring_previous = chunk->ring_previous;
    ChunkAt(chunk->ring_previous)->ring_next = chunk->ring_next;
  }
  --from.chunks;
}

void ValueCache::LinkOpen(Class& in, uint32_t id) {
  Chunk* chunk = ChunkAt(id);
  chunk->open_previous = ChunkArena::kNoChunk;
  chunk->open_next = in.open_head;
  if (in.open_head != ChunkArena::kNoChunk) ChunkAt(in.open_head)->open_previous = id;
  in.open_head = id;
}

void ValueCache::UnlinkOpen(Class& in, uint32_t id) {
  const Chunk* chunk = ChunkAt(id);
  if (chunk->open_previous == ChunkArena::kNoChunk) {
    in.open_head = chunk->open_next;
  } else {
    ChunkAt(chunk->open_previous)->open_next = chunk->open_next;
  }
  if (chunk->open_next != ChunkArena::kNoChunk) {
    ChunkAt(chunk->open_next)->open_previous = chunk->open_previous;
  }
}

uint32_t ValueCache::TakeSlot(Class& from) {
  const uint32_t id = from.open_head;
  if (id == ChunkArena::kNoChunk) return kNoHandle;
  Chunk* chunk = ChunkAt(id);
  uint32_t index = chunk->free_head;
  if (index != kNoSlot) {
    chunk->free_head = static_cast<uint32_t>(SlotAt(ChunkArena::HandleOf(id, index))->hash);
  } else {
    index = chunk->carved++;
  }
  ++from.used;
  if (++chunk->used == from.slots_per_chunk) UnlinkOpen(from, id);
  const uint32_t handle = ChunkArena::HandleOf(id, index);
  SlotAt(handle)->used = 1;
  return handle;
}

void ValueCache::ReleaseSlot(uint32_t handle) {
  const uint32_t id = ChunkArena::ChunkOf(handle);
  Chunk* chunk = ChunkAt(id);
  Class& in = classes_[chunk->class_index];
  Slot* slot = SlotAt(handle);
  slot->used = 0;
  slot->hash = chunk->free_head;
  chunk->free_head = ChunkArena::SlotOf(handle);
  --in.used;
  --chunk->used;
  if (id == draining_) {
    if (chunk->used == 0) {
      draining_ = ChunkArena::kNoChunk;
      arena_.Free(id);
    }
    return;
  }
  if (chunk->used + 1 == in.slots_per_chunk) LinkOpen(in, id);
  // A class keeps its last chunk, empty or not, until others need it: no flapping.
  if (chunk->used == 0 && in.chunks > 1) {
    LeaveRing(id);
    arena_.Free(id);
  }
}

uint32_t ValueCache::MakeSlot(uint32_t class_index, uint32_t& drops_left) {
  Class& in = classes_[class_index];
  uint32_t handle = TakeSlot(in);
  if (handle != kNoHandle) return handle;
  if (AddChunk(class_index)) return TakeSlot(in);
  if (in.chunks > 0) {
    if (drops_left == 0 || !DropByClock(in)) return kNoHandle;
    --drops_left;
    handle = TakeSlot(in);
    Balance(class_index);
    return handle;
  }
  // A class's first chunk: another class has to give it.
  if (!IsDraining() && !DrainColdest(class_index)) {
    return kNoHandle;
  }
  ContinueDrain(drops_left);
  return AddChunk(class_index) ? TakeSlot(in) : kNoHandle;
}

bool ValueCache::MakeRoomForLarge(size_t value_bytes, uint32_t& drops_left) {
  Class& large = classes_[kLargeClass];
  const auto needed = [&] {
    return runs_.GrowthFor(value_bytes) +
           (large.open_head == ChunkArena::kNoChunk ? ChunkArena::kChunkBytes : 0);
  };
  uint32_t give_backs_left = kGiveBacksPerCallMax;
  while (!Fits(needed())) {
    if (large.used > 0 && drops_left > 0) {
      if (!DropByClock(large)) return false;
      --drops_left;
      Balance(kLargeClass);
    } else if (give_backs_left > 0 && runs_.GiveBack()) {
      --give_backs_left;
    } else if (drops_left == 0 || (!IsDraining() && !DrainColdest(kLargeClass))) {
      return false;
    } else {
      ContinueDrain(drops_left);
    }
  }
  return true;
}

// ---- CLOCK ----

void ValueCache::AdvanceHandChunk(Class& in) {
  in.hand_chunk = ChunkAt(in.hand_chunk)->ring_next;
  in.hand_slot = 0;
  if (in.chunks_to_lap_end > 1) {
    --in.chunks_to_lap_end;
    return;
  }
  in.chunks_to_lap_end = in.chunks;
  in.lap_length = inserts_ - in.lap_begin;
  in.lap_begin = inserts_;
}

bool ValueCache::DropByClock(Class& in) {
  uint32_t victim = kNoHandle;
  for (uint32_t i = 0; i < kScansPerCallMax; ++i) {
    if (in.hand_slot >= ChunkAt(in.hand_chunk)->carved) {
      AdvanceHandChunk(in);
      continue;
    }
    const uint32_t handle = ChunkArena::HandleOf(in.hand_chunk, in.hand_slot++);
    Slot* slot = SlotAt(handle);
    if (!slot->used) continue;
    victim = handle;
    if (slot->touches == 0) break;
    --slot->touches;
    ++in.touches_since_balance;
  }
  // All that were looked at are in use: the last one goes, so that a call always ends.
  if (victim == kNoHandle) return false;
  Drop(victim);
  ++in.drops_since_balance;
  return true;
}

bool ValueCache::DropStep(uint32_t steps_max) {
  runs_.set_warm_bytes_max(0);
  for (; runs_.warm_bytes() > 0; runs_.GiveBack()) {
    if (steps_max-- == 0) return false;
  }
  for (; drop_chunk_ <= arena_.chunk_id_max(); ++drop_chunk_) {
    if (arena_.Stride(drop_chunk_) == 0) continue;
    Chunk* chunk = ChunkAt(drop_chunk_);
    while (chunk->class_index == kLargeClass && chunk->carved > 0) {
      const Slot* slot = SlotAt(ChunkArena::HandleOf(drop_chunk_, chunk->carved - 1));
      if (slot->used) {
        if (steps_max-- == 0) return false;
        runs_.Free(LargeValue(slot));
      }
      --chunk->carved;
    }
    if (steps_max == 0) return false;
    --steps_max;
    arena_.Free(drop_chunk_);
  }
  return true;
}

void ValueCache::CheckInvariants() const {
  uint64_t count = 0;
  uint64_t value_bytes = 0;
  size_t run_bytes = 0;
  std::array<uint64_t, kSlabClasses + 1> used{};
  std::array<uint64_t, kSlabClasses + 1> chunks{};
  std::array<uint64_t, kSlabClasses + 1> open{};
  for (uint32_t id = 1; id <= arena_.chunk_id_max(); ++id) {
    if (arena_.Stride(id) == 0) continue;
    const Chunk* chunk = ChunkAt(id);
    const Class& in = classes_[chunk->class_index];
    PAKV_CHECK(in.stride == arena_.Stride(id));
    PAKV_CHECK(chunk->carved <= in.slots_per_chunk);
    uint32_t chunk_used = 0;
    for (uint32_t i = 0; i < chunk->carved; ++i) {
      const uint32_t handle = ChunkArena::HandleOf(id, i);
      const Slot* slot = SlotAt(handle);
      if (!slot->used) continue;
      ++chunk_used;
      value_bytes += slot->length;
      if (chunk->class_index == kLargeClass) {
        run_bytes += PageRuns::BytesOf(LargeValue(slot));
      } else {
        PAKV_CHECK(ClassOf(slot->length) == chunk->class_index);
      }
    }
    PAKV_CHECK(chunk_used == chunk->used);
    uint32_t free = 0;
    for (uint32_t slot = chunk->free_head; slot != kNoSlot; ++free) {
      slot = static_cast<uint32_t>(SlotAt(ChunkArena::HandleOf(id, slot))->hash);
    }
    PAKV_CHECK(chunk->used + free == chunk->carved);
    count += chunk_used;
    used[chunk->class_index] += chunk_used;
    if (id == draining_) continue;
    ++chunks[chunk->class_index];
    open[chunk->class_index] += chunk->used < in.slots_per_chunk ? 1 : 0;
  }
  PAKV_CHECK(count == count_ && value_bytes == value_bytes_);
  runs_.CheckInvariants();
  PAKV_CHECK(run_bytes + runs_.warm_bytes() + runs_.regions() * PageRuns::kPageBytes ==
             runs_.held_bytes());
  PAKV_CHECK(runs_.held_bytes() == 0 || chunks[kLargeClass] > 0, "draining would not find them");
  for (uint32_t i = 0; i < classes_.size(); ++i) {
    const Class& each = classes_[i];
    PAKV_CHECK(each.used == used[i] && each.chunks == chunks[i]);
    uint64_t in_ring = 0;
    for (uint32_t id = each.hand_chunk; in_ring < each.chunks; ++in_ring) {
      PAKV_CHECK(ChunkAt(ChunkAt(id)->ring_next)->ring_previous == id);
      id = ChunkAt(id)->ring_next;
      PAKV_CHECK((id == each.hand_chunk) == (in_ring + 1 == each.chunks));
    }
    for (uint32_t id = each.open_head; id != ChunkArena::kNoChunk; --open[i]) {
      id = ChunkAt(id)->open_next;
    }
    PAKV_CHECK(open[i] == 0);
  }
}

}  // namespace pakv
