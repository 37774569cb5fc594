// The allocator's holes. Method: blocks of some pages, each second one freed, so that what is free
// lies between what is in use; mincore(2) tells which of the freed pages are resident.
#include "runtime/core/heap.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "runtime/base/sanitizer.h"
#include "tests/runtime/io/ring_harness.h"

namespace pakv {
namespace {

#if defined(__GLIBC__) && !PAKV_SANITIZER_ALLOCATES

constexpr size_t kPage = 4096;
constexpr size_t kBlockBytes = 16 * kPage;
constexpr size_t kBlocks = 256;

// The whole pages within a block.
size_t ResidentPages(uintptr_t block) {
  const uintptr_t begin = (block + 2 * kPage - 1) & ~(kPage - 1);
  const size_t pages = kBlockBytes / kPage - 3;
  std::vector<unsigned char> resident(pages);
  EXPECT_EQ(mincore(reinterpret_cast<void*>(begin), pages * kPage, resident.data()), 0);
  size_t count = 0;
  for (const unsigned char page : resident) count += page & 1;
  return count;
}

TEST(HeapTest, HolesAreGivenBackAndWhatIsInUseStays) {
  ASSERT_EQ(sysconf(_SC_PAGESIZE), static_cast<long>(kPage));
  auto rings = MakeRingHarness(RingKind::kUring, 0, {.blocking_pool_threads = 1});
  std::vector<void*> blocks(kBlocks);
  for (void*& block : blocks) {
    block = std::malloc(kBlockBytes);
    std::memset(block, 1, kBlockBytes);
  }
  std::vector<uintptr_t> holes;
  size_t resident = 0;
  for (size_t i = 0; i < kBlocks; i += 2) {
    holes.push_back(reinterpret_cast<uintptr_t>(blocks[i]));
    std::free(blocks[i]);
    resident += ResidentPages(holes.back());
  }
  EXPECT_GT(resident, kBlocks / 2) << "the holes stay, or there is nothing to show";

  ASSERT_TRUE(rings->Run(GiveHolesBack(rings->core(0))));

  size_t left = 0;
  for (const uintptr_t hole : holes) left += ResidentPages(hole);
  EXPECT_EQ(left, 0u);
  for (size_t i = 1; i < kBlocks; i += 2) {
    EXPECT_EQ(static_cast<const char*>(blocks[i])[kBlockBytes - 1], 1);
    std::free(blocks[i]);
  }
}

#endif

TEST(HeapTest, WithoutAPoolNothingHappens) {
  auto rings = MakeRingHarness(RingKind::kSimCalm, 1, {});
  ASSERT_TRUE(rings->Run(GiveHolesBack(rings->core(0))));
}

}  // namespace
}  // namespace pakv
