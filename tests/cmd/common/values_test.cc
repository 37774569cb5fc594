// cmd/common/values, net/options/endpoint: what users may write, and what they are told.
#include "cmd/common/values.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "net/options/endpoint.h"

namespace pakv {
namespace {

TEST(ValuesTest, SizesHaveBinaryAndDecimalUnits) {
  const std::pair<const char*, uint64_t> good[] = {{"0", 0},
                                                   {"1", 1},
                                                   {"65536", 65536},
                                                   {"7B", 7},
                                                   {"64KiB", 65536},
                                                   {"4MB", 4000000},
                                                   {"4MiB", 4194304},
                                                   {"1GiB", 1u << 30},
                                                   {"3kB", 3000},
                                                   {"3KB", 3000},
                                                   {"2TB", 2000000000000},
                                                   {"16777215TiB", 16777215ull << 40},
                                                   {"18446744073709551615", UINT64_MAX}};
  for (const auto& [text, bytes] : good) {
    const auto parsed = ParseSize(text);
    ASSERT_TRUE(parsed.ok()) << text;
    EXPECT_EQ(*parsed, bytes) << text;
    EXPECT_EQ(ParseSize(FormatSize(bytes)).value(), bytes) << text;
  }
  for (const char* bad : {"", "x", "-1", "+1", " 1", "1 ", "1.5MB", "64 KiB", "64kib", "64K", "4mb",
                          "KiB", "18446744073709551616", "16777216TiB", "0x10", "1KiBB"}) {
    EXPECT_FALSE(ParseSize(bad).ok()) << bad;
  }
  EXPECT_EQ(FormatSize(65536), "64KiB");
  EXPECT_EQ(FormatSize(4000000), "4MB");
  EXPECT_EQ(FormatSize(1001), "1001");
  EXPECT_EQ(FormatSize(0), "0");
}

TEST(ValuesTest, DurationsNeedAUnitUnlessZero) {
  const std::pair<const char*, uint64_t> good[] = {{"0", 0},
                                                   {"0s", 0},
                                                   {"500ms", 500000000},
                                                   {"5s", 5000000000},
                                                   {"1h", 3600000000000},
                                                   {"2m", 120000000000},
                                                   {"7us", 7000},
                                                   {"1d", 86400000000000}};
  for (const auto& [text, ns] : good) {
    const auto parsed = ParseDuration(text);
    ASSERT_TRUE(parsed.ok()) << text;
    EXPECT_EQ(*parsed, ns) << text;
    EXPECT_EQ(ParseDuration(FormatDuration(ns)).value(), ns) << text;
  }
  for (const char* bad : {"", "5", "s", "-5s", "1.5s", "5 s", "5S", "1h30m", "5sec", "00x",
                          "18446744073709551615s"}) {
    EXPECT_FALSE(ParseDuration(bad).ok()) << bad;
  }
  EXPECT_EQ(FormatDuration(30000000000), "30s");
  EXPECT_EQ(FormatDuration(60000000000), "60s");
  EXPECT_EQ(FormatDuration(500000000), "500ms");
}

TEST(ValuesTest, IntegersAreSignedAndWhole) {
  EXPECT_EQ(ParseInteger("-9223372036854775808").value(), INT64_MIN);
  EXPECT_EQ(ParseInteger("9223372036854775807").value(), INT64_MAX);
  for (const char* bad : {"", "-", "+1", "1.0", "1e3", "9223372036854775808", "1 "}) {
    EXPECT_FALSE(ParseInteger(bad).ok()) << bad;
  }
}

TEST(ValuesTest, QuotedShowsHostileBytes) {
  EXPECT_EQ(Quoted("a b"), "\"a b\"");
  EXPECT_EQ(Quoted("\n\xff"), "\"\\x0a\\xff\"");
}

TEST(EndpointTest, TakesTextApart) {
  EXPECT_EQ(ParseEndpoint("127.0.0.1:7379")->host, "127.0.0.1");
  EXPECT_EQ(ParseEndpoint("127.0.0.1:7379")->port, 7379);
  EXPECT_EQ(ParseEndpoint("[::1]:65535")->host, "::1");
  EXPECT_EQ(ParseEndpoint("[::1]:65535")->port, 65535);
  EXPECT_EQ(ParseEndpoint("db-1.example.org:0")->host, "db-1.example.org");
  EXPECT_EQ(ParseEndpoint("unix:/run/pakv.sock")->path, "/run/pakv.sock");
  EXPECT_TRUE(ParseEndpoint("unix:x")->is_unix());
}

TEST(EndpointTest, SaysWhatIsWrong) {
  using testing::HasSubstr;
  const std::pair<std::string, const char*> bad[] = {
      {"", "no port"},
      {"localhost", "no port; write HOST:PORT"},
      {"127.0.0.1", "no port"},
      {"127.0.0.1:", "no port after the colon"},
      {"127.0.0.1:65536", "at most 65535"},
      {"127.0.0.1:999999999999999999999", "at most 65535"},
      {"127.0.0.1:http", "the port is no number"},
      {"127.0.0.1:-1", "the port is no number"},
      {"127.0.0.1:+1", "the port is no number"},
      {":7379", "no host"},
      {"::1:7379", "brackets"},
      {"256.0.0.1:1", "not an IPv4 address"},
      {"1.2.3:1", "not an IPv4 address"},
      {"a b:1", "not a host name"},
      {"http://x:1", "brackets"},
      {"[::1]", "no port; write [HOST]:PORT"},
      {"[::1]7379", "no port; write [HOST]:PORT"},
      {"[::1", "no closing bracket"},
      {"[127.0.0.1]:1", "not an IPv6 address"},
      {"[::g]:1", "not an IPv6 address"},
      {"unix:", "no path"},
      {"unix:" + std::string(108, 'x'), "107 bytes"},
      {std::string(254, 'a') + ":1", "too long"}};
  for (const auto& [text, why] : bad) {
    const auto endpoint = ParseEndpoint(text);
    ASSERT_FALSE(endpoint.ok()) << text;
    EXPECT_THAT(std::string(endpoint.status().message()), HasSubstr(why)) << text;
  }
}

TEST(EndpointTest, LoopbackIsThisMachineAlone) {
  for (const char* text : {"127.0.0.1:1", "127.9.8.7:1", "[::1]:1", "[::ffff:127.0.0.1]:1",
                           "localhost:1", "LocalHost:1", "unix:/x"}) {
    EXPECT_TRUE(IsLoopback(*ParseEndpoint(text))) << text;
  }
  for (const char* text : {"0.0.0.0:1", "[::]:1", "10.0.0.1:1", "[::ffff:10.0.0.1]:1",
                           "localhost.example.org:1", "example.org:1", "128.0.0.1:1"}) {
    EXPECT_FALSE(IsLoopback(*ParseEndpoint(text))) << text;
  }
}

}  // namespace
}  // namespace pakv
