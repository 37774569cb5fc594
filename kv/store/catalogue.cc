#include "kv/store/catalogue.h"

#include <utility>
#include <vector>

#include "runtime/base/check.h"

namespace pakv {

Catalogue::Catalogue(Core& core, Manifest& manifest,
                     void (*failed)(void* owner, const absl::Status& why), void* owner)
    : core_(core),
      manifest_(manifest),
      failed_(failed),
      owner_(owner),
      end_(manifest.listed().next_namespace),
      one_at_a_time_(core.ready(), 1) {}

Task<Catalogue::Found> Catalogue::Open(std::string name, bool create) {
  PAKV_CHECK(IsNamespaceName(name));
  Found found;
  found.id = NumberedNamespace(name);
  if (found.id) co_return found;
  const bool acquired = co_await one_at_a_time_.Acquire();
  PAKV_CHECK(acquired);
  const ManifestState& listed = manifest_.listed();
  const auto known = listed.namespaces.find(name);
  if (known != listed.namespaces.end()) {
    found.id = known->second;
  } else if (create && listed.next_namespace == kNamespacesMax) {
    found.too_many = true;
  } else if (create) {
    ManifestEntry entry;
    entry.type = ManifestEntry::Type::kNamespace;
    entry.namespace_id = listed.next_namespace;
    entry.name = name;  // which lives until the append is done
    std::vector<ManifestEntry> entries{entry};
    const absl::Status status = co_await manifest_.Append(core_, std::move(entries));
    if (status.ok()) {
      found.id = entry.namespace_id;
      end_.store(entry.namespace_id + 1, std::memory_order_relaxed);
    } else if (absl::IsResourceExhausted(status)) {
      found.outcome = Outcome::kDiskFull;
    } else {
      found.outcome = Outcome::kReadOnly;
      failed_(owner_, status);
    }
  }
  one_at_a_time_.Release();
  co_return found;
}

}  // namespace pakv
