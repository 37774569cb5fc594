// Words of protocols and commands, in letters of either case. ASCII: other bytes stand for
// themselves.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

namespace pakv {

inline char LowerOf(char letter) {
  return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
}

// Compares with a word in lower case.
inline bool IsWord(std::string_view text, std::string_view lower) {
  return std::equal(text.begin(), text.end(), lower.begin(), lower.end(),
                    [](char letter, char expected) { return LowerOf(letter) == expected; });
}

inline std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& letter : lower) letter = LowerOf(letter);
  return lower;
}

}  // namespace pakv
