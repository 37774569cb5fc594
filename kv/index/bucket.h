// Buckets: 1 to 4 lines of 64 bytes, each with ten slots of {16-bit tag, 4-byte item handle}.
//
//   line:  tag x 10 (20 bytes) | count u16 (line 0 alone) | 2 bytes unused | handle x 10
//
// Slots 0 to count-1 are used, in no order. Tags are compared eight at a time before any item is
// touched; one lookup in about 2,000 touches an item in vain.
#pragma once

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "kv/index/chunk_arena.h"
#include "kv/index/directory.h"
#include "runtime/base/prefetch.h"

namespace pakv {

struct alignas(64) BucketLine {
  static constexpr uint32_t kSlots = 10;

  uint16_t tags[kSlots];
  uint16_t count;  // of the bucket, in its first line
  uint16_t unused;
  uint32_t handles[kSlots];
};
static_assert(sizeof(BucketLine) == 64);

inline constexpr uint32_t kBucketLinesMax = 4;
inline constexpr uint32_t kBucketSlotsMax = kBucketLinesMax * BucketLine::kSlots;
static_assert(kBucketLinesMax <= DirectoryRef::kBucketLinesMax);

struct BucketSlot {
  uint16_t tag;
  uint32_t handle;
};

// The low bits: the directory uses the leading ones.
inline uint16_t TagOf(uint64_t hash) { return static_cast<uint16_t>(hash); }

// Bit i is set if slot i of the line has this tag. Slots not in use give noise.
inline uint32_t MatchTags(const BucketLine& line, uint16_t tag) {
#ifdef __SSE2__
  const char* bytes = reinterpret_cast<const char*>(&line);
  const __m128i needle = _mm_set1_epi16(static_cast<int16_t>(tag));
  const __m128i head = _mm_load_si128(reinterpret_cast<const __m128i*>(bytes));
  const __m128i tail = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes + 16));
  const __m128i equal =
      _mm_packs_epi16(_mm_cmpeq_epi16(head, needle), _mm_cmpeq_epi16(tail, needle));
  return static_cast<uint32_t>(_mm_movemask_epi8(equal)) & ((1u << BucketLine::kSlots) - 1);
#else
  uint32_t mask = 0;
  for (uint32_t i = 0; i < BucketLine::kSlots; ++i) mask |= uint32_t{line.tags[i] == tag} << i;
  return mask;
#endif
}

// Calls visit(handle) for each slot of the bucket with this tag, until one returns true: the place
// of that handle in the bucket's memory, or nullptr.
template <typename Visit>
inline uint32_t* FindSlot(DirectoryRef bucket, uint16_t tag, Visit visit) {
  const uint32_t line_count = bucket.line_count();
  if (line_count == 0) return nullptr;
  BucketLine* lines = bucket.lines();
  for (uint32_t i = 1; i < line_count; ++i) PrefetchLine(&lines[i]);
  uint32_t left = lines[0].count;
  for (uint32_t i = 0; i < line_count; ++i) {
    const uint32_t used = std::min(left, BucketLine::kSlots);
    left -= used;
    uint32_t mask = MatchTags(lines[i], tag) & ((1u << used) - 1);
    for (; mask != 0; mask &= mask - 1) {
      uint32_t& handle = lines[i].handles[__builtin_ctz(mask)];
      if (visit(handle)) return &handle;
    }
  }
  return nullptr;
}

inline uint32_t CountOf(DirectoryRef bucket) {
  return bucket.line_count() == 0 ? 0 : bucket.lines()[0].count;
}
inline BucketSlot SlotAt(const BucketLine* lines, uint32_t index) {
  const BucketLine& line = lines[index / BucketLine::kSlots];
  return {line.tags[index % BucketLine::kSlots], line.handles[index % BucketLine::kSlots]};
}
inline void SetSlot(BucketLine* lines, uint32_t index, BucketSlot slot) {
  BucketLine& line = lines[index / BucketLine::kSlots];
  line.tags[index % BucketLine::kSlots] = slot.tag;
  line.handles[index % BucketLine::kSlots] = slot.handle;
}

// The memory of buckets: one dense pool per number of lines.
class BucketStore {
 public:
  BucketStore();
  BucketStore(const BucketStore&) = delete;
  BucketStore& operator=(const BucketStore&) = delete;

  // A bucket of these slots with just the lines that they need; empty: no memory.
  DirectoryRef New(const BucketSlot* slots, uint32_t count);

  // Frees a bucket that the directory no longer refers to. If that moved another one to its place,
  // returns the moved one (now at `freed`'s address; else an empty ref): until the directory
  // follows, nothing else may be called.
  DirectoryRef Free(DirectoryRef freed);
  // True if freeing this one moves none.
  bool IsLast(DirectoryRef bucket) const;

  // Frees at most `chunks_max` chunks; true when none is left. Then only Drop and destruction.
  bool Drop(uint32_t chunks_max);
  size_t bytes_used() const { return arena_.bytes_used(); }
  uint64_t buckets() const;

 private:
  static constexpr uint32_t kWarmChunksMax = 2;

  ChunkArena arena_{kWarmChunksMax};
  DensePool pools_[kBucketLinesMax + 1];  // by number of lines; the first is not used
  uint32_t drop_chunk_ = 1;
};

}  // namespace pakv
