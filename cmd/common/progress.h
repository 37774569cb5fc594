// How far a long command is, on stderr: a bar that is drawn over itself on a terminal, a plain line
// now and then elsewhere.
#pragma once

#include <cstdint>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>

#include "runtime/base/clock.h"

namespace pakv {

struct ProgressOptions {
  std::string what;  // "compacting"
  bool is_terminal = false;
  bool quiet = false;  // shows nothing
  size_t bar_columns = 20;
  uint64_t draw_ns = 100 * kNsPerMs;
  uint64_t line_ns = 5 * kNsPerSecond;  // between plain lines; what is over sooner says nothing
};

class Progress {
 public:
  Progress(ProgressOptions options, std::ostream& err);

  // Whether Show would print anything: for callers whose details cost something.
  bool IsDue(uint64_t now_ns) const;
  // `total` 0: it is not known. `detail` is for people: "12 of 40 segments".
  void Show(uint64_t now_ns, uint64_t done, uint64_t total, std::string_view detail);
  // Takes the bar away, before anything else is written. It may be shown again.
  void End(uint64_t now_ns);

 private:
  const ProgressOptions options_;
  std::ostream& err_;
  std::optional<uint64_t> shown_ns_;  // or begun, where nothing was shown yet
  size_t drawn_columns_ = 0;
};

}  // namespace pakv
