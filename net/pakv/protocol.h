// The words of the pakv protocol: message types, fields, statuses. docs/protocol.md explains them
// and is the paper that other implementations follow; the numbers here are those, for ever.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace pakv {

static_assert(std::endian::native == std::endian::little,
              "the wire is little-endian and is read and written by plain copies");

// No UTF-8 or ASCII text, RESP, TLS or HTTP stream begins with it.
inline constexpr uint8_t kPakvMagic = 0xf7;
inline constexpr uint8_t kPakvVersion = 1;

// The header of every frame. Its layout is the same in all versions.
//   0 magic, 1 version, 2 type, 3 flags (request) or status (reply), 4 body bytes (u32),
//   8 request id (u64), 16 crc32c of the body (u32), 20 crc32c of bytes 0 to 19 (u32)
inline constexpr size_t kPakvHeaderBytes = 24;
// In `flags` of a set: it is a piece of the value, the rest comes in further frames of the same id.
inline constexpr uint8_t kPakvMore = 0x01;
// In `type`: this is the server's reply to a request of the type in the other bits.
inline constexpr uint8_t kPakvReplyBit = 0x80;

enum class PakvType : uint8_t {
  kNone = 0x00,  // in replies to what has no type: a frame that could not be read
  kHello = 0x01,
  kPing = 0x02,
  kGet = 0x10,
  kSet = 0x11,
  kDelete = 0x12,
  kIncr = 0x13,
  kScan = 0x14,
  kBatch = 0x16,
  kStats = 0x20,
  kFlush = 0x21,
  kNamespace = 0x22,
  kNamespaces = 0x23,
  kCheck = 0x24,
  kCompact = 0x25,
};

// A field is its tag and then a number (u64), or, with kPakvBytesBit, a length (u32) and bytes.
// A receiver that does not know a tag skips the field if kPakvIgnorableBit is set, and refuses
// the message (never the connection) otherwise.
inline constexpr uint8_t kPakvBytesBit = 0x40;
inline constexpr uint8_t kPakvIgnorableBit = 0x80;

enum class PakvField : uint8_t {
  kNamespace = 0x01,    // id; absent: 0, the namespace named "0"
  kCondition = 0x02,    // PakvCondition
  kIfVersion = 0x03,    // do it if the key's LSN is this one
  kTtlMs = 0x04,        // request: lives that long; reply: how long it still lives
  kExpiresAtMs = 0x05,  // lives until then, milliseconds since 1970
  kDurability = 0x06,   // PakvDurability; absent: the server's setting
  kOptions = 0x07,      // PakvOption bits
  kNumber = 0x08,       // int64: what to add, what came out, a counter
  kLimit = 0x09,        // scan: at most so many entries
  kLsn = 0x0a,          // the version that a write made, or that a read found
  kTotalBytes = 0x0b,   // of a value that comes in pieces
  kOperation = 0x0c,    // batch: what an entry of it is, as a PakvType
  kStatus = 0x0d,       // batch's reply: what became of an operation; absent: ok
  kVersionMin = 0x10,   // hello: versions that the sender speaks
  kVersionMax = 0x11,
  kFrameBytesMax = 0x12,  // hello's reply: limits of the server; the frame's includes its header
  kKeyBytesMax = 0x13,
  kValueBytesMax = 0x14,
  kInFlightMax = 0x15,  // requests that a connection may have unanswered
  kSession = 0x16,      // hello's reply: the connection's id, as in logs
  kKey = 0x41,
  kValue = 0x42,
  kOldValue = 0x43,
  kPrefix = 0x44,
  kCursor = 0x45,    // scan, compact, namespaces: opaque, at most kPakvCursorBytesMax; absent: the
                     // start, the end
  kText = 0x46,      // of an error or a finding, for people
  kName = 0x49,      // of a namespace
  kEntry = 0x50,     // repeated: fields of one key, counter or operation
  kSoftware = 0xd1,  // hello: name and version of a program, for logs
};

inline constexpr size_t kPakvCursorBytesMax = 64;
// A server's frame-bytes-max is this beside its longest key and its longest value: room for the
// header and the other fields.
inline constexpr size_t kPakvFrameOverheadBytes = 4096;

// A batch's bounds: operations, and bytes of their keys and values, or of the values in its reply.
inline constexpr size_t kPakvBatchOperationsMax = 65'536;
inline constexpr size_t kPakvBatchBytesMax = size_t{16} << 20;
// Its frame may therefore have more bytes than others; an operation's other fields are at most 64.
inline constexpr size_t kPakvBatchFrameBytesMax =
    kPakvFrameOverheadBytes + kPakvBatchBytesMax + kPakvBatchOperationsMax * 64;

enum class PakvCondition : uint8_t { kIfAbsent = 1, kIfPresent = 2 };
enum class PakvDurability : uint8_t { kDurable = 1, kRelaxed = 2 };

enum class PakvOption : uint8_t {
  kReturnOld = 0x01,      // set, delete: the reply holds the value that was replaced
  kKeepTtl = 0x02,        // set: the key's time to live stays
  kWithoutValue = 0x04,   // get: LSN and time to live alone
  kWithValues = 0x08,     // scan: entries hold value and LSN
  kAllNamespaces = 0x10,  // flush
  kCreate = 0x20,         // namespace: if it is not there
  kInPieces = 0x40,       // get: the reply may be in pieces; scan: of long values their length
};

// The high half is the category: what a client does about it does not depend on the low half.
enum class PakvStatus : uint8_t {
  // Done.
  kOk = 0x00,
  kPart = 0x01,  // a piece of the reply; further ones follow, the last has another status
  // Not there.
  kNotFound = 0x10,
  // A condition was not met; nothing was changed.
  kConditionFailed = 0x20,
  // The value does not fit the operation; nothing was changed.
  kNotAnInteger = 0x30,
  kOverflow = 0x31,
  // Not allowed to.
  kAuthenticationNeeded = 0x40,
  kAuthenticationFailed = 0x41,
  kNoRight = 0x42,
  // A limit; nothing was changed.
  kFrameTooLarge = 0x50,
  kKeyTooLong = 0x51,
  kValueTooLong = 0x52,
  kOutOfMemory = 0x53,
  kTooManyConnections = 0x54,
  kTooManyNamespaces = 0x55,
  kBatchTooLarge = 0x56,
  // Not now; nothing was changed.
  kReadOnly = 0x60,
  kDiskFull = 0x61,
  kStopping = 0x62,
  kTimeout = 0x63,        // the request was not complete in time
  kFileError = 0x64,      // a file of the server's could not be opened, written or read
  kNoDescriptors = 0x65,  // the system opens no further file for the server
  // A write that may have happened, or happen at a restart.
  kUnknownOutcome = 0x70,
  // The request cannot be understood, or is of a kind that this server does not have.
  kMalformed = 0x80,
  kBadChecksum = 0x81,
  kUnknownType = 0x82,
  kUnknownField = 0x83,
  kFieldNotAllowed = 0x84,
  kFieldMissing = 0x85,
  kBadValue = 0x86,
  kVersionUnsupported = 0x87,
  kHelloExpected = 0x88,
  kUnsupported = 0x89,
  kUnknownNamespace = 0x8a,
  // Stored data is damaged.
  kDamaged = 0x90,
  // Anything else.
  kInternal = 0xf0,
};

enum class PakvCategory : uint8_t {
  kDone = 0x0,
  kMissing = 0x1,
  kCondition = 0x2,
  kUnfit = 0x3,
  kDenied = 0x4,
  kLimit = 0x5,
  kUnavailable = 0x6,
  kUnknownOutcome = 0x7,
  kProtocol = 0x8,
  kDamage = 0x9,
  kInternal = 0xf,
};
constexpr PakvCategory PakvCategoryOf(PakvStatus status) {
  return static_cast<PakvCategory>(static_cast<uint8_t>(status) >> 4);
}
// pakvctl's exit code for a reply: 0, 1, 4 or 5.
int PakvExitCode(PakvStatus status);

// As in docs/protocol.md: "get", "if-version", "not-found". Empty for what is not known.
std::string_view PakvName(PakvType type);
std::string_view PakvName(PakvField field);
std::string_view PakvName(PakvStatus status);

// All that is known, in ascending order.
inline constexpr PakvType kPakvTypes[] = {
    PakvType::kHello,  PakvType::kPing,    PakvType::kGet,       PakvType::kSet,
    PakvType::kDelete, PakvType::kIncr,    PakvType::kScan,      PakvType::kBatch,
    PakvType::kStats,  PakvType::kFlush,   PakvType::kNamespace, PakvType::kNamespaces,
    PakvType::kCheck,  PakvType::kCompact,
};
inline constexpr PakvField kPakvFields[] = {
    PakvField::kNamespace,     PakvField::kCondition,   PakvField::kIfVersion,
    PakvField::kTtlMs,         PakvField::kExpiresAtMs, PakvField::kDurability,
    PakvField::kOptions,       PakvField::kNumber,      PakvField::kLimit,
    PakvField::kLsn,           PakvField::kTotalBytes,  PakvField::kOperation,
    PakvField::kStatus,        PakvField::kVersionMin,  PakvField::kVersionMax,
    PakvField::kFrameBytesMax, PakvField::kKeyBytesMax, PakvField::kValueBytesMax,
    PakvField::kInFlightMax,   PakvField::kSession,     PakvField::kKey,
    PakvField::kValue,         PakvField::kOldValue,    PakvField::kPrefix,
    PakvField::kCursor,        PakvField::kText,        PakvField::kName,
    PakvField::kEntry,         PakvField::kSoftware,
};

}  // namespace pakv
