#include "tests/sim/world/sim_net.h"

#include <algorithm>
#include <cerrno>

#include "runtime/base/check.h"

namespace pakv {
namespace {

// How often a separated direction looks whether the hosts are joined again.
constexpr uint64_t kSeparatedRetryNs = 5 * kNsPerMs;
// A connection attempt across a separation gives up.
constexpr uint64_t kConnectTimeoutNs = 10 * kNsPerSecond;
constexpr uint32_t kChunksMax = 4;

}  // namespace

uint64_t SimNet::Delay() {
  if (faults.long_delay != 0 && prng_.Chance(faults.long_delay, 10'000)) {
    return prng_.Between(1, 20'000) * kNsPerUs;
  }
  return prng_.Between(5, 200) * kNsPerUs;
}

std::vector<std::string> SimNet::Resolve(std::string_view address) const {
  const size_t colon = address.rfind(':');
  const auto named = names_.find(address.substr(0, std::min(colon, address.size())));
  if (named == names_.end()) return {std::string(address)};
  std::vector<std::string> addresses;
  for (const std::string& host : named->second) {
    addresses.push_back(host + std::string(address.substr(colon)));
  }
  return addresses;
}

int32_t SimNet::Listen(const std::string& host, std::string_view address, uint32_t backlog,
                       ListenerRef& listener) {
  std::string bound(address);
  if (!bound.starts_with("unix:")) {
    const size_t colon = bound.rfind(':');
    if (colon == std::string::npos || absent_.contains(bound.substr(0, colon))) {
      return -EADDRNOTAVAIL;
    }
    if (bound.substr(colon) == ":0") {
      bound = bound.substr(0, colon + 1) + std::to_string(next_port_++);
    }
  }
  if (listeners_.contains(bound)) return -EADDRINUSE;
  listener = std::make_shared<Listener>();
  listener->address = bound;
  listener->host = host;
  listener->backlog = std::max(backlog, 1u);
  listeners_.emplace(bound, listener);
  return 0;
}

void SimNet::CloseListener(const ListenerRef& listener) {
  if (listener->closed) return;
  listener->closed = true;
  listeners_.erase(listener->address);
  for (const EndpointRef& endpoint : listener->pending) Abandon(endpoint, /*reset=*/true);
  listener->pending.clear();
  Notify(listener->changed);
}

void SimNet::Connect(SimAgenda::Owner owner, const std::string& host, std::string address,
                     Connected connected) {
  TryConnect(
      {owner, host, std::move(address), std::move(connected), agenda_.now_ns() + kConnectTimeoutNs},
      Delay());
}

void SimNet::TryConnect(Attempt attempt, uint64_t delay_ns) {
  const SimAgenda::Owner owner = attempt.owner;
  agenda_.After(delay_ns, owner, [this, attempt = std::move(attempt)]() mutable {
    const auto& [attempt_owner, host, address, connected, give_up_ns] = attempt;
    const auto found = listeners_.find(address);
    const ListenerRef listener = found == listeners_.end() ? nullptr : found->second;
    const bool reachable = listener == nullptr || (!Separated(host, listener->host) &&
                                                   listener->pending.size() < listener->backlog);
    if (!reachable) {
      if (agenda_.now_ns() >= give_up_ns) return connected(-ETIMEDOUT, nullptr);
      return TryConnect(std::move(attempt), kSeparatedRetryNs);
    }
    if (listener == nullptr) return connected(-ECONNREFUSED, nullptr);
    auto near_end = std::make_shared<Endpoint>();
    auto far_end = std::make_shared<Endpoint>();
    const bool is_unix = address.starts_with("unix:");
    near_end->local_address = is_unix ? "unix:" : host + ":" + std::to_string(next_port_++);
    near_end->remote_address = address;
    near_end->local_host = far_end->remote_host = host;
    near_end->remote_host = far_end->local_host = listener->host;
    far_end->local_address = address;
    far_end->remote_address = near_end->local_address;
    near_end->peer = far_end;
    far_end->peer = near_end;
    near_end->window_bytes = prng_.Between(1, 64) << 10;
    far_end->window_bytes = prng_.Between(1, 64) << 10;
    listener->pending.push_back(far_end);
    Notify(listener->changed);
    connected(0, near_end);
  });
}

int32_t SimNet::Send(const EndpointRef& from, std::string_view bytes) {
  if (from->error != 0) return from->error;
  if (from->end_sent || from->peer.expired()) return -EPIPE;
  if (bytes.empty()) return 0;
  if (from->outstanding_bytes >= from->window_bytes) return 0;
  if (faults.reset != 0 && prng_.Chance(faults.reset, 10'000)) {
    Put(from, Endpoint::Chunk::Kind::kReset, {});
    from->error = -ECONNRESET;
    Notify(from->changed);
    return -ECONNRESET;
  }
  size_t count = std::min<size_t>(bytes.size(), from->window_bytes - from->outstanding_bytes);
  if (count > 1 && prng_.Chance(faults.cut, 10'000)) count = 1 + prng_.Below(count);
  from->outstanding_bytes += count;
  const uint64_t chunks = prng_.Chance(faults.cut, 10'000) ? prng_.Between(1, kChunksMax) : 1;
  size_t begin = 0;
  for (uint64_t i = 0; i < chunks && begin < count; ++i) {
    const size_t length = i + 1 == chunks ? count - begin : 1 + prng_.Below(count - begin);
    Put(from, Endpoint::Chunk::Kind::kBytes, std::string(bytes.substr(begin, length)));
    begin += length;
  }
  return static_cast<int32_t>(count);
}

void SimNet::Put(const EndpointRef& from, Endpoint::Chunk::Kind kind, std::string bytes) {
  uint64_t arrival_ns = agenda_.now_ns() + Delay();
  if (!from->wire.empty()) arrival_ns = std::max(arrival_ns, from->wire.back().arrival_ns);
  from->wire.push_back({arrival_ns, kind, std::move(bytes)});
  Pump(from);
}

void SimNet::Pump(const EndpointRef& from) {
  if (from->pumping || from->wire.empty()) return;
  from->pumping = true;
  agenda_.At(from->wire.front().arrival_ns, /*owner=*/0, [this, from] {
    from->pumping = false;
    if (Separated(from->local_host, from->remote_host)) {
      from->wire.front().arrival_ns = agenda_.now_ns() + kSeparatedRetryNs;
      return Pump(from);
    }
    Endpoint::Chunk chunk = std::move(from->wire.front());
    from->wire.pop_front();
    Arrive(from, chunk);
    Pump(from);
  });
}

void SimNet::Arrive(const EndpointRef& from, Endpoint::Chunk& chunk) {
  const EndpointRef to = from->peer.lock();
  if (to == nullptr || to->closed) {
    // Nobody reads there any more: the sender of bytes learns it.
    if (chunk.kind == Endpoint::Chunk::Kind::kBytes && from->error == 0) {
      agenda_.After(Delay(), /*owner=*/0, [from] {
        from->error = -ECONNRESET;
        Notify(from->changed);
      });
    }
    return;
  }
  switch (chunk.kind) {
    case Endpoint::Chunk::Kind::kBytes:
      if (to->error != 0) return;
      to->received += chunk.bytes;
      break;
    case Endpoint::Chunk::Kind::kEnd:
      to->end_received = true;
      break;
    case Endpoint::Chunk::Kind::kReset:
      to->error = -ECONNRESET;
      if (prng_.Chance(1, 2)) to->received.clear();
      from->outstanding_bytes = 0;
      break;
  }
  Notify(to->changed);
}

std::string SimNet::Take(const EndpointRef& endpoint, size_t count_max) {
  std::string bytes = endpoint->received.substr(0, count_max);
  endpoint->received.erase(0, bytes.size());
  if (const EndpointRef peer = endpoint->peer.lock()) {
    const bool was_closed = peer->outstanding_bytes >= peer->window_bytes;
    peer->outstanding_bytes -= std::min<uint64_t>(peer->outstanding_bytes, bytes.size());
    if (was_closed) {
      agenda_.After(Delay(), /*owner=*/0, [peer] { Notify(peer->changed); });
    }
  }
  return bytes;
}

void SimNet::ShutdownSend(const EndpointRef& endpoint) {
  if (endpoint->end_sent || endpoint->error != 0) return;
  endpoint->end_sent = true;
  Put(endpoint, Endpoint::Chunk::Kind::kEnd, {});
}

void SimNet::Shutdown(const EndpointRef& endpoint) {
  endpoint->end_received = true;
  ShutdownSend(endpoint);
  Notify(endpoint->changed);
}

void SimNet::Close(const EndpointRef& endpoint) {
  Abandon(endpoint, /*reset=*/!endpoint->received.empty());
}

void SimNet::Abandon(const EndpointRef& endpoint, bool reset) {
  if (endpoint->closed) return;
  endpoint->closed = true;
  endpoint->changed = nullptr;
  if (endpoint->error != 0) return;
  if (reset) {
    Put(endpoint, Endpoint::Chunk::Kind::kReset, {});
  } else if (!endpoint->end_sent) {
    Put(endpoint, Endpoint::Chunk::Kind::kEnd, {});
  }
  endpoint->end_sent = true;
}

void SimNet::Separate(const std::string& host, const std::string& other) {
  separated_.insert({host, other});
  separated_.insert({other, host});
}

void SimNet::JoinAll() { separated_.clear(); }

}  // namespace pakv
