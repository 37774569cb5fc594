#include "runtime/core/stall.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "runtime/base/log.h"

namespace pakv {

void StallDetector::Record(uint32_t core, uint64_t begin_ns, uint64_t end_ns) {
  ++count_;
  duration_ns_max_ = std::max(duration_ns_max_, end_ns - begin_ns);
  unreported_ns_max_ = std::max(unreported_ns_max_, end_ns - begin_ns);
  const uint64_t times = reports_.Count(end_ns);
  if (times == 0) return;
  const std::string others =
      times == 1 ? "" : fmt::format(" (the longest of {} times since the last such line)", times);
  LogWarning(
      "core {} served nobody for {} ms{}: its CPU had other work, or one request took so long",
      core, unreported_ns_max_ / kNsPerMs, others);
  unreported_ns_max_ = 0;
}

}  // namespace pakv
