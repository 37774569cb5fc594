// ValueWriter: sets a key to a value of any length, which is written bit by bit. What is held is
// bounded: a value that fits goes in one request, with its last byte; a longer one goes in pieces
// as it comes, one such value at a time per client, other requests between its pieces.
//
//   ValueWriter writer(client, {.key = "k"});
//   while (more && co_await writer.Write(bytes)) …
//   ClientResult<ClientSetDone> done = co_await writer.Finish();
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "net/client/client.h"
#include "net/client/client_types.h"
#include "runtime/task/task.h"

namespace pakv {

class ValueWriter {
 public:
  // `set` without its value. `total_bytes`: how many there will be, so that what is too much is
  // refused at once; 0: not known. The client is connected, and outlives it.
  ValueWriter(Client& client, ClientSet set, uint64_t total_bytes = 0);
  ValueWriter(const ValueWriter&) = delete;
  ValueWriter& operator=(const ValueWriter&) = delete;

  // In place of what the constructor was given: key, condition and the rest are needed by Finish.
  void Describe(ClientSet set) { set_ = std::move(set); }
  // Waits while too much is unsent. The bytes stay as they are meanwhile. False: it is refused or
  // lost, and Finish says why; no more need be written.
  Task<bool> Write(std::string_view bytes);
  // The value is complete. Awaited once, always: others wait for their turn until then; or the
  // client is closed.
  Task<ClientResult<ClientSetDone>> Finish();

 private:
  Client& client_;
  ClientSet set_;
  const uint64_t total_bytes_;
  std::string buffer_;
  uint64_t id_ = 0;  // of the request in pieces; 0: there is none yet
};

}  // namespace pakv
