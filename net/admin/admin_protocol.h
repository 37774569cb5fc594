// The admin port: HTTP with three pages, as a protocol on the sessions that serve everything else.
//
// - /healthz: 200 while the process serves. It asks nothing of anybody.
// - /readyz: 200 if the server is ready for requests, else 503 with the reason in one line.
// - /metrics: the counters, for Prometheus.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "net/admin/health.h"
#include "net/session/server_stats.h"
#include "runtime/task/task.h"

namespace pakv {

class Core;
class Protocol;
class Session;

// What an admin port's connections know of their server.
struct AdminServer {
  std::string version;
  std::function<Task<ServerStats>(Core& here)> stats;
  std::function<ServerPhase()> phase;
};

// Serves `session`; both outlive it.
std::unique_ptr<Protocol> MakeAdminProtocol(Session& session, AdminServer& server);

}  // namespace pakv
