// cmd/pakvctl/transfer/long_line: lines of a dump that are too long to be held, cut anywhere.
#include "cmd/pakvctl/transfer/long_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cmd/pakvctl/interface/output.h"

namespace pakv {
namespace {

using testing::HasSubstr;

std::string ValueOf(size_t length) {
  std::string value(length, '\0');
  for (size_t i = 0; i < length; ++i) value[i] = static_cast<char>(i * 7 + i / 256);
  return value;
}

// The value, or what is wrong. The first piece has `first` bytes, the others `piece`.
std::string Take(std::string_view line, size_t first, size_t piece, DumpEntry& entry) {
  LongLine taken;
  std::string value;
  for (size_t length = first; !line.empty(); length = piece) {
    const std::string_view bytes = line.substr(0, length);
    if (!taken.Put(bytes, value)) return taken.error();
    line.remove_prefix(bytes.size());
  }
  auto end = taken.End();
  if (!end.ok()) return std::string(end.status().message());
  entry = *std::move(end);
  EXPECT_EQ(entry.value, "");
  return value;
}

TEST(LongLineTest, WhatDumpWritesIsReadWhateverTheCuts) {
  DumpEntry written;
  written.key = std::string("k\0\xff \"value\":\"", 13);
  written.expires_at_ms = 1767225600000;
  written.lsn = 7;
  for (size_t length = 1; length < 12; ++length) {
    const std::string value = ValueOf(length);
    Base64Encoder encoder;
    std::string digits;
    for (size_t at = 0; at < length; at += 5) digits += encoder.Put(value.substr(at, 5));
    digits += encoder.End();
    EXPECT_EQ(digits, Base64(value));
    const std::string head = DumpLineHead(written);
    std::string line = head + digits + DumpLineTail(written);
    ASSERT_EQ(line.back(), '\n');
    line.pop_back();
    // It reads as a line that is held does.
    const auto whole = ParseDumpLine(line);
    ASSERT_TRUE(whole.ok()) << whole.status();
    EXPECT_EQ(whole->value, value);
    for (size_t piece = 1; piece < 10; ++piece) {
      for (size_t first = head.size(); first <= line.size(); ++first) {
        DumpEntry entry;
        EXPECT_EQ(Take(line, first, piece, entry), value);
        EXPECT_EQ(entry.key, written.key);
        EXPECT_EQ(entry.expires_at_ms, written.expires_at_ms);
        EXPECT_EQ(entry.lsn, 7u);
      }
    }
  }
}

TEST(LongLineTest, OtherMembersStandWhereTheyLike) {
  const std::string digits = Base64(ValueOf(100));
  for (const std::string& line :
       {" { \"encoding\" : \"base64\" , \"value\" : \"" + digits + "\" , \"key\" : \"k\" } ",
        "{\"expires_at_ms\":5,\"encoding\":\"base64\",\"key\":\"k\",\"value\":\"" + digits + "\"}",
        "{\"key\":\"k\",\"encoding\":\"base64\",\"value\":\"" + digits +
            "\",\"expires_at_ms\":5}"}) {
    DumpEntry entry;
    EXPECT_EQ(Take(line, line.find(digits) + 9, 10, entry), ValueOf(100)) << line;
    EXPECT_EQ(entry.key, "k");
  }
}

TEST(LongLineTest, WhatCannotBeTakenIsTold) {
  const std::string long_text(200, 'A');
  const std::vector<std::pair<std::string, std::string>> table = {
      {"{\"key\":\"k\",\"value\":\"" + long_text, "too long to be held"},
      {"{\"key\":\"k\",\"value\":\"" + long_text + "\",\"encoding\":\"base64\"}", "before it"},
      {"{\"key\":\"" + long_text + "\"}", "too long to be held"},
      {"[" + long_text, "too long to be held"},
      {"{\"key\":{\"a\":\"" + long_text, "too long to be held"},
      {"{\"key\":\"k\",\"encoding\":\"hex\",\"value\":\"" + long_text, "too long to be held"},
      {"{\"encoding\":\"base64\",\"value\":\"" + long_text + "\"}", "there is no \"key\""},
      {"{\"key\":\"k\",\"encoding\":\"base64\",\"value\":\"" + long_text + "\",\"x\":1}",
       "is no member"},
      {"{\"key\":\"k\",\"encoding\":\"base64\",\"value\":\"" + long_text, "ends within its value"},
      {"{\"key\":\"k\",\"encoding\":\"base64\",\"value\":\"" + long_text + "A\"}", "is no base64"},
      {"{\"key\":\"k\",\"encoding\":\"base64\",\"value\":\"AA==" + long_text + "\"}",
       "is no base64"},
      {"{\"key\":\"k\",\"encoding\":\"base64\",\"value\":\"" + long_text + "\\/AA\"}",
       "is no base64"},
      {"{\"key\":\"k\",\"encoding\":\"base64\",\"value\":\"" + long_text + "\"", "not JSON"},
      {"{\"key\":\"k\",\"encoding\":\"base64\",\"value\":\"" + long_text + "\",\"lsn\":\"" +
           std::string(2 << 20, '1'),
       "more than a value"}};
  for (const auto& [line, told] : table) {
    for (const size_t piece : {size_t{3}, size_t{4}, size_t{100'000}}) {
      DumpEntry entry;
      EXPECT_THAT(Take(line, 60, piece, entry), HasSubstr(told)) << line.substr(0, 300);
    }
  }
}

}  // namespace
}  // namespace pakv
