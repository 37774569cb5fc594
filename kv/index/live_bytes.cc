#include "kv/index/live_bytes.h"

#include <algorithm>

namespace pakv {

void LiveBytes::MakePage(size_t page) {
  if (page >= pages_.size()) pages_.resize(page + 1);
  pages_[page] = std::make_unique<Page>();
  ++page_count_;
}

std::vector<LiveBytes::OfSegment> LiveBytes::List() const {
  std::vector<OfSegment> list;
  for (size_t page = 0; page < pages_.size(); ++page) {
    if (pages_[page] == nullptr) continue;
    for (uint32_t i = 0; i < kPageSegments; ++i) {
      const uint64_t bytes = (*pages_[page])[i];
      if (bytes != 0) list.push_back({static_cast<uint32_t>(page * kPageSegments + i), bytes});
    }
  }
  return list;
}

void LiveBytes::Trim() {
  for (size_t page = 0; page + 1 < pages_.size(); ++page) {
    if (pages_[page] == nullptr) continue;
    if (std::any_of(pages_[page]->begin(), pages_[page]->end(),
                    [](uint64_t bytes) { return bytes != 0; })) {
      continue;
    }
    pages_[page].reset();
    --page_count_;
  }
}

}  // namespace pakv
