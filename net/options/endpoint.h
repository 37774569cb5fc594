// Where a server listens and a client connects: the text that users write, taken apart. Pure: no
// name is looked up here.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace pakv {

struct Endpoint {
  std::string text;  // as the user wrote it, for messages and the start line
  std::string host;  // without brackets; empty for a unix socket
  uint16_t port = 0;
  std::string path;  // of a unix socket, else empty

  bool is_unix() const { return !path.empty(); }

  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

// HOST:PORT, [::1]:PORT or unix:PATH. HOST is an IPv4 address or a name; IPv6 stands in brackets.
// Port 0 is fine here (a listener lets the system pick). InvalidArgument says what is wrong.
absl::StatusOr<Endpoint> ParseEndpoint(std::string_view text);

// Whether only this machine reaches it: a unix socket, an address of the loopback network, or the
// name localhost. Any other name counts as reachable from outside, wherever it leads.
bool IsLoopback(const Endpoint& endpoint);

}  // namespace pakv
