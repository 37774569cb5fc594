// Watch: somebody wants to know whether a key has changed since a moment. It hangs on the key's
// owner, who marks it when a write, a delete or a FLUSH of that key is published, whatever the key
// looks like afterwards: absent, set and deleted again is a change.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kv/log/format/format.h"
#include "runtime/base/intrusive_list.h"

namespace pakv {

// Belongs to who watches; the owner core alone touches it while it hangs there, but for the names,
// which do not change.
struct Watch : ListHook {
  uint64_t hash = 0;
  uint32_t namespace_id = 0;
  std::string key;
  bool existed = false;  // at the beginning
  bool changed = false;  // it hangs nowhere then: there is no more to be told
};

// The watches of one core, by hash. Costs one comparison per write while there are none, and about
// one list of one watch otherwise: there are as many lists as watches, and they become more and
// fewer by one list at a time (linear hashing), so that no write ever waits for a rehash.
class WatchTable {
 public:
  bool empty() const { return count_ == 0; }
  size_t count() const { return count_; }
  size_t list_count() const { return list_count_; }

  void Add(Watch& watch) {
    if (count_ == list_count_) AddList();
    ListOf(watch.hash).PushBack(watch);
    ++count_;
  }
  // Nothing if it does not hang here.
  void Remove(Watch& watch) {
    if (!watch.linked()) return;
    watch.Unlink();
    Removed(1);
  }
  // A key with this hash has changed. (Two keys that share all 64 bits are taken for one.)
  void Mark(uint64_t hash) {
    if (empty()) return;
    Removed(MarkIn(ListOf(hash), [hash](const Watch& watch) { return watch.hash == hash; }));
  }
  // All keys of the namespace, or of kEveryNamespace, are gone; `existed` tells of which there was
  // something.
  template <typename Existed>
  void MarkAll(uint32_t namespace_id, Existed existed) {
    const auto is_gone = [&](const Watch& watch) {
      return (namespace_id == kEveryNamespace || watch.namespace_id == namespace_id) &&
             existed(watch);
    };
    size_t marked = 0;
    for (size_t index = 0; index < list_count_ && marked < count_; ++index) {
      marked += MarkIn(List(index), is_gone);
    }
    Removed(marked);
  }

 private:
  using WatchList = IntrusiveList<Watch>;
  static constexpr size_t kChunkLists = 1024;
  using Chunk = std::array<WatchList, kChunkLists>;

  WatchList& List(size_t index) { return (*chunks_[index / kChunkLists])[index % kChunkLists]; }
  // Of 2^n + m lists the first m and the last m were made of the first m of 2^n.
  WatchList& ListOf(uint64_t hash) {
    const size_t whole = std::bit_floor(list_count_);
    const size_t index = hash & (2 * whole - 1);
    return List(index < list_count_ ? index : index - whole);
  }
  // Marked watches leave, so that a key that is written often costs its watchers once.
  template <typename IsIt>
  static size_t MarkIn(WatchList& list, IsIt is_it) {
    size_t marked = 0;
    for (Watch* watch = list.First(); watch != nullptr;) {
      Watch* const next = list.Next(*watch);
      if (is_it(*watch)) {
        watch->changed = true;
        watch->Unlink();
        ++marked;
      }
      watch = next;
    }
    return marked;
  }

  void AddList() {
    if (list_count_ == chunks_.size() * kChunkLists) chunks_.push_back(std::make_unique<Chunk>());
    if (list_count_ == 0) {
      list_count_ = kChunkLists;
      return;
    }
    WatchList& source = List(list_count_ - std::bit_floor(list_count_));
    ++list_count_;
    WatchList all;
    all.Splice(source);
    while (!all.empty()) {
      Watch& watch = all.PopFront();
      ListOf(watch.hash).PushBack(watch);
    }
  }
  // Two lists go with each watch once there are more than two per watch: none is left in the end
  // but those of the first chunk.
  void Removed(size_t count) {
    count_ -= count;
    for (size_t lists = 2 * count; lists > 0; --lists) {
      if (list_count_ == kChunkLists || list_count_ <= 2 * count_) return;
      --list_count_;
      List(list_count_ - std::bit_floor(list_count_)).Splice(List(list_count_));
      if (list_count_ % kChunkLists == 0) chunks_.pop_back();
    }
  }

  std::vector<std::unique_ptr<Chunk>> chunks_;
  size_t list_count_ = 0;
  size_t count_ = 0;
};

}  // namespace pakv
