// What a store has on its disk at rest: for both scenarios that have one.
#pragma once

#include <string>

#include "kv/store/store.h"
#include "tests/sim/world/sim_node.h"
#include "tests/sim/world/sim_world.h"

namespace pakv {

// Once nobody reads or writes any more, there is a value file for each key that has one, and no
// other. Gives removals that are under way the time that they need. What is wrong, or empty; empty,
// too, if the node crashes meanwhile.
std::string CheckValueFiles(SimWorld& world, SimNode& node, Store& store, const char* directory);

}  // namespace pakv
