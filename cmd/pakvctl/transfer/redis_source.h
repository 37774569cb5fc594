// RedisSource: the keys of a Redis, or of another pakvd, by SCAN: strings with their expiry, and a
// count of what is no string. A key that is there all the while comes at least once; of one that is
// written meanwhile the value comes as it was or as it is, and the expiry too, each for itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "cmd/pakvctl/interface/redis_address.h"
#include "net/client/client_types.h"
#include "net/client/resp_connection.h"
#include "runtime/core/core.h"
#include "runtime/task/task.h"

namespace pakv {

// Why the source brings nothing more.
struct RedisFault {
  std::string text;
  int exit_code = 0;
};

class RedisSource {
 public:
  // `err`: where a password is asked for.
  RedisSource(Core& core, const RedisAddress& address, std::ostream& err);
  RedisSource(const RedisSource&) = delete;
  RedisSource& operator=(const RedisSource&) = delete;

  // Connects, authenticates and selects.
  Task<std::optional<RedisFault>> Connect();
  Task<void> Close();

  // Keys whose values were asked for, and come one by one: the source holds a page of keys and one
  // value.
  struct Page {
    std::vector<std::string> keys;
    size_t next = 0;   // of `keys`, to be taken
    size_t asked = 0;  // of `keys`, requests have left
    bool is_last = false;
    size_t keys_left() const { return keys.size() - next; }
  };
  Task<std::optional<RedisFault>> NextPage(Page& page);
  // The page's next key; nothing in `set` if it is gone or no string. There is one.
  Task<std::optional<RedisFault>> NextKey(Page& page, std::optional<ClientSet>& set);

  uint64_t key_count() const { return key_count_; }  // as the source says at first
  uint64_t seen() const { return seen_; }
  // "3 lists, 1 hash": what is no string; empty if nothing is.
  std::string DescribeLeft() const;

 private:
  Task<std::optional<RedisFault>> Authenticate();
  // A reply that is no error; an error becomes a fault that begins with `what`.
  Task<std::optional<RedisFault>> Take(std::string_view what, RespValue& reply);
  void Ask(Page& page);
  RedisFault FaultOf(const ClientError& error) const;
  RedisFault FaultOf(std::string_view what, const RespValue& reply) const;
  RedisFault Strange(std::string_view what) const;

  Core& core_;
  const RedisAddress& address_;
  std::ostream& err_;
  std::vector<std::unique_ptr<RespConnection>> connections_;  // one for each address tried
  RespConnection* connection_ = nullptr;                      // the one that answers
  std::string cursor_ = "0";
  bool has_expire_time_ = true;  // PEXPIRETIME, Redis 7's; else PTTL
  uint64_t key_count_ = 0;
  uint64_t seen_ = 0;
  std::map<std::string, uint64_t> left_;  // by type
};

}  // namespace pakv
