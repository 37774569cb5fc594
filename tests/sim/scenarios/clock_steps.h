// ClockSteps: a node's wall clock is set, also back, by less than a second or by hours, within what
// a start accepts; before the node starts, or while clients work.
#pragma once

#include <cstdint>

#include "runtime/base/prng.h"
#include "tests/sim/oracle/oracle.h"
#include "tests/sim/world/sim_node.h"
#include "tests/sim/world/sim_world.h"

namespace pakv {

class ClockSteps {
 public:
  // Draws from the world's PRNG. All have to outlive this.
  ClockSteps(SimWorld& world, SimNode& node, Oracle& oracle)
      : world_(world), node_(node), oracle_(oracle) {}

  void Step();
  // One time in three.
  void StepNowAndThen();
  // The same, twice at most, within the next `within_ns`, as long as `clients_work` is set then.
  void StepUnderLoad(uint64_t within_ns, const bool& clients_work);

 private:
  SimWorld& world_;
  SimNode& node_;
  Oracle& oracle_;
  int64_t offset_us_ = 0;
};

}  // namespace pakv
