// pakvctl dump: all keys, or those of a prefix, as lines of JSON (dump_line.h); of a namespace, or
// of one after the other.
#pragma once

#include "cmd/pakvctl/client/store_client.h"
#include "cmd/pakvctl/interface/command_line.h"
#include "cmd/pakvctl/interface/streams.h"

namespace pakv {

// Writes to stdout, or to request.file: under another name until it is whole and on stable
// storage, so that a dump that was there before stays until then. Each key's value, version and
// expiry are of one moment; different keys of different ones. What is in memory is about two pages
// of the scan; a value that is longer than a page is read by itself, in pieces. Of all namespaces
// are dumped those that there are when it begins. Returns the exit code.
int RunDump(const CtlRequest& request, StoreClient& client, const CtlStreams& streams);

}  // namespace pakv
