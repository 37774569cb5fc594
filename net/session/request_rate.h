// RequestRate: requests per second of late, on one core. No timer: what was counted is noted when
// a session begins to take requests, which costs one comparison, and when somebody asks.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "runtime/base/clock.h"

namespace pakv {

class RequestRate {
 public:
  static constexpr uint64_t kSlotNs = 100 * kNsPerMs;
  // What it looks back on, besides the slot that is not over.
  static constexpr uint64_t kSlotsBack = 10;

  // `total` requests were counted until now; more may be before now_ns changes.
  void Note(uint64_t now_ns, uint64_t total) {
    if (now_ns >= slot_end_ns_) [[unlikely]]
      BeginSlot(now_ns / kSlotNs, total);
  }
  // Of the last second, and up to kSlotNs more.
  uint64_t PerSecond(uint64_t now_ns, uint64_t total) {
    Note(now_ns, total);
    const uint64_t begin = slot_ - std::min(slot_, kSlotsBack);
    const uint64_t duration_ns = now_ns - begin * kSlotNs;
    if (duration_ns == 0) return 0;
    return (total - totals_[begin % totals_.size()]) * kNsPerSecond / duration_ns;
  }

 private:
  // Nothing was counted in the slots between, nor in this one yet.
  void BeginSlot(uint64_t slot, uint64_t total) {
    const uint64_t oldest = slot - std::min(slot, kSlotsBack);
    for (uint64_t each = std::max(slot_ + 1, oldest); each <= slot; ++each) {
      totals_[each % totals_.size()] = total;
    }
    slot_ = slot;
    slot_end_ns_ = (slot + 1) * kSlotNs;
  }

  std::array<uint64_t, kSlotsBack + 1> totals_{};  // when a slot began, by its number's remainder
  uint64_t slot_ = 0;
  uint64_t slot_end_ns_ = 0;
};

}  // namespace pakv
