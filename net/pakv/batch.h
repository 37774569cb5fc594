// A batch of the pakv protocol: operations on keys that are one. With a write among them it is a
// transaction (kv/store/transaction.h): each operation sees what those before it have made, and if
// one cannot be done (a condition, no number) none is. Without a write it is a snapshot: all
// keys as they were at one moment.
#pragma once

#include <cstdint>

#include "net/pakv/codec.h"
#include "net/pakv/service.h"
#include "net/session/session.h"
#include "runtime/task/task.h"

namespace pakv {

// Runs the batch of these fields, which DecodePakvRequest has checked and whose bytes stay as they
// are meanwhile, and replies. Begins when the session's earlier requests are done. More than
// kPakvBatchOperationsMax operations, or kPakvBatchBytesMax bytes of keys and values, or of values
// in the reply: refused, and nothing has happened. Suspends.
Task<void> RunPakvBatch(Session& session, const PakvServer& server, const PakvFields& fields,
                        uint64_t id);

}  // namespace pakv
