// pakvctl client: the connections that a server has, and how to end one.
#pragma once

#include "cmd/pakvctl/client/store_client.h"
#include "cmd/pakvctl/interface/command_line.h"
#include "cmd/pakvctl/interface/streams.h"

namespace pakv {

// A line per connection, as the server's CLIENT LIST has it; as JSON an array of objects.
int RunClientList(const CtlRequest& request, StoreClient& client, const CtlStreams& streams);

// Ends the connections of that id, or from that address. 1 if there is none.
int RunClientKill(const CtlRequest& request, StoreClient& client, const CtlStreams& streams);

}  // namespace pakv
