#include "net/admin/health.h"

namespace pakv {

std::string_view ReasonNotReady(const ServerStats& stats, ServerPhase phase) {
  if (phase == ServerPhase::kStarting) return "recovering: the data is being read";
  if (phase == ServerPhase::kStopping) return "stopping: no connection is accepted any more";
  if (stats.store.read_only) {
    return "read-only: the log has failed; writes are refused until a restart";
  }
  if (stats.store.disk_full) return "disk full: writes are refused until there is space";
  if (stats.store.no_descriptors) {
    return "out of file descriptors: writes are refused until the system opens files again; see "
           "ulimit -n";
  }
  return {};
}

}  // namespace pakv
