// Keys and versions for the tests of the index.
#pragma once

#include <xxhash.h>

#include <string>
#include <string_view>

#include "kv/index/table.h"

namespace pakv {

inline uint64_t HashOf(std::string_view key, uint32_t namespace_id = 0) {
  return XXH3_64bits_withSeed(key.data(), key.size(), namespace_id);
}
inline TableKey KeyOf(std::string_view key) { return {HashOf(key), 0, key}; }
inline Version VersionOf(Lsn lsn) {
  return {.lsn = lsn, .location = {1, static_cast<uint32_t>(lsn), 100}};
}
// 16 bytes.
inline std::string NumberedKey(uint64_t number) {
  std::string key = "key:000000000000";
  for (size_t i = key.size(); number > 0; number /= 10) key[--i] = '0' + number % 10;
  return key;
}

}  // namespace pakv
