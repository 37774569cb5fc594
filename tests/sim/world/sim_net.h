// SimNet: the stream sockets of a simulated world. Bytes travel in chunks that are cut anywhere,
// each with a delay of its own, in order per direction; connections are reset, ends close one
// direction or both, hosts are cut off from one another. Sends stop at a window that the receiver
// opens by taking bytes out.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/base/prng.h"
#include "tests/sim/world/sim_clock.h"

namespace pakv {

// What the network does to traffic. Chances are out of 10,000.
struct SimNetFaults {
  uint32_t reset = 0;          // of each send: the connection is reset instead
  uint32_t long_delay = 0;     // of each chunk: up to 20 ms instead of up to 200 us
  uint32_t cut = 3000;         // of each send: it travels in several chunks
  uint32_t no_descriptor = 0;  // of each accept: the connection goes on waiting
};

class SimNet {
 public:
  struct Endpoint;
  struct Listener;
  using EndpointRef = std::shared_ptr<Endpoint>;
  using ListenerRef = std::shared_ptr<Listener>;

  // One end of a connection.
  struct Endpoint {
    std::string local_address;
    std::string remote_address;
    std::string local_host;
    std::string remote_host;
    std::weak_ptr<Endpoint> peer;
    // Called when bytes, an end or an error have arrived, or the window has opened.
    std::function<void()> changed;

    std::string received;  // arrived, not taken yet
    bool end_received = false;
    int32_t error = 0;  // -ECONNRESET once the connection is reset
    bool closed = false;

    struct Chunk {
      enum class Kind : uint8_t { kBytes, kEnd, kReset };
      uint64_t arrival_ns;
      Kind kind;
      std::string bytes;
    };
    std::deque<Chunk> wire;          // on its way to the peer
    uint64_t outstanding_bytes = 0;  // sent, not yet taken by the peer
    uint64_t window_bytes = 0;
    bool end_sent = false;
    bool pumping = false;
  };

  struct Listener {
    std::string address;
    std::string host;
    uint32_t backlog = 1;
    bool closed = false;
    std::deque<EndpointRef> pending;
    std::function<void()> changed;  // a connection waits, or the listener was closed
  };

  SimNet(SimAgenda& agenda, uint64_t seed) : agenda_(agenda), prng_(seed) {}

  SimNetFaults faults;

  // From now on `name` is the name of these hosts; any other is its own.
  void SetName(const std::string& name, std::vector<std::string> hosts) {
    names_[name] = std::move(hosts);
  }
  // The addresses of HOST:PORT.
  std::vector<std::string> Resolve(std::string_view address) const;
  // Nobody can listen on an address of `host`: it is not there.
  void SetAbsent(const std::string& host) { absent_.insert(host); }
  // 0 or -errno. Port 0 picks one; `listener` then tells the address.
  int32_t Listen(const std::string& host, std::string_view address, uint32_t backlog,
                 ListenerRef& listener);
  void CloseListener(const ListenerRef& listener);
  // Calls `connected` later, as an event of `owner`: with 0 and the near end, or an error.
  using Connected = std::function<void(int32_t error, EndpointRef near_end)>;
  void Connect(SimAgenda::Owner owner, const std::string& host, std::string address,
               Connected connected);

  // Sends a part of the bytes: how many, 0 while the window is closed, or -errno.
  int32_t Send(const EndpointRef& from, std::string_view bytes);
  // Takes up to `count_max` of the bytes that have arrived.
  std::string Take(const EndpointRef& endpoint, size_t count_max);
  // Nothing more is sent: the peer sees the end behind what was.
  void ShutdownSend(const EndpointRef& endpoint);
  // Both directions end; what has arrived stays readable.
  void Shutdown(const EndpointRef& endpoint);
  // As close(2): an end, or a reset if bytes were left unread.
  void Close(const EndpointRef& endpoint);
  // The process is gone: `reset`, or an end as Close sends it.
  void Abandon(const EndpointRef& endpoint, bool reset);

  // Nothing passes between the two hosts until they are joined again.
  void Separate(const std::string& host, const std::string& other);
  void JoinAll();

 private:
  bool Separated(const std::string& host, const std::string& other) const {
    return separated_.contains({host, other});
  }
  struct Attempt {
    SimAgenda::Owner owner;
    std::string host;
    std::string address;
    Connected connected;
    uint64_t give_up_ns;
  };
  uint64_t Delay();
  void TryConnect(Attempt attempt, uint64_t delay_ns);
  void Put(const EndpointRef& from, Endpoint::Chunk::Kind kind, std::string bytes);
  void Pump(const EndpointRef& from);
  void Arrive(const EndpointRef& from, Endpoint::Chunk& chunk);
  static void Notify(const std::function<void()>& changed) {
    if (changed) changed();
  }

  SimAgenda& agenda_;
  Prng prng_;
  uint32_t next_port_ = 20'000;
  std::map<std::string, ListenerRef, std::less<>> listeners_;
  std::map<std::string, std::vector<std::string>, std::less<>> names_;
  std::set<std::string, std::less<>> absent_;
  std::set<std::pair<std::string, std::string>> separated_;
};

}  // namespace pakv
