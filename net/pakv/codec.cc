// Long because: frames, fields, the rules of requests and the writer share one layout.
#include "net/pakv/codec.h"

#include <algorithm>
#include <cstring>

#include "runtime/base/crc32c.h"

namespace pakv {
namespace {

constexpr size_t kLengthOffset = 4;
constexpr size_t kIdOffset = 8;
constexpr size_t kBodyCrcOffset = 16;
constexpr size_t kHeaderCrcOffset = 20;
static_assert(kHeaderCrcOffset + sizeof(uint32_t) == kPakvHeaderBytes);

constexpr size_t kNumberFieldBytes = 1 + sizeof(uint64_t);
constexpr size_t kBytesFieldHeaderBytes = 1 + sizeof(uint32_t);

template <typename Number>
Number Load(const char* at) {
  Number value;
  std::memcpy(&value, at, sizeof(value));
  return value;
}

template <typename Number>
char* Store(char* at, Number value) {
  std::memcpy(at, &value, sizeof(value));
  return at + sizeof(value);
}

constexpr std::array<bool, 256> KnownTags() {
  std::array<bool, 256> known{};
  for (const PakvField field : kPakvFields) known[static_cast<uint8_t>(field)] = true;
  return known;
}
constexpr std::array<bool, 256> kKnownTags = KnownTags();

template <typename... Fields>
constexpr uint64_t Mask(Fields... fields) {
  return (uint64_t{0} | ... | PakvFields::Bit(fields));
}
template <typename... Options>
constexpr uint64_t OptionMask(Options... options) {
  return (uint64_t{0} | ... | static_cast<uint8_t>(options));
}

// What a request of a type holds, and what its reply promises.
struct Rule {
  uint64_t required;
  uint64_t optional;
  uint64_t options;         // bits of kOptions
  uint64_t reply_required;  // with kOk
};

using enum PakvField;
using enum PakvOption;
constexpr Rule kHelloRule{Mask(kVersionMin, kVersionMax), Mask(kSoftware), 0,
                          Mask(kVersionMin, kVersionMax, kFrameBytesMax, kKeyBytesMax,
                               kValueBytesMax, kInFlightMax, kSession)};
constexpr Rule kPingRule{0, Mask(kValue), 0, 0};
constexpr Rule kGetRule{Mask(kKey), Mask(kNamespace, kOptions),
                        OptionMask(kWithoutValue, kInPieces), Mask(kLsn)};
constexpr Rule kSetRule{
    Mask(kKey, kValue),
    Mask(kNamespace, kCondition, kIfVersion, kTtlMs, kExpiresAtMs, kDurability, kOptions),
    OptionMask(kReturnOld, kKeepTtl), Mask(kLsn)};
// A piece of a set's value, before the last; the last is the set.
constexpr Rule kPieceRule{Mask(kValue), Mask(kTotalBytes), 0, 0};
constexpr Rule kDeleteRule{Mask(kKey), Mask(kNamespace, kIfVersion, kDurability, kOptions),
                           OptionMask(kReturnOld), Mask(kLsn)};
constexpr Rule kIncrRule{Mask(kKey), Mask(kNamespace, kNumber, kDurability), 0,
                         Mask(kLsn, kNumber)};
constexpr Rule kScanRule{0, Mask(kNamespace, kOptions, kLimit, kPrefix, kCursor),
                         OptionMask(kWithValues, kInPieces), 0};
constexpr Rule kBatchRule{Mask(kEntry), Mask(kNamespace, kDurability), 0, 0};
constexpr Rule kStatsRule{0, 0, 0, 0};
constexpr Rule kCheckRule{0, 0, 0, 0};
constexpr Rule kCompactRule{0, Mask(kNumber, kCursor), 0, 0};
constexpr Rule kFlushRule{0, Mask(kNamespace, kDurability, kOptions), OptionMask(kAllNamespaces),
                          Mask(kLsn)};

constexpr Rule kNamespaceRule{Mask(kName), Mask(kOptions), OptionMask(kCreate), Mask(kNamespace)};
constexpr Rule kNamespacesRule{0, Mask(kLimit, kCursor), 0, 0};

const Rule* RuleOf(PakvType type) {
  switch (type) {
    case PakvType::kHello:
      return &kHelloRule;
    case PakvType::kPing:
      return &kPingRule;
    case PakvType::kGet:
      return &kGetRule;
    case PakvType::kSet:
      return &kSetRule;
    case PakvType::kDelete:
      return &kDeleteRule;
    case PakvType::kIncr:
      return &kIncrRule;
    case PakvType::kScan:
      return &kScanRule;
    case PakvType::kBatch:
      return &kBatchRule;
    case PakvType::kStats:
      return &kStatsRule;
    case PakvType::kFlush:
      return &kFlushRule;
    case PakvType::kNamespace:
      return &kNamespaceRule;
    case PakvType::kNamespaces:
      return &kNamespacesRule;
    case PakvType::kCheck:
      return &kCheckRule;
    case PakvType::kCompact:
      return &kCompactRule;
    case PakvType::kNone:
      break;
  }
  return nullptr;
}

// The first field of a set, for an error's text.
PakvField FirstOf(uint64_t set) {
  for (const PakvField field : kPakvFields) {
    if ((set & PakvFields::Bit(field)) != 0) return field;
  }
  PAKV_CHECK(false, "a set of known fields that is not empty");
}

// Of an operation of a batch; nullptr if there is none of this number.
const Rule* OperationRuleOf(uint64_t operation) {
  switch (operation) {
    case static_cast<uint64_t>(PakvType::kGet):
    case static_cast<uint64_t>(PakvType::kSet):
    case static_cast<uint64_t>(PakvType::kDelete):
    case static_cast<uint64_t>(PakvType::kIncr):
      return RuleOf(static_cast<PakvType>(operation));
    default:
      return nullptr;
  }
}

PakvStatus CheckValues(const Rule& rule, PakvFields& fields) {
  const auto has = [&](PakvField field) { return fields.Has(field); };
  const auto bad = [&](PakvField field) { return fields.Fault(field, PakvStatus::kBadValue); };
  if (has(kOptions)) {
    if ((fields.Number(kOptions) & ~rule.options) != 0) return bad(kOptions);
    if (fields.HasOption(kAllNamespaces) && has(kNamespace)) return bad(kNamespace);
  }
  constexpr uint64_t kChecked = Mask(kCondition, kIfVersion, kTtlMs, kExpiresAtMs, kDurability,
                                     kLimit, kLsn, kVersionMin, kVersionMax, kCursor);
  if ((fields.present() & kChecked) == 0) [[likely]]
    return PakvStatus::kOk;
  const auto in = [&](PakvField field, uint64_t first, uint64_t last) {
    return !has(field) || (fields.Number(field) >= first && fields.Number(field) <= last);
  };
  if (!in(kCondition, 1, 2)) return bad(kCondition);
  if (!in(kDurability, 1, 2)) return bad(kDurability);
  for (const PakvField field : {kIfVersion, kTtlMs, kExpiresAtMs, kLimit}) {
    if (!in(field, 1, INT64_MAX)) return bad(field);
  }
  if (!in(kLsn, 0, INT64_MAX)) return bad(kLsn);
  if (has(kCondition) && has(kIfVersion)) return bad(kIfVersion);
  if (has(kTtlMs) + has(kExpiresAtMs) + fields.HasOption(PakvOption::kKeepTtl) > 1) {
    return bad(has(kTtlMs) ? kTtlMs : kExpiresAtMs);
  }
  if (!in(kVersionMin, 1, UINT8_MAX)) return bad(kVersionMin);
  if (!in(kVersionMax, fields.Number(kVersionMin), UINT8_MAX)) return bad(kVersionMax);
  if (fields.Bytes(kCursor).size() > kPakvCursorBytesMax) return bad(kCursor);
  return PakvStatus::kOk;
}

PakvStatus CheckFields(const Rule& rule, uint64_t required, uint64_t optional, PakvFields& fields) {
  const uint64_t present = fields.present();
  if (const uint64_t extra = present & ~(required | optional); extra != 0) {
    return fields.Fault(FirstOf(extra), PakvStatus::kFieldNotAllowed);
  }
  if (const uint64_t missing = required & ~present; missing != 0) {
    return fields.Fault(FirstOf(missing), PakvStatus::kFieldMissing);
  }
  return CheckValues(rule, fields);
}

PakvStatus CheckOperation(PakvFields& fields) {
  if (!fields.Has(kOperation)) return fields.Fault(kOperation, PakvStatus::kFieldMissing);
  const Rule* const rule = OperationRuleOf(fields.Number(kOperation));
  if (rule == nullptr) return fields.Fault(kOperation, PakvStatus::kBadValue);
  // Those are of the whole batch.
  constexpr uint64_t kOfTheBatch = Mask(kNamespace, kDurability);
  if (fields.HasOption(PakvOption::kInPieces)) {
    return fields.Fault(kOptions, PakvStatus::kBadValue);
  }
  return CheckFields(*rule, rule->required | Mask(kOperation), rule->optional & ~kOfTheBatch,
                     fields);
}

PakvStatus CheckOperations(PakvFields& fields) {
  PakvEntryReader reader(fields.entries());
  PakvFields operation;
  uint32_t number = 0;
  PakvStatus status = PakvStatus::kOk;
  while (status == PakvStatus::kOk && reader.Next(operation)) {
    ++number;
    status = CheckOperation(operation);
  }
  if (!reader.ok()) {
    ++number;
    status = reader.status();
  }
  if (status != PakvStatus::kOk) fields.FaultOfEntry(operation.fault_tag(), number);
  return status;
}

}  // namespace

constexpr bool PakvFields::IndexesFit() {
  uint64_t seen = 0;
  for (const PakvField field : kPakvFields) {
    if (Index(field) >= (IsNumber(field) ? kNumbers : kBytes) || (seen & Bit(field)) != 0) {
      return false;
    }
    seen |= Bit(field);
  }
  return true;
}

PakvFrameReader::PakvFrameReader(PakvReads reads, size_t frame_bytes_max, size_t batch_bytes_max)
    : reads_(reads),
      frame_bytes_max_(frame_bytes_max),
      batch_bytes_max_(std::max(batch_bytes_max, frame_bytes_max)) {
  PAKV_CHECK(frame_bytes_max >= kPakvHeaderBytes);
  PAKV_CHECK(batch_bytes_max_ <= INT32_MAX, "what Crc32c takes at once");
}

PakvFrameReader::Status PakvFrameReader::Next(std::string_view& input, PakvFrame& frame) {
  if (skip_bytes_ > 0) [[unlikely]] {
    const size_t skipped = std::min(skip_bytes_, input.size());
    input.remove_prefix(skipped);
    skip_bytes_ -= skipped;
    frame_bytes_min_ = 1;
    if (skip_bytes_ > 0) return Status::kPartial;
  }
  if (failed_) [[unlikely]]
    return Status::kError;
  if (!header_read_) {
    if (!input.empty() && static_cast<uint8_t>(input[0]) != kPakvMagic) [[unlikely]] {
      return Fail(PakvStatus::kMalformed, "not a pakv frame: it begins with another byte");
    }
    if (input.size() < kPakvHeaderBytes) {
      frame_bytes_min_ = input.empty() ? 1 : kPakvHeaderBytes;
      return Status::kPartial;
    }
    if (ReadHeader(input) == Status::kError) return Status::kError;
    const size_t bytes = kPakvHeaderBytes + header_.body_bytes;
    if (version_ != kPakvVersion) [[unlikely]] {
      return Refuse(input, frame, PakvStatus::kVersionUnsupported, bytes);
    }
    const bool is_piece = header_.flags == kPakvMore && header_.type == PakvType::kSet;
    if (header_.flags != 0 && !is_piece) [[unlikely]] {
      return Refuse(input, frame, PakvStatus::kUnsupported, bytes);
    }
    if (bytes > frame_bytes_max_ && (header_.type != PakvType::kBatch || bytes > batch_bytes_max_))
        [[unlikely]] {
      return Refuse(input, frame, PakvStatus::kFrameTooLarge, bytes);
    }
    header_read_ = true;
  }
  const size_t bytes = kPakvHeaderBytes + header_.body_bytes;
  if (input.size() < bytes) [[unlikely]] {
    frame_bytes_min_ = bytes;
    return Status::kPartial;
  }
  const std::string_view body = input.substr(kPakvHeaderBytes, header_.body_bytes);
  if (Crc32c(0, body.data(), body.size()) != body_crc_) [[unlikely]] {
    return Refuse(input, frame, PakvStatus::kBadChecksum, bytes);
  }
  header_read_ = false;
  frame = header_;
  frame.body = body;
  input.remove_prefix(bytes);
  return Status::kFrame;
}

// kFrame: believed. `input` begins with a whole header and that with the magic byte.
PakvFrameReader::Status PakvFrameReader::ReadHeader(std::string_view input) {
  const char* const at = input.data();
  if (Crc32c(0, at, kHeaderCrcOffset) != Load<uint32_t>(at + kHeaderCrcOffset)) [[unlikely]] {
    return Fail(PakvStatus::kBadChecksum, "a frame's header does not match its checksum");
  }
  version_ = Load<uint8_t>(at + 1);
  const uint8_t type = Load<uint8_t>(at + 2);
  const uint8_t flags = Load<uint8_t>(at + 3);
  header_.type = static_cast<PakvType>(type & ~kPakvReplyBit);
  header_.body_bytes = Load<uint32_t>(at + kLengthOffset);
  header_.id = Load<uint64_t>(at + kIdOffset);
  body_crc_ = Load<uint32_t>(at + kBodyCrcOffset);
  if (reads_ == PakvReads::kReplies) {
    header_.status = static_cast<PakvStatus>(flags);
    if ((type & kPakvReplyBit) != 0) return Status::kFrame;
    return Fail(PakvStatus::kMalformed, "a request where replies are due");
  }
  header_.flags = flags;
  if ((type & kPakvReplyBit) != 0) {
    return Fail(PakvStatus::kMalformed, "a reply where requests are due");
  }
  if (header_.id == 0) return Fail(PakvStatus::kMalformed, "a request's id must not be 0");
  return Status::kFrame;
}

PakvFrameReader::Status PakvFrameReader::Refuse(std::string_view& input, PakvFrame& frame,
                                                PakvStatus refusal, size_t bytes) {
  frame = header_;
  refusal_ = refusal;
  Skip(input, bytes);
  return Status::kRefused;
}

void PakvFrameReader::SkipPartial(std::string_view& input) {
  PAKV_CHECK(header_read_, "there is no frame to skip");
  Skip(input, kPakvHeaderBytes + header_.body_bytes);
}

void PakvFrameReader::Skip(std::string_view& input, size_t bytes) {
  header_read_ = false;
  const size_t present = std::min(bytes, input.size());
  input.remove_prefix(present);
  skip_bytes_ = bytes - present;
}

PakvFrameReader::Status PakvFrameReader::Fail(PakvStatus refusal, std::string_view text) {
  failed_ = true;
  refusal_ = refusal;
  error_ = text;
  return Status::kError;
}

PakvStatus PakvFields::Decode(std::string_view body) {
  static_assert(IndexesFit(), "each field has a place of its own");
  present_ = 0;
  fault_tag_ = 0;
  fault_entry_ = 0;
  const char* at = body.data();
  const char* const end = at + body.size();
  uint8_t last = 0;
  while (at != end) {
    const uint8_t tag = static_cast<uint8_t>(*at);
    const PakvField field = static_cast<PakvField>(tag);
    const size_t left = static_cast<size_t>(end - at);
    const bool known = kKnownTags[tag];
    fault_tag_ = tag;
    if (tag < last || (tag == last && known && field != PakvField::kEntry)) [[unlikely]] {
      return PakvStatus::kMalformed;
    }
    last = tag;
    const char* const begin = at;
    if ((tag & kPakvBytesBit) == 0) {
      if (left < kNumberFieldBytes) [[unlikely]]
        return PakvStatus::kMalformed;
      if (known) numbers_[Index(field)] = Load<uint64_t>(at + 1);
      at += kNumberFieldBytes;
    } else {
      if (left < kBytesFieldHeaderBytes) [[unlikely]]
        return PakvStatus::kMalformed;
      const uint32_t length = Load<uint32_t>(at + 1);
      if (length > left - kBytesFieldHeaderBytes) [[unlikely]]
        return PakvStatus::kMalformed;
      at += kBytesFieldHeaderBytes;
      if (known) bytes_[Index(field)] = std::string_view(at, length);
      at += length;
    }
    if (!known) [[unlikely]] {
      if ((tag & kPakvIgnorableBit) == 0) return PakvStatus::kUnknownField;
      continue;
    }
    if (field == PakvField::kEntry) {
      // All entries together, tags included: they stand side by side.
      const char* const first = Has(field) ? entries_begin_ : begin;
      entries_begin_ = first;
      bytes_[Index(field)] = std::string_view(first, static_cast<size_t>(at - first));
    }
    present_ |= Bit(field);
  }
  fault_tag_ = 0;
  return PakvStatus::kOk;
}

bool PakvEntryReader::Next(PakvFields& entry) {
  if (rest_.empty()) return false;
  // PakvFields::Decode has checked the lengths of these fields.
  PAKV_CHECK(rest_.size() >= kBytesFieldHeaderBytes);
  const uint32_t length = Load<uint32_t>(rest_.data() + 1);
  PAKV_CHECK(length <= rest_.size() - kBytesFieldHeaderBytes);
  const std::string_view body = rest_.substr(kBytesFieldHeaderBytes, length);
  rest_.remove_prefix(kBytesFieldHeaderBytes + length);
  status_ = entry.Decode(body);
  if (ok() && entry.Has(PakvField::kEntry)) {
    status_ = entry.Fault(PakvField::kEntry, PakvStatus::kMalformed);
  }
  if (!ok()) rest_ = {};
  return ok();
}

PakvStatus DecodePakvRequest(const PakvFrame& frame, PakvFields& fields) {
  const Rule* const rule = (frame.flags & kPakvMore) != 0 ? &kPieceRule : RuleOf(frame.type);
  if (rule == nullptr) return fields.Fault(PakvField{}, PakvStatus::kUnknownType);
  if (const PakvStatus status = fields.Decode(frame.body); status != PakvStatus::kOk) {
    return status;
  }
  const PakvStatus status = CheckFields(*rule, rule->required, rule->optional, fields);
  if (status != PakvStatus::kOk || frame.type != PakvType::kBatch) [[likely]]
    return status;
  return CheckOperations(fields);
}

PakvStatus DecodePakvReply(const PakvFrame& frame, PakvFields& fields) {
  const Rule* const rule = RuleOf(frame.type);
  if (rule == nullptr && frame.status == PakvStatus::kOk) {
    return fields.Fault(PakvField{}, PakvStatus::kUnknownType);
  }
  if (const PakvStatus status = fields.Decode(frame.body); status != PakvStatus::kOk) {
    return status;
  }
  if (frame.status != PakvStatus::kOk) return PakvStatus::kOk;
  if (const uint64_t missing = rule->reply_required & ~fields.present(); missing != 0) {
    return fields.Fault(FirstOf(missing), PakvStatus::kFieldMissing);
  }
  return PakvStatus::kOk;
}

std::string PakvFaultText(PakvStatus status, uint8_t fault_tag, uint32_t fault_entry) {
  std::string text(PakvName(status));
  std::replace(text.begin(), text.end(), '-', ' ');
  if (fault_entry != 0) text = "operation " + std::to_string(fault_entry) + ": " + text;
  if (fault_tag == 0) return text;
  constexpr char kHex[] = "0123456789abcdef";
  text += ": field 0x";
  text += kHex[fault_tag >> 4];
  text += kHex[fault_tag & 15];
  if (const std::string_view name = PakvName(static_cast<PakvField>(fault_tag)); !name.empty()) {
    text.append(" (").append(name).append(")");
  }
  return text;
}

PakvWriter::PakvWriter(OutputBuffer& output, PakvType type, uint64_t id)
    : PakvWriter(output, static_cast<uint8_t>(type), 0, id) {
  PAKV_CHECK(id != 0, "0 names no request");
}

PakvWriter::PakvWriter(OutputBuffer& output, PakvType type, uint64_t id, PakvStatus status)
    : PakvWriter(output, static_cast<uint8_t>(type) | kPakvReplyBit, static_cast<uint8_t>(status),
                 id) {}

PakvWriter::PakvWriter(OutputBuffer& output, int type, uint8_t flags, uint64_t id)
    : output_(output),
      begin_(output.size()),
      type_(static_cast<uint8_t>(type)),
      flags_(flags),
      id_(id) {
  output_.Commit(output_.Reserve(kPakvHeaderBytes) + kPakvHeaderBytes);
}

void PakvWriter::Ascend(PakvField field) {
  const uint8_t tag = static_cast<uint8_t>(field);
  PAKV_CHECK(tag > tag_ || field == PakvField::kEntry, "fields are written in ascending order");
  tag_ = tag;
}

void PakvWriter::Number(PakvField field, uint64_t value) {
  PAKV_DCHECK(PakvFields::IsNumber(field));
  Ascend(field);
  char* at = output_.Reserve(kNumberFieldBytes);
  at = Store(at, static_cast<uint8_t>(field));
  output_.Commit(Store(at, value));
}

void PakvWriter::Bytes(PakvField field, std::string_view value) {
  PAKV_DCHECK(!PakvFields::IsNumber(field) && field != PakvField::kEntry);
  PAKV_CHECK(value.size() <= INT32_MAX);
  Ascend(field);
  char* at = output_.Reserve(kBytesFieldHeaderBytes + value.size());
  at = Store(at, static_cast<uint8_t>(field));
  at = Store(at, static_cast<uint32_t>(value.size()));
  if (!value.empty()) std::memcpy(at, value.data(), value.size());
  output_.Commit(at + value.size());
}

void PakvWriter::BeginEntry() {
  PAKV_CHECK(entry_begin_ == 0, "entries do not nest");
  Ascend(PakvField::kEntry);
  char* at = output_.Reserve(kBytesFieldHeaderBytes);
  at = Store(at, static_cast<uint8_t>(PakvField::kEntry));
  output_.Commit(Store(at, uint32_t{0}));
  entry_begin_ = output_.size();
  tag_ = 0;
}

void PakvWriter::EndEntry() {
  PAKV_CHECK(entry_begin_ != 0, "an entry is open");
  const size_t bytes = output_.size() - entry_begin_;
  PAKV_CHECK(bytes <= INT32_MAX);
  char length[sizeof(uint32_t)];
  Store(length, static_cast<uint32_t>(bytes));
  output_.Overwrite(entry_begin_ - sizeof(length), {length, sizeof(length)});
  entry_begin_ = 0;
  tag_ = static_cast<uint8_t>(PakvField::kEntry);
}

void PakvWriter::Finish() {
  PAKV_CHECK(entry_begin_ == 0, "every entry is ended");
  const size_t body_bytes = frame_bytes() - kPakvHeaderBytes;
  PAKV_CHECK(body_bytes <= INT32_MAX, "a caller bounds what it writes");
  // In whole words: the checksum's loads then find them without waiting.
  uint64_t header[kPakvHeaderBytes / sizeof(uint64_t)];
  header[0] = kPakvMagic | uint64_t{kPakvVersion} << 8 | uint64_t{type_} << 16 |
              uint64_t{flags_} << 24 | static_cast<uint64_t>(body_bytes) << 32;
  header[1] = id_;
  header[2] = Crc32c(0, output_.data() + begin_ + kPakvHeaderBytes, body_bytes);
  header[2] |= uint64_t{Crc32c(0, header, kHeaderCrcOffset)} << 32;
  output_.Overwrite(begin_, {reinterpret_cast<const char*>(header), sizeof(header)});
}

void WritePakvError(OutputBuffer& output, PakvType type, uint64_t id, PakvStatus status,
                    std::string_view text) {
  PakvWriter writer(output, type, id, status);
  writer.Bytes(PakvField::kText, text);
  writer.Finish();
}

}  // namespace pakv
