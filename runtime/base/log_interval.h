// LogInterval: keeps a line that a busy or attacked server would repeat from filling its log: the
// first is written at once, then one per interval at most, which says how many there were.
//
//   if (const uint64_t times = interval.Count(now_ns)) LogWarning("… ({} times)", times);
#pragma once

#include <cstdint>

namespace pakv {

class LogInterval {
 public:
  explicit LogInterval(uint64_t interval_ns) : interval_ns_(interval_ns) {}

  // It has happened once more, at `now_ns` of a clock that does not go back. If a line is due: how
  // often since the line before, this time included; else 0, and it is counted.
  uint64_t Count(uint64_t now_ns) {
    ++times_;
    if (written_ && now_ns - written_ns_ < interval_ns_) return 0;
    written_ = true;
    written_ns_ = now_ns;
    const uint64_t times = times_;
    times_ = 0;
    return times;
  }

 private:
  const uint64_t interval_ns_;
  uint64_t written_ns_ = 0;
  uint64_t times_ = 0;  // since the last line
  bool written_ = false;
};

}  // namespace pakv
