#include "cmd/pakvctl/interface/redis_address.h"

#include <absl/status/status.h>
#include <fmt/format.h>

#include "cmd/common/values.h"

namespace pakv {
namespace {

constexpr std::string_view kScheme = "redis://";
constexpr std::string_view kSchemeTls = "rediss://";
constexpr std::string_view kPortDefault = ":6379";

absl::Status Wrong(const std::string& text) { return absl::InvalidArgumentError(text); }

// Behind the host, which may stand in brackets and hold colons.
bool HasPort(std::string_view host) {
  const size_t bracket = host.rfind(']');
  return host.find(':', bracket == std::string_view::npos ? 0 : bracket) != std::string_view::npos;
}

}  // namespace

bool IsRedisAddress(std::string_view text) {
  return text.starts_with(kScheme) || text.starts_with(kSchemeTls);
}

absl::StatusOr<RedisAddress> ParseRedisAddress(std::string_view text) {
  if (text.starts_with(kSchemeTls)) return Wrong("rediss:// is not supported: no TLS yet");
  std::string_view rest = text.substr(kScheme.size());
  RedisAddress address;
  if (const size_t slash = rest.find('/'); slash != std::string_view::npos) {
    const std::string_view database = rest.substr(slash + 1);
    rest = rest.substr(0, slash);
    if (!database.empty()) {
      const absl::StatusOr<uint64_t> number = ParseCount(database);
      if (!number.ok()) return Wrong(fmt::format("the database {} is no number", Quoted(database)));
      address.database = std::to_string(*number);
    }
  }
  if (const size_t at = rest.rfind('@'); at != std::string_view::npos) {
    const std::string_view user = rest.substr(0, at);
    if (user.find(':') != std::string_view::npos) {
      return Wrong("a password does not belong on the command line: set PAKV_SOURCE_PASSWORD");
    }
    address.user = user;
    rest = rest.substr(at + 1);
  }
  if (rest.empty()) return Wrong("there is no host, as in redis://127.0.0.1:6379/0");
  std::string host(rest);
  if (!HasPort(rest)) host += kPortDefault;
  absl::StatusOr<Endpoint> endpoint = ParseEndpoint(host);
  if (!endpoint.ok()) return endpoint.status();
  if (endpoint->is_unix() || endpoint->port == 0) return Wrong(Quoted(host) + " is no HOST:PORT");
  address.endpoint = *std::move(endpoint);
  return address;
}

}  // namespace pakv
