#include "runtime/base/clock.h"

#include <time.h>

namespace pakv {
namespace {

uint64_t ReadNs(clockid_t id) {
  timespec time{};
  clock_gettime(id, &time);
  return static_cast<uint64_t>(time.tv_sec) * kNsPerSecond + static_cast<uint64_t>(time.tv_nsec);
}

class RealClock final : public Clock {
 public:
  uint64_t MonotonicNs() override { return ReadNs(CLOCK_MONOTONIC); }
  uint64_t WallUs() override { return ReadNs(CLOCK_REALTIME) / kNsPerUs; }
};

}  // namespace

Clock& SystemClock() {
  static RealClock clock;
  return clock;
}

}  // namespace pakv
