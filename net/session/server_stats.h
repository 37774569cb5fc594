// ServerStats: the counters of a whole server, gathered from its cores, and the one table of their
// names: INFO, the pakv protocol's stats and /metrics tell the same numbers.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "kv/shard/state/stats.h"
#include "net/session/session_group.h"

namespace pakv {

struct ServerStats {
  StoreStats store;
  SessionCounters sessions;  // of data ports
  uint64_t connections = 0;
  uint64_t connections_rejected = 0;
  uint64_t requests_waiting_for_memory = 0;  // to be received; long ones
  uint64_t requests_per_second = 0;          // of late
  uint64_t passes = 0;
  uint64_t stalls = 0;
  uint64_t core_count = 0;
  uint64_t uptime_s = 0;
};

enum class MetricKind : uint8_t {
  kCounter,  // only grows, from 0 at the server's start
  kGauge,    // is what it is now
  // Gauges in whole hundredths or thousandths, as their names end; ratios where fractions are told.
  kPercent,
  kPermille,
  // Of a histogram, of all that was recorded since the start. /metrics has the histogram instead.
  kPercentile,
};

// One number of ServerStats. docs/metrics.md explains each; a test compares.
struct ServerMetric {
  std::string_view name;  // its unit last; for counters without "_total"
  MetricKind kind;
  std::string_view help;  // one line, no backslash
  uint64_t (*value)(const ServerStats& stats);
};

// All of them, in the order in which they are shown.
std::span<const ServerMetric> ServerMetrics();

// `now` with its counters counted from `begin`, which was taken before it; gauges are as they are.
ServerStats CountersSince(const ServerStats& now, const ServerStats& begin);

}  // namespace pakv
