#include "kv/store/start/value_recovery.h"

#include <cerrno>
#include <utility>

#include "kv/log/files/file_io.h"
#include "kv/log/format/format_value_file.h"
#include "kv/log/read/salvage.h"
#include "runtime/base/coverage.h"
#include "runtime/base/log.h"
#include "runtime/io/file.h"

namespace pakv {
namespace {

std::string SalvagePathOf(const StoreDirectory& directory, std::string_view name) {
  return directory.PathOf(kSalvageName).append("/").append(name);
}

}  // namespace

Task<absl::Status> ValueFileRecovery::Look(Core& here, uint64_t clock_ms) {
  const absl::Status listed = co_await List(here);
  if (!listed.ok()) co_return listed;
  co_return co_await AskShards(here, clock_ms);
}

Task<absl::Status> ValueFileRecovery::Settle(Core& here, ValueFiles& files, bool records_lost) {
  if (records_lost || was_unfinished_ || !lost_.empty()) co_return co_await KeepAll(here);
  for (const uint64_t file : orphans_) {
    PAKV_COVERED(kValueFileOrphan);
    files.Remove(file);
  }
  co_return absl::OkStatus();
}

Task<absl::Status> ValueFileRecovery::List(Core& here) {
  std::vector<std::string> names;
  IoResult listed = co_await ListDirectory(here.io(), directory_.path().c_str(), names);
  if (!listed.ok()) co_return IoError("list directory", directory_.path(), listed);
  for (const std::string& name : names) {
    if (const uint64_t file = ValueFileOfName(name); file != 0) present_.insert(file);
  }
  orphans_ = present_;
  const std::string unfinished = SalvagePathOf(directory_, kUnfinishedName);
  FileStat stat;
  const IoResult stated = co_await StatPath(here.io(), unfinished.c_str(), stat);
  if (!stated.ok() && stated.error() != ENOENT) co_return IoError("stat", unfinished, stated);
  was_unfinished_ = stated.ok();
  co_return absl::OkStatus();
}

Task<absl::Status> ValueFileRecovery::AskShards(Core& here, uint64_t clock_ms) {
  for (uint32_t id = 0; id < here.count(); ++id) {
    Shard* shard = shards_[id].get();
    const auto list = [shard, clock_ms, this](Core&) {
      return shard->ListValueFiles(directory_, present_, clock_ms);
    };
    absl::StatusOr<ValueFileList> list_of_core = co_await here.CallTaskOn(id, list);
    if (!list_of_core.ok()) co_return list_of_core.status();
    for (const uint64_t file : list_of_core->files) orphans_.erase(file);
    for (LostValue& lost : list_of_core->lost) {
      if (!salvage_) co_return absl::DataLossError(lost.why + "; --salvage goes on without it");
      LogWarning("salvage: {}; the key is removed", lost.why);
      lost_.push_back(std::move(lost));
    }
  }
  co_return absl::OkStatus();
}

// What nobody refers to, or is only a part of a value.
Task<absl::Status> ValueFileRecovery::KeepAll(Core& here) {
  absl::Status status;
  if (!orphans_.empty()) {
    status = co_await MakeSalvageDirectory(here, directory_);
    if (!status.ok()) co_return status;
  }
  for (const uint64_t file : orphans_) {
    status = co_await Keep(here, file);
    if (!status.ok()) co_return status;
  }
  if (!orphans_.empty()) {
    // The new names first: in no moment there is none.
    status = co_await SyncNames(here, directory_.PathOf(kSalvageName));
    if (status.ok()) status = co_await SyncNames(here, directory_.path());
    if (!status.ok()) co_return status;
  }
  const std::string unfinished = SalvagePathOf(directory_, kUnfinishedName);
  const IoResult unlinked = co_await UnlinkFile(here.io(), unfinished.c_str());
  if (!unlinked.ok() && unlinked.error() != ENOENT) {
    LogWarning("{}; the next start tries again",
               MessageOf(IoError("remove", unfinished, unlinked)));
  }
  // It does not come back: from now on what a crash leaves is removed, and not kept.
  if (unlinked.ok()) status = co_await SyncNames(here, directory_.PathOf(kSalvageName));
  co_return status;
}

Task<absl::Status> ValueFileRecovery::Keep(Core& here, uint64_t file) {
  const std::string name = ValueFileName(file);
  const std::string path = directory_.PathOf(name);
  const std::string kept = SalvagePathOf(directory_, name);
  FileStat stat;
  const IoResult stated = co_await StatPath(here.io(), path.c_str(), stat);
  if (!stated.ok()) co_return IoError("stat", path, stated);
  const IoResult renamed = co_await RenameFile(here.io(), path.c_str(), kept.c_str());
  if (!renamed.ok()) co_return IoError("rename", path, renamed);
  PAKV_COVERED(kValueFileSalvaged);
  LogWarning(
      "salvage: {}: {} bytes of a value that no key refers to: its record was lost, or it was "
      "replaced, or never stored; kept in {}",
      path, stat.size_bytes, kept);
  kept_.push_back(name);
  co_return absl::OkStatus();
}

}  // namespace pakv
