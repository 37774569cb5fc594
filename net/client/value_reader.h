// ValueReader: a key's value, however long, in pieces as they come. What is held is bounded: while
// nobody takes pieces the connection receives nothing more, replies to others included.
//
//   ValueReader reader(client);
//   ClientResult<bool> there = co_await reader.Open("k");
//   while (…) { ClientResult<std::string> piece = co_await reader.Next(); … }
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "net/client/client.h"
#include "runtime/task/task.h"

namespace pakv {

class ValueReader {
 public:
  // The client is connected; it outlives this, and is not connected again meanwhile.
  explicit ValueReader(Client& client) : client_(client) {}
  ValueReader(const ValueReader&) = delete;
  ValueReader& operator=(const ValueReader&) = delete;
  // What was not read is skipped as it comes.
  ~ValueReader();

  // False: the key is not there. Once.
  Task<ClientResult<bool>> Open(std::string_view key);
  uint64_t total_bytes() const { return total_bytes_; }
  uint64_t lsn() const { return lsn_; }
  std::optional<uint64_t> ttl_ms() const { return ttl_ms_; }
  uint64_t expires_at_ms() const { return expires_at_ms_; }  // 0: it lives for ever

  // The next bytes; empty: that was all. An error ends it: what was read before is not the value.
  Task<ClientResult<std::string>> Next();

 private:
  Client& client_;
  uint64_t id_ = 0;  // 0: there is nothing to come
  std::optional<std::string> first_;
  uint64_t total_bytes_ = 0;
  uint64_t lsn_ = 0;
  std::optional<uint64_t> ttl_ms_;
  uint64_t expires_at_ms_ = 0;
};

}  // namespace pakv
