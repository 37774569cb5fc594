#include "net/pakv/protocol.h"

namespace pakv {

int PakvExitCode(PakvStatus status) {
  switch (PakvCategoryOf(status)) {
    case PakvCategory::kDone:
      return 0;
    case PakvCategory::kMissing:
    case PakvCategory::kCondition:
      return 1;
    case PakvCategory::kUnfit:
    case PakvCategory::kDenied:
    case PakvCategory::kLimit:
    case PakvCategory::kUnavailable:
      return 4;
    case PakvCategory::kUnknownOutcome:
    case PakvCategory::kProtocol:
    case PakvCategory::kDamage:
    case PakvCategory::kInternal:
      break;
  }
  return 5;
}

std::string_view PakvName(PakvType type) {
  switch (type) {
    case PakvType::kNone:
      return "none";
    case PakvType::kHello:
      return "hello";
    case PakvType::kPing:
      return "ping";
    case PakvType::kGet:
      return "get";
    case PakvType::kSet:
      return "set";
    case PakvType::kDelete:
      return "delete";
    case PakvType::kIncr:
      return "incr";
    case PakvType::kScan:
      return "scan";
    case PakvType::kBatch:
      return "batch";
    case PakvType::kStats:
      return "stats";
    case PakvType::kFlush:
      return "flush";
    case PakvType::kNamespace:
      return "namespace";
    case PakvType::kNamespaces:
      return "namespaces";
    case PakvType::kCheck:
      return "check";
    case PakvType::kCompact:
      return "compact";
  }
  return "";
}

std::string_view PakvName(PakvField field) {
  switch (field) {
    case PakvField::kNamespace:
      return "namespace";
    case PakvField::kCondition:
      return "condition";
    case PakvField::kIfVersion:
      return "if-version";
    case PakvField::kTtlMs:
      return "ttl-ms";
    case PakvField::kExpiresAtMs:
      return "expires-at-ms";
    case PakvField::kDurability:
      return "durability";
    case PakvField::kOptions:
      return "options";
    case PakvField::kNumber:
      return "number";
    case PakvField::kLimit:
      return "limit";
    case PakvField::kLsn:
      return "lsn";
    case PakvField::kTotalBytes:
      return "total-bytes";
    case PakvField::kOperation:
      return "operation";
    case PakvField::kStatus:
      return "status";
    case PakvField::kVersionMin:
      return "version-min";
    case PakvField::kVersionMax:
      return "version-max";
    case PakvField::kFrameBytesMax:
      return "frame-bytes-max";
    case PakvField::kKeyBytesMax:
      return "key-bytes-max";
    case PakvField::kValueBytesMax:
      return "value-bytes-max";
    case PakvField::kInFlightMax:
      return "in-flight-max";
    case PakvField::kSession:
      return "session";
    case PakvField::kKey:
      return "key";
    case PakvField::kValue:
      return "value";
    case PakvField::kOldValue:
      return "old-value";
    case PakvField::kPrefix:
      return "prefix";
    case PakvField::kCursor:
      return "cursor";
    case PakvField::kText:
      return "text";
    case PakvField::kName:
      return "name";
    case PakvField::kEntry:
      return "entry";
    case PakvField::kSoftware:
      return "software";
  }
  return "";
}

std::string_view PakvName(PakvStatus status) {
  switch (status) {
    case PakvStatus::kOk:
      return "ok";
    case PakvStatus::kPart:
      return "part";
    case PakvStatus::kNotFound:
      return "not-found";
    case PakvStatus::kConditionFailed:
      return "condition-failed";
    case PakvStatus::kNotAnInteger:
      return "not-an-integer";
    case PakvStatus::kOverflow:
      return "overflow";
    case PakvStatus::kAuthenticationNeeded:
      return "authentication-needed";
    case PakvStatus::kAuthenticationFailed:
      return "authentication-failed";
    case PakvStatus::kNoRight:
      return "no-right";
    case PakvStatus::kFrameTooLarge:
      return "frame-too-large";
    case PakvStatus::kKeyTooLong:
      return "key-too-long";
    case PakvStatus::kValueTooLong:
      return "value-too-long";
    case PakvStatus::kOutOfMemory:
      return "out-of-memory";
    case PakvStatus::kTooManyConnections:
      return "too-many-connections";
    case PakvStatus::kTooManyNamespaces:
      return "too-many-namespaces";
    case PakvStatus::kBatchTooLarge:
      return "batch-too-large";
    case PakvStatus::kReadOnly:
      return "read-only";
    case PakvStatus::kDiskFull:
      return "disk-full";
    case PakvStatus::kStopping:
      return "stopping";
    case PakvStatus::kTimeout:
      return "timeout";
    case PakvStatus::kFileError:
      return "file-error";
    case PakvStatus::kNoDescriptors:
      return "no-descriptors";
    case PakvStatus::kUnknownOutcome:
      return "unknown-outcome";
    case PakvStatus::kMalformed:
      return "malformed";
    case PakvStatus::kBadChecksum:
      return "bad-checksum";
    case PakvStatus::kUnknownType:
      return "unknown-type";
    case PakvStatus::kUnknownField:
      return "unknown-field";
    case PakvStatus::kFieldNotAllowed:
      return "field-not-allowed";
    case PakvStatus::kFieldMissing:
      return "field-missing";
    case PakvStatus::kBadValue:
      return "bad-value";
    case PakvStatus::kVersionUnsupported:
      return "version-unsupported";
    case PakvStatus::kHelloExpected:
      return "hello-expected";
    case PakvStatus::kUnsupported:
      return "unsupported";
    case PakvStatus::kUnknownNamespace:
      return "unknown-namespace";
    case PakvStatus::kDamaged:
      return "damaged";
    case PakvStatus::kInternal:
      return "internal";
  }
  return "";
}

}  // namespace pakv
