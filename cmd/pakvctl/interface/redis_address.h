// redis://[USER@]HOST[:PORT][/DB]: where load brings keys from. Passwords stand in no command line.
#pragma once

#include <absl/status/statusor.h>

#include <optional>
#include <string>
#include <string_view>

#include "net/options/endpoint.h"

namespace pakv {

struct RedisAddress {
  Endpoint endpoint;
  std::string user;                     // empty: the default one
  std::string database = "0";           // a number
  std::optional<std::string> password;  // from the environment
};

// Whether `text` is meant as the address of a server, and not as a file.
bool IsRedisAddress(std::string_view text);

// InvalidArgument says what is wrong. The port is 6379 and the database 0 where none is given.
absl::StatusOr<RedisAddress> ParseRedisAddress(std::string_view text);

}  // namespace pakv
