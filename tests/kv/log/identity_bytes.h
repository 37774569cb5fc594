// IDENTITY as another version of pakvd has written it.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>

#include "kv/log/format/format.h"
#include "runtime/base/check.h"
#include "runtime/base/crc32c.h"

namespace pakv {

inline constexpr size_t kIdentityFormatOffset = 8;

inline uint32_t FormatOfIdentity(const std::string& bytes) {
  PAKV_CHECK(bytes.size() == kIdentitySize);
  uint32_t format = 0;
  std::memcpy(&format, bytes.data() + kIdentityFormatOffset, sizeof(format));
  return format;
}

// The same IDENTITY, of that format, with its checksum right.
inline std::string IdentityOfFormat(std::string bytes, uint32_t format) {
  PAKV_CHECK(bytes.size() == kIdentitySize);
  std::memcpy(bytes.data() + kIdentityFormatOffset, &format, sizeof(format));
  const uint32_t checksum = Crc32c(0, bytes.data() + 4, kIdentitySize - 4);
  std::memcpy(bytes.data(), &checksum, sizeof(checksum));
  return bytes;
}

}  // namespace pakv
