// Runs seeds of a scenario in processes of their own, so that one that aborts (a failed check) is
// a failure of its seed like any other.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "runtime/base/seeded_bug.h"
#include "tests/sim/scenario.h"

namespace pakv {

struct SeedFailure {
  uint64_t seed = 0;
  std::string text;  // what was wrong, and the last lines of the log
};

struct SeedRun {
  const Scenario* scenario = nullptr;
  uint64_t first_seed = 0;
  uint64_t count = 1;
  SeededBug bug = SeededBug::kNone;  // needs the simulator's build
  unsigned jobs = 1;
  uint64_t* marks = nullptr;         // kCoverageMarks counts, to be added to
  uint64_t* crash_points = nullptr;  // the same
  uint64_t* cpu_us = nullptr;        // the same: CPU time, the system's for them included
};

// The failure with the smallest seed that was found before the others stopped, or nothing.
// `operations` receives what the scenarios counted.
std::optional<SeedFailure> RunSeeds(const SeedRun& run, uint64_t& operations);

}  // namespace pakv
