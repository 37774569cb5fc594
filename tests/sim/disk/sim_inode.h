// SimDisk's insides: a file or directory with all that is known of it at once.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "tests/sim/disk/sim_disk.h"
#include "tests/sim/disk/sim_sectors.h"

namespace pakv {

inline uint64_t SectorCount(uint64_t bytes) {
  return (bytes + SimDisk::kSectorBytes - 1) / SimDisk::kSectorBytes;
}

struct SimDisk::Inode {
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
  SimSectors sectors;
  // Of those that a cache has something of, the first and the end.
  uint64_t cached_begin = 0;
  uint64_t cached_end = 0;
  uint64_t allocated_count = 0;
  uint64_t lock_owner = 0;  // 0: not locked

  // To change what the caches have.
  std::span<SimSector> Cached() { return sectors.Edit(cached_begin, cached_end); }
  void NoteCached(uint64_t sector) {
    const bool first = cached_begin == cached_end;
    cached_begin = first ? sector : std::min(cached_begin, sector);
    cached_end = first ? sector + 1 : std::max(cached_end, sector + 1);
  }
  // Something has left the caches.
  void TrimCached() {
    while (cached_end > cached_begin && !sectors.Find(cached_end - 1)->cached()) --cached_end;
    while (cached_begin < cached_end && !sectors.Find(cached_begin)->cached()) ++cached_begin;
  }
};

}  // namespace pakv
