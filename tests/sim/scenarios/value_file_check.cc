#include "tests/sim/scenarios/value_file_check.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "kv/log/format/format_value_file.h"
#include "runtime/base/clock.h"

namespace pakv {
namespace {

Task<StoreStats> StatsOf(Store& store, Core& core) { return store.Stats(core); }

}  // namespace

// Both are looked at again and again: a namespace that was dropped, and a key whose time is over,
// are taken out of the index while it is looked at.
std::string CheckValueFiles(SimWorld& world, SimNode& node, Store& store, const char* directory) {
  constexpr int kLooksMax = 600;
  uint64_t files = 0;
  uint64_t keys = 0;
  for (int look = 0; look < kLooksMax; ++look) {
    const std::optional<StoreStats> stats = node.Run(StatsOf(store, node.core(0)));
    if (!stats) return {};
    std::vector<std::string> names;
    node.disk().List(directory, names);
    files = static_cast<uint64_t>(std::count_if(
        names.begin(), names.end(), [](const auto& name) { return ValueFileOfName(name) != 0; }));
    keys = stats->value_files;
    if (files == keys) return {};
    world.RunFor(100 * kNsPerMs);
    if (!node.running()) return {};
  }
  return std::to_string(files) + " value files, and " + std::to_string(keys) +
         " keys that refer to one";
}

}  // namespace pakv
