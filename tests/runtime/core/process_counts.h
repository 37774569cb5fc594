// What this process holds, as /proc has it: threads, descriptors.
#pragma once

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

namespace pakv {

inline size_t EntryCount(const char* directory) {
  return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(directory),
                                           std::filesystem::directory_iterator()));
}
inline size_t DescriptorCount() { return EntryCount("/proc/self/fd"); }

// Without those that end, as pthread_join() returns when the kernel has cleared the thread's id,
// which is a moment before /proc forgets it; and without the workers that the kernel gives to a
// ring, and takes away, as it likes.
inline size_t ThreadCount() {
  constexpr unsigned long kExiting = 0x4;    // PF_EXITING
  constexpr unsigned long kIoWorker = 0x10;  // PF_IO_WORKER
  size_t count = 0;
  for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream file(thread.path() / "stat");
    std::string stat;
    if (!std::getline(file, stat)) continue;  // it has gone meanwhile
    // Behind the name, which may hold anything: the state, five numbers, the flags (proc(5)).
    std::istringstream fields(stat.substr(stat.rfind(')') + 1));
    std::string skipped;
    for (int i = 0; i < 6; ++i) fields >> skipped;
    unsigned long flags = 0;
    fields >> flags;
    if ((flags & (kExiting | kIoWorker)) == 0) ++count;
  }
  return count;
}

}  // namespace pakv
