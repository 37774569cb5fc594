// ValueCache: how chunks move between classes, and out of the cache.
#include <algorithm>

#include "kv/index/value_cache.h"
#include "runtime/base/check.h"

namespace pakv {
namespace {

// A chunk changes its class for one where this many times as much is touched.
constexpr double kBalanceRatio = 2;
// Drops in a class before it looks for a chunk elsewhere.
constexpr uint32_t kDropsPerBalance = 64;
// Ids looked at for an allocated chunk, in one call.
constexpr uint32_t kDonorIdsMax = 64;
// Chunks of which a class without any takes the coldest.
constexpr uint32_t kColdestOf = 4;

}  // namespace

// An estimate from a sample: what was touched in the last `inserts`.
ValueCache::Use ValueCache::UseLately(uint32_t id, uint64_t inserts) const {
  const Chunk* chunk = ChunkAt(id);
  const Class& in = classes_[chunk->class_index];
  const uint64_t ticks = std::min<uint64_t>(inserts / kInsertsPerTick, kTicks / 2);
  const uint32_t now = Now();
  const bool large = chunk->class_index == kLargeClass;
  const uint32_t slots = large ? chunk->carved : in.slots_per_chunk;
  const uint32_t samples = std::min(slots, kScansPerCallMax);
  uint32_t touched = 0;
  size_t bytes = 0;
  Use use;
  for (uint32_t i = 0; i < samples; ++i) {
    const uint32_t index = i * slots / samples;
    if (!large) bytes += in.stride;
    if (index >= chunk->carved) continue;
    const Slot* slot = SlotAt(ChunkArena::HandleOf(id, index));
    if (!slot->used) continue;
    if (large) bytes += slot->length;
    if ((now - slot->touched_at) % kTicks > ticks) continue;
    use.dead = false;
    touched += slot->was_touched;
  }
  use.touched = touched * static_cast<double>(ChunkArena::kChunkBytes) /
                static_cast<double>(std::max<size_t>(bytes, 1));
  return use;
}

void ValueCache::Balance(uint32_t class_index) {
  Class& needy = classes_[class_index];
  const uint32_t drops =
      class_index == kLargeClass ? 1 : std::min(needy.slots_per_chunk, kDropsPerBalance);
  if (needy.drops_since_balance < drops || IsDraining() || needy.chunks == 0) return;
  const bool met_touches = needy.touches_since_balance > 0;
  needy.drops_since_balance = 0;
  needy.touches_since_balance = 0;
  const uint32_t donor = NextDonor(class_index);
  if (donor == ChunkArena::kNoChunk) return;
  // The time that a value has here to be touched again is the measure for both. A sample may miss
  // what little a small class has to show: against nothing, one touch is enough.
  const uint64_t inserts = std::max(needy.lap_length, inserts_ - needy.lap_begin);
  const double there = UseLately(donor, inserts).touched;
  const double here = UseLately(needy.hand_chunk, inserts).touched;
  if (here > kBalanceRatio * there || (there == 0 && met_touches) ||
      UseLately(donor, std::max(inserts, count_)).dead) {
    StartDrain(donor);
  }
}

// The next chunk of another class, in the order of ids; kNoChunk if none is near.
uint32_t ValueCache::NextDonor(uint32_t class_index) {
  const uint32_t ids = arena_.chunk_id_max();
  for (uint32_t i = 0; i < std::min(ids, kDonorIdsMax); ++i) {
    donor_hand_ = donor_hand_ % ids + 1;
    if (arena_.Stride(donor_hand_) == 0 || donor_hand_ == draining_) continue;
    if (ChunkAt(donor_hand_)->class_index != class_index) return donor_hand_;
  }
  return ChunkArena::kNoChunk;
}

void ValueCache::StartDrain(uint32_t id) {
  PAKV_CHECK(!IsDraining());
  const Chunk* chunk = ChunkAt(id);
  if (chunk->class_index == kLargeClass && runs_.held_bytes() > 0) {
    draining_large_bytes_ = ChunkArena::kChunkBytes;
    return;
  }
  LeaveRing(id);
  if (chunk->used == 0) {
    arena_.Free(id);
  } else {
    draining_ = id;
    draining_slot_ = 0;
  }
}

bool ValueCache::DrainColdest(uint32_t class_index) {
  uint32_t coldest = ChunkArena::kNoChunk;
  double touched_min = 0;
  for (uint32_t i = 0; i < kColdestOf; ++i) {
    const uint32_t donor = NextDonor(class_index);
    if (donor == ChunkArena::kNoChunk) break;
    const double touched = UseLately(donor, count_).touched;
    if (coldest != ChunkArena::kNoChunk && touched >= touched_min) continue;
    coldest = donor;
    touched_min = touched;
  }
  if (coldest == ChunkArena::kNoChunk) return false;
  StartDrain(coldest);
  return true;
}

void ValueCache::ContinueDrain(uint32_t& drops_left) {
  for (uint32_t scans = kScansPerCallMax;
       draining_ != ChunkArena::kNoChunk && drops_left > 0 && scans > 0; --scans) {
    const uint32_t handle = ChunkArena::HandleOf(draining_, draining_slot_++);
    if (!SlotAt(handle)->used) continue;
    --drops_left;
    Drop(handle);  // the last one frees the chunk
  }
  // Runs without a value first.
  while (draining_large_bytes_ > 0 && drops_left > 0) {
    const size_t before = runs_.held_bytes();
    if (before == 0) {
      draining_large_bytes_ = 0;
      return;
    }
    --drops_left;
    if (!runs_.GiveBack()) {
      if (!DropByClock(classes_[kLargeClass])) return;
      runs_.GiveBack();
    }
    draining_large_bytes_ -= std::min(draining_large_bytes_, before - runs_.held_bytes());
  }
}

bool ValueCache::ShrinkStep(uint32_t drops_max) {
  while (held_bytes() > cap_bytes_ && drops_max > 0) {
    if (runs_.GiveBack()) {
      --drops_max;
      continue;
    }
    const uint32_t before = drops_max;
    if (!IsDraining()) {
      const uint32_t donor = NextDonor(kNoClass);
      if (donor != ChunkArena::kNoChunk) StartDrain(donor);
    }
    ContinueDrain(drops_max);
    // To look for a chunk, or to give an empty one back, is work too.
    if (drops_max == before) --drops_max;
  }
  return held_bytes() <= cap_bytes_;
}

}  // namespace pakv
