// A system that gives no more memory, for tests that have a process of their own (EXPECT_EXIT).
#pragma once

#include <malloc.h>
#include <sys/resource.h>

#include <cstddef>
#include <cstdlib>
#include <vector>

#include "runtime/base/check.h"
#include "runtime/core/process_usage.h"

namespace pakv {

// While it lives the process gets `more_bytes` of address space and no further. What the allocator
// is asked for is there all the same: the test is about those who ask the system.
class AddressLimit {
 public:
  explicit AddressLimit(size_t more_bytes) {
    FillHeap();
    PAKV_CHECK(getrlimit(RLIMIT_AS, &before_) == 0);
    rlimit limit = before_;
    limit.rlim_cur = ReadProcessUsage().virtual_bytes + more_bytes;
    PAKV_CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
  }
  AddressLimit(const AddressLimit&) = delete;
  AddressLimit& operator=(const AddressLimit&) = delete;
  ~AddressLimit() { PAKV_CHECK(setrlimit(RLIMIT_AS, &before_) == 0); }

 private:
  // The heap keeps what was freed below a block that stays.
  static void FillHeap() {
    constexpr size_t kBlockBytes = 64 << 10;
    mallopt(M_MMAP_MAX, 0);
    std::vector<void*> blocks(1024);
    for (void*& block : blocks) block = std::malloc(kBlockBytes);
    for (size_t i = 0; i + 1 < blocks.size(); ++i) std::free(blocks[i]);
  }

  rlimit before_{};
};

}  // namespace pakv
