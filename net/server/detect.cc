#include "net/server/detect.h"

namespace pakv {
namespace {

// docs/protocol.md's magic byte; this room is below that of the protocol, whose test compares.
constexpr char kPakvFirstByte = static_cast<char>(0xf7);
// A TLS record of type handshake, and the major version of all TLS.
constexpr char kTlsFirstByte = 0x16;
constexpr char kTlsSecondByte = 0x03;
constexpr std::string_view kHttpVersion = " HTTP/1.";

bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

WireProtocol DetectWireProtocol(std::string_view begin) {
  if (begin.empty()) return WireProtocol::kUndecided;
  const char first = begin[0];
  if (first == kPakvFirstByte) return WireProtocol::kPakv;
  if (first == kTlsFirstByte) {
    if (begin.size() < 2) return WireProtocol::kUndecided;
    return begin[1] == kTlsSecondByte ? WireProtocol::kTls : WireProtocol::kResp;
  }
  if (!IsLetter(first)) return WireProtocol::kResp;
  std::string_view line = begin.substr(0, kDetectLineBytesMax + 1);
  const size_t length = line.find('\n');
  if (length == std::string_view::npos) {
    return line.size() > kDetectLineBytesMax ? WireProtocol::kResp : WireProtocol::kUndecided;
  }
  line = line.substr(0, length);
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (line.empty() || !IsDigit(line.back())) return WireProtocol::kResp;
  line.remove_suffix(1);
  return line.ends_with(kHttpVersion) ? WireProtocol::kHttp : WireProtocol::kResp;
}

}  // namespace pakv
