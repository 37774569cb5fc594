// Watch: somebody wants to know whether a key has changed since a moment. It hangs on the key's
// owner, who marks it when a write, a delete or a FLUSH of that key is published, whatever the key
// looks like afterwards: absent, set and deleted again is a change.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "kv/log/format.h"
#include "runtime/base/intrusive_list.h"

namespace pakv {

// Belongs to who watches; the owner core alone touches it while it hangs there, but for the names,
// which do not change.
struct Watch : ListHook {
  uint64_t hash = 0;
  uint32_t namespace_id = 0;
  std::string key;
  bool existed = false;  // at the beginning
  bool changed = false;
};

// The watches of one core, by hash. Costs one comparison per write while there are none.
class WatchTable {
 public:
  bool empty() const { return count_ == 0; }
  size_t count() const { return count_; }

  void Add(Watch& watch) {
    if (lists_ == nullptr) lists_ = std::make_unique<Lists>();
    ListOf(watch.hash).PushBack(watch);
    ++count_;
  }
  // Nothing if it does not hang here.
  void Remove(Watch& watch) {
    if (!watch.linked()) return;
    watch.Unlink();
    --count_;
  }
  // A key with this hash has changed. (Two keys that share all 64 bits are taken for one.)
  void Mark(uint64_t hash) {
    IntrusiveList<Watch>& list = ListOf(hash);
    for (Watch* watch = list.First(); watch != nullptr; watch = list.Next(*watch)) {
      if (watch->hash == hash) watch->changed = true;
    }
  }
  // All keys of the namespace, or of kEveryNamespace, are gone; `existed` tells of which there was
  // something.
  template <typename Existed>
  void MarkAll(uint32_t namespace_id, Existed existed) {
    if (empty()) return;
    for (IntrusiveList<Watch>& list : *lists_) {
      for (Watch* watch = list.First(); watch != nullptr; watch = list.Next(*watch)) {
        const bool is_gone = namespace_id == kEveryNamespace || watch->namespace_id == namespace_id;
        if (is_gone && existed(*watch)) watch->changed = true;
      }
    }
  }

 private:
  static constexpr size_t kLists = 1024;
  using Lists = std::array<IntrusiveList<Watch>, kLists>;
  IntrusiveList<Watch>& ListOf(uint64_t hash) { return (*lists_)[hash % kLists]; }

  std::unique_ptr<Lists> lists_;
  size_t count_ = 0;
};

}  // namespace pakv
