#include "cmd/pakvctl/interface/output.h"

#include <algorithm>
#include <utility>

#include "runtime/base/utf8.h"

namespace pakv {
namespace {

// How many bytes at the end of `text` may be the beginning of a character of UTF-8.
size_t BegunBytes(std::string_view text) {
  constexpr size_t kCharacterBytesMax = 4;
  for (size_t bytes = 1; bytes < kCharacterBytesMax && bytes <= text.size(); ++bytes) {
    const auto byte = static_cast<uint8_t>(text[text.size() - bytes]);
    if (byte < 0x80) return 0;
    if (byte < 0xc0) continue;  // not the first of its character
    const size_t whole = byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
    return bytes < whole ? bytes : 0;
  }
  return 0;
}

}  // namespace

std::string Base64(std::string_view bytes) {
  static constexpr char kDigits[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t count = std::min<size_t>(3, bytes.size() - i);
    uint32_t group = 0;
    for (size_t j = 0; j < 3; ++j) {
      group = group << 8 | (j < count ? static_cast<uint8_t>(bytes[i + j]) : 0);
    }
    for (size_t j = 0; j < 4; ++j) {
      text += j <= count ? kDigits[group >> (18 - 6 * j) & 63] : '=';
    }
  }
  return text;
}

std::optional<std::string> FromBase64(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  const auto digit_of = [](char c) -> int {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    if (c == '+') return 62;
    return c == '/' ? 63 : -1;
  };
  size_t padding = 0;
  while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') ++padding;
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3);
  for (size_t i = 0; i < text.size(); i += 4) {
    const size_t digits = i + 4 == text.size() ? 4 - padding : 4;
    uint32_t group = 0;
    for (size_t j = 0; j < 4; ++j) {
      const int digit = j < digits ? digit_of(text[i + j]) : 0;
      if (digit < 0) return std::nullopt;
      group = group << 6 | static_cast<uint32_t>(digit);
    }
    for (size_t j = 0; j + 1 < digits; ++j) bytes += static_cast<char>(group >> (16 - 8 * j));
    // Bits that stand for nothing are none.
    if (digits < 4 && (group & ((uint32_t{1} << (8 * (4 - digits))) - 1)) != 0) return std::nullopt;
  }
  return bytes;
}

void PutBytes(OrderedJson& object, const std::string& name, std::string_view bytes) {
  if (IsUtf8(bytes)) {
    object[name] = std::string(bytes);
    return;
  }
  object[name] = Base64(bytes);
  object[name == "value" ? "encoding" : name + "_encoding"] = "base64";
}

void PutLsn(OrderedJson& object, uint64_t lsn) { object["lsn"] = std::to_string(lsn); }

void ValuePrinter::Put(std::string_view piece) {
  if (!out_is_terminal_) {
    out_ << piece;
    return;
  }
  const std::string text = std::exchange(begun_, {}).append(piece);
  std::string_view rest = text;
  begun_ = rest.substr(rest.size() - BegunBytes(rest));
  rest.remove_suffix(begun_.size());
  while (true) {
    const size_t plain = std::min(rest.find_first_of("\n\t"), rest.size());
    out_ << EscapeControls(rest.substr(0, plain));
    if (plain == rest.size()) return;
    out_ << rest[plain];
    rest.remove_prefix(plain + 1);
  }
}

void ValuePrinter::End() { out_ << EscapeControls(std::exchange(begun_, {})); }

void PrintDone(std::ostream& out, ValuePrinter& values,
               const std::optional<std::string>& old_value) {
  out << "OK";
  if (old_value) {
    out << " old value: ";
    values.Put(*old_value);
    values.End();
  }
  out << '\n';
}

void JsonArrayPrinter::Add(const OrderedJson& element) {
  out_ << (empty_ ? "[" : ",\n ") << element.dump();
  empty_ = false;
}

void JsonArrayPrinter::Finish() { out_ << (empty_ ? "[]\n" : "]\n"); }

}  // namespace pakv
