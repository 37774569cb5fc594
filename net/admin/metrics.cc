#include "net/admin/metrics.h"

#include <fmt/format.h>

#include <cstdint>
#include <iterator>

#include "runtime/base/clock.h"
#include "runtime/base/histogram.h"

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

// What comes before the samples of a metric.
void AppendHead(std::string& page, std::string_view name, std::string_view type,
                std::string_view help) {
  fmt::format_to(std::back_inserter(page), "# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
}

// A metric of one sample without labels.
template <typename Value>
void AppendSample(std::string& page, std::string_view name, std::string_view type,
                  std::string_view help, const Value& value) {
  AppendHead(page, name, type, help);
  fmt::format_to(std::back_inserter(page), "{} {}\n", name, value);
}

// count / unit, exactly: "0.5", "3". `unit` is a power of ten.
std::string Fraction(uint64_t count, uint64_t unit) {
  std::string text = std::to_string(count / unit);
  uint64_t rest = count % unit;
  if (rest != 0) text += '.';
  for (; rest != 0; rest = rest * 10 % unit) {
    text += static_cast<char>('0' + rest * 10 / unit);
  }
  return text;
}

// How many of a metric's units make one of what it is told in.
uint64_t UnitOf(MetricKind kind) {
  if (kind == MetricKind::kPercent) return 100;
  return kind == MetricKind::kPermille ? 1000 : 1;
}

// From what a fast device takes to what a stuck one does.
constexpr uint64_t kCommitBoundsUs[] = {
    10,     25,     50,      100,     250,     500,       1'000,     2'500,     5'000,     10'000,
    25'000, 50'000, 100'000, 250'000, 500'000, 1'000'000, 2'500'000, 5'000'000, 10'000'000};

// Of durations in ns. A bucket lacks what lies within 1/32 below its bound, in the histogram's part
// that the bound splits; the next one has it.
void AppendHistogram(std::string& page, std::string_view name, std::string_view help,
                     const Histogram& durations_ns) {
  AppendHead(page, name, "histogram", help);
  for (const uint64_t bound_us : kCommitBoundsUs) {
    fmt::format_to(std::back_inserter(page), "{}_bucket{{le=\"{}\"}} {}\n", name,
                   Fraction(bound_us, 1'000'000), durations_ns.CountBelow(bound_us * kNsPerUs + 1));
  }
  fmt::format_to(std::back_inserter(page),
                 "{}_bucket{{le=\"+Inf\"}} {}\n"
                 "{}_sum {}\n"
                 "{}_count {}\n",
                 name, durations_ns.count(), name, Fraction(durations_ns.sum(), kNsPerSecond), name,
                 durations_ns.count());
}

// By the names that Prometheus' client libraries give them.
void AppendProcess(std::string& page, const ProcessUsage& process) {
  AppendSample(page, "process_cpu_seconds_total", "counter",
               "CPU time of the process, in user mode and in the kernel.",
               Fraction(process.user_cpu_us + process.system_cpu_us, 1'000'000));
  AppendSample(page, "process_resident_memory_bytes", "gauge",
               "Memory of the process that lies in RAM.", process.resident_bytes);
  AppendSample(page, "process_virtual_memory_bytes", "gauge", "Address space of the process.",
               process.virtual_bytes);
  AppendSample(page, "process_open_fds", "gauge", "Descriptors that the process has open.",
               process.open_descriptors);
  AppendSample(page, "process_max_fds", "gauge", "Descriptors that it may have open.",
               process.descriptors_max);
  AppendSample(page, "process_start_time_seconds", "gauge",
               "When the process started, in seconds since 1970.",
               Fraction(process.started_ms, 1000));
}

}  // namespace

std::string PrometheusName(const ServerMetric& metric) {
  std::string_view name = metric.name;
  std::string_view end = metric.kind == MetricKind::kCounter ? "_total" : "";
  if (UnitOf(metric.kind) != 1) {
    name = name.substr(0, name.rfind('_'));
    end = "_ratio";
  }
  return fmt::format("pakv_{}{}", name, end);
}

std::string PrometheusPage(const ServerStats& stats, const std::optional<ProcessUsage>& process,
                           std::string_view version) {
  std::string page;
  AppendHead(page, "pakv_build_info", "gauge", "What is running.");
  fmt::format_to(std::back_inserter(page), "pakv_build_info{{version=\"{}\"}} 1\n",
                 Quoted(version));
  for (const ServerMetric& metric : ServerMetrics()) {
    if (metric.kind == MetricKind::kPercentile) continue;
    AppendSample(page, PrometheusName(metric),
                 metric.kind == MetricKind::kCounter ? "counter" : "gauge", metric.help,
                 Fraction(metric.value(stats), UnitOf(metric.kind)));
  }
  AppendHistogram(page, "pakv_commit_seconds",
                  "From a block's write being submitted until it was durable, marks included.",
                  stats.store.commit_ns);
  if (process) AppendProcess(page, *process);
  return page;
}

}  // namespace pakv
