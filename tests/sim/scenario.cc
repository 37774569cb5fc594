#include "tests/sim/scenario.h"

#include <array>

#include "tests/sim/scenarios/log_scenario.h"

namespace pakv {
namespace {

// The log alone, which reaches its rare branches more often. It counts seeds, not operations.
ScenarioResult RunLogScenario(uint64_t seed) {
  ScenarioResult result{.failure = {}, .digest = seed, .operations = 1};
  result.failure = PlayLogScenario(seed, {}, &result.crash_points);
  return result;
}

constexpr std::array kScenarios{
    Scenario{"runtime", "echo over the simulated network, calls between cores, crashes",
             RunRuntimeScenario},
    Scenario{"log", "one log: torn, corrupt, flipped bits, crashes also during recovery",
             RunLogScenario},
    Scenario{"store", "one store on several cores: crashes anywhere, all faults of the disk",
             RunStoreScenario},
    Scenario{"clock", "one small store that is compacted, and whose clock is set, all the while",
             RunClockScenario},
    Scenario{"sweep", "one short life of a store, a crash at each step of what it does to its disk",
             RunSweepScenario},
    Scenario{"medium", "one store on a medium that loses, misdirects and changes what is written",
             RunMediumScenario},
    Scenario{"salvage",
             "one store is damaged: --salvage, crashes on the way, and what is left of it",
             RunSalvageScenario},
    Scenario{"brim", "one store on a disk that is full of what lives, and what deletes bring back",
             RunBrimScenario},
    Scenario{"server",
             "whole servers and their clients, of both protocols: pipelines, crashes, stops",
             RunServerScenario},
};

constexpr std::array kProofs{
    SeededBugProof{SeededBug::kAcknowledgeBeforeFlush, "acknowledge-before-flush", "store"},
    SeededBugProof{SeededBug::kPublishBeforeFlush, "publish-before-flush", "store"},
    SeededBugProof{SeededBug::kNoDirectorySync, "no-directory-sync", "store"},
    SeededBugProof{SeededBug::kGoOnAfterFailedFlush, "go-on-after-failed-flush", "store"},
    SeededBugProof{SeededBug::kChecksumMissesLength, "checksum-misses-length", "log"},
    SeededBugProof{SeededBug::kReopenTornSegment, "reopen-torn-segment", "log"},
    SeededBugProof{SeededBug::kServeVolatileCache, "serve-volatile-cache", "store"},
    SeededBugProof{SeededBug::kLsnFallsBehindAfterRestart, "lsn-falls-behind", "store"},
    SeededBugProof{SeededBug::kExpiryNotDurable, "expiry-not-durable", "store"},
    SeededBugProof{SeededBug::kExpiryClockForgotten, "expiry-clock-forgotten", "clock"},
    SeededBugProof{SeededBug::kLostWakeUp, "lost-wake-up", "runtime"},
    SeededBugProof{SeededBug::kReplyOutOfOrder, "reply-out-of-order", "server"},
    SeededBugProof{SeededBug::kGetMissesOwnSet, "get-misses-own-set", "server"},
    SeededBugProof{SeededBug::kCompactionOverwritesNewer, "compaction-overwrites-newer", "store"},
    SeededBugProof{SeededBug::kUnlinkUnderReader, "unlink-under-reader", "server"},
    SeededBugProof{SeededBug::kUnlinkBeforeCopyDurable, "unlink-before-copy-durable", "store"},
    SeededBugProof{SeededBug::kTombstoneDroppedEarly, "tombstone-dropped-early", "store"},
    SeededBugProof{SeededBug::kLiveBytesDrift, "live-bytes-drift", "store"},
    SeededBugProof{SeededBug::kFooterWithoutDeletes, "footer-without-deletes", "store"},
    SeededBugProof{SeededBug::kSegmentNotListed, "segment-not-listed", "store"},
    SeededBugProof{SeededBug::kTransactionHalfPublished, "transaction-half-published", "server"},
    SeededBugProof{SeededBug::kLockOrderWrong, "lock-order-wrong", "store"},
    SeededBugProof{SeededBug::kSnapshotUnconfirmed, "snapshot-unconfirmed", "store"},
    SeededBugProof{SeededBug::kStepsPublishedOpen, "steps-published-open", "store"},
    SeededBugProof{SeededBug::kPartsAskTogether, "parts-ask-together", "store"},
    SeededBugProof{SeededBug::kStepsUnconfirmed, "steps-unconfirmed", "store"},
    SeededBugProof{SeededBug::kWatchMissesRecreation, "watch-misses-recreation", "store"},
    SeededBugProof{SeededBug::kCompactionDropsUnpublished, "compaction-drops-unpublished", "store"},
    SeededBugProof{SeededBug::kOverwriteRefused, "overwrite-refused", "store"},
    SeededBugProof{SeededBug::kRefusedKeyWritten, "refused-key-written", "store"},
    SeededBugProof{SeededBug::kNamespaceForgotten, "namespace-forgotten", "store"},
    SeededBugProof{SeededBug::kDropTakesAll, "drop-takes-all", "store"},
    SeededBugProof{SeededBug::kDropForgotten, "drop-forgotten", "store"},
    SeededBugProof{SeededBug::kFooterChecksumIgnored, "footer-checksum-ignored", "store"},
    SeededBugProof{SeededBug::kColdReadTrustsPlace, "cold-read-trusts-place", "medium"},
    SeededBugProof{SeededBug::kValueFileNotSynced, "value-file-not-synced", "store"},
    SeededBugProof{SeededBug::kValueFileNameNotSynced, "value-file-name-not-synced", "store"},
    SeededBugProof{SeededBug::kValueFileRemovedUnderReader, "value-file-removed-under-reader",
                   "store"},
    SeededBugProof{SeededBug::kValueFileRemovedEarly, "value-file-removed-early", "store"},
    SeededBugProof{SeededBug::kUploadForgetsItsRest, "upload-forgets-its-rest", "server"},
    SeededBugProof{SeededBug::kBatchGoesOn, "batch-goes-on", "server"},
    SeededBugProof{SeededBug::kRefusedPieceWritten, "refused-piece-written", "server"},
    SeededBugProof{SeededBug::kSalvageNotMarked, "salvage-not-marked", "salvage"},
    SeededBugProof{SeededBug::kRenameSharesFile, "rename-shares-file", "server"},
    SeededBugProof{SeededBug::kPutOffReadsNewest, "put-off-reads-newest", "server"},
    SeededBugProof{SeededBug::kTailsCutBeforeSeal, "tails-cut-before-seal", "sweep"},
    SeededBugProof{SeededBug::kManifestNameNotSynced, "manifest-name-not-synced", "store"},
    SeededBugProof{SeededBug::kEditOfGoneValue, "edit-of-gone-value", "store"},
    SeededBugProof{SeededBug::kShortTurnTakenForFull, "short-turn-taken-for-full", "server"},
    SeededBugProof{SeededBug::kFailedLogSealed, "failed-log-sealed", "store"},
    SeededBugProof{SeededBug::kEmptySegmentRemovedEarly, "empty-segment-removed-early", "sweep"},
    SeededBugProof{SeededBug::kFailedTransactionPublished, "failed-transaction-published", "store"},
    SeededBugProof{SeededBug::kUnknownFileRemoved, "unknown-file-removed", "store"},
    SeededBugProof{SeededBug::kCopyOfOldValue, "copy-of-old-value", "server"},
    SeededBugProof{SeededBug::kCopyNameNotSynced, "copy-name-not-synced", "sweep"},
    SeededBugProof{SeededBug::kEditReadsUnpinned, "edit-reads-unpinned", "store"},
    SeededBugProof{SeededBug::kEditRemovesOldEarly, "edit-removes-old-early", "store"},
    SeededBugProof{SeededBug::kTurnRestartsChecksum, "turn-restarts-checksum", "server"},
    SeededBugProof{SeededBug::kRestNotSynced, "rest-not-synced", "store"},
    SeededBugProof{SeededBug::kRestKeepsTurn, "rest-keeps-turn", "server"},
    SeededBugProof{SeededBug::kOwnKeysAsPublished, "own-keys-as-published", "server"},
    SeededBugProof{SeededBug::kOwnKeysCountedTwice, "own-keys-counted-twice", "server"},
    SeededBugProof{SeededBug::kScanLosesOwnKeys, "scan-loses-own-keys", "server"},
    SeededBugProof{SeededBug::kCopyOfWhatWasLost, "copy-of-what-was-lost", "store"},
    SeededBugProof{SeededBug::kReserveForgotten, "reserve-forgotten", "brim"},
    SeededBugProof{SeededBug::kPassesNotMeasured, "passes-not-measured", "brim"},
    SeededBugProof{SeededBug::kRefusedWriteStays, "refused-write-stays", "store"},
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
