// Memory for coroutine frames: freed frames are kept by size on a thread-local list and used
// again, since a frame is allocated and freed many times a second and operator new costs about
// three times as much (perf/micro/task_bench.cc). Thread-local memory is not identity: a frame may
// be freed on another thread than it was allocated on, and after its thread's lists are gone.
#pragma once

#include <cstddef>

namespace pakv {

// Frames up to this many bytes are recycled; larger ones go to operator new. A frame holds one
// awaiter (about 260 bytes) for each operation that its coroutine awaits.
inline constexpr size_t kRecycledFrameBytesMax = 4096;
// What a thread keeps of each size class (a multiple of 64 bytes); what is freed beyond it goes
// back to the system. All classes full are 32 MiB.
inline constexpr size_t kRecycledBytesPerClassMax = 512 * 1024;

void* AllocateFrame(size_t bytes);
void FreeFrame(void* frame, size_t bytes);

// False in builds with a sanitizer, which has to see each frame by itself.
bool FramesAreRecycled();

}  // namespace pakv
