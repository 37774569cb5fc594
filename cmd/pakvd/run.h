// A server's life: rings, cores, listeners, store, sessions; signals; a graceful stop.
#pragma once

#include "cmd/pakvd/config.h"

namespace pakv {

// Serves until a signal asks it to stop, or something ends it. On the main thread, once. Returns
// the exit code; every error was told on stderr.
int RunServer(const ServerConfig& config);

}  // namespace pakv
