#include "kv/store/catalogue.h"

#include <utility>

#include "runtime/base/check.h"

namespace pakv {

Catalogue::Catalogue(Core& core, Manifest& manifest,
                     void (*failed)(void* owner, const absl::Status& why), void* owner)
    : core_(core),
      manifest_(manifest),
      failed_(failed),
      owner_(owner),
      end_(manifest.listed().next_namespace),
      names_(manifest.listed().next_namespace - kNumberedNamespaces),
      one_at_a_time_(core.ready(), 1) {
  for (const auto& [name, id] : manifest.listed().namespaces) {
    names_[id - kNumberedNamespaces] = name;
  }
}

std::vector<Catalogue::Named> Catalogue::List(uint32_t begin, size_t count) const {
  std::vector<Named> found;
  const auto end = static_cast<uint32_t>(kNumberedNamespaces + names_.size());
  for (uint32_t id = begin; id < end && found.size() < count; ++id) {
    if (id < kNumberedNamespaces) {
      found.push_back({id, std::to_string(id)});
    } else if (const std::string& name = names_[id - kNumberedNamespaces]; !name.empty()) {
      found.push_back({id, name});
    }
  }
  return found;
}

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
      names_.push_back(std::move(name));
      end_.store(entry.namespace_id + 1, std::memory_order_relaxed);
    } else if (const Shortage shortage = ShortageOf(status); shortage != Shortage::kNone) {
      found.outcome = OutcomeOf(RefusalFor(shortage));
    } else {
      found.outcome = Outcome::kReadOnly;
      failed_(owner_, status);
    }
  }
  one_at_a_time_.Release();
  co_return found;
}

}  // namespace pakv
