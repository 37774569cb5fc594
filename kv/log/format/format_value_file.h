// The bytes of a value that is too long for the log. It lies in a file of its own, from the file's
// first byte on and nothing else but zeros behind it, and a record of the flag kRecordFile holds,
// in the place of the value, the reference to it:
//
//   file number u64 | length u64 | bytes of a chunk u32 | CRC-32C of each chunk u32 ...
//
// So the record, whose checksum covers all of them, vouches for each byte of the file: a chunk that
// lies in another one's place, or in another file's, is as wrong as a damaged one. docs/format.md,
// "Value files". Part of kv/log/format: pure, and nothing decoded is trusted before it is checked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "kv/log/format/format.h"

namespace pakv {

// What is read, checked and sent at a time. Each reference says its own.
inline constexpr uint32_t kValueChunkBytes = 256 << 10;
inline constexpr uint32_t kValueChunkBytesMin = kSectorSize;
inline constexpr uint32_t kValueChunkBytesMax = 16 << 20;

// A file's number is never used again: it has the number of the start that made it, which MANIFEST
// counts, in its upper half.
constexpr uint64_t FirstValueFile(uint64_t run_counter) { return run_counter << 32; }

// "0000000300000007.val"
std::string ValueFileName(uint64_t file);
// The number in a value file's name, 0 if it is not one.
uint64_t ValueFileOfName(std::string_view name);

inline constexpr size_t kValueFileHeadSize = 16;
inline constexpr size_t kValueReferenceHeaderSize = 20;

// The beginning of a reference, which a segment's footer has too.
struct ValueFileHead {
  uint64_t file = 0;
  uint64_t length = 0;  // of the value
};
// `bytes` holds at least kValueFileHeadSize; nothing if no reference can begin so.
std::optional<ValueFileHead> DecodeValueFileHead(std::string_view bytes);

// A reference, read in place.
class ValueReference {
 public:
  // Nothing if it is none, or its parts do not agree. `bytes` outlives it.
  static std::optional<ValueReference> Decode(std::string_view bytes);

  uint64_t file() const { return head_.file; }
  uint64_t length() const { return head_.length; }
  uint32_t chunk_bytes() const { return chunk_bytes_; }
  uint32_t chunk_count() const { return chunk_count_; }
  // Bytes of the value in chunk `index`, which is below chunk_count().
  uint32_t ChunkLength(uint32_t index) const;
  uint32_t ChunkChecksum(uint32_t index) const;

 private:
  ValueReference() = default;
  ValueFileHead head_;
  uint32_t chunk_bytes_ = 0;
  uint32_t chunk_count_ = 0;
  std::string_view checksums_;
};

// The reference to a file. CHECKs what Decode would refuse.
std::string EncodeValueReference(const ValueFileHead& head, uint32_t chunk_bytes,
                                 std::span<const uint32_t> checksums);

}  // namespace pakv
