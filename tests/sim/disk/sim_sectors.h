// SimDisk's insides: the sectors of one file, each with all that is known of it.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "tests/sim/disk/sim_disk.h"

namespace pakv {

// What one sector holds: bytes that do not change any more, shared by all who have them. nullptr:
// zeros, as most of what a store writes, which zeroes its files ahead.
using SimBytes = std::shared_ptr<const SimDisk::Sector>;

inline const uint8_t* DataOf(const SimBytes& bytes) {
  static constexpr SimDisk::Sector kZeros{};
  return bytes == nullptr ? kZeros.data() : bytes->data();
}

// A copy of a sector's bytes.
inline SimBytes BytesOf(const uint8_t* data) {
  if (std::memcmp(data, DataOf(nullptr), SimDisk::kSectorBytes) == 0) return nullptr;
  auto bytes = std::make_shared_for_overwrite<SimDisk::Sector>();
  std::memcpy(bytes->data(), data, SimDisk::kSectorBytes);
  return bytes;
}

struct SimSector {
  enum class Page : uint8_t { kNone, kClean, kDirty };

  SimBytes platter;             // what a flush has reached
  std::vector<SimBytes> drive;  // versions since the last flush, newest last
  SimBytes page_bytes;
  Page page = Page::kNone;  // in the page cache; dirty: the drive does not have it
  bool allocated = false;

  bool cached() const { return page != Page::kNone || !drive.empty(); }
  // A flush has something to do.
  bool unsettled() const { return page == Page::kDirty || !drive.empty(); }
  void WriteBack() {
    if (page != Page::kDirty) return;
    drive.push_back(page_bytes);
    page = Page::kClean;
  }
  void DropPage() {
    page = Page::kNone;
    page_bytes = nullptr;
  }
};

// By their numbers in the file. Copies share them until one of them changes: a disk is copied at
// each crash point, and a recovery leaves most of what is there as it is.
class SimSectors {
 public:
  uint64_t size() const { return sectors_ == nullptr ? 0 : sectors_->size(); }
  // nullptr: nothing was written there.
  const SimSector* Find(uint64_t number) const {
    return number < size() ? &(*sectors_)[number] : nullptr;
  }
  // To change what lies in [begin, end), which exists from then on. Valid until the next call.
  std::span<SimSector> Edit(uint64_t begin, uint64_t end) {
    if (begin >= end) return {};
    if (sectors_ == nullptr) {
      sectors_ = std::make_shared<std::vector<SimSector>>();
    } else if (sectors_.use_count() > 1) {
      sectors_ = std::make_shared<std::vector<SimSector>>(*sectors_);
    }
    if (end > sectors_->size()) sectors_->resize(end);
    return std::span(*sectors_).subspan(begin, end - begin);
  }
  SimSector& Edit(uint64_t number) { return Edit(number, number + 1)[0]; }
  // Nothing if they are as few.
  void CutTo(uint64_t count) {
    if (count >= size()) return;
    static_cast<void>(Edit(0, 1));
    sectors_->resize(count);
  }

 private:
  std::shared_ptr<std::vector<SimSector>> sectors_;
};

}  // namespace pakv
