#include "kv/log/format/format.h"

#include <cstring>
#include <string>

#include "kv/log/format/format_bytes.h"
#include "kv/log/format/format_value_file.h"
#include "runtime/base/check.h"
#include "runtime/base/crc32c.h"
#include "runtime/base/seeded_bug.h"
#include "runtime/base/utf8.h"

namespace pakv {
namespace {

constexpr uint32_t kBlockMagic = Magic("PAKB");
constexpr uint32_t kIdentityMagic = Magic("PAKI");
constexpr uint32_t kManifestMagic = Magic("PAKM");

// Offsets within a record.
constexpr size_t kRecordChecksum = 0;
constexpr size_t kRecordLength = 4;
constexpr size_t kRecordLsn = 8;
constexpr size_t kRecordExpiry = 16;
constexpr size_t kRecordNamespace = 24;
constexpr size_t kRecordFlagBits = 28;
constexpr size_t kRecordKeyLength = 32;
constexpr size_t kRecordValueLength = 36;
static_assert(kRecordValueLength + 4 == kRecordHeaderSize);

// Offsets within a block header.
constexpr size_t kBlockRun = 8;
constexpr size_t kBlockLog = 16;
constexpr size_t kBlockSegment = 20;
constexpr size_t kBlockOffset = 24;
constexpr size_t kBlockLength = 28;
constexpr size_t kBlockSequence = 32;
constexpr size_t kBlockKnownDurable = 40;
constexpr size_t kBlockExpiryClock = 48;
constexpr size_t kBlockChain = 56;
constexpr size_t kBlockBodyChecksum = 60;
constexpr size_t kBlockRecordCount = 64;
constexpr size_t kBlockZeroSectors = 68;
static_assert(kBlockZeroSectors + 4 == kBlockHeaderSize);
static_assert(kBlockHeaderSize <= kSectorSize);

bool LsnPossible(Lsn lsn) { return lsn != kNoLsn && lsn <= kLsnMax; }

uint32_t RecordChecksum(const uint8_t* record, size_t length) {
  if (PAKV_BUG(kChecksumMissesLength)) {
    const uint32_t crc = Crc32c(0, record + kRecordLsn, kRecordKeyLength - kRecordLsn);
    return Crc32c(crc, record + kRecordHeaderSize, length - kRecordHeaderSize);
  }
  return Crc32c(0, record + kRecordLength, length - kRecordLength);
}

}  // namespace

bool RecordFlagsAgree(uint32_t flags, uint64_t expiry_ms, size_t key_length, size_t value_length) {
  switch (flags) {
    case kRecordPlain:
      return true;
    case kRecordFile:
      return value_length > kValueReferenceHeaderSize &&
             (value_length - kValueReferenceHeaderSize) % 4 == 0;
    case kRecordDelete:
      return value_length == 0 && expiry_ms == kNoExpiry;
    case kRecordDrop:
      return key_length == 0 && value_length == 0 && expiry_ms == kNoExpiry;
    default:
      return false;
  }
}

bool AllZero(Bytes bytes) {
  size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    if (Get<uint64_t>(bytes.data() + i) != 0) return false;
  }
  for (; i < bytes.size(); ++i) {
    if (bytes[i] != 0) return false;
  }
  return true;
}

uint32_t CountZeroSectors(Bytes bytes) {
  PAKV_CHECK(bytes.size() % kSectorSize == 0);
  uint32_t count = 0;
  for (size_t at = 0; at < bytes.size(); at += kSectorSize) {
    count += AllZero(bytes.subspan(at, kSectorSize)) ? 1 : 0;
  }
  return count;
}

uint32_t EncodeRecord(uint8_t* out, const RecordFields& fields) {
  const size_t length = EncodedRecordSize(fields.key, fields.value);
  PAKV_CHECK(length < kSegmentBytesMax);
  PAKV_CHECK(LsnPossible(fields.lsn));
  PAKV_CHECK(
      RecordFlagsAgree(fields.flags, fields.expiry_ms, fields.key.size(), fields.value.size()));
  Put(out + kRecordLength, static_cast<uint32_t>(length));
  Put(out + kRecordLsn, fields.lsn);
  Put(out + kRecordExpiry, fields.expiry_ms);
  Put(out + kRecordNamespace, fields.namespace_id);
  Put(out + kRecordFlagBits, fields.flags);
  Put(out + kRecordKeyLength, static_cast<uint32_t>(fields.key.size()));
  Put(out + kRecordValueLength, static_cast<uint32_t>(fields.value.size()));
  // An empty view may have no address, and memcpy wants one even for nothing.
  if (!fields.key.empty()) {
    std::memcpy(out + kRecordHeaderSize, fields.key.data(), fields.key.size());
  }
  if (!fields.value.empty()) {
    std::memcpy(out + kRecordHeaderSize + fields.key.size(), fields.value.data(),
                fields.value.size());
  }
  const uint32_t checksum = RecordChecksum(out, length);
  Put(out + kRecordChecksum, checksum);
  return checksum;
}

Lsn LsnOfRecord(const uint8_t* record) { return Get<uint64_t>(record + kRecordLsn); }
uint32_t ChecksumOfRecord(const uint8_t* record) { return Get<uint32_t>(record + kRecordChecksum); }

std::optional<Record> DecodeRecord(Bytes bytes) {
  if (bytes.size() < kRecordHeaderSize) return std::nullopt;
  const uint8_t* in = bytes.data();
  const uint32_t length = Get<uint32_t>(in + kRecordLength);
  const uint32_t key_length = Get<uint32_t>(in + kRecordKeyLength);
  uint32_t value_length = Get<uint32_t>(in + kRecordValueLength);
  if (length < kRecordHeaderSize || length > bytes.size()) return std::nullopt;
  if (PAKV_BUG(kChecksumMissesLength) && key_length <= length - kRecordHeaderSize) {
    value_length = length - static_cast<uint32_t>(kRecordHeaderSize) - key_length;
  }
  // In 64 bits: the sum of the two may not wrap around to the right length.
  if (uint64_t{key_length} + value_length + kRecordHeaderSize != length) return std::nullopt;

  Record record;
  record.length = length;
  record.checksum = Get<uint32_t>(in + kRecordChecksum);
  record.fields.lsn = Get<uint64_t>(in + kRecordLsn);
  record.fields.expiry_ms = Get<uint64_t>(in + kRecordExpiry);
  record.fields.namespace_id = Get<uint32_t>(in + kRecordNamespace);
  record.fields.flags = Get<uint32_t>(in + kRecordFlagBits);
  const char* text = reinterpret_cast<const char*>(in) + kRecordHeaderSize;
  record.fields.key = std::string_view(text, key_length);
  record.fields.value = std::string_view(text + key_length, value_length);
  if (!LsnPossible(record.fields.lsn)) return std::nullopt;
  if (!RecordFlagsAgree(record.fields.flags, record.fields.expiry_ms, key_length, value_length)) {
    return std::nullopt;
  }
  if (RecordChecksum(in, length) != record.checksum) return std::nullopt;
  return record;
}

std::optional<std::string_view> KeyOfDamagedRecord(Bytes bytes) {
  if (bytes.size() < kRecordHeaderSize) return std::nullopt;
  const uint32_t key_length = Get<uint32_t>(bytes.data() + kRecordKeyLength);
  if (key_length > bytes.size() - kRecordHeaderSize) return std::nullopt;
  const char* text = reinterpret_cast<const char*>(bytes.data()) + kRecordHeaderSize;
  return std::string_view(text, key_length);
}

uint32_t EncodeBlockHeader(uint8_t* out, const BlockHeader& header) {
  PAKV_CHECK(header.run != 0);
  PAKV_CHECK(header.known_durable < header.sequence);
  PAKV_CHECK(header.offset % kSectorSize == 0);
  PAKV_CHECK(header.length != 0 && header.length % kSectorSize == 0);
  Put(out + 4, kBlockMagic);
  Put(out + kBlockRun, header.run);
  Put(out + kBlockLog, header.log);
  Put(out + kBlockSegment, header.segment);
  Put(out + kBlockOffset, header.offset);
  Put(out + kBlockLength, header.length);
  Put(out + kBlockSequence, header.sequence);
  Put(out + kBlockKnownDurable, header.known_durable);
  Put(out + kBlockExpiryClock, header.expiry_clock_ms);
  Put(out + kBlockChain, header.chain);
  Put(out + kBlockBodyChecksum, header.body_checksum);
  Put(out + kBlockRecordCount, header.record_count);
  Put(out + kBlockZeroSectors, header.zero_sectors);
  const uint32_t checksum = Crc32c(0, out + 4, kBlockHeaderSize - 4);
  Put(out, checksum);
  return checksum;
}

std::optional<DecodedBlockHeader> DecodeBlockHeader(Bytes bytes) {
  if (bytes.size() < kBlockHeaderSize) return std::nullopt;
  const uint8_t* in = bytes.data();
  if (Get<uint32_t>(in + 4) != kBlockMagic) return std::nullopt;
  DecodedBlockHeader decoded;
  decoded.checksum = Get<uint32_t>(in);
  if (Crc32c(0, in + 4, kBlockHeaderSize - 4) != decoded.checksum) return std::nullopt;
  BlockHeader& header = decoded.header;
  header.run = Get<uint64_t>(in + kBlockRun);
  header.log = Get<uint32_t>(in + kBlockLog);
  header.segment = Get<uint32_t>(in + kBlockSegment);
  header.offset = Get<uint32_t>(in + kBlockOffset);
  header.length = Get<uint32_t>(in + kBlockLength);
  header.sequence = Get<uint64_t>(in + kBlockSequence);
  header.known_durable = Get<uint64_t>(in + kBlockKnownDurable);
  header.expiry_clock_ms = Get<uint64_t>(in + kBlockExpiryClock);
  header.chain = Get<uint32_t>(in + kBlockChain);
  header.body_checksum = Get<uint32_t>(in + kBlockBodyChecksum);
  header.record_count = Get<uint32_t>(in + kBlockRecordCount);
  header.zero_sectors = Get<uint32_t>(in + kBlockZeroSectors);
  if (header.run == 0) return std::nullopt;
  if (header.known_durable >= header.sequence) return std::nullopt;
  if (header.offset % kSectorSize != 0) return std::nullopt;
  if (header.length == 0 || header.length % kSectorSize != 0) return std::nullopt;
  return decoded;
}

uint32_t BodyChecksum(uint32_t so_far, uint32_t record_checksum) {
  std::array<uint8_t, 4> bytes;
  Put(bytes.data(), record_checksum);
  return Crc32c(so_far, bytes.data(), bytes.size());
}

BlockRecords::BlockRecords(Bytes block, uint32_t record_count)
    : block_(block), left_(record_count) {
  PAKV_CHECK(block.size() >= kBlockHeaderSize);
}

std::optional<Record> BlockRecords::Next() {
  if (left_ == 0 || damaged_) return std::nullopt;
  std::optional<Record> record = DecodeRecord(block_.subspan(next_offset_));
  if (!record) {
    damaged_ = true;
    return std::nullopt;
  }
  StepOver(record->length, record->checksum);
  return record;
}

bool BlockRecords::Skip() {
  if (left_ == 0 || damaged_) return false;
  const Bytes rest = block_.subspan(next_offset_);
  const uint8_t* const record = rest.data();
  const uint32_t length =
      rest.size() < kRecordHeaderSize ? 0 : Get<uint32_t>(record + kRecordLength);
  if (length < kRecordHeaderSize || length > rest.size()) {
    damaged_ = true;
    return false;
  }
  StepOver(length, ChecksumOfRecord(record));
  return true;
}

void BlockRecords::StepOver(uint32_t length, uint32_t checksum) {
  --left_;
  record_offset_ = next_offset_;
  next_offset_ += length;
  body_checksum_ = BodyChecksum(body_checksum_, checksum);
}

bool BlockRecords::BodyRight(const BlockHeader& header) const {
  PAKV_CHECK(block_.size() == header.length);
  return left_ == 0 && !damaged_ && body_checksum_ == header.body_checksum &&
         AllZero(block_.subspan(next_offset_)) && CountZeroSectors(block_) == header.zero_sectors;
}

bool BlockBodyRight(Bytes block, const BlockHeader& header) {
  BlockRecords records(block, header.record_count);
  while (records.Next()) {
  }
  return records.BodyRight(header);
}

void EncodeIdentity(uint8_t* out, const Identity& identity) {
  std::memset(out, 0, kIdentitySize);
  Put(out + 4, kIdentityMagic);
  Put(out + 8, kFormatVersion);
  Put(out + 12, static_cast<uint32_t>(identity.engine));
  std::memcpy(out + 16, identity.store_id.data(), identity.store_id.size());
  Put(out + 32, identity.hash_seed);
  Put(out, Crc32c(0, out + 4, kIdentitySize - 4));
}

DecodedIdentity DecodeIdentity(Bytes bytes) {
  DecodedIdentity decoded;
  const uint8_t* in = bytes.data();
  if (bytes.size() != kIdentitySize) return decoded;
  if (Get<uint32_t>(in + 4) != kIdentityMagic) return decoded;
  if (Crc32c(0, in + 4, kIdentitySize - 4) != Get<uint32_t>(in)) return decoded;
  decoded.format = Get<uint32_t>(in + 8);
  const uint32_t engine = Get<uint32_t>(in + 12);
  if (decoded.format > kFormatVersion || (engine != static_cast<uint32_t>(EngineKind::kLog) &&
                                          engine != static_cast<uint32_t>(EngineKind::kMemory))) {
    decoded.verdict = IdentityVerdict::kNewer;
    return decoded;
  }
  if (!AllZero(bytes.subspan(40))) return decoded;
  decoded.verdict = IdentityVerdict::kGood;
  decoded.identity.engine = static_cast<EngineKind>(engine);
  std::memcpy(decoded.identity.store_id.data(), in + 16, decoded.identity.store_id.size());
  decoded.identity.hash_seed = Get<uint64_t>(in + 32);
  return decoded;
}

std::optional<uint32_t> NumberedNamespace(std::string_view name) {
  for (uint32_t id = 0; id < kNumberedNamespaces; ++id) {
    if (name == std::to_string(id)) return id;
  }
  return std::nullopt;
}

bool IsNamespaceName(std::string_view name) {
  return !name.empty() && name.size() <= kNamespaceNameBytesMax && IsUtf8(name);
}

namespace {

constexpr size_t kNamespaceEntrySize = 8;  // without the name

// The fields of a `namespace` are ones that it can have.
bool IsNamespaceEntry(const ManifestEntry& entry) {
  return entry.namespace_id >= kNumberedNamespaces && entry.namespace_id < kNamespacesMax &&
         IsNamespaceName(entry.name) && !NumberedNamespace(entry.name);
}

}  // namespace

size_t EncodedManifestEntrySize(const ManifestEntry& entry) {
  switch (entry.type) {
    case ManifestEntry::Type::kStart:
      return 36;
    case ManifestEntry::Type::kCreated:
      return 44;
    case ManifestEntry::Type::kSealed:
      return 16;
    case ManifestEntry::Type::kDropped:
      return 8;
    case ManifestEntry::Type::kFooter:
      return 12;
    case ManifestEntry::Type::kNamespace:
      return kNamespaceEntrySize + entry.name.size();
  }
  return 0;  // a type read from disk that this format does not know
}

bool ManifestSector::Add(const ManifestEntry& entry) {
  const size_t length = EncodedManifestEntrySize(entry);
  PAKV_CHECK(length != 0);
  if (used_ + length > entries_.size()) return false;
  uint8_t* out = entries_.data() + used_;
  Put(out, static_cast<uint16_t>(entry.type));
  Put(out + 2, static_cast<uint16_t>(length));
  switch (entry.type) {
    case ManifestEntry::Type::kStart:
      Put(out + 4, entry.run_counter);
      Put(out + 12, entry.next_segment);
      Put(out + 16, entry.fresh_sectors);
      Put(out + 20, entry.lsn_max);
      Put(out + 28, entry.expiry_clock_ms);
      break;
    case ManifestEntry::Type::kCreated:
      Put(out + 4, entry.segment);
      Put(out + 8, entry.log);
      Put(out + 12, entry.run);
      Put(out + 20, static_cast<uint32_t>(entry.kind));
      Put(out + 24, entry.size);
      Put(out + 32, entry.first_sequence);
      Put(out + 40, entry.first_chain);
      break;
    case ManifestEntry::Type::kSealed:
      Put(out + 4, entry.segment);
      Put(out + 8, entry.end_offset);
      break;
    case ManifestEntry::Type::kDropped:
      Put(out + 4, entry.segment);
      break;
    case ManifestEntry::Type::kFooter:
      Put(out + 4, entry.segment);
      Put(out + 8, entry.footer_bytes);
      break;
    case ManifestEntry::Type::kNamespace:
      PAKV_CHECK(IsNamespaceEntry(entry));
      Put(out + 4, entry.namespace_id);
      std::memcpy(out + kNamespaceEntrySize, entry.name.data(), entry.name.size());
      break;
  }
  used_ += static_cast<uint32_t>(length);
  ++count_;
  return true;
}

uint32_t ManifestSector::Encode(uint8_t* out, uint64_t run, uint32_t index, uint32_t chain) const {
  PAKV_CHECK(count_ > 0);
  PAKV_CHECK(run != 0);
  Put(out + 4, kManifestMagic);
  Put(out + 8, run);
  Put(out + 16, index);
  Put(out + 20, chain);
  Put(out + 24, count_);
  std::memcpy(out + kManifestHeaderSize, entries_.data(), entries_.size());
  const uint32_t checksum = Crc32c(0, out + 4, kSectorSize - 4);
  Put(out, checksum);
  return checksum;
}

namespace {

// The entry in `in`, `length` bytes of it at hand; nothing if its length is not its type's, or a
// field is one that none can have.
std::optional<ManifestEntry> DecodeManifestEntry(const uint8_t* in, size_t length) {
  ManifestEntry entry;
  entry.type = static_cast<ManifestEntry::Type>(Get<uint16_t>(in));
  const ManifestEntry::Type type = entry.type;
  if (type == ManifestEntry::Type::kNamespace) {
    if (length <= kNamespaceEntrySize) return std::nullopt;
    entry.namespace_id = Get<uint32_t>(in + 4);
    entry.name = {reinterpret_cast<const char*>(in) + kNamespaceEntrySize,
                  length - kNamespaceEntrySize};
    if (!IsNamespaceEntry(entry)) return std::nullopt;
    return entry;
  }
  if (length != EncodedManifestEntrySize(entry)) return std::nullopt;
  if (type == ManifestEntry::Type::kStart) {
    entry.run_counter = Get<uint64_t>(in + 4);
    entry.next_segment = Get<uint32_t>(in + 12);
    entry.fresh_sectors = Get<uint32_t>(in + 16);
    entry.lsn_max = Get<uint64_t>(in + 20);
    entry.expiry_clock_ms = Get<uint64_t>(in + 28);
    if (entry.run_counter == 0 || entry.next_segment == 0 || entry.fresh_sectors == 0 ||
        entry.lsn_max > kLsnMax) {
      return std::nullopt;
    }
    return entry;
  }
  entry.segment = Get<uint32_t>(in + 4);
  if (entry.segment == 0) return std::nullopt;
  if (type == ManifestEntry::Type::kCreated) {
    entry.log = Get<uint32_t>(in + 8);
    entry.run = Get<uint64_t>(in + 12);
    const uint32_t kind = Get<uint32_t>(in + 20);
    entry.kind = static_cast<SegmentKind>(kind);
    entry.size = Get<uint64_t>(in + 24);
    entry.first_sequence = Get<uint64_t>(in + 32);
    entry.first_chain = Get<uint32_t>(in + 40);
    if (kind != static_cast<uint32_t>(SegmentKind::kCommit) &&
        kind != static_cast<uint32_t>(SegmentKind::kCompaction)) {
      return std::nullopt;
    }
    if (entry.run == 0 || entry.first_sequence == 0) return std::nullopt;
    if (entry.size == 0 || entry.size > kSegmentBytesMax || entry.size % kSectorSize != 0) {
      return std::nullopt;
    }
  } else if (type == ManifestEntry::Type::kSealed) {
    entry.end_offset = Get<uint64_t>(in + 8);
    if (entry.end_offset % kSectorSize != 0) return std::nullopt;
  } else if (type == ManifestEntry::Type::kFooter) {
    entry.footer_bytes = Get<uint32_t>(in + 8);
    if (entry.footer_bytes == 0 || entry.footer_bytes % kSectorSize != 0) return std::nullopt;
    if (entry.footer_bytes > kSegmentBytesMax) return std::nullopt;
  }
  return entry;
}

}  // namespace

std::optional<DecodedManifestSector> DecodeManifestSector(Bytes bytes) {
  PAKV_CHECK(bytes.size() == kSectorSize);
  const uint8_t* in = bytes.data();
  if (Get<uint32_t>(in + 4) != kManifestMagic) return std::nullopt;
  DecodedManifestSector sector;
  sector.checksum = Get<uint32_t>(in);
  if (Crc32c(0, in + 4, kSectorSize - 4) != sector.checksum) return std::nullopt;
  sector.run = Get<uint64_t>(in + 8);
  sector.index = Get<uint32_t>(in + 16);
  sector.chain = Get<uint32_t>(in + 20);
  sector.entry_count = Get<uint32_t>(in + 24);
  if (sector.run == 0) return std::nullopt;
  if (sector.entry_count == 0 || sector.entry_count > sector.entries.size()) return std::nullopt;
  size_t at = kManifestHeaderSize;
  for (uint32_t i = 0; i < sector.entry_count; ++i) {
    if (at + 4 > kSectorSize) return std::nullopt;
    const size_t length = Get<uint16_t>(in + at + 2);
    if (length == 0 || at + length > kSectorSize) return std::nullopt;
    const std::optional<ManifestEntry> entry = DecodeManifestEntry(in + at, length);
    if (!entry) return std::nullopt;
    sector.entries[i] = *entry;
    at += length;
  }
  if (!AllZero(bytes.subspan(at))) return std::nullopt;
  return sector;
}

}  // namespace pakv
