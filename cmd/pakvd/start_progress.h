// What a terminal shows while the data is read: a bar below the log that is drawn over itself, and
// gone when the server is ready. Elsewhere the log says each second how far it is
// (kv/log/read/scan.h).
#pragma once

#include <cstdint>
#include <sstream>
#include <string>

#include "cmd/common/progress.h"
#include "kv/store/start/recovery_progress.h"

namespace pakv {

class StartProgress {
 public:
  // `draws`: stderr is a terminal that shows a log of text. Used by one thread.
  explicit StartProgress(bool draws);

  // For the store to tell; nullptr: nothing is drawn.
  RecoveryProgress* told() { return draws_ ? &told_ : nullptr; }
  // Draws, or takes the bar away once the store is open. Returns how soon it wants to be called
  // again, in milliseconds; -1: no more.
  int Tick(uint64_t now_ns, bool is_opening);

 private:
  void Show(uint64_t now_ns);
  void Flush();

  const bool draws_;
  RecoveryProgress told_;
  uint64_t begin_ns_ = 0;  // when there was first something to read
  std::ostringstream drawn_;
  Progress bar_;
};

// "412 of 1024 MiB, 2 s left, 1.2M keys, 350 MiB/s".
std::string DescribeReading(uint64_t done_bytes, uint64_t total_bytes, uint64_t keys,
                            uint64_t elapsed_ns);

}  // namespace pakv
