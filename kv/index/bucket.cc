#include "kv/index/bucket.h"

#include "runtime/base/check.h"
#include "runtime/base/pages.h"

namespace pakv {
namespace {

void Put(BucketLine& line, BucketSlot slot) {
  line.tags[line.used] = slot.tag;
  line.handles[line.used] = slot.handle;
  ++line.used;
}

// Takes slot `index` out of the line; the last one takes its place.
BucketSlot Take(BucketLine& line, uint32_t index) {
  const BucketSlot taken{line.tags[index], line.handles[index]};
  --line.used;
  line.tags[index] = line.tags[line.used];
  line.handles[index] = line.handles[line.used];
  return taken;
}

bool PutHome(BucketLine* lines, uint32_t line_count, BucketSlot slot) {
  BucketLine& home = lines[HomeOf(slot.tag, line_count)];
  if (home.used == BucketLine::kSlots) return false;
  Put(home, slot);
  return true;
}

void PutElsewhere(BucketLine* lines, uint32_t line_count, BucketSlot slot) {
  uint32_t line = 0;
  while (lines[line].used == BucketLine::kSlots) ++line;
  PAKV_CHECK(line < line_count, "a bucket has room for what is added");
  Put(lines[line], slot);
  ++lines[HomeOf(slot.tag, line_count)].strayed;
}

// One that has strayed from `home`, where there is room now, comes back.
void BringHome(BucketLine* lines, uint32_t line_count, uint32_t home) {
  for (uint32_t line = 0; line < line_count; ++line) {
    if (line == home) continue;
    for (uint32_t index = 0; index < lines[line].used; ++index) {
      if (HomeOf(lines[line].tags[index], line_count) != home) continue;
      Put(lines[home], Take(lines[line], index));
      --lines[home].strayed;
      return;
    }
  }
}

}  // namespace

uint32_t CopySlots(DirectoryRef bucket, BucketSlot* slots) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < bucket.line_count(); ++i) {
    const BucketLine& line = bucket.lines()[i];
    for (uint32_t k = 0; k < line.used; ++k) slots[count++] = {line.tags[k], line.handles[k]};
  }
  return count;
}

uint32_t AnyHandle(DirectoryRef bucket) {
  const BucketLine* line = bucket.lines();
  while (line->used == 0) ++line;
  PAKV_CHECK(line < bucket.lines() + bucket.line_count(), "it is not empty");
  return line->handles[0];
}

void AddSlot(DirectoryRef bucket, BucketSlot slot) {
  BucketLine* const lines = bucket.lines();
  if (!PutHome(lines, bucket.line_count(), slot)) PutElsewhere(lines, bucket.line_count(), slot);
  ++lines[0].count;
}

void RemoveSlot(DirectoryRef bucket, const uint32_t* handle) {
  BucketLine* const lines = bucket.lines();
  const uint32_t line_count = bucket.line_count();
  uint32_t line = 0;
  while (handle >= lines[line].handles + BucketLine::kSlots) ++line;
  PAKV_CHECK(line < line_count && handle >= lines[line].handles, "a slot of this bucket");
  const BucketSlot taken = Take(lines[line], static_cast<uint32_t>(handle - lines[line].handles));
  const uint32_t home = HomeOf(taken.tag, line_count);
  if (home != line) --lines[home].strayed;
  if (lines[line].strayed > 0) BringHome(lines, line_count, line);
  --lines[0].count;
}

void CheckBucket(DirectoryRef bucket) {
  uint32_t count = 0;
  uint32_t strayed[kBucketLinesMax] = {};
  const uint32_t line_count = bucket.line_count();
  for (uint32_t i = 0; i < line_count; ++i) {
    const BucketLine& line = bucket.lines()[i];
    PAKV_CHECK(line.used <= BucketLine::kSlots);
    count += line.used;
    for (uint32_t k = 0; k < line.used; ++k) {
      const uint32_t home = HomeOf(line.tags[k], line_count);
      if (home != i) ++strayed[home];
    }
  }
  PAKV_CHECK(count == CountOf(bucket));
  for (uint32_t i = 0; i < line_count; ++i) PAKV_CHECK(bucket.lines()[i].strayed == strayed[i]);
}

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
  // Not for lack of handles: a bucket holds some ten items or more, which have no more of them.
  if (handle == ChunkArena::kNoHandle) EndForLackOfMemory();
  BucketLine* lines = reinterpret_cast<BucketLine*>(arena_.Address(handle));
  for (uint32_t i = 0; i < line_count; ++i) lines[i].used = lines[i].strayed = 0;
  lines[0].count = static_cast<uint16_t>(count);
  BucketSlot others[kBucketSlotsMax];
  uint32_t other_count = 0;
  for (uint32_t i = 0; i < count; ++i) {
    if (!PutHome(lines, line_count, slots[i])) others[other_count++] = slots[i];
  }
  for (uint32_t i = 0; i < other_count; ++i) PutElsewhere(lines, line_count, others[i]);
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
