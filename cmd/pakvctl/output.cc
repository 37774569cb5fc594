#include "cmd/pakvctl/output.h"

#include "runtime/base/utf8.h"

namespace pakv {

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

void PutBytes(OrderedJson& object, const std::string& name, std::string_view bytes) {
  if (IsUtf8(bytes)) {
    object[name] = std::string(bytes);
    return;
  }
  object[name] = Base64(bytes);
  object[name == "value" ? "encoding" : name + "_encoding"] = "base64";
}

void PutLsn(OrderedJson& object, uint64_t lsn) { object["lsn"] = std::to_string(lsn); }

void JsonArrayPrinter::Add(const OrderedJson& element) {
  out_ << (empty_ ? "[" : ",\n ") << element.dump();
  empty_ = false;
}

void JsonArrayPrinter::Finish() { out_ << (empty_ ? "[]\n" : "]\n"); }

}  // namespace pakv
