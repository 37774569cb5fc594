#include "kv/log/format/format_footer.h"

#include <algorithm>
#include <cstring>

#include "kv/log/format/format_bytes.h"
#include "kv/log/format/format_value_file.h"
#include "kv/log/format/key_filter.h"
#include "runtime/base/check.h"
#include "runtime/base/crc32c.h"
#include "runtime/base/seeded_bug.h"

namespace pakv {
namespace {

constexpr uint32_t kFooterMagic = Magic("PAKF");

// Offsets within a trailer.
constexpr size_t kTrailerRun = 8;
constexpr size_t kTrailerLog = 16;
constexpr size_t kTrailerSegment = 20;
constexpr size_t kTrailerEndOffset = 24;
constexpr size_t kTrailerPlainLsnMin = 32;
constexpr size_t kTrailerLsnMax = 40;
constexpr size_t kTrailerExpiryClock = 48;
constexpr size_t kTrailerRecordCount = 56;
constexpr size_t kTrailerBlockCount = 60;
constexpr size_t kTrailerEntriesBytes = 64;
constexpr size_t kTrailerEntriesChecksum = 68;
constexpr size_t kTrailerFilterBytes = 72;
constexpr size_t kTrailerFilterChecksum = 76;
constexpr size_t kTrailerUsed = 80;

// The first byte of an entry.
enum EntryBits : uint8_t {
  kEntryDelete = 1,
  kEntryDrop = 2,
  kEntryExpiry = 4,
  kEntryNamespace = 8,
  kEntryGap = 16,
  kEntryFile = 32,
  kEntryKnown = 63,
};

void PutVarint(std::vector<uint8_t>& out, uint64_t value) {
  while (value >= 0x80) {
    out.push_back(static_cast<uint8_t>(value) | 0x80);
    value >>= 7;
  }
  out.push_back(static_cast<uint8_t>(value));
}

// Small numbers of either sign become small.
uint64_t ZigZag(uint64_t difference) {
  return difference << 1 ^ (difference >> 63 != 0 ? ~uint64_t{0} : 0);
}
uint64_t UnZigZag(uint64_t value) { return value >> 1 ^ ((value & 1) != 0 ? ~uint64_t{0} : 0); }

}  // namespace

void EncodeFooterTrailer(uint8_t* out, const FooterTrailer& trailer) {
  PAKV_CHECK(trailer.run != 0 && trailer.segment != 0);
  std::memset(out, 0, kSectorSize);
  Put(out + 4, kFooterMagic);
  Put(out + kTrailerRun, trailer.run);
  Put(out + kTrailerLog, trailer.log);
  Put(out + kTrailerSegment, trailer.segment);
  Put(out + kTrailerEndOffset, trailer.end_offset);
  Put(out + kTrailerPlainLsnMin, trailer.plain_lsn_min);
  Put(out + kTrailerLsnMax, trailer.lsn_max);
  Put(out + kTrailerExpiryClock, trailer.expiry_clock_ms);
  Put(out + kTrailerRecordCount, trailer.record_count);
  Put(out + kTrailerBlockCount, trailer.block_count);
  Put(out + kTrailerEntriesBytes, trailer.entries_bytes);
  Put(out + kTrailerEntriesChecksum, trailer.entries_checksum);
  Put(out + kTrailerFilterBytes, trailer.filter_bytes);
  Put(out + kTrailerFilterChecksum, trailer.filter_checksum);
  Put(out, Crc32c(0, out + 4, kSectorSize - 4));
}

std::optional<FooterTrailer> DecodeFooterTrailer(Bytes bytes) {
  if (bytes.size() != kSectorSize) return std::nullopt;
  const uint8_t* in = bytes.data();
  if (Get<uint32_t>(in + 4) != kFooterMagic) return std::nullopt;
  if (Crc32c(0, in + 4, kSectorSize - 4) != Get<uint32_t>(in)) return std::nullopt;
  FooterTrailer trailer;
  trailer.run = Get<uint64_t>(in + kTrailerRun);
  trailer.log = Get<uint32_t>(in + kTrailerLog);
  trailer.segment = Get<uint32_t>(in + kTrailerSegment);
  trailer.end_offset = Get<uint64_t>(in + kTrailerEndOffset);
  trailer.plain_lsn_min = Get<uint64_t>(in + kTrailerPlainLsnMin);
  trailer.lsn_max = Get<uint64_t>(in + kTrailerLsnMax);
  trailer.expiry_clock_ms = Get<uint64_t>(in + kTrailerExpiryClock);
  trailer.record_count = Get<uint32_t>(in + kTrailerRecordCount);
  trailer.block_count = Get<uint32_t>(in + kTrailerBlockCount);
  trailer.entries_bytes = Get<uint32_t>(in + kTrailerEntriesBytes);
  trailer.entries_checksum = Get<uint32_t>(in + kTrailerEntriesChecksum);
  trailer.filter_bytes = Get<uint32_t>(in + kTrailerFilterBytes);
  trailer.filter_checksum = Get<uint32_t>(in + kTrailerFilterChecksum);
  if (trailer.run == 0 || trailer.segment == 0) return std::nullopt;
  if (trailer.lsn_max > kLsnMax || trailer.plain_lsn_min > trailer.lsn_max) return std::nullopt;
  if (trailer.end_offset > kSegmentBytesMax || trailer.end_offset % kSectorSize != 0) {
    return std::nullopt;
  }
  if (trailer.filter_bytes % kKeyFilterBlockBytes != 0) return std::nullopt;
  if (!AllZero(bytes.subspan(kTrailerUsed))) return std::nullopt;
  return trailer;
}

size_t FooterBytes(size_t entries_bytes, size_t filter_bytes, size_t alignment) {
  return RoundUp(entries_bytes + filter_bytes + kSectorSize, alignment);
}

// Tag, key length, value length, LSN, then what the tag announces, then the key, then of a
// reference to a value file its head.
bool FooterEntries::Append(const RecordFields& fields, uint32_t offset) {
  if (fields.key.size() > kFooterKeyBytesMax) return false;
  PAKV_CHECK(offset >= end_, "records come in the order of their offsets");
  const bool in_file = fields.flags == kRecordFile;
  uint8_t tag = in_file ? uint8_t{kEntryFile} : static_cast<uint8_t>(fields.flags);
  if (fields.expiry_ms != kNoExpiry) tag |= kEntryExpiry;
  if (fields.namespace_id != 0) tag |= kEntryNamespace;
  if (offset != end_) tag |= kEntryGap;
  bytes_.push_back(tag);
  PutVarint(bytes_, fields.key.size());
  PutVarint(bytes_, fields.value.size());
  PutVarint(bytes_, ZigZag(fields.lsn - lsn_));
  if (offset != end_) PutVarint(bytes_, offset - end_);
  if (fields.expiry_ms != kNoExpiry) PutVarint(bytes_, fields.expiry_ms);
  if (fields.namespace_id != 0) PutVarint(bytes_, fields.namespace_id);
  bytes_.insert(bytes_.end(), fields.key.begin(), fields.key.end());
  if (in_file) {
    const std::string_view head = fields.value.substr(0, kValueFileHeadSize);
    bytes_.insert(bytes_.end(), head.begin(), head.end());
  }
  lsn_ = fields.lsn;
  end_ = offset + static_cast<uint32_t>(EncodedRecordSize(fields.key, fields.value));
  return true;
}

bool FooterEntriesReader::TakeVarint(uint64_t& value) {
  value = 0;
  for (size_t i = 0; i < rest_.size() && i < 10; ++i) {
    const uint64_t bits = rest_[i] & 0x7f;
    if (i == 9 && bits > 1) return false;
    value |= bits << (7 * i);
    if ((rest_[i] & 0x80) != 0) continue;
    // One way to write each number.
    if (i > 0 && bits == 0) return false;
    rest_ = rest_.subspan(i + 1);
    return true;
  }
  return false;
}

std::optional<FooterEntriesReader::Found> FooterEntriesReader::Damaged() {
  damaged_ = true;
  return std::nullopt;
}

std::optional<FooterEntriesReader::Found> FooterEntriesReader::Next() {
  if (damaged_ || rest_.empty()) return std::nullopt;
  const uint8_t tag = rest_[0];
  rest_ = rest_.subspan(1);
  if ((tag & ~kEntryKnown) != 0) return Damaged();
  Found found;
  RecordFields& fields = found.fields;
  fields.flags = tag & (kEntryDelete | kEntryDrop);
  if ((tag & kEntryFile) != 0) fields.flags |= kRecordFile;
  uint64_t key_length = 0;
  uint64_t value_length = 0;
  uint64_t lsn = 0;
  uint64_t gap = 0;
  uint64_t namespace_id = 0;
  if (!TakeVarint(key_length) || !TakeVarint(value_length) || !TakeVarint(lsn)) return Damaged();
  if ((tag & kEntryGap) != 0 && (!TakeVarint(gap) || gap == 0)) return Damaged();
  if ((tag & kEntryExpiry) != 0 && (!TakeVarint(fields.expiry_ms) || fields.expiry_ms == 0)) {
    return Damaged();
  }
  if ((tag & kEntryNamespace) != 0) {
    if (!TakeVarint(namespace_id) || namespace_id == 0 || namespace_id > UINT32_MAX) {
      return Damaged();
    }
  }
  if (key_length > kFooterKeyBytesMax || key_length > rest_.size()) return Damaged();
  fields.namespace_id = static_cast<uint32_t>(namespace_id);
  fields.lsn = lsn_ + UnZigZag(lsn);
  if (fields.lsn == kNoLsn || fields.lsn > kLsnMax) return Damaged();
  if (!RecordFlagsAgree(fields.flags, fields.expiry_ms, key_length, value_length)) {
    return Damaged();
  }
  if (gap > end_offset_ || value_length > end_offset_) return Damaged();
  const uint64_t offset = end_ + gap;
  const uint64_t length = EncodedRecordSize(key_length, value_length);
  if (offset + length > end_offset_) return Damaged();
  found.offset = static_cast<uint32_t>(offset);
  found.length = static_cast<uint32_t>(length);
  fields.key = {reinterpret_cast<const char*>(rest_.data()), key_length};
  rest_ = rest_.subspan(key_length);
  if (fields.flags == kRecordFile) {
    if (rest_.size() < kValueFileHeadSize) return Damaged();
    fields.value = {reinterpret_cast<const char*>(rest_.data()), kValueFileHeadSize};
    if (!DecodeValueFileHead(fields.value)) return Damaged();
    rest_ = rest_.subspan(kValueFileHeadSize);
  }
  lsn_ = fields.lsn;
  end_ = static_cast<uint32_t>(offset + length);
  return found;
}

std::optional<DecodedFooter> DecodeFooter(Bytes bytes) {
  if (bytes.size() < kSectorSize || bytes.size() % kSectorSize != 0) return std::nullopt;
  const std::optional<FooterTrailer> trailer = DecodeFooterTrailer(bytes.last(kSectorSize));
  if (!trailer) return std::nullopt;
  const Bytes body = bytes.first(bytes.size() - kSectorSize);
  if (trailer->entries_bytes > body.size() ||
      trailer->filter_bytes > body.size() - trailer->entries_bytes) {
    return std::nullopt;
  }
  DecodedFooter footer{.trailer = *trailer,
                       .entries = body.first(trailer->entries_bytes),
                       .filter = body.subspan(trailer->entries_bytes, trailer->filter_bytes)};
  if (!AllZero(body.subspan(trailer->entries_bytes + trailer->filter_bytes))) return std::nullopt;
  if (PAKV_BUG(kFooterChecksumIgnored)) return footer;
  if (Crc32c(0, footer.entries.data(), footer.entries.size()) != trailer->entries_checksum ||
      Crc32c(0, footer.filter.data(), footer.filter.size()) != trailer->filter_checksum) {
    return std::nullopt;
  }
  return footer;
}

bool FooterCheck::Advance(uint32_t entries_max) {
  for (uint32_t i = 0; i < entries_max; ++i) {
    const auto found = reader_.Next();
    if (!found) return true;
    ++count_;
    const Lsn lsn = found->fields.lsn;
    lsn_max_ = std::max(lsn_max_, lsn);
    if (!HoldsValue(found->fields.flags)) continue;
    plain_lsn_min_ = plain_lsn_min_ == kNoLsn ? lsn : std::min(plain_lsn_min_, lsn);
  }
  return false;
}

bool FooterCheck::right() const {
  return !reader_.damaged() && count_ == trailer_.record_count && lsn_max_ == trailer_.lsn_max &&
         plain_lsn_min_ == trailer_.plain_lsn_min;
}

}  // namespace pakv
