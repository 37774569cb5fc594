#include "tests/sim/runner.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <new>
#include <vector>

#include "runtime/base/check.h"
#include "runtime/base/coverage.h"
#include "runtime/base/log.h"

namespace pakv {
namespace {

// What a worker shares with its parent.
struct Board {
  std::atomic<uint64_t> seed{0};
  std::atomic<uint64_t> operations{0};
  std::atomic<uint64_t> crash_points{0};
  std::atomic<uint64_t> marks[kCoverageMarks];
  std::atomic<bool> failed{false};
};

constexpr size_t kLogBytesShown = 6000;

std::string ReadLog(int file) {
  const off_t end = lseek(file, 0, SEEK_END);
  const auto size = static_cast<size_t>(std::max<off_t>(end, 0));
  const size_t shown = std::min(size, kLogBytesShown);
  std::string text(shown, '\0');
  const ssize_t got = pread(file, text.data(), shown, static_cast<off_t>(size - shown));
  text.resize(static_cast<size_t>(std::max<ssize_t>(got, 0)));
  return size > shown ? "[...]\n" + text : text;
}

uint64_t MicrosecondsOf(const timeval& time) {
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000 + static_cast<uint64_t>(time.tv_usec);
}

// Seeds first, first + stride, ... Never returns.
[[noreturn]] void Work(const SeedRun& run, uint64_t first, uint64_t stride, Board& board,
                       const std::atomic<bool>& enough, int log) {
  dup2(log, STDERR_FILENO);
  InitLogging({.level = LogLevel::kDebug});
#ifdef PAKV_SIMULATOR
  SetActiveSeededBug(run.bug);
#endif
  for (uint64_t i = first; i < run.count && !enough; i += stride) {
    board.seed = run.first_seed + i;
    if (ftruncate(log, 0) != 0 || lseek(log, 0, SEEK_SET) != 0) _exit(2);
    const ScenarioResult result = run.scenario->run(run.first_seed + i);
    board.operations += result.operations;
    board.crash_points += result.crash_points;
#ifdef PAKV_SIMULATOR
    for (uint32_t k = 0; k < kCoverageMarks; ++k) board.marks[k] = CoverageCounts()[k];
#endif
    if (!result.failure.empty()) {
      std::fprintf(stderr, "%s\n", result.failure.c_str());
      board.failed = true;
      _exit(1);
    }
  }
  _exit(0);
}

}  // namespace

std::optional<SeedFailure> RunSeeds(const SeedRun& run, uint64_t& operations) {
#ifndef PAKV_SIMULATOR
  PAKV_CHECK(run.bug == SeededBug::kNone, "seeded bugs need the build with -Dsimulator=true");
#endif
  const uint64_t jobs = std::clamp<uint64_t>(run.jobs, 1, std::max<uint64_t>(run.count, 1));
  struct Shared {
    std::atomic<bool> enough{false};
    Board boards[64];
  };
  PAKV_CHECK(jobs <= 64);
  void* memory =
      mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  PAKV_CHECK(memory != MAP_FAILED);
  auto* shared = new (memory) Shared();
  std::fflush(nullptr);
  std::vector<int> logs;
  std::vector<pid_t> workers;
  for (uint64_t i = 0; i < jobs; ++i) {
    logs.push_back(memfd_create("pakv-sim-log", 0));
    PAKV_CHECK(logs.back() >= 0);
    const pid_t child = fork();
    PAKV_CHECK(child >= 0, "no further process");
    if (child == 0) Work(run, i, jobs, shared->boards[i], shared->enough, logs[i]);
    workers.push_back(child);
  }
  std::optional<SeedFailure> failure;
  for (size_t left = workers.size(); left > 0; --left) {
    int status = 0;
    rusage usage{};
    const pid_t ended = wait4(-1, &status, 0, &usage);
    PAKV_CHECK(ended > 0);
    const auto found = std::find(workers.begin(), workers.end(), ended);
    PAKV_CHECK(found != workers.end(), "somebody else's child");
    const auto index = static_cast<size_t>(found - workers.begin());
    operations += shared->boards[index].operations;
    if (run.crash_points != nullptr) *run.crash_points += shared->boards[index].crash_points;
    if (run.cpu_us != nullptr) {
      *run.cpu_us += MicrosecondsOf(usage.ru_utime) + MicrosecondsOf(usage.ru_stime);
    }
    for (uint32_t k = 0; k < kCoverageMarks && run.marks != nullptr; ++k) {
      run.marks[k] += shared->boards[index].marks[k];
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) continue;
    shared->enough = true;
    const uint64_t seed = shared->boards[index].seed;
    if (failure && failure->seed < seed) continue;
    failure = SeedFailure{seed, ReadLog(logs[index])};
    if (WIFSIGNALED(status)) {
      failure->text += std::string("ended by signal ") + strsignal(WTERMSIG(status)) + "\n";
    }
  }
  for (const int log : logs) close(log);
  munmap(memory, sizeof(Shared));
  return failure;
}

}  // namespace pakv
