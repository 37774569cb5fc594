#include "runtime/base/crc32c.h"

#include <isa-l/crc.h>

#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

#include "runtime/base/check.h"

namespace pakv {
namespace {

#if defined(__x86_64__)
// ISA-L folds long input, but spends 14 ns on 9 bytes; one instruction for each eight is faster up
// to here. Headers, short keys and values are most of what is checksummed.
constexpr size_t kShortBytes = 256;

__attribute__((target("sse4.2"))) uint32_t ShortCrc32c(uint32_t crc, const void* data,
                                                       size_t length) {
  const char* at = static_cast<const char*>(data);
  uint64_t state = ~crc;
  for (; length >= 8; length -= 8, at += 8) {
    uint64_t word;
    std::memcpy(&word, at, sizeof(word));
    state = _mm_crc32_u64(state, word);
  }
  uint32_t rest = static_cast<uint32_t>(state);
  if ((length & 4) != 0) {
    uint32_t word;
    std::memcpy(&word, at, sizeof(word));
    rest = _mm_crc32_u32(rest, word);
    at += 4;
  }
  for (length &= 3; length > 0; --length) rest = _mm_crc32_u8(rest, static_cast<uint8_t>(*at++));
  return ~rest;
}

const bool kHasInstruction = __builtin_cpu_supports("sse4.2") != 0;
#endif

}  // namespace

uint32_t Crc32c(uint32_t crc, const void* data, size_t length) {
  PAKV_DCHECK(length <= INT32_MAX);
#if defined(__x86_64__)
  if (length <= kShortBytes && kHasInstruction) return ShortCrc32c(crc, data, length);
#endif
  // ISA-L takes and returns the register, which the standard inverts at both ends.
  return ~crc32_iscsi(static_cast<unsigned char*>(const_cast<void*>(data)),
                      static_cast<int>(length), ~crc);
}

}  // namespace pakv
