#include "cmd/common/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace pakv {
namespace {

// A line that wraps is not drawn over.
constexpr size_t kLineColumns = 79;

}  // namespace

Progress::Progress(ProgressOptions options, std::ostream& err)
    : options_(std::move(options)), err_(err) {}

bool Progress::IsDue(uint64_t now_ns) const {
  if (options_.quiet) return false;
  if (!shown_ns_) return true;
  return now_ns >= *shown_ns_ + (options_.is_terminal ? options_.draw_ns : options_.line_ns);
}

void Progress::Show(uint64_t now_ns, uint64_t done, uint64_t total, std::string_view detail) {
  if (!IsDue(now_ns)) return;
  const bool is_first = !shown_ns_;
  shown_ns_ = now_ns;
  std::string share = "";
  std::string bar;
  if (total > 0) {
    // What grows meanwhile is never beyond its end.
    const double part = std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
    const size_t columns = options_.bar_columns;
    const auto full = static_cast<size_t>(part * static_cast<double>(columns));
    share = fmt::format("{:3.0f} %", part * 100);
    bar = fmt::format("[{}{}] ", std::string(full, '#'), std::string(columns - full, '-'));
  }
  if (!options_.is_terminal) {
    if (is_first) return;  // plain lines are for what takes long
    err_ << fmt::format("pakvctl: {}:{}{} {}\n", options_.what, share.empty() ? "" : " ", share,
                        detail)
         << std::flush;
    return;
  }
  std::string line = fmt::format("{} {}{} {}", options_.what, bar, share, detail);
  line.resize(std::min(line.size(), kLineColumns));
  const size_t columns = line.size();
  if (columns < drawn_columns_) line.append(drawn_columns_ - columns, ' ');
  drawn_columns_ = columns;
  err_ << '\r' << line << std::flush;
}

void Progress::End(uint64_t now_ns) {
  if (drawn_columns_ > 0) err_ << '\r' << std::string(drawn_columns_, ' ') << '\r' << std::flush;
  drawn_columns_ = 0;
  shown_ns_ = now_ns;
}

}  // namespace pakv
