// Coverage marks: rare branches say that they were reached, so that the simulator can prove that it
// gets there. Nothing outside of the simulator's build.
#pragma once

#include <cstdint>

namespace pakv {

enum class CoverageMark : uint32_t {
  kSegmentCompacted,         // and removed
  kRecordSteppedOver,        // compaction met a record that its owner had noted as dead
  kCopyOvertaken,            // a record was overwritten or deleted while its copy was written
  kReaderPinsSegment,        // a segment waited for a read that was under way
  kDeleteLeft,               // a delete was dropped, as nothing older can be anywhere
  kDeleteStayed,             // a delete was copied, as something older may be somewhere
  kDropStayed,               // so was a namespace's newest drop
  kFilterBuilt,              // a segment was read for the filter of its keys
  kFilterLetDeleteGo,        // a delete went although a segment has older records
  kIdleLogRolled,            // a log moved on so that deletes can go
  kCompactionWithoutRoom,    // a pass was given up as there was no room for its copies
  kCompactionInReserve,      // a copy was written while the disk was full
  kCompactionDidNotFit,      // a victim was left alone: too much of it has to stay
  kShortReserveMade,         // there was no room for a whole reserve segment
  kReserveGrown,             // a short one was replaced by a longer one
  kCompactionOfDamage,       // a victim was damaged
  kWritesSlowed,             // writes waited for space
  kCompactedTwice,           // a segment of compaction's own was compacted
  kCompactedOnRequest,       // a segment was compacted because somebody asked for it
  kClockKept,                // a block was written for the victim's expiry clock
  kStopDuringCompaction,     // a pass ended half-way as the store stopped
  kLockQueued,               // a transaction waited for a key behind somebody else
  kLockWaitedForWrites,      // ... for its pending writes
  kPartTookSteps,            // a transaction's part was worked on in several passes
  kAskedLater,               // a part waited until another one had asked for all of its keys
  kQueueKept,                // a key was let go while writes were held: its queue stayed
  kReadHeldByClose,          // a read waited while a transaction was published
  kUnpublishedMet,           // compaction met a transaction's record that was not published yet
  kHeldMet,                  // compaction met a live record whose key a transaction holds
  kFlushMetTransaction,      // a FLUSH removed what a transaction had read already
  kSnapshotAgain,            // a snapshot was not confirmed
  kSnapshotHeldKeys,         // ... until it held the keys
  kPieceSkipped,             // a piece came of a value that was refused before
  kBatchUndone,              // an operation of a batch could not be done, so none was
  kCacheShrunk,              // the cache gave memory to the index
  kNewKeyRefused,            // there was no memory for it
  kNewKeysResumed,           // there was memory again
  kDropSwept,                // a namespace was dropped while others had keys
  kDroppedLeftToCompaction,  // compaction took an entry out that was dropped and not swept yet
  kFilterFromFooter,         // a segment's footer told the keys that it may hold
  kFooterUseless,            // it was damaged
  kManifestRewritten,        // MANIFEST was written afresh while the store served
  kReaderPinsValueFile,      // a value file waited for who reads it
  kValueFileOrphan,          // a start found a value file that nobody refers to
  kValueFileSalvaged,        // ... and kept it, as the record may be lost
  kUploadRestedWithinChunk,  // an upload gave its turn up with a part of a chunk written
  kValueFileNotKept,         // a value was written to a file and then refused, or not needed
  kValueFileWithoutRoom,     // the disk was full while a value was written to its file
  kTransactionMetValueFile,  // the old value of a transaction's key lies in a file
  kValueChunkDamaged,        // a value file was found damaged when it was read
  kFormatUpgraded,           // a directory of an older format became one of this
  kExpiryClockStands,        // the wall clock was set back: the expiry clock waits for it
  kMailboxFull,              // a chain of messages waited for room at another core
  kSubmissionWaited,         // an operation waited for room in the ring's queue
  kRecoveryCrashed,          // a crash came while a start recovered what a crash had left
  kValueFileLinked,          // a value was written again as another name for its file
  kValueFileCopied,          // ... as a copy, as the file system has no such names
  kValueEdited,              // a part of a value was changed, which went to a file
  kEditWaitedForWrites,      // ... after what was pending of its key
  kReplyPutOff,              // there was no room for a large reply: its session had to ask again
  kPutOffReadOlder,          // ... which was answered with a version that was not the newest
  kPutOffRefused,            // ... whose version could not be read any more
  kDeviceReadQueued,         // a read from the device waited for memory
  kReplyWaitedForOutput,     // a reply waited until the client had read
  kStartMadeRoom,            // a start removed what nobody refers to before it wrote anything
  kSegmentNoDescriptor,      // no file could be opened for a segment
  kValueFileNoDescriptor,    // ... for a value
  kManifestNameWaited,       // ... to make the name of a fresh MANIFEST last
  kStopSealedSegment,        // a log that was closed has sealed its last segment
  kStopRemovedSegment,       // ... has removed it, as nothing lies in it
  kStopCrashed,              // a crash came while a store stopped
  kQueueRefused,             // a log found no segment for what it had admitted
  kGroupRefused,             // ... among it a transaction's records, not all of them there yet
  kRefusedFileTakenBack,     // ... and a value's own file
  kCount,
};
inline constexpr uint32_t kCoverageMarks = static_cast<uint32_t>(CoverageMark::kCount);

#ifdef PAKV_SIMULATOR
void NoteCovered(CoverageMark mark);
// How often each was reached on this thread.
const uint64_t* CoverageCounts();
#define PAKV_COVERED(name) ::pakv::NoteCovered(::pakv::CoverageMark::name)
#else
#define PAKV_COVERED(name) static_cast<void>(0)
#endif
const char* NameOf(CoverageMark mark);

}  // namespace pakv
