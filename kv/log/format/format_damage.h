// What can still be had of a segment that is damaged: its records that are right, and the places
// that are not. Pure, and believes nothing: each record carries its own checksum, which does not
// depend on where it lies.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kv/log/format/format.h"

namespace pakv {

struct DamagedPlace {
  uint64_t offset = 0;  // in the segment
  uint64_t bytes = 0;   // that nothing was had of, as far as that can be told
  std::string what;
  std::string key;  // of the record, if it seems to be known
};

struct SalvagedSegment {
  std::vector<Record> records;  // in the order of their places; views into the segment's bytes
  std::vector<DamagedPlace> places;
  uint64_t expiry_clock_ms = 0;  // the largest of the blocks that are right
};

// `bytes` are what there is of the file of `segment`. Blocks that say they are of another run than
// `run`, if that is known, are left alone: a value may hold an image of a block. `end`: where its
// blocks are known to end; what is missing up to there is damage.
//
// A block whose header is damaged is known by what comes before it: its records follow each other
// from its beginning. Behind a damaged record its block is followed only as long as the records fit
// together up to their end, since a value may hold images of records, too.
SalvagedSegment SalvageSegment(Bytes bytes, uint32_t segment, std::optional<uint64_t> run,
                               std::optional<uint64_t> end);

}  // namespace pakv
