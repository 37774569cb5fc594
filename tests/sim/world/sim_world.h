// SimWorld: many cores of many nodes, stepped in one thread in an order that a seed decides, in
// virtual time. Its machines are SimNodes (tests/sim/world/sim_node.h).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "runtime/base/prng.h"
#include "tests/sim/world/sim_clock.h"
#include "tests/sim/world/sim_net.h"
#include "tests/sim/world/sim_ring.h"

namespace pakv {

class SimNode;

class SimWorld {
 public:
  explicit SimWorld(uint64_t seed);
  SimWorld(const SimWorld&) = delete;
  SimWorld& operator=(const SimWorld&) = delete;
  // All nodes are gone.
  ~SimWorld();

  uint64_t seed() const { return seed_; }
  uint64_t now_ns() const { return agenda_.now_ns(); }
  Prng& prng() { return prng_; }
  SimAgenda& agenda() { return agenda_; }
  SimNet& net() { return net_; }
  // The same for two runs of one seed, whatever the process or machine.
  uint64_t digest() const { return trace_.digest(); }
  uint64_t steps() const { return steps_; }
  // Crashes of its nodes that found operations under way.
  uint64_t crash_points() const { return crash_points_; }

  // Steps until `done` says so. False if that cannot happen: nothing is left that could run (a
  // hang), or `limit_ns` of virtual time or too many steps have passed; failure() then says which.
  [[nodiscard]] bool RunUntil(const std::function<bool()>& done,
                              uint64_t limit_ns = 600 * kNsPerSecond);
  // Steps for a while.
  void RunFor(uint64_t duration_ns);
  const std::string& failure() const { return failure_; }

 private:
  friend class SimNode;
  static constexpr uint64_t kStepsMax = 20'000'000;

  bool Step();

  const uint64_t seed_;
  Prng prng_;
  SimAgenda agenda_;
  SimNet net_;
  SimTrace trace_;
  SimMachine machine_{agenda_, net_, trace_};
  std::vector<SimNode*> nodes_;
  uint64_t next_process_ = 1;
  uint64_t steps_ = 0;
  uint64_t crash_points_ = 0;
  std::string failure_;

  struct Candidate {
    SimNode* node;
    uint32_t core;
  };
  std::vector<Candidate> candidates_;
};

}  // namespace pakv
