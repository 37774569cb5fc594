// What a data directory holds, read offline: for `pakvctl verify` and `pakvctl segments`. Nothing
// in the directory is changed; its lock is held meanwhile, so that no server starts on it. Plain
// blocking reads, no core.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kv/log/files/manifest.h"
#include "kv/log/format/format.h"

namespace pakv {

// One thing that is wrong, or worth knowing.
struct InspectFinding {
  std::string file;
  uint64_t offset = 0;
  std::optional<std::string> key;  // of the record, as far as it can be told
  std::string what;
  bool is_damage = true;  // false: what a start puts right by itself
};

struct InspectedSegment {
  // Not listed: MANIFEST is missing or damaged, and this is what the file says of itself.
  bool is_listed = true;
  SegmentInfo info;
  std::optional<uint64_t> file_bytes;  // nothing: there is no such file
  bool footer_is_right = false;
  // From the footer, or counted by a verification.
  std::optional<uint64_t> records;
  std::optional<uint64_t> blocks;
};

struct Inspection {
  Identity identity;
  uint64_t run_counter = 0;
  Lsn lsn_max = kNoLsn;  // as of the last start
  std::vector<InspectedSegment> segments;
  // Of a verification; in the order of segments.
  std::vector<InspectFinding> findings;
  uint64_t bytes_read = 0;

  bool damaged() const;
};

enum class InspectDepth : uint8_t {
  kList,    // MANIFEST, sizes and footers
  kVerify,  // every byte
};

// Where MANIFEST is missing or damaged all segments are read that are there, as a start with
// --salvage would: that is a finding, and so is what is not right in them.
// kUnavailable: locked by a server; kFailedPrecondition: no pakv directory, or of a newer format;
// kDataLoss: IDENTITY is damaged, so that nothing else can be told; kInternal: I/O.
absl::StatusOr<Inspection> InspectDirectory(const std::string& path, InspectDepth depth);

}  // namespace pakv
