// When a key's time is over, and which parts of a shard's index to look through for such keys.
//
// A key with an expiry lives until its owner's expiry clock (LogWriter) reaches it. Nobody is told
// that it is gone before a durable block says that the clock was there: otherwise a crash, and a
// start with a wall clock that was set back, could show it again. So
//
//   expiry <= clock of the newest durable block   over for good: gone for everybody, at once
//   expiry <= clock now                           over, and whoever is told so waits for a block
//   otherwise                                     lives
//
// What this guarantees, after any crash and any step of the wall clock: the next start's clock
// begins at the largest one of any durable block (of all logs, so it does not matter who owns a key
// then; a segment that compaction drops leaves its clock behind, Compactor::KeepClock), so whatever
// was told as gone stays gone. Two things alone are told without a block, and may be told again of
// an earlier time after a crash: that a key lives, and how long. For them each log with keys that
// expire writes a mark a second after its last block (LogWriter::PersistClock), so that is at most
// a second; as long as a shortage leaves no room for marks it may be more. A log without such keys
// writes none: nobody was told anything by its clock.
//
// A write that takes such a key as absent lies in a block that says so itself. What is over for
// good is taken out of the index bit by bit. It needs no tombstone: its record tells the next start
// that it is over, and hides older ones of its key as long as it exists.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "kv/index/hash_range.h"
#include "kv/log/format/format.h"

namespace pakv {

enum class Lifetime : uint8_t {
  kLives,
  kOver,
  kOverUnproven,  // over, but no durable block says so yet
};

// For each of 1,024 equal parts of a range of hashes: a time before which no key in it expires.
// Keys take no memory here, and keys that are far from their end cost no work. One core's.
class ExpiryMap {
 public:
  explicit ExpiryMap(HashRange range);

  // A key with this hash expires then.
  void Note(uint64_t hash, uint64_t expiry_ms) {
    uint64_t& part = expiry_ms_[PartOf(hash)];
    if (expiry_ms < part) part = expiry_ms;
  }
  // The earliest time; kNever if nothing expires.
  static constexpr uint64_t kNever = UINT64_MAX;
  uint64_t earliest_ms() const;
  // Some part in which a key may be over at `clock_ms`, in turn. The part is then taken to be
  // empty: whoever looks through it notes what stays.
  std::optional<HashRange> TakeDue(uint64_t clock_ms);
  void Clear() { expiry_ms_.fill(kNever); }

 private:
  static constexpr uint32_t kPartBits = 10;
  static constexpr size_t kParts = size_t{1} << kPartBits;

  size_t PartOf(uint64_t hash) const {
    return static_cast<size_t>(((hash - range_.first) << shift_) >> (64 - kPartBits));
  }

  const HashRange range_;
  const uint32_t shift_;  // moves the range's hashes to the top of the 64 bits
  std::array<uint64_t, kParts> expiry_ms_;
  size_t next_ = 0;
};

}  // namespace pakv
