#include "cmd/common/process.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <new>

#include "runtime/base/sanitizer.h"

namespace pakv {
namespace {

TEST(ProcessDeathTest, WhoGetsNoMemorySaysSoAndExits) {
  if (PAKV_SANITIZER_ALLOCATES) GTEST_SKIP() << "its malloc ends the process by itself";
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        ExitWhenOutOfMemory("no memory here\n", 7);
        volatile size_t bytes = SIZE_MAX / 4;  // more than there are addresses
        void* const memory = ::operator new(bytes);
        ::operator delete(memory);
      },
      testing::ExitedWithCode(7), "^no memory here\n$");
}

}  // namespace
}  // namespace pakv
