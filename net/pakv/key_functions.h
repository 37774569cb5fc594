// The pakv protocol's requests on one key, as what the store runs at the key's owner, and the
// encoding of their replies.
#pragma once

#include <cstdint>
#include <string_view>

#include "kv/shard/request.h"
#include "net/pakv/codec.h"
#include "net/session/reply_queue.h"

namespace pakv {

// Sets what `type` (get, set, delete, incr) with these fields makes of a slot: its function, what
// that needs to know, its arguments beside key and value, and how its reply is encoded.
void FillPakvKeyRequest(PakvType type, const PakvFields& fields, uint32_t value_bytes_max,
                        ReplySlot& slot);

// Of an outcome that is not kDone. `detail`: what the store said beside it.
PakvStatus PakvStatusOf(Outcome outcome);
std::string_view PakvTextOf(Outcome outcome, std::string_view detail);

// A plain read, for a scan: the value, and in Request::number when its time ends (milliseconds
// since 1970), 0 if it does not.
Change PakvScanFunction(const OldValue& old, Request& request);

}  // namespace pakv
