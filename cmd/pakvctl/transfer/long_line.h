// LongLine: a line of a dump that is too long to be held, as it comes: its value's bytes are given
// on, the rest of it is kept. For that the value has to be base64, and "encoding" to say so before
// it, as dump writes it; other members may stand where they like.
#pragma once

#include <absl/status/statusor.h>

#include <cstddef>
#include <string>
#include <string_view>

#include "cmd/pakvctl/transfer/dump_line.h"

namespace pakv {

class LongLine {
 public:
  LongLine() = default;
  LongLine(const LongLine&) = delete;
  LongLine& operator=(const LongLine&) = delete;

  // More of the line, from its beginning on; appends to `value` the bytes of the value in it.
  // False: it cannot be taken, and error() says why, as what follows "line 7: ".
  bool Put(std::string_view bytes, std::string& value);
  const std::string& error() const { return error_; }
  // All of it was put, without its end: its members but the value.
  absl::StatusOr<DumpEntry> End() const;

 private:
  enum class State : uint8_t { kHead, kValue, kTail };

  bool Fail(std::string why);
  bool FindValue(std::string_view bytes, size_t& begin);
  bool PutDigits(std::string_view text, std::string& value);

  State state_ = State::kHead;
  std::string around_;  // the line, but for the bytes of its value
  std::string digits_;  // of base64, not decoded yet
  bool padded_ = false;
  std::string error_;
};

}  // namespace pakv
