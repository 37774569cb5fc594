// Drops: which namespaces were emptied, and up to which LSN. What is older in such a namespace is
// absent, wherever it still lies: in the index until it is swept out, in the log until compaction
// leaves it behind. One core's; each core of a store has the same.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <algorithm>
#include <cstdint>

#include "kv/log/format/format.h"
#include "kv/log/format/lsn.h"

namespace pakv {

class Drops {
 public:
  // Everything in the namespace (kEveryNamespace: in all of them) that is older than `lsn` is gone.
  // False, and nothing new, if it was already.
  bool Note(uint32_t namespace_id, Lsn lsn) {
    if (Of(namespace_id) >= lsn) return false;
    if (namespace_id != kEveryNamespace) {
      by_namespace_[namespace_id] = lsn;
      return true;
    }
    of_all_ = lsn;
    absl::erase_if(by_namespace_, [lsn](const auto& drop) { return drop.second < lsn; });
    return true;
  }

  // What of the namespace is older is gone; kNoLsn if nothing is.
  Lsn Of(uint32_t namespace_id) const {
    if (by_namespace_.empty()) return of_all_;
    const auto found = by_namespace_.find(namespace_id);
    return found == by_namespace_.end() ? of_all_ : std::max(of_all_, found->second);
  }

 private:
  Lsn of_all_ = kNoLsn;
  absl::flat_hash_map<uint32_t, Lsn> by_namespace_;
};

}  // namespace pakv
