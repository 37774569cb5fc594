// Where items live: one dense pool per size, in steps of 4 bytes up to 256 and of 1/16 to 1/8
// above, so that a key's memory is its bytes; items over 8 KiB have memory of their own, behind a
// pointer in a pool. Freeing an item moves the last one of its pool into the hole: whoever frees
// has to redirect what refers to that one.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "kv/index/chunk_arena.h"
#include "kv/index/item.h"
#include "runtime/base/prng.h"

namespace pakv {

class ItemStore {
 public:
  static constexpr uint32_t kPooledBytesMax = 8192;

  ItemStore();
  ~ItemStore();
  ItemStore(const ItemStore&) = delete;
  ItemStore& operator=(const ItemStore&) = delete;

  Item* At(uint32_t handle) const {
    char* slot = arena_.Address(handle);
    if (arena_.Stride(ChunkArena::ChunkOf(handle)) == kPointerStride) [[unlikely]] {
      Item* item;
      std::memcpy(&item, slot, sizeof(item));
      return item;
    }
    return reinterpret_cast<Item*>(slot);
  }

  // Memory for an item of `bytes`, contents unspecified; kNoHandle when all handles are used.
  uint32_t Allocate(uint32_t bytes);

  // Frees an item that nothing refers to. If that moved another one, says from which handle to
  // which (the freed one); until the reference follows, nothing else may be called.
  struct Moved {
    uint32_t from = ChunkArena::kNoHandle;
    uint32_t to = ChunkArena::kNoHandle;
  };
  Moved Free(uint32_t handle);

  // Each item is equally likely; kNoHandle when there is none.
  uint32_t Random(Prng& prng) const;

  // Frees everything in steps, each a chunk or an item with memory of its own: at most `steps_max`
  // of them; true when all is free. After the first call, only Drop and destruction.
  bool Drop(uint32_t steps_max);

  bool HasRoomAhead() { return arena_.HasRoomAhead(); }
  uint64_t size() const { return size_; }
  size_t bytes_used() const { return arena_.bytes_used() + owned_bytes_; }

 private:
  // No item is this small, so the stride tells pointers from items.
  static constexpr uint32_t kPointerStride = 32;
  static_assert(kPointerStride < sizeof(Item));
  static constexpr uint32_t kPools = 1 + 64 + 5 * 16;

  // Pool 0 holds pointers.
  static uint32_t PoolOf(uint32_t bytes);
  static uint32_t StrideOf(uint32_t pool);

  // Chunks kept although free: a load that stands at a chunk's edge, in each of two pools.
  static constexpr uint32_t kWarmChunksMax = 2;

  ChunkArena arena_{kWarmChunksMax};
  std::array<DensePool, kPools> pools_;
  uint64_t size_ = 0;
  size_t owned_bytes_ = 0;   // malloc's, of items with memory of their own
  uint32_t drop_chunk_ = 1;  // all chunks before it are free
};

}  // namespace pakv
