#include "runtime/base/utf8.h"

#include <cstdint>

namespace pakv {
namespace {

bool IsWithin(uint8_t byte, uint8_t low, uint8_t high) { return byte >= low && byte <= high; }

// Of one valid sequence. Terminals obey C1, U+0080 to U+009F, as they obey C0.
bool IsControl(std::string_view sequence) {
  const auto first = static_cast<uint8_t>(sequence[0]);
  if (sequence.size() == 1) return first < 0x20 || first == 0x7f;
  return first == 0xc2 && static_cast<uint8_t>(sequence[1]) < 0xa0;
}

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

std::string EscapeControls(std::string_view text, std::string_view backslash) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string escaped;
  escaped.reserve(text.size());
  while (!text.empty()) {
    const size_t bytes = Utf8SequenceBytes(text);
    const std::string_view sequence = text.substr(0, bytes == 0 ? 1 : bytes);
    text.remove_prefix(sequence.size());
    if (bytes != 0 && !IsControl(sequence)) {
      escaped += sequence;
      continue;
    }
    for (const char c : sequence) {
      const auto byte = static_cast<uint8_t>(c);
      escaped += backslash;
      escaped += 'x';
      escaped += kDigits[byte >> 4];
      escaped += kDigits[byte & 15];
    }
  }
  return escaped;
}

}  // namespace pakv
