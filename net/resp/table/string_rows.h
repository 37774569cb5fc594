// Rows of the command table: commands on a part of a value, and on numbers with a point. For
// command_table.cc alone.
#pragma once

#include "net/resp/table/command_functions.h"
#include "net/resp/table/command_table.h"

namespace pakv {

// SUBSTR is GETRANGE's old name.
constexpr CommandRow GetRangeRow(std::string_view name, std::string_view since,
                                 std::string_view summary) {
  return {.name = name,
          .arity = 4,
          .kind = CommandKind::kKey,
          .flags = kFlagReadonly,
          .classes = kClassRead | kClassString | kClassSlow,
          .first_key = 1,
          .last_key = 1,
          .key_step = 1,
          .function = &GetRange,
          .needs = OldState::kValueOrFile,
          .fill = &FillGetRange,
          .key_flags = "RO access",
          .summary = summary,
          .since = since,
          .group = "string"};
}

inline constexpr CommandRow kIncrByFloatRow = {
    .name = "incrbyfloat",
    .arity = 3,
    .kind = CommandKind::kKey,
    .flags = kFlagWrite | kFlagDenyOom | kFlagFast,
    .classes = kClassWrite | kClassString | kClassFast,
    .first_key = 1,
    .last_key = 1,
    .key_step = 1,
    .function = &AddFloat,
    .needs = OldState::kValueOrFile,
    .key_flags = "RW access update",
    .summary = "Increment the float value of a key by the given amount",
    .since = "2.6.0",
    .group = "string"};

inline constexpr CommandRow kSetRangeRow = {
    .name = "setrange",
    .arity = 4,
    .kind = CommandKind::kKey,
    .flags = kFlagWrite | kFlagDenyOom,
    .classes = kClassWrite | kClassString | kClassSlow,
    .first_key = 1,
    .last_key = 1,
    .key_step = 1,
    .function = &SetRange,
    .needs = OldState::kValueOrFile,
    .fill = &FillSetRange,
    .key_flags = "RW update",
    .summary = "Overwrite part of a string at key starting at the specified offset",
    .since = "2.2.0",
    .group = "string"};

}  // namespace pakv
