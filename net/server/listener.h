// Listener: accepts connections on one core and hands each to the core that has the fewest.
//
// A connection takes a place, and gives it back however it ends. Without a free place it is not
// served until there is one, or it is told so and closed, or takes the place of the one that is
// there for the longest time. All of it runs on the accepting core.
#pragma once

#include <absl/status/status.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "net/options/server_options.h"
#include "net/session/session_group.h"
#include "runtime/base/log_interval.h"
#include "runtime/core/core.h"
#include "runtime/io/socket.h"
#include "runtime/task/nursery.h"
#include "runtime/task/sync.h"
#include "runtime/task/task.h"

namespace pakv {

struct ListenerOptions {
  size_t connection_count_max = 10240;
  OverflowPolicy overflow = OverflowPolicy::kWait;
  // In place of either: the oldest connection is ended for a new one. For a target on the accepting
  // core alone, whose clients may come again at any time.
  bool oldest_gives_way = false;
  uint32_t backlog = 1024;
  std::string option = "--addr";  // that has named the addresses: for errors
};

class Listener {
 public:
  // `groups`: of each core the one that serves, and what makes protocols there. They outlive it,
  // like the core.
  struct Target {
    SessionGroup* group = nullptr;
    SessionGroup::MakeProtocol make_protocol;
  };
  Listener(Core& core, const ListenerOptions& options);
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  // Stop was awaited, or its tasks are gone.
  ~Listener();

  // Listens on `endpoint` as well: on every address that its host has here, with one port. Several
  // calls, before Accept. AlreadyExists if one of them is taken, InvalidArgument if none works;
  // with what to do about it.
  Task<absl::Status> Listen(const Endpoint& endpoint);
  // Where it listens, in the order of the calls; with the port that the system picked. A host of
  // several addresses is there several times.
  const std::vector<std::string>& addresses() const { return addresses_; }
  // Begins to accept. Once.
  void Accept(std::vector<Target> targets);
  // Closes the addresses. Accepts no further connection; those that wait for a place are closed.
  // The connections that are served go on.
  Task<void> Stop();

  // Waits until no connection is left, or until `deadline_ns`; true if none is left.
  Task<bool> WaitUntilEmpty(uint64_t deadline_ns);

  uint64_t accepted() const { return accepted_; }
  uint64_t rejected() const { return rejected_; }

 private:
  struct Place;
  struct Listening {
    Socket socket;
    std::string address;
    std::string unix_path;
  };

  Task<IoResult> ListenOnAll(std::vector<std::string> addresses, std::string unix_path,
                             std::vector<std::unique_ptr<Listening>>& opened);
  Task<void> Close(Listening& listening);
  Task<void> AcceptAll(Listening& listening);
  Task<void> Reject(Handle plain);
  Task<void> CloseUnserved(Handle plain);
  void EndOldest();
  void HandOver(Handle plain, std::string peer, const std::string& local);
  void GiveBack(Place& place);

  Core& core_;
  std::vector<Target> targets_;
  const ListenerOptions options_;
  std::vector<std::unique_ptr<Listening>> listening_;
  std::vector<std::string> addresses_;
  Semaphore free_places_;
  Event emptied_;
  std::vector<std::unique_ptr<Place>> places_;  // as many as there ever were connections at once
  std::vector<Place*> unused_places_;
  std::vector<size_t> connection_counts_;  // by target
  size_t connection_count_ = 0;
  size_t rejecting_count_ = 0;
  uint64_t next_id_ = 1;
  uint64_t accepted_ = 0;
  uint64_t rejected_ = 0;
  LogInterval shortages_;
  LogInterval rejections_;
  Nursery nursery_;  // last: its tasks use all of the above
};

}  // namespace pakv
