#include "tests/sim/disk/sim_disk.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>
#include <utility>

#include "runtime/base/check.h"
#include "tests/sim/disk/sim_inode.h"

namespace pakv {
SimDisk::SimDisk(const SimDiskOptions& options, uint64_t seed)
    : options_(options), prng_(seed), used_sectors_(std::make_shared<uint64_t>(0)) {
  root_ = NewInode(/*directory=*/true);
}

SimDisk::~SimDisk() {
  // Directories may refer to one another through names that were moved: cut all ties by hand.
  std::vector<InodeRef> todo{root_};
  for (const MetaChange& change : journal_) {
    for (const NameChange& each : change) {
      todo.push_back(each.directory);
      if (each.inode != nullptr) todo.push_back(each.inode);
    }
  }
  journal_.clear();
  while (!todo.empty()) {
    const InodeRef inode = todo.back();
    todo.pop_back();
    for (auto* names : {&inode->names, &inode->durable_names}) {
      for (auto& [name, child] : *names) todo.push_back(child);
      names->clear();
    }
  }
}

SimDisk::InodeRef SimDisk::NewInode(bool directory) {
  auto inode = std::make_shared<Inode>(used_sectors_);
  inode->number = next_inode_++;
  inode->directory = directory;
  return inode;
}

SimDisk::Place SimDisk::Find(std::string_view path) {
  InodeRef directory;
  std::string name;
  InodeRef inode = root_;
  while (true) {
    while (path.starts_with('/')) path.remove_prefix(1);
    if (path.empty()) break;
    const std::string_view step = path.substr(0, path.find('/'));
    path.remove_prefix(step.size());
    if (step == ".") continue;
    if (inode == nullptr) return {};
    if (!inode->directory) return {.error = -ENOTDIR};
    directory = inode;
    name = step;
    const auto found = directory->names.find(step);
    inode = found == directory->names.end() ? nullptr : found->second;
  }
  return {std::move(directory), std::move(name), std::move(inode), -ENOENT};
}

void SimDisk::Change(MetaChange change) {
  for (const NameChange& each : change) {
    if (each.inode == nullptr) {
      each.directory->names.erase(each.name);
    } else {
      each.directory->names.insert_or_assign(each.name, each.inode);
    }
  }
  journal_.push_back(std::move(change));
}

void SimDisk::ApplyDurably(const MetaChange& change) {
  for (const NameChange& each : change) {
    if (each.inode == nullptr) {
      each.directory->durable_names.erase(each.name);
    } else {
      each.directory->durable_names.insert_or_assign(each.name, each.inode);
    }
  }
}

void SimDisk::CommitNames() {
  for (const MetaChange& change : journal_) ApplyDurably(change);
  journal_.clear();
}

int32_t SimDisk::Open(const char* path, int flags, InodeRef& inode) {
  if (Fault(faults.no_descriptor)) return -EMFILE;
  if (Fault(faults.name_error)) return -EIO;
  const bool direct = (flags & O_DIRECT) != 0;
  const Place place = Find(path);
  inode = place.inode;
  if (inode == nullptr) {
    if (place.directory == nullptr) return place.error;
    if ((flags & O_CREAT) == 0) return -ENOENT;
    if (direct && options_.direct_alignment == 0) return -EINVAL;
    inode = NewInode(/*directory=*/false);
    Change({{place.directory, place.name, inode}});
    return 0;
  }
  if ((flags & O_CREAT) != 0 && (flags & O_EXCL) != 0) return -EEXIST;
  if (inode->directory && (flags & O_ACCMODE) != O_RDONLY) return -EISDIR;
  if (!inode->directory && (flags & O_DIRECTORY) == O_DIRECTORY) return -ENOTDIR;
  if (direct && options_.direct_alignment == 0) return -EINVAL;
  if ((flags & O_TRUNC) != 0) return Truncate(*inode, 0);
  return 0;
}

int32_t SimDisk::Rename(const char* source, const char* target) {
  if (Fault(faults.name_error)) return -EIO;
  const Place from = Find(source);
  const Place to = Find(target);
  if (from.inode == nullptr) return from.error;
  if (to.directory == nullptr) return to.error;
  if (from.inode == to.inode) return 0;
  if (to.inode != nullptr && to.inode->directory != from.inode->directory) {
    return to.inode->directory ? -EISDIR : -ENOTDIR;
  }
  if (to.inode != nullptr && to.inode->directory && !to.inode->names.empty()) return -ENOTEMPTY;
  Change({{from.directory, from.name, nullptr}, {to.directory, to.name, from.inode}});
  return 0;
}

int32_t SimDisk::Unlink(const char* path) {
  if (Fault(faults.name_error)) return -EIO;
  const Place place = Find(path);
  if (place.inode == nullptr) return place.error;
  if (place.inode->directory) return -EISDIR;
  Change({{place.directory, place.name, nullptr}});
  return 0;
}

int32_t SimDisk::Link(const char* source, const char* target) {
  if (Fault(faults.name_error)) return -EIO;
  if (!options_.has_links) return -EPERM;
  const Place from = Find(source);
  const Place to = Find(target);
  if (from.inode == nullptr) return from.error;
  if (from.inode->directory) return -EPERM;
  if (to.inode != nullptr) return -EEXIST;
  if (to.directory == nullptr) return to.error;
  Change({{to.directory, to.name, from.inode}});
  return 0;
}

int32_t SimDisk::MakeDirectory(const char* path) {
  if (Fault(faults.name_error)) return -EIO;
  const Place place = Find(path);
  if (place.inode != nullptr) return -EEXIST;
  if (place.directory == nullptr) return place.error;
  Change({{place.directory, place.name, NewInode(/*directory=*/true)}});
  return 0;
}

int32_t SimDisk::SyncDirectory(const char* path) {
  if (Fault(faults.no_descriptor)) return -EMFILE;
  const Place place = Find(path);
  if (place.inode == nullptr) return place.error;
  if (!place.inode->directory) return -ENOTDIR;
  if (Fault(faults.name_error)) return -EIO;
  // What touches this directory, and what came before it at the same names.
  std::vector<bool> chosen(journal_.size());
  std::set<std::pair<uint64_t, std::string>> needed;
  for (size_t i = journal_.size(); i > 0; --i) {
    const MetaChange& change = journal_[i - 1];
    for (const NameChange& each : change) {
      chosen[i - 1] = chosen[i - 1] || each.directory == place.inode ||
                      needed.contains({each.directory->number, each.name});
    }
    if (!chosen[i - 1]) continue;
    for (const NameChange& each : change) needed.insert({each.directory->number, each.name});
  }
  std::vector<MetaChange> rest;
  for (size_t i = 0; i < journal_.size(); ++i) {
    if (chosen[i]) {
      ApplyDurably(journal_[i]);
    } else {
      rest.push_back(std::move(journal_[i]));
    }
  }
  journal_ = std::move(rest);
  return 0;
}

int32_t SimDisk::Stat(const Inode& inode, FileStat& stat) {
  stat.size_bytes = inode.size_bytes;
  stat.is_directory = inode.directory;
  stat.direct_alignment = options_.direct_alignment;
  return 0;
}

int32_t SimDisk::StatPath(const char* path, FileStat& stat) {
  const Place place = Find(path);
  return place.inode == nullptr ? place.error : Stat(*place.inode, stat);
}

int32_t SimDisk::List(const char* path, std::vector<std::string>& names) {
  const Place place = Find(path);
  if (place.inode == nullptr) return place.error;
  if (!place.inode->directory) return -ENOTDIR;
  names.clear();
  for (const auto& [name, inode] : place.inode->names) names.push_back(name);
  return static_cast<int32_t>(names.size());
}

int32_t SimDisk::Space(SpaceStat& space) {
  const uint64_t taken = used_bytes() + ballast_bytes_;
  space.total_bytes = options_.capacity_bytes;
  space.free_bytes = taken < options_.capacity_bytes ? options_.capacity_bytes - taken : 0;
  return 0;
}

int32_t SimDisk::Lock(Inode& inode, uint64_t owner) {
  if (inode.lock_owner != 0 && inode.lock_owner != owner) return -EWOULDBLOCK;
  inode.lock_owner = owner;
  return 0;
}

void SimDisk::Unlock(Inode& inode, uint64_t owner) {
  if (inode.lock_owner == owner) inode.lock_owner = 0;
}

// ---- Contents ----

const uint8_t* SimDisk::Look(const Inode& inode, uint64_t sector, bool direct) {
  const SimSector* found = inode.sectors.Find(sector);
  if (found == nullptr) return DataOf(nullptr);
  if (!direct && found->page != SimSector::Page::kNone) return DataOf(found->page_bytes);
  if (!found->drive.empty()) return DataOf(found->drive.back());
  const bool cut = inode.cut_bytes && sector >= SectorCount(*inode.cut_bytes);
  return DataOf(cut ? nullptr : found->platter);
}

void SimDisk::Store(Inode& inode, uint64_t sector, bool direct, const uint8_t* data) {
  SimSector& stored = inode.sectors.Edit(sector);
  inode.NoteCached(sector);
  if (!stored.allocated) {
    stored.allocated = true;
    ++inode.allocated_count;
    ++*used_sectors_;
  }
  if (!direct) {
    stored.page_bytes = BytesOf(data);
    stored.page = SimSector::Page::kDirty;
    return;
  }
  // The page cache never hides what was written past it.
  stored.WriteBack();
  stored.DropPage();
  stored.drive.push_back(BytesOf(data));
}

void SimDisk::StorePart(Inode& inode, uint64_t offset, bool direct, const uint8_t* source,
                        uint64_t count) {
  const uint64_t sector = offset / kSectorBytes;
  if (count == kSectorBytes) return Store(inode, sector, direct, source);
  Sector data;
  std::memcpy(data.data(), Look(inode, sector, direct), kSectorBytes);
  std::memcpy(data.data() + offset % kSectorBytes, source, count);
  Store(inode, sector, direct, data.data());
}

uint64_t SimDisk::SectorsToAllocate(const Inode& inode, uint64_t first, uint64_t end) {
  uint64_t count = 0;
  for (uint64_t sector = first; sector < end; ++sector) {
    const SimSector* found = inode.sectors.Find(sector);
    count += found == nullptr || !found->allocated ? 1 : 0;
  }
  return count;
}

bool SimDisk::MakeRoom(uint64_t sectors) {
  const auto fits = [&] {
    return (*used_sectors_ + sectors) * kSectorBytes + ballast_bytes_ <= options_.capacity_bytes;
  };
  if (fits()) return true;
  // A file system that runs out of space commits its journal first, as ext4 does: what was
  // unlinked gives its space back then.
  CommitNames();
  return fits();
}

int32_t SimDisk::Read(Inode& inode, bool direct, void* buffer, uint32_t length, uint64_t offset) {
  if (inode.directory) return -EISDIR;
  if (direct &&
      ((offset | length | reinterpret_cast<uintptr_t>(buffer)) % options_.direct_alignment) != 0) {
    return -EINVAL;
  }
  if (Fault(faults.read_error)) return -EIO;
  if (offset >= inode.size_bytes || length == 0) return 0;
  uint64_t end = std::min<uint64_t>(offset + length, inode.size_bytes);
  const uint64_t unit = direct ? kSectorBytes : 1;
  if (end - offset > unit && Fault(faults.short_transfer)) {
    end = offset + (1 + prng_.Below((end - offset) / unit)) * unit;
  }
  auto* target = static_cast<uint8_t*>(buffer);
  for (uint64_t at = offset; at < end;) {
    const uint64_t sector = at / kSectorBytes;
    const uint64_t begin = at % kSectorBytes;
    const uint64_t count = std::min(kSectorBytes - begin, end - at);
    const SimSector* found = inode.sectors.Find(sector);
    if (direct && found != nullptr && found->page == SimSector::Page::kDirty) {
      inode.sectors.Edit(sector).WriteBack();
    }
    std::memcpy(target + (at - offset), Look(inode, sector, direct) + begin, count);
    at += count;
  }
  return static_cast<int32_t>(end - offset);
}

int32_t SimDisk::Write(Inode& inode, bool direct, const void* buffer, uint32_t length,
                       uint64_t offset) {
  if (inode.directory) return -EISDIR;
  if (direct &&
      ((offset | length | reinterpret_cast<uintptr_t>(buffer)) % options_.direct_alignment) != 0) {
    return -EINVAL;
  }
  if (length == 0) return 0;
  if (Fault(faults.write_error)) {
    WriteSome(inode, direct, buffer, length, offset);
    return -EIO;
  }
  const bool misdirected = Fault(faults.misdirected_write);
  if (direct && (misdirected || Fault(faults.lost_write))) {
    LoseWrite(inode, buffer, length, offset);
    if (misdirected) Misdirect(buffer, length);
    return static_cast<int32_t>(length);
  }
  if (direct && faults.misdirected_write != 0) {
    constexpr size_t kRecentMax = 64;
    recent_writes_.push_back({inode.number, offset});
    if (recent_writes_.size() > kRecentMax) recent_writes_.pop_front();
  }
  uint64_t end = offset + length;
  // At a sector's end: direct writes are cut between the device's requests, buffered ones between
  // folios (generic_perform_write, Linux 6.18), as long as the memory that is written is mapped.
  if (length > kSectorBytes && Fault(faults.short_transfer)) {
    const uint64_t first_end = (offset / kSectorBytes + 1) * kSectorBytes;
    end = std::min(end, first_end + prng_.Below(length / kSectorBytes) * kSectorBytes);
  }
  // As much as there is space for, from the front: whole blocks of the file system, which are
  // multiples of what direct transfers are multiples of.
  uint64_t end_sector = SectorCount(end);
  const uint64_t first_sector = offset / kSectorBytes;
  const uint64_t block_sectors = direct ? options_.direct_alignment / kSectorBytes : 1;
  while (end_sector > first_sector &&
         !MakeRoom(SectorsToAllocate(inode, first_sector, end_sector))) {
    end_sector = (end_sector - 1) / block_sectors * block_sectors;
  }
  end = std::min(end, end_sector * kSectorBytes);
  if (end <= offset) return -ENOSPC;
  static_cast<void>(inode.sectors.Edit(first_sector, end_sector));  // all at once
  const auto* source = static_cast<const uint8_t*>(buffer);
  for (uint64_t at = offset; at < end;) {
    const uint64_t count = std::min(kSectorBytes - at % kSectorBytes, end - at);
    StorePart(inode, at, direct, source + (at - offset), count);
    at += count;
  }
  inode.size_bytes = std::max(inode.size_bytes, end);
  return static_cast<int32_t>(end - offset);
}

void SimDisk::WriteSome(Inode& inode, bool direct, const void* buffer, uint32_t length,
                        uint64_t offset) {
  const auto* source = static_cast<const uint8_t*>(buffer);
  // Nothing, all, or each sector by its own coin.
  const uint64_t chance = prng_.Below(4);
  for (uint64_t at = offset; at < offset + length;) {
    const uint64_t sector = at / kSectorBytes;
    const uint64_t count = std::min(kSectorBytes - at % kSectorBytes, offset + length - at);
    if ((chance == 1 || (chance >= 2 && prng_.Chance(1, 2))) &&
        MakeRoom(SectorsToAllocate(inode, sector, sector + 1))) {
      StorePart(inode, at, direct, source + (at - offset), count);
      inode.size_bytes = std::max(inode.size_bytes, at + count);
    }
    at += count;
  }
}

void SimDisk::MakeMetadataDurable(Inode& inode) {
  if (inode.cut_bytes) {
    const uint64_t kept = SectorCount(*inode.cut_bytes);
    for (SimSector& sector : inode.sectors.Edit(kept, inode.sectors.size())) {
      sector.platter = nullptr;
    }
    inode.sectors.CutTo(SectorCount(inode.size_bytes));
    inode.cut_bytes.reset();
  }
  inode.durable_size_bytes = inode.size_bytes;
}

int32_t SimDisk::Flush(Inode& inode, uint64_t begin_sector, uint64_t end_sector) {
  const bool failed = Fault(faults.flush_error);
  if (!failed) MakeMetadataDurable(inode);
  begin_sector = std::max(begin_sector, inode.cached_begin);
  end_sector = std::min(end_sector, inode.cached_end);
  for (SimSector& sector : inode.sectors.Edit(begin_sector, end_sector)) {
    if (!sector.unsettled()) continue;
    // After a failed write-back the page looks clean, whether the drive has it or not.
    if (failed && sector.page != SimSector::Page::kNone && prng_.Chance(1, 2)) {
      sector.page = SimSector::Page::kClean;
    }
    sector.WriteBack();
    if (sector.drive.empty()) continue;
    // After a failed flush: on the platter, still in the drive's cache, or gone from it.
    const uint64_t fate = failed ? prng_.Below(3) : 0;
    if (fate == 1) continue;
    if (fate == 0) sector.platter = sector.drive.back();
    sector.drive.clear();
  }
  inode.TrimCached();
  return failed ? -EIO : 0;
}

int32_t SimDisk::SyncRange(Inode& inode, uint64_t offset, uint32_t length) {
  return Flush(inode, offset / kSectorBytes, SectorCount(offset + length));
}

int32_t SimDisk::SyncData(Inode& inode) {
  return Flush(inode, inode.cached_begin, inode.cached_end);
}

void SimDisk::Closed(Inode& inode) {
  const auto is_dirty = [](const SimSector& sector) {
    return sector.page == SimSector::Page::kDirty;
  };
  const std::span<SimSector> cached = inode.Cached();
  if (std::none_of(cached.begin(), cached.end(), is_dirty) || !Fault(faults.write_back_error))
    return;
  for (SimSector& sector : cached) {
    if (is_dirty(sector)) sector.DropPage();
  }
  inode.TrimCached();
}

int32_t SimDisk::Truncate(Inode& inode, uint64_t size_bytes) {
  if (inode.directory) return -EISDIR;
  if (size_bytes < inode.size_bytes) {
    const uint64_t sectors = SectorCount(size_bytes);
    if (size_bytes % kSectorBytes != 0) {
      Sector last{};
      std::memcpy(last.data(), Look(inode, sectors - 1, /*direct=*/false),
                  size_bytes % kSectorBytes);
      Store(inode, sectors - 1, /*direct=*/false, last.data());
    }
    inode.cut_bytes = std::min(inode.cut_bytes.value_or(size_bytes), size_bytes);
    for (SimSector& sector : inode.sectors.Edit(sectors, inode.sectors.size())) {
      sector.DropPage();
      sector.drive.clear();
      if (!std::exchange(sector.allocated, false)) continue;
      --inode.allocated_count;
      --*used_sectors_;
    }
    inode.TrimCached();
  }
  inode.size_bytes = size_bytes;
  return 0;
}

}  // namespace pakv
