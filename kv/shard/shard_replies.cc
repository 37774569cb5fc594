// The parts of Shard that are about large replies: who is given one, and who has to ask again.
//
// A read whose reply finds no room (kv/shard/state/reply_room.h) comes back as Reply::Kind::kLater,
// with the version that it has found. Its session starts it again once its client has read what
// came before (Store::StartDue). It is then answered whatever room there is: each session has few
// of those at a time. And it is answered with that version, or refused: what has been published
// since may be the session's own later write, and later reads of the session may have been answered
// from the same version. An older version than the published one is read from the log, as long as
// no segment has gone since then; nothing is kept for its sake.
#include "kv/log/format/format.h"
#include "kv/shard/shard.h"
#include "runtime/base/coverage.h"
#include "runtime/base/seeded_bug.h"

namespace pakv {

bool Shard::HasRoom(const Request& request) const {
  return !request.may_be_put_off || request.kind_ == Request::Kind::kDue || reply_room_.has_room();
}

void Shard::TakeRoom(Request& request, size_t bytes) {
  if (!request.may_be_put_off) return;
  PAKV_DCHECK(request.room_bytes_ == 0, "once for each reply");
  reply_room_.Take(bytes);
  request.room_bytes_ = static_cast<uint32_t>(bytes);
}

void Shard::HoldReply(Request& request) {
  if (request.room_bytes_ > 0 || request.outcome != Outcome::kDone) return;
  if (HasRoom(request)) return TakeRoom(request, request.reply.bytes.size());
  if (request.is_read) return PutOff(request, request.reply.bytes.size());
  // It has changed nothing: what writes has taken its room before that.
  request.outcome = Outcome::kNoRoom;
  request.reply = Reply();
}

// `request.lsn` is the version that it has found.
void Shard::PutOff(Request& request, size_t bytes) {
  PAKV_COVERED(kReplyPutOff);
  request.KeepArguments();
  Request::FoundVersion& found = request.found_;
  found = {.lsn = request.lsn, .releases = releases_};
  const Entry entry = table_->Find(
      {.hash = request.hash, .namespace_id = request.namespace_id, .key = request.key});
  if (entry && entry.lsn() == found.lsn) {
    found.location = entry.location();
    found.expiry_ms = entry.expiry_ms();
  }
  request.reply = Reply();
  request.reply.kind = Reply::Kind::kLater;
  request.reply.integer = static_cast<int64_t>(bytes);
}

// A read that was put off. True: it is answered.
bool Shard::StartDue(Request& request) {
  Request::FoundVersion& found = request.found_;
  const size_t length_bytes = static_cast<size_t>(request.reply.integer);
  request.reply = Reply();
  const Entry entry = table_->Find(
      {.hash = request.hash, .namespace_id = request.namespace_id, .key = request.key});
  const bool is_published =
      entry && (entry.lsn() == found.lsn || PAKV_BUG(kPutOffReadsNewest)) && entry.file() == 0;
  if (is_published) {
    found = {.lsn = entry.lsn(),
             .releases = releases_,
             .location = entry.location(),
             .expiry_ms = entry.expiry_ms()};
    if (const uint32_t handle = entry.cache()) {
      cache_->Touch(handle);
      OldValue old;
      old.exists = true;
      old.lsn = found.lsn;
      old.expiry_ms = found.expiry_ms;
      old.value = cache_->Get(handle);
      old.value_length = LengthOf(old);
      ++counters_.read_hits;
      AnswerRead(request, old);
      return true;
    }
  } else if (found.location.segment == 0 || found.releases != releases_ || options_.keeps_values) {
    PAKV_COVERED(kPutOffRefused);
    request.outcome = Outcome::kNoRoom;
    return true;
  } else {
    PAKV_COVERED(kPutOffReadOlder);
  }
  TakeRoom(request, length_bytes);
  WaitForVersion(request,
                 {.location = found.location, .lsn = found.lsn, .expiry_ms = found.expiry_ms});
  return false;
}

}  // namespace pakv
