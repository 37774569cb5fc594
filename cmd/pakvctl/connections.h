// pakvctl client: the connections that a server has, and how to end one.
#pragma once

#include <string>
#include <vector>

#include "cmd/pakvctl/command_line.h"
#include "cmd/pakvctl/data.h"
#include "cmd/pakvctl/store_client.h"
#include "net/client/client_error.h"
#include "net/options/endpoint.h"
#include "runtime/core/core.h"
#include "runtime/task/task.h"

namespace pakv {

// A line per connection, as the server's CLIENT LIST has it; as JSON an array of objects.
int RunClientList(const CtlRequest& request, StoreClient& client, const CtlStreams& streams);

// Ends the connections of that id, or from that address. 1 if there is none.
int RunClientKill(const CtlRequest& request, StoreClient& client, const CtlStreams& streams);

// The same from a server: the pakv protocol has no words for it, so it is asked over RESP, which it
// speaks at the same address. Opens a connection for it.
Task<ClientResult<std::string>> AskConnections(Core& core, std::vector<Endpoint> endpoints);
// `which`: an id or an address. How many there were.
Task<ClientResult<uint64_t>> AskToKill(Core& core, std::vector<Endpoint> endpoints,
                                       std::string which);

}  // namespace pakv
