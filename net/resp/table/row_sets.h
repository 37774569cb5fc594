// Sets of flags and classes that rows of the command table share.
#pragma once

#include "net/resp/table/command_table.h"

namespace pakv {

inline constexpr uint32_t kFlagsServer = kFlagLoading | kFlagStale;
inline constexpr uint32_t kFlagsHandshake =
    kFlagNoScript | kFlagsServer | kFlagFast | kFlagNoAuth | kFlagAllowBusy;
inline constexpr uint32_t kFlagsClient = kFlagNoScript | kFlagsServer;
inline constexpr uint32_t kFlagsConfig = kFlagAdmin | kFlagsClient;
inline constexpr uint32_t kClassesConnection = kClassFast | kClassConnection;
inline constexpr uint32_t kClassesClient = kClassSlow | kClassConnection;
inline constexpr uint32_t kClassesConfig = kClassAdmin | kClassSlow | kClassDangerous;
inline constexpr uint32_t kClassesReadKey = kClassKeyspace | kClassRead;

}  // namespace pakv
