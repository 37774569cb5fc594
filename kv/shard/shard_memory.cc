// What a shard holds, and what it does when that is too much.
#include <utility>

#include "kv/shard/shard.h"
#include "runtime/base/coverage.h"
#include "runtime/base/seeded_bug.h"

namespace pakv {
namespace {

// Cached values that one step of shrinking drops.
constexpr uint32_t kShrinkStep = 64;
// While new keys are refused, how often it is looked whether that is still right.
constexpr uint64_t kLookAgainNs = 1 * kNsPerMs;

}  // namespace

uint64_t Shard::CountedBytes() const {
  uint64_t bytes = table_->bytes_used() + (cache_->bytes_used() - cache_->held_bytes()) +
                   dropping_bytes_ + pending_.bytes_used() + dead_records_.bytes_used() +
                   short_reads_.bytes + long_reads_.bytes + transaction_memory_.used_bytes() +
                   reply_room_.used_bytes();
  if (files_ != nullptr) bytes += files_->memory_bytes();
  if (log_ != nullptr) bytes += log_->memory_bytes();
  if (options_.keeps_values) bytes += cache_->held_bytes();
  if (client_bytes_) bytes += client_bytes_();
  return bytes;
}

MemoryUse Shard::UseOfMemory() const {
  return {.counted_bytes = CountedBytes() + memory_.pending_bytes(),
          .cached_bytes = options_.keeps_values ? 0 : cache_->held_bytes(),
          .refused_count = counters_.new_keys_refused};
}

void Shard::SetMemoryLimit(uint64_t bytes) {
  memory_.set_limit(bytes);
  LookAtMemory(0);
}

void Shard::LookAtMemory(uint64_t wanted_bytes) {
  memory_looked_ns_ = core_.now_ns();
  memory_.Look(CountedBytes(), wanted_bytes, table_->HasRoomAhead());
  if (options_.keeps_values) return;
  cache_->SetCap(memory_.cache_bytes());
  if (cache_->held_bytes() <= cache_->cap_bytes() || shrinking_) return;
  PAKV_COVERED(kCacheShrunk);
  shrinking_ = true;
  nursery_.Spawn(ShrinkCache());
}

Task<void> Shard::ShrinkCache() {
  // Not at once: a write that looked at memory may be about to take its value, or its reply, from
  // the cache. And a FLUSH puts another one in its place.
  do {
    co_await core_.ready().Yield();
  } while (!cache_->ShrinkStep(kShrinkStep));
  shrinking_ = false;
}

// A write that was charged more than there was room for. True: it is of a new key, and is refused.
bool Shard::RefusesForMemory(const Request& request, uint64_t cost) {
  if (!memory_.refusing() || core_.now_ns() >= memory_looked_ns_ + kLookAgainNs) {
    // Without its own charge, which the look would count as somebody else's.
    memory_.Withdraw(cost);
    LookAtMemory(cost);
    if (memory_.Charge(cost)) return false;
    // Before a key is refused, notes go that spare nothing but work.
    if (dead_records_.Clear()) {
      memory_.Withdraw(cost);
      LookAtMemory(cost);
      if (memory_.Charge(cost)) return false;
    }
  }
  const bool is_there = !PAKV_BUG(kOverwriteRefused) && IsThere(request);
  if (is_there && !(options_.keeps_values && GrowsTooFar(request, cost))) return false;
  PAKV_COVERED(kNewKeyRefused);
  memory_.Refuse();
  ++counters_.new_keys_refused;
  return true;
}

// As AppendAsOne, of keys that are this core's own.
std::optional<Outcome> Shard::AppendOwn(std::span<Request* const> requests,
                                        std::vector<Appended>& appended) {
  std::optional<Outcome> refused;
  uint64_t charged = 0;
  for (const Request* request : requests) {
    if (request->pending_delete_) continue;
    const uint64_t cost = WriteCost(request->key.size(), request->pending_value_.size());
    charged += cost;
    if (memory_.Charge(cost) || !RefusesForMemory(*request, cost)) continue;
    refused = Outcome::kOutOfMemory;
    break;
  }
  if (!refused) refused = AppendAsOne(requests, appended);
  if (refused) memory_.Withdraw(charged);
  return refused;
}

// Who decides is another core: the keys that it may write are charged as long as they are held, and
// those that would be refused are marked.
void Shard::ReserveMemory(std::span<TransactionKey* const> keys) {
  for (TransactionKey* key : keys) {
    if (!key->may_write) continue;
    const uint64_t cost = MemoryShare::KeyCost(key->key.size());
    key->lacks_memory = !memory_.Charge(cost) && RefusesForMemory(*key, cost);
    if (key->lacks_memory) memory_.Withdraw(cost);
    key->is_charged = !key->lacks_memory;
  }
}

void Shard::ReturnMemory(std::span<TransactionKey* const> keys) {
  for (TransactionKey* key : keys) {
    if (key->is_charged) memory_.Settled(MemoryShare::KeyCost(key->key.size()));
    key->is_charged = false;
  }
}

// Where values are kept, those of keys that are there may grow beyond the limit, but not far.
bool Shard::GrowsTooFar(const Request& request, uint64_t cost) {
  const uint64_t value_cost = cost - MemoryShare::KeyCost(request.key.size());
  const Entry entry = table_->Find(
      {.hash = request.hash, .namespace_id = request.namespace_id, .key = request.key});
  const uint64_t held = entry ? MemoryShare::ValueCost(entry.location().length -
                                                       EncodedRecordSize(request.key.size(), 0))
                              : 0;
  if (value_cost <= held) return false;
  LookAtMemory(0);
  return memory_.is_far_over();
}

// Whether the index holds the key, or a pending write of it has been admitted: then one more adds
// nothing.
bool Shard::IsThere(const Request& request) {
  const PendingTable::Slot* slot = pending_.Find(request.hash, request.namespace_id, request.key);
  if (slot != nullptr && slot->newest != nullptr && !slot->newest->pending_delete_) return true;
  return static_cast<bool>(table_->Find(
      {.hash = request.hash, .namespace_id = request.namespace_id, .key = request.key}));
}

}  // namespace pakv
