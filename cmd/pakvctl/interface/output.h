// What pakvctl prints: text for people and pipes, JSON for programs.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>

namespace pakv {

using OrderedJson = nlohmann::ordered_json;

// Puts bytes into `object` under `name`: as they are if they are UTF-8, else as base64 (RFC 4648)
// with a member beside it that says so: "encoding" for "value", "NAME_encoding" for the others.
void PutBytes(OrderedJson& object, const std::string& name, std::string_view bytes);

// An LSN as a string: JSON's numbers lose bits beyond 2^53.
void PutLsn(OrderedJson& object, uint64_t lsn);

// Prints values byte for byte; on a terminal with what it would obey escaped, but for line ends and
// tabs. A value may come in pieces.
class ValuePrinter {
 public:
  ValuePrinter(std::ostream& out, bool out_is_terminal)
      : out_(out), out_is_terminal_(out_is_terminal) {}
  void Put(std::string_view piece);
  // Behind the last piece.
  void End();

 private:
  std::ostream& out_;
  const bool out_is_terminal_;
  std::string begun_;  // of a character whose other bytes are in the next piece, on a terminal
};

// What a write prints: OK, and the old value if there is one.
void PrintDone(std::ostream& out, ValuePrinter& values,
               const std::optional<std::string>& old_value);

std::string Base64(std::string_view bytes);
// The bytes of what Base64 writes; nothing for anything else.
std::optional<std::string> FromBase64(std::string_view text);

// An array whose elements are printed as they come, one per line; `[]` if there are none.
class JsonArrayPrinter {
 public:
  explicit JsonArrayPrinter(std::ostream& out) : out_(out) {}
  void Add(const OrderedJson& element);
  // Once, behind the last element.
  void Finish();

 private:
  std::ostream& out_;
  bool empty_ = true;
};

}  // namespace pakv
