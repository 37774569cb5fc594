#include "kv/store/value_recovery.h"

#include <set>
#include <string>

#include "kv/log/file_io.h"
#include "kv/log/format_value_file.h"
#include "runtime/base/coverage.h"
#include "runtime/io/file.h"

namespace pakv {

Task<absl::Status> RecoverValueFiles(Core& here, const StoreDirectory& directory,
                                     const std::vector<std::unique_ptr<Shard>>& shards,
                                     ValueFiles& files, uint64_t clock_ms) {
  std::vector<std::string> names;
  const IoResult listed = co_await ListDirectory(here.io(), directory.path().c_str(), names);
  if (!listed.ok()) co_return IoError("list directory", directory.path(), listed);
  std::set<uint64_t> present;
  for (const std::string& name : names) {
    if (const uint64_t file = ValueFileOfName(name); file != 0) present.insert(file);
  }
  std::set<uint64_t> orphans = present;
  for (uint32_t id = 0; id < here.count(); ++id) {
    Shard* shard = shards[id].get();
    const auto list = [shard, &directory, &present, clock_ms](Core&) {
      return shard->ListValueFiles(directory, present, clock_ms);
    };
    const absl::StatusOr<std::vector<uint64_t>> found = co_await here.CallTaskOn(id, list);
    if (!found.ok()) co_return found.status();
    for (const uint64_t file : *found) orphans.erase(file);
  }
  for (const uint64_t file : orphans) {
    PAKV_COVERED(kValueFileOrphan);
    files.Remove(file);
  }
  co_return absl::OkStatus();
}

}  // namespace pakv
