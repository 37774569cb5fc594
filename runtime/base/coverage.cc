#include "runtime/base/coverage.h"

#include <array>

namespace pakv {
namespace {

constexpr std::array<const char*, kCoverageMarks> kNames{
    "segment-compacted",
    "known-to-be-dead",
    "copy-overtaken",
    "reader-pins-segment",
    "delete-left",
    "delete-stayed",
    "drop-stayed",
    "filter-built",
    "filter-let-delete-go",
    "idle-log-rolled",
    "compaction-without-room",
    "compaction-in-reserve",
    "compaction-did-not-fit",
    "short-reserve-made",
    "reserve-grown",
    "compaction-of-damage",
    "writes-slowed",
    "compacted-twice",
    "compacted-on-request",
    "clock-kept",
    "stop-during-compaction",
    "lock-queued",
    "lock-waited-for-writes",
    "part-took-steps",
    "asked-later",
    "queue-kept",
    "read-held-by-close",
    "unpublished-met",
    "held-met",
    "flush-met-transaction",
    "snapshot-again",
    "snapshot-held-keys",
    "piece-skipped",
    "batch-undone",
    "cache-shrunk",
    "new-key-refused",
    "new-keys-resumed",
    "drop-swept",
    "dropped-left-to-compaction",
    "filter-from-footer",
    "footer-useless",
    "manifest-rewritten",
    "reader-pins-value-file",
    "value-file-orphan",
    "value-file-salvaged",
    "upload-rested-within-chunk",
    "value-file-not-kept",
    "value-file-without-room",
    "transaction-met-value-file",
    "value-chunk-damaged",
    "format-upgraded",
    "expiry-clock-stands",
    "mailbox-full",
    "submission-waited",
    "recovery-crashed",
    "value-file-linked",
    "value-file-copied",
    "value-edited",
    "edit-waited-for-writes",
    "reply-put-off",
    "put-off-read-older",
    "put-off-refused",
    "device-read-queued",
    "reply-waited-for-output",
    "start-made-room",
    "segment-no-descriptor",
    "value-file-no-descriptor",
    "manifest-name-waited",
    "stop-sealed-segment",
    "stop-removed-segment",
    "stop-crashed",
    "queue-refused",
    "group-refused",
    "refused-file-taken-back",
};
static_assert(kNames.back() != nullptr, "each mark has a name, in the marks' order");

#ifdef PAKV_SIMULATOR
// Of the thread: a simulated world has one, and real cores do not share their marks.
thread_local std::array<uint64_t, kCoverageMarks> counts{};
#endif

}  // namespace

#ifdef PAKV_SIMULATOR
void NoteCovered(CoverageMark mark) { ++counts[static_cast<uint32_t>(mark)]; }
const uint64_t* CoverageCounts() { return counts.data(); }
#endif
const char* NameOf(CoverageMark mark) { return kNames[static_cast<uint32_t>(mark)]; }

}  // namespace pakv
