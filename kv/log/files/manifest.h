// MANIFEST: which segments exist. One core owns it; the others' appends reach it by message. Each
// append is one sector, on stable storage when Append returns. docs/format.md, "MANIFEST".
//
// When the appended part has become long, an append first writes a fresh MANIFEST in the place of
// the present one: tmp, sync, rename, directory sync. Appends wait for that, so at a crash in
// between the old file and the new one say the same. Where the system refuses what that takes for
// now (kv/log/files/shortage.h), the present file goes on growing; or, if the fresh one has the
// name and only the directory cannot be opened to be synced, an append fails, with nothing begun,
// until it can: before that a crash may bring the old file back.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "kv/log/files/store_directory.h"
#include "kv/log/format/format.h"
#include "runtime/core/core.h"
#include "runtime/task/sync.h"
#include "runtime/task/task.h"

namespace pakv {

// A segment that exists, as MANIFEST says.
struct SegmentInfo {
  uint32_t segment = 0;
  uint32_t log = 0;
  uint64_t run = 0;
  SegmentKind kind = SegmentKind::kCommit;
  uint64_t size = 0;
  uint64_t first_sequence = 1;
  uint32_t first_chain = 0;
  std::optional<uint64_t> sealed_end;
  uint32_t footer_bytes = 0;  // of the footer that lies behind the sealed end; 0: none
  Lsn lsn_floor = kNoLsn;     // of this run alone, see ManifestEntry
  uint32_t place = 0;         // of its `created` among all of this MANIFEST
};

// What a MANIFEST says.
struct ManifestState {
  uint64_t run = 0;          // 0: there was none
  uint64_t run_counter = 0;  // counts starts
  uint32_t next_segment = 1;
  Lsn lsn_max = kNoLsn;
  uint64_t expiry_clock_ms = 0;
  std::map<uint32_t, SegmentInfo> segments;
  std::set<uint32_t> dropped;
  // The namespaces with names, by name. An id is never given twice.
  std::map<std::string, uint32_t, std::less<>> namespaces;
  uint32_t next_namespace = kNumberedNamespaces;
  uint64_t ignored_tail_bytes = 0;  // an append that never finished
};

// Where a MANIFEST is damaged, and a constant that says how.
struct ManifestDamage {
  uint64_t offset = 0;
  std::string_view what;
};
// Reads a whole MANIFEST file into `state`, a new one, which is worth nothing if it is damaged.
// Pure.
std::optional<ManifestDamage> DecodeManifest(Bytes file, ManifestState& state);
// The same; kDataLoss with the offset if it is damaged. Pure.
absl::StatusOr<ManifestState> ParseManifest(Bytes file);
// The sectors of a fresh MANIFEST for `state`; segments that were dropped are told, too. Pure.
std::vector<uint8_t> EncodeManifest(const ManifestState& state);

class Manifest {
 public:
  // Reads the directory's MANIFEST; state.run is 0 if there is none. Suspends.
  static Task<absl::StatusOr<ManifestState>> Read(Core& core, const StoreDirectory& directory);
  // Writes a fresh MANIFEST in the place of the old one, by tmp, sync, rename and directory sync,
  // and opens it for appends. `core` owns the result. Suspends.
  static Task<absl::StatusOr<std::unique_ptr<Manifest>>> WriteFresh(Core& core,
                                                                    const StoreDirectory& directory,
                                                                    ManifestState state);
  Manifest(const Manifest&) = delete;
  Manifest& operator=(const Manifest&) = delete;

  // Any core: appends `entries`, which fit one sector; they are on stable storage when it returns
  // ok. Appends happen one after another in the order of arrival. With an error that is a shortage
  // (ShortageOf) nothing has begun, and it may be tried again; after any other failure every
  // further one fails too. Suspends.
  Task<absl::Status> Append(Core& here, std::vector<ManifestEntry> entries);
  // The owner: a fresh one is written after so many appends, at the least. As many as now and then
  // more, if the list itself is long.
  void set_appends_max(uint32_t appends_max) {
    appends_max_ = appends_max;
    rewrite_bytes_ = std::max(2 * offset_bytes_, offset_bytes_ + AppendsMaxBytes());
  }
  // Any core: a number that no segment has had.
  uint32_t NextSegment() { return next_segment_.fetch_add(1, std::memory_order_relaxed); }

  // The owner: the segments that exist, as far as that is durable.
  const std::map<uint32_t, SegmentInfo>& segments() const { return listed_.segments; }

  // The owner: the names of namespaces, as far as they are durable.
  const ManifestState& listed() const { return listed_; }

  // The owner: called after each change of the segments or the names.
  void OnChange(void (*changed)(void*), void* whom) {
    changed_ = changed;
    changed_whom_ = whom;
  }

  uint64_t run() const { return run_; }
  uint64_t run_counter() const { return run_counter_; }

  // The owner, with no append under way: closes the file. Suspends.
  Task<void> Close();

 private:
  Manifest(Core& owner, const StoreDirectory& directory, const ManifestState& state);
  Task<absl::Status> AppendHere(std::vector<ManifestEntry> entries);
  Task<absl::Status> AppendSector(const std::vector<ManifestEntry>& entries);
  Task<absl::Status> Extend();
  void GoOnBehind(Bytes sectors);
  Task<absl::Status> OpenForAppends(std::string path, File& file);
  Task<void> Rewrite();
  Task<absl::Status> WriteAfresh(ManifestState& state, std::vector<uint8_t>& bytes, size_t& length,
                                 File& fresh);
  Task<absl::Status> MakeNameLast();
  ManifestState InOrder() const;
  Task<absl::Status> ForgetRemoved(ManifestState& state);
  uint64_t AppendsMaxBytes() const { return appends_max_ * uint64_t{directory_.alignment()}; }

  Core& owner_;
  const StoreDirectory& directory_;
  const uint64_t run_;
  const uint64_t run_counter_;
  std::atomic<uint32_t> next_segment_;
  ManifestState listed_;
  void (*changed_)(void*) = nullptr;
  void* changed_whom_ = nullptr;
  File file_;
  Semaphore one_at_a_time_;
  AlignedBuffer unit_;          // what an append writes: one unit of direct I/O
  uint64_t offset_bytes_ = 0;   // where the next append goes
  uint64_t size_bytes_ = 0;     // zero-written up to here
  uint64_t rewrite_bytes_ = 0;  // it is written afresh when it is as long
  uint32_t appends_max_ = 1024;
  uint32_t index_ = 0;
  uint32_t chain_ = 0;
  bool name_is_new_ = false;  // it was given to the present file, and may not last yet
  bool failed_ = false;
};

}  // namespace pakv
