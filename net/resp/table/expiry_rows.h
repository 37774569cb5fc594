// Rows of the command table: commands on the time that a key lives, which differ in their units
// alone. For command_table.cc alone.
#pragma once

#include "net/resp/table/command_functions.h"
#include "net/resp/table/command_table.h"
#include "net/resp/table/row_sets.h"

namespace pakv {

constexpr CommandRow ExpireRow(std::string_view name, FillRequest fill, std::string_view since,
                               std::string_view summary) {
  return {.name = name,
          .arity = -3,
          .kind = CommandKind::kKey,
          .flags = kFlagWrite | kFlagFast,
          .classes = kClassKeyspace | kClassWrite | kClassFast,
          .first_key = 1,
          .last_key = 1,
          .key_step = 1,
          .function = &ExpireKey,
          .needs = OldState::kValueOrFile,
          .fill = fill,
          .key_flags = "RW update",
          .summary = summary,
          .since = since,
          .group = "generic"};
}

constexpr CommandRow TimeLeftRow(std::string_view name, FillRequest fill, std::string_view since,
                                 std::string_view tips, std::string_view summary) {
  return {.name = name,
          .arity = 2,
          .kind = CommandKind::kKey,
          .flags = kFlagReadonly | kFlagFast,
          .classes = kClassesReadKey | kClassFast,
          .first_key = 1,
          .last_key = 1,
          .key_step = 1,
          .function = &TimeLeft,
          .needs = OldState::kExistence,
          .fill = fill,
          .key_flags = "RO access",
          .tips = tips,
          .summary = summary,
          .since = since,
          .group = "generic"};
}

constexpr CommandRow SetForRow(std::string_view name, FillRequest fill, std::string_view since,
                               std::string_view summary) {
  return {.name = name,
          .arity = 4,
          .kind = CommandKind::kKey,
          .flags = kFlagWrite | kFlagDenyOom,
          .classes = kClassWrite | kClassString | kClassSlow,
          .first_key = 1,
          .last_key = 1,
          .key_step = 1,
          .function = &SetFor,
          .fill = fill,
          .value_arg = 3,
          .key_flags = "OW update",
          .summary = summary,
          .since = since,
          .group = "string"};
}

}  // namespace pakv
