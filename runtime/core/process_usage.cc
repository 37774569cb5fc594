#include "runtime/core/process_usage.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>

#include "runtime/core/blocking_pool.h"

namespace pakv {
namespace {

uint64_t PageBytes() { return static_cast<uint64_t>(std::max(sysconf(_SC_PAGESIZE), 1L)); }

struct MemoryPages {
  uint64_t all = 0;
  uint64_t resident = 0;
};

MemoryPages ReadMemoryPages() {
  std::ifstream file("/proc/self/statm");
  MemoryPages pages;
  if (!(file >> pages.all >> pages.resident)) return {};
  return pages;
}

// When the machine started, in seconds since 1970: "btime N", a line of /proc/stat.
uint64_t ReadBootSeconds() {
  std::ifstream file("/proc/stat");
  std::string line;
  while (std::getline(file, line)) {
    uint64_t seconds = 0;
    if (line.starts_with("btime ") && std::istringstream(line.substr(6)) >> seconds) return seconds;
  }
  return 0;
}

// proc(5): the 22nd field of /proc/self/stat, in ticks since the machine's start. The second is the
// program's name in brackets, in which anything may stand.
uint64_t ReadStartMs() {
  constexpr int kFieldsBetween = 19;
  std::ifstream file("/proc/self/stat");
  std::string line;
  std::getline(file, line);
  const size_t name_end = line.rfind(')');
  if (name_end == std::string::npos) return 0;
  std::istringstream fields(line.substr(name_end + 1));
  std::string skipped;
  for (int i = 0; i < kFieldsBetween; ++i) fields >> skipped;
  uint64_t ticks = 0;
  const uint64_t boot_s = ReadBootSeconds();
  if (!(fields >> ticks) || boot_s == 0) return 0;
  return boot_s * 1000 + ticks * 1000 / static_cast<uint64_t>(std::max(sysconf(_SC_CLK_TCK), 1L));
}

uint64_t Micros(const timeval& time) {
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000 + static_cast<uint64_t>(time.tv_usec);
}

}  // namespace

ProcessUsage ReadProcessUsage() {
  // Once: a clock that is set must not look like a restart.
  static const uint64_t started_ms = ReadStartMs();
  ProcessUsage usage;
  rusage used{};
  if (getrusage(RUSAGE_SELF, &used) == 0) {
    usage.user_cpu_us = Micros(used.ru_utime);
    usage.system_cpu_us = Micros(used.ru_stime);
    usage.resident_bytes_max = static_cast<uint64_t>(used.ru_maxrss) * 1024;
  }
  const MemoryPages pages = ReadMemoryPages();
  usage.resident_bytes = pages.resident * PageBytes();
  usage.virtual_bytes = pages.all * PageBytes();
  // The kernel notes the largest size now and then only.
  usage.resident_bytes_max = std::max(usage.resident_bytes_max, usage.resident_bytes);
  usage.open_descriptors = OpenDescriptorCount();
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) usage.descriptors_max = limit.rlim_cur;
  usage.machine_bytes = static_cast<uint64_t>(std::max(sysconf(_SC_PHYS_PAGES), 0L)) * PageBytes();
  usage.started_ms = started_ms;
  return usage;
}

uint64_t ResidentBytes() { return ReadMemoryPages().resident * PageBytes(); }

uint64_t OpenDescriptorCount() {
  constexpr uint64_t kStandard = 3;
  DIR* const directory = opendir("/proc/self/fd");
  if (directory == nullptr) return kStandard;
  uint64_t count = 0;
  while (const dirent* entry = readdir(directory)) {
    if (entry->d_name[0] != '.') ++count;
  }
  closedir(directory);
  return std::max(count - 1, kStandard);  // without the one that has listed them
}

Task<std::optional<ProcessUsage>> AskProcessUsage(Core& core) {
  BlockingPool* const pool = core.monitor_pool();
  if (pool == nullptr) co_return std::nullopt;
  const auto read = [] { return ReadProcessUsage(); };
  std::optional<ProcessUsage> usage = co_await pool->Run(core, read);
  co_return usage;
}

}  // namespace pakv
