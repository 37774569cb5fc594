// UTF-8 as RFC 3629 has it: shortest forms only, no surrogates, nothing above U+10FFFF.
#pragma once

#include <cstddef>
#include <string_view>

namespace pakv {

// Bytes of the valid sequence that `text` begins with: 1 to 4, or 0 where none begins.
size_t Utf8SequenceBytes(std::string_view text);

// Whether all of `text` is valid. Empty text is.
bool IsUtf8(std::string_view text);

}  // namespace pakv
