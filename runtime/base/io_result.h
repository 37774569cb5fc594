// The result of one I/O operation: a count, or a negated errno.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>

#include "runtime/base/check.h"

namespace pakv {

class [[nodiscard]] IoResult {
 public:
  constexpr IoResult() = default;
  // value >= 0 is a count (bytes, a handle, ...), < 0 is -errno.
  constexpr explicit IoResult(int32_t value) : value_(value) {}

  constexpr bool ok() const { return value_ >= 0; }
  constexpr int32_t value() const { return value_; }
  constexpr int32_t error() const { return value_ < 0 ? -value_ : 0; }
  uint32_t count() const {
    PAKV_CHECK(ok());
    return static_cast<uint32_t>(value_);
  }
  // "No space left on device", for messages.
  std::string text() const { return ok() ? "success" : std::strerror(error()); }

  friend constexpr bool operator==(IoResult, IoResult) = default;

 private:
  int32_t value_ = 0;
};
static_assert(sizeof(IoResult) == 4);

}  // namespace pakv
