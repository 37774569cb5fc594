// Loader: writes keys to a server, hundreds at a time, whatever they come from. Each is
// acknowledged before it counts. What is in flight is bounded, in number and bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>

#include "net/client/client.h"
#include "runtime/task/task.h"

namespace pakv {

class Loader {
 public:
  static constexpr size_t kInFlightMax = 512;
  static constexpr size_t kInFlightBytesMax = size_t{16} << 20;

  // `if_absent`: keys that are there stay as they are. The client is connected and outlives it.
  Loader(Client& client, bool if_absent) : client_(client), if_absent_(if_absent) {}
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  // Starts to write; waits while too much is in flight, and for a long value until it is written.
  // `place` is for people: the number of its line. False: a write has failed, this one or an
  // earlier one; nothing more is put then.
  Task<bool> Put(ClientSet set, uint64_t place);
  // One that was written in another way has ended so.
  void Record(const ClientResult<ClientSetDone>& done, const std::string& key, uint64_t place);
  bool if_absent() const { return if_absent_; }
  // All that was put is acknowledged. Also after a failure, for its count.
  Task<bool> Finish();

  uint64_t written() const { return written_; }  // and acknowledged
  uint64_t present() const { return present_; }  // were there already, and stay

  // Of the first write that failed.
  const ClientError& error() const { return error_; }
  const std::string& failed_key() const { return failed_key_; }
  uint64_t failed_place() const { return failed_place_; }

 private:
  struct Write {
    uint64_t id = 0;
    uint64_t place = 0;
    size_t bytes = 0;
    std::string key;
  };
  Task<void> AwaitOldest();

  Client& client_;
  const bool if_absent_;
  std::deque<Write> in_flight_;
  size_t in_flight_bytes_ = 0;
  uint64_t written_ = 0;
  uint64_t present_ = 0;
  ClientError error_;
  std::string failed_key_;
  uint64_t failed_place_ = 0;
};

}  // namespace pakv
