#include "kv/shard/state/dead_records.h"

#include <algorithm>

#include "runtime/base/prefetch.h"

namespace pakv {

void DeadRecords::Note(const Location& location) {
  const uint32_t bit = location.offset / kGranule;
  const size_t page = bit / kPageBits;
  Pages& pages = segments_[location.segment];
  if (page >= pages.size() || pages[page] == nullptr) [[unlikely]] {
    if (bytes_used() + sizeof(Page) > kBytesMax) return;
    if (page >= pages.size()) pages.resize(page + 1);
    pages[page] = std::make_unique<Page>();
    ++pages_;
  }
  (*pages[page])[bit % kPageBits / kWordBits] |= uint64_t{1} << (bit % kWordBits);
}

DeadRecords::Page* DeadRecords::Find(uint32_t segment, uint32_t bit) const {
  const auto found = segments_.find(segment);
  if (found == segments_.end()) return nullptr;
  const size_t page = bit / kPageBits;
  return page < found->second.size() ? found->second[page].get() : nullptr;
}

bool DeadRecords::Has(const Location& location) const {
  const uint32_t bit = location.offset / kGranule;
  const Page* const page = Find(location.segment, bit);
  return page != nullptr && ((*page)[bit % kPageBits / kWordBits] >> (bit % kWordBits) & 1) != 0;
}

void DeadRecords::Prefetch(const Location& location) const {
  const uint32_t bit = location.offset / kGranule;
  if (Page* const page = Find(location.segment, bit)) {
    PrefetchLine(&(*page)[bit % kPageBits / kWordBits]);
  }
}

void DeadRecords::Forget(uint32_t segment) {
  const auto found = segments_.find(segment);
  if (found == segments_.end()) return;
  pages_ -= static_cast<size_t>(std::count_if(found->second.begin(), found->second.end(),
                                              [](const auto& page) { return page != nullptr; }));
  segments_.erase(found);
}

bool DeadRecords::Clear() {
  if (bytes_used() == 0) return false;
  segments_ = {};
  pages_ = 0;
  return true;
}

size_t DeadRecords::bytes_used() const {
  return pages_ * sizeof(Page) + segments_.capacity() * (sizeof(Pages) + sizeof(uint32_t));
}

}  // namespace pakv
