// pakvctl load: keys from the lines of a dump, or straight from a Redis.
#pragma once

#include "cmd/pakvctl/client/online_client.h"
#include "cmd/pakvctl/interface/command_line.h"
#include "cmd/pakvctl/interface/streams.h"

namespace pakv {

// Loads from request.file, stdin, or request.redis. It may be run again after whatever ended it:
// what was loaded is loaded once more, to the same end. Returns the exit code; 1 if the source
// holds keys that are no strings, and so stay there.
int RunLoad(const CtlRequest& request, OnlineClient& client, const CtlStreams& streams);

}  // namespace pakv
