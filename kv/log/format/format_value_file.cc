#include "kv/log/format/format_value_file.h"

#include <bit>
#include <charconv>
#include <cstdio>

#include "kv/log/format/format_bytes.h"
#include "runtime/base/check.h"

namespace pakv {
namespace {

constexpr std::string_view kSuffix = ".val";
constexpr size_t kNameDigits = 16;

constexpr size_t kReferenceFile = 0;
constexpr size_t kReferenceLength = 8;
constexpr size_t kReferenceChunkBytes = 16;
static_assert(kReferenceChunkBytes == kValueFileHeadSize);
static_assert(kReferenceChunkBytes + 4 == kValueReferenceHeaderSize);

const uint8_t* BytesOf(std::string_view text) {
  return reinterpret_cast<const uint8_t*>(text.data());
}

uint64_t ChunkCount(uint64_t length, uint32_t chunk_bytes) {
  return length / chunk_bytes + (length % chunk_bytes != 0 ? 1 : 0);
}

}  // namespace

std::string ValueFileName(uint64_t file) {
  char name[kNameDigits + 1];
  std::snprintf(name, sizeof(name), "%016llx", static_cast<unsigned long long>(file));
  return std::string(name).append(kSuffix);
}

uint64_t ValueFileOfName(std::string_view name) {
  if (name.size() != kNameDigits + kSuffix.size() || !name.ends_with(kSuffix)) return 0;
  uint64_t file = 0;
  const char* const end = name.data() + kNameDigits;
  const auto [stop, error] = std::from_chars(name.data(), end, file, 16);
  if (error != std::errc() || stop != end) return 0;
  // Of one number there is one name.
  return ValueFileName(file) == name ? file : 0;
}

std::optional<ValueFileHead> DecodeValueFileHead(std::string_view bytes) {
  if (bytes.size() < kValueFileHeadSize) return std::nullopt;
  ValueFileHead head;
  head.file = Get<uint64_t>(BytesOf(bytes) + kReferenceFile);
  head.length = Get<uint64_t>(BytesOf(bytes) + kReferenceLength);
  if (head.file == 0 || head.length == 0) return std::nullopt;
  return head;
}

std::optional<ValueReference> ValueReference::Decode(std::string_view bytes) {
  if (bytes.size() < kValueReferenceHeaderSize) return std::nullopt;
  const std::optional<ValueFileHead> head = DecodeValueFileHead(bytes);
  if (!head) return std::nullopt;
  ValueReference reference;
  reference.head_ = *head;
  reference.chunk_bytes_ = Get<uint32_t>(BytesOf(bytes) + kReferenceChunkBytes);
  if (!std::has_single_bit(reference.chunk_bytes_) ||
      reference.chunk_bytes_ < kValueChunkBytesMin ||
      reference.chunk_bytes_ > kValueChunkBytesMax) {
    return std::nullopt;
  }
  reference.checksums_ = bytes.substr(kValueReferenceHeaderSize);
  const uint64_t count = ChunkCount(head->length, reference.chunk_bytes_);
  if (count > kSegmentBytesMax / 4 || reference.checksums_.size() != count * 4) {
    return std::nullopt;
  }
  reference.chunk_count_ = static_cast<uint32_t>(count);
  return reference;
}

uint32_t ValueReference::ChunkLength(uint32_t index) const {
  PAKV_CHECK(index < chunk_count_);
  const uint64_t begin = uint64_t{index} * chunk_bytes_;
  return head_.length - begin < chunk_bytes_ ? static_cast<uint32_t>(head_.length - begin)
                                             : chunk_bytes_;
}

uint32_t ValueReference::ChunkChecksum(uint32_t index) const {
  PAKV_CHECK(index < chunk_count_);
  return Get<uint32_t>(BytesOf(checksums_) + size_t{index} * 4);
}

std::string EncodeValueReference(const ValueFileHead& head, uint32_t chunk_bytes,
                                 std::span<const uint32_t> checksums) {
  std::string bytes(kValueReferenceHeaderSize + checksums.size() * 4, '\0');
  auto* const out = reinterpret_cast<uint8_t*>(bytes.data());
  Put(out + kReferenceFile, head.file);
  Put(out + kReferenceLength, head.length);
  Put(out + kReferenceChunkBytes, chunk_bytes);
  for (size_t i = 0; i < checksums.size(); ++i) {
    Put(out + kValueReferenceHeaderSize + i * 4, checksums[i]);
  }
  PAKV_CHECK(ValueReference::Decode(bytes).has_value(), "what is written can be read");
  return bytes;
}

}  // namespace pakv
