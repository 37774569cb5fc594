// A dump's lines, there and back; the address of a Redis; what pakvctl dump prints.
#include "cmd/pakvctl/transfer/dump_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <utility>

#include "cmd/pakvctl/interface/output.h"
#include "cmd/pakvctl/interface/redis_address.h"
#include "runtime/base/prng.h"
#include "tests/cmd/pakvctl/command_test.h"

namespace pakv {
namespace {

using testing::HasSubstr;

std::string Fault(const std::string& line) {
  const auto entry = ParseDumpLine(line);
  return entry.ok() ? "none" : std::string(entry.status().message());
}

TEST(DumpLineTest, StandsAsDocumented) {
  DumpEntry entry;
  entry.key = "k";
  entry.value = "v\n";
  EXPECT_EQ(FormatDumpLine(entry), "{\"namespace\":\"0\",\"key\":\"k\",\"value\":\"v\\n\"}\n");
  entry.key = "\xff";
  entry.value = "\xfe\xff\xff";
  entry.expires_at_ms = 1767225600000;
  entry.lsn = 648518346341351425;
  EXPECT_EQ(FormatDumpLine(entry),
            "{\"namespace\":\"0\",\"key\":\"/w==\",\"key_encoding\":\"base64\",\"value\":\"/v//\","
            "\"encoding\":\"base64\",\"expires_at_ms\":1767225600000,"
            "\"lsn\":\"648518346341351425\"}\n");
}

TEST(DumpLineTest, AnyBytesMakeTheRoundTrip) {
  Prng prng(1);
  for (int round = 0; round < 20'000; ++round) {
    const auto some = [&] {
      std::string bytes;
      // Few different ones, so that UTF-8 is met by chance.
      constexpr std::string_view kBytes("\0\x7f\x80\xbf\xc3\xe2\xed\xf0\xff\"\\/ a", 14);
      for (uint64_t left = prng.Below(8); left > 0; --left) bytes += kBytes[prng.Below(14)];
      return bytes;
    };
    DumpEntry entry;
    entry.name_space = some();
    entry.key = some();
    entry.value = some();
    if (prng.Chance(1, 2)) entry.expires_at_ms = prng.Between(1, INT64_MAX);
    if (prng.Chance(1, 2)) entry.lsn = prng.Between(1, INT64_MAX);
    std::string line = FormatDumpLine(entry);
    ASSERT_EQ(line.find('\n'), line.size() - 1);
    line.pop_back();
    const auto read = ParseDumpLine(line);
    ASSERT_TRUE(read.ok()) << line << ": " << read.status();
    EXPECT_EQ(read->name_space, entry.name_space);
    EXPECT_EQ(read->key, entry.key);
    EXPECT_EQ(read->value, entry.value);
    EXPECT_EQ(read->expires_at_ms, entry.expires_at_ms);
    EXPECT_EQ(read->lsn, entry.lsn);
    // A line that was cut is no line, wherever it was.
    EXPECT_FALSE(ParseDumpLine(line.substr(0, prng.Below(line.size()))).ok());
  }
}

TEST(DumpLineTest, WhatIsNotUnderstoodIsRefusedByName) {
  const std::pair<const char*, const char*> table[] = {
      {"", "not JSON"},
      {"{", "not JSON from its byte 2 on"},
      {"{\"key\":\"\xff\",\"value\":\"\"}", "not JSON"},
      {"[]", "not a JSON object"},
      {"5", "not a JSON object"},
      {"{\"value\":\"v\"}", "there is no \"key\""},
      {"{\"key\":\"k\"}", "there is no \"value\""},
      {"{\"key\":1,\"value\":\"v\"}", "\"key\" is no string"},
      {"{\"key\":\"k\",\"value\":null}", "\"value\" is no string"},
      {"{\"key\":\"k\",\"value\":\"v\",\"Key\":\"k\"}", "\"Key\" is no member"},
      {"{\"key\":\"k\",\"value\":\"v\",\"encoding\":\"hex\"}", "\"encoding\" is not base64"},
      {"{\"key\":\"k\",\"value\":\"v\",\"encoding\":\"base64\"}", "\"value\" is no base64"},
      {"{\"key\":\"k\",\"value\":\"v\",\"namespace_encoding\":\"base64\"}", "without"},
      {"{\"key\":\"k\",\"value\":\"v\",\"namespace\":0}", "\"namespace\" is no string"},
      {"{\"key\":\"k\",\"value\":\"v\",\"expires_at_ms\":0}", "\"expires_at_ms\""},
      {"{\"key\":\"k\",\"value\":\"v\",\"expires_at_ms\":1.5}", "\"expires_at_ms\""},
      {"{\"key\":\"k\",\"value\":\"v\",\"expires_at_ms\":\"1\"}", "\"expires_at_ms\""},
      {"{\"key\":\"k\",\"value\":\"v\",\"expires_at_ms\":9223372036854775808}", "\"expires_at"},
      {"{\"key\":\"k\",\"value\":\"v\",\"lsn\":5}", "\"lsn\" is no LSN in a string"},
      {"{\"key\":\"k\",\"value\":\"v\",\"lsn\":\"x\"}", "\"lsn\" is no LSN in a string"}};
  for (const auto& [line, said] : table) EXPECT_THAT(Fault(line), HasSubstr(said)) << line;
  EXPECT_EQ(Fault("{\"key\":\"\",\"value\":\"\"} "), "none");
}

TEST(Base64Test, TakesWhatItWritesAndNothingElse) {
  for (const char* const text : {"", "AA==", "AAA=", "AAAA", "/+z/", "Zm9vYmFy"}) {
    const auto bytes = FromBase64(text);
    ASSERT_TRUE(bytes) << text;
    EXPECT_EQ(Base64(*bytes), text);
  }
  for (const char* const text : {"A", "AA", "AAA", "A===", "====", "AA=A",
                                 "AB==", "AAB=", "AAAA=", "A A=", "AA-_", "AAAA\n"}) {
    EXPECT_FALSE(FromBase64(text)) << text;
  }
}

TEST(RedisAddressTest, IsTakenApart) {
  auto address = ParseRedisAddress("redis://host");
  ASSERT_TRUE(address.ok()) << address.status();
  EXPECT_EQ(address->endpoint.text, "host:6379");
  EXPECT_EQ(address->database, "0");
  EXPECT_EQ(address->user, "");
  address = ParseRedisAddress("redis://me@[::1]:7/12");
  ASSERT_TRUE(address.ok()) << address.status();
  EXPECT_EQ(address->endpoint.host, "::1");
  EXPECT_EQ(address->endpoint.port, 7);
  EXPECT_EQ(address->user, "me");
  EXPECT_EQ(address->database, "12");
  EXPECT_EQ(ParseRedisAddress("redis://[::1]/")->endpoint.port, 6379);
  const std::pair<const char*, const char*> wrong[] = {{"redis://", "no host"},
                                                       {"redis://h:x", "port"},
                                                       {"redis://h:0", "HOST:PORT"},
                                                       {"redis://h/x", "\"x\" is no number"},
                                                       {"redis://u:p@h", "PAKV_SOURCE"},
                                                       {"rediss://h", "TLS"},
                                                       {"redis://unix:/p", "\"p\" is no number"},
                                                       {"redis://h/-1", "no number"}};
  for (const auto& [text, said] : wrong) {
    const auto parsed = ParseRedisAddress(text);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_THAT(std::string(parsed.status().message()), HasSubstr(said)) << text;
  }
  EXPECT_FALSE(IsRedisAddress("redis.json"));
}

class DumpTest : public CommandTest {};

TEST_F(DumpTest, GoesThroughAllPages) {
  for (const char* const key : {"a1", "a2", "a3", "b1", "b2"}) {
    client_.values[key] = {.bytes = "v", .lsn = 7, .ttl_ms = std::nullopt};
  }
  client_.values["b2"].ttl_ms = 99;
  EXPECT_EQ(Run({"dump"}), 0);
  EXPECT_EQ(std::count(out_.begin(), out_.end(), '\n'), 5);
  EXPECT_THAT(out_, HasSubstr("{\"namespace\":\"0\",\"key\":\"b2\",\"value\":\"v\","
                              "\"expires_at_ms\":99,\"lsn\":\"7\"}\n"));
  EXPECT_THAT(err_, HasSubstr("pakvctl: 5 keys, "));
  EXPECT_EQ(Run({"dump", "-", "a"}), 0);
  EXPECT_EQ(std::count(out_.begin(), out_.end(), '\n'), 3);
}

TEST_F(DumpTest, OfAllNamespacesEachLineNamesItsOwn) {
  client_.values["a"] = {.bytes = "of 0", .lsn = 7};
  client_.others["orders"] = {{"a1", {.bytes = "1", .lsn = 8}},
                              {"a2", {.bytes = "2", .lsn = 8}},
                              {"b", {.bytes = "3", .lsn = 8}}};
  client_.others["gr\xc3\xbcn\n"] = {{"long", {.bytes = "too long", .lsn = 9}}};
  client_.namespaces = {{"0", 1}, {"gr\xc3\xbcn\n", 1}, {"orders", 3}, {"none left", 0}};
  client_.page_value_bytes_max = 5;
  EXPECT_EQ(Run({"dump", "--all"}), 0);
  EXPECT_EQ(out_,
            "{\"namespace\":\"0\",\"key\":\"a\",\"value\":\"of 0\",\"lsn\":\"7\"}\n"
            "{\"namespace\":\"gr\xc3\xbcn\\n\",\"key\":\"long\",\"encoding\":\"base64\","
            "\"value\":\"" +
                Base64("too long") +
                "\",\"lsn\":\"9\"}\n"
                "{\"namespace\":\"orders\",\"key\":\"a1\",\"value\":\"1\",\"lsn\":\"8\"}\n"
                "{\"namespace\":\"orders\",\"key\":\"a2\",\"value\":\"2\",\"lsn\":\"8\"}\n"
                "{\"namespace\":\"orders\",\"key\":\"b\",\"value\":\"3\",\"lsn\":\"8\"}\n");
  EXPECT_THAT(err_, HasSubstr("pakvctl: 5 keys, "));
  // A prefix goes for each; without --all nothing of the others is there.
  EXPECT_EQ(Run({"dump", "--all", "-", "a"}), 0);
  EXPECT_EQ(std::count(out_.begin(), out_.end(), '\n'), 3);
  client_.UseNamespace("0");
  EXPECT_EQ(Run({"dump"}), 0);
  EXPECT_EQ(std::count(out_.begin(), out_.end(), '\n'), 1);
}

TEST_F(DumpTest, OfAllNamespacesOneThatBreaksOffIsNotWhole) {
  client_.values["a"] = {.bytes = "of 0", .lsn = 7};
  client_.others["orders"] = {{"a1", {}}, {"a2", {}}, {"a3", {}}};
  client_.failing_cursor = "a2";
  client_.failure.fault = ClientFault::kConnectionLost;
  client_.failure.text = "gone";
  EXPECT_EQ(Run({"dump", "--all"}), 3) << "the list of namespaces is asked for first";
  EXPECT_EQ(out_, "");
  EXPECT_THAT(err_, HasSubstr("the dump ends after 0 keys, 0 bytes; it is not whole"));
}

TEST_F(DumpTest, AValueThatNoPageBringsStandsAsBase64) {
  client_.page_value_bytes_max = 10;
  client_.values["a"] = {.bytes = "short", .lsn = 7};
  client_.values["b"] = {.bytes = "long, and UTF-8", .lsn = 8, .ttl_ms = 50};
  client_.values["b"].expires_at_ms = 99;
  EXPECT_EQ(Run({"dump"}), 0);
  EXPECT_EQ(out_,
            "{\"namespace\":\"0\",\"key\":\"a\",\"value\":\"short\",\"lsn\":\"7\"}\n"
            "{\"namespace\":\"0\",\"key\":\"b\",\"encoding\":\"base64\",\"value\":\"" +
                Base64("long, and UTF-8") + "\",\"expires_at_ms\":99,\"lsn\":\"8\"}\n");
  EXPECT_THAT(err_, HasSubstr("pakvctl: 2 keys, "));
  // One that breaks off ends the dump.
  client_.failure.fault = ClientFault::kConnectionLost;
  client_.failure.text = "gone";
  EXPECT_EQ(Run({"dump"}), 3);
  EXPECT_THAT(err_, HasSubstr("the dump ends after 1 key,"));
}

TEST_F(DumpTest, OneThatIsNotWholeSaysSoAndLeavesTheFileBeforeIt) {
  for (const char* const key : {"a1", "a2", "a3"}) client_.values[key] = {.bytes = "v"};
  const std::string path = testing::TempDir() + "/pakv_dump_test";
  EXPECT_EQ(Run({"dump", path}), 0) << err_;
  client_.failing_cursor = "a2";
  client_.failure.fault = ClientFault::kConnectionLost;
  client_.failure.text = "gone";
  client_.values["a1"].bytes = "changed";
  EXPECT_EQ(Run({"dump", path}), 3);
  EXPECT_THAT(err_, HasSubstr("the dump ends after 2 keys"));
  EXPECT_THAT(err_, HasSubstr("not whole\npakvctl: gone\n"));
  std::stringstream before;
  before << std::ifstream(path).rdbuf();
  EXPECT_THAT(before.str(), HasSubstr("a3"));
  EXPECT_EQ(before.str().find("changed"), std::string::npos);
  EXPECT_FALSE(std::ifstream(path + ".part").is_open());
  std::remove(path.c_str());
}

}  // namespace
}  // namespace pakv
