#include "kv/index/chunk_arena.h"

#include <sys/mman.h>

#include "runtime/base/pages.h"

namespace pakv {
namespace {

// One huge page more than is used, for the alignment: never touched, so it costs no memory.
constexpr size_t kMappedBytes = ChunkArena::kRegionBytes + ChunkArena::kHugePageBytes;

}  // namespace

ChunkArena::~ChunkArena() {
  for (void* region : regions_) PAKV_CHECK(munmap(region, kMappedBytes) == 0);
}

bool ChunkArena::AddRegion() {
  constexpr uint32_t kChunks = kRegionBytes / kChunkBytes;
  if (kChunksMax - 1 - chunk_id_max_ < kChunks) return false;
  void* const region = MapPages(kMappedBytes, MAP_NORESERVE);
  if (region == nullptr) return false;
  // Kernels without huge pages refuse the advice, and do not need it.
  const bool is_plain = regions_.size() * kRegionBytes < kPlainBytes;
  (void)madvise(region, kMappedBytes, is_plain ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
  regions_.push_back(region);
  if (!leaves_) leaves_ = std::make_unique<std::unique_ptr<Record[]>[]>(kLeaves);
  const uint64_t begin =
      (reinterpret_cast<uint64_t>(region) + kHugePageBytes - 1) & ~uint64_t{kHugePageBytes - 1};
  const uint32_t id_begin = chunk_id_max_ + 1;
  for (uint32_t i = kChunks; i-- > 0;) {
    const uint32_t id = id_begin + i;
    std::unique_ptr<Record[]>& leaf = leaves_[id >> kLeafBits];
    if (!leaf) {
      leaf = std::make_unique<Record[]>(kLeafRecords);
      ++leaf_count_;
    }
    Record& record = At(id);
    record.base_and_stride = begin + i * kChunkBytes;
    record.link = cold_head_;
    record.count = 0;
    cold_head_ = id;
  }
  chunk_id_max_ += kChunks;
  return true;
}

bool ChunkArena::HasRoomAhead() {
  while (chunk_id_max_ > 0 && chunk_id_max_ - chunks_used_ < kChunksAhead) {
    if (!AddRegion()) return false;
  }
  return true;
}

uint32_t ChunkArena::Allocate(uint32_t stride) {
  PAKV_CHECK(stride > 0 && stride < kChunkBytes);
  uint32_t id = warm_head_;
  if (id != kNoChunk) {
    warm_head_ = At(id).link;
    --warm_chunks_;
  } else {
    if (cold_head_ == kNoChunk && !AddRegion()) return kNoChunk;
    id = cold_head_;
    cold_head_ = At(id).link;
  }
  Record& record = At(id);
  PAKV_CHECK(StrideOf(record.base_and_stride) == 0, "a free chunk has no stride");
  record.base_and_stride |= stride;
  record.link = kNoChunk;
  record.count = 0;
  ++chunks_used_;
  return id;
}

void ChunkArena::Free(uint32_t chunk) {
  Record& record = At(chunk);
  PAKV_CHECK(StrideOf(record.base_and_stride) != 0, "freed twice");
  char* base = BaseOf(record.base_and_stride);
  record.base_and_stride = reinterpret_cast<uint64_t>(base);
  record.count = 0;
  --chunks_used_;
  if (warm_chunks_ < warm_chunks_max_) {
    record.link = warm_head_;
    warm_head_ = chunk;
    ++warm_chunks_;
  } else {
    PAKV_CHECK(madvise(base, kChunkBytes, MADV_DONTNEED) == 0);
    // Or the kernel would make the huge page whole again, with memory that nobody has asked for.
    const uint64_t huge = reinterpret_cast<uint64_t>(base) & ~uint64_t{kHugePageBytes - 1};
    (void)madvise(reinterpret_cast<void*>(huge), kHugePageBytes, MADV_NOHUGEPAGE);
    record.link = cold_head_;
    cold_head_ = chunk;
  }
}

size_t ChunkArena::bytes_used() const {
  const size_t tables = leaves_ ? kLeaves * sizeof(leaves_[0]) : 0;
  return (size_t{chunks_used_} + warm_chunks_) * kChunkBytes + tables +
         size_t{leaf_count_} * kLeafRecords * sizeof(Record) + regions_.capacity() * sizeof(void*);
}

uint32_t DensePool::Push(ChunkArena& arena) {
  if (chunk_ == ChunkArena::kNoChunk || count_ == slots_per_chunk()) {
    const uint32_t chunk = arena.Allocate(stride_);
    if (chunk == ChunkArena::kNoChunk) return ChunkArena::kNoHandle;
    arena.Link(chunk) = chunk_;
    chunk_ = chunk;
    count_ = 0;
  }
  arena.Count(chunk_) = ++count_;
  ++size_;
  return last();
}

uint32_t DensePool::Nth(const ChunkArena& arena, uint64_t index) const {
  PAKV_CHECK(index < size_);
  uint32_t chunk = chunk_;
  uint64_t first = size_ - count_;  // index of the chunk's first slot
  while (index < first) {
    chunk = arena.Link(chunk);
    first -= slots_per_chunk();
  }
  return ChunkArena::HandleOf(chunk, static_cast<uint32_t>(index - first));
}

void DensePool::Pop(ChunkArena& arena) {
  PAKV_CHECK(count_ > 0);
  arena.Count(chunk_) = --count_;
  --size_;
  if (count_ == 0) {
    const uint32_t emptied = chunk_;
    chunk_ = arena.Link(emptied);
    count_ = chunk_ == ChunkArena::kNoChunk ? 0 : slots_per_chunk();
    arena.Free(emptied);
  }
}

}  // namespace pakv
