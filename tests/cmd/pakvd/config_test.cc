// cmd/pakvd/config: every option from every source, and what is said of what does not parse.
#include "cmd/pakvd/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "runtime/core/core.h"

namespace pakv {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr ProcessFacts kFacts = {.cpu_count = 6, .memory_bytes = (uint64_t{8} << 30) + 4097};

class ConfigTest : public testing::Test {
 protected:
  ConfigTest() {
    std::string name = testing::TempDir() + "pakv-config-XXXXXX";
    directory_ = mkdtemp(name.data());
    path_ = directory_ + "/pakv.toml";
  }
  ~ConfigTest() override {
    std::remove(path_.c_str());
    std::remove(directory_.c_str());
  }

  // Writes `text` to the file and returns the flag that names it.
  std::string File(const std::string& text) {
    std::ofstream(path_) << text;
    return "--config=" + path_;
  }

  static ConfigOutcome Load(const std::vector<std::string>& arguments,
                            const EnvironmentVariables& environment = {}) {
    return LoadConfig(arguments, environment, kFacts);
  }

  // What the user is told, provided that it is exit 2 and nothing on stdout.
  static std::string Refusal(const std::vector<std::string>& arguments,
                             const EnvironmentVariables& environment = {}) {
    const ConfigOutcome outcome = Load(arguments, environment);
    EXPECT_EQ(outcome.exit_code, 2);
    EXPECT_EQ(outcome.stdout_text, "");
    EXPECT_THAT(outcome.stderr_text, StartsWith("pakvd: "));
    return outcome.stderr_text;
  }

  // The line of --print-config for `option`.
  static std::string Printed(std::vector<std::string> arguments, const std::string& option,
                             const EnvironmentVariables& environment = {}) {
    arguments.push_back("--print-config");
    const ConfigOutcome outcome = Load(arguments, environment);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.stderr_text;
    const size_t begin = ("\n" + outcome.stdout_text).find("\n" + option + " ");
    if (begin == std::string::npos) return "absent";
    return outcome.stdout_text.substr(begin, outcome.stdout_text.find('\n', begin) - begin);
  }

  std::string directory_;
  std::string path_;
};

TEST_F(ConfigTest, PrintsEveryDefault) {
  const ConfigOutcome outcome = Load({"--print-config"});
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_EQ(outcome.stderr_text, "");
  EXPECT_EQ(outcome.stdout_text,
            "addr 127.0.0.1:7379 default\n"
            "admin-addr 127.0.0.1:7380 default\n"
            "cores 6 default\n"
            "dir ./pakv-data default\n"
            "engine log default\n"
            "durability always default\n"
            "memory 6553MiB default\n"
            "cache auto default\n"
            "max-connections 10240 default\n"
            "overflow wait default\n"
            "max-key 64KiB default\n"
            "max-value 512MiB default\n"
            "idle-timeout 0 default\n"
            "request-timeout 30s default\n"
            "drain-timeout 10s default\n"
            "port-file none default\n"
            "segment-size auto default\n"
            "log-level info default\n"
            "log-format text default\n"
            "salvage false default\n"
            "accept-clock false default\n"
            "insecure false default\n"
            "config none default\n");
}

TEST_F(ConfigTest, EveryOptionWorksFromEverySource) {
  const std::vector<std::vector<std::string>> table = {
      {"addr", "[::1]:1234"},      {"admin-addr", "none"},     {"cores", "256"},
      {"dir", "/var/lib/pa kv"},   {"engine", "log"},          {"durability", "always"},
      {"memory", "1GiB"},          {"cache", "64MiB"},         {"max-connections", "17"},
      {"overflow", "reject"},      {"max-key", "1KiB"},        {"max-value", "4KB"},
      {"idle-timeout", "1h"},      {"request-timeout", "0"},   {"drain-timeout", "500ms"},
      {"port-file", "/run/ports"}, {"segment-size", "128KiB"}, {"log-level", "debug"},
      {"log-format", "json"},      {"salvage", "true"},        {"accept-clock", "true"},
      {"insecure", "true"}};
  for (const auto& row : table) {
    const std::string& name = row[0];
    const std::string& value = row[1];
    std::string variable = "PAKV_" + name;
    for (char& c : variable) c = c == '-' ? '_' : static_cast<char>(std::toupper(c));
    EXPECT_EQ(Printed({"--" + name + "=" + value}, name), name + " " + value + " flag");
    EXPECT_EQ(Printed({}, name, {{variable, value}}), name + " " + value + " environment");
    EXPECT_EQ(Printed({File(name + " = \"" + value + "\"\n")}, name), name + " " + value + " file");
    // A value of its own kind, where TOML has it.
    const bool bare = value == "true" || value == "17" || value == "0" || value == "256";
    if (bare) {
      EXPECT_EQ(Printed({File(name + " = " + value)}, name), name + " " + value + " file");
    }
  }
}

TEST_F(ConfigTest, FlagBeatsEnvironmentBeatsFile) {
  const std::string file = File("cores = 3\nmax-key = 10\nmax-value = 11\n");
  const EnvironmentVariables environment = {{"PAKV_CORES", "4"}, {"PAKV_MAX_KEY", "20"}};
  const std::vector<std::string> arguments = {file, "--cores", "5"};
  EXPECT_EQ(Printed(arguments, "cores", environment), "cores 5 flag");
  EXPECT_EQ(Printed(arguments, "max-key", environment), "max-key 20 environment");
  EXPECT_EQ(Printed(arguments, "max-value", environment), "max-value 11 file");
  EXPECT_EQ(Printed(arguments, "config", environment), "config " + path_ + " flag");
}

TEST_F(ConfigTest, EnvironmentNamesTheFileAndTheFlagAnother) {
  File("cores = 3\n");
  EXPECT_EQ(Printed({}, "cores", {{"PAKV_CONFIG", path_}}), "cores 3 file");
  EXPECT_EQ(Printed({}, "config", {{"PAKV_CONFIG", path_}}), "config " + path_ + " environment");
  EXPECT_EQ(Printed({"--config", path_}, "cores", {{"PAKV_CONFIG", "/nowhere"}}), "cores 3 file");
}

TEST_F(ConfigTest, AWrongValueIsAnErrorAlsoWhereAnotherSourceOverridesIt) {
  EXPECT_THAT(Refusal({"--cores", "2"}, {{"PAKV_CORES", "many"}}), HasSubstr("PAKV_CORES"));
  EXPECT_THAT(Refusal({File("cores = 0"), "--cores", "2"}), HasSubstr(path_ + ":1: cores: "));
}

TEST_F(ConfigTest, AddrRepeatsInEverySource) {
  const std::string both = "addr 127.0.0.1:1,unix:/tmp/x ";
  EXPECT_EQ(Printed({"--addr", "127.0.0.1:1", "--addr", "unix:/tmp/x"}, "addr"), both + "flag");
  EXPECT_EQ(Printed({}, "addr", {{"PAKV_ADDR", "127.0.0.1:1,unix:/tmp/x"}}), both + "environment");
  EXPECT_EQ(Printed({File("addr = [\"127.0.0.1:1\", \"unix:/tmp/x\"]")}, "addr"), both + "file");
  // A stronger source replaces, it does not add.
  EXPECT_EQ(Printed({"--addr", "[::1]:9"}, "addr", {{"PAKV_ADDR", "127.0.0.1:1"}}),
            "addr [::1]:9 flag");
  EXPECT_THAT(Refusal({File("addr = []")}), HasSubstr("addr: needs at least one address"));
  EXPECT_THAT(Refusal({File("addr = [1]")}), HasSubstr("addr: an array holds strings alone"));
  EXPECT_THAT(Refusal({File("dir = [\"x\"]")}), HasSubstr("dir: takes one value"));
}

TEST_F(ConfigTest, WrongFlagsAreExitTwoAndNamed) {
  const std::vector<std::vector<std::string>> table = {
      {"--addr", "127.0.0.1", "no port"},
      {"--addr", "127.0.0.1:65536", "65535"},
      {"--addr", "[::1]", "no port"},
      {"--addr", "", "no port"},
      {"--admin-addr", "unix:/x", "neither HOST:PORT nor none"},
      {"--admin-addr", "off", "no port"},
      {"--cores", "0", "1 to 256"},
      {"--cores", "257", "1 to 256"},
      {"--cores", "-1", "not a number"},
      {"--cores", "two", "\"two\" is not a number"},
      {"--dir", "", "must not be empty"},
      {"--engine", "sled", "\"sled\" is no engine"},
      {"--durability", "never", "no durability but always"},
      {"--durability", "1s", "no durability but always"},
      {"--durability", "x", "is no durability"},
      {"--cache", "many", "is not a size"},
      {"--max-connections", "0", "1 to 1000000"},
      {"--overflow", "drop", "none of: wait, reject"},
      {"--max-key", "0", "at least 1\n"},
      {"--max-key", "65537", "at most 64KiB"},
      {"--max-value", "536870913", "at most 512MiB"},
      {"--max-value", "1GiB", "at most 512MiB"},
      {"--idle-timeout", "5", "is not a duration"},
      {"--request-timeout", "366d", "at most 365d"},
      {"--drain-timeout", "soon", "is not a duration"},
      {"--port-file", "", "must not be empty"},
      {"--segment-size", "4KiB", "at least 64KiB"},
      {"--segment-size", "65537", "multiple of 4KiB"},
      {"--segment-size", "2GiB", "at most 1GiB"},
      {"--log-level", "loud", "debug, info, warn, error"},
      {"--log-format", "xml", "text, json"}};
  for (const auto& row : table) {
    const std::string told = Refusal({row[0], row[1]});
    EXPECT_THAT(told, HasSubstr("pakvd: " + row[0] + ": ")) << row[1];
    EXPECT_THAT(told, HasSubstr(row[2])) << row[1];
    EXPECT_THAT(told, HasSubstr("usage: pakvd"));
  }
}

TEST_F(ConfigTest, UnknownFlagsArgumentsAndMissingValuesAreUsageErrors) {
  const std::pair<const char*, const char*> unknown[] = {
      {"--tls-addr=x:1", "unknown option: --tls-addr\n"},
      {"--users=hush", "unknown option: --users\n"},
      {"--bogus", "unknown option: --bogus\n"},
      {"-x", "unknown option: -x\n"},
      {"--auth-timeout=5s", "unknown option: --auth-timeout\n"},
      {"--core=2", "unknown option: --core (did you mean --cores?)\n"}};
  for (const auto& [flag, told] : unknown) EXPECT_THAT(Refusal({flag}), HasSubstr(told));
  EXPECT_THAT(Refusal({"serve"}), HasSubstr("pakvd: unexpected: serve\n"));
  EXPECT_THAT(Refusal({"--addr", "127.0.0.1:1", "127.0.0.1:2"}), HasSubstr("127.0.0.1:2"));
  EXPECT_THAT(Refusal({"--", "--cores"}), HasSubstr("--cores"));
  EXPECT_THAT(Refusal({"--cores"}), HasSubstr("pakvd: --cores needs a value: N\n"));
  EXPECT_THAT(Refusal({"--cores=", "2"}), HasSubstr("--cores= has no value"));
  EXPECT_THAT(Refusal({"--cores", "1", "--cores", "2"}),
              HasSubstr("pakvd: --cores is given 2 times, and takes one value\n"));
  EXPECT_THAT(Refusal({"--insecure=maybe"}), HasSubstr("--insecure"));
}

TEST_F(ConfigTest, TheFileIsHeldToItsKeysAndLines) {
  EXPECT_THAT(Refusal({File("cores = 2\n\nusers = \"x\"\n")}),
              HasSubstr(path_ + ":3: unknown key \"users\""));
  EXPECT_THAT(Refusal({File("[server]\ncores = 2\n")}), HasSubstr(":1: unknown key \"server\""));
  EXPECT_THAT(Refusal({File("# x\ncores = \"many\"\n")}),
              HasSubstr(path_ + ":2: cores: \"many\" is not a number"));
  EXPECT_THAT(Refusal({File("cores = 1.5")}), HasSubstr(":1: cores: must be a string"));
  EXPECT_THAT(Refusal({File("cores = 1\ncores = 2")}), HasSubstr(path_ + ":2: "));
  EXPECT_THAT(Refusal({File("cores = \n")}), HasSubstr(path_ + ":1: "));
  EXPECT_THAT(Refusal({File("x\xff = 1")}), HasSubstr(path_ + ":1: "));
  for (const char* bare : {"memory = 64MiB", "# x\n\nidle-timeout = 5s", "dir = /srv"}) {
    EXPECT_THAT(Refusal({File(bare)}), HasSubstr(" (text stands in quotes, as in memory = "));
  }
  for (const char* other :
       {"cores = 2 3", "cores = 1\ncores = 2", "cores", "dir = \"x", "a = [1"}) {
    EXPECT_THAT(Refusal({File(other)}), testing::Not(HasSubstr("in quotes")));
  }
  EXPECT_THAT(Refusal({File("config = \"x\"")}), HasSubstr(":1: config cannot stand in the file"));
  EXPECT_THAT(Refusal({File("check-config = true")}), HasSubstr("cannot stand in the file"));
  EXPECT_THAT(Refusal({"--config", "/nowhere/pakv.toml"}),
              HasSubstr("/nowhere/pakv.toml: No such file"));
  EXPECT_THAT(Refusal({"--config", directory_}), HasSubstr(directory_ + ": Is a directory"));
  EXPECT_THAT(Refusal({"--config", "/dev/zero"}), HasSubstr("/dev/zero: larger than 1MiB"));
  EXPECT_EQ(Load({File("")}).exit_code, std::nullopt);
}

TEST_F(ConfigTest, VariablesOfMissingFeaturesAreRefusedOthersLeftAlone) {
  EXPECT_THAT(Refusal({}, {{"PAKV_USERS", "/etc/users"}}), HasSubstr("PAKV_USERS"));
  EXPECT_THAT(Refusal({}, {{"PAKV_TLS_KEY", "secret"}}), testing::Not(HasSubstr("secret")));
  EXPECT_THAT(Refusal({}, {{"PAKV_CHECK_CONFIG", "1"}}), HasSubstr("PAKV_CHECK_CONFIG"));
  EXPECT_THAT(Refusal({}, {{"PAKV_CORES", ""}}), HasSubstr("PAKV_CORES: \"\" is not a number"));
  EXPECT_EQ(Load({}, {{"PAKV_SERVICE_HOST", "10.0.0.1"}, {"PAKV_PASSWORD", "x"}}).exit_code,
            std::nullopt);
  // As container images name what is in them.
  EXPECT_EQ(Load({}, {{"PAKV_VERSION", "1.2.3"}}).exit_code, std::nullopt);
}

TEST_F(ConfigTest, OtherMachinesNeedInsecure) {
  for (const char* address : {"0.0.0.0:1", "[::]:1", "example.org:1"}) {
    EXPECT_THAT(Refusal({"--addr", "127.0.0.1:1", "--addr", address}),
                HasSubstr("addr " + std::string(address)));
    EXPECT_THAT(Refusal({"--admin-addr", address}),
                testing::AllOf(HasSubstr("--insecure"), HasSubstr("read the metrics"),
                               testing::Not(HasSubstr("write"))));
    EXPECT_EQ(Load({"--addr", address, "--insecure"}).exit_code, std::nullopt);
    EXPECT_EQ(Load({"--addr", address}, {{"PAKV_INSECURE", "1"}}).exit_code, std::nullopt);
  }
  EXPECT_EQ(Load({"--addr", "localhost:1", "--addr", "unix:/tmp/x"}).exit_code, std::nullopt);
}

TEST_F(ConfigTest, AnAddressIsGivenOnce) {
  EXPECT_THAT(Refusal({"--check-config", "--addr", "127.0.0.1:1", "--addr", "127.0.0.1:1"}),
              HasSubstr("addr 127.0.0.1:1 is given twice"));
  EXPECT_THAT(Refusal({"--addr", "unix:/x", "--addr", "[::1]:1", "--addr", "unix:/x"}),
              HasSubstr("addr unix:/x is given twice"));
  EXPECT_THAT(Refusal({"--addr", "127.0.0.1:1", "--admin-addr", "127.0.0.1:1"}),
              HasSubstr("addr and admin-addr are both 127.0.0.1:1"));
  // The system picks two; and whoever takes admin-addr's default is warned at the start.
  EXPECT_EQ(Load({"--addr", "127.0.0.1:0", "--addr", "127.0.0.1:0"}).exit_code, std::nullopt);
  EXPECT_EQ(Load({"--addr", "127.0.0.1:7380"}).exit_code, std::nullopt);
}

TEST_F(ConfigTest, PortZeroForDataPicksTheDefaultAdminPortToo) {
  const ConfigOutcome zero = Load({"--addr", "127.0.0.1:0"});
  EXPECT_EQ(zero.config.server.admin_endpoint->port, 0);
  EXPECT_TRUE(zero.config.server.admin_endpoint_is_default);
  const ConfigOutcome asked = Load({"--addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:7380"});
  EXPECT_EQ(asked.config.server.admin_endpoint->port, 7380);
  EXPECT_FALSE(asked.config.server.admin_endpoint_is_default);
  EXPECT_EQ(Load({"--addr", "unix:/x"}).config.server.admin_endpoint->port, 7380);
  EXPECT_FALSE(Load({"--admin-addr", "none"}).config.server.admin_endpoint.has_value());
}

TEST_F(ConfigTest, CheckConfigValidatesAndExits) {
  const ConfigOutcome good = Load({"--check-config", "--cores", "2"});
  EXPECT_EQ(good.exit_code, 0);
  EXPECT_EQ(good.stdout_text, "pakvd: the options are valid\n");
  EXPECT_EQ(good.stderr_text, "");
  const ConfigOutcome with_file = Load({"--check-config", File("cores = 2")});
  EXPECT_THAT(with_file.stdout_text,
              testing::MatchesRegex("pakvd: the options are valid \\(/.*/pakv.toml\\)\n"));
  EXPECT_THAT(Refusal({"--check-config", File("nonsense = 1")}), HasSubstr("nonsense"));
}

TEST_F(ConfigTest, WithoutADiskThereIsNoDurability) {
  EXPECT_EQ(Printed({"--engine", "memory"}, "durability"), "durability none flag");
  EXPECT_EQ(Printed({}, "durability", {{"PAKV_ENGINE", "memory"}}), "durability none environment");
  EXPECT_EQ(Printed({"--engine=memory", "--durability=always"}, "durability"),
            "durability none flag");
  EXPECT_EQ(Printed({"--engine", "log"}, "durability"), "durability always default");
}

TEST_F(ConfigTest, APortFileThatCannotBeIsToldAtOnce) {
  for (const bool checks : {false, true}) {
    std::vector<std::string> arguments = {"--port-file", "/nowhere/ports"};
    if (checks) arguments.push_back("--check-config");
    EXPECT_THAT(Refusal(arguments), HasSubstr("port file /nowhere/ports: /nowhere: No such file"));
  }
  EXPECT_EQ(Printed({"--port-file", "/nowhere/ports"}, "port-file"),
            "port-file /nowhere/ports flag");
}

TEST_F(ConfigTest, CheckConfigKnowsHowMuchMemoryTheCoresNeed) {
  const ConfigOutcome outcome = Load({"--check-config", "--cores", "8", "--memory", "90MiB"});
  EXPECT_EQ(outcome.exit_code, 3);  // as a start
  EXPECT_THAT(outcome.stderr_text, StartsWith("pakvd: 8 cores need at least "));
  EXPECT_EQ(Load({"--check-config", "--cores", "8", "--memory", "128MiB"}).exit_code, 0);
  // Fewer cores are no error where nobody has asked for six.
  EXPECT_EQ(Load({"--check-config", "--memory", "32MiB"}).exit_code, 0);
}

TEST_F(ConfigTest, VersionAndHelpGoToStdout) {
  for (const char* flag : {"-V", "--version"}) {
    const ConfigOutcome outcome = Load({flag});
    EXPECT_EQ(outcome.exit_code, 0);
    EXPECT_THAT(outcome.stdout_text, testing::MatchesRegex("pakvd [0-9]+\\.[0-9]+\\.[0-9]+\n"));
  }
  const ConfigOutcome help = Load({"--help"});
  EXPECT_EQ(help.exit_code, 0);
  for (const char* name : {"--addr", "--admin-addr", "--drain-timeout", "--print-config"}) {
    EXPECT_THAT(help.stdout_text, HasSubstr(name));
  }
  EXPECT_THAT(help.stdout_text, HasSubstr("127.0.0.1:7379"));
}

TEST_F(ConfigTest, FillsTheServersOptions) {
  const ConfigOutcome outcome = Load({"--addr",
                                      "127.0.0.1:1",
                                      "--cores=3",
                                      "--dir",
                                      "/d",
                                      "--cache",
                                      "0",
                                      "--overflow",
                                      "reject",
                                      "--idle-timeout",
                                      "2s",
                                      "--accept-clock",
                                      "--segment-size",
                                      "1MiB",
                                      "--log-level",
                                      "error",
                                      "--log-format",
                                      "json",
                                      "--port-file",
                                      directory_ + "/ports"});
  ASSERT_EQ(outcome.exit_code, std::nullopt) << outcome.stderr_text;
  const ServerOptions& server = outcome.config.server;
  EXPECT_EQ(server.data_endpoints.size(), 1u);
  EXPECT_EQ(server.core_count, 3u);
  EXPECT_EQ(server.directory, "/d");
  EXPECT_EQ(server.cache_bytes_max, 0u);
  EXPECT_EQ(server.overflow, OverflowPolicy::kReject);
  EXPECT_EQ(server.idle_timeout_ns, 2 * kNsPerSecond);
  EXPECT_EQ(server.segment_bytes, 1u << 20);
  EXPECT_TRUE(server.accept_clock);
  EXPECT_EQ(server.port_file_path, directory_ + "/ports");
  EXPECT_EQ(outcome.config.log.level, LogLevel::kError);
  EXPECT_EQ(outcome.config.log.format, LogFormat::kJson);
}

TEST_F(ConfigTest, PathsCannotBreakThePrintedLine) {
  EXPECT_EQ(Printed({"--dir", "a\nb"}, "dir"), "dir \"a\\x0ab\" flag");
}

TEST(ProcessFactsTest, AreWithinReason) {
  const ProcessFacts facts = AskProcessFacts();
  EXPECT_GE(facts.cpu_count, 1u);
  EXPECT_LE(facts.cpu_count, kCoresMax);
  EXPECT_GE(facts.memory_bytes, uint64_t{16} << 20);
}

}  // namespace
}  // namespace pakv
