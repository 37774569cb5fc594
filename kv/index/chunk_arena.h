// Memory in chunks of 64 KiB, and 4-byte handles for what lies in them: the ground that the index
// and the value cache stand on. The arena keeps these promises:
//  - bounded work: no table is ever copied to grow it; a new chunk is at worst one mmap and, beyond
//    kPlainBytes, the clearing of one huge page;
//  - what a large arena holds lies in huge pages where the system has them: a random access then
//    takes about half the time (docs/performance.md). A small one does not take 2 MiB at a time;
//  - a chunk that is freed gives its memory back to the system at once, but for a few kept warm;
//  - bytes_used() is exact: chunks held, warm ones too, and the arena's own tables.
// A handle is {chunk id, slot}: chunks hold slots of one stride. 2^21 chunks are 128 GiB.
// One core owns an arena; nothing here suspends.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "runtime/base/check.h"

namespace pakv {

class ChunkArena {
 public:
  static constexpr size_t kChunkBytes = size_t{64} << 10;
  static constexpr size_t kRegionBytes = size_t{4} << 20;  // mapped at once, touched as used
  static constexpr size_t kHugePageBytes = size_t{2} << 20;
  // The first of it are in small pages: about as far as a processor's translations reach anyway.
  static constexpr size_t kPlainBytes = size_t{16} << 20;
  static constexpr uint32_t kChunksAhead = 48;
  static constexpr uint32_t kSlotBits = 11;
  static constexpr uint32_t kChunkBits = 32 - kSlotBits;
  static constexpr uint32_t kSlotsPerChunkMax = 1u << kSlotBits;
  static constexpr uint32_t kChunksMax = 1u << kChunkBits;
  static constexpr uint32_t kNoChunk = 0;   // no chunk has this id
  static constexpr uint32_t kNoHandle = 0;  // so no slot has this handle

  // Free chunks whose memory is kept, against a load that stands at a chunk's edge.
  explicit ChunkArena(uint32_t warm_chunks_max) : warm_chunks_max_(warm_chunks_max) {}
  ~ChunkArena();
  ChunkArena(const ChunkArena&) = delete;
  ChunkArena& operator=(const ChunkArena&) = delete;

  // A chunk of slots of `stride` bytes (1 to 65535), contents unspecified, aligned to 64 KiB.
  // kNoChunk when all ids are used, or the system gives no memory.
  uint32_t Allocate(uint32_t stride);
  // Whether the next kChunksAhead can be had, for which address space is taken now. Whoever cannot
  // do without them asks from time to time, and ceases to grow when there are none.
  bool HasRoomAhead();
  void Free(uint32_t chunk);

  static uint32_t ChunkOf(uint32_t handle) { return handle >> kSlotBits; }
  static uint32_t SlotOf(uint32_t handle) { return handle & (kSlotsPerChunkMax - 1); }
  static uint32_t HandleOf(uint32_t chunk, uint32_t slot) { return chunk << kSlotBits | slot; }

  char* Base(uint32_t chunk) const { return BaseOf(At(chunk).base_and_stride); }
  // 0 when the chunk is free.
  uint32_t Stride(uint32_t chunk) const { return StrideOf(At(chunk).base_and_stride); }
  char* Address(uint32_t handle) const {
    const uint64_t word = At(ChunkOf(handle)).base_and_stride;
    return BaseOf(word) + size_t{SlotOf(handle)} * StrideOf(word);
  }

  // Two words per chunk for whoever allocated it.
  uint32_t& Link(uint32_t chunk) { return At(chunk).link; }
  uint32_t Link(uint32_t chunk) const { return At(chunk).link; }
  uint32_t& Count(uint32_t chunk) { return At(chunk).count; }
  uint32_t Count(uint32_t chunk) const { return At(chunk).count; }

  // Ids ever used are 1 to this; each of them stands for an allocated or a free chunk.
  uint32_t chunk_id_max() const { return chunk_id_max_; }
  uint32_t chunks_used() const { return chunks_used_; }
  size_t bytes_used() const;

 private:
  struct Record {
    uint64_t base_and_stride;  // the chunk's alignment leaves 16 bits for the stride
    uint32_t link;             // free chunks: the next free one
    uint32_t count;
  };
  static constexpr uint32_t kLeafBits = 10;
  static constexpr uint32_t kLeafRecords = 1u << kLeafBits;
  static constexpr uint32_t kLeaves = kChunksMax / kLeafRecords;

  static char* BaseOf(uint64_t word) {
    return reinterpret_cast<char*>(word & ~uint64_t{kChunkBytes - 1});
  }
  static uint32_t StrideOf(uint64_t word) { return word & (kChunkBytes - 1); }
  static_assert(kChunksAhead <= kRegionBytes / kChunkBytes);

  Record& At(uint32_t chunk) const {
    return leaves_[chunk >> kLeafBits][chunk & (kLeafRecords - 1)];
  }
  bool AddRegion();

  const uint32_t warm_chunks_max_;
  uint32_t warm_head_ = kNoChunk;
  uint32_t cold_head_ = kNoChunk;
  uint32_t warm_chunks_ = 0;
  uint32_t chunks_used_ = 0;
  uint32_t chunk_id_max_ = 0;
  uint32_t leaf_count_ = 0;
  std::unique_ptr<std::unique_ptr<Record[]>[]> leaves_;  // made with the first chunk
  std::vector<void*> regions_;
};

// Slots of one stride without holes: what leaves is replaced by the last one. So the memory of a
// pool follows what it holds, whatever order things leave in, and there is no fragmentation.
class DensePool {
 public:
  void Init(uint32_t stride) { stride_ = stride; }

  uint32_t stride() const { return stride_; }
  uint64_t size() const { return size_; }
  // The slot that leaves next, or kNoHandle.
  uint32_t last() const {
    return count_ == 0 ? ChunkArena::kNoHandle : ChunkArena::HandleOf(chunk_, count_ - 1);
  }
  // A new last slot, contents unspecified, or kNoHandle when the arena has no chunk.
  uint32_t Push(ChunkArena& arena);
  // The slot that was pushed `index` slots after the first (< size()). Walks the pool's chunks.
  uint32_t Nth(const ChunkArena& arena, uint64_t index) const;
  // Drops the last slot. Whoever calls has moved its contents, if they are still wanted.
  void Pop(ChunkArena& arena);

  uint32_t slots_per_chunk() const {
    return std::min<uint32_t>(ChunkArena::kSlotsPerChunkMax, ChunkArena::kChunkBytes / stride_);
  }

 private:
  uint32_t stride_ = 0;
  uint32_t chunk_ = ChunkArena::kNoChunk;  // the last one; Link() leads to the ones before
  uint32_t count_ = 0;                     // in the last chunk
  uint64_t size_ = 0;
};

}  // namespace pakv
