// New segments: files that are zero, on stable storage with their names, before anything is
// written into them, so that a commit changes no metadata. A background task of each core keeps
// one spare ready, and a reserve of two that only what frees space may use while the system gives
// no further one: the disk is full, or no file can be opened. Compaction has no spare: all that it
// writes frees space. Nobody needs what is made ahead yet, so that its lack is no failure of the
// log (kv/log/files/shortage.h): it is tried again, and writes go on in what is ready, or are
// refused.
//
// Who may take the last space says kv/log/files/space_claims.h. Where there is not enough for a
// whole reserve segment a shorter one is made, and replaced by one of twice its length, or a whole
// one, as space comes back.
#pragma once

#include <absl/status/status.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kv/log/files/manifest.h"
#include "kv/log/files/shortage.h"
#include "kv/log/files/space_claims.h"
#include "kv/log/write/log_context.h"
#include "runtime/core/core.h"
#include "runtime/core/space.h"
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
  // Segments that the reserve consists of,
  static constexpr size_t kReserveCount = 2;
  // the size of each, if segments are not shorter; compaction's: CompactionReserveBytes,
  static constexpr uint64_t kReserveBytesMax = uint64_t{2} << 20;
  // and the shortest that is made where there is no room for that: one part in so many.
  static constexpr uint64_t kReservePartMin = 16;
  // Where there was a shortage it is tried again after this long.
  static constexpr uint64_t kRetryNs = 1 * kNsPerSecond;

  SegmentSupply(Core& core, const LogContext& context, SegmentKind kind);
  SegmentSupply(const SegmentSupply&) = delete;
  SegmentSupply& operator=(const SegmentSupply&) = delete;

  // Claims what the reserve of a log of this kind lacks before it has begun: of all logs before any
  // of them is constructed.
  static void ClaimReserve(const LogContext& context, SegmentKind kind);

  // Starts the background task.
  void Start();
  // Ends it and removes what was not used. Suspends.
  Task<void> Stop();

  // A segment of at least `bytes` (a multiple of the alignment): the spare if that is enough, the
  // shortest of the reserve that is if compaction asks, else one that is made now. Where that
  // cannot be, the shortage is returned as an error: nobody waits for its end. An error that is
  // none is returned, and by every further call. One call at a time. Suspends.
  Task<absl::StatusOr<NewSegment>> Take(uint64_t bytes);
  // The shortest of the reserve that is enough, if one is.
  std::optional<NewSegment> TakeReserve(uint64_t bytes);

  // Space was freed: a full disk is asked again at once.
  void Retry();
  // The store has grown or shrunk, and with it perhaps what the reserve has to be.
  void FilesChanged();

  // What the last attempt to make a segment has met.
  Shortage shortage() const { return shortage_; }
  bool is_short() const { return shortage_ != Shortage::kNone; }
  bool disk_full() const { return shortage_ == Shortage::kSpace; }
  // Bytes of segments that are ready for ordinary records, and for those that free space.
  uint64_t spare_bytes() const { return spare_ ? spare_->size : 0; }
  uint64_t reserve_bytes() const;  // the longest of them
  // The lengths of all that a Take may be given in a shortage.
  std::vector<uint64_t> ReadyBytes() const;
  // The writer will soon need the next one: zeroing no longer pauses.
  void Hurry() { hurry_ = true; }
  // Zeros written since the start.
  uint64_t zeroed_bytes() const { return zeroed_bytes_; }

 private:
  struct RetryTimer : Timer {
    explicit RetryTimer(SegmentSupply& supply_in);
    SegmentSupply& supply;
  };

  // Something that is to be made, or replaced by something longer.
  struct Wanted {
    std::optional<NewSegment>* place = nullptr;  // nullptr: it is there
    uint64_t bytes = 0;
    uint64_t bytes_min = 0;  // where there is no room for that
    size_t rank = SpaceClaims::kRankOfOthers;
    bool is_least = false;  // no more than the least of a log's reserve, before all others
    bool is_there = false;  // but far longer than it need be, as the store has shrunk
  };
  static constexpr size_t kWantedCount = kReserveCount + 4;

  static uint64_t ReserveBytes(const LogContext& context, SegmentKind kind);
  static uint64_t LeastBytes(uint64_t reserve_bytes);
  static size_t RankOf(SegmentKind kind, size_t reserve);
  static SpaceClaims::Bytes Lacking(SegmentKind kind, uint64_t whole, uint64_t longest,
                                    uint64_t other);
  Task<void> Work();
  Task<absl::Status> MakeNext(bool& made);
  void NoteShortage(const absl::Status& why);
  void ShortageEnded();
  Wanted WantedAt(size_t turn);
  Wanted WantedReserve(size_t reserve);
  // What the disk has, and what of it is others', by rank.
  struct Room {
    SpaceStat space;
    std::array<uint64_t, SpaceClaims::kRankOfOthers + 1> others_bytes{};
  };
  void LookAtOthers(Room& room) const;
  absl::StatusOr<uint64_t> SizeOf(const Wanted& wanted, const Room& room) const;
  Task<absl::Status> Make(Wanted wanted, uint64_t size);
  Task<absl::Status> Fill(NewSegment& made, const std::string& path, uint64_t& unwritten);
  Task<absl::Status> WriteZeros(NewSegment& made, const std::string& path, uint64_t& unwritten);
  Task<void> Discard(NewSegment made);
  void ShowClaims();
  NewSegment TakeFrom(std::optional<NewSegment>& place);

  Core& core_;
  const LogContext& context_;
  const SegmentKind kind_;
  std::optional<NewSegment> spare_;
  std::array<std::optional<NewSegment>, kReserveCount> reserves_;
  SpaceClaims::Bytes claimed_;         // as the others know it
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
  bool stopped_ = false;
  uint64_t zeroed_bytes_ = 0;
  const std::optional<NewSegment>* making_ = nullptr;  // the place of the one that is being made,
  uint64_t making_bytes_ = 0;                          // and what it will have
  Event changed_;                                      // something was made or has failed
  Event needed_;                                       // something is to be made
  RetryTimer retry_;
  Nursery nursery_;
};

}  // namespace pakv
