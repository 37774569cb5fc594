#include "kv/log/format/block_builder.h"

#include <bit>
#include <cstring>

#include "runtime/base/check.h"

namespace pakv {

BlockBuilder::BlockBuilder(std::span<uint8_t> buffer, size_t alignment)
    : buffer_(buffer), alignment_(alignment) {
  PAKV_CHECK(std::has_single_bit(alignment) && alignment >= kSectorSize);
  PAKV_CHECK(!buffer.empty() && buffer.size() % alignment == 0);
  PAKV_CHECK(buffer.size() <= kSegmentBytesMax);
}

uint32_t BlockBuilder::Append(const RecordFields& fields) {
  const size_t length = EncodedRecordSize(fields.key, fields.value);
  PAKV_CHECK(!sealed_);
  PAKV_CHECK(Fits(length));
  const size_t offset = used_;
  const uint32_t checksum = EncodeRecord(buffer_.data() + offset, fields);
  body_checksum_ = BodyChecksum(body_checksum_, checksum);
  used_ += length;
  ++record_count_;
  return static_cast<uint32_t>(offset);
}

uint32_t BlockBuilder::AppendCopy(Bytes record) {
  PAKV_CHECK(!sealed_);
  PAKV_CHECK(Fits(record.size()));
  PAKV_DCHECK(DecodeRecord(record).has_value());
  const size_t offset = used_;
  std::memcpy(buffer_.data() + offset, record.data(), record.size());
  body_checksum_ = BodyChecksum(body_checksum_, ChecksumOfRecord(record.data()));
  used_ += record.size();
  ++record_count_;
  return static_cast<uint32_t>(offset);
}

BlockBuilder::Sealed BlockBuilder::Seal(BlockHeader header) {
  PAKV_CHECK(!sealed_);
  sealed_ = true;
  const size_t length = padded_length();
  const std::span<uint8_t> block = buffer_.first(length);
  std::memset(block.data() + used_, 0, length - used_);
  header.length = static_cast<uint32_t>(length);
  header.record_count = record_count_;
  header.body_checksum = body_checksum_;
  // The header's own sector is never zero: it begins with a magic.
  header.zero_sectors = CountZeroSectors(block.subspan(kSectorSize));
  const uint32_t checksum = EncodeBlockHeader(block.data(), header);
  PAKV_DCHECK(BlockBodyRight(block, header));
  return {block, checksum};
}

}  // namespace pakv
