// SimDisk's insides: a file or directory with all that is known of it at once.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/sim/sim_disk.h"

namespace pakv {

inline uint64_t SectorCount(uint64_t bytes) {
  return (bytes + SimDisk::kSectorBytes - 1) / SimDisk::kSectorBytes;
}

// What flushes have reached of a file, by sector. Copies share it until one of them changes it: a
// disk is copied at each crash point, and a recovery leaves most of what is there as it is.
class SimPlatter {
 public:
  using Sector = SimDisk::Sector;
  uint64_t size() const { return sectors_ == nullptr ? 0 : sectors_->size(); }
  const Sector& operator[](uint64_t sector) const { return (*sectors_)[sector]; }
  void Put(uint64_t sector, const Sector& data) {
    std::vector<Sector>& own = Own();
    if (sector >= own.size()) own.resize(sector + 1);
    own[sector] = data;
  }
  // Shorter; nothing if it is as short.
  void CutTo(uint64_t sectors) {
    if (sectors < size()) Own().resize(sectors);
  }

 private:
  std::vector<Sector>& Own() {
    if (sectors_ == nullptr) {
      sectors_ = std::make_shared<std::vector<Sector>>();
    } else if (sectors_.use_count() > 1) {
      sectors_ = std::make_shared<std::vector<Sector>>(*sectors_);
    }
    return *sectors_;
  }
  std::shared_ptr<std::vector<Sector>> sectors_;
};

struct SimDisk::Inode {
  struct Page {
    Sector data;
    bool dirty;
  };

  explicit Inode(std::shared_ptr<uint64_t> used) : used_sectors(std::move(used)) {}
  Inode(const Inode&) = delete;
  Inode& operator=(const Inode&) = delete;
  ~Inode() { *used_sectors -= allocated_count; }

  std::shared_ptr<uint64_t> used_sectors;
  uint64_t number = 0;

  bool directory = false;
  std::map<std::string, InodeRef, std::less<>> names;  // as seen now
  std::map<std::string, InodeRef, std::less<>> durable_names;

  uint64_t size_bytes = 0;
  uint64_t durable_size_bytes = 0;
  // The smallest size since the last sync, if it was cut: behind it the platter does not count.
  std::optional<uint64_t> cut_bytes;
  SimPlatter platter;
  std::map<uint64_t, std::vector<Sector>> drive;  // versions since the last flush, newest last
  std::map<uint64_t, Page> pages;
  std::vector<bool> allocated;
  uint64_t allocated_count = 0;
  uint64_t lock_owner = 0;  // 0: not locked
};

}  // namespace pakv
