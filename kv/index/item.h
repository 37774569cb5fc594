// The memory layout of one key in the index: 36 bytes, then only what the key has, then the key.
// Items are packed to 4 bytes, so fields are read and written by value, never by reference.
//
//   Item | next handle u32, if kHasNext | namespace u32, if not 0 | value file's number u64 and
//   length u64, if the value is in one | expiry u64, if any | key bytes
//
// `next`: items whose 64-bit hashes are equal share one bucket slot, as a chain.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

#include "runtime/base/check.h"

namespace pakv {

struct [[gnu::packed, gnu::aligned(4)]] Item {
  static constexpr uint32_t kKeyBytesMax = (1u << 24) - 1;
  enum Flag : uint32_t {
    kHasNext = 1u << 24,
    kHasNamespace = 1u << 25,
    kHasExpiry = 1u << 26,
    kTombstone = 1u << 27,
    kReferenced = 1u << 28,
    kHasFile = 1u << 29,
  };

  uint64_t hash;
  uint64_t lsn;
  uint32_t segment;
  uint32_t offset;
  uint32_t length;
  uint32_t cache;
  uint32_t key_length_and_flags;

  static uint32_t HeaderBytes(uint32_t flags) {
    return 36 + ((flags & kHasNext) ? 4 : 0) + ((flags & kHasNamespace) ? 4 : 0) +
           ((flags & kHasExpiry) ? 8 : 0) + ((flags & kHasFile) ? 16 : 0);
  }
  static uint32_t Bytes(uint32_t flags, uint32_t key_length) {
    return HeaderBytes(flags) + key_length;
  }

  uint32_t flags() const { return key_length_and_flags & ~kKeyBytesMax; }
  bool Has(uint32_t flag) const { return (key_length_and_flags & flag) != 0; }
  void Set(uint32_t flag, bool on) {
    key_length_and_flags = on ? key_length_and_flags | flag : key_length_and_flags & ~flag;
  }
  uint32_t key_length() const { return key_length_and_flags & kKeyBytesMax; }
  uint32_t bytes() const { return Bytes(flags(), key_length()); }

  const char* raw() const { return reinterpret_cast<const char*>(this); }
  char* raw() { return reinterpret_cast<char*>(this); }
  std::string_view key() const { return {raw() + HeaderBytes(flags()), key_length()}; }
  bool Is(uint32_t namespace_id_in, std::string_view key_in) const {
    return key() == key_in && namespace_id() == namespace_id_in;
  }
  char* mutable_key() { return raw() + HeaderBytes(flags()); }

  uint32_t next() const { return Has(kHasNext) ? Load<uint32_t>(kNextOffset) : 0; }
  void set_next(uint32_t handle) {
    PAKV_CHECK(Has(kHasNext));
    std::memcpy(raw() + kNextOffset, &handle, sizeof(handle));
  }
  uint32_t namespace_id() const {
    return Has(kHasNamespace) ? Load<uint32_t>(kNextOffset + (Has(kHasNext) ? 4 : 0)) : 0;
  }
  void set_namespace_id(uint32_t id) {
    PAKV_CHECK(Has(kHasNamespace) && id != 0);
    std::memcpy(raw() + kNextOffset + (Has(kHasNext) ? 4 : 0), &id, sizeof(id));
  }
  uint64_t expiry_ms() const {
    return Has(kHasExpiry) ? Load<uint64_t>(HeaderBytes(flags()) - 8) : 0;
  }
  void set_expiry_ms(uint64_t expiry_ms) {
    PAKV_CHECK(Has(kHasExpiry) && expiry_ms != 0);
    std::memcpy(raw() + HeaderBytes(flags()) - 8, &expiry_ms, sizeof(expiry_ms));
  }

  // Number and length of the value's file, 0 if it lies in the record.
  uint64_t file() const { return Has(kHasFile) ? Load<uint64_t>(FileOffset()) : 0; }
  uint64_t file_bytes() const { return Has(kHasFile) ? Load<uint64_t>(FileOffset() + 8) : 0; }
  void set_file(uint64_t file, uint64_t bytes) {
    PAKV_CHECK(Has(kHasFile) && file != 0);
    std::memcpy(raw() + FileOffset(), &file, sizeof(file));
    std::memcpy(raw() + FileOffset() + 8, &bytes, sizeof(bytes));
  }

 private:
  static constexpr uint32_t kNextOffset = 36;

  uint32_t FileOffset() const { return HeaderBytes(flags()) - (Has(kHasExpiry) ? 24 : 16); }

  template <typename T>
  T Load(uint32_t at) const {
    T value;
    std::memcpy(&value, raw() + at, sizeof(value));
    return value;
  }
};
static_assert(sizeof(Item) == 36 && alignof(Item) == 4);

}  // namespace pakv
