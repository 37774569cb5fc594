#include "runtime/task/frame_allocator.h"

#include <array>
#include <cstdint>
#include <new>

#include "runtime/base/sanitizer.h"

namespace pakv {
namespace {

constexpr size_t kClassBytes = 64;
constexpr size_t kClassCount = kRecycledFrameBytesMax / kClassBytes;
static_assert(kRecycledFrameBytesMax % kClassBytes == 0);
static_assert(kClassCount * kRecycledBytesPerClassMax == 32 << 20, "as the header says");

struct FreeFrameNode {
  FreeFrameNode* next;
};

struct FreeList {
  FreeFrameNode* head;
  uint32_t room;  // frames that it still takes
};

// Plain memory without a destructor, so that it needs no guard and may be used until the thread's
// very end: its lists have no room before Open and after Close.
enum class CacheState : uint8_t { kNew, kOpen, kClosed };
struct ThreadCache {
  std::array<FreeList, kClassCount> lists;
  CacheState state;
};
constinit thread_local ThreadCache cache{};

constexpr size_t ClassOf(size_t bytes) { return (bytes - 1) / kClassBytes; }
constexpr size_t BytesOf(size_t size_class) { return (size_class + 1) * kClassBytes; }

struct CacheCloser {
  ~CacheCloser() {
    cache.state = CacheState::kClosed;
    for (FreeList& list : cache.lists) {
      list.room = 0;
      while (list.head != nullptr) {
        FreeFrameNode* node = list.head;
        list.head = node->next;
        ::operator delete(node);
      }
    }
  }
};

// Gives the thread's lists their room, once. False if they had it before.
bool OpenCache() {
  if (cache.state != CacheState::kNew) return false;
  thread_local CacheCloser closer;
  static_cast<void>(closer);
  cache.state = CacheState::kOpen;
  for (size_t i = 0; i < kClassCount; ++i) {
    cache.lists[i].room = static_cast<uint32_t>(kRecycledBytesPerClassMax / BytesOf(i));
  }
  return true;
}

}  // namespace

bool FramesAreRecycled() { return PAKV_SANITIZER_ALLOCATES == 0; }

void* AllocateFrame(size_t bytes) {
  if (PAKV_SANITIZER_ALLOCATES == 1 || bytes > kRecycledFrameBytesMax) return ::operator new(bytes);
  FreeList& list = cache.lists[ClassOf(bytes)];
  FreeFrameNode* node = list.head;
  if (node == nullptr) return ::operator new(BytesOf(ClassOf(bytes)));
  list.head = node->next;
  ++list.room;
  return node;
}

void FreeFrame(void* frame, size_t bytes) {
  if (PAKV_SANITIZER_ALLOCATES == 0 && bytes <= kRecycledFrameBytesMax) {
    FreeList& list = cache.lists[ClassOf(bytes)];
    if (list.room > 0 || OpenCache()) {
      --list.room;
      list.head = new (frame) FreeFrameNode{list.head};
      return;
    }
  }
  ::operator delete(frame);
}

}  // namespace pakv
