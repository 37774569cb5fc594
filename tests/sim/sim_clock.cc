#include "tests/sim/sim_clock.h"

#include <algorithm>

#include "runtime/base/check.h"

namespace pakv {

SimAgenda::Id SimAgenda::At(uint64_t time_ns, Owner owner, Action action) {
  const Id id{std::max(time_ns, now_ns_), next_sequence_++};
  events_.emplace(id, Event{owner, std::move(action)});
  return id;
}

void SimAgenda::CancelAll(Owner owner) {
  std::erase_if(events_, [owner](const auto& entry) { return entry.second.owner == owner; });
}

void SimAgenda::AdvanceTo(uint64_t time_ns) {
  PAKV_CHECK(time_ns >= now_ns_, "virtual time does not go back");
  now_ns_ = time_ns;
}

bool SimAgenda::RunDue() {
  if (events_.empty() || events_.begin()->first.first > now_ns_) return false;
  auto node = events_.extract(events_.begin());
  node.mapped().action();
  return true;
}

}  // namespace pakv
