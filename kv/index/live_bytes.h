// LiveBytes: how many bytes of records the index refers to, by segment. What of a segment is not
// live is dead: old versions, deleted keys, headers and padding. Pages, so that the numbers of
// segments, which only grow, cost memory where something lives alone.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "runtime/base/check.h"

namespace pakv {

class LiveBytes {
 public:
  void Add(uint32_t segment, uint64_t bytes) {
    const size_t page = segment / kPageSegments;
    if (page >= pages_.size() || pages_[page] == nullptr) [[unlikely]] {
      MakePage(page);
    }
    (*pages_[page])[segment % kPageSegments] += bytes;
    total_ += bytes;
  }
  // They were added before.
  void Subtract(uint32_t segment, uint64_t bytes) {
    uint64_t& live = (*pages_[segment / kPageSegments])[segment % kPageSegments];
    PAKV_DCHECK(live >= bytes);
    live -= bytes;
    total_ -= bytes;
  }
  uint64_t Of(uint32_t segment) const {
    const size_t page = segment / kPageSegments;
    if (page >= pages_.size() || pages_[page] == nullptr) return 0;
    return (*pages_[page])[segment % kPageSegments];
  }
  uint64_t total() const { return total_; }

  struct OfSegment {
    uint32_t segment = 0;
    uint64_t bytes = 0;
    friend bool operator==(const OfSegment&, const OfSegment&) = default;
  };
  // The segments in which anything lives, in order.
  std::vector<OfSegment> List() const;
  // Gives back the memory of pages in which nothing lives, but for the newest.
  void Trim();
  size_t bytes_used() const {
    return pages_.capacity() * sizeof(pages_[0]) + page_count_ * sizeof(Page);
  }

 private:
  static constexpr uint32_t kPageSegments = 512;
  using Page = std::array<uint64_t, kPageSegments>;
  void MakePage(size_t page);

  std::vector<std::unique_ptr<Page>> pages_;
  size_t page_count_ = 0;
  uint64_t total_ = 0;
};

}  // namespace pakv
