// StallDetector: a core's pass that takes long delays everything else on that core; it is counted
// and, at most once a minute, reported. Not before there is somebody to serve: a start reads and
// writes files with nobody waiting.
#pragma once

#include <cstdint>

#include "runtime/base/clock.h"
#include "runtime/base/log_interval.h"

namespace pakv {

class StallDetector {
 public:
  static constexpr uint64_t kStallNs = 5 * kNsPerMs;
  static constexpr uint64_t kReportEveryNs = 60 * kNsPerSecond;

  // Passes that begin after `now_ns` count.
  void Begin(uint64_t now_ns) { idle_until_ns_ = now_ns; }
  // A pass of core `core` ran from `begin_ns` to `end_ns`.
  void PassEnded(uint32_t core, uint64_t begin_ns, uint64_t end_ns) {
    if (end_ns - begin_ns >= kStallNs && begin_ns > idle_until_ns_) Record(core, begin_ns, end_ns);
  }
  // Passes that took kStallNs or longer, and the longest of all.
  uint64_t count() const { return count_; }
  uint64_t duration_ns_max() const { return duration_ns_max_; }

 private:
  void Record(uint32_t core, uint64_t begin_ns, uint64_t end_ns);
  uint64_t idle_until_ns_ = UINT64_MAX;
  uint64_t count_ = 0;
  uint64_t duration_ns_max_ = 0;
  uint64_t unreported_ns_max_ = 0;  // since the last report
  LogInterval reports_{kReportEveryNs};
};

}  // namespace pakv
