#include "net/text/numbers.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <optional>
#include <string>

namespace pakv {
namespace {

TEST(NumbersTest, IntegersAreThoseOfRedis) {
  EXPECT_EQ(ParseRespInteger("0"), 0);
  EXPECT_EQ(ParseRespInteger("-1"), -1);
  EXPECT_EQ(ParseRespInteger("9223372036854775807"), INT64_MAX);
  EXPECT_EQ(ParseRespInteger("-9223372036854775808"), INT64_MIN);
  for (const char* wrong :
       {"", "-", "+1", "01", "-0", "00", " 1", "1 ", "1.0", "1e3", "0x1", "9223372036854775808",
        "-9223372036854775809", "99999999999999999999", "--1"}) {
    EXPECT_EQ(ParseRespInteger(wrong), std::nullopt) << wrong;
  }
}

TEST(NumbersTest, FloatsAreThoseOfRedis) {
  EXPECT_EQ(ParseRespFloat("1.5"), 1.5L);
  EXPECT_EQ(ParseRespFloat("-inf"), -std::numeric_limits<long double>::infinity());
  for (const std::string& wrong :
       {std::string(), std::string(" 1"), std::string("1 "), std::string("1\0", 2),
        std::string("1x"), std::string("nan"), std::string("1e9999"), std::string("1e-9999"),
        std::string(5120, '1')}) {
    EXPECT_EQ(ParseRespFloat(wrong), std::nullopt) << wrong;
  }
  EXPECT_EQ(FormatRespFloat(10), "10");
  EXPECT_EQ(FormatRespFloat(-0.0L), "0");
  EXPECT_EQ(FormatRespFloat(0.1L + 0.2L), "0.3");
  EXPECT_EQ(FormatRespFloat(1e-18L), "0");
  EXPECT_EQ(FormatRespFloat(std::numeric_limits<long double>::max()).size(), 4933u);
}

}  // namespace
}  // namespace pakv
