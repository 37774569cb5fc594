// Salvage: a start with --salvage goes on without damaged parts. Of each segment that cannot be
// believed it keeps the file as it is, in salvage/, and copies every record that is right into a
// new segment, which is sealed and whole: the directory opens as usual from then on.
//
// Nothing of the old directory is changed or removed before MANIFEST names the new segments; a
// crash before that leaves files that MANIFEST does not list, and which are removed, as spares are.
//
// What is lost is listed, place by place. It may have been a newer version of a key: then an older
// one is shown again, or a key that was deleted. A transaction whose block is damaged may come back
// in part.
//
// A lost record may have referred to a value file, to which no key refers then: it is kept, too
// (kv/store/start/value_recovery.h). But once MANIFEST names the new segments nothing tells such a
// file from what a crash has left. So salvage/UNFINISHED is made durable before: as long as it is
// there a start, with or without --salvage, moves files that no key refers to into salvage/, where
// it would remove them; and removes UNFINISHED when that is durable.
#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kv/log/files/manifest.h"
#include "kv/log/files/store_directory.h"
#include "kv/log/format/format_damage.h"
#include "kv/log/read/recovery_sink.h"
#include "runtime/core/core.h"
#include "runtime/io/buffer_pool.h"
#include "runtime/task/task.h"

namespace pakv {

// In a store's directory: what is kept for people, and in there the mark of a salvage that is not
// over.
inline constexpr std::string_view kSalvageName = "salvage";
inline constexpr std::string_view kUnfinishedName = "UNFINISHED";

// Makes salvage/, if it is not there, with its name durable. Suspends.
Task<absl::Status> MakeSalvageDirectory(Core& core, const StoreDirectory& directory);

class Salvage {
 public:
  // `run` is that of this start. All outlive it.
  Salvage(Core& core, const StoreDirectory& directory, RecoverySink& sink, uint64_t run)
      : core_(core), directory_(directory), sink_(sink), run_(run) {}

  // A file of the directory cannot be believed: `why` names it. Listed.
  void Note(const absl::Status& why);
  // Keeps a copy of the file, if it is there.
  Task<absl::Status> Keep(const std::string& name);
  // Takes what there is of the segment, whose file may be absent. `run` and `end`: what MANIFEST
  // says of it. The new segment gets the number `next_segment`, which then counts up.
  Task<absl::Status> Take(uint32_t segment, std::optional<uint64_t> run,
                          std::optional<uint64_t> end, uint32_t& next_segment);

  // Before MANIFEST is written: if anything is lost, UNFINISHED stands from here on.
  Task<absl::Status> MarkUnfinished();

  // The new segments, for MANIFEST, and how long their files are.
  const std::map<uint32_t, SegmentInfo>& segments() const { return segments_; }
  // One line each, for people.
  std::vector<std::string>& findings() { return findings_; }
  uint64_t records() const { return records_; }
  Lsn lsn_max() const { return lsn_max_; }
  uint64_t expiry_clock_ms() const { return expiry_clock_ms_; }
  // The largest number of a value file that a record refers to, whether it counts or not.
  uint64_t value_file_max() const { return value_file_max_; }

 private:
  Task<absl::Status> Write(const SalvagedSegment& found, uint32_t segment);
  Task<absl::Status> Deliver(const SalvagedSegment& found, uint32_t segment,
                             const std::vector<uint32_t>& offsets);
  void List(const std::string& path, const SalvagedSegment& found);

  Core& core_;
  const StoreDirectory& directory_;
  RecoverySink& sink_;
  const uint64_t run_;
  // Of the log that the new segments are.
  uint64_t sequence_ = 1;
  uint32_t chain_ = 0;
  std::map<uint32_t, SegmentInfo> segments_;
  std::vector<std::string> findings_;
  uint64_t records_ = 0;
  Lsn lsn_max_ = kNoLsn;
  uint64_t expiry_clock_ms_ = 0;
  uint64_t value_file_max_ = 0;
};

}  // namespace pakv
