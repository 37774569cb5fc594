// Memory that is asked of the system itself, and what becomes of a process that gets none.
#pragma once

#include <cstddef>

namespace pakv {

// The process ends as it does when operator new finds no memory: by the program's new-handler, with
// its line and exit code. For what cannot be refused any more.
[[noreturn]] void EndForLackOfMemory();

// Whole pages, zeroed, this process's alone, to be given back with munmap(2). nullptr: the system
// gives none. `flags` are of mmap(2), beside MAP_PRIVATE and MAP_ANONYMOUS.
[[nodiscard]] void* MapPages(size_t bytes, int flags = 0);
// The same, or the process ends.
[[nodiscard]] void* MapPagesOrEnd(size_t bytes);

}  // namespace pakv
