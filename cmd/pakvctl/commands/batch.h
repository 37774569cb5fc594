// pakvctl batch: lines of set, get, rm and incr, done as one.
//
// A line's words are separated by blanks. "…" and '…' hold blanks; within "…" stand \" \\ \n \r \t
// and \xHH for bytes. Blank lines and those that begin with # are skipped.
//
// An input without an end fills no memory: reading stops at the protocol's bounds of a batch
// (kPakvBatchOperationsMax, kPakvBatchBytesMax), which the error tells.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cmd/pakvctl/client/store_client.h"
#include "cmd/pakvctl/interface/command_line.h"
#include "cmd/pakvctl/interface/streams.h"

namespace pakv {

// The line's words; nothing, and `error`, if a quote is open or an escape unknown. Of more words
// than all keys of a batch there are only as many as tell that.
std::optional<std::vector<std::string>> SplitWords(std::string_view line, std::string& error);

// Reads all of a batch (request.file, or stdin) into request.batch, before anything is connected
// to. An exit code if a line is not understood, or the batch has more than it may; it is told.
std::optional<int> ReadBatch(CtlRequest& request, const CtlStreams& streams);

// Does request.batch, and prints a line for each operation, as the commands of these names do.
// Returns the exit code. 1 means that nothing was changed: a condition was not met, or a batch of
// get alone did not find a key. A key that is not there is told, and no failure of the others.
int RunBatch(const CtlRequest& request, StoreClient& client, const CtlStreams& streams);

}  // namespace pakv
