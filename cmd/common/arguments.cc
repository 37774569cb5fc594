#include "cmd/common/arguments.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "cmd/common/values.h"
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

}  // namespace

Arguments::Arguments(const std::vector<std::string>& arguments,
                     const std::vector<std::string>& commands)
    : originals_(arguments) {
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
    // That something is missing hides from CLI11 that something else was misspelt.
    const std::vector<std::string> unexpected = app.remaining(true);
    error_ = unexpected.empty() ? Restore(error.what()) : TellUnexpected(unexpected.front());
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

std::string Arguments::TellUnexpected(const std::string& argument) const {
  const char* const what = argument.starts_with('-') ? "unknown option: " : "unexpected: ";
  return what + EscapeControls(Restore(argument));
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
