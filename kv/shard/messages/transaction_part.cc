#include "kv/shard/messages/transaction_part.h"

#include "kv/log/format/format_value_file.h"
#include "runtime/base/coverage.h"

namespace pakv {

void TransactionKey::KeepOld(const OldValue& found) {
  old = found;
  old_bytes.clear();
  if (found.in_file) PAKV_COVERED(kTransactionMetValueFile);
  if (needs >= OldState::kValue && found.in_file && !takes_file) {
    // What it makes of a value, and keeps of it, lies in memory.
    outcome = Outcome::kInFile;
  } else if (needs >= OldState::kValue) {
    const Outcome kept = part->KeepsOld(found.value.size());
    if (kept == Outcome::kDone) {
      old_bytes.assign(found.value);
    } else {
      outcome = kept;
    }
  }
  old.value = old_bytes;
  // With a reply of this kind the file stays pinned.
  if (takes_file && found.in_file) reply.kind = Reply::Kind::kFile;
}

OldValue TransactionKey::Now() const {
  if (!is_written) return old;
  OldValue now;
  if (pending_delete_) return now;
  now.exists = true;
  now.expiry_ms = pending_expiry_ms_;
  now.value = new_value;
  now.in_file = pending_in_file_;
  now.value_length = static_cast<uint32_t>(pending_in_file_ ? DecodeValueFileHead(new_value)->length
                                                            : new_value.size());
  return now;
}

void TransactionKey::Write(std::string_view bytes, uint64_t bytes_expiry_ms, bool is_kept) {
  if (!is_kept) new_bytes.assign(bytes);
  new_value = is_kept ? bytes : std::string_view(new_bytes);
  pending_delete_ = false;
  pending_expiry_ms_ = bytes_expiry_ms;
  pending_value_ = new_value;
  pending_in_file_ = false;
  is_written = true;
}

void TransactionKey::WriteFile(std::string_view reference, uint64_t file_expiry_ms,
                               bool* admitted) {
  Write(reference, file_expiry_ms, /*is_kept=*/false);
  pending_in_file_ = true;
  file_admitted = admitted;
}

void TransactionKey::Delete() {
  new_value = {};
  pending_delete_ = true;
  pending_value_ = {};
  // What was not there needs no record to be gone.
  is_written = needs == OldState::kNothing || old.exists;
}

}  // namespace pakv
