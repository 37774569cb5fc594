// cmd/pakvd/start_progress: the bar that a terminal shows while the data is read.
#include "cmd/pakvd/start_progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace pakv {
namespace {

using testing::HasSubstr;

constexpr uint64_t kMebibyte = uint64_t{1} << 20;

TEST(StartProgressTest, TellsHowMuchHowFastAndHowLongStill) {
  EXPECT_EQ(DescribeReading(0, 1024 * kMebibyte, 0, 0), "0 of 1024 MiB, 0 keys");
  EXPECT_EQ(DescribeReading(256 * kMebibyte, 1024 * kMebibyte, 12345, 2 * kNsPerSecond),
            "256 of 1024 MiB, 6 s left, 12345 keys, 128 MiB/s");
  EXPECT_EQ(DescribeReading(10 * kMebibyte, 10 * kMebibyte, 7, kNsPerSecond),
            "10 of 10 MiB, 0 s left, 7 keys, 10 MiB/s");
  EXPECT_EQ(DescribeReading(51'300 * kMebibyte, 512'000 * kMebibyte, 1'230'000, 90 * kNsPerSecond),
            "50.1 of 500.0 GiB, 808 s left, 1.2M keys, 570 MiB/s");
}

TEST(StartProgressTest, IsDrawnWhileTheStoreOpensAndVanishes) {
  StartProgress progress(/*draws=*/true);
  ASSERT_NE(progress.told(), nullptr);
  testing::internal::CaptureStderr();
  EXPECT_GT(progress.Tick(kNsPerSecond, /*is_opening=*/true), 0) << "it is not known yet";
  progress.told()->scan.total_bytes = 100 * kMebibyte;
  progress.told()->scan.done_bytes = 50 * kMebibyte;
  progress.told()->keys = 99;
  progress.Tick(2 * kNsPerSecond, true);
  progress.Tick(3 * kNsPerSecond, true);
  const std::string drawn = testing::internal::GetCapturedStderr();
  EXPECT_THAT(drawn, testing::StartsWith("\rreading [#####-----]  50 % 50 of 100 MiB, 99 keys"));
  EXPECT_THAT(drawn, HasSubstr("\rreading [#####-----]  50 % 50 of 100 MiB, 1 s left, 99 keys"));
  EXPECT_EQ(drawn.find('\n'), std::string::npos);
  testing::internal::CaptureStderr();
  EXPECT_EQ(progress.Tick(4 * kNsPerSecond, /*is_opening=*/false), -1);
  EXPECT_EQ(progress.Tick(5 * kNsPerSecond, false), -1);
  const std::string gone = testing::internal::GetCapturedStderr();
  EXPECT_EQ(gone, "\r" + std::string(gone.size() - 2, ' ') + "\r");
}

TEST(StartProgressTest, WithoutATerminalTheLogTellsAlone) {
  StartProgress progress(/*draws=*/false);
  EXPECT_EQ(progress.told(), nullptr);
  testing::internal::CaptureStderr();
  EXPECT_EQ(progress.Tick(kNsPerSecond, true), -1);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

}  // namespace
}  // namespace pakv
