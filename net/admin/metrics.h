// /metrics: a server's counters in the text format of Prometheus.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "net/session/server_stats.h"
#include "runtime/core/process_usage.h"

namespace pakv {

inline constexpr std::string_view kMetricsContentType = "text/plain; version=0.0.4; charset=utf-8";

// The name of a row of ServerMetrics there: "pakv_requests_total", "pakv_keys",
// "pakv_writes_slowed_ratio".
std::string PrometheusName(const ServerMetric& metric);

// The whole page. `version` is the server's; without `process` it does not tell of the process.
std::string PrometheusPage(const ServerStats& stats, const std::optional<ProcessUsage>& process,
                           std::string_view version);

}  // namespace pakv
