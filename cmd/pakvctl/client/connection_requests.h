// What is asked of a server about its connections. The pakv protocol has no words for it, so it is
// asked over RESP, which the server speaks at the same address; each question opens a connection.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "net/client/client_error.h"
#include "net/options/endpoint.h"
#include "runtime/core/core.h"
#include "runtime/task/task.h"

namespace pakv {

// A line per connection, as the server's CLIENT LIST has it. Suspends; may block the core while a
// host's name is looked up.
Task<ClientResult<std::string>> AskConnections(Core& core, std::vector<Endpoint> endpoints);

// Ends the connections of `which`, an id or an address; how many there were. Suspends and may
// block, likewise.
Task<ClientResult<uint64_t>> AskToKill(Core& core, std::vector<Endpoint> endpoints,
                                       std::string which);

}  // namespace pakv
