// Fills one block in memory: the header's place is kept free, records are encoded straight into
// the buffer, sealing adds padding and header. Pure: no I/O, no clock.
#pragma once

#include <cstdint>
#include <span>

#include "kv/log/format/format.h"

namespace pakv {

class BlockBuilder {
 public:
  // `buffer` is what the block is written from: aligned to `alignment`, its length a multiple of
  // it, owned by the caller until the block is done with. `alignment` is the device's for direct
  // I/O, a power of two >= 512. The buffer need not be zero.
  BlockBuilder(std::span<uint8_t> buffer, size_t alignment);
  BlockBuilder(const BlockBuilder&) = delete;
  BlockBuilder& operator=(const BlockBuilder&) = delete;

  // True if `bytes` of further records (EncodedRecordSize, summed) have room.
  bool Fits(size_t bytes) const { return bytes <= buffer_.size() - used_; }
  // Encodes a record behind the others and returns its offset in the block. CHECKs that it fits.
  // Its bytes stay where they are as long as the buffer does.
  uint32_t Append(const RecordFields& fields);
  // The same with a record as it stands in another block: its checksum goes along, so that what
  // happens to its bytes on the way is found out by whoever reads them.
  uint32_t AppendCopy(Bytes record);

  size_t capacity() const { return buffer_.size(); }
  uint32_t record_count() const { return record_count_; }
  // Bytes of header and records; records alone would be used() - kBlockHeaderSize.
  size_t used() const { return used_; }
  // What the block occupies on disk if sealed now, or after `more` bytes of records.
  size_t padded_length(size_t more = 0) const { return RoundUp(used_ + more, alignment_); }
  // The bytes of a record that Append returned `offset` for.
  const uint8_t* at(uint32_t offset) const { return buffer_.data() + offset; }

  struct Sealed {
    std::span<uint8_t> bytes;  // the whole block, in the buffer
    uint32_t checksum = 0;     // of the header: the next block's chain
  };
  // Completes the block: zeroes the padding and writes the header, whose length, record count,
  // zero sectors and body checksum are filled in here. Once, and nothing is appended after it.
  Sealed Seal(BlockHeader header);

 private:
  std::span<uint8_t> buffer_;
  size_t alignment_;
  size_t used_ = kBlockHeaderSize;
  uint32_t record_count_ = 0;
  uint32_t body_checksum_ = 0;
  bool sealed_ = false;
};

}  // namespace pakv
