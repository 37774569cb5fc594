// How far a compaction on request has come.
#pragma once

#include <cstdint>
#include <string>

#include "kv/shard/messages/request.h"

namespace pakv {

// A compaction on request: of the sealed segments that there are when it begins, those that would
// give back a part of their file, the oldest first, so that deletes can leave. It takes half of the
// time, not all: users come first. One at a time; who asks meanwhile joins it.
struct CompactionProgress {
  uint64_t number = 0;  // of the request; 0: none
  bool done = false;
  uint64_t segments = 0;       // compacted and removed
  uint64_t removed_bytes = 0;  // of their files
  uint64_t copied_bytes = 0;   // of what lived in them
  uint64_t segments_left = 0;  // that are worth it
  uint64_t gain_bytes = 0;     // what these would give back, about
  uint64_t set_aside = 0;      // left alone: damaged, or with a record that fits no segment
  // Why it has ended before its time, if it has: kReadOnly, kDiskFull, kNoDescriptors, kStopping,
  // or kFileError: a segment could not be read.
  Outcome outcome = Outcome::kDone;
  std::string why;
};

// A segment gives back at least this part of its file, if a request says nothing.
inline constexpr uint32_t kCompactionGainPercent = 10;

}  // namespace pakv
