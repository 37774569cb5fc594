// runtime/base/log and utf8: a log line is one line, whatever it is about.
#include "runtime/base/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "runtime/base/log_interval.h"
#include "runtime/base/utf8.h"

namespace pakv {
namespace {

using testing::HasSubstr;
using testing::internal::CaptureStderr;
using testing::internal::GetCapturedStderr;

// 2024-05-01 12:34:56.000789 UTC
constexpr uint64_t kWallUs = 1714566896000789;

std::string Text(std::string_view message) {
  return FormatLogLine(LogFormat::kText, LogLevel::kInfo, kWallUs, -1, message);
}

std::string Json(std::string_view message) {
  return FormatLogLine(LogFormat::kJson, LogLevel::kWarning, kWallUs, 3, message);
}

TEST(LogTest, TextLineHasTimeAndLevel) {
  EXPECT_EQ(Text("ready"), "2024-05-01T12:34:56.000789Z info ready\n");
  EXPECT_EQ(FormatLogLine(LogFormat::kText, LogLevel::kError, 0, 7, "x"),
            "1970-01-01T00:00:00.000000Z error [core 7] x\n");
}

TEST(LogTest, JsonLineHasTimeLevelAndCore) {
  EXPECT_EQ(Json("ready"),
            "{\"time\":\"2024-05-01T12:34:56.000789Z\",\"level\":\"warn\",\"core\":3,"
            "\"message\":\"ready\"}\n");
}

TEST(LogTest, HostileBytesCannotForgeALine) {
  EXPECT_THAT(Text("a\nb\r\x1b[2J\x7f"), HasSubstr("a\\x0ab\\x0d\\x1b[2J\\x7f\n"));
  EXPECT_THAT(Text("\xc2\x9b"
                   "31m"),
              HasSubstr("\\xc2\\x9b31m\n"));
  EXPECT_THAT(Text(std::string_view("\0\xff", 2)), HasSubstr("\\x00\\xff\n"));
  EXPECT_THAT(Text("grün \xe2\x82\xac"), HasSubstr("grün \xe2\x82\xac\n"));
}

TEST(LogTest, JsonStaysOneValidStringForEveryByte) {
  for (int byte = 0; byte < 256; ++byte) {
    const std::string line = Json(std::string(1, static_cast<char>(byte)));
    const size_t start = line.find("\"message\":\"") + 11;
    const std::string body = line.substr(start, line.size() - start - 3);
    ASSERT_TRUE(line.ends_with("\"}\n")) << byte;
    ASSERT_TRUE(IsUtf8(body)) << byte;
    bool escaped = false;
    for (const char c : body) {
      ASSERT_GE(static_cast<unsigned char>(c), 0x20) << byte;
      if (escaped) {
        ASSERT_TRUE(c == '"' || c == '\\') << byte;
        escaped = false;
      } else {
        ASSERT_NE(c, '"') << byte;
        escaped = c == '\\';
      }
    }
    ASSERT_FALSE(escaped) << byte;
  }
}

TEST(LogTest, LongMessageIsCutBetweenCharacters) {
  const std::string exact(kLogMessageBytesMax, 'x');
  EXPECT_THAT(Text(exact), HasSubstr(exact + "\n"));
  const std::string longer = std::string(kLogMessageBytesMax - 1, 'x') + "\xe2\x82\xac";
  EXPECT_THAT(Text(longer), HasSubstr("xxx (3 bytes cut)\n"));
  // A run of stray continuation bytes is no character: the cut still ends.
  EXPECT_THAT(Text(std::string(kLogMessageBytesMax * 2, '\x80')), HasSubstr("bytes cut)\n"));
}

TEST(LogTest, LevelDropsLinesAndFormatReachesStderr) {
  CaptureStderr();
  InitLogging({.level = LogLevel::kWarning, .format = LogFormat::kJson});
  LogInfo("dropped {}", 1);
  LogWarning("kept {} {}", 2, std::string_view("a\"b"));
  InitLogging({.level = LogLevel::kError});
  LogNotice("ready {}", 5);
  InitLogging({});
  LogDebug("dropped {}", 3);
  LogInfo("kept {}", 4);
  const std::string output = GetCapturedStderr();
  EXPECT_THAT(output, HasSubstr("\"level\":\"warn\",\"message\":\"kept 2 a\\\"b\"}\n"));
  EXPECT_THAT(output, HasSubstr("info ready 5\n"));
  EXPECT_THAT(output, HasSubstr("info kept 4\n"));
  EXPECT_EQ(output.find("dropped"), std::string::npos);
}

TEST(LogTest, WhatIsDrawnBelowTheLogSharesNoLineWithIt) {
  CaptureStderr();
  LogInfo("before");
  DrawBelowLog("\r 10 %");
  DrawBelowLog("\r 20 %");
  LogInfo("after");
  LogInfo("and so on");
  const std::string output = GetCapturedStderr();
  EXPECT_THAT(output, HasSubstr("info before\n\r 10 %\r 20 %\r\x1b[K"));
  EXPECT_THAT(output, HasSubstr("info after\n2")) << "it is erased once";
}

TEST(LogIntervalTest, TheFirstAtOnceThenOnePerIntervalThatCounts) {
  LogInterval interval(10);
  EXPECT_EQ(interval.Count(0), 1u);
  EXPECT_EQ(interval.Count(0), 0u);
  EXPECT_EQ(interval.Count(9), 0u);
  EXPECT_EQ(interval.Count(10), 3u);
  EXPECT_EQ(interval.Count(19), 0u);
  EXPECT_EQ(interval.Count(1000), 2u);
}

TEST(LogTest, BothFormatsShowTheSameText) {
  EXPECT_THAT(Text("a\\b\"\n"), HasSubstr("a\\b\"\\x0a\n"));
  EXPECT_THAT(Json("a\\b\"\n"), HasSubstr("\"a\\\\b\\\"\\\\x0a\"}\n"));
}

TEST(Utf8Test, AcceptsShortestFormsAlone) {
  EXPECT_TRUE(IsUtf8(""));
  EXPECT_TRUE(IsUtf8("a\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"));
  EXPECT_TRUE(IsUtf8(std::string_view("\0", 1)));
  for (const char* bad :
       {"\x80", "\xc0\x80", "\xc1\xbf", "\xc2", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xe2\x82",
        "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "a\xe2\x28\xa1"}) {
    EXPECT_FALSE(IsUtf8(bad)) << bad;
  }
}

}  // namespace
}  // namespace pakv
