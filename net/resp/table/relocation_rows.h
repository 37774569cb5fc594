// Rows of the command table: commands that write one key's value to another. For command_table.cc
// alone.
#pragma once

#include "net/resp/table/command_functions.h"
#include "net/resp/table/command_table.h"

namespace pakv {

inline constexpr CommandRow kCopyRow = {.name = "copy",
                                        .arity = -3,
                                        .kind = CommandKind::kPair,
                                        .flags = kFlagWrite | kFlagDenyOom,
                                        .classes = kClassKeyspace | kClassWrite | kClassSlow,
                                        .first_key = 1,
                                        .last_key = 2,
                                        .key_step = 1,
                                        .relocation = &FillCopy,
                                        .key_flags = "RO access",
                                        .second_key_flags = "OW update",
                                        .summary = "Copy a key",
                                        .since = "6.2.0",
                                        .group = "generic"};

inline constexpr CommandRow kMoveRow = {.name = "move",
                                        .arity = 3,
                                        .kind = CommandKind::kPair,
                                        .flags = kFlagWrite | kFlagFast,
                                        .classes = kClassKeyspace | kClassWrite | kClassFast,
                                        .first_key = 1,
                                        .last_key = 1,
                                        .key_step = 1,
                                        .relocation = &FillMove,
                                        .key_flags = "RW access update",
                                        .summary = "Move a key to another database",
                                        .since = "1.0.0",
                                        .group = "generic"};

inline constexpr CommandRow kRenameRow = {.name = "rename",
                                          .arity = 3,
                                          .kind = CommandKind::kPair,
                                          .flags = kFlagWrite,
                                          .classes = kClassKeyspace | kClassWrite | kClassSlow,
                                          .first_key = 1,
                                          .last_key = 2,
                                          .key_step = 1,
                                          .relocation = &FillRename,
                                          .key_flags = "RW access delete",
                                          .second_key_flags = "OW update",
                                          .summary = "Rename a key",
                                          .since = "1.0.0",
                                          .group = "generic"};

inline constexpr CommandRow kRenameNxRow = {
    .name = "renamenx",
    .arity = 3,
    .kind = CommandKind::kPair,
    .flags = kFlagWrite | kFlagFast,
    .classes = kClassKeyspace | kClassWrite | kClassFast,
    .first_key = 1,
    .last_key = 2,
    .key_step = 1,
    .relocation = &FillRenameNx,
    .key_flags = "RW access delete",
    .second_key_flags = "OW insert",
    .summary = "Rename a key, only if the new key does not exist",
    .since = "1.0.0",
    .group = "generic"};

}  // namespace pakv
