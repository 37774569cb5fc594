#include "kv/store/start/start_check.h"

namespace pakv {

std::string NamelessNamespace(const StoreDirectory& directory, uint32_t namespace_id) {
  return directory.PathOf("MANIFEST") + ": has no name for namespace " +
         std::to_string(namespace_id);
}

Task<absl::Status> StartCheck::End(Core& here, const RecoveryEnd& end) {
  if (end.next_namespace < namespaces_end() && !salvage_) {
    co_return absl::DataLossError(NamelessNamespace(directory_, end.next_namespace) +
                                  ", in which there are keys; --salvage goes on with a new one");
  }
  for (uint32_t id = 0; id < here.count(); ++id) {
    Shard* shard = shards_[id].get();
    const bool finished =
        co_await here.CallTaskOn(id, [shard](Core&) { return shard->FinishRecovery(); });
    static_cast<void>(finished);
  }
  co_return co_await values_.Look(here, end.expiry_clock_ms);
}

}  // namespace pakv
