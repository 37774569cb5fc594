#include "runtime/base/crc32c.h"

#include <isa-l/crc.h>

#include "runtime/base/check.h"

namespace pakv {

uint32_t Crc32c(uint32_t crc, const void* data, size_t length) {
  PAKV_DCHECK(length <= INT32_MAX);
  // ISA-L takes and returns the register, which the standard inverts at both ends.
  return ~crc32_iscsi(static_cast<unsigned char*>(const_cast<void*>(data)),
                      static_cast<int>(length), ~crc);
}

}  // namespace pakv
