#include "cmd/common/arguments.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>
#include <utility>

#include "cmd/common/usage.h"
#include "runtime/base/utf8.h"

namespace pakv {
namespace {

// No option, command or number begins or ends with it; an argument that does is itself replaced.
constexpr char kMark = '\x01';

bool LooksLikeOption(const std::string& argument) {
  if (argument.size() < 2 || argument[0] != '-') return false;
  // -5 is a number. A lone - is stdin.
  return !(argument[1] >= '0' && argument[1] <= '9');
}

std::string Shown(const std::string& word) { return word.empty() ? "\"\"" : EscapeControls(word); }

// Nothing: no known word is near.
std::string DidYouMean(const std::optional<std::string>& closest) {
  return closest ? "did you mean " + *closest + "?" : "";
}

// `app` and the command that was given, if one was.
std::vector<const CLI::App*> AppsInUse(const CLI::App& app) {
  std::vector<const CLI::App*> apps = {&app};
  for (const CLI::App* command : app.get_subcommands()) apps.push_back(command);
  return apps;
}

}  // namespace

Arguments::Arguments(const std::vector<std::string>& arguments,
                     const std::vector<std::string>& commands, std::string command_hint)
    : commands_(commands), command_hint_(std::move(command_hint)), originals_(arguments) {
  bool options_ended = false;
  for (size_t i = 0; i < originals_.size(); ++i) {
    const std::string& argument = originals_[i];
    if (!options_ended && argument == "--") {
      options_ended = true;
      continue;
    }
    if (!options_ended && LooksLikeOption(argument)) {
      // CLI11 would take `--name=` for `--name` and eat the next argument.
      if (argument.starts_with("--") && argument.ends_with('=') && error_.empty()) {
        error_ = argument + " has no value";
      }
      replaced_.push_back(argument);
    } else if (std::find(commands.begin(), commands.end(), argument) != commands.end()) {
      replaced_.push_back(argument);
    } else {
      replaced_.push_back(TokenFor(i));
    }
  }
}

bool Arguments::Parse(CLI::App& app) {
  if (!error_.empty()) return false;
  try {
    // CLI11 wants them from the last to the first.
    std::vector<std::string> reversed(replaced_.rbegin(), replaced_.rend());
    app.parse(std::move(reversed));
  } catch (const CLI::CallForHelp&) {
    help_wanted_ = true;
    help_ = app.help();
  } catch (const CLI::Error& error) {
    error_ = Tell(app, error);
    return false;
  }
  return true;
}

std::vector<std::string> Arguments::Values(const CLI::Option& option) const {
  std::vector<std::string> values;
  for (const std::string& result : option.results()) values.push_back(Restore(result));
  return values;
}

std::string Arguments::TokenFor(size_t index) const {
  return kMark + std::to_string(index) + kMark;
}

std::string Arguments::Tell(const CLI::App& app, const CLI::Error& error) {
  // That something is missing hides from CLI11 that something else was misspelt.
  const std::vector<std::string> unexpected = app.remaining(true);
  if (!unexpected.empty()) return TellUnexpected(app, unexpected.front());
  const std::string text = error.what();
  if (dynamic_cast<const CLI::ArgumentMismatch*>(&error) == nullptr) return Restore(text);
  // "--ttl: 1 required DURATION missing" and "--ttl: At Most 1 required but received 2".
  const std::string name = text.substr(0, text.find(": "));
  for (const CLI::App* used : AppsInUse(app)) {
    for (const CLI::Option* option : used->get_options()) {
      if (option->get_name() != name) continue;
      error_is_beside_commands_ = used == &app;
      const bool takes_one = option->get_multi_option_policy() == CLI::MultiOptionPolicy::Throw;
      if (takes_one && option->count() > 1) {
        return name + " is given " + std::to_string(option->count()) +
               " times, and takes one value";
      }
      const std::string type = option->get_type_name();
      return name + " needs a value" + (type.empty() ? "" : ": " + type);
    }
  }
  return Restore(text);
}

std::string Arguments::TellUnexpected(const CLI::App& app, const std::string& argument) {
  if (!argument.starts_with('-')) {
    const std::string word = Restore(argument);
    return StandsForCommand(app, argument) ? TellUnknownCommand(word)
                                           : "unexpected: " + Shown(word);
  }
  // Of `-q=5` CLI11 has taken the switch, and leaves `-=5`.
  if (argument.starts_with("-=")) {
    if (const CLI::Option* taken = SwitchBefore(app, argument.substr(1))) {
      return taken->get_name() + " takes no value";
    }
  }
  const std::string option = argument.substr(0, argument.find('='));
  std::vector<std::string> known;
  size_t beside_commands = 0;  // the first so many
  for (const CLI::App* used : AppsInUse(app)) {
    for (const CLI::Option* candidate : used->get_options()) {
      for (const std::string& name : candidate->get_lnames()) known.push_back("--" + name);
    }
    if (used == &app) beside_commands = known.size();
  }
  const std::optional<std::string> closest = ClosestWord(option, known);
  const auto end = known.begin() + static_cast<ptrdiff_t>(beside_commands);
  error_is_beside_commands_ = closest && std::find(known.begin(), end, *closest) != end;
  const std::string hint = DidYouMean(closest);
  return "unknown option: " + Shown(option) + (hint.empty() ? "" : " (" + hint + ")");
}

const CLI::Option* Arguments::SwitchBefore(const CLI::App& app, const std::string& value) {
  for (const std::string& argument : originals_) {
    if (argument.starts_with("--") || !LooksLikeOption(argument)) continue;
    if (argument.size() < value.size() + 2 || !argument.ends_with(value)) continue;
    const std::string letter(1, argument[argument.size() - value.size() - 1]);
    for (const CLI::App* used : AppsInUse(app)) {
      for (const CLI::Option* option : used->get_options()) {
        if (!option->check_sname(letter)) continue;
        error_is_beside_commands_ = used == &app;
        return option;
      }
    }
  }
  return nullptr;
}

std::string Arguments::TellUnknownCommand(const std::string& word) const {
  const std::string hint = DidYouMean(ClosestWord(word, commands_));
  return "unknown command: " + Shown(word) + " (" + hint + (hint.empty() ? "" : " ") +
         command_hint_ + ")";
}

bool Arguments::StandsForCommand(const CLI::App& app, const std::string& argument) const {
  if (commands_.empty()) return false;
  const std::vector<CLI::App*> given = app.get_subcommands();
  if (given.empty()) return true;
  const auto place = [this](const std::string& word) {
    return std::find(replaced_.begin(), replaced_.end(), word);
  };
  return place(argument) < place(given.front()->get_name());
}

std::string Arguments::Restore(const std::string& text) const {
  std::string restored;
  size_t position = 0;
  while (position < text.size()) {
    const size_t end = text.find(kMark, position + 1);
    size_t index = originals_.size();
    if (text[position] == kMark && end != std::string::npos) {
      const char* const last = text.data() + end;
      const auto parsed = std::from_chars(text.data() + position + 1, last, index);
      if (parsed.ec != std::errc() || parsed.ptr != last) index = originals_.size();
    }
    if (index < originals_.size()) {
      restored += originals_[index];
      position = end + 1;
    } else {
      restored += text[position++];
    }
  }
  return restored;
}

}  // namespace pakv
