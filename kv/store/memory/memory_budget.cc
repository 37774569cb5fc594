#include "kv/store/memory/memory_budget.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "kv/log/files/shortage.h"
#include "runtime/base/check.h"
#include "runtime/base/log.h"
#include "runtime/core/heap.h"

namespace pakv {
namespace {

// So many ticks without a change before it is trusted to last.
constexpr uint32_t kIdleTicks = 16;
// So long no new key was refused before it is said that they are accepted: a core that has a few
// KiB left takes small keys and refuses long ones.
constexpr uint64_t kQuietNs = 5 * kNsPerSecond;

}  // namespace

MemoryBudget::TickTimer::TickTimer(MemoryBudget& budget_in)
    : Timer([](Timer& self) { static_cast<TickTimer&>(self).budget.due_.Set(); }),
      budget(budget_in) {}

MemoryBudget::MemoryBudget(Core& core, std::vector<Shard*> shards, std::function<uint64_t()> others,
                           const MemoryOptions& options)
    : core_(core),
      shards_(std::move(shards)),
      others_(std::move(others)),
      options_(options),
      due_(core.ready()),
      tick_(*this),
      nursery_(core.ready(), core.nursery().token()) {}

MemoryBudget::~MemoryBudget() = default;

Task<void> MemoryBudget::Start() {
  // Without a limit each core has what it wants from the start.
  if (options_.limit_bytes != 0) (void)co_await Divide();
  nursery_.Spawn(Run());
}

Task<void> MemoryBudget::Stop() {
  nursery_.RequestStop();
  due_.Set();
  co_await nursery_.Join();
}

Task<void> MemoryBudget::Run() {
  uint64_t counted = 0;  // at the last tick
  uint32_t idle_ticks = 0;
  while (!nursery_.stop_requested()) {
    due_.Reset();
    // Without a limit there is nothing to divide: until SetLimit.
    if (options_.limit_bytes != 0) {
      tick_.Arm(core_.timers(), core_.now_ns() + options_.tick_ns);
    }
    co_await due_.Wait();
    tick_.Disarm();
    if (nursery_.stop_requested()) break;
    const uint64_t counted_before = std::exchange(counted, co_await Divide());
    idle_ticks = counted == counted_before ? idle_ticks + 1 : 0;
    // Ever more rarely: what runs in the background may come and go between two ticks.
    if (idle_ticks > 0 && (idle_ticks < kIdleTicks || std::has_single_bit(idle_ticks))) {
      co_await GiveHolesBack(core_);
    }
  }
}

Task<void> MemoryBudget::SetLimit(uint64_t bytes) {
  options_.limit_bytes = bytes;
  (void)co_await Divide();
  due_.Set();
}

Task<uint64_t> MemoryBudget::Divide() {
  std::vector<uint64_t> counted;
  uint64_t sum = fixed_bytes();
  uint64_t refused_count = 0;
  for (Shard* shard : shards_) {
    const MemoryUse use =
        co_await core_.CallOn(shard->core().id(), [shard](Core&) { return shard->UseOfMemory(); });
    counted.push_back(use.counted_bytes);
    sum += use.counted_bytes;
    refused_count += use.refused_count;
  }
  const uint64_t limit = options_.limit_bytes;
  const uint64_t left = (limit > sum ? limit - sum : 0) / shards_.size();
  // What is too much is missing everywhere.
  const uint64_t lacking = sum > limit ? (sum - limit) / shards_.size() : 0;
  bool refusing = false;
  for (size_t i = 0; i < shards_.size(); ++i) {
    Shard* const shard = shards_[i];
    uint64_t share = counted[i] - std::min(counted[i], lacking) + left;
    if (limit == 0) share = MemoryShare::kNoLimit;
    const bool refuses = co_await core_.CallOn(shard->core().id(), [shard, share](Core&) {
      shard->SetMemoryLimit(share);
      return shard->refuses_new_keys();
    });
    refusing = refusing || refuses;
  }
  TellOfRefusals(refused_count, refusing);
  co_return sum;
}

// Not where the room is used up and nobody wants more: only what was refused is an event. And not
// for ever anew where it ends and begins: clients see each refusal, /metrics their number.
void MemoryBudget::TellOfRefusals(uint64_t refused_count, bool refusing) {
  const bool refused = refused_count > refused_count_;
  refused_count_ = std::max(refused_count, refused_count_);
  if (refused) refused_ns_ = core_.now_ns();
  if (refused && !is_told_ && core_.now_ns() >= tell_again_ns_) {
    is_told_ = true;
    tell_again_ns_ = core_.now_ns() + kShortageToldEveryNs;
    LogWarning(
        "new keys are refused (-OOM): the memory of {} MiB (--memory) is used up, or the system "
        "gives less (ulimit -v); deletes, writes of keys that are there and reads go on. What to "
        "do: delete keys, or start with more --memory",
        options_.limit_bytes >> 20);
  } else if (is_told_ && !refusing && core_.now_ns() >= refused_ns_ + kQuietNs) {
    is_told_ = false;
    LogInfo("new keys are accepted: there is memory again");
  }
}

}  // namespace pakv
