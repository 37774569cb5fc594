#include "cmd/pakvd/start_progress.h"

#include <fmt/format.h>

#include <algorithm>

#include "runtime/base/counted.h"
#include "runtime/base/log.h"

namespace pakv {
namespace {

// A start that is over sooner shows nothing.
constexpr int kTickMs = 100;
constexpr double kMebibyte = 1 << 20;
constexpr double kGibibyte = 1 << 30;
constexpr uint64_t kInMebibytesBelow = uint64_t{10} << 30;

}  // namespace

StartProgress::StartProgress(bool draws)
    : draws_(draws), bar_({.what = "reading", .is_terminal = true, .bar_columns = 10}, drawn_) {}

int StartProgress::Tick(uint64_t now_ns, bool is_opening) {
  if (!draws_) return -1;
  if (is_opening) {
    Show(now_ns);
  } else {
    bar_.End(now_ns);
  }
  Flush();
  return is_opening ? kTickMs : -1;
}

void StartProgress::Show(uint64_t now_ns) {
  const uint64_t total = told_.scan.total_bytes.load(std::memory_order_relaxed);
  if (total == 0) return;
  if (begin_ns_ == 0) begin_ns_ = now_ns;
  const uint64_t done = told_.scan.done_bytes.load(std::memory_order_relaxed);
  const uint64_t keys = told_.keys.load(std::memory_order_relaxed);
  bar_.Show(now_ns, done, total, DescribeReading(done, total, keys, now_ns - begin_ns_));
}

void StartProgress::Flush() {
  if (!drawn_.view().empty()) DrawBelowLog(drawn_.view());
  drawn_.str("");
}

// Short enough for a line of 79 columns; the least important comes last.
std::string DescribeReading(uint64_t done_bytes, uint64_t total_bytes, uint64_t keys,
                            uint64_t elapsed_ns) {
  const auto done = static_cast<double>(done_bytes);
  const auto total = static_cast<double>(total_bytes);
  std::string text = total_bytes < kInMebibytesBelow
                         ? fmt::format("{} of {} MiB", done_bytes >> 20, total_bytes >> 20)
                         : fmt::format("{:.1f} of {:.1f} GiB", done / kGibibyte, total / kGibibyte);
  const double seconds = static_cast<double>(elapsed_ns) / static_cast<double>(kNsPerSecond);
  const double rate = elapsed_ns > 0 ? done / seconds : 0;
  if (rate > 0) text += fmt::format(", {:.0f} s left", std::max(total - done, 0.0) / rate);
  text += keys < 1'000'000 ? ", " + Counted(keys, "key")
                           : fmt::format(", {:.1f}M keys", static_cast<double>(keys) / 1e6);
  if (rate > 0) text += fmt::format(", {:.0f} MiB/s", rate / kMebibyte);
  return text;
}

}  // namespace pakv
