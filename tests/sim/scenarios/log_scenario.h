// A log's life in a simulated world: it is written, crashes at any operation, is recovered, crashes
// while it is, and goes on; the disk tears, loses and fails as SimDisk does. An oracle knows what
// was acknowledged and what was only attempted.
#pragma once

#include <cstdint>
#include <string>

namespace pakv {

struct LogScenarioOptions {
  bool power_cuts = true;  // else processes are killed only
  bool short_transfers = true;
  bool disk_errors = true;  // EIO and failed flushes
  bool clock_steps = true;  // the wall clock is set back between lives
  bool buffered = false;    // direct I/O is refused in every seed, not in a third of them
  int lives = 8;
  int flipped_bits = 20;  // at the end, one after the other
};

// Plays one seed. "" if the oracle has nothing to say, else what went wrong.
// `crash_points` is set to the number of crashes that interrupted something.
std::string PlayLogScenario(uint64_t seed, const LogScenarioOptions& options,
                            uint64_t* crash_points = nullptr);

}  // namespace pakv
