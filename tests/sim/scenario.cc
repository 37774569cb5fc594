#include "tests/sim/scenario.h"

#include <array>

namespace pakv {
namespace {

constexpr std::array kScenarios{
    Scenario{"runtime", "echo over the simulated network, calls between cores, crashes",
             RunRuntimeScenario},
    Scenario{"store", "one store on several cores: crashes anywhere, all faults of the disk",
             RunStoreScenario},
};

constexpr std::array kProofs{
    SeededBugProof{SeededBug::kAcknowledgeBeforeFlush, "acknowledge-before-flush", "store"},
    SeededBugProof{SeededBug::kPublishBeforeFlush, "publish-before-flush", "store"},
    SeededBugProof{SeededBug::kNoDirectorySync, "no-directory-sync", "store"},
    SeededBugProof{SeededBug::kGoOnAfterFailedFlush, "go-on-after-failed-flush", "store"},
    SeededBugProof{SeededBug::kChecksumMissesLength, "checksum-misses-length", "store"},
    SeededBugProof{SeededBug::kReopenTornSegment, "reopen-torn-segment", "store"},
    SeededBugProof{SeededBug::kServeVolatileCache, "serve-volatile-cache", "store"},
    SeededBugProof{SeededBug::kLsnFallsBehindAfterRestart, "lsn-falls-behind", "store"},
    SeededBugProof{SeededBug::kLostWakeUp, "lost-wake-up", "runtime"},
};

}  // namespace

std::span<const Scenario> Scenarios() { return kScenarios; }

const Scenario* FindScenario(const std::string& name) {
  for (const Scenario& scenario : kScenarios) {
    if (name == scenario.name) return &scenario;
  }
  return nullptr;
}

std::span<const SeededBugProof> SeededBugProofs() { return kProofs; }

}  // namespace pakv
