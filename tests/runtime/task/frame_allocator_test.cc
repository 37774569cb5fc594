// The frame allocator: memory comes back, across threads too, and within its bounds.
#include "runtime/task/frame_allocator.h"

#include <gtest/gtest.h>

#include <cstring>
#include <thread>
#include <vector>

namespace pakv {
namespace {

TEST(FrameAllocatorTest, AFreedFrameIsUsedAgain) {
  if (!FramesAreRecycled()) GTEST_SKIP() << "frames are not recycled under this sanitizer";
  void* first = AllocateFrame(200);
  FreeFrame(first, 200);
  void* second = AllocateFrame(250);  // of the same class
  EXPECT_EQ(second, first);
  void* other_class = AllocateFrame(300);
  EXPECT_NE(other_class, first);
  FreeFrame(second, 250);
  FreeFrame(other_class, 300);
}

TEST(FrameAllocatorTest, EverySizeIsWholeAndAligned) {
  std::vector<void*> frames;
  for (int round = 0; round < 2; ++round) {
    for (size_t bytes = 1; bytes <= kRecycledFrameBytesMax + 200; bytes += 13) {
      void* frame = AllocateFrame(bytes);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(frame) % __STDCPP_DEFAULT_NEW_ALIGNMENT__, 0u);
      std::memset(frame, 0xa5, bytes);
      frames.push_back(frame);
    }
    size_t bytes = 1;
    for (void* frame : frames) {
      FreeFrame(frame, bytes);
      bytes += 13;
    }
    frames.clear();
  }
}

TEST(FrameAllocatorTest, AThreadKeepsNoMoreThanItsBound) {
  if (!FramesAreRecycled()) GTEST_SKIP() << "frames are not recycled under this sanitizer";
  // More frames than a class keeps: the rest goes back to the system, so that at most the bound
  // comes from the list again.
  constexpr size_t kBytes = 4096;
  constexpr size_t kKept = kRecycledBytesPerClassMax / kBytes;
  std::thread([] {
    std::vector<void*> frames(3 * kKept);
    for (void*& frame : frames) frame = AllocateFrame(kBytes);
    for (void* frame : frames) FreeFrame(frame, kBytes);
    // The list gives the newest first: exactly the last kKept that it took.
    std::vector<void*> again(kKept);
    for (void*& frame : again) frame = AllocateFrame(kBytes);
    for (size_t i = 0; i < kKept; ++i) EXPECT_EQ(again[i], frames[kKept - 1 - i]);
    for (void* frame : again) FreeFrame(frame, kBytes);
  }).join();
}

TEST(FrameAllocatorTest, AFrameMayBeFreedOnAnotherThread) {
  constexpr int kFrames = 10000;
  std::vector<void*> frames(kFrames);
  for (int round = 0; round < 3; ++round) {
    std::thread([&frames] {
      for (void*& frame : frames) {
        frame = AllocateFrame(128);
        std::memset(frame, 1, 128);
      }
    }).join();
    // Whoever allocated them has ended with its lists.
    std::thread([&frames] {
      for (void* frame : frames) FreeFrame(frame, 128);
    }).join();
  }
}

struct FreesAtThreadEnd {
  void* frame = nullptr;
  ~FreesAtThreadEnd() {
    if (frame != nullptr) FreeFrame(frame, 64);
  }
};

TEST(FrameAllocatorTest, FramesMayBeFreedAfterTheThreadsListsAreGone) {
  std::thread([] {
    // Made before the thread's lists open, so destroyed after they close (checked by LeakSanitizer
    // and by not crashing).
    thread_local FreesAtThreadEnd late;
    late.frame = AllocateFrame(64);
    FreeFrame(AllocateFrame(64), 64);
  }).join();
}

}  // namespace
}  // namespace pakv
