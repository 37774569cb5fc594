// Virtual time of a simulated world: an agenda of events in (time, sequence) order, and the clocks
// that its nodes read. Time stands still while code runs and moves from event to event, so order
// and timeouts are exact and a seed replays them bit for bit.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "runtime/base/clock.h"

namespace pakv {

// What is to happen when. Single-threaded, as everything in a simulation.
class SimAgenda {
 public:
  using Action = std::function<void()>;
  // Whose event it is, so that a crash can strike out what a process still expected. 0: nobody's.
  using Owner = uint64_t;
  // Names an event until it has run.
  using Id = std::pair<uint64_t, uint64_t>;

  uint64_t now_ns() const { return now_ns_; }
  // Runs `action` at `time_ns`, or as soon as possible if that is past; events of one time run in
  // the order in which they were entered.
  Id At(uint64_t time_ns, Owner owner, Action action);
  Id After(uint64_t delay_ns, Owner owner, Action action) {
    return At(now_ns_ + delay_ns, owner, std::move(action));
  }
  void Cancel(Id id);
  void CancelAll(Owner owner);

  // When the next event is due, kNever if none is.
  uint64_t next_ns() const { return events_.empty() ? kNever : events_.front().id.first; }
  void AdvanceTo(uint64_t time_ns);
  // Runs the first event if it is due. False if none is.
  bool RunDue();

 private:
  struct Event {
    Id id;
    Owner owner;
    Action action;
    // As the standard library's heaps have it, in which the largest is in front.
    bool operator<(const Event& other) const { return id > other.id; }
  };
  template <typename Strikes>
  void Strike(Strikes strikes);

  uint64_t now_ns_ = kNsPerSecond;
  uint64_t next_sequence_ = 0;
  std::vector<Event> events_;  // a heap: the next one is in front
};

// A node's clocks: the monotonic one is the world's, the wall clock may be off and may step.
class SimClock final : public Clock {
 public:
  // 2026-01-01 00:00:00 UTC: what wall clocks show when the world begins.
  static constexpr uint64_t kStartWallUs = 1'767'225'600'000'000;

  explicit SimClock(const SimAgenda& agenda) : agenda_(agenda) {}
  uint64_t MonotonicNs() override { return agenda_.now_ns(); }
  uint64_t WallUs() override {
    return kStartWallUs + agenda_.now_ns() / kNsPerUs + static_cast<uint64_t>(offset_us_);
  }
  // Moves the wall clock; negative: back.
  void StepWall(int64_t step_us) { offset_us_ += step_us; }

 private:
  const SimAgenda& agenda_;
  int64_t offset_us_ = 0;
};

}  // namespace pakv
