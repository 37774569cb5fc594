#include "kv/shard/transaction_part.h"

#include "kv/shard/shard.h"

namespace pakv {

void TransactionKey::KeepOld(const OldValue& found) {
  old = found;
  old_bytes.clear();
  if (needs >= OldState::kValue && found.in_file) {
    // What it makes of a value, and keeps of it, lies in memory.
    outcome = Outcome::kInFile;
  } else if (needs >= OldState::kValue) {
    part->read_bytes_ += found.value.size();
    if (part->read_bytes_ > kPartReadBytesMax) {
      outcome = Outcome::kTooLarge;
    } else {
      old_bytes.assign(found.value);
    }
  }
  old.value = old_bytes;
}

OldValue TransactionKey::Now() const {
  if (!is_written) return old;
  OldValue now;
  if (pending_delete_) return now;
  now.exists = true;
  now.expiry_ms = pending_expiry_ms_;
  now.value = new_bytes;
  now.value_length = static_cast<uint32_t>(new_bytes.size());
  return now;
}

void TransactionKey::Write(std::string_view bytes, uint64_t bytes_expiry_ms) {
  new_bytes.assign(bytes);
  pending_delete_ = false;
  pending_expiry_ms_ = bytes_expiry_ms;
  pending_value_ = new_bytes;
  is_written = true;
}

void TransactionKey::Delete() {
  new_bytes.clear();
  pending_delete_ = true;
  pending_value_ = {};
  // What was not there needs no record to be gone.
  is_written = needs == OldState::kNothing || old.exists;
}

TransactionPart::Decides::Decides(TransactionPart& part_in)
    : Runnable([](Runnable& self) {
        TransactionPart& decided = static_cast<Decides&>(self).part;
        decided.shard->StartPart(decided);
      }),
      part(part_in) {}

}  // namespace pakv
