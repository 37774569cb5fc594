#include "runtime/io/address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <cstring>

namespace pakv {

std::optional<SocketAddress> ResolveAddress(std::string_view text) {
  const std::vector<SocketAddress> addresses = ResolveAddresses(text);
  if (addresses.empty()) return std::nullopt;
  return addresses.front();
}

std::vector<SocketAddress> ResolveAddresses(std::string_view text) {
  SocketAddress address;
  constexpr std::string_view kUnix = "unix:";
  if (text.starts_with(kUnix)) {
    const std::string_view path = text.substr(kUnix.size());
    auto& unix_address = reinterpret_cast<sockaddr_un&>(address.storage);
    if (path.empty() || path.size() >= sizeof(unix_address.sun_path)) return {};
    unix_address.sun_family = AF_UNIX;
    std::copy(path.begin(), path.end(), unix_address.sun_path);
    address.length = sizeof(unix_address);
    return {address};
  }
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return {};
  std::string_view host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  const std::string host_text(host);
  const std::string port_text(text.substr(colon + 1));
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV | (host.empty() ? AI_PASSIVE : 0);
  addrinfo* found = nullptr;
  if (getaddrinfo(host.empty() ? nullptr : host_text.c_str(), port_text.c_str(), &hints, &found) !=
          0 ||
      found == nullptr) {
    return {};
  }
  std::vector<SocketAddress> addresses;
  for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
    std::memcpy(&address.storage, each->ai_addr, each->ai_addrlen);
    address.length = each->ai_addrlen;
    addresses.push_back(address);
  }
  freeaddrinfo(found);
  return addresses;
}

std::string AddressText(const SocketAddress& address) {
  char host[INET6_ADDRSTRLEN] = {};
  switch (address.storage.ss_family) {
    case AF_INET: {
      const auto& ipv4 = reinterpret_cast<const sockaddr_in&>(address.storage);
      inet_ntop(AF_INET, &ipv4.sin_addr, host, sizeof(host));
      return std::string(host) + ":" + std::to_string(ntohs(ipv4.sin_port));
    }
    case AF_INET6: {
      const auto& ipv6 = reinterpret_cast<const sockaddr_in6&>(address.storage);
      inet_ntop(AF_INET6, &ipv6.sin6_addr, host, sizeof(host));
      return "[" + std::string(host) + "]:" + std::to_string(ntohs(ipv6.sin6_port));
    }
    case AF_UNIX: {
      const auto& local = reinterpret_cast<const sockaddr_un&>(address.storage);
      const size_t header = offsetof(sockaddr_un, sun_path);
      if (address.length <= header) return "unix:";
      return "unix:" +
             std::string(local.sun_path, strnlen(local.sun_path, address.length - header));
    }
    default:
      return "unknown";
  }
}

}  // namespace pakv
