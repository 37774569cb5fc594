// Scenarios: what one seed does from beginning to end. pakv_sim and the tests run them by name.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "runtime/base/seeded_bug.h"

namespace pakv {

struct ScenarioResult {
  std::string failure;  // empty: everything was as it has to be
  uint64_t digest = 0;  // of all that happened: the same for each run of a seed
  uint64_t operations = 0;
  // Crashes that interrupted something: each at another operation, of whatever was on its way.
  uint64_t crash_points = 0;
};

struct Scenario {
  const char* name;
  const char* description;
  ScenarioResult (*run)(uint64_t seed);
};
std::span<const Scenario> Scenarios();
const Scenario* FindScenario(const std::string& name);

// A seeded bug, and the scenario that has to find it.
struct SeededBugProof {
  SeededBug bug;
  const char* name;
  const char* scenario;
};
std::span<const SeededBugProof> SeededBugProofs();

// One per scenario, in files of their own.
ScenarioResult RunRuntimeScenario(uint64_t seed);
ScenarioResult RunStoreScenario(uint64_t seed);
ScenarioResult RunClockScenario(uint64_t seed);
ScenarioResult RunSweepScenario(uint64_t seed);
ScenarioResult RunMediumScenario(uint64_t seed);
ScenarioResult RunSalvageScenario(uint64_t seed);
ScenarioResult RunBrimScenario(uint64_t seed);
ScenarioResult RunServerScenario(uint64_t seed);

}  // namespace pakv
