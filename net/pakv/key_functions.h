// The pakv protocol's requests on one key, as what the store runs at the key's owner, and the
// encoding of their replies.
#pragma once

#include <cstdint>
#include <string_view>

#include "kv/shard/messages/request.h"
#include "net/pakv/codec.h"
#include "net/session/buffers/reply_queue.h"

namespace pakv {

// Of get, set, delete and incr: all but get.
constexpr bool IsPakvWrite(PakvType type) {
  return type == PakvType::kSet || type == PakvType::kDelete || type == PakvType::kIncr;
}

// Sets what `type` (get, set, delete, incr) with these fields makes of a slot: all but its id and
// namespace. Key and value are views of the fields'.
void FillPakvKeyRequest(PakvType type, const PakvFields& fields, uint32_t value_bytes_max,
                        ReplySlot& slot);

// A piece of a get's value that lies in a file, as a frame of its own; the last is a whole reply to
// get but for the value before it.
void WritePakvPiece(const ReplySlot& slot, std::string_view piece, bool is_last,
                    OutputBuffer& output);

// What the function of a request of `type` has replied; its outcome is kDone.
PakvStatus PakvStatusIn(PakvType type, const ReplySlot& slot);
// The text for people of such a status, if it is one of those that have one (docs/protocol.md,
// categories 3 and 5); empty for others.
std::string_view PakvTextOfDeclined(PakvStatus status);

// Of an outcome that is not kDone. `detail`: what the store said beside it.
PakvStatus PakvStatusOf(Outcome outcome);
std::string_view PakvTextOf(Outcome outcome, std::string_view detail);

// A plain read, for a scan: the value, or, of one in a file, its length (kInteger); and in
// Request::number when its time ends (milliseconds since 1970), 0 if it does not.
Change PakvScanFunction(const OldValue& old, Request& request);

}  // namespace pakv
