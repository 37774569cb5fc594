#include "kv/index/item_store.h"

#include <malloc.h>

#include <bit>
#include <cstdlib>

#include "runtime/base/pages.h"

namespace pakv {

// Pools 1 to 64: strides 4 to 256 by 4. Then for each doubling 16 pools: 272 … 512 by 16, … 8192.
uint32_t ItemStore::PoolOf(uint32_t bytes) {
  if (bytes <= 256) return (bytes + 3) / 4;
  if (bytes > kPooledBytesMax) return 0;
  const uint32_t doubling = std::bit_width(bytes - 1) - 9;  // 257..512: 0
  const uint32_t step = 16u << doubling;
  return 65 + doubling * 16 + (bytes - (256u << doubling) + step - 1) / step - 1;
}

uint32_t ItemStore::StrideOf(uint32_t pool) {
  if (pool == 0) return kPointerStride;
  if (pool <= 64) return pool * 4;
  const uint32_t doubling = (pool - 65) / 16;
  return (256u << doubling) + ((pool - 65) % 16 + 1) * (16u << doubling);
}

ItemStore::ItemStore() {
  for (uint32_t pool = 0; pool < kPools; ++pool) {
    const uint32_t stride = StrideOf(pool);
    PAKV_CHECK(pool == 0 || PoolOf(stride) == pool);
    pools_[pool].Init(stride);
  }
}

ItemStore::~ItemStore() {
  // The chunks go with the arena; what malloc gave has to be given back.
  while (pools_[0].size() > 0) {
    std::free(At(pools_[0].last()));
    pools_[0].Pop(arena_);
  }
}

bool ItemStore::Drop(uint32_t steps_max) {
  for (; pools_[0].size() > 0; --steps_max) {
    if (steps_max == 0) return false;
    Free(pools_[0].last());
  }
  for (; drop_chunk_ <= arena_.chunk_id_max(); ++drop_chunk_) {
    if (arena_.Stride(drop_chunk_) == 0) continue;
    if (steps_max-- == 0) return false;
    arena_.Free(drop_chunk_);
  }
  return true;
}

uint32_t ItemStore::Allocate(uint32_t bytes) {
  const uint32_t pool = PoolOf(bytes);
  const uint32_t handle = pools_[pool].Push(arena_);
  if (handle == ChunkArena::kNoHandle) return handle;
  ++size_;
  if (pool == 0) {
    void* memory = std::malloc(bytes);
    if (memory == nullptr) EndForLackOfMemory();
    owned_bytes_ += malloc_usable_size(memory) + sizeof(size_t);  // malloc's own word
    std::memcpy(arena_.Address(handle), &memory, sizeof(memory));
  }
  return handle;
}

ItemStore::Moved ItemStore::Free(uint32_t handle) {
  const uint32_t stride = arena_.Stride(ChunkArena::ChunkOf(handle));
  DensePool& pool = pools_[stride == kPointerStride ? 0 : PoolOf(stride)];
  PAKV_CHECK(pool.stride() == stride);
  if (stride == kPointerStride) {
    Item* item = At(handle);
    owned_bytes_ -= malloc_usable_size(item) + sizeof(size_t);
    std::free(item);
  }
  Moved moved;
  const uint32_t last = pool.last();
  if (last != handle) {
    std::memcpy(arena_.Address(handle), arena_.Address(last), stride);
    moved.from = last;
    moved.to = handle;
  }
  pool.Pop(arena_);
  --size_;
  return moved;
}

uint32_t ItemStore::Random(Prng& prng) const {
  if (size_ == 0) return ChunkArena::kNoHandle;
  uint64_t index = prng.Below(size_);
  const DensePool* pool = pools_.data();
  while (index >= pool->size()) index -= (pool++)->size();
  // Walking the pool's chunks is exact, and cheap while they are few. When they are many, draws
  // among all chunks meet one of them soon; each slot of the pool is as likely as any other.
  constexpr uint32_t kWalkChunksMax = 64;
  constexpr uint32_t kDrawsMax = 256;
  if (pool->size() > uint64_t{kWalkChunksMax} * pool->slots_per_chunk()) {
    for (uint32_t i = 0; i < kDrawsMax; ++i) {
      const uint32_t chunk = 1 + static_cast<uint32_t>(prng.Below(arena_.chunk_id_max()));
      const uint32_t slot = static_cast<uint32_t>(prng.Below(pool->slots_per_chunk()));
      if (arena_.Stride(chunk) == pool->stride() && slot < arena_.Count(chunk)) {
        return ChunkArena::HandleOf(chunk, slot);
      }
    }
  }
  return pool->Nth(arena_, index);
}

}  // namespace pakv
