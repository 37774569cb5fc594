// Memory for coroutine frames: freed frames are kept by size on a thread-local list and used
// again, since a frame is allocated and freed many times a second and operator new costs about
// three times as much (perf/micro/task_bench.cc). Thread-local memory is not identity: a frame may
// be freed on another thread than it was allocated on.
#pragma once

#include <cstddef>

namespace pakv {

// Frames up to this many bytes are recycled; larger ones go to operator new.
inline constexpr size_t kRecycledFrameBytesMax = 2048;
// Frames kept per size class and thread; what is freed beyond it goes back to the system.
inline constexpr size_t kRecycledFramesMax = 1024;

void* AllocateFrame(size_t bytes);
void FreeFrame(void* frame, size_t bytes);

}  // namespace pakv
