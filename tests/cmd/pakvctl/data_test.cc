// cmd/pakvctl/commands/data: what the commands print and which exit code they end with, against a
// map in place of a server.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "cmd/pakvctl/interface/output.h"
#include "tests/cmd/pakvctl/command_test.h"

namespace pakv {
namespace {

using testing::HasSubstr;

ClientError Refused(PakvStatus status, const std::string& text) {
  ClientError error;
  error.fault = ClientFault::kRefused;
  error.status = status;
  error.text = text;
  return error;
}

class DataTest : public CommandTest {};

TEST_F(DataTest, ATerminalIsShownWhatItWouldObey) {
  const std::string key = "k\n\x1b[2J";
  client_.values[key] = {"1\n\t\x1b[2J\xff\xc3\xa4", 7, std::nullopt};
  EXPECT_EQ(Run({"scan"}), 0);
  EXPECT_EQ(out_, key + "\n");
  EXPECT_EQ(Run({"get", key}), 0);
  EXPECT_EQ(out_, client_.values[key].bytes + "\n");
  out_is_terminal_ = true;
  EXPECT_EQ(Run({"scan"}), 0);
  EXPECT_EQ(out_, "k\\x0a\\x1b[2J\n");
  EXPECT_EQ(Run({"get", key}), 0);
  EXPECT_EQ(out_, "1\n\t\\x1b[2J\\xff\xc3\xa4\n");
  EXPECT_EQ(Run({"get", key, "-o", "raw"}), 0);
  EXPECT_EQ(out_, client_.values[key].bytes) << "raw is raw";
  EXPECT_EQ(Run({"rm", key, "--old"}), 0);
  EXPECT_EQ(out_, "OK old value: 1\n\t\\x1b[2J\\xff\xc3\xa4\n");
}

TEST(ValuePrinterTest, ACharacterMayBeCutByPieces) {
  const std::string value = "a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\x1b\xe2\x82";
  for (size_t first = 0; first <= value.size(); ++first) {
    for (size_t second = first; second <= value.size(); ++second) {
      std::ostringstream out;
      ValuePrinter values(out, /*out_is_terminal=*/true);
      values.Put(value.substr(0, first));
      values.Put(value.substr(first, second - first));
      values.Put(value.substr(second));
      values.End();
      EXPECT_EQ(out.str(), "a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\\x1b\\xe2\\x82")
          << first << ' ' << second;
    }
  }
}

TEST_F(DataTest, SetSaysOkOnce) {
  EXPECT_EQ(Run({"set", "k", "v"}), 0);
  EXPECT_EQ(out_, "OK\n");
  EXPECT_EQ(err_, "");
  EXPECT_EQ(client_.values["k"].bytes, "v");
  EXPECT_EQ(Run({"-q", "set", "k", "w"}), 0);
  EXPECT_EQ(out_, "");
  EXPECT_EQ(Run({"set", "k", "x", "--old"}), 0);
  EXPECT_EQ(out_, "OK old value: w\n");
  EXPECT_EQ(Run({"set", "new", "x", "--old"}), 0);
  EXPECT_EQ(out_, "OK\n");
}

TEST_F(DataTest, TtlPrintsSeconds) {
  EXPECT_EQ(Run({"set", "k", "v", "--ttl", "89500ms"}), 0);
  EXPECT_EQ(Run({"ttl", "k"}), 0);
  EXPECT_EQ(out_, "90\n");
  EXPECT_EQ(Run({"ttl", "k", "-o", "json"}), 0);
  EXPECT_EQ(out_, "{\"key\":\"k\",\"ttl_ms\":89500}\n");
  EXPECT_EQ(Run({"set", "k", "v"}), 0);
  EXPECT_EQ(Run({"ttl", "k"}), 0);
  EXPECT_EQ(out_, "-1\n");
  EXPECT_EQ(Run({"ttl", "k", "-o", "json"}), 0);
  EXPECT_EQ(out_, "{\"key\":\"k\",\"ttl_ms\":null}\n");
  EXPECT_EQ(Run({"ttl", "none"}), 1);
  EXPECT_EQ(out_, "");
  EXPECT_EQ(err_, "Key not found\n");
}

TEST_F(DataTest, SetReadsStdinByteForByte) {
  std::string bytes(200000, 'x');
  bytes += std::string("\0\r\n\xff", 4);
  EXPECT_EQ(Run({"set", "k", "-"}, bytes), 0);
  EXPECT_EQ(client_.values["k"].bytes, bytes);
  EXPECT_EQ(Run({"set", "k", "-"}, ""), 0);
  EXPECT_EQ(client_.values["k"].bytes, "");
}

TEST_F(DataTest, GetReadsAValueThatNoFrameHoldsByItself) {
  client_.values = {{"a", {"1", 1}}, {"long", {"lo\0ng\n", 2}}, {"b", {"2", 3}}};
  client_.values["long"].bytes = std::string("lo\0ng\n", 6);
  client_.failing_key = "long";
  client_.failing_key_error = Refused(PakvStatus::kValueTooLong, "works in memory");
  EXPECT_EQ(Run({"get", "a", "long", "b"}), 0);
  EXPECT_EQ(out_, std::string("1\nlo\0ng\n\n2\n", 11));
  EXPECT_EQ(err_, "");
  EXPECT_EQ(Run({"-o", "json", "get", "long"}), 0);
  EXPECT_EQ(out_, "[{\"key\":\"long\",\"value\":\"lo\\u0000ng\\n\",\"lsn\":\"2\"}]\n");
  // One that breaks off half-way is an error, whatever was printed.
  client_.failure = Refused(PakvStatus::kDamaged, "a chunk's checksum is wrong");
  EXPECT_EQ(Run({"get", "long", "-o", "raw"}), 5);
  EXPECT_EQ(out_, std::string("lo\0", 3));
  EXPECT_THAT(err_, HasSubstr("checksum"));
}

TEST_F(DataTest, FailedConditionIsExitOneAndSilentOnStdout) {
  client_.values["k"] = {"v", 7};
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"set", "k", "w", "--if-absent"},
        {"set", "none", "w", "--if-present"},
        {"set", "k", "w", "--if-version", "8"},
        {"-o", "json", "set", "k", "w", "--if-absent"}}) {
    EXPECT_EQ(Run(words), 1);
    EXPECT_EQ(out_, "");
    EXPECT_EQ(err_, "Condition not met\n");
  }
  EXPECT_EQ(client_.values["k"].bytes, "v");
  EXPECT_EQ(Run({"set", "k", "w", "--if-version", "7"}), 0);
}

TEST_F(DataTest, GetPrintsOneValuePerLineInOrder) {
  client_.values = {{"a", {"1", 1}}, {"b", {"2 2", 2}}};
  EXPECT_EQ(Run({"get", "b", "a", "b"}), 0);
  EXPECT_EQ(out_, "2 2\n1\n2 2\n");
  EXPECT_EQ(err_, "");
}

TEST_F(DataTest, GetNamesMissingKeysIfThereAreSeveral) {
  client_.values = {{"a", {"1", 1}}, {"b", {"2", 2}}};
  EXPECT_EQ(Run({"get", "x"}), 1);
  EXPECT_EQ(out_, "");
  EXPECT_EQ(err_, "Key not found\n");
  EXPECT_EQ(Run({"get", "a", "x\n", "b", "y"}), 1);
  EXPECT_EQ(out_, "1\n2\n");
  EXPECT_EQ(err_, "Key not found: x\\x0a\nKey not found: y\n");
}

TEST_F(DataTest, RawIsTheBytesAlone) {
  client_.values["k"] = {std::string("\0\xff\n", 3), 1};
  EXPECT_EQ(Run({"-o", "raw", "get", "k"}), 0);
  EXPECT_EQ(out_, std::string("\0\xff\n", 3));
  EXPECT_EQ(Run({"get", "k", "-o", "raw"}), 0);
  EXPECT_EQ(Run({"get", "x", "-o", "raw"}), 1);
  EXPECT_EQ(out_, "");
}

TEST_F(DataTest, JsonGetHasLsnsAsStringsAndBase64ForOtherBytes) {
  client_.values = {{"a", {"grün\n\"", uint64_t{1} << 62}},
                    {"b", {std::string("\xff\0\x01\x02", 4), 2}},
                    {"\xfe", {"x", 3}}};
  EXPECT_EQ(Run({"-o", "json", "get", "a", "b", "missing", "\xfe"}), 1);
  const auto array = nlohmann::json::parse(out_);
  ASSERT_EQ(array.size(), 3u);
  EXPECT_EQ(array[0],
            (nlohmann::json{{"key", "a"}, {"value", "grün\n\""}, {"lsn", "4611686018427387904"}}));
  EXPECT_EQ(
      array[1],
      (nlohmann::json{{"key", "b"}, {"value", "/wABAg=="}, {"encoding", "base64"}, {"lsn", "2"}}));
  EXPECT_EQ(
      array[2],
      (nlohmann::json{{"key", "/g=="}, {"key_encoding", "base64"}, {"value", "x"}, {"lsn", "3"}}));
  EXPECT_EQ(err_, "Key not found: missing\n");
  EXPECT_EQ(Run({"-o", "json", "get", "missing"}), 1);
  EXPECT_EQ(out_, "[]\n");
}

TEST_F(DataTest, WhatIsMissingIsToldBehindTheJsonArray) {
  client_.values = {{"a", {"1", 1}}, {"b", {"2", 2}}};
  one_stream_ = true;
  const std::string told = "]\nKey not found: none\n";
  for (const char* command : {"get", "rm"}) {
    EXPECT_EQ(Run({"-o", "json", command, "a", "none", "b"}), 1);
    ASSERT_TRUE(out_.ends_with(told)) << out_;
    EXPECT_EQ(nlohmann::json::parse(out_.substr(0, out_.size() - told.size() + 1)).size(), 2u);
  }
  EXPECT_EQ(Run({"-o", "json", "-q", "rm", "a", "none"}), 1);
  EXPECT_EQ(out_, "Key not found: a\nKey not found: none\n");
  EXPECT_EQ(Run({"-o", "json", "ttl", "none"}), 1);
  EXPECT_EQ(out_, "Key not found\n");
}

TEST_F(DataTest, ManyKeysTravelInBatches) {
  std::vector<std::string> words = {"get"};
  std::string expected;
  for (int i = 0; i < 150; ++i) {
    const std::string key = "k" + std::to_string(i);
    client_.values[key] = {key, 1};
    words.push_back(key);
    expected += key + "\n";
  }
  EXPECT_EQ(Run(words), 0);
  EXPECT_EQ(out_, expected);
  EXPECT_EQ(client_.batches, (std::vector<size_t>{64, 64, 22}));
}

TEST_F(DataTest, ARefusedKeyHidesNoOther) {
  client_.values = {{"a", {"1", 1}}, {"c", {"3", 3}}};
  client_.failing_key = "b";
  client_.failure = Refused(PakvStatus::kDamaged, "damaged");
  EXPECT_EQ(Run({"get", "a", "b", "c", "d"}), 5);
  EXPECT_EQ(out_, "1\n3\n");
  EXPECT_EQ(err_, "pakvctl: damaged\nKey not found: d\n");
  client_.failure.fault = ClientFault::kConnectionLost;
  EXPECT_EQ(Run({"get", "a", "b", "c", "d"}), 3);
  EXPECT_EQ(out_, "1\n");
}

TEST_F(DataTest, RemoveTellsOfEachKey) {
  client_.values = {{"a", {"1", 1}}, {"b", {"2", 2}}, {"c", {"3", 3}}, {"d", {"4", 4}}};
  EXPECT_EQ(Run({"rm", "a"}), 0);
  EXPECT_EQ(out_, "OK\n");
  EXPECT_EQ(Run({"rm", "a"}), 1);
  EXPECT_EQ(out_, "");
  EXPECT_EQ(err_, "Key not found\n");
  EXPECT_EQ(Run({"rm", "--old", "b"}), 0);
  EXPECT_EQ(out_, "OK old value: 2\n");
  EXPECT_EQ(Run({"rm", "-q", "c"}), 0);
  EXPECT_EQ(out_, "");
  EXPECT_EQ(Run({"-o", "json", "rm", "d", "a", "--old"}), 1);
  EXPECT_EQ(nlohmann::json::parse(out_)[0]["old_value"], "4");
  EXPECT_EQ(err_, "Key not found: a\n");
  EXPECT_TRUE(client_.values.empty());
}

TEST_F(DataTest, IncrPrintsTheNewValue) {
  EXPECT_EQ(Run({"incr", "n"}), 0);
  EXPECT_EQ(out_, "1\n");
  EXPECT_EQ(Run({"incr", "n", "-11"}), 0);
  EXPECT_EQ(out_, "-10\n");
  EXPECT_EQ(Run({"-o", "json", "incr", "n"}), 0);
  EXPECT_EQ(nlohmann::json::parse(out_)["value"], "-9");
}

TEST_F(DataTest, ScanFollowsCursorsToItsLimit) {
  for (const char* key : {"a", "p1", "p2", "p3", "p4", "p5", "z"}) client_.values[key] = {"", 1};
  EXPECT_EQ(Run({"scan"}), 0);
  EXPECT_EQ(out_, "a\np1\np2\np3\np4\np5\nz\n");
  EXPECT_EQ(Run({"scan", "p"}), 0);
  EXPECT_EQ(out_, "p1\np2\np3\np4\np5\n");
  client_.limits.clear();
  EXPECT_EQ(Run({"scan", "p", "--limit", "3"}), 0);
  EXPECT_EQ(out_, "p1\np2\np3\n");
  EXPECT_EQ(client_.limits, (std::vector<uint64_t>{3, 1}));
  EXPECT_EQ(Run({"scan", "none"}), 0);
  EXPECT_EQ(out_, "");
  client_.values["p\xff"] = {"", 1};
  EXPECT_EQ(Run({"-o", "json", "scan", "p"}), 0);
  const auto array = nlohmann::json::parse(out_);
  EXPECT_EQ(array.size(), 6u);
  EXPECT_EQ(array[0]["key"], "p1");
  EXPECT_EQ(array[5]["key"], "cP8=");
  EXPECT_EQ(Run({"-o", "json", "scan", "none"}), 0);
  EXPECT_EQ(out_, "[]\n");
}

TEST_F(DataTest, PingAndStatsPrintNumbers) {
  EXPECT_EQ(Run({"ping", "-c", "2"}), 0);
  EXPECT_EQ(out_, "PONG 1.235 ms\nPONG 1.235 ms\n");
  EXPECT_EQ(Run({"-o", "json", "ping"}), 0);
  EXPECT_NEAR(nlohmann::json::parse(out_)[0]["round_trip_us"].get<double>(), 1234.567, 1e-6);
  EXPECT_EQ(Run({"stats"}), 0);
  EXPECT_EQ(out_, "keys 3\nwrites -1\n");
  EXPECT_EQ(Run({"-o", "json", "stats"}), 0);
  EXPECT_EQ(nlohmann::json::parse(out_), (nlohmann::json{{"keys", 3}, {"writes", -1}}));
}

TEST_F(DataTest, ErrorsHaveTheirExitCodes) {
  const std::pair<ClientFault, int> faults[] = {{ClientFault::kConnect, 3},
                                                {ClientFault::kTimeout, 3},
                                                {ClientFault::kConnectionLost, 3},
                                                {ClientFault::kProtocol, 5},
                                                {ClientFault::kHeldTooMuch, 5}};
  for (const auto& [fault, exit_code] : faults) {
    client_.failure = {.fault = fault, .text = "told\x1b[2J"};
    EXPECT_EQ(Run({"ping"}), exit_code);
    EXPECT_EQ(out_, "");
    EXPECT_EQ(err_, "pakvctl: told\\x1b[2J\n");
  }
  const std::pair<PakvStatus, int> statuses[] = {
      {PakvStatus::kNotAnInteger, 4}, {PakvStatus::kNoRight, 4},  {PakvStatus::kReadOnly, 4},
      {PakvStatus::kValueTooLong, 4}, {PakvStatus::kDamaged, 5},  {PakvStatus::kUnknownOutcome, 5},
      {PakvStatus::kMalformed, 5},    {PakvStatus::kInternal, 5}, {PakvStatus::kDiskFull, 4}};
  for (const auto& [status, exit_code] : statuses) {
    client_.failure = Refused(status, "no");
    EXPECT_EQ(Run({"incr", "k"}), exit_code);
    EXPECT_EQ(Run({"set", "k", "v"}), exit_code);
    EXPECT_EQ(out_, "");
  }
  client_.failure = {
      .fault = ClientFault::kTimeout, .outcome_unknown = true, .text = "no reply within 30s"};
  EXPECT_EQ(Run({"set", "k", "v"}), 3);
  EXPECT_THAT(err_, HasSubstr("may have taken effect"));
}

TEST_F(DataTest, UnwritableStdoutIsAnError) {
  client_.values["k"] = {"v", 1};
  std::istringstream in;
  std::ostringstream err;
  std::ostream out(nullptr);
  const CtlCommandLine line = ParseCommandLine({"get", "k"}, {});
  EXPECT_EQ(RunCommand(line.request, client_, {in, out, err}), 5);
  EXPECT_EQ(err.str(), "pakvctl: stdout cannot be written\n");
}

TEST(OutputTest, Base64MatchesRfc4648Vectors) {
  const std::pair<const char*, const char*> vectors[] = {{"", ""},
                                                         {"f", "Zg=="},
                                                         {"fo", "Zm8="},
                                                         {"foo", "Zm9v"},
                                                         {"foob", "Zm9vYg=="},
                                                         {"fooba", "Zm9vYmE="},
                                                         {"foobar", "Zm9vYmFy"}};
  for (const auto& [bytes, text] : vectors) EXPECT_EQ(Base64(bytes), text);
}

}  // namespace
}  // namespace pakv
