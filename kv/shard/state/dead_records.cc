#include "kv/shard/state/dead_records.h"

#include <utility>

namespace pakv {

void DeadRecords::Note(const Location& location) {
  RecordPlaces& places = segments_[location.segment];
  if (!places.HasPageFor(location.offset)) [[unlikely]] {
    if (bytes_used() + RecordPlaces::kPageBytes > kBytesMax) return;
    ++pages_;
  }
  places.Add(location.offset);
}

void DeadRecords::Prefetch(const Location& location) const {
  const auto found = segments_.find(location.segment);
  if (found != segments_.end()) found->second.Prefetch(location.offset);
}

RecordPlaces DeadRecords::Take(uint32_t segment) {
  const auto found = segments_.find(segment);
  if (found == segments_.end()) return {};
  RecordPlaces places = std::move(found->second);
  pages_ -= places.page_count();
  segments_.erase(found);
  return places;
}

bool DeadRecords::Clear() {
  if (bytes_used() == 0) return false;
  segments_ = {};
  pages_ = 0;
  return true;
}

size_t DeadRecords::bytes_used() const {
  return pages_ * RecordPlaces::kPageBytes +
         segments_.capacity() * (sizeof(RecordPlaces) + sizeof(uint32_t));
}

}  // namespace pakv
