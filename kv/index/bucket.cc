#include "kv/index/bucket.h"

namespace pakv {

BucketStore::BucketStore() {
  for (uint32_t lines = 1; lines <= kBucketLinesMax; ++lines) {
    pools_[lines].Init(lines * sizeof(BucketLine));
  }
}

DirectoryRef BucketStore::New(const BucketSlot* slots, uint32_t count) {
  if (count == 0) return DirectoryRef();
  const uint32_t line_count = (count + BucketLine::kSlots - 1) / BucketLine::kSlots;
  PAKV_CHECK(line_count <= kBucketLinesMax);
  const uint32_t handle = pools_[line_count].Push(arena_);
  // A bucket holds some ten items or more, and items are refused when their handles end.
  PAKV_CHECK(handle != ChunkArena::kNoHandle, "more buckets than items");
  BucketLine* lines = reinterpret_cast<BucketLine*>(arena_.Address(handle));
  lines[0].count = static_cast<uint16_t>(count);
  for (uint32_t i = 0; i < count; ++i) SetSlot(lines, i, slots[i]);
  return DirectoryRef::Bucket(lines, line_count);
}

bool BucketStore::IsLast(DirectoryRef bucket) const {
  const uint32_t line_count = bucket.line_count();
  return line_count == 0 ||
         reinterpret_cast<BucketLine*>(arena_.Address(pools_[line_count].last())) == bucket.lines();
}

DirectoryRef BucketStore::Free(DirectoryRef freed) {
  const uint32_t line_count = freed.line_count();
  if (line_count == 0) return DirectoryRef();
  DensePool& pool = pools_[line_count];
  DirectoryRef moved;
  if (!IsLast(freed)) {
    std::memcpy(static_cast<void*>(freed.lines()), arena_.Address(pool.last()), pool.stride());
    moved = DirectoryRef::Bucket(freed.lines(), line_count);
  }
  pool.Pop(arena_);
  return moved;
}

bool BucketStore::Drop(uint32_t chunks_max) {
  for (; drop_chunk_ <= arena_.chunk_id_max(); ++drop_chunk_) {
    if (arena_.Stride(drop_chunk_) == 0) continue;
    if (chunks_max-- == 0) return false;
    arena_.Free(drop_chunk_);
  }
  return true;
}

uint64_t BucketStore::buckets() const {
  uint64_t buckets = 0;
  for (const DensePool& pool : pools_) buckets += pool.size();
  return buckets;
}

}  // namespace pakv
