// The pakv protocol's requests for whoever runs a server: check, compact and namespaces. They wait
// for nothing of the session's, and write their reply themselves.
#pragma once

#include <cstdint>

#include "net/pakv/codec.h"
#include "net/session/session.h"
#include "runtime/task/task.h"

namespace pakv {

// Compares the store's books with what is there. Suspends while the index is counted; checks run
// one after another.
Task<void> RunPakvCheck(Session& session, uint64_t id);

// Begins a compaction, or joins the one under way; with a cursor, tells how far it is. Answers
// soon, whatever there is to do.
Task<void> RunPakvCompact(Session& session, const PakvFields& fields, uint64_t id);

// Names the namespaces that there are, with their ids and how many keys they have, page by page.
Task<void> RunPakvNamespaces(Session& session, const PakvFields& fields, uint64_t id);

}  // namespace pakv
