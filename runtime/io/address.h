// Socket addresses as texts: "127.0.0.1:7379", "localhost:7379", "[::1]:7379", "unix:/path".
#pragma once

#include <sys/socket.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pakv {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

// nullopt if the text is no address or the host is not known. Looks up names, so it may block:
// for start-up and clients.
std::optional<SocketAddress> ResolveAddress(std::string_view text);

// All addresses of the host, in the order of the system's preference; empty if there is none.
std::vector<SocketAddress> ResolveAddresses(std::string_view text);

// The text of an address; "unix:" alone for the far end of a unix socket.
std::string AddressText(const SocketAddress& address);

}  // namespace pakv
