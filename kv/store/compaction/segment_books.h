// SegmentBooks: what compaction knows of each segment beyond MANIFEST, and the two decisions that
// hang on it: which segment is worth compacting, and whether a delete may go. Pure: no I/O.
//
// A delete has to stay as long as another segment may hold an older record of its key, which a
// restart would else bring back. What a segment may hold is its summary: no record older than
// `lsn_min`, and of values only keys that pass `filter`. Without a summary it may hold anything.
// A record that is over counts as a delete once the index no longer holds it: it hides older ones.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "kv/log/files/manifest.h"
#include "kv/log/format/format.h"
#include "kv/log/format/key_filter.h"

namespace pakv {

// What a segment's records of values may be. Its footer says it; of segments that this run's
// compaction writes it is known before they have one.
struct SegmentSummary {
  Lsn lsn_min = kNoLsn;               // none is older
  std::unique_ptr<KeyFilter> filter;  // nullptr: any key
};

// Live bytes by segment, over all cores.
using LiveBySegment = absl::flat_hash_map<uint32_t, uint64_t>;

class SegmentBooks {
 public:
  // What is known of the store; constant but for MANIFEST's list.
  struct Ground {
    const std::map<uint32_t, SegmentInfo>* listed = nullptr;
    uint64_t run = 0;
    uint64_t block_bytes_max = 0;  // of compaction's blocks
    uint32_t alignment = 0;
  };
  explicit SegmentBooks(const Ground& ground) : ground_(ground) {}

  // ---- What happens ----
  struct Copied {
    uint64_t hash = 0;
    Lsn lsn = kNoLsn;
    uint32_t bytes = 0;
    bool is_value = false;  // false: a delete or a drop
    bool is_grave = false;  // a delete, or what counts as one, that had to stay
  };
  // Compaction's log holds a copy in `segment`; told of all its records.
  void NoteCopy(uint32_t segment, const Copied& copied);
  void NoteSummary(uint32_t segment, SegmentSummary summary);
  // None of the segment's records is older than `lsn`, and none will be.
  void NoteOldest(uint32_t segment, Lsn lsn);
  // It cannot be compacted: it is damaged, or holds a record that does not fit a segment.
  void SetAside(uint32_t segment) { states_[segment].set_aside = true; }
  bool IsSetAside(uint32_t segment) const;
  // Something in it is damaged, so that no summary of it can be had. Compaction may do all the
  // same: it steps over what is known to be dead.
  void NoteDamage(uint32_t segment) { states_[segment].damaged = true; }
  bool IsDamaged(uint32_t segment) const;
  // It cannot be compacted now, for a reason that passes by itself: until all may be tried again.
  void PutOff(uint32_t segment) { states_[segment].put_off = true; }
  void TryAllAgain();
  // A delete was met whose key may be elsewhere: from now on filters are worth their memory.
  void NoteGraveMet() { graves_met_ = true; }
  // It is gone; and what others need may be less now, as deletes of its keys have to stay no more.
  void Forget(uint32_t segment);
  // It was read: to copy what has to stay of it takes this much.
  void NoteNeed(const SegmentInfo& info, uint64_t live_bytes, uint64_t need_bytes);

  // ---- What is the case ----
  // The segments that may keep a delete from going, the oldest first: all but `except`. Valid until
  // a summary changes; one that is created later holds nothing older than what is asked for.
  struct Blocker {
    Lsn oldest = kNoLsn;
    const KeyFilter* filter = nullptr;
  };
  std::vector<Blocker> Blockers(uint32_t except) const;
  // Whether one of them may hold a value of the key that is older than `lsn`.
  static bool MayHoldOlder(const std::vector<Blocker>& blockers, uint64_t hash, Lsn lsn);
  // Whether a record that is older than `lsn` may lie in the segment.
  bool MayHoldOlderThan(const SegmentInfo& info, Lsn lsn) const {
    return Oldest(info, Find(info.segment)) < lsn;
  }
  // Bytes of deletes that compaction's segments had to keep.
  uint64_t grave_bytes() const;
  // Of the segments that there are.
  uint64_t DamagedCount() const;
  // A sealed segment that may keep deletes from going for want of a summary, and can be read; 0:
  // none.
  uint32_t LackingSummary() const;
  // Sealed segments with a footer that tells what may keep a delete of `lsn` from going, at most
  // `count_max`: those without a filter, but for `except` and those whose footer was of no use, or
  // cannot be read.
  std::vector<uint32_t> WithUnreadFooter(Lsn lsn, size_t count_max, uint32_t except) const;
  void NoteUselessFooter(uint32_t segment) { states_[segment].footer_useless = true; }
  // Some sealed segment's deletes are all older than this; kNoLsn: there is none. A log whose
  // unsealed segment is older than that keeps them from going.
  Lsn OldestFullGraveyard() const;
  // Asks again, for one segment at a time, which of their deletes still have to stay.
  void RefreshGraves();

  // Memory of the books, filters included.
  uint64_t memory_bytes() const;

  // Bytes of the segment's file.
  uint64_t FileBytes(const SegmentInfo& info) const;
  uint64_t ListedBytes() const;
  uint64_t LongestBytes() const;
  // What it would occupy after compaction, at most about.
  uint64_t BytesAfter(const SegmentInfo& info, uint64_t live_bytes) const;
  // How much of its file a victim has to give back.
  enum class Need : uint8_t {
    kNone,   // a tenth: less is not worth the copying
    kSpace,  // the disk is full: a 32nd, and what is done soonest comes first
    // Of what was set aside for that, too, something is used up. As little as there has to be by
    // then (SpaceClaims::kDeletesPart), and the copies may be longer than what they are made of by
    // some bytes a block.
    kReserve,
  };
  uint64_t BytesAfterMax(uint64_t file_bytes, Need need) const;
  // The best victim of which what has to stay has `room_bytes`; 0: there is none.
  uint32_t PickVictim(const LiveBySegment& live, Need need, uint64_t room_bytes) const;
  // What compaction on request goes by: the sealed segments up to `segment_last` that would give
  // back `gain_percent` of their file or more.
  struct Worth {
    uint32_t oldest = 0;  // 0: there is none
    uint64_t segments = 0;
    uint64_t gain_bytes = 0;  // of all of them, about
    uint64_t set_aside = 0;   // that cannot be compacted
    uint32_t unfit = 0;       // one for which there is no room; 0: there is none
    uint64_t put_off = 0;     // that are, and count as segments all the same
  };
  Worth WorthCompacting(const LiveBySegment& live, uint32_t gain_percent, uint32_t segment_last,
                        uint64_t room_bytes) const;

 private:
  static constexpr uint32_t kSampleMax = 16;
  struct Grave {
    uint64_t hash;
    Lsn lsn;
  };
  struct State {
    SegmentSummary summary;
    bool set_aside = false;
    bool damaged = false;
    bool put_off = false;
    bool footer_useless = false;
    // As it was read last, see NoteNeed; 0: not known.
    uint64_t need_bytes = 0;
    uint64_t need_live_bytes = 0;
    // Of segments that this run's compaction has written:
    uint64_t copied_bytes = 0;  // 0: it is none
    uint32_t record_bytes_max = 0;
    uint64_t grave_bytes = 0;
    uint64_t graves = 0;
    uint64_t blocked_bytes = 0;  // of the graves, as far as the sample tells
    Lsn grave_lsn_max = kNoLsn;
    std::array<Grave, kSampleMax> sample{};
  };
  Lsn Oldest(const SegmentInfo& info, const State* state) const;
  const State* Find(uint32_t segment) const;

  const Ground ground_;
  std::map<uint32_t, State> states_;
  uint32_t written_segment_ = 0;  // that the last copy went into
  State* written_ = nullptr;      // its state, if it is known
  bool graves_met_ = false;
  uint32_t refreshed_ = 0;  // the segment whose graves were asked last
};

}  // namespace pakv
