// Command lines for CLI11. The library gives meaning to some values: `{}`, `[a,b]`, an empty
// string, a value named like a subcommand, whatever follows `--` inside of a subcommand. Keys and
// values may be any bytes, so it is shown none of them: each argument that is no option by its
// looks is replaced by a token, and taken back out of the results.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace pakv {

class Arguments {
 public:
  // `arguments` without the program's name. The first one that is among `commands` and no option's
  // value by its place cannot be told from others here, so each such word stays as it is. Whoever
  // names a command that is none is told `command_hint`: where to learn of those that are.
  Arguments(const std::vector<std::string>& arguments, const std::vector<std::string>& commands,
            std::string command_hint = "");

  // Lets `app` parse. False: `error()` says why in the user's own words.
  bool Parse(CLI::App& app);

  // --help was given: `help()` is what to print. Parse returned true.
  bool help_wanted() const { return help_wanted_; }
  const std::string& help() const { return help_; }
  const std::string& error() const { return error_; }
  // Whether that is about an option that stands beside the commands, not about one of a command.
  bool error_is_beside_commands() const { return error_is_beside_commands_; }
  // The same where `word` stands for a command and is none.
  std::string TellUnknownCommand(const std::string& word) const;

  // What an option or positional was given, in order, byte for byte.
  std::vector<std::string> Values(const CLI::Option& option) const;

 private:
  std::string TokenFor(size_t index) const;
  // What CLI11 has found, in our words: it speaks of itself.
  std::string Tell(const CLI::App& app, const CLI::Error& error);
  std::string TellUnexpected(const CLI::App& app, const std::string& argument);
  // The short option that `value`, "=5", stands behind in the same argument; nullptr: none.
  const CLI::Option* SwitchBefore(const CLI::App& app, const std::string& value);
  // Whether it stands where `app` wants a command.
  bool StandsForCommand(const CLI::App& app, const std::string& argument) const;
  // `text` with every token in it put back to what the user wrote.
  std::string Restore(const std::string& text) const;

  const std::vector<std::string> commands_;
  const std::string command_hint_;
  std::vector<std::string> originals_;
  std::vector<std::string> replaced_;
  bool help_wanted_ = false;
  std::string help_;
  std::string error_;
  bool error_is_beside_commands_ = false;
};

}  // namespace pakv
