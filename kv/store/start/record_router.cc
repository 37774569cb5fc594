#include "kv/store/start/record_router.h"

#include "kv/index/hash_range.h"
#include "kv/log/format/key_hash.h"
#include "runtime/task/nursery.h"

namespace pakv {

Task<absl::Status> RecordRouter::Take(Core& here, std::span<const RecoveredRecord> records) {
  std::vector<Batch> batches(here.count());
  for (Batch& batch : batches) batch.records.reserve(records.size() / here.count() * 9 / 8);
  for (const RecoveredRecord& record : records) {
    const uint32_t namespace_id = record.fields.namespace_id;
    if (namespace_id >= end_.load(std::memory_order_relaxed)) NoteNamespace(namespace_id);
    if ((record.fields.flags & kRecordDrop) != 0) {
      for (Batch& batch : batches) batch.drops.emplace_back(namespace_id, record.fields.lsn);
      continue;
    }
    const uint64_t hash = KeyHash(hash_seed_, namespace_id, record.fields.key);
    batches[OwnerOf(hash, here.count())].records.push_back({hash, &record});
  }
  Nursery nursery(here.ready());
  for (uint32_t owner = 0; owner < here.count(); ++owner) {
    Batch& batch = batches[owner];
    if (batch.records.empty() && batch.drops.empty()) continue;
    nursery.Spawn(Give(here, owner, batch));
  }
  co_await nursery.Join();
  co_return memory_.Check();
}

void RecordRouter::NoteNamespace(uint32_t namespace_id) {
  if (namespace_id == kEveryNamespace) return;
  uint32_t end = end_.load(std::memory_order_relaxed);
  while (end <= namespace_id && !end_.compare_exchange_weak(end, namespace_id + 1)) {
  }
}

Task<void> RecordRouter::Give(Core& here, uint32_t owner, const Batch& batch) {
  struct Size {
    uint64_t index_bytes = 0;
    uint64_t keys = 0;
  };
  Shard* shard = shards_[owner].get();
  const Batch* given = &batch;
  const Size size = co_await here.CallOn(owner, [given, shard](Core&) {
    for (const auto& [namespace_id, lsn] : given->drops) shard->RecoverDrop(namespace_id, lsn);
    shard->Recover(given->records);
    return Size{.index_bytes = shard->index_bytes(), .keys = shard->table().count()};
  });
  memory_.Note(owner, size.index_bytes, size.keys);
}

}  // namespace pakv
