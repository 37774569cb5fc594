// Whether a server is ready to be sent requests, and if not, why.
#pragma once

#include <cstdint>
#include <string_view>

#include "net/session/server_stats.h"

namespace pakv {

enum class ServerPhase : uint8_t {
  kStarting,  // it recovers its data
  kServing,
  kStopping,
};

// Empty: it is ready. Otherwise one line for people, which begins with "recovering", "stopping",
// "read-only", "disk full" or "out of file descriptors".
std::string_view ReasonNotReady(const ServerStats& stats, ServerPhase phase);

}  // namespace pakv
