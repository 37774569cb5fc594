// The commands that have a running server look after its data: check, compact and namespace.
#pragma once

#include "cmd/pakvctl/client/store_client.h"
#include "cmd/pakvctl/interface/command_line.h"
#include "cmd/pakvctl/interface/streams.h"

namespace pakv {

// Prints what the server's check has found; 5 if that is anything.
int RunCheck(const CtlRequest& request, StoreClient& client, const CtlStreams& streams);

// Lets the server compact, and waits until nothing is left that is worth it. 5 if it had to leave
// segments alone.
int RunCompact(const CtlRequest& request, StoreClient& client, const CtlStreams& streams);

// Prints the namespaces, one per line: how many keys, and the name; as JSON an array of objects.
int RunNamespaceList(const CtlRequest& request, StoreClient& client, const CtlStreams& streams);

// Removes all keys of the namespace of that name, durably. 1 if there is none.
int RunNamespaceDrop(const CtlRequest& request, StoreClient& client, const CtlStreams& streams);

}  // namespace pakv
