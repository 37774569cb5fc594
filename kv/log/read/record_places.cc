#include "kv/log/read/record_places.h"

#include <utility>

namespace pakv {

void RecordPlaces::Add(uint32_t offset) {
  const uint32_t bit = BitOf(offset);
  Page* page = Find(bit);
  if (page == nullptr) [[unlikely]] {
    const size_t index = bit / kPageBits;
    if (index >= pages_.size()) pages_.resize(index + 1);
    pages_[index] = std::make_unique<Page>();
    page = pages_[index].get();
    ++page_count_;
  }
  (*page)[WordOf(bit)] |= uint64_t{1} << (bit % kWordBits);
}

void RecordPlaces::Merge(RecordPlaces other) {
  if (other.pages_.size() > pages_.size()) pages_.resize(other.pages_.size());
  for (size_t index = 0; index < other.pages_.size(); ++index) {
    std::unique_ptr<Page>& from = other.pages_[index];
    std::unique_ptr<Page>& to = pages_[index];
    if (from == nullptr) continue;
    if (to == nullptr) {
      to = std::move(from);
      ++page_count_;
      continue;
    }
    for (size_t word = 0; word < to->size(); ++word) (*to)[word] |= (*from)[word];
  }
}

}  // namespace pakv
