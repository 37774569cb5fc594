// What a crash leaves on a SimDisk, and what tests do to it by hand (tests/sim/disk/sim_disk.h).
#include <fcntl.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <string>
#include <utility>

#include "runtime/base/check.h"
#include "tests/sim/disk/sim_disk.h"
#include "tests/sim/disk/sim_inode.h"

namespace pakv {

void SimDisk::EvictCleanPages(Inode& inode) {
  // A clean page may leave the cache at any time; then what the drive has shows.
  for (SimSector& sector : inode.Cached()) {
    if (sector.page == SimSector::Page::kClean && prng_.Chance(1, 2)) sector.DropPage();
  }
  inode.TrimCached();
}

void SimDisk::CutPower(Inode& inode) {
  inode.lock_owner = 0;
  const bool metadata_kept = prng_.Chance(1, 2);
  if (metadata_kept) MakeMetadataDurable(inode);
  inode.cut_bytes.reset();
  for (SimSector& sector : inode.Cached()) {
    if (sector.page == SimSector::Page::kDirty && prng_.Chance(1, 2)) sector.WriteBack();
    sector.DropPage();
  }
  for (SimSector& sector : inode.Cached()) {
    if (sector.drive.empty()) continue;
    const uint64_t kept = prng_.Below(sector.drive.size() + 1);
    if (kept < sector.drive.size()) sector.platter = sector.drive[kept];
    sector.drive.clear();
  }
  inode.cached_begin = inode.cached_end = 0;
  inode.size_bytes = inode.durable_size_bytes;
  // What was written behind the size is gone; what a lost cut had freed is back.
  inode.sectors.CutTo(SectorCount(inode.size_bytes));
  uint64_t count = 0;
  for (uint64_t number = 0; number < inode.sectors.size(); ++number) {
    const SimSector& sector = *inode.sectors.Find(number);
    count += sector.allocated || sector.platter != nullptr ? 1 : 0;
    if (!sector.allocated && sector.platter != nullptr) inode.sectors.Edit(number).allocated = true;
  }
  *used_sectors_ += count - inode.allocated_count;
  inode.allocated_count = count;
}

void SimDisk::CutPowerBelow(Inode& directory) {
  directory.names = directory.durable_names;
  for (auto& [name, inode] : directory.names) {
    if (inode->directory) {
      CutPowerBelow(*inode);
    } else {
      CutPower(*inode);
    }
  }
}

void SimDisk::EvictBelow(Inode& directory) {
  for (auto& [name, inode] : directory.names) {
    if (inode->directory) {
      EvictBelow(*inode);
    } else {
      inode->lock_owner = 0;
      EvictCleanPages(*inode);
    }
  }
}

void SimDisk::Crash(CrashKind kind) {
  if (kind == CrashKind::kProcessKill) {
    EvictBelow(*root_);
    return;
  }
  // Either the journal up to some change, or each change by its own coin, unless one before it at
  // the same name was lost.
  const bool in_order = prng_.Chance(1, 2);
  const uint64_t kept_count = prng_.Below(journal_.size() + 1);
  std::set<std::pair<uint64_t, std::string>> lost;
  for (size_t i = 0; i < journal_.size(); ++i) {
    bool keep = in_order ? i < kept_count : prng_.Chance(1, 2);
    for (const NameChange& each : journal_[i]) {
      keep = keep && !lost.contains({each.directory->number, each.name});
    }
    if (keep) {
      ApplyDurably(journal_[i]);
    } else {
      for (const NameChange& each : journal_[i]) lost.insert({each.directory->number, each.name});
    }
  }
  journal_.clear();
  CutPowerBelow(*root_);
}

// ---- Copies ----

const SimDisk::InodeRef& SimDisk::CopyOf(const InodeRef& original, Copies& copies) {
  const auto [entry, is_new] = copies.try_emplace(original.get());
  if (!is_new || original == nullptr) return entry->second;
  const InodeRef copy = std::make_shared<Inode>(used_sectors_);
  entry->second = copy;
  copy->number = original->number;
  copy->directory = original->directory;
  copy->size_bytes = original->size_bytes;
  copy->durable_size_bytes = original->durable_size_bytes;
  copy->cut_bytes = original->cut_bytes;
  copy->sectors = original->sectors;
  copy->cached_begin = original->cached_begin;
  copy->cached_end = original->cached_end;
  copy->allocated_count = original->allocated_count;
  *used_sectors_ += copy->allocated_count;
  for (const auto& [name, inode] : original->names) {
    copy->names.emplace(name, CopyOf(inode, copies));
  }
  for (const auto& [name, inode] : original->durable_names) {
    copy->durable_names.emplace(name, CopyOf(inode, copies));
  }
  return copies.at(original.get());
}

SimDisk::Copies SimDisk::CopyFrom(const SimDisk& other) {
  PAKV_CHECK(root_->names.empty() && journal_.empty(), "the disk is not fresh");
  Copies copies;
  root_ = CopyOf(other.root_, copies);
  for (const MetaChange& change : other.journal_) {
    MetaChange& copy = journal_.emplace_back();
    for (const NameChange& each : change) {
      copy.push_back({CopyOf(each.directory, copies), each.name, CopyOf(each.inode, copies)});
    }
  }
  next_inode_ = other.next_inode_;
  ballast_bytes_ = other.ballast_bytes_;
  options_ = other.options_;
  return copies;
}

// ---- A medium that lies ----

// The file system has done its part: the space is there, and the size.
void SimDisk::LoseWrite(Inode& inode, const void* buffer, uint32_t length, uint64_t offset) {
  if (on_media_fault) on_media_fault({static_cast<const char*>(buffer), length});
  for (uint64_t sector = offset / kSectorBytes; sector < SectorCount(offset + length); ++sector) {
    if (SectorsToAllocate(inode, sector, sector + 1) == 0) continue;
    Store(inode, sector, /*direct=*/true, DataOf(nullptr));
  }
  inode.size_bytes = std::max(inode.size_bytes, offset + length);
}

// As a rule to where another write went not long ago: the bits of an address that turn are few.
void SimDisk::Misdirect(const void* buffer, uint32_t length) {
  std::vector<std::string> paths;
  ListFiles("", *root_, paths);
  const uint64_t unit = std::max<uint64_t>(options_.direct_alignment, kSectorBytes);
  std::string path = paths[prng_.Below(paths.size())];
  uint64_t offset = prng_.Below(Find(path).inode->size_bytes / unit + 1) * unit;
  if (!recent_writes_.empty() && prng_.Chance(3, 4)) {
    const RecentWrite& recent = recent_writes_[prng_.Below(recent_writes_.size())];
    for (const std::string& other : paths) {
      if (Find(other).inode->number != recent.inode_number) continue;
      path = other;
      offset = recent.offset;
    }
  }
  Inode& target = *Find(path).inode;
  const uint64_t end = std::min(offset + length, target.size_bytes);
  if (on_media_fault) on_media_fault(*Contents(path.c_str()));
  const auto* source = static_cast<const uint8_t*>(buffer);
  for (uint64_t at = offset; at + kSectorBytes <= end; at += kSectorBytes) {
    SimSector& sector = target.sectors.Edit(at / kSectorBytes);
    sector.platter = BytesOf(source + (at - offset));
    sector.drive.clear();
    sector.DropPage();
  }
  target.TrimCached();
}

void SimDisk::ListFiles(const std::string& path, const Inode& directory,
                        std::vector<std::string>& paths) {
  for (const auto& [name, inode] : directory.names) {
    if (inode->directory) {
      ListFiles(path + "/" + name, *inode, paths);
    } else {
      paths.push_back(path + "/" + name);
    }
  }
}

// ---- For tests ----

void SimDisk::FlipBit(const char* path, uint64_t offset, uint32_t bit) {
  const Place place = Find(path);
  PAKV_CHECK(place.inode != nullptr && offset < place.inode->size_bytes);
  const uint64_t number = offset / kSectorBytes;
  SimSector& sector = place.inode->sectors.Edit(number);
  sector.DropPage();
  Sector data;
  std::memcpy(data.data(), Look(*place.inode, number, /*direct=*/true), kSectorBytes);
  data[offset % kSectorBytes] ^= static_cast<uint8_t>(1u << bit);
  sector.platter = BytesOf(data.data());
  sector.drive.clear();
  place.inode->TrimCached();
}

std::optional<std::string> SimDisk::Contents(const char* path) {
  const Place place = Find(path);
  if (place.inode == nullptr || place.inode->directory) return std::nullopt;
  std::string contents;
  for (uint64_t sector = 0; sector < SectorCount(place.inode->size_bytes); ++sector) {
    const uint8_t* data = Look(*place.inode, sector, /*direct=*/false);
    contents.append(data, data + kSectorBytes);
  }
  contents.resize(place.inode->size_bytes);
  return contents;
}

void SimDisk::Put(const char* path, std::string_view contents) {
  const std::string_view whole(path);
  if (const size_t slash = whole.rfind('/'); slash != whole.npos && slash > 0) {
    MakeDirectories(std::string(whole.substr(0, slash)).c_str());
  }
  const SimDiskFaults saved = std::exchange(faults, {});
  InodeRef inode;
  PAKV_CHECK(Open(path, O_RDWR | O_CREAT | O_TRUNC, inode) == 0);
  const auto length = static_cast<uint32_t>(contents.size());
  PAKV_CHECK(Write(*inode, /*direct=*/false, contents.data(), length, 0) ==
             static_cast<int32_t>(length));
  PAKV_CHECK(SyncData(*inode) == 0);
  CommitNames();
  faults = saved;
}

void SimDisk::MakeDirectories(const char* path) {
  const SimDiskFaults saved = std::exchange(faults, {});
  const std::string_view whole(path);
  for (size_t i = whole.find('/', 1); true; i = whole.find('/', i + 1)) {
    const std::string step(whole.substr(0, i));
    if (Find(step).inode == nullptr) PAKV_CHECK(MakeDirectory(step.c_str()) == 0);
    if (i == whole.npos) break;
  }
  CommitNames();
  faults = saved;
}

}  // namespace pakv
