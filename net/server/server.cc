#include "net/server/server.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "net/resp/protocol/resp_protocol.h"
#include "net/server/detect.h"
#include "net/session/session.h"
#include "runtime/base/check.h"
#include "runtime/base/log.h"
#include "runtime/core/next_pass.h"

namespace pakv {
namespace {

// Of "127.0.0.1:7379"; 0 of a unix socket.
uint16_t PortOf(std::string_view address) {
  uint16_t port = 0;
  const char* const begin = address.data() + address.rfind(':') + 1;
  const char* const end = address.data() + address.size();
  if (std::from_chars(begin, end, port).ptr != end) return 0;
  return port;
}

Task<bool> EndSessions(Core& here, SessionGroup& group, Store* store) {
  group.RequestKill();
  co_await group.WaitUntilEmpty();
  if (store != nullptr) store->SetClientMemory(here, nullptr);
  co_return true;
}

void Add(SessionCounters& sum, const SessionCounters& part) {
  sum.opened += part.opened;
  sum.requests += part.requests;
  sum.bytes_received += part.bytes_received;
  sum.bytes_sent += part.bytes_sent;
  sum.ended_between_frames += part.ended_between_frames;
  sum.ended_within_frame += part.ended_within_frame;
  sum.ended_by_error += part.ended_by_error;
  sum.protocol_errors += part.protocol_errors;
  sum.request_timeouts += part.request_timeouts;
  sum.idle_timeouts += part.idle_timeouts;
  sum.receives_without_buffer += part.receives_without_buffer;
}

// Of the admin port: few clients who ask little. Who comes when all places are taken gets the
// oldest one's: however many connect and say nothing, whoever looks after the server finds it
// alive.
constexpr uint32_t kAdminConnectionsMax = 64;
SessionLimits AdminLimits() {
  SessionLimits limits;
  limits.idle_timeout_ns = 60 * kNsPerSecond;
  limits.request_timeout_ns = 10 * kNsPerSecond;
  return limits;
}

// Of --memory, what may be held for clients who do not read, but for what each has unsent.
constexpr size_t kUnreadMemoryDivisor = 4;

SessionLimits LimitsOf(const ServerOptions& options) {
  SessionLimits limits = options.session_limits;
  limits.idle_timeout_ns = options.idle_timeout_ns;
  limits.request_timeout_ns = options.request_timeout_ns;
  if (options.memory_bytes_max != 0) {
    const size_t share = options.memory_bytes_max / kUnreadMemoryDivisor / options.core_count;
    limits.core_unread_bytes_max = std::min(limits.core_unread_bytes_max, share);
  }
  return limits;
}

}  // namespace

// What one core has of the server. Made and used there.
struct Server::PerCore {
  PerCore(Core& core, Store& store, const SessionLimits& limits) : group(core, &store, limits) {}
  SessionGroup group;
  RespServer resp;
  PakvServer pakv;
};

struct Server::CoreStats {
  SessionCounters sessions;
  uint64_t connections = 0;
  uint64_t requests_waiting_for_memory = 0;
  uint64_t requests_per_second = 0;
  uint64_t passes = 0;
  uint64_t stalls = 0;
};

Server::Server(Cores& cores, const ServerOptions& options, ServerIdentity identity)
    : cores_(cores),
      core_(cores.core(0)),
      options_(options),
      identity_(std::move(identity)),
      started_ns_(cores.core(0).now_ns()),
      started_s_(cores.core(0).wall_us() / 1'000'000) {}

Server::~Server() = default;

Task<absl::Status> Server::Listen() {
  absl::Status status = co_await ListenAll();
  if (!status.ok()) co_await Stop();
  co_return status;
}

Task<absl::Status> Server::ListenAll() {
  PAKV_CHECK(listener_ == nullptr);
  ListenerOptions options;
  options.connection_count_max = options_.connection_count_max;
  options.overflow = options_.overflow;
  listener_ = std::make_unique<Listener>(core_, options);
  for (const Endpoint& endpoint : options_.data_endpoints) {
    absl::Status status = co_await listener_->Listen(endpoint);
    if (!status.ok()) co_return status;
  }
  data_addresses_ = listener_->addresses();
  if (!options_.admin_endpoint) co_return absl::OkStatus();
  absl::Status status = co_await ListenForAdmin();
  co_return status;
}

Task<absl::Status> Server::ListenForAdmin() {
  ListenerOptions options;
  options.connection_count_max = kAdminConnectionsMax;
  options.oldest_gives_way = true;
  options.option = "--admin-addr";
  auto listener = std::make_unique<Listener>(core_, options);
  absl::Status status = co_await listener->Listen(*options_.admin_endpoint);
  if (absl::IsAlreadyExists(status) && options_.admin_endpoint_is_default) {
    LogWarning("{}; going on without health and metrics (admin-addr)",
               std::string_view(status.message().data(), status.message().size()));
    co_return absl::OkStatus();
  }
  if (!status.ok()) co_return status;
  admin_.version = identity_.version;
  admin_.stats = [this](Core& here) { return Stats(here); };
  admin_.phase = [this] { return phase(); };
  admin_group_ = std::make_unique<SessionGroup>(core_, nullptr, AdminLimits());
  Listener::Target target;
  target.group = admin_group_.get();
  target.make_protocol = [this](Session& session, std::string_view, bool*) {
    return MakeAdminProtocol(session, admin_);
  };
  std::vector<Listener::Target> targets;
  targets.push_back(std::move(target));
  admin_listener_ = std::move(listener);
  admin_address_ = admin_listener_->addresses()[0];
  admin_listener_->Accept(std::move(targets));
  co_return absl::OkStatus();
}

ServerPhase Server::phase() const {
  if (stopping_) return ServerPhase::kStopping;
  return serving_ ? ServerPhase::kServing : ServerPhase::kStarting;
}

Task<void> Server::Start(Store& store) {
  PAKV_CHECK(listener_ != nullptr && store_ == nullptr);
  store_ = &store;
  per_core_.resize(cores_.count());
  const SessionLimits limits = LimitsOf(options_);
  std::vector<Listener::Target> targets;
  for (uint32_t id = 0; id < cores_.count(); ++id) {
    PerCore* const made = co_await core_.CallOn(id, [this, id, limits](Core& there) {
      per_core_[id] = std::make_unique<PerCore>(there, *store_, limits);
      per_core_[id]->resp = DescribeServer();
      per_core_[id]->pakv = DescribePakv();
      const SessionGroup* group = &per_core_[id]->group;
      store_->SetClientMemory(there, [group] { return group->memory_bytes(); });
      if (id != 0) there.CountStalls();
      return per_core_[id].get();
    });
    targets.push_back({&made->group, DataProtocols(*made)});
  }
  listener_->Accept(std::move(targets));
  serving_ = true;
  // Last, as what the rest of this pass does is still part of the start.
  core_.CountStalls();
}

RespServer Server::DescribeServer() {
  RespServer resp;
  resp.key_bytes_max = options_.key_bytes_max;
  resp.value_bytes_max = options_.value_bytes_max;
  resp.inline_value_bytes_max = std::min(options_.value_bytes_max, options_.inline_value_bytes_max);
  resp.version = identity_.version;
  resp.run_id = identity_.run_id;
  resp.config_path = identity_.config_path;
  resp.started_s = started_s_;
  resp.directory = identity_.directory;
  resp.keeps_on_disk = options_.keeps_on_disk;
  resp.core_count = cores_.count();
  resp.connection_count_max = options_.connection_count_max;
  resp.memory_bytes_max = options_.memory_bytes_max;
  resp.started_ns = started_ns_;
  resp.idle_timeout_s = options_.idle_timeout_ns / kNsPerSecond;
  if (!data_addresses_.empty()) resp.tcp_port = PortOf(data_addresses_[0]);
  resp.stats = [this](Core& here) { return StatsSinceReset(here); };
  resp.reset_stats = [this](Core& here) { return ResetStats(here); };
  resp.all_calls = [this](Core& here) { return AllCalls(here); };
  resp.visit_sessions = [this](Core& here, RespServer::VisitSession visit,
                               RespServer::MayGoOn between) {
    return VisitSessions(here, visit, between);
  };
  return resp;
}

PakvServer Server::DescribePakv() {
  PakvServer pakv;
  pakv.key_bytes_max = options_.key_bytes_max;
  pakv.value_bytes_max = options_.value_bytes_max;
  pakv.inline_value_bytes_max = std::min(options_.value_bytes_max, options_.inline_value_bytes_max);
  pakv.software = "pakvd " + identity_.version;
  pakv.stats = [this](Core& here) { return Stats(here); };
  return pakv;
}

SessionGroup::MakeProtocol Server::DataProtocols(PerCore& of_core) {
  return [&of_core](Session& session, std::string_view begin,
                    bool* refused) -> std::unique_ptr<Protocol> {
    // What may still become a request of RESP or HTTP: both are read by people.
    if (begin.empty()) return std::make_unique<RespProtocol>(session, of_core.resp);
    switch (DetectWireProtocol(begin)) {
      case WireProtocol::kUndecided:
        return nullptr;
      case WireProtocol::kResp:
        return std::make_unique<RespProtocol>(session, of_core.resp);
      case WireProtocol::kPakv:
        return MakePakvProtocol(session, of_core.pakv);
      case WireProtocol::kHttp:
        session.OpenReply().Append(
            "-ERR Protocol error: HTTP on a data port; health and metrics are on that of "
            "--admin-addr\r\n");
        break;
      case WireProtocol::kTls:
        session.OpenReply().Append("-ERR Protocol error: neither RESP nor the pakv protocol\r\n");
        break;
    }
    session.CloseReply();
    *refused = true;
    return nullptr;
  };
}

Task<bool> Server::Drain(uint64_t timeout_ns) {
  stopping_ = true;
  co_await listener_->Stop();
  for (uint32_t id = 0; id < per_core_.size(); ++id) {
    const bool asked = co_await core_.CallOn(id, [this, id](Core&) {
      per_core_[id]->group.RequestDrain();
      return true;
    });
    PAKV_CHECK(asked);
  }
  const bool drained = co_await listener_->WaitUntilEmpty(core_.now_ns() + timeout_ns);
  co_return drained;
}

Task<void> Server::Stop() {
  stopping_ = true;
  if (listener_ != nullptr) co_await listener_->Stop();
  for (uint32_t id = 0; id < per_core_.size(); ++id) {
    const bool ended = co_await core_.CallTaskOn(
        id, [this, id](Core& there) { return EndSessions(there, per_core_[id]->group, store_); });
    PAKV_CHECK(ended);
  }
  // Their places are on the way back.
  if (listener_ != nullptr) {
    const bool empty = co_await listener_->WaitUntilEmpty(kNever);
    PAKV_CHECK(empty);
  }
  // Last: until here it tells that the server is stopping.
  if (admin_listener_ != nullptr) {
    co_await admin_listener_->Stop();
    co_await EndSessions(core_, *admin_group_, nullptr);
    const bool empty = co_await admin_listener_->WaitUntilEmpty(kNever);
    PAKV_CHECK(empty);
  }
}

Task<ServerStats> Server::Stats(Core& here) {
  ServerStats stats;
  if (!serving_) co_return stats;
  for (uint32_t id = 0; id < per_core_.size(); ++id) {
    const CoreStats part = co_await here.CallOn(id, [this, id](Core& there) {
      CoreStats of_core;
      SessionGroup& group = per_core_[id]->group;
      of_core.sessions = group.counters();
      of_core.connections = group.session_count();
      of_core.requests_waiting_for_memory = group.frame_budget.waiting_count();
      of_core.requests_per_second =
          group.request_rate().PerSecond(there.now_ns(), group.counters().requests);
      of_core.passes = there.counters().passes;
      of_core.stalls = there.stalls().count();
      return of_core;
    });
    Add(stats.sessions, part.sessions);
    stats.connections += part.connections;
    stats.requests_waiting_for_memory += part.requests_waiting_for_memory;
    stats.requests_per_second += part.requests_per_second;
    stats.passes += part.passes;
    stats.stalls += part.stalls;
  }
  stats.connections_rejected = co_await here.CallOn(
      0, [this](Core&) { return listener_ == nullptr ? uint64_t{0} : listener_->rejected(); });
  stats.core_count = per_core_.size();
  stats.uptime_s = (here.now_ns() - started_ns_) / kNsPerSecond;
  stats.store = co_await store_->Stats(here);
  co_return stats;
}

Task<void> Server::VisitSessions(Core& here, RespServer::VisitSession visit,
                                 RespServer::MayGoOn between) {
  for (uint32_t id = 0; id < per_core_.size(); ++id) {
    SessionGroup* const group = &per_core_[id]->group;
    SessionWalk walk;
    SessionWalk* const walking = &walk;
    bool more = true;
    while (more) {
      more = co_await here.CallOn(
          id, [group, walking, visit](Core&) { return group->VisitNext(*walking, visit); });
      if (between()) {
        co_await NextPass(here);
        continue;
      }
      if (!more) co_return;
      more = co_await here.CallOn(id, [walking](Core&) {
        walking->Unlink();
        return false;
      });
      co_return;
    }
  }
}

Task<ServerStats> Server::StatsSinceReset(Core& here) {
  // First, so that no later reset counts against what was gathered before it.
  const ServerStats begin = co_await here.CallOn(0, [this](Core&) { return reset_stats_; });
  const ServerStats now = co_await Stats(here);
  co_return CountersSince(now, begin);
}

Task<void> Server::ResetStats(Core& here) {
  const ServerStats now = co_await Stats(here);
  const bool kept = co_await here.CallOn(0, [this, now](Core&) {
    // Of two at once the later counts.
    if (now.passes >= reset_stats_.passes) reset_stats_ = now;
    return true;
  });
  PAKV_CHECK(kept);
  for (uint32_t id = 0; id < per_core_.size(); ++id) {
    const bool reset = co_await here.CallOn(id, [this, id](Core&) {
      per_core_[id]->resp.calls.Reset();
      return true;
    });
    PAKV_CHECK(reset);
  }
}

Task<CommandCalls> Server::AllCalls(Core& here) {
  CommandCalls sum;
  for (uint32_t id = 0; id < per_core_.size(); ++id) {
    const bool added = co_await here.CallOn(id, [this, id, &sum](Core&) {
      sum.Add(per_core_[id]->resp.calls);
      return true;
    });
    PAKV_CHECK(added);
  }
  co_return sum;
}

}  // namespace pakv
