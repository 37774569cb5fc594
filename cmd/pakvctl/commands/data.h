// The commands that work on data: set, get, rm, incr, ttl, scan; and ping and stats.
#pragma once

#include "cmd/pakvctl/client/store_client.h"
#include "cmd/pakvctl/interface/command_line.h"
#include "cmd/pakvctl/interface/streams.h"

namespace pakv {

// Runs one of them and prints; returns the exit code. For other commands, kClientExitUsage.
int RunDataCommand(const CtlRequest& request, StoreClient& client, const CtlStreams& streams);

}  // namespace pakv
