// Integers as they lie on disk, for kv/log/format* alone.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

namespace pakv {

static_assert(std::endian::native == std::endian::little, "the bytes are copied as they lie");

template <typename T>
void Put(uint8_t* out, T value) {
  std::memcpy(out, &value, sizeof(value));
}

template <typename T>
T Get(const uint8_t* in) {
  T value;
  std::memcpy(&value, in, sizeof(value));
  return value;
}

constexpr uint32_t Magic(const char (&text)[5]) {
  return static_cast<uint32_t>(text[0]) | static_cast<uint32_t>(text[1]) << 8 |
         static_cast<uint32_t>(text[2]) << 16 | static_cast<uint32_t>(text[3]) << 24;
}

}  // namespace pakv
