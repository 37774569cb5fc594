// Buckets: 1 to 4 lines of 64 bytes, each with ten slots of {16-bit tag, 4-byte item handle}.
//
//   line:  tag x 10 (20 bytes) | used u8 | strayed u8 | count u16 (line 0 alone) | handle x 10
//
// A tag has a home among the bucket's lines. Its slot lies there if there is room, else in another
// line: it has strayed, which its home counts. So most lookups read one line of memory, those of
// keys that are not there too; and so a bucket may be nearly full.
// Tags are compared eight at a time before any item is touched; one lookup in some thousands
// touches an item in vain.
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
  uint8_t used;     // slots 0 to used-1, in no order
  uint8_t strayed;  // of this line's tags, in the other lines
  uint16_t count;   // of the bucket, in its first line
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

// The line of a bucket that a tag's slot is looked for first.
inline uint32_t HomeOf(uint16_t tag, uint32_t line_count) { return (tag * line_count) >> 16; }

// FindSlot in one line.
template <typename Visit>
inline uint32_t* FindSlotInLine(BucketLine& line, uint16_t tag, Visit& visit) {
  uint32_t mask = MatchTags(line, tag) & ((1u << line.used) - 1);
  for (; mask != 0; mask &= mask - 1) {
    uint32_t& handle = line.handles[__builtin_ctz(mask)];
    if (visit(handle)) return &handle;
  }
  return nullptr;
}

// Calls visit(handle) for each slot of the bucket with this tag, until one returns true: the place
// of that handle in the bucket's memory, or nullptr.
template <typename Visit>
inline uint32_t* FindSlot(DirectoryRef bucket, uint16_t tag, Visit visit) {
  const uint32_t line_count = bucket.line_count();
  if (line_count == 0) return nullptr;
  BucketLine* const lines = bucket.lines();
  const uint32_t home = HomeOf(tag, line_count);
  if (uint32_t* const found = FindSlotInLine(lines[home], tag, visit); found != nullptr) {
    return found;
  }
  if (lines[home].strayed == 0) [[likely]]
    return nullptr;
  for (uint32_t i = 0; i < line_count; ++i) PrefetchLine(&lines[i]);
  for (uint32_t i = 0; i < line_count; ++i) {
    if (i == home) continue;
    if (uint32_t* const found = FindSlotInLine(lines[i], tag, visit); found != nullptr) {
      return found;
    }
  }
  return nullptr;
}

inline uint32_t CountOf(DirectoryRef bucket) {
  return bucket.line_count() == 0 ? 0 : bucket.lines()[0].count;
}
// All slots of a bucket, in no order; `slots` has room for kBucketSlotsMax. Returns how many.
uint32_t CopySlots(DirectoryRef bucket, BucketSlot* slots);
// The handle of one of its slots; the bucket is not empty.
uint32_t AnyHandle(DirectoryRef bucket);
// Needs a free slot in one of the lines.
void AddSlot(DirectoryRef bucket, BucketSlot slot);
// `handle` is the place of a slot's handle in the bucket's memory. Others may take other places.
void RemoveSlot(DirectoryRef bucket, const uint32_t* handle);
// Aborts unless its counts are right; for tests.
void CheckBucket(DirectoryRef bucket);

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
  bool HasRoomAhead() { return arena_.HasRoomAhead(); }
  size_t bytes_used() const { return arena_.bytes_used(); }
  uint64_t buckets() const;

 private:
  static constexpr uint32_t kWarmChunksMax = 2;

  ChunkArena arena_{kWarmChunksMax};
  DensePool pools_[kBucketLinesMax + 1];  // by number of lines; the first is not used
  uint32_t drop_chunk_ = 1;
};

}  // namespace pakv
