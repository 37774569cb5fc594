#include "runtime/task/frame_allocator.h"

#include <array>
#include <new>

// A sanitizer watches each frame by itself only if it comes from operator new.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define PAKV_RECYCLE_FRAMES 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define PAKV_RECYCLE_FRAMES 0
#endif
#endif
#ifndef PAKV_RECYCLE_FRAMES
#define PAKV_RECYCLE_FRAMES 1
#endif

namespace pakv {
namespace {

constexpr size_t kClassBytes = 64;
constexpr size_t kClassCount = kRecycledFrameBytesMax / kClassBytes;

struct FreeList {
  struct Node {
    Node* next;
  };
  Node* head = nullptr;
  size_t count = 0;
};

struct ThreadCache {
  std::array<FreeList, kClassCount> lists;
  ~ThreadCache() {
    for (FreeList& list : lists) {
      while (list.head != nullptr) {
        FreeList::Node* node = list.head;
        list.head = node->next;
        ::operator delete(node);
      }
    }
  }
};

thread_local ThreadCache cache;

constexpr size_t ClassOf(size_t bytes) { return (bytes - 1) / kClassBytes; }

}  // namespace

void* AllocateFrame(size_t bytes) {
  if (PAKV_RECYCLE_FRAMES == 0 || bytes > kRecycledFrameBytesMax) return ::operator new(bytes);
  FreeList& list = cache.lists[ClassOf(bytes)];
  if (list.head == nullptr) return ::operator new((ClassOf(bytes) + 1) * kClassBytes);
  FreeList::Node* node = list.head;
  list.head = node->next;
  --list.count;
  return node;
}

void FreeFrame(void* frame, size_t bytes) {
  if (PAKV_RECYCLE_FRAMES != 0 && bytes <= kRecycledFrameBytesMax) {
    FreeList& list = cache.lists[ClassOf(bytes)];
    if (list.count < kRecycledFramesMax) {
      list.head = new (frame) FreeList::Node{list.head};
      ++list.count;
      return;
    }
  }
  ::operator delete(frame);
}

}  // namespace pakv
