// At start, once the index knows which records count: whether the value files that they refer to
// are there, and what becomes of the files that nobody refers to.
//
// As a rule a crash has left those, and they are removed. Where something of the log was lost, a
// lost record may have referred to them: they are moved to salvage/, for people, which is durable
// before anything says that the salvage is over. Crashes, from that start's beginning on:
//
//   UNFINISHED durable ─► MANIFEST names what is left ─► files moved, durable ─► UNFINISHED removed
//
//   before UNFINISHED       nothing has changed
//   before MANIFEST         the directory is damaged as before: only --salvage opens it. (If people
//                           mend it instead, files that no key refers to are kept: no harm)
//   before the files are    the next start, with or without --salvage, finds UNFINISHED and moves
//   moved                   what is still there
//   after that              if the removal of UNFINISHED is lost, the next start keeps for people
//                           what it could have removed: no harm
//
// With --salvage a key whose file is missing, or too short, is listed, and then removed by a write
// (Store): until that is durable the directory is damaged as before; then it opens as usual. What
// there is of a file that is too short is moved first.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "kv/log/files/store_directory.h"
#include "kv/shard/shard.h"
#include "kv/shard/values/value_files.h"
#include "runtime/core/core.h"
#include "runtime/task/task.h"

namespace pakv {

class ValueFileRecovery {
 public:
  // `shards` are by core. All outlive it. `salvage`: a key whose value is lost is listed, and not
  // the end of the start.
  ValueFileRecovery(const StoreDirectory& directory,
                    const std::vector<std::unique_ptr<Shard>>& shards, bool salvage)
      : directory_(directory), shards_(shards), salvage_(salvage) {}
  ValueFileRecovery(const ValueFileRecovery&) = delete;
  ValueFileRecovery& operator=(const ValueFileRecovery&) = delete;

  // First, when the shards have finished their recovery, and before anything of the directory is
  // changed: this changes nothing. `clock_ms` is the recovered expiry clock. kDataLoss, without
  // `salvage`: a file is absent or too short; names it, its key and the remedy. Other errors as the
  // system gives them. Suspends.
  Task<absl::Status> Look(Core& here, uint64_t clock_ms);
  // Then, under this start's MANIFEST: what a crash has left is removed by `files`, those of this
  // core, in the background; `records_lost` by this start: it is kept. Suspends.
  Task<absl::Status> Settle(Core& here, ValueFiles& files, bool records_lost);

  // Their keys are still in the index, and are to be removed from it by a write.
  const std::vector<LostValue>& lost() const { return lost_; }
  // Files that were moved to salvage/, by name.
  const std::vector<std::string>& kept() const { return kept_; }

 private:
  Task<absl::Status> List(Core& here);
  Task<absl::Status> AskShards(Core& here, uint64_t clock_ms);
  Task<absl::Status> KeepAll(Core& here);
  Task<absl::Status> Keep(Core& here, uint64_t file);

  const StoreDirectory& directory_;
  const std::vector<std::unique_ptr<Shard>>& shards_;
  const bool salvage_;
  std::set<uint64_t> present_;
  std::set<uint64_t> orphans_;
  bool was_unfinished_ = false;
  std::vector<LostValue> lost_;
  std::vector<std::string> kept_;
};

}  // namespace pakv
