// Footers on disk: reading one back.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "kv/log/files/manifest.h"
#include "kv/log/files/store_directory.h"
#include "kv/log/format/format_footer.h"
#include "runtime/core/core.h"
#include "runtime/io/buffer_pool.h"
#include "runtime/task/task.h"

namespace pakv {

struct SegmentFooter {
  uint64_t file_bytes = 0;  // as long as the segment's file is
  // Nothing if there is none, or if it is damaged or not this segment's: then the segment has to
  // be read whole. Its parts point into the memory that it was read into.
  std::optional<DecodedFooter> footer;
};

// The footer that MANIFEST lists for this sealed segment; its entries have been checked too. It is
// read into `memory`, which grows as needed. kDataLoss: the file is absent or shorter than its
// blocks. Any core. Suspends.
Task<absl::StatusOr<SegmentFooter>> ReadFooter(Core& here, const StoreDirectory& directory,
                                               const SegmentInfo& info, AlignedBuffer& memory);

// What of a segment's footer tells whether a key may have an older record in it.
struct FooterSummary {
  Lsn plain_lsn_min = kNoLsn;   // of records that are neither delete nor drop; kNoLsn: none
  std::vector<uint8_t> filter;  // over their keys
};
// The same footer's trailer and key filter alone, each checked by its checksum: a tenth of the
// footer. Nothing if there is none or if it is damaged or not this segment's. Errors as the system
// says. Any core. Suspends.
Task<absl::StatusOr<std::optional<FooterSummary>>> ReadFooterSummary(
    Core& here, const StoreDirectory& directory, const SegmentInfo& info);

}  // namespace pakv
