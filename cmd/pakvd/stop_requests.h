// What a signal that asks for the end means: the first one begins a graceful stop, a second one
// ends it at once. A wish that arrives twice is one: `timeout` (coreutils) sends its signal to the
// child and then to the child's group, and a terminal's Ctrl-C may come with its parent's.
#pragma once

#include <cstdint>

#include "runtime/base/clock.h"

namespace pakv {

class StopRequests {
 public:
  enum class Act : uint8_t {
    kStop,     // begin to
    kNothing,  // the same wish again
    kEnd,      // at once
  };
  // The same signal within this time of the first one is that one.
  static constexpr uint64_t kOneWishNs = 100 * kNsPerMs;

  // The signal `number` has come; `now_ns` is on the monotonic clock.
  Act Take(int number, uint64_t now_ns) {
    if (first_signal_ == 0) {
      first_signal_ = number;
      first_ns_ = now_ns;
      return Act::kStop;
    }
    const bool is_first_again = number == first_signal_ && now_ns - first_ns_ < kOneWishNs;
    return is_first_again ? Act::kNothing : Act::kEnd;
  }

 private:
  int first_signal_ = 0;
  uint64_t first_ns_ = 0;
};

}  // namespace pakv
