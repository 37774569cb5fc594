#include "tests/sim/world/sim_world.h"

#include <algorithm>

#include "runtime/base/check.h"
#include "tests/sim/world/sim_node.h"

namespace pakv {

SimWorld::SimWorld(uint64_t seed) : seed_(seed), prng_(seed), net_(agenda_, prng_.Next()) {
  CurrentCheckContext() = {-1, seed_, agenda_.now_ns()};
}

SimWorld::~SimWorld() {
  PAKV_CHECK(nodes_.empty(), "a node outlives its world");
  CurrentCheckContext() = {};
}

bool SimWorld::Step() {
  ++steps_;
  const uint64_t now = now_ns();
  uint64_t next_ns = agenda_.next_ns();
  candidates_.clear();
  for (SimNode* node : nodes_) {
    if (!node->running()) continue;
    for (uint32_t id = 0; id < node->rings_.size(); ++id) {
      const Core& core = node->core(id);
      const bool due = core.runnable() || node->rings_[id]->ready();
      const uint64_t due_ns =
          std::max(due ? now : core.next_deadline_ns(), node->not_before_ns_[id]);
      if (due_ns <= now) {
        candidates_.push_back({node, id});
      } else {
        next_ns = std::min(next_ns, due_ns);
      }
    }
  }
  const bool event_due = agenda_.next_ns() <= now;
  if (candidates_.empty() && !event_due) {
    if (next_ns == kNever) return false;
    agenda_.AdvanceTo(next_ns);
    return true;
  }
  const uint64_t choice = prng_.Below(candidates_.size() + (event_due ? 1 : 0));
  if (choice == candidates_.size()) {
    agenda_.RunDue();
  } else {
    const Candidate chosen = candidates_[choice];
    trace_.Add(now);
    trace_.Add(chosen.core);
    chosen.node->core(chosen.core).RunPass();
    CurrentCheckContext() = {-1, seed_, now};
    agenda_.AdvanceTo(now + prng_.Below(2 * kNsPerUs));
    if (prng_.Chance(1, 100)) {
      chosen.node->not_before_ns_[chosen.core] = now + prng_.Below(kNsPerMs);
    }
  }
  for (SimNode* node : nodes_) {
    if (node->running() && node->process_->dying()) node->Crash(node->pending_crash_);
  }
  return true;
}

bool SimWorld::RunUntil(const std::function<bool()>& done, uint64_t limit_ns) {
  const uint64_t end_ns = limit_ns > kNever - now_ns() ? kNever : now_ns() + limit_ns;
  const uint64_t last_step = steps_ + kStepsMax;
  while (!done()) {
    if (!Step()) {
      failure_ = "a hang: nothing is left that could run";
    } else if (now_ns() > end_ns) {
      failure_ = "no end after " + std::to_string(limit_ns / kNsPerMs) + " ms";
    } else if (steps_ > last_step) {
      failure_ = "no end after " + std::to_string(kStepsMax) + " steps";
    } else {
      continue;
    }
    failure_ += " (at " + std::to_string(now_ns()) + " ns)";
    for (const SimNode* node : nodes_) {
      for (size_t id = 0; id < node->rings_.size(); ++id) {
        failure_ += "\n  " + node->host_ + " core " + std::to_string(id) +
                    " waits for:" + node->rings_[id]->Describe();
      }
    }
    return false;
  }
  return true;
}

void SimWorld::RunFor(uint64_t duration_ns) {
  bool over = false;
  const SimAgenda::Id end = agenda_.After(duration_ns, /*owner=*/0, [&over] { over = true; });
  if (!RunUntil([&over] { return over; }, kNever)) agenda_.Cancel(end);
}

}  // namespace pakv
