// What people are told who have mistyped something: how a command is used, and which known word an
// unknown one looks like.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pakv {

// One line without its end: "set KEY VALUE [--if-absent] [--ttl DURATION]". Without --help, and
// without what stands before the command.
std::string UsageOf(const CLI::App& command);

// The one of `known` that `word` was probably meant to be: a letter or two amiss, or its beginning
// alone. Of several that are as near, the first; nothing if none is near. Words are short: the work
// is the product of their lengths.
std::optional<std::string> ClosestWord(std::string_view word,
                                       const std::vector<std::string>& known);

}  // namespace pakv
