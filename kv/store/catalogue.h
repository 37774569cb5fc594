// Catalogue: the names of namespaces, in MANIFEST. A name gets its id once, durably, before any
// record uses that id, and keeps it for ever: a namespace that was emptied is the same one
// afterwards, and no id means two things at two times. docs/format.md, "MANIFEST".
#pragma once

#include <absl/status/status.h>

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kv/log/files/manifest.h"
#include "kv/shard/messages/request.h"
#include "runtime/core/core.h"
#include "runtime/task/sync.h"
#include "runtime/task/task.h"

namespace pakv {

class Catalogue {
 public:
  // On the core that owns `manifest`, which outlives it. `failed(owner, why)` is called when
  // MANIFEST could not be written: the store goes read-only.
  Catalogue(Core& core, Manifest& manifest, void (*failed)(void* owner, const absl::Status& why),
            void* owner);
  Catalogue(const Catalogue&) = delete;
  Catalogue& operator=(const Catalogue&) = delete;

  struct Found {
    Outcome outcome = Outcome::kDone;
    std::optional<uint32_t> id;  // nothing, with kDone: it is not there
    bool too_many = false;       // it is not there, and there is no room for one more
  };
  // Its core: the id of a name (IsNamespaceName); a new one, durable when this returns, if there is
  // none and `create`. kReadOnly, kDiskFull, kNoDescriptors: nothing was created. Suspends.
  Task<Found> Open(std::string name, bool create);

  struct Named {
    uint32_t id = 0;
    std::string name;
  };
  // Its core: the namespaces with the id `begin` or larger ones, in the order of their ids, at most
  // `count` of them. The numbered ones too, which are always there.
  std::vector<Named> List(uint32_t begin, size_t count) const;

  // Any core: every id below it is a namespace's.
  uint32_t end() const { return end_.load(std::memory_order_relaxed); }

 private:
  Core& core_;
  Manifest& manifest_;
  void (*const failed_)(void* owner, const absl::Status& why);
  void* const owner_;
  std::atomic<uint32_t> end_;
  std::vector<std::string> names_;  // by id, from kNumberedNamespaces on
  Semaphore one_at_a_time_;
};

}  // namespace pakv
