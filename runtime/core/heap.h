// What the allocator keeps of memory that was freed. It gives the end of its heaps back by itself,
// but not the holes below what is still in use: a burst of large buffers leaves them behind, and
// they are resident until something of their size is asked for again.
#pragma once

#include "runtime/core/core.h"
#include "runtime/task/task.h"

namespace pakv {

// Gives the whole pages of all holes back to the system, on a thread of the blocking pool; without
// a pool, or with one that is busy, it does nothing. Each heap is locked while its holes are walked
// (some 100 us per 10 MiB), so that it is for times when nothing else goes on. Suspends.
// malloc_trim(3): glibc alone has it; elsewhere it does nothing.
Task<void> GiveHolesBack(Core& core);

}  // namespace pakv
