// pakv_sim: runs scenarios of the simulated world over many seeds. A failure names its seed, the
// commit, and the one command that shows it again.
//
// How fast it is: `./dev sim --scenario sweep --seeds 300` prints crash points per second and core,
// which is to say per second of CPU time, in whatever company the machine is.
#include <CLI/CLI.hpp>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include "runtime/base/clock.h"
#include "runtime/base/coverage.h"
#include "runtime/base/prng.h"
#include "tests/sim/runner.h"
#include "tests/sim/scenario.h"

namespace pakv {
namespace {

struct Options {
  uint64_t seeds = 100;
  uint64_t first_seed = 1;
  uint64_t seed = 0;
  double hours = 0;
  std::string bug;
  std::vector<std::string> scenarios;
  unsigned jobs = std::max(1u, std::thread::hardware_concurrency());
  uint64_t crash_points_min = 0;
  bool list = false;
  bool bugs = false;
  bool marks = false;
  bool marks_all = false;
};

std::string Commit() {
  std::string commit;
  FILE* git = popen("git -C '" PAKV_SOURCE_ROOT "' describe --always --dirty 2>/dev/null", "r");
  if (git == nullptr) return "unknown";
  char line[128];
  if (std::fgets(line, sizeof(line), git) != nullptr) commit = line;
  pclose(git);
  while (commit.ends_with('\n')) commit.pop_back();
  return commit.empty() ? "unknown" : commit;
}

void PrintList() {
  std::cout << "scenarios\n";
  for (const Scenario& scenario : Scenarios()) {
    std::cout << "  " << scenario.name << "  " << scenario.description << "\n";
  }
  std::cout << "seeded bugs (--bug), and the scenario that finds each\n";
  for (const SeededBugProof& proof : SeededBugProofs()) {
    std::cout << "  " << proof.name << "  " << proof.scenario << "\n";
  }
}

void PrintFailure(const Scenario& scenario, const SeedFailure& failure, const std::string& bug) {
  std::cout << failure.text << "FAILED: scenario " << scenario.name << ", seed " << failure.seed
            << ", commit " << Commit() << "\n  again: ./dev sim --seed " << failure.seed
            << " --scenario " << scenario.name << (bug.empty() ? "" : " --bug " + bug) << "\n";
}

// How often each rare branch was reached.
void PrintMarks(const uint64_t* marks) {
  for (uint32_t k = 0; k < kCoverageMarks; ++k) {
    std::cout << "  " << NameOf(static_cast<CoverageMark>(k)) << " " << marks[k] << "\n";
  }
}

// It takes thousands of keys, in a simulated store of its own:
// NamespaceTest.CompactionNeedNotWaitForTheSweep.
constexpr CoverageMark kReachedElsewhere = CoverageMark::kDroppedLeftToCompaction;

// False, with their names: some rare branches were reached by no scenario, so nothing proves that
// the simulator gets there.
bool AllReached(const uint64_t* marks) {
  std::string missed;
  for (uint32_t k = 0; k < kCoverageMarks; ++k) {
    if (static_cast<CoverageMark>(k) == kReachedElsewhere) continue;
    if (marks[k] == 0) missed += std::string(" ") + NameOf(static_cast<CoverageMark>(k));
  }
  if (missed.empty()) {
    std::cout << "all coverage marks were reached\n";
  } else {
    std::cout << "FAILED: coverage marks that no scenario has reached:" << missed << "\n";
  }
  return missed.empty();
}

// Each scenario over the same seeds; the number of scenarios, and of demands on all, that failed.
int RunRange(const std::vector<const Scenario*>& scenarios, uint64_t first, uint64_t count,
             const Options& options, SeededBug bug) {
  int failed = 0;
  uint64_t crash_points = 0;
  uint64_t all_marks[kCoverageMarks] = {};
  for (const Scenario* scenario : scenarios) {
    uint64_t operations = 0;
    uint64_t crashed = 0;
    uint64_t cpu_us = 0;
    const uint64_t begin_ns = SystemClock().MonotonicNs();
    uint64_t marks[kCoverageMarks] = {};
    const auto failure =
        RunSeeds({scenario, first, count, bug, options.jobs, marks, &crashed, &cpu_us}, operations);
    const uint64_t ms = (SystemClock().MonotonicNs() - begin_ns) / kNsPerMs;
    crash_points += crashed;
    if (failure) {
      PrintFailure(*scenario, *failure, options.bug);
      ++failed;
      continue;
    }
    std::cout << scenario->name << ": seeds " << first << " to " << first + count - 1 << " passed, "
              << operations << " operations, " << crashed << " crash points ("
              << crashed * 1'000'000 / std::max<uint64_t>(cpu_us, 1) << " per second and core), "
              << ms << " ms, " << cpu_us / 1000 << " ms of CPU time\n"
              << std::flush;
    if (options.marks) PrintMarks(marks);
    for (uint32_t k = 0; k < kCoverageMarks; ++k) all_marks[k] += marks[k];
  }
  if (failed == 0 && crash_points < options.crash_points_min) {
    std::cout << "FAILED: " << crash_points << " crash points, and not " << options.crash_points_min
              << "\n";
    ++failed;
  }
  if (failed == 0 && options.marks_all && !AllReached(all_marks)) ++failed;
  return failed;
}

// Each seeded bug is found by its scenario within as many seeds, and the seed that finds it passes
// without the bug. The number of bugs for which that is not so.
[[maybe_unused]] int ProveBugs(const Options& options) {
  int failed = 0;
  for (const SeededBugProof& proof : SeededBugProofs()) {
    const Scenario* scenario = FindScenario(proof.scenario);
    uint64_t operations = 0;
    const auto found = RunSeeds(
        {scenario, options.first_seed, options.seeds, proof.bug, options.jobs}, operations);
    std::cout << proof.name << ": ";
    if (!found) {
      std::cout << "NOT FOUND by " << options.seeds << " seeds of " << proof.scenario << "\n";
      ++failed;
      continue;
    }
    const auto without =
        RunSeeds({scenario, found->seed, 1, SeededBug::kNone, options.jobs}, operations);
    std::cout << "found by " << proof.scenario << ", seed " << found->seed << "\n" << std::flush;
    if (!without) continue;
    PrintFailure(*scenario, *without, "");
    ++failed;
  }
  return failed;
}

int RunHours(const std::vector<const Scenario*>& scenarios, const Options& options, SeededBug bug) {
  constexpr uint64_t kBatch = 200;
  const uint64_t end_ns =
      SystemClock().MonotonicNs() + static_cast<uint64_t>(options.hours * 3600 * 1e9);
  // Seeds that no other night has seen, in a range that is short to type.
  Prng prng(SystemClock().WallUs());
  uint64_t first = prng.Below(1'000'000) * 1'000'000;
  int failed = 0;
  while (SystemClock().MonotonicNs() < end_ns && failed == 0) {
    failed = RunRange(scenarios, first, kBatch, options, bug);
    first += kBatch;
  }
  return failed;
}

int Main(int argc, char** argv) {
  Options options;
  CLI::App app{"pakv's simulator: whole servers and clients in virtual time, replayed by a seed"};
  app.add_option("--seeds", options.seeds, "how many seeds")->check(CLI::PositiveNumber);
  app.add_option("--first-seed", options.first_seed, "the first of them");
  const CLI::Option* const seed = app.add_option("--seed", options.seed, "this seed alone");
  CLI::Option* const hours = app.add_option("--hours", options.hours, "new seeds for that long")
                                 ->check(CLI::PositiveNumber);
  app.add_option("--bug", options.bug, "switch a seeded bug on; finding it is a failure");
  app.add_option("--scenario", options.scenarios, "only these scenarios");
  app.add_option("--crash-points-min", options.crash_points_min,
                 "fewer crash points in all are a failure");
  app.add_option("--jobs", options.jobs, "processes at a time")->check(CLI::Range(1, 64));
  app.add_flag("--list", options.list, "scenarios and seeded bugs");
  app.add_flag("--marks", options.marks, "how often each rare branch was reached");
  app.add_flag("--marks-all", options.marks_all,
               "a rare branch that no scenario reached is a failure")
      ->excludes(hours);
  app.add_flag("--bugs", options.bugs, "find each seeded bug within --seeds seeds");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (options.list) {
    PrintList();
    return 0;
  }
#ifdef PAKV_SIMULATOR
  if (options.bugs) return ProveBugs(options) == 0 ? 0 : 1;
#else
  if (options.marks_all) {
    std::cerr << "--marks-all: rare branches are counted in the simulator's build only "
                 "(./dev sim)\n";
    return 2;
  }
  if (options.bugs) {
    std::cerr << "--bugs: seeded bugs are in the simulator's build only (./dev sim)\n";
    return 2;
  }
#endif
  SeededBug bug = SeededBug::kNone;
  if (!options.bug.empty()) {
    for (const SeededBugProof& proof : SeededBugProofs()) {
      if (options.bug != proof.name) continue;
      bug = proof.bug;
      if (options.scenarios.empty()) options.scenarios.emplace_back(proof.scenario);
    }
#ifndef PAKV_SIMULATOR
    std::cerr << "--bug: seeded bugs are in the simulator's build only (./dev sim)\n";
    return 2;
#endif
    if (bug == SeededBug::kNone) {
      std::cerr << "--bug: there is no '" << options.bug << "'; see --list\n";
      return 2;
    }
  }
  std::vector<const Scenario*> scenarios;
  for (const std::string& name : options.scenarios) {
    scenarios.push_back(FindScenario(name));
    if (scenarios.back() == nullptr) {
      std::cerr << "--scenario: there is no '" << name << "'; see --list\n";
      return 2;
    }
  }
  if (scenarios.empty()) {
    for (const Scenario& scenario : Scenarios()) scenarios.push_back(&scenario);
  }
  if (options.hours > 0) return RunHours(scenarios, options, bug) == 0 ? 0 : 1;
  if (seed->count() > 0) {
    options.seeds = 1;
    options.first_seed = options.seed;
  }
  return RunRange(scenarios, options.first_seed, options.seeds, options, bug) == 0 ? 0 : 1;
}

}  // namespace
}  // namespace pakv

int main(int argc, char** argv) { return pakv::Main(argc, argv); }
