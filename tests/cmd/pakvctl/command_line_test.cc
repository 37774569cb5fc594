// cmd/pakvctl/interface/command_line: what users and scripts type. Keys and values may be any
// bytes, also such that mean something to the parsing library.
#include "cmd/pakvctl/interface/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace pakv {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

using Words = std::vector<std::string>;
using Environment = std::map<std::string, std::string, std::less<>>;

CtlRequest Good(const Words& words, const Environment& environment = {}) {
  const CtlCommandLine line = ParseCommandLine(words, environment);
  EXPECT_EQ(line.exit_code, std::nullopt) << line.stderr_text;
  EXPECT_EQ(line.stdout_text + line.stderr_text, "");
  return line.request;
}

std::string Refusal(const Words& words, const Environment& environment = {}) {
  const CtlCommandLine line = ParseCommandLine(words, environment);
  EXPECT_EQ(line.exit_code, 2) << testing::PrintToString(words);
  EXPECT_EQ(line.stdout_text, "");
  EXPECT_THAT(line.stderr_text, HasSubstr("usage: pakvctl"));
  return line.stderr_text;
}

TEST(CommandLineTest, CommandsHaveTheirDefaults) {
  const CtlRequest set = Good({"set", "k", "v"});
  EXPECT_EQ(set.command, CtlCommand::kSet);
  EXPECT_THAT(set.keys, ElementsAre("k"));
  EXPECT_EQ(set.value, "v");
  EXPECT_FALSE(set.value_from_stdin || set.return_old || set.quiet);
  EXPECT_EQ(set.condition, ClientCondition::kNone);
  EXPECT_EQ(set.output, CtlOutput::kText);
  EXPECT_EQ(set.name_space, "0");
  ASSERT_EQ(set.endpoints.size(), 1u);
  EXPECT_EQ(set.endpoints[0].text, "127.0.0.1:7379");

  EXPECT_THAT(Good({"get", "a", "b", "a"}).keys, ElementsAre("a", "b", "a"));
  EXPECT_THAT(Good({"rm", "a"}).keys, ElementsAre("a"));
  EXPECT_EQ(Good({"incr", "a"}).delta, 1);
  EXPECT_EQ(Good({"scan"}).command, CtlCommand::kScan);
  EXPECT_TRUE(Good({"scan"}).keys.empty());
  EXPECT_EQ(Good({"scan"}).limit, std::nullopt);
  EXPECT_EQ(Good({"ping"}).ping_count, 1u);
  EXPECT_EQ(Good({"stats"}).command, CtlCommand::kStats);
  EXPECT_EQ(Good({"check"}).command, CtlCommand::kCheck);
  EXPECT_EQ(Good({"compact"}).gain_percent, 10u);
  EXPECT_EQ(Good({"namespace", "list"}).command, CtlCommand::kNamespaceList);
  EXPECT_EQ(Good({"namespace", "drop", "orders"}).command, CtlCommand::kNamespaceDrop);
  EXPECT_EQ(Good({"namespace", "drop", "orders"}).name_space, "orders");
  EXPECT_EQ(Good({"client", "list"}).command, CtlCommand::kClientList);
  EXPECT_EQ(Good({"client", "kill", "7"}).command, CtlCommand::kClientKill);
  EXPECT_EQ(Good({"client", "kill", "10.0.0.9:7"}).connection, "10.0.0.9:7");
  EXPECT_EQ(Good({"compact", "--gain", "100"}).gain_percent, 100u);
}

TEST(CommandLineTest, CommandsTakeTheirOptionsAnywhere) {
  for (const Words& words :
       {Words{"set", "k", "v", "--old", "--if-version", "9223372036854775807"},
        Words{"set", "--old", "k", "--if-version=9223372036854775807", "v"},
        Words{"set", "--if-version", "9223372036854775807", "--old", "--", "k", "v"}}) {
    const CtlRequest set = Good(words);
    EXPECT_EQ(set.condition, ClientCondition::kIfVersion);
    EXPECT_EQ(set.version, INT64_MAX);
    EXPECT_TRUE(set.return_old);
    EXPECT_EQ(set.keys[0] + set.value, "kv");
  }
  EXPECT_EQ(Good({"set", "k", "v", "--if-absent"}).condition, ClientCondition::kIfAbsent);
  EXPECT_EQ(Good({"set", "k", "v", "--if-present"}).condition, ClientCondition::kIfPresent);
  EXPECT_EQ(Good({"set", "k", "v", "--ttl", "90s"}).ttl_ms, 90'000u);
  EXPECT_EQ(Good({"set", "--ttl=1ms", "k", "v"}).ttl_ms, 1u);
  EXPECT_EQ(Good({"ttl", "k"}).command, CtlCommand::kTtl);
  EXPECT_TRUE(Good({"rm", "--old", "a", "b"}).return_old);
  EXPECT_THAT(Good({"rm", "a", "--old", "b"}).keys, ElementsAre("a", "b"));
  EXPECT_EQ(Good({"incr", "k", "-5"}).delta, -5);
  EXPECT_EQ(Good({"incr", "k", "9223372036854775807"}).delta, INT64_MAX);
  EXPECT_THAT(Good({"scan", "user:", "--limit", "7"}).keys, ElementsAre("user:"));
  EXPECT_EQ(Good({"scan", "--limit=7"}).limit, 7u);
  EXPECT_EQ(Good({"ping", "-c", "3"}).ping_count, 3u);
  EXPECT_EQ(Good({"ping", "-c3"}).ping_count, 3u);
  EXPECT_TRUE(Good({"dump", "--all"}).all_namespaces);
  EXPECT_EQ(Good({"dump", "all.jsonl", "--all", "user:"}).prefix, "user:");
  EXPECT_FALSE(Good({"dump"}).all_namespaces);
  EXPECT_TRUE(Good({"load", "--all", "all.jsonl"}).all_namespaces);
}

TEST(CommandLineTest, GlobalOptionsStandBeforeOrAfterTheCommand) {
  for (const Words& words : {Words{"-q", "-o", "json", "--addr", "[::1]:1", "-n", "0", "get", "k"},
                             Words{"get", "-q", "-o", "json", "--addr", "[::1]:1", "-n", "0", "k"},
                             Words{"get", "k", "-q", "-ojson", "--addr=[::1]:1", "-n0"},
                             Words{"-q", "get", "-o", "json", "k", "--addr", "[::1]:1"}}) {
    const CtlRequest get = Good(words);
    EXPECT_TRUE(get.quiet);
    EXPECT_EQ(get.output, CtlOutput::kJson);
    EXPECT_EQ(get.endpoints[0].text, "[::1]:1");
    EXPECT_THAT(get.keys, ElementsAre("k"));
  }
}

TEST(CommandLineTest, AnyBytesAreAKey) {
  const std::string every = [] {
    std::string bytes;
    for (int byte = 1; byte < 256; ++byte) bytes += static_cast<char>(byte);
    return bytes;
  }();
  for (const std::string& key : Words{"",
                                      "{}",
                                      "[]",
                                      "[a,b]",
                                      "%%",
                                      "a b",
                                      "'x'",
                                      "\"x\"",
                                      "++",
                                      "@0",
                                      "\x01"
                                      "0\x01",
                                      "\x01",
                                      "get",
                                      "set",
                                      "scan",
                                      "ping",
                                      "true",
                                      "a=b",
                                      "=",
                                      "-",
                                      "-5",
                                      "\n",
                                      "\xff\xfe",
                                      every}) {
    EXPECT_THAT(Good({"get", key}).keys, ElementsAre(key));
    EXPECT_THAT(Good({"get", "--", key, "x", key}).keys, ElementsAre(key, "x", key));
    EXPECT_THAT(Good({"get", "x", key, "-q"}).keys, ElementsAre("x", key));
    const CtlRequest set = Good({"set", key, key});
    EXPECT_THAT(set.keys, ElementsAre(key));
    EXPECT_EQ(set.value, key);
    EXPECT_THAT(Good({"scan", key}).keys, ElementsAre(key));
  }
}

TEST(CommandLineTest, TwoDashesEndOptions) {
  EXPECT_THAT(Good({"get", "--", "--old", "-x", "--", "-q"}).keys,
              ElementsAre("--old", "-x", "--", "-q"));
  EXPECT_THAT(Good({"get", "a", "--", "-b"}).keys, ElementsAre("a", "-b"));
  EXPECT_FALSE(Good({"get", "a", "--", "-q"}).quiet);
  EXPECT_EQ(Good({"set", "--", "-k", "-v"}).value, "-v");
  EXPECT_THAT(Good({"-q", "--", "get", "-k"}).keys, ElementsAre("-k"));
  EXPECT_EQ(Good({"incr", "--", "-k", "-5"}).delta, -5);
}

TEST(CommandLineTest, DashIsStdin) {
  EXPECT_TRUE(Good({"set", "k", "-"}).value_from_stdin);
  EXPECT_TRUE(Good({"set", "--", "k", "-"}).value_from_stdin);
  EXPECT_FALSE(Good({"set", "-", "v"}).value_from_stdin);
}

TEST(CommandLineTest, AddressesComeFromFlagsElseTheEnvironment) {
  const CtlRequest several = Good({"--addr", "a:1", "ping", "--addr", "unix:/x"});
  ASSERT_EQ(several.endpoints.size(), 2u);
  EXPECT_EQ(several.endpoints[0].host, "a");
  EXPECT_EQ(several.endpoints[1].path, "/x");
  const Environment environment = {{"PAKV_ADDR", "b:2,c:3"}};
  EXPECT_EQ(Good({"ping"}, environment).endpoints[1].port, 3);
  EXPECT_EQ(Good({"ping", "--addr", "a:1"}, environment).endpoints.size(), 1u);
  EXPECT_THAT(Refusal({"ping"}, {{"PAKV_ADDR", "b"}}), HasSubstr("PAKV_ADDR: "));
  EXPECT_THAT(Refusal({"ping"}, {{"PAKV_ADDR", ""}}), HasSubstr("PAKV_ADDR: "));
  // What overrides a wrong variable is enough for a client.
  EXPECT_EQ(Good({"ping", "--addr", "a:1"}, {{"PAKV_ADDR", "b"}}).endpoints[0].port, 1);
}

TEST(CommandLineTest, WrongUseIsExitTwoAndNamed) {
  const std::pair<Words, const char*> table[] = {
      {{}, "no command"},
      {{"-q"}, "no command"},
      {{"frobnicate"}, "frobnicate"},
      {{"get"}, "KEY"},
      {{"rm"}, "KEY"},
      {{"rm", "--old"}, "KEY"},
      {{"set", "k"}, "VALUE"},
      {{"set", "k", "v", "w"}, "w"},
      {{"set", "k", "v", "--durability", "never"}, "--durability"},
      {{"set", "k", "v", "--if-absent", "--if-present"}, "exclude each other"},
      {{"set", "k", "v", "--if-version", "x"}, "--if-version: \"x\" is not a number"},
      {{"set", "k", "v", "--if-version", "-1"}, "--if-version"},
      {{"set", "k", "v", "--if-version", "0"}, "--if-version: must be at least 1"},
      {{"set", "k", "v", "--if-version", "9223372036854775808"}, "63 bits"},
      {{"set", "k", "v", "--old=x"}, "--old"},
      {{"set", "k", "v", "--ttl", "5"}, "--ttl: \"5\" is not a duration"},
      {{"set", "k", "v", "--ttl", "0"}, "--ttl: must be at least 1ms"},
      {{"set", "k", "v", "--ttl", "10us"}, "--ttl: must be at least 1ms"},
      {{"ttl"}, "KEY"},
      {{"get", "k", "--old"}, "--old"},
      {{"get", "-k"}, "-k"},
      {{"incr"}, "KEY"},
      {{"incr", "k", "one"}, "N: \"one\" is not an integer"},
      {{"incr", "k", "9223372036854775808"}, "does not fit"},
      {{"incr", "k", "1", "2"}, "2"},
      {{"scan", "a", "b"}, "b"},
      {{"scan", "--limit", "0"}, "--limit: must be at least 1"},
      {{"scan", "--limit", "-1"}, "--limit"},
      {{"scan", "--limit"}, "--limit"},
      {{"ping", "-c", "0"}, "-c: must be at least 1"},
      {{"ping", "x"}, "x"},
      {{"stats", "x"}, "x"},
      {{"batch", "f", "x"}, "x"},
      {{"bench"}, "bench"},
      {{"dump", "f", "p", "x"}, "x"},
      {{"load", "f", "x"}, "x"},
      {{"-n", "orders", "dump", "--all"}, "dump: --all is of all namespaces, -n of one"},
      {{"load", "--all", "-n", "0"}, "load: --all is of all namespaces, -n of one"},
      {{"load", "--all", "redis://h"}, "load: --all is for the lines of a dump"},
      {{"dump", "--all=x"}, "--all takes no value"},
      {{"-q=5", "ping"}, "--quiet takes no value"},
      {{"get", "k", "-q=true"}, "--quiet takes no value"},
      {{"get", "a=5", "-qV=5"}, "--version takes no value"},
      {{"get", "-=5", "k"}, "unknown option: -"},
      {{"load", "redis://u:p@h"}, "load: a password does not belong on the command line"},
      {{"load", "rediss://h"}, "load: rediss:// is not supported"},
      {{"check", "x"}, "x"},
      {{"compact", "x"}, "x"},
      {{"namespace"}, "list|drop"},
      {{"namespace", "empty"}, "\"empty\" is none of: list, drop"},
      {{"namespace", "list", "x"}, "unexpected: x"},
      {{"namespace", "drop"}, "NAME is required"},
      {{"client"}, "list|kill"},
      {{"client", "end"}, "\"end\" is none of: list, kill"},
      {{"client", "list", "x"}, "unexpected: x"},
      {{"client", "kill"}, "ID or HOST:PORT is required"},
      {{"client", "kill", "0"}, "\"0\" is no connection's id"},
      {{"client", "kill", "9223372036854775808"}, "is no connection's id"},
      {{"namespace", "drop", ""}, "1 to 255 bytes"},
      {{"-n", "orders", "namespace", "drop", "orders"}, "-n is for the other commands"},
      {{"compact", "--gain", "0"}, "--gain: must be at least 1"},
      {{"compact", "--gain", "101"}, "--gain: a percentage is at most 100"},
      {{"--addr", "localhost", "ping"}, "--addr: \"localhost\": no port"},
      {{"--addr", "h:65536", "ping"}, "65535"},
      {{"--addr", "h:0", "ping"}, "there is no port 0"},
      {{"--addr=", "h:1", "ping"}, "--addr= has no value"},
      {{"ping", "--addr"}, "--addr"},
      {{"-n", "", "ping"}, "a namespace's name is 1 to 255 bytes"},
      {{"-n", std::string(256, 'n'), "ping"}, "a namespace's name is 1 to 255 bytes"},
      {{"-n", "\xff", "ping"}, "of UTF-8"},
      {{"-o", "xml", "ping"}, "none of: text, json, raw"},
      {{"-o", "raw", "ping"}, "is for get of one key"},
      {{"-o", "raw", "get", "a", "b"}, "is for get of one key"},
      {{"--user", "u", "ping"}, "--user"},
      {{"--password-file", "f", "ping"}, "--password-file"},
      {{"--tls", "ping"}, "--tls"},
      {{"--addr", "a:1", "--bogus", "ping"}, "--bogus"}};
  for (const auto& [words, told] : table) EXPECT_THAT(Refusal(words), HasSubstr(told));
  EXPECT_THAT(Refusal({"ping"}, {{"PAKV_PASSWORD", "hush"}}),
              testing::AllOf(HasSubstr("PAKV_PASSWORD"), testing::Not(HasSubstr("hush"))));
}

TEST(CommandLineTest, AnUnknownCommandIsCalledThat) {
  const std::pair<Words, const char*> table[] = {
      {{"sett", "a", "b"}, "unknown command: sett (did you mean set? pakvctl --help lists them)\n"},
      {{"foo"}, "unknown command: foo (pakvctl --help lists them)\n"},
      {{"bench"}, "unknown command: bench (pakvctl --help lists them)\n"},
      {{"top"}, "unknown command: top (pakvctl --help lists them)\n"},
      {{""}, "unknown command: \"\" (pakvctl"},
      {{"-n", "orders", "comapct"}, "unknown command: comapct (did you mean compact?"},
      {{"foo", "get", "k"}, "unknown command: foo"},
      {{"a\nb"}, "unknown command: a\\x0ab"},
      {{"get", "get", "k", "--old"}, "unknown option: --old\n"},
      {{"stats", "stats"}, "unexpected: stats\n"},
      {{"help", "sett"}, "unknown command: sett (did you mean set?"},
      {{"help", "set", "get"}, "unexpected: get\n"}};
  for (const auto& [words, told] : table) EXPECT_THAT(Refusal(words), HasSubstr(told));
}

TEST(CommandLineTest, WrongUseOfACommandShowsHowThatIsUsed) {
  const std::pair<Words, const char*> table[] = {
      {{"set", "a"},
       "pakvctl: VALUE is required\n"
       "usage: pakvctl set KEY VALUE [--if-absent] [--if-present] [--if-version LSN] "
       "[--ttl DURATION] [--old]\n"
       "       pakvctl set --help\n"},
      {{"get"}, "pakvctl: KEY is required\nusage: pakvctl get KEY...\n"},
      {{"set", "k", "v", "w"}, "pakvctl: unexpected: w\nusage: pakvctl set KEY VALUE ["},
      {{"namespace"}, "usage: pakvctl namespace list|drop [NAME]\n"},
      {{"-q", "incr", "k", "x"}, "is not an integer\nusage: pakvctl incr KEY [N]\n"},
      {{"help", "sett"}, "usage: pakvctl help [COMMAND]\n"}};
  for (const auto& [words, told] : table) EXPECT_THAT(Refusal(words), HasSubstr(told));
  EXPECT_THAT(Refusal({"sett"}), HasSubstr("usage: pakvctl [--addr HOST:PORT]... "));
}

TEST(CommandLineTest, AWrongOptionOfAllCommandsShowsHowThoseAreUsed) {
  for (const Words& words : std::vector<Words>{{"--addr", "nowhere", "get", "k"},
                                               {"get", "k", "-o", "xml"},
                                               {"get", "k", "-n", ""},
                                               {"stats", "-o", "raw"},
                                               {"get", "k", "--addr"},
                                               {"-n", "a", "get", "k", "-n", "b"},
                                               {"--adr", "a:1", "get", "k"}}) {
    const std::string told = Refusal(words);
    EXPECT_THAT(told, HasSubstr("\nusage: pakvctl [--addr HOST:PORT]... "));
    EXPECT_THAT(told, testing::Not(HasSubstr("pakvctl get")));
  }
  EXPECT_THAT(Refusal({"set", "k", "v", "--ttll", "1s"}), HasSubstr("\nusage: pakvctl set KEY "));
  EXPECT_THAT(Refusal({"set", "k", "v", "--ttl"}), HasSubstr("\nusage: pakvctl set KEY "));
}

TEST(CommandLineTest, WhatIsWrongWithAnOptionIsSaidPlainly) {
  const std::pair<Words, const char*> table[] = {
      {{"ping", "-c"}, "pakvctl: --count needs a value: N\n"},
      {{"ping", "--addr"}, "pakvctl: --addr needs a value: HOST:PORT\n"},
      {{"--addr", "a:1", "--addr", "b:1", "ping", "--addr"}, "pakvctl: --addr needs a value"},
      {{"set", "k", "v", "--ttl", "1s", "--ttl", "2s"},
       "pakvctl: --ttl is given 2 times, and takes one value\n"},
      {{"-n", "a", "ping", "-n", "b", "-n", "c"}, "--namespace is given 3 times"},
      {{"set", "k", "v", "--ttll", "1s"}, "unknown option: --ttll (did you mean --ttl?)\n"},
      {{"set", "k", "v", "--if-versoin=7"}, "unknown option: --if-versoin (did you mean --if-"},
      {{"scan", "--password=hush"}, "unknown option: --password\n"}};
  for (const auto& [words, told] : table) EXPECT_THAT(Refusal(words), HasSubstr(told));
}

TEST(CommandLineTest, HelpIsACommandToo) {
  const auto printed = [](const Words& words) {
    const CtlCommandLine line = ParseCommandLine(words, {{"PAKV_USER", "u"}});
    EXPECT_EQ(line.exit_code, 0);
    EXPECT_EQ(line.stderr_text, "");
    return line.stdout_text;
  };
  EXPECT_EQ(printed({"help"}), printed({"--help"}));
  EXPECT_EQ(printed({"help", "set"}), printed({"set", "--help"}));
  EXPECT_EQ(printed({"help", "help"}), printed({"help", "--help"}));
  EXPECT_THAT(printed({"help", "set"}), HasSubstr("pakvctl set"));
  EXPECT_THAT(Good({"get", "help"}).keys, ElementsAre("help"));
}

TEST(CommandLineTest, VersionAndHelpGoToStdout) {
  for (const char* flag : {"-V", "--version"}) {
    const CtlCommandLine line = ParseCommandLine({flag}, {});
    EXPECT_EQ(line.exit_code, 0);
    EXPECT_THAT(line.stdout_text, testing::MatchesRegex("pakvctl [0-9]+\\.[0-9]+\\.[0-9]+\n"));
  }
  const CtlCommandLine help = ParseCommandLine({"--help"}, {});
  EXPECT_EQ(help.exit_code, 0);
  for (const char* word : {"set", "get", "rm", "incr", "scan", "ping", "stats", "--addr"}) {
    EXPECT_THAT(help.stdout_text, HasSubstr(word));
  }
  const CtlCommandLine of_set = ParseCommandLine({"set", "--help"}, {});
  EXPECT_EQ(of_set.exit_code, 0);
  EXPECT_THAT(of_set.stdout_text, HasSubstr("--if-version"));
  for (const char* command : {"get", "rm"}) {
    EXPECT_THAT(ParseCommandLine({command, "--help"}, {}).stdout_text, HasSubstr("KEY..."));
  }
}

}  // namespace
}  // namespace pakv
