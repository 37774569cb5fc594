#include "runtime/base/utf8.h"

#include <cstdint>

namespace pakv {
namespace {

bool IsWithin(uint8_t byte, uint8_t low, uint8_t high) { return byte >= low && byte <= high; }

}  // namespace

size_t Utf8SequenceBytes(std::string_view text) {
  if (text.empty()) return 0;
  const auto at = [&](size_t index) { return static_cast<uint8_t>(text[index]); };
  const uint8_t lead = at(0);
  if (lead < 0x80) return 1;

  // The second byte's range excludes overlong forms, surrogates and what is above U+10FFFF.
  size_t bytes = 0;
  uint8_t low = 0x80;
  uint8_t high = 0xbf;
  if (IsWithin(lead, 0xc2, 0xdf)) {
    bytes = 2;
  } else if (IsWithin(lead, 0xe0, 0xef)) {
    bytes = 3;
    if (lead == 0xe0) low = 0xa0;
    if (lead == 0xed) high = 0x9f;
  } else if (IsWithin(lead, 0xf0, 0xf4)) {
    bytes = 4;
    if (lead == 0xf0) low = 0x90;
    if (lead == 0xf4) high = 0x8f;
  } else {
    return 0;
  }
  if (text.size() < bytes || !IsWithin(at(1), low, high)) return 0;
  for (size_t i = 2; i < bytes; ++i) {
    if (!IsWithin(at(i), 0x80, 0xbf)) return 0;
  }
  return bytes;
}

bool IsUtf8(std::string_view text) {
  while (!text.empty()) {
    const size_t bytes = Utf8SequenceBytes(text);
    if (bytes == 0) return false;
    text.remove_prefix(bytes);
  }
  return true;
}

}  // namespace pakv
