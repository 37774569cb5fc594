#include "kv/shard/messages/request.h"

#include "runtime/base/check.h"

namespace pakv {
namespace {

// What a request keeps of its own memory for its next use, per buffer.
constexpr size_t kKeptBytesMax = 4096;

void Shrink(std::string& bytes) {
  if (bytes.capacity() > kKeptBytesMax) {
    std::string().swap(bytes);
  } else {
    bytes.clear();
  }
}

bool Holds(const std::string& memory, std::string_view bytes) {
  return bytes.data() >= memory.data() && bytes.data() < memory.data() + memory.size();
}

}  // namespace

Outcome OutcomeOf(Admission refused) {
  switch (refused) {
    case Admission::kOk:
      break;
    case Admission::kReadOnly:
      return Outcome::kReadOnly;
    case Admission::kDiskFull:
      return Outcome::kDiskFull;
    case Admission::kNoDescriptors:
      return Outcome::kNoDescriptors;
  }
  PAKV_CHECK(false, "it was not refused");
  return Outcome::kReadOnly;
}

Outcome OutcomeOf(Settlement settlement) {
  switch (settlement) {
    case Settlement::kDurable:
      return Outcome::kDone;
    case Settlement::kUnknown:
      return Outcome::kUnknown;
    case Settlement::kDiskFull:
      return Outcome::kDiskFull;
    case Settlement::kNoDescriptors:
      return Outcome::kNoDescriptors;
  }
  PAKV_CHECK(false, "it is one of these");
  return Outcome::kUnknown;
}

Outcome OutcomeOfRead(const absl::Status& failed) {
  return absl::IsDataLoss(failed) ? Outcome::kDamaged : Outcome::kFileError;
}

void Request::KeepArguments() {
  if (Holds(arguments_, key) || (key.empty() && value.empty()) ||
      (key.empty() && Holds(arguments_, value))) {
    return;
  }
  const size_t key_length = key.size();
  const size_t value_length = value.size();
  arguments_.clear();
  arguments_.reserve(key_length + value_length);
  arguments_.append(key).append(value);
  key = std::string_view(arguments_).substr(0, key_length);
  value = std::string_view(arguments_).substr(key_length, value_length);
}

void Request::KeepReply() {
  if (reply.bytes.empty() || Holds(reply_bytes_, reply.bytes)) return;
  reply_bytes_.assign(reply.bytes);
  reply.bytes = reply_bytes_;
}

void Request::Reset() {
  ReleaseRoom();
  PAKV_DCHECK(!linked() && older_ == nullptr && newer_ == nullptr);
  PAKV_DCHECK(pinned_file_ == 0, "whoever got the file has to release it");
  hash = 0;
  namespace_id = 0;
  is_read = false;
  needs = OldState::kNothing;
  session_has_writes = false;
  file_admitted = nullptr;
  function = nullptr;
  key = value = {};
  number = 0;
  expiry_ms = kNoExpiry;
  if_lsn = kNoLsn;
  options = 0;
  outcome = Outcome::kDone;
  reply = {};
  lsn = kNoLsn;
  kind_ = Kind::kOne;
  group_.reset();
  Shrink(scratch);
  Shrink(arguments_);
  Shrink(reply_bytes_);
}

}  // namespace pakv
