// New segments: files that are zero, on stable storage with their names, before anything is
// written into them, so that a commit changes no metadata. A background task of each core keeps
// one spare ready, and a small reserve that only what frees space may use while the system gives no
// further one: the disk is full, or no file can be opened. Nobody needs a spare yet, so that is no
// failure of the log (kv/log/files/shortage.h): it is tried again, and writes go on in what is
// ready.
#pragma once

#include <absl/status/status.h>

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>

#include "kv/log/files/manifest.h"
#include "kv/log/files/shortage.h"
#include "kv/log/files/store_directory.h"
#include "runtime/core/core.h"
#include "runtime/io/file.h"
#include "runtime/io/timer.h"
#include "runtime/task/nursery.h"
#include "runtime/task/sync.h"

namespace pakv {

// A segment that recovery found torn and left open to be appended to: what pakv never does, except
// for the seeded bug kReopenTornSegment.
struct ReopenedSegment {
  uint32_t segment = 0;  // 0: none
  uint64_t size = 0;
  uint64_t offset = 0;
  uint32_t log = 0;
};

inline constexpr uint64_t kFooterSegmentBytesMin = uint64_t{256} << 10;

// What every log of one start shares. Constant; outlives the logs.
struct LogContext {
  const StoreDirectory* directory = nullptr;
  Manifest* manifest = nullptr;
  uint64_t run = 0;
  uint64_t segment_bytes = uint64_t{64} << 20;
  ReopenedSegment reopened;
  // Engine `memory`: blocks are settled without being written, there are no segments. A record's
  // location is segment 0 then: its value is where the index leads to, in memory.
  bool discards = false;
  // Zeroing ahead, while the writer does not need it faster.
  uint64_t zero_bytes_per_second = uint64_t{256} << 20;
  // Shorter segments get no footer: they are as quickly read whole.
  uint64_t footer_segment_bytes_min = kFooterSegmentBytesMin;
  // Also footers that spare little: for simulations.
  bool footers_of_any_size = false;
  // Bytes of segments that compaction lacks: the other logs leave that much of the disk to it, as
  // nothing else frees space. nullptr: there is no compaction.
  std::atomic<uint64_t>* compaction_owed_bytes = nullptr;
};

// A segment that nothing was written into yet.
struct NewSegment {
  uint32_t segment = 0;
  uint64_t size = 0;
  bool reserve = false;
  File file;
};

class SegmentSupply {
 public:
  // The reserve's size, if segments are not smaller; compaction's is a whole segment.
  static constexpr uint64_t kReserveBytesMax = uint64_t{4} << 20;
  // What a file system needs beside the file itself: its own metadata, and other small files.
  static constexpr uint64_t kSpaceMarginBytes = uint64_t{256} << 10;
  // Where there was a shortage it is tried again after this long,
  static constexpr uint64_t kRetryNs = 1 * kNsPerSecond;
  // and the log tells of the same one as often.
  static constexpr uint64_t kTellEveryNs = 60 * kNsPerSecond;

  SegmentSupply(Core& core, const LogContext& context, SegmentKind kind);
  SegmentSupply(const SegmentSupply&) = delete;
  SegmentSupply& operator=(const SegmentSupply&) = delete;

  // Starts the background task.
  void Start();
  // Ends it and removes what was not used. Suspends.
  Task<void> Stop();

  // A segment of at least `bytes` (a multiple of the alignment): the spare if that is enough, the
  // reserve if there is a shortage, else one that is made now. Waits as long as a shortage lasts.
  // An error that is none is returned, and by every further call. One call at a time. Suspends.
  Task<absl::StatusOr<NewSegment>> Take(uint64_t bytes);
  // From now on Take does not wait for the end of a shortage, but returns it as an error.
  void DoNotWait();

  // Space was freed: a full disk is asked again at once.
  void Retry();

  // What the last attempt to make a segment has met.
  Shortage shortage() const { return shortage_; }
  bool is_short() const { return shortage_ != Shortage::kNone; }
  bool disk_full() const { return shortage_ == Shortage::kSpace; }
  // Bytes of segments that are ready for ordinary records, and for those that free space.
  uint64_t spare_bytes() const { return spare_ ? spare_->size : 0; }
  uint64_t reserve_bytes() const { return reserve_ ? reserve_->size : 0; }
  // The writer will soon need the next one: zeroing no longer pauses.
  void Hurry() { hurry_ = true; }
  // Zeros written since the start.
  uint64_t zeroed_bytes() const { return zeroed_bytes_; }

 private:
  struct RetryTimer : Timer {
    explicit RetryTimer(SegmentSupply& supply_in);
    SegmentSupply& supply;
  };

  Task<void> Work();
  void NoteShortage(const absl::Status& why);
  void ShortageEnded();
  // The next thing to make: its place and size; nothing if all is there.
  std::optional<NewSegment>* NextPlace(uint64_t& bytes);
  Task<absl::Status> Make(std::optional<NewSegment>& place, uint64_t bytes);
  Task<absl::Status> Fill(NewSegment& made, const std::string& path);
  Task<void> Discard(NewSegment made);
  void SayWhatIsOwed();

  Core& core_;
  const LogContext& context_;
  const SegmentKind kind_;
  const uint64_t reserve_size_;
  std::optional<NewSegment> spare_;
  std::optional<NewSegment> reserve_;
  std::optional<NewSegment> special_;  // what a Take waits for: larger than the usual size
  absl::Status failure_;
  Shortage shortage_ = Shortage::kNone;
  absl::Status short_of_;            // in the system's words
  Shortage told_ = Shortage::kNone;  // by the log: the last
  uint64_t tell_again_ns_ = 0;
  bool tells_end_ = false;
  bool hurry_ = false;
  bool waiting_ = false;       // a Take waits,
  uint64_t wanted_bytes_ = 0;  // for this much
  bool wait_for_space_ = true;
  bool stopped_ = false;
  uint64_t zeroed_bytes_ = 0;
  uint64_t made_bytes_ = 0;  // so far, of the one that is being made
  Event changed_;            // something was made or has failed
  Event needed_;             // something is to be made
  RetryTimer retry_;
  Nursery nursery_;
};

}  // namespace pakv
