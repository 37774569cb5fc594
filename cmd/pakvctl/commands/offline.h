// Commands that read a data directory itself, without a server.
#pragma once

#include "cmd/pakvctl/interface/command_line.h"
#include "cmd/pakvctl/interface/streams.h"

namespace pakv {

// True for `verify` and `segments`.
bool IsOffline(CtlCommand command);

// Runs one of them and returns pakvctl's exit code: 0, or 5 for damage, a locked directory, or one
// that cannot be read.
int RunOffline(const CtlRequest& request, const CtlStreams& streams);

}  // namespace pakv
