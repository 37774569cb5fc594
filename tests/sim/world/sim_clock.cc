#include "tests/sim/world/sim_clock.h"

#include <algorithm>

#include "runtime/base/check.h"

namespace pakv {

SimAgenda::Id SimAgenda::At(uint64_t time_ns, Owner owner, Action action) {
  const Id id{std::max(time_ns, now_ns_), next_sequence_++};
  events_.push_back({id, owner, std::move(action)});
  std::push_heap(events_.begin(), events_.end());
  return id;
}

template <typename Strikes>
void SimAgenda::Strike(Strikes strikes) {
  if (std::erase_if(events_, strikes) != 0) std::make_heap(events_.begin(), events_.end());
}

void SimAgenda::Cancel(Id id) {
  Strike([id](const Event& event) { return event.id == id; });
}

void SimAgenda::CancelAll(Owner owner) {
  Strike([owner](const Event& event) { return event.owner == owner; });
}

void SimAgenda::AdvanceTo(uint64_t time_ns) {
  PAKV_CHECK(time_ns >= now_ns_, "virtual time does not go back");
  now_ns_ = time_ns;
}

bool SimAgenda::RunDue() {
  if (next_ns() > now_ns_) return false;
  std::pop_heap(events_.begin(), events_.end());
  const Action action = std::move(events_.back().action);
  events_.pop_back();
  action();
  return true;
}

}  // namespace pakv
