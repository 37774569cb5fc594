// RespServer: what RESP commands know of the server that they run in.
#pragma once

#include <absl/functional/function_ref.h>

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "net/resp/table/command_calls.h"
#include "net/session/server_stats.h"
#include "runtime/core/core.h"
#include "runtime/task/task.h"

namespace pakv {

class Session;

// One core's; the same content on each, but for the calls.
struct RespServer {
  uint32_t key_bytes_max = 64 << 10;
  uint32_t value_bytes_max = 1 << 20;
  // Longer values go to files while they are received; not more than the above.
  uint32_t inline_value_bytes_max = 1 << 20;
  // What INFO and CONFIG tell.
  std::string version;
  std::string run_id;
  std::string config_path;  // empty: none
  std::string directory;
  bool keeps_on_disk = true;
  uint16_t tcp_port = 0;
  uint32_t core_count = 1;
  uint32_t connection_count_max = 0;
  uint64_t memory_bytes_max = 0;
  uint64_t started_ns = 0;  // monotonic
  uint64_t started_s = 0;   // since 1970
  uint64_t idle_timeout_s = 0;
  // Counters count from the last reset_stats, of whichever session.
  std::function<Task<ServerStats>(Core& here)> stats;
  std::function<Task<void>(Core& here)> reset_stats;
  // This core's, and the sum of all.
  CommandCalls calls;
  std::function<Task<CommandCalls>(Core& here)> all_calls;
  // Visits the sessions of all cores, each on its own (SessionGroup::VisitNext). `between` is asked
  // here after every few of them; false: no more.
  using VisitSession = absl::FunctionRef<void(Session&)>;
  using MayGoOn = absl::FunctionRef<bool()>;
  std::function<Task<void>(Core& here, VisitSession visit, MayGoOn between)> visit_sessions;
};

// What clients are told that this is a version of.
inline constexpr std::string_view kRedisVersion = "7.0.15";

}  // namespace pakv
