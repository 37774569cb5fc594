// Values in memory, by 4-byte handle: CLOCK in slab classes under one cap.
//
// A class holds values of one size (steps of 1/8) in chunks of 64 KiB; values over 8 KiB are one
// class, each with a run of pages of its own (page_runs.h). A class without a free slot takes a new
// chunk while the cap allows; then its hand drops a value that has no touches left: each counts, up
// to three, and the hand takes one per visit. New values have none, so what is read once leaves
// first, and a scan does not flush what is in use.
//
// Large values differ in size, so what one leaves seldom fits the next one. The runs that are left
// stay, as a part of the cap at most (kWarmPart), and the hand drops values until one fits, or
// until there are so many of them that some are given back for a new one.
//
// Chunks follow the demand: a class that drops values compares one of its chunks with one of
// another class by the values that were touched lately, and takes the other one if that has less
// than half of them; it is drained a few values per call. So each call's work is bounded
// (kDropsPerCallMax, kScansPerCallMax), and the price is that Insert may decline while room is
// being made. It is a cache: whoever inserts has to live with a value that is gone the next moment.
//
// The owner's memory of a handle is cleared by a callback when the cache drops the value by itself:
// one core, no pinning, no counters; a value is copied out before the next call.
// One core owns a cache; nothing suspends. Out of memory aborts.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "kv/index/chunk_arena.h"
#include "kv/index/page_runs.h"
#include "runtime/base/prefetch.h"

namespace pakv {

class ValueCache {
 public:
  static constexpr uint32_t kNoHandle = ChunkArena::kNoHandle;
  static constexpr uint32_t kDropsPerCallMax = 16;
  static constexpr uint32_t kScansPerCallMax = 64;
  // Runs given back to the system in one call, beside those that drops give back.
  static constexpr uint32_t kGiveBacksPerCallMax = 64;
  // Of the cap, for runs without a value.
  static constexpr size_t kWarmPart = 32;
  static constexpr size_t kWarmBytesMax = size_t{8} << 20;

  // Told of each value that leaves, but for Erase's. May not call the cache.
  using Dropped = void (*)(void* context, uint64_t hash, uint32_t handle);

  // `cap_bytes` as in SetCap; `dropped` may be null.
  ValueCache(size_t cap_bytes, Dropped dropped, void* context);
  ~ValueCache();
  ValueCache(const ValueCache&) = delete;
  ValueCache& operator=(const ValueCache&) = delete;

  // Copies the value in; `hash` is handed to `dropped` when it leaves. kNoHandle if it is not held:
  // it is larger than half of the cap, or room is still being made. May drop other values.
  [[nodiscard]] uint32_t Insert(uint64_t hash, std::string_view value);
  // Valid until the next call that is not const, Touch excepted.
  std::string_view Get(uint32_t handle) const;
  // Begins to fetch what Get, Touch and Replace will need, of a value that is not large.
  void Prefetch(uint32_t handle) const {
    const char* const slot = reinterpret_cast<const char*>(SlotAt(handle));
    PrefetchLine(slot);
    PrefetchLine(slot + 64);
  }
  // The value was used.
  void Touch(uint32_t handle) {
    Slot* slot = SlotAt(handle);
    slot->touches = std::min(slot->touches + 1u, kTouchesMax);
    slot->touched_at = Now();
    slot->was_touched = 1;
  }
  void Erase(uint32_t handle);
  // Erase and Insert in one: the new value takes the old one's place where it can.
  [[nodiscard]] uint32_t Replace(uint32_t handle, uint64_t hash, std::string_view value);

  // Whether a value of so many bytes has a run of its own (page_runs.h).
  static constexpr bool HasRun(size_t value_bytes) {
    return value_bytes > kStrideMax - sizeof(Slot);
  }

  // Bytes that held_bytes() may reach; 0 holds nothing, and so does less than a chunk. A lower cap
  // takes effect step by step, with each Insert and ShrinkStep.
  void SetCap(size_t cap_bytes) {
    cap_bytes_ = cap_bytes;
    runs_.set_warm_bytes_max(std::min(cap_bytes / kWarmPart, kWarmBytesMax));
  }
  size_t cap_bytes() const { return cap_bytes_; }
  // Drops at most `drops_max` values to get below the cap; true once it is.
  bool ShrinkStep(uint32_t drops_max);

  // Frees everything in bounded steps, `dropped` is not called: a step is a chunk or a run.
  // True when all is free; after the first call only DropStep and destruction are allowed.
  bool DropStep(uint32_t steps_max);

  uint64_t count() const { return count_; }
  uint64_t value_bytes() const { return value_bytes_; }  // the values' own
  // Chunks and runs: what the cap bounds.
  size_t held_bytes() const {
    return size_t{arena_.chunks_used()} * ChunkArena::kChunkBytes + runs_.held_bytes();
  }
  // All memory behind the cache, exact.
  size_t bytes_used() const { return sizeof(*this) + arena_.bytes_used() + runs_.held_bytes(); }
  uint64_t drops() const { return drops_; }
  // For tests: aborts unless the whole structure is sound.
  void CheckInvariants() const;

 private:
  struct Slot {
    uint64_t hash;  // free slots: the next free one of the chunk
    uint32_t length;
    uint32_t used : 1;
    uint32_t was_touched : 1;  // ever
    uint32_t touches : 2;      // that the hand has not taken yet
    uint32_t touched_at : 28;  // or inserted
    // Then the value, or for large ones the address of its run.
  };
  static_assert(sizeof(Slot) == 16);
  static constexpr uint32_t kTouchesMax = 3;

  // At a chunk's start.
  struct Chunk {
    uint32_t ring_next;  // all chunks of the class, in the hand's order
    uint32_t ring_previous;
    uint32_t open_next;  // those with free slots
    uint32_t open_previous;
    uint32_t class_index;
    uint32_t used;    // slots in use
    uint32_t carved;  // slots from here on were never used
    uint32_t free_head;
  };
  static constexpr uint32_t kChunkHeaderBytes = 64;
  static_assert(sizeof(Chunk) <= kChunkHeaderBytes);
  static constexpr uint32_t kNoSlot = ~uint32_t{0};

  struct Class {
    uint32_t stride = 0;
    uint32_t slots_per_chunk = 0;
    uint32_t chunks = 0;
    uint32_t hand_chunk = ChunkArena::kNoChunk;  // also the ring's entrance
    uint32_t hand_slot = 0;
    uint32_t open_head = ChunkArena::kNoChunk;
    uint32_t chunks_to_lap_end = 0;
    uint32_t drops_since_balance = 0;
    uint32_t touches_since_balance = 0;  // that the hand met
    uint64_t used = 0;
    // In inserts: what the hand's last round took, and when this one began.
    uint64_t lap_length = 0;
    uint64_t lap_begin = 0;
  };

  // Strides: 32 to 128 by 8, then eight per doubling up to an eighth of a chunk; last: large ones.
  static constexpr uint32_t kStrideMax =
      static_cast<uint32_t>((ChunkArena::kChunkBytes - kChunkHeaderBytes) / 8 / 8 * 8);
  static constexpr uint32_t kSlabClasses = 62;
  static constexpr uint32_t kLargeClass = kSlabClasses;
  static constexpr uint32_t kNoClass = kLargeClass + 1;
  // No value's slot is this small, so the stride tells large values without a look at the chunk,
  // whose header is cold: 64 KiB from the next one, it shares its place in a CPU's cache with all.
  static constexpr uint32_t kLargeStride = 24;

  // The cache's clock, in inserts; it goes round, which costs a wrong guess at worst.
  static constexpr uint32_t kInsertsPerTick = 16;
  static constexpr uint32_t kTicks = 1u << 28;
  uint32_t Now() const { return static_cast<uint32_t>(inserts_ / kInsertsPerTick) % kTicks; }

  Chunk* ChunkAt(uint32_t chunk) const { return reinterpret_cast<Chunk*>(arena_.Base(chunk)); }
  Slot* SlotAt(uint32_t handle) const {
    return reinterpret_cast<Slot*>(arena_.Address(handle) + kChunkHeaderBytes);
  }
  bool IsLarge(uint32_t handle) const {
    return arena_.Stride(ChunkArena::ChunkOf(handle)) == kLargeStride;
  }
  static char* LargeValue(const Slot* slot);
  uint32_t ClassOf(size_t value_bytes) const;
  bool Fits(size_t bytes) const { return held_bytes() + bytes <= cap_bytes_; }

  bool AddChunk(uint32_t class_index);
  void LeaveRing(uint32_t chunk);
  void LinkOpen(Class& in, uint32_t chunk);
  void UnlinkOpen(Class& in, uint32_t chunk);
  void Fill(Slot& slot, uint64_t hash, size_t length) const;
  uint32_t TakeSlot(Class& from);
  void ReleaseSlot(uint32_t handle);
  void Drop(uint32_t handle);
  bool DropByClock(Class& in);
  void AdvanceHandChunk(Class& in);
  uint32_t MakeSlot(uint32_t class_index, uint32_t& drops_left);
  bool MakeRoomForLarge(size_t value_bytes, uint32_t& drops_left);

  struct Use {
    double touched = 0;  // values per chunk's worth of memory
    bool dead = true;    // none touched, none new
  };
  Use UseLately(uint32_t chunk, uint64_t inserts) const;
  void Balance(uint32_t class_index);
  uint32_t NextDonor(uint32_t class_index);
  bool IsDraining() const { return draining_ != ChunkArena::kNoChunk || draining_large_bytes_ > 0; }
  void StartDrain(uint32_t chunk);
  bool DrainColdest(uint32_t class_index);
  void ContinueDrain(uint32_t& drops_left);

  size_t cap_bytes_ = 0;
  const Dropped dropped_;
  void* const context_;
  ChunkArena arena_{0};
  std::array<Class, kSlabClasses + 1> classes_;
  uint32_t class_count_ = 0;  // slab classes in use of the array
  std::array<uint8_t, kStrideMax / 8 + 1> class_of_stride_;
  uint32_t draining_ = ChunkArena::kNoChunk;  // on its way to other classes; in no list
  uint32_t draining_slot_ = 0;
  uint32_t donor_hand_ = 0;          // the chunk that was looked at last for others' sake
  size_t draining_large_bytes_ = 0;  // runs have to give up this much
  PageRuns runs_;                    // of the large values
  uint64_t count_ = 0;
  uint64_t value_bytes_ = 0;
  uint64_t drops_ = 0;
  uint64_t inserts_ = 0;
  uint32_t drop_chunk_ = 1;
};

}  // namespace pakv
