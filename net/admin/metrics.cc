#include "net/admin/metrics.h"

#include <fmt/format.h>

#include <iterator>

namespace pakv {
namespace {

// Within the quotes of a label's value.
std::string Quoted(std::string_view text) {
  std::string quoted;
  for (const char c : text) {
    if (c == '\\' || c == '"') quoted += '\\';
    if (c == '\n') {
      quoted += "\\n";
    } else {
      quoted += c;
    }
  }
  return quoted;
}

}  // namespace

std::string PrometheusName(const ServerMetric& metric) {
  return fmt::format("pakv_{}{}", metric.name, metric.kind == MetricKind::kCounter ? "_total" : "");
}

std::string PrometheusPage(const ServerStats& stats, std::string_view version) {
  std::string page = fmt::format(
      "# HELP pakv_info What is running.\n"
      "# TYPE pakv_info gauge\n"
      "pakv_info{{version=\"{}\"}} 1\n",
      Quoted(version));
  for (const ServerMetric& metric : ServerMetrics()) {
    const std::string name = PrometheusName(metric);
    fmt::format_to(std::back_inserter(page), "# HELP {} {}\n# TYPE {} {}\n{} {}\n", name,
                   metric.help, name, metric.kind == MetricKind::kCounter ? "counter" : "gauge",
                   name, metric.value(stats));
  }
  return page;
}

}  // namespace pakv
