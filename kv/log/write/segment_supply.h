// New segments: files that are zero, on stable storage with their names, before anything is
// written into them, so that a commit changes no metadata. A background task of each core keeps
// one spare ready, and a small reserve that only what frees space may use while the system gives no
// further one: the disk is full, or no file can be opened. Nobody needs a spare yet, so that is no
// failure of the log (kv/log/files/shortage.h): it is tried again, and writes go on in what is
// ready.
#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <optional>
#include <string>

#include "kv/log/files/manifest.h"
#include "kv/log/files/shortage.h"
#include "kv/log/write/log_context.h"
#include "runtime/core/core.h"
#include "runtime/io/file.h"
#include "runtime/io/timer.h"
#include "runtime/task/nursery.h"
#include "runtime/task/sync.h"

namespace pakv {

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
  // Where there was a shortage it is tried again after this long.
  static constexpr uint64_t kRetryNs = 1 * kNsPerSecond;

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
