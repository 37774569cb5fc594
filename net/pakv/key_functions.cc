// A function tells the reply's status in Reply::integer, and by Reply::kind whether there is an old
// value in Reply::bytes; incr's kOk has the number in Reply::integer, and the kind tells.
#include "net/pakv/key_functions.h"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <optional>

#include "kv/log/format/format_value_file.h"
#include "net/text/numbers.h"
#include "runtime/base/check.h"

namespace pakv {
namespace {

// In Request::options.
enum : uint32_t {
  kIfAbsentBit = 1,
  kIfPresentBit = 2,
  kIfVersionBit = 4,  // it is in if_lsn
  kReturnOldBit = 8,
  kKeepTtlBit = 16,
  kTtlBit = 32,  // expiry_ms counts from the owner's clock
};

Change Decline(Request& request, PakvStatus status) {
  request.reply.integer = static_cast<uint8_t>(status);
  return {};
}

// Kind and bytes of a reply that tells the old value if it was asked for.
void ReturnOld(const OldValue& old, Request& request) {
  const bool asked = (request.options & kReturnOldBit) != 0;
  request.reply.kind = asked && old.exists ? Reply::Kind::kBytes : Reply::Kind::kOk;
  request.reply.bytes = asked && old.exists ? old.value : std::string_view();
}

bool ConditionHolds(const OldValue& old, const Request& request) {
  if ((request.options & kIfAbsentBit) != 0) return !old.exists;
  if ((request.options & kIfPresentBit) != 0) return old.exists;
  if ((request.options & kIfVersionBit) != 0) return old.exists && old.lsn == request.if_lsn;
  return true;
}

// Of a value that is set.
uint64_t ExpiryOf(const OldValue& old, const Request& request) {
  if ((request.options & kKeepTtlBit) != 0) return old.expiry_ms;
  if ((request.options & kTtlBit) == 0) return request.expiry_ms;
  return std::min<uint64_t>(request.ExpiryClockMs() + request.expiry_ms, INT64_MAX);
}

// What a read tells of the key's time: in `number`, 0 if there is none.
void TellTtl(const OldValue& old, Request& request) {
  request.number = 0;
  if (old.expiry_ms == kNoExpiry) return;
  // A read that waited is of the moment at which it began.
  const uint64_t clock_ms = request.ExpiryClockMs();
  request.number = old.expiry_ms > clock_ms ? static_cast<int64_t>(old.expiry_ms - clock_ms) : 1;
}

Change Set(const OldValue& old, Request& request) {
  ReturnOld(old, request);
  if (!ConditionHolds(old, request)) return Decline(request, PakvStatus::kConditionFailed);
  request.reply.integer = 0;
  Change change;
  change.expiry_ms = ExpiryOf(old, request);
  if (change.expiry_ms != kNoExpiry && change.expiry_ms <= request.ExpiryClockMs()) {
    return {.action = Change::Action::kDelete, .value = {}};
  }
  change.action = Change::Action::kWrite;
  change.value = request.value;
  return change;
}

Change Delete(const OldValue& old, Request& request) {
  if (!old.exists) return Decline(request, PakvStatus::kNotFound);
  if (!ConditionHolds(old, request)) return Decline(request, PakvStatus::kConditionFailed);
  ReturnOld(old, request);
  request.reply.integer = 0;
  Change change;
  change.action = Change::Action::kDelete;
  return change;
}

// The longest value that there may be is in `options`.
Change Incr(const OldValue& old, Request& request) {
  request.reply.kind = Reply::Kind::kError;
  const std::optional<int64_t> before = old.exists ? ParseRespInteger(old.value) : 0;
  if (!before) return Decline(request, PakvStatus::kNotAnInteger);
  int64_t after;
  if (__builtin_add_overflow(*before, request.number, &after)) {
    return Decline(request, PakvStatus::kOverflow);
  }
  char digits[24];
  const char* const end = std::to_chars(digits, digits + sizeof(digits), after).ptr;
  const auto length = static_cast<size_t>(end - digits);
  if (length > request.options) return Decline(request, PakvStatus::kValueTooLong);
  request.scratch.assign(digits, length);
  request.reply.kind = Reply::Kind::kInteger;
  request.reply.integer = after;
  Change change;
  change.action = Change::Action::kWrite;
  change.value = request.scratch;
  change.expiry_ms = old.expiry_ms;
  return change;
}

// ---- Replies ----

// True: the request did not come to its function's reply, and this is the one instead.
bool EncodeOutcome(const ReplySlot& slot, PakvType type, OutputBuffer& output) {
  if (slot.outcome == Outcome::kDone) [[likely]]
    return false;
  WritePakvError(output, type, slot.id, PakvStatusOf(slot.outcome),
                 PakvTextOf(slot.outcome, slot.reply.bytes));
  return true;
}

PakvStatus StatusIn(const ReplySlot& slot) {
  return static_cast<PakvStatus>(static_cast<uint8_t>(slot.reply.integer));
}

void WriteTimes(const ReplySlot& slot, PakvWriter& writer) {
  if (slot.number != 0) writer.Number(PakvField::kTtlMs, static_cast<uint64_t>(slot.number));
  if (slot.expiry_ms != kNoExpiry) writer.Number(PakvField::kExpiresAtMs, slot.expiry_ms);
}

// What comes before the pieces of a value.
void WriteFirstPart(const ReplySlot& slot, OutputBuffer& output) {
  PakvWriter writer(output, PakvType::kGet, slot.id, PakvStatus::kPart);
  WriteTimes(slot, writer);
  writer.Number(PakvField::kLsn, slot.lsn);
  writer.Number(PakvField::kTotalBytes, ValueReference::Decode(slot.reply.bytes)->length());
  writer.Finish();
}

void EncodeGet(const ReplySlot& slot, OutputBuffer& output) {
  if (EncodeOutcome(slot, PakvType::kGet, output)) return;
  if (slot.reply.kind == Reply::Kind::kFile) return WriteFirstPart(slot, output);
  PakvWriter writer(output, PakvType::kGet, slot.id, StatusIn(slot));
  WriteTimes(slot, writer);
  if (StatusIn(slot) == PakvStatus::kOk) writer.Number(PakvField::kLsn, slot.lsn);
  if (slot.reply.kind == Reply::Kind::kBytes) {
    writer.Bytes(PakvField::kValue, slot.reply.bytes);
  }
  writer.Finish();
}

// A write that was declined tells the version that declined it, if there is one.
void EncodeWrite(const ReplySlot& slot, PakvType type, OutputBuffer& output) {
  if (EncodeOutcome(slot, type, output)) return;
  const PakvStatus status = StatusIn(slot);
  PakvWriter writer(output, type, slot.id, status);
  if (slot.lsn != kNoLsn) writer.Number(PakvField::kLsn, slot.lsn);
  if (slot.reply.kind == Reply::Kind::kBytes) {
    writer.Bytes(PakvField::kOldValue, slot.reply.bytes);
  }
  writer.Finish();
}

void EncodeSet(const ReplySlot& slot, OutputBuffer& output) {
  EncodeWrite(slot, PakvType::kSet, output);
}

void EncodeDelete(const ReplySlot& slot, OutputBuffer& output) {
  EncodeWrite(slot, PakvType::kDelete, output);
}

void EncodeIncr(const ReplySlot& slot, OutputBuffer& output) {
  if (EncodeOutcome(slot, PakvType::kIncr, output)) return;
  if (slot.reply.kind == Reply::Kind::kError) {
    const PakvStatus status = StatusIn(slot);
    WritePakvError(output, PakvType::kIncr, slot.id, status, PakvTextOfDeclined(status));
    return;
  }
  PakvWriter writer(output, PakvType::kIncr, slot.id, PakvStatus::kOk);
  writer.Number(PakvField::kNumber, static_cast<uint64_t>(slot.reply.integer));
  writer.Number(PakvField::kLsn, slot.lsn);
  writer.Finish();
}

// ---- Requests ----

// What a write that may have a condition, and may return the old value, has to know.
void FillWrite(const PakvFields& fields, OldState at_least, ReplySlot& slot) {
  slot.needs = at_least;
  if (fields.Has(PakvField::kCondition)) {
    const auto condition = static_cast<PakvCondition>(fields.Number(PakvField::kCondition));
    slot.options |= condition == PakvCondition::kIfAbsent ? kIfAbsentBit : kIfPresentBit;
    slot.needs = OldState::kExistence;
  }
  if (fields.Has(PakvField::kIfVersion)) {
    slot.options |= kIfVersionBit;
    slot.if_lsn = fields.Number(PakvField::kIfVersion);
    slot.needs = OldState::kExistence;
  }
  if (fields.HasOption(PakvOption::kReturnOld)) {
    slot.options |= kReturnOldBit;
    slot.needs = OldState::kValue;
  }
  if (fields.HasOption(PakvOption::kKeepTtl)) {
    slot.options |= kKeepTtlBit;
    slot.needs = std::max(slot.needs, OldState::kExistence);
  } else if (fields.Has(PakvField::kTtlMs)) {
    slot.options |= kTtlBit;
    slot.expiry_ms = fields.Number(PakvField::kTtlMs);
  } else {
    slot.expiry_ms = fields.Number(PakvField::kExpiresAtMs, kNoExpiry);
  }
}

Change GetWithoutValue(const OldValue& old, Request& request) {
  request.reply.kind = Reply::Kind::kOk;
  TellTtl(old, request);
  if (!old.exists) return Decline(request, PakvStatus::kNotFound);
  request.reply.integer = 0;
  return {};
}

Change Get(const OldValue& old, Request& request) {
  request.reply.kind = old.exists ? Reply::Kind::kBytes : Reply::Kind::kNull;
  TellTtl(old, request);
  request.reply.bytes = old.value;
  request.reply.integer = old.exists ? 0 : static_cast<uint8_t>(PakvStatus::kNotFound);
  // Whoever takes values in pieces is told when the time ends, too: he may be long in reading.
  if (request.needs == OldState::kValueOrFile) request.expiry_ms = old.expiry_ms;
  if (old.in_file) request.reply.kind = Reply::Kind::kFile;
  return {};
}

}  // namespace

void WritePakvPiece(const ReplySlot& slot, std::string_view piece, bool is_last,
                    OutputBuffer& output) {
  PakvWriter writer(output, PakvType::kGet, slot.id, is_last ? PakvStatus::kOk : PakvStatus::kPart);
  if (is_last) {
    WriteTimes(slot, writer);
    writer.Number(PakvField::kLsn, slot.lsn);
  }
  writer.Bytes(PakvField::kValue, piece);
  writer.Finish();
}

PakvStatus PakvStatusIn(PakvType type, const ReplySlot& slot) {
  const bool is_sum = type == PakvType::kIncr && slot.reply.kind == Reply::Kind::kInteger;
  return is_sum ? PakvStatus::kOk : StatusIn(slot);
}

std::string_view PakvTextOfDeclined(PakvStatus status) {
  switch (status) {
    case PakvStatus::kNotAnInteger:
      return "the value is not an integer of 64 bits";
    case PakvStatus::kOverflow:
      return "the sum does not fit into 64 bits";
    case PakvStatus::kValueTooLong:
      return "the sum has more digits than a value may have (max-value)";
    default:
      return {};
  }
}

Change PakvScanFunction(const OldValue& old, Request& request) {
  request.reply.kind = old.exists ? Reply::Kind::kBytes : Reply::Kind::kNull;
  request.reply.bytes = old.value;
  request.number = static_cast<int64_t>(old.expiry_ms);
  if (old.in_file) {
    request.reply.kind = Reply::Kind::kInteger;
    request.reply.integer = static_cast<int64_t>(ValueReference::Decode(old.value)->length());
    request.reply.bytes = {};
  }
  return {};
}

void FillPakvKeyRequest(PakvType type, const PakvFields& fields, uint32_t value_bytes_max,
                        ReplySlot& slot) {
  slot.key = fields.Bytes(PakvField::kKey);
  slot.value = fields.Bytes(PakvField::kValue);
  slot.number = 0;
  slot.options = 0;
  slot.expiry_ms = kNoExpiry;
  slot.if_lsn = kNoLsn;
  slot.file_admitted = nullptr;
  slot.lsn = kNoLsn;
  slot.outcome = Outcome::kDone;
  slot.reply = {};
  slot.is_write = IsPakvWrite(type);
  slot.is_read = !slot.is_write;
  switch (type) {
    case PakvType::kGet: {
      const bool with_value = !fields.HasOption(PakvOption::kWithoutValue);
      slot.function = with_value ? &Get : &GetWithoutValue;
      slot.needs = with_value ? OldState::kValue : OldState::kExistence;
      if (with_value && fields.HasOption(PakvOption::kInPieces)) {
        slot.needs = OldState::kValueOrFile;
      }
      slot.encode = &EncodeGet;
      return;
    }
    case PakvType::kSet:
      slot.function = &Set;
      slot.encode = &EncodeSet;
      FillWrite(fields, OldState::kNothing, slot);
      return;
    case PakvType::kDelete:
      slot.function = &Delete;
      slot.encode = &EncodeDelete;
      FillWrite(fields, OldState::kExistence, slot);
      return;
    case PakvType::kIncr:
      slot.function = &Incr;
      slot.encode = &EncodeIncr;
      slot.needs = OldState::kValue;
      slot.number = static_cast<int64_t>(fields.Number(PakvField::kNumber, 1));
      slot.options = value_bytes_max;
      return;
    default:
      PAKV_CHECK(false, "not a request on one key");
  }
}

PakvStatus PakvStatusOf(Outcome outcome) {
  switch (outcome) {
    case Outcome::kDone:
      return PakvStatus::kOk;
    case Outcome::kUnknown:
      return PakvStatus::kUnknownOutcome;
    case Outcome::kReadOnly:
      return PakvStatus::kReadOnly;
    case Outcome::kDiskFull:
      return PakvStatus::kDiskFull;
    case Outcome::kNoDescriptors:
      return PakvStatus::kNoDescriptors;
    case Outcome::kOutOfMemory:
      return PakvStatus::kOutOfMemory;
    case Outcome::kDamaged:
      return PakvStatus::kDamaged;
    case Outcome::kStopping:
      return PakvStatus::kStopping;
    case Outcome::kTooLarge:
      return PakvStatus::kBatchTooLarge;
    case Outcome::kNoRoom:
      return PakvStatus::kOutOfMemory;
    case Outcome::kInFile:
      return PakvStatus::kValueTooLong;
    case Outcome::kFileError:
      return PakvStatus::kFileError;
  }
  return PakvStatus::kInternal;
}

std::string_view PakvTextOf(Outcome outcome, std::string_view detail) {
  switch (outcome) {
    case Outcome::kDone:
      return {};
    case Outcome::kUnknown:
      return "the log has failed; the write may appear after a restart";
    case Outcome::kReadOnly:
      return "the log has failed; writes are refused until a restart";
    case Outcome::kDiskFull:
      return "the disk is full; writes are refused until there is space, deletes as soon as their "
             "reserve is used up";
    case Outcome::kNoDescriptors:
      return "out of file descriptors: the system opens no further file for the server, or has no "
             "memory for that; writes are refused until it does, deletes as soon as their reserve "
             "is used up; see ulimit -n, and the server's log";
    case Outcome::kOutOfMemory:
      return "the memory limit is reached; new keys are refused";
    case Outcome::kDamaged:
      return detail.empty() ? "the value on disk is not what was written" : detail;
    case Outcome::kStopping:
      return "the server is stopping";
    case Outcome::kTooLarge:
      return "too many keys or bytes for one batch (65536 operations, 16 MiB of keys and values, "
             "64 "
             "MiB of what it reads)";
    case Outcome::kNoRoom:
      return "no memory for so large a reply now: it is held by others that are under way or not "
             "read by their clients; ask for less, or again";
    case Outcome::kInFile:
      return "the key's value is too long for this request, which works in memory";
    case Outcome::kFileError:
      return detail;
  }
  return "internal error";
}

}  // namespace pakv
