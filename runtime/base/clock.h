// Where time comes from. Code above the runtime reads its core's clock, which is read once per
// pass; nothing asks the system. The simulator puts virtual time here.
#pragma once

#include <cstdint>

namespace pakv {

inline constexpr uint64_t kNsPerUs = 1000;
inline constexpr uint64_t kNsPerMs = 1000 * kNsPerUs;
inline constexpr uint64_t kNsPerSecond = 1000 * kNsPerMs;
// A deadline that never comes.
inline constexpr uint64_t kNever = UINT64_MAX;

class Clock {
 public:
  virtual ~Clock() = default;
  // Nanoseconds on a clock that never goes back; its zero means nothing.
  virtual uint64_t MonotonicNs() = 0;
  // Microseconds since 1970-01-01 UTC; may step either way.
  virtual uint64_t WallUs() = 0;
};

// The system's clocks. Thread-safe.
Clock& SystemClock();

}  // namespace pakv
