#include "cmd/pakvd/process_facts.h"

#include <fmt/format.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <limits>
#include <string>
#include <string_view>

#include "runtime/core/core.h"
#include "runtime/core/process_usage.h"

namespace pakv {
namespace {

constexpr uint64_t kUnlimited = std::numeric_limits<uint64_t>::max();
// The kernel refuses a mask shorter than its own; no kernel is built for more CPUs than this.
constexpr int kCpuMaskCountMax = 1 << 16;

uint32_t CpusInMask() {
  for (int cpus = 1024; cpus <= kCpuMaskCountMax; cpus *= 2) {
    cpu_set_t* const mask = CPU_ALLOC(static_cast<size_t>(cpus));
    if (mask == nullptr) break;
    const size_t bytes = CPU_ALLOC_SIZE(static_cast<size_t>(cpus));
    CPU_ZERO_S(bytes, mask);
    const bool known = sched_getaffinity(0, bytes, mask) == 0;
    const bool too_short = !known && errno == EINVAL;
    const int count = known ? CPU_COUNT_S(bytes, mask) : 0;
    CPU_FREE(mask);
    if (known) return static_cast<uint32_t>(std::max(count, 1));
    if (!too_short) break;
  }
  return static_cast<uint32_t>(std::max(sysconf(_SC_NPROCESSORS_ONLN), 1L));
}

// A file that holds one number, or nothing where it holds a word ("max") or is not there.
uint64_t LimitInFile(const std::string& path) {
  std::ifstream file(path);
  std::string word;
  uint64_t bytes = 0;
  if (!(file >> word)) return kUnlimited;
  const auto parsed = std::from_chars(word.data(), word.data() + word.size(), bytes);
  return parsed.ec == std::errc() ? bytes : kUnlimited;
}

// The least limit on the way from this process's control group up to the root.
uint64_t ControlGroupLimit() {
  uint64_t limit = kUnlimited;
  std::ifstream groups("/proc/self/cgroup");
  std::string line;
  while (std::getline(groups, line)) {  // "0::/path" (v2) or "7:memory:/path" (v1)
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool is_v2 = controllers.empty();
    if (!is_v2 && controllers != "memory") continue;
    const char* const root = is_v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory";
    const char* const name = is_v2 ? "/memory.max" : "/memory.limit_in_bytes";
    std::string path = line.substr(second + 1);
    while (true) {
      if (path == "/") path.clear();
      limit = std::min(limit, LimitInFile(fmt::format("{}{}{}", root, path, name)));
      const size_t slash = path.rfind('/');
      if (slash == std::string::npos) break;
      path.resize(slash);
    }
  }
  return limit;
}

uint64_t ResourceLimit(__rlimit_resource_t resource) {
  rlimit limit{};
  if (getrlimit(resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return kUnlimited;
  return limit.rlim_cur;
}

}  // namespace

ProcessFacts AskProcessFacts() {
  ProcessFacts facts;
  facts.cpu_count = std::min(CpusInMask(), kCoresMax);
  const auto pages = static_cast<uint64_t>(std::max(sysconf(_SC_PHYS_PAGES), 1L));
  const auto page_bytes = static_cast<uint64_t>(std::max(sysconf(_SC_PAGESIZE), 1L));
  facts.memory_bytes = std::min({pages * page_bytes, ControlGroupLimit(), ResourceLimit(RLIMIT_AS),
                                 ResourceLimit(RLIMIT_DATA)});
  facts.resident_bytes = ResidentBytes();
  return facts;
}

uint64_t RaiseFileLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  const rlim_t before = limit.rlim_cur;
  limit.rlim_cur = limit.rlim_max;
  const bool raised = before == limit.rlim_max || setrlimit(RLIMIT_NOFILE, &limit) == 0;
  const rlim_t files = raised ? limit.rlim_max : before;
  return files == RLIM_INFINITY ? kUnlimited : files;
}

}  // namespace pakv
