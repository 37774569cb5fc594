// The way from what was asked for to the command that does it.
#pragma once

#include "cmd/pakvctl/client/store_client.h"
#include "cmd/pakvctl/interface/command_line.h"
#include "cmd/pakvctl/interface/streams.h"

namespace pakv {

// Runs the command and prints; returns the exit code. Of all commands that are a matter of calls to
// a server: RunLoad needs more of the connection, RunOffline needs no server.
int RunCommand(const CtlRequest& request, StoreClient& client, const CtlStreams& streams);

}  // namespace pakv
