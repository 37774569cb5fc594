// What messages ask of the shard that they have come to: the parts of Request and TransactionPart
// that know what a shard is.
#include "kv/shard/shard.h"

namespace pakv {

Request::Request()
    : DurableEntry([](DurableEntry& entry, Settlement settlement) {
        auto& request = static_cast<Request&>(entry);
        request.shard_->Settled(request, settlement);
      }) {}

uint64_t Request::ExpiryClockMs() const { return shard_->log_->ExpiryClockMs(); }

// On the core that holds the reply.
void Request::GiveRoom() {
  shard_->reply_room_.Give(room_bytes_);
  room_bytes_ = 0;
}

Outcome TransactionPart::KeepsOld(size_t bytes) {
  if (bytes > kPartReadBytesMax - read_bytes_) return Outcome::kTooLarge;
  if (!shard->transaction_memory().Take(bytes, read_bytes_)) return Outcome::kNoRoom;
  read_bytes_ += bytes;
  return Outcome::kDone;
}

void TransactionPart::ForgetOld() {
  if (read_bytes_ == 0) return;
  shard->transaction_memory().Give(read_bytes_);
  read_bytes_ = 0;
}

TransactionPart::Decides::Decides(TransactionPart& part_in)
    : Runnable([](Runnable& self) {
        TransactionPart& decided = static_cast<Decides&>(self).part;
        decided.shard->StartPart(decided);
      }),
      part(part_in) {}

}  // namespace pakv
