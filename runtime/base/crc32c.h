// CRC-32C (Castagnoli, RFC 3720 appendix B.4): the checksum of everything pakv writes.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pakv {

// The checksum of `length` bytes at `data`, continuing from `crc`, the checksum of what came
// before (0 at the start): Crc32c(Crc32c(0, a), b) is the checksum of a followed by b.
uint32_t Crc32c(uint32_t crc, const void* data, size_t length);

}  // namespace pakv
