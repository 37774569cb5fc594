// LSN: the version of a key. 63 bits = tick << 8 | core, so that every core makes its own, none
// twice, and any two compare. docs/format.md, "LSN".
#pragma once

#include <algorithm>
#include <cstdint>

#include "runtime/base/check.h"
#include "runtime/base/seeded_bug.h"

namespace pakv {

using Lsn = uint64_t;

inline constexpr Lsn kNoLsn = 0;
inline constexpr uint32_t kLsnCoreBits = 8;
inline constexpr uint64_t kLsnTickMax = (uint64_t{1} << 55) - 1;
inline constexpr Lsn kLsnMax = kLsnTickMax << kLsnCoreBits | 0xff;
inline constexpr uint64_t kLsnTicksPerUs = 32;
inline constexpr uint64_t kLsnEpochUs = 1'704'067'200'000'000;  // 2024-01-01T00:00:00Z
inline constexpr uint32_t kLsnCoresMax = uint32_t{1} << kLsnCoreBits;
// Data further ahead of the wall clock than this needs --accept-clock.
inline constexpr uint64_t kLsnAheadUsMax = uint64_t{24} * 3600 * 1'000'000;
static_assert(kLsnMax == UINT64_MAX >> 1);

constexpr Lsn MakeLsn(uint64_t tick, uint32_t core) { return tick << kLsnCoreBits | core; }
constexpr uint64_t LsnTick(Lsn lsn) { return lsn >> kLsnCoreBits; }

// The tick of a wall clock in µs since 1970; 0 before 2024, the largest tick beyond its range.
constexpr uint64_t LsnTickOfWallUs(uint64_t wall_us) {
  if (wall_us <= kLsnEpochUs) return 0;
  return std::min(wall_us - kLsnEpochUs, kLsnTickMax / kLsnTicksPerUs) * kLsnTicksPerUs;
}
// True if `lsn` was made more than a day after `wall_us`: the clock is far behind the data.
constexpr bool LsnFarAhead(Lsn lsn, uint64_t wall_us) {
  return LsnTick(lsn) > LsnTickOfWallUs(wall_us) + kLsnAheadUsMax * kLsnTicksPerUs;
}

// One core's source of LSNs. Each is above all that this clock made or has seen.
class LsnClock {
 public:
  // `recovered`: the largest LSN in the directory, kNoLsn in a new store.
  LsnClock(uint32_t core, Lsn recovered) : core_(core) {
    PAKV_CHECK(core < kLsnCoresMax);
    if (PAKV_BUG(kLsnFallsBehindAfterRestart)) return;
    Observe(recovered);
  }

  // An LSN that another core made, or that a message carries.
  void Observe(Lsn lsn) {
    PAKV_CHECK(lsn <= kLsnMax);
    largest_tick_ = std::max(largest_tick_, LsnTick(lsn));
  }
  // The next LSN; `wall_us` is the core's clock, read once per pass.
  Lsn Next(uint64_t wall_us) {
    largest_tick_ = std::max(largest_tick_ + 1, LsnTickOfWallUs(wall_us));
    PAKV_CHECK(largest_tick_ <= kLsnTickMax);
    return MakeLsn(largest_tick_, core_);
  }
  // The largest LSN made or seen, with this core's number: what messages carry.
  Lsn largest() const { return MakeLsn(largest_tick_, core_); }

 private:
  uint32_t core_;
  uint64_t largest_tick_ = 0;
};

}  // namespace pakv
