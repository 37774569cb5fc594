// RESP as text: requests and bulk strings, spelled out by the tests themselves and not by the code
// that they test.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace pakv {

inline std::string RespBulk(std::string_view bytes) {
  return "$" + std::to_string(bytes.size()) + "\r\n" + std::string(bytes) + "\r\n";
}

// A command with its arguments, each a bulk string.
inline std::string RespRequest(const std::vector<std::string>& words) {
  std::string request = "*" + std::to_string(words.size()) + "\r\n";
  for (const std::string& word : words) request += RespBulk(word);
  return request;
}

inline std::string Times(size_t count, std::string_view text) {
  std::string all;
  all.reserve(count * text.size());
  for (size_t i = 0; i < count; ++i) all += text;
  return all;
}

}  // namespace pakv
