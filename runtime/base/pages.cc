#include "runtime/base/pages.h"

#include <sys/mman.h>

#include <cstdlib>
#include <new>

#include "runtime/base/check.h"

namespace pakv {

void EndForLackOfMemory() {
  if (const std::new_handler handler = std::get_new_handler()) handler();
  PAKV_CHECK(false, "out of memory");
  std::abort();
}

void* MapPages(size_t bytes, int flags) {
  void* const memory =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
  return memory == MAP_FAILED ? nullptr : memory;
}

void* MapPagesOrEnd(size_t bytes) {
  void* const memory = MapPages(bytes);
  if (memory == nullptr) EndForLackOfMemory();
  return memory;
}

}  // namespace pakv
