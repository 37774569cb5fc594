// The core's loop over the kernel's ring: files, sockets and cross-core calls.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <memory>
#include <string>
#include <vector>

#include "runtime/core/cores.h"
#include "runtime/io/file.h"
#include "runtime/io/socket.h"
#include "runtime/io/uring_ring.h"

namespace pakv {
namespace {

std::vector<std::unique_ptr<Ring>> MakeRings(uint32_t count) {
  std::vector<std::unique_ptr<Ring>> rings;
  for (uint32_t i = 0; i < count; ++i) {
    std::string error;
    auto ring = UringRing::Create({}, error);
    EXPECT_NE(ring, nullptr) << error;
    rings.push_back(std::move(ring));
  }
  return rings;
}

Task<void> WriteAndReadBack(Core& core, std::string path, std::string& read) {
  IoResult opened = co_await File::Open(core.io(), path.c_str(), O_RDWR | O_CREAT);
  EXPECT_TRUE(opened.ok()) << opened.text();
  File file(core.io(), Handle{opened.value()});
  const std::string text = "an answer means on disk";
  IoResult written =
      co_await file.Write(text.data(), static_cast<uint32_t>(text.size()), 0, /*sync=*/true);
  EXPECT_EQ(written.value(), static_cast<int32_t>(text.size()));
  read.resize(text.size());
  IoResult got = co_await file.Read(read.data(), static_cast<uint32_t>(read.size()), 0);
  EXPECT_EQ(got.value(), static_cast<int32_t>(text.size()));
  IoResult closed = co_await file.Close();
  EXPECT_TRUE(closed.ok());
  core.Leave();
}

TEST(CoreTest, WritesAndReadsAFile) {
  char directory[] = "/tmp/pakv-test-XXXXXX";
  ASSERT_NE(mkdtemp(directory), nullptr);
  Cores cores(SystemClock(), MakeRings(1), {});
  std::string read;
  cores.core(0).nursery().Spawn(
      WriteAndReadBack(cores.core(0), std::string(directory) + "/file", read));
  ASSERT_TRUE(cores.Start());
  cores.Join();
  EXPECT_EQ(read, "an answer means on disk");
}

Task<void> CallAround(Core& core, Cores& cores, uint64_t& sum) {
  for (uint32_t i = 0; i < 1000; ++i) {
    const uint32_t target = i % core.count();
    sum += co_await core.CallOn(target, [i](Core& there) { return uint64_t{i} + there.id(); });
  }
  cores.RequestLeave();
}

TEST(CoreTest, CallsRunOnTheOtherCore) {
  Cores cores(SystemClock(), MakeRings(2), {});
  uint64_t sum = 0;
  cores.core(0).nursery().Spawn(CallAround(cores.core(0), cores, sum));
  ASSERT_TRUE(cores.Start());
  cores.Join();
  EXPECT_EQ(sum, 999u * 1000u / 2 + 500u);
}

}  // namespace
}  // namespace pakv
