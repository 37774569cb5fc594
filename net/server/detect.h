// Which protocol a connection to a data port speaks: by its first byte; where that is a letter, by
// its first line.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace pakv {

enum class WireProtocol : uint8_t {
  kUndecided,  // more bytes are needed
  kPakv,
  kResp,  // also whatever is none of the others: RESP's inline requests may begin with any byte
  kHttp,
  kTls,  // a TLS client on a port without TLS: log it and close, it cannot read an answer
};

// A first line that is longer is not one of HTTP.
inline constexpr size_t kDetectLineBytesMax = 8192;

// Decides by `begin`, all bytes that a connection has received so far. The answer for more bytes
// is the same once it is not kUndecided; then the protocol's parser takes all of them.
[[nodiscard]] WireProtocol DetectWireProtocol(std::string_view begin);

}  // namespace pakv
