#include "runtime/core/stall.h"

#include <algorithm>

#include "runtime/base/log.h"

namespace pakv {

void StallDetector::Record(uint32_t core, uint64_t begin_ns, uint64_t end_ns) {
  ++count_;
  ++unreported_;
  duration_ns_max_ = std::max(duration_ns_max_, end_ns - begin_ns);
  if (reported_ns_ != 0 && end_ns - reported_ns_ < kNsPerSecond) return;
  LogWarning("core {} was busy for {} us without looking at its ring ({} such passes)", core,
             (end_ns - begin_ns) / kNsPerUs, unreported_);
  reported_ns_ = end_ns;
  unreported_ = 0;
}

}  // namespace pakv
