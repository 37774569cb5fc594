// The parts of Shard that put reads behind pending writes.
#include "kv/shard/shard.h"

namespace pakv {

// A session sees its own writes, and what its own answers were decided by: the read goes behind the
// newest pending write of this key that is the session's or that one of its answers waits for.
// Other writes are nobody's concern, unless that one's time is over. Nothing if there is none.
std::optional<bool> Shard::ReadBehindOwnWrite(Request& request) {
  PendingTable::Slot* slot = pending_.Find(request.hash, request.namespace_id, request.key);
  if (slot != nullptr && slot->blocked != nullptr) {
    for (Request* other = slot->blocked->waiting.First(); other != nullptr;
         other = slot->blocked->waiting.Next(*other)) {
      if (other->session != request.session || other->is_read) continue;
      request.KeepArguments();
      slot->blocked->waiting.PushBack(request);
      return false;
    }
  }
  // What a FLUSH holds is newer than what is pending. A key that is blocked has none of it: while
  // writes are held none is blocked, and those that are already gather all that comes.
  Request* held = slot == nullptr || slot->blocked == nullptr ? frozen_.First() : nullptr;
  for (; held != nullptr; held = frozen_.Next(*held)) {
    if (held->session != request.session || held->is_read) continue;
    request.KeepArguments();
    frozen_.PushBack(request);
    return false;
  }
  Request* write = slot == nullptr ? nullptr : slot->newest;
  for (; write != nullptr; write = write->older_) {
    if (write->session != request.session && !write->HasDependent(request.session)) continue;
    // A FLUSH that is over has taken it before anybody could see it.
    if (write->lsn <= DropLsn(request.namespace_id)) break;
    if (LifetimeOf(write->pending_expiry_ms_) != Lifetime::kLives) return ReadOver(request, false);
    QueueBehind(*write, request);
    return false;
  }
  return std::nullopt;
}

void Shard::QueueBehind(Request& write, Request& request) {
  request.KeepArguments();
  request.role_ = Request::Role::kReadBehind;
  request.settles_hash = 0;
  request.lsn = write.lsn;
  request.pending_value_ = write.pending_value_;
  request.pending_delete_ = write.pending_delete_;
  request.pending_in_file_ = write.pending_in_file_;
  request.pending_expiry_ms_ = write.pending_expiry_ms_;
  if (write.pending_in_file_ && !write.pending_delete_ && request.needs == OldState::kValueOrFile)
      [[unlikely]] {
    PinFile(request, write.pending_value_);
  }
  LogWriter::InsertBehind(write, request);
}

// Answers from the write that the request was put behind, while its block is in memory. As in each
// read the key's time counts as it was at the start.
void Shard::ReadPending(Request& request) {
  OldValue old;
  if (request.pending_delete_) {
    ++counters_.read_misses;
  } else {
    ++counters_.read_hits;
    old.exists = true;
    old.lsn = request.lsn;
    old.expiry_ms = request.pending_expiry_ms_;
    old.value = request.pending_value_;
    old.in_file = request.pending_in_file_;
    old.value_length = LengthOf(old);
  }
  AnswerRead(request, old);
}

}  // namespace pakv
