#include "net/options/endpoint.h"

#include <absl/strings/match.h>
#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <charconv>
#include <optional>

namespace pakv {
namespace {

constexpr std::string_view kUnixPrefix = "unix:";
// The kernel wants the terminating zero inside of sun_path.
constexpr size_t kUnixPathBytesMax = sizeof(sockaddr_un::sun_path) - 1;
constexpr size_t kHostBytesMax = 253;  // RFC 1035's limit for a name as text
constexpr size_t kPortDigitsMax = 5;

absl::Status Wrong(std::string_view text, std::string_view why) {
  return absl::InvalidArgumentError(fmt::format("\"{}\": {}", text, why));
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsNameCharacter(char c) {
  return IsDigit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '.' ||
         c == '_';
}

std::optional<uint32_t> ParseIpv4(const std::string& host) {
  in_addr address{};
  if (inet_pton(AF_INET, host.c_str(), &address) != 1) return std::nullopt;
  return ntohl(address.s_addr);
}

std::optional<in6_addr> ParseIpv6(const std::string& host) {
  in6_addr address{};
  if (inet_pton(AF_INET6, host.c_str(), &address) != 1) return std::nullopt;
  return address;
}

// Why `host`, written without brackets, cannot be a host; empty if it can.
std::string_view FaultInHost(const std::string& host) {
  if (host.empty()) return "no host before the port (all interfaces are 0.0.0.0 or [::])";
  if (host.find(':') != std::string::npos) return "an IPv6 address stands in brackets: [::1]:PORT";
  if (host.size() > kHostBytesMax) return "the host name is too long";
  if (!std::all_of(host.begin(), host.end(), IsNameCharacter)) return "not a host name or address";
  const bool numeric =
      std::all_of(host.begin(), host.end(), [](char c) { return IsDigit(c) || c == '.'; });
  if (numeric && !ParseIpv4(host)) return "not an IPv4 address";
  return {};
}

}  // namespace

absl::StatusOr<Endpoint> ParseEndpoint(std::string_view text) {
  Endpoint endpoint;
  endpoint.text = text;
  if (text.starts_with(kUnixPrefix)) {
    const std::string_view path = text.substr(kUnixPrefix.size());
    if (path.empty()) return Wrong(text, "no path after unix:");
    if (path.size() > kUnixPathBytesMax) return Wrong(text, "a unix path has at most 107 bytes");
    if (path.find('\0') != std::string_view::npos) return Wrong(text, "a zero byte in the path");
    endpoint.path = path;
    return endpoint;
  }

  std::string_view port;
  if (text.starts_with('[')) {
    const size_t end = text.find(']');
    if (end == std::string_view::npos) return Wrong(text, "no closing bracket");
    endpoint.host = text.substr(1, end - 1);
    if (endpoint.host.find('\0') != std::string::npos || !ParseIpv6(endpoint.host)) {
      return Wrong(text, "not an IPv6 address in the brackets");
    }
    const std::string_view rest = text.substr(end + 1);
    if (rest.empty() || rest[0] != ':') return Wrong(text, "no port; write [HOST]:PORT");
    port = rest.substr(1);
  } else {
    const size_t colon = text.rfind(':');
    if (colon == std::string_view::npos) return Wrong(text, "no port; write HOST:PORT");
    endpoint.host = text.substr(0, colon);
    const std::string_view fault = FaultInHost(endpoint.host);
    if (!fault.empty()) return Wrong(text, fault);
    port = text.substr(colon + 1);
  }

  if (port.empty()) return Wrong(text, "no port after the colon");
  if (!std::all_of(port.begin(), port.end(), IsDigit)) return Wrong(text, "the port is no number");
  uint32_t number = UINT32_MAX;
  if (port.size() <= kPortDigitsMax) std::from_chars(port.begin(), port.end(), number);
  if (number > UINT16_MAX) return Wrong(text, "a port is at most 65535");
  endpoint.port = static_cast<uint16_t>(number);
  return endpoint;
}

bool IsLoopback(const Endpoint& endpoint) {
  if (endpoint.is_unix()) return true;
  if (absl::EqualsIgnoreCase(endpoint.host, "localhost")) return true;
  if (const auto address = ParseIpv4(endpoint.host)) return *address >> 24 == 127;
  if (const auto address = ParseIpv6(endpoint.host)) {
    if (IN6_IS_ADDR_V4MAPPED(&*address)) return address->s6_addr[12] == 127;
    return IN6_IS_ADDR_LOOPBACK(&*address);
  }
  return false;
}

}  // namespace pakv
