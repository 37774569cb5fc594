// The bytes on disk: the only code that knows them. docs/format.md is the specification, and its
// vectors are this code's test (a segment's footer: format_footer.h). Nothing here does I/O, and
// nothing decoded is trusted before it is checked: each length is compared with the bytes at hand
// before it is used.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "kv/log/format/lsn.h"

namespace pakv {

// docs/format.md, "Versions". Frozen: a change of what the bytes mean is a version of its own.
inline constexpr uint32_t kFormatVersion = 1;
// What a drive writes whole or not at all.
inline constexpr size_t kSectorSize = 512;
using Bytes = std::span<const uint8_t>;

inline constexpr size_t RoundUp(size_t value, size_t unit) {
  return (value + unit - 1) / unit * unit;
}
inline constexpr uint64_t RoundDown(uint64_t value, uint64_t unit) { return value / unit * unit; }
// True if every byte is zero. Any length and alignment.
bool AllZero(Bytes bytes);
// How many 512-byte sectors of `bytes` are zero; its length is a multiple of 512.
uint32_t CountZeroSectors(Bytes bytes);

// ---- Record ----

inline constexpr size_t kRecordHeaderSize = 40;
inline constexpr uint64_t kNoExpiry = 0;
// In a drop: every namespace. No namespace has this id.
inline constexpr uint32_t kEveryNamespace = UINT32_MAX;

enum RecordFlags : uint32_t {
  kRecordPlain = 0,
  kRecordDelete = 1,  // the key is gone as of this LSN
  kRecordDrop = 2,    // everything in the namespace (kEveryNamespace: in all) that is older is gone
  kRecordFile = 4,    // the value lies in a file; here is a reference (format_value_file.h)
};
// Whether such a record gives its key a value.
constexpr bool HoldsValue(uint32_t flags) { return (flags & (kRecordDelete | kRecordDrop)) == 0; }

// Deletes have no value and no expiry, drops no key either; nothing else is known.
bool RecordFlagsAgree(uint32_t flags, uint64_t expiry_ms, size_t key_length, size_t value_length);

// What a record says. `key` and `value` are borrowed.
struct RecordFields {
  Lsn lsn = kNoLsn;
  uint64_t expiry_ms = kNoExpiry;  // since 1970
  uint32_t namespace_id = 0;
  uint32_t flags = kRecordPlain;
  std::string_view key;
  std::string_view value;
};

// A record that was read: its fields point into the bytes it was decoded from.
struct Record {
  RecordFields fields;
  uint32_t checksum = 0;
  uint32_t length = 0;  // of the whole record
};

// Where a record lies. A segment's number is never used again, so a location means one record
// for ever.
struct Location {
  uint32_t segment = 0;  // 0: none
  uint32_t offset = 0;
  uint32_t length = 0;
  friend constexpr bool operator==(const Location&, const Location&) = default;
};

constexpr size_t EncodedRecordSize(size_t key_length, size_t value_length) {
  return kRecordHeaderSize + key_length + value_length;
}
inline size_t EncodedRecordSize(std::string_view key, std::string_view value) {
  return EncodedRecordSize(key.size(), value.size());
}
// Writes EncodedRecordSize(key, value) bytes to `out` and returns the record's checksum. The key
// and the value are copied once, here. CHECKs that the fields are ones that DecodeRecord accepts.
uint32_t EncodeRecord(uint8_t* out, const RecordFields& fields);

// The LSN of a record that EncodeRecord wrote, and its checksum.
Lsn LsnOfRecord(const uint8_t* record);
uint32_t ChecksumOfRecord(const uint8_t* record);

// The record at the start of `bytes` (which may go on behind it); nothing if it does not fit into
// `bytes` or is damaged in any way.
std::optional<Record> DecodeRecord(Bytes bytes);

// What the key of a damaged record seems to be, for people: nothing if that cannot be told.
std::optional<std::string_view> KeyOfDamagedRecord(Bytes bytes);

// ---- Block ----

inline constexpr size_t kBlockHeaderSize = 72;
// Blocks and offsets are 32-bit; a segment never reaches this.
inline constexpr uint64_t kSegmentBytesMax = uint64_t{1} << 31;

struct BlockHeader {
  uint64_t run = 0;
  uint32_t log = 0;
  uint32_t segment = 0;
  uint32_t offset = 0;
  uint32_t length = 0;  // bytes with header and padding
  uint64_t sequence = 0;
  uint64_t known_durable = 0;
  uint64_t expiry_clock_ms = 0;
  uint32_t chain = 0;  // the checksum of the header before
  uint32_t body_checksum = 0;
  uint32_t record_count = 0;
  uint32_t zero_sectors = 0;
  friend bool operator==(const BlockHeader&, const BlockHeader&) = default;
};

// Writes kBlockHeaderSize bytes and returns the header's checksum, the next block's chain.
uint32_t EncodeBlockHeader(uint8_t* out, const BlockHeader& header);

struct DecodedBlockHeader {
  BlockHeader header;
  uint32_t checksum = 0;
};
// The header at the start of `bytes`; nothing if its checksum or magic is wrong, or a field is one
// that no block can have. Whether it belongs where it was found is the caller's question.
std::optional<DecodedBlockHeader> DecodeBlockHeader(Bytes bytes);

// The body checksum over one more record: `so_far` is that of the records before, 0 for none.
uint32_t BodyChecksum(uint32_t so_far, uint32_t record_checksum);

// Walks over the records of a block whose header was decoded. `block` is the whole block.
class BlockRecords {
 public:
  BlockRecords(Bytes block, uint32_t record_count);
  // The next valid record, with `offset()` its place in the block; nothing at the end or at a
  // damaged one (then `damaged()`).
  std::optional<Record> Next();
  // Steps over the next record, of which only the length and the checksum are looked at, as they
  // count for BodyRight: its bytes may be damaged. False as where Next returns nothing.
  bool Skip();
  uint32_t offset() const { return record_offset_; }
  // Where Next or Skip will find theirs.
  uint32_t next_offset() const { return next_offset_; }
  bool damaged() const { return damaged_; }
  // After the last record: BlockBodyRight, for those who walk over the records anyway. What they
  // have been given before is right only if this is true.
  bool BodyRight(const BlockHeader& header) const;

 private:
  void StepOver(uint32_t length, uint32_t checksum);

  Bytes block_;
  uint32_t left_;
  uint32_t body_checksum_ = 0;
  uint32_t record_offset_ = 0;
  uint32_t next_offset_ = kBlockHeaderSize;
  bool damaged_ = false;
};

// True if `block` (header.length bytes) holds exactly what its header says: records, checksums,
// zeros behind them, zero sectors.
bool BlockBodyRight(Bytes block, const BlockHeader& header);

// ---- IDENTITY ----

inline constexpr size_t kIdentitySize = kSectorSize;

enum class EngineKind : uint32_t { kLog = 1, kMemory = 2 };

struct Identity {
  EngineKind engine = EngineKind::kLog;
  std::array<uint8_t, 16> store_id{};
  uint64_t hash_seed = 0;
  friend bool operator==(const Identity&, const Identity&) = default;
};

void EncodeIdentity(uint8_t* out, const Identity& identity);

enum class IdentityVerdict { kGood, kDamaged, kNewer };
struct DecodedIdentity {
  IdentityVerdict verdict = IdentityVerdict::kDamaged;
  // Where not damaged. One below kFormatVersion is good, too: its directory is upgraded.
  uint32_t format = 0;
  Identity identity;  // where good
};
// `bytes` is the whole file.
DecodedIdentity DecodeIdentity(Bytes bytes);

// ---- MANIFEST ----

enum class SegmentKind : uint32_t { kCommit = 1, kCompaction = 2 };

// Namespaces 0 to 15 are named "0" to "15" and are always there; further ones have their names in
// MANIFEST.
inline constexpr uint32_t kNumberedNamespaces = 16;
inline constexpr uint32_t kNamespacesMax = 65536;
inline constexpr size_t kNamespaceNameBytesMax = 255;
// The id of "0" to "15"; nothing for other names.
std::optional<uint32_t> NumberedNamespace(std::string_view name);
// Whether a namespace may be named so: 1 to kNamespaceNameBytesMax bytes of UTF-8.
bool IsNamespaceName(std::string_view name);

// One entry; the fields that its type does not have are 0.
struct ManifestEntry {
  enum class Type : uint16_t {
    kStart = 1,
    kCreated = 2,
    kSealed = 3,
    kDropped = 4,
    kFooter = 5,
    kNamespace = 6,
  };
  Type type = Type::kStart;
  // start
  uint64_t run_counter = 0;
  uint32_t next_segment = 0;
  uint32_t fresh_sectors = 0;
  Lsn lsn_max = kNoLsn;
  uint64_t expiry_clock_ms = 0;
  // created, sealed, dropped, footer
  uint32_t segment = 0;
  // created
  uint32_t log = 0;
  uint64_t run = 0;
  SegmentKind kind = SegmentKind::kCommit;
  uint64_t size = 0;
  uint64_t first_sequence = 0;
  uint32_t first_chain = 0;
  // created; not on disk: none of its records is older, kNoLsn if that is not known
  Lsn lsn_floor = kNoLsn;
  // sealed
  uint64_t end_offset = 0;
  // footer
  uint32_t footer_bytes = 0;
  // namespace; decoded, the name is borrowed from the sector's bytes
  uint32_t namespace_id = 0;
  std::string_view name;
  friend bool operator==(const ManifestEntry&, const ManifestEntry&) = default;
};

inline constexpr size_t kManifestHeaderSize = 28;
size_t EncodedManifestEntrySize(const ManifestEntry& entry);

// Fills one sector of MANIFEST.
class ManifestSector {
 public:
  ManifestSector() = default;
  // False, with nothing changed, if the entry does not fit any more.
  bool Add(const ManifestEntry& entry);
  bool empty() const { return count_ == 0; }
  // Completes the sector in `out` (512 bytes) and returns its checksum, the next one's chain.
  uint32_t Encode(uint8_t* out, uint64_t run, uint32_t index, uint32_t chain) const;

 private:
  std::array<uint8_t, kSectorSize - kManifestHeaderSize> entries_{};
  uint32_t used_ = 0;
  uint32_t count_ = 0;
};

struct DecodedManifestSector {
  uint64_t run = 0;
  uint32_t index = 0;
  uint32_t chain = 0;
  uint32_t checksum = 0;
  uint32_t entry_count = 0;
  static constexpr uint32_t kEntriesMax = (kSectorSize - kManifestHeaderSize) / 8;
  std::array<ManifestEntry, kEntriesMax> entries{};
};
// One sector that is not zero; nothing if it is damaged. `bytes` is 512 long, and holds the names.
std::optional<DecodedManifestSector> DecodeManifestSector(Bytes bytes);

}  // namespace pakv
