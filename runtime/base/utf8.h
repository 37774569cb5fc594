// UTF-8 as RFC 3629 has it: shortest forms only, no surrogates, nothing above U+10FFFF.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace pakv {

// Bytes of the valid sequence that `text` begins with: 1 to 4, or 0 where none begins.
size_t Utf8SequenceBytes(std::string_view text);

// Whether all of `text` is valid. Empty text is.
bool IsUtf8(std::string_view text);

// `text` with control characters (C0, DEL, C1) and invalid bytes as `backslash` and xNN: what is
// written to a log or a terminal can neither forge a line nor command it. Everything else,
// backslashes included, stays as it is.
std::string EscapeControls(std::string_view text, std::string_view backslash = "\\");

}  // namespace pakv
