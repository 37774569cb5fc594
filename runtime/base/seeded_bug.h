// Bugs that tests switch on to prove that the simulator would find them. Each is one line at its
// place: `if (PAKV_BUG(kAcknowledgeBeforeFlush)) ...`. Outside the simulator's build the macro is
// the constant false and the compiler removes the line.
#pragma once

#include <cstdint>

namespace pakv {

enum class SeededBug : uint32_t {
  kNone,
  kAcknowledgeBeforeFlush,  // replies leave before their block is durable
  kPublishBeforeFlush,      // readers see a value that a crash can take back
  kNoDirectorySync,         // a new file's name is not made durable
  kGoOnAfterFailedFlush,    // a failed commit is followed by further ones
  kChecksumMissesLength,    // a record's checksum does not cover its lengths
  kReopenTornSegment,       // recovery appends to a torn segment, its reader skips chain and run
  kServeVolatileCache,      // recovery serves what only the drive's cache holds
  kLsnFallsBehindAfterRestart,  // the LSN clock does not start above all that was recovered
  kLostWakeUp,                  // a sleeping core is not woken for a message
  kReplyOutOfOrder,             // a session sends a later reply first
  kGetMissesOwnSet,             // a session's read does not wait for its own pending write
  kCompactionOverwritesNewer,   // compaction's copy takes the place of a newer version
  kUnlinkUnderReader,           // a compacted segment is removed while a read of it is under way
  kUnlinkBeforeCopyDurable,     // it is removed before its records are durable elsewhere
  kTombstoneDroppedEarly,       // a delete is dropped while an older record of its key lives
  kLiveBytesDrift,              // an overwritten record goes on being counted as live
  kExpiryNotDurable,            // a key is shown as expired before that is on stable storage
  kExpiryClockForgotten,        // a restart's expiry clock does not begin where the last one was
  kFooterWithoutDeletes,        // a segment's footer leaves deletes and drops out
  kSegmentNotListed,            // MANIFEST misses a segment in use, and recovery does not notice
  kTransactionHalfPublished,    // readers get between the owners' publishing
  kLockOrderWrong,              // some transactions take their owners in the other order
  kSnapshotUnconfirmed,         // MGET does not look whether what it read still stands
  // Of transactions of many keys: a part that is published in steps is not closed before; two
  // parts ask for their keys at the same time; what was looked at in steps counts as one moment.
  kStepsPublishedOpen,
  kPartsAskTogether,
  kStepsUnconfirmed,
  kWatchMissesRecreation,       // WATCH compares states: absent, set, deleted looks like absent
  kCompactionDropsUnpublished,  // a transaction's record is dropped before its owner knows of it
  kOverwriteRefused,            // without memory for new keys one that is there is refused, too
  kRefusedKeyWritten,           // a new key that is refused for lack of memory is written
  kNamespaceForgotten,     // a restart forgets the names of namespaces, and gives their ids again
  kDropTakesAll,           // a dropped namespace takes the keys of the others with it
  kDropForgotten,          // a restart does not know of drops
  kFooterChecksumIgnored,  // a footer is believed although its checksums are wrong
  kColdReadTrustsPlace,    // a record is served without a look at its key and LSN
  // A record refers to a value file that is not on stable storage, or whose name is not.
  kValueFileNotSynced,
  kValueFileNameNotSynced,
  // A value file is removed while it is read, or before what takes its place is durable.
  kValueFileRemovedUnderReader,
  kValueFileRemovedEarly,
  // An upload that gives its turn up loses the bytes that make no whole unit of direct I/O.
  kUploadForgetsItsRest,
  // The last piece of a value that was refused is taken for a set.
  kRefusedPieceWritten,
  kBatchGoesOn,         // a batch whose condition is not met writes what stands before it
  kSalvageNotMarked,    // a start after a salvage that was cut off takes value files for leftovers
  kRenameSharesFile,    // a renamed value's record refers to the file that its old key takes away
  kPutOffReadsNewest,   // a read that was put off shows what was written after it
  kTailsCutBeforeSeal,  // a start shortens segments before MANIFEST says where they end
  kManifestNameNotSynced,     // a fresh MANIFEST is appended to before its name lasts
  kEditOfGoneValue,           // an edit is written although what it was made of has gone meanwhile
  kShortTurnTakenForFull,     // a turn of a large value is taken for more bytes than it has brought
  kFailedLogSealed,           // a stop seals a segment behind a block that could not be written
  kEmptySegmentRemovedEarly,  // a stop removes a segment before MANIFEST says that it is gone
  // Of value files and transactions: where the log has failed, what several owners were to write is
  // shown; the file of a write is removed, although a restart may find its record.
  kFailedTransactionPublished,
  kUnknownFileRemoved,
  kCopyOfOldValue,     // a key gets a copy of what the other one's value was before
  kCopyNameNotSynced,  // a record refers to a copy whose name is not on stable storage
  // Of edits: the old value's file may go while it is copied, or goes before the new one lasts.
  kEditReadsUnpinned,
  kEditRemovesOldEarly,
  // Of uploads' turns: the chunk's checksum begins again in the next one; what the page cache holds
  // is left to itself; who waits for his client keeps his.
  kTurnRestartsChecksum,
  kRestNotSynced,
  kRestKeepsTurn,
  // Of an EXEC's own keys, for what looks at all keys: they are as all of it has left them, or are
  // counted among others', too, or are not found once they are deleted.
  kOwnKeysAsPublished,
  kOwnKeysCountedTwice,
  kScanLosesOwnKeys,
  kCopyOfWhatWasLost,  // a start keeps of a segment what the page cache has left, not what it
                       // judged
  // On a full disk: users' segments take the space that deletes and compaction need; a segment is
  // compacted without a look whether what has to stay of it has room.
  kReserveForgotten,
  kPassesNotMeasured,
  kRefusedWriteStays,  // what is refused behind its admission is written all the same, later
  kCount,
};

#ifdef PAKV_SIMULATOR
// The bug that is on, kNone as a rule. One at a time, set between simulations only.
SeededBug ActiveSeededBug();
void SetActiveSeededBug(SeededBug bug);
#define PAKV_BUG(name) (::pakv::ActiveSeededBug() == ::pakv::SeededBug::name)
#else
#define PAKV_BUG(name) false
#endif

}  // namespace pakv
