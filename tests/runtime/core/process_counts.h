// What this process holds, as /proc has it: threads, descriptors.
#pragma once

#include <sched.h>

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <iterator>

namespace pakv {

inline size_t EntryCount(const char* directory) {
  return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(directory),
                                           std::filesystem::directory_iterator()));
}
inline size_t ThreadCount() { return EntryCount("/proc/self/task"); }
inline size_t DescriptorCount() { return EntryCount("/proc/self/fd"); }

// The number of threads once no more than `expected` are left. pthread_join() returns when the
// kernel has cleared the thread's id, which is a moment before /proc forgets it: so this looks
// again for up to 10 s, and returns what it saw last.
inline size_t ThreadCountComesTo(size_t expected) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  size_t count = ThreadCount();
  while (count > expected && std::chrono::steady_clock::now() < end) {
    sched_yield();
    count = ThreadCount();
  }
  return count;
}

}  // namespace pakv
