// SimDisk: the files of one simulated node, with everything that a real one may do to them.
//
//   page cache   buffered writes: readable; lost by a power cut, or left clean by a failed sync
//   drive cache  direct writes and written-back pages: readable; lost by a power cut until a flush
//   platter      what a flush has reached: stays
//
// Per 512-byte sector, a power cut keeps what is on the platter or any version written since, each
// sector by its own coin. A file's size is durable by a sync of the file; a name by a sync of its
// directory, until then each change of a name is kept or lost, a rename as a whole. A killed
// process loses nothing of what it wrote, as its kernel and drive live on.
//
// All calls take effect at once; when that is, and what a crash in between does, is SimRing's.
#pragma once

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/prng.h"
#include "runtime/io/operation.h"

namespace pakv {

enum class CrashKind : uint8_t { kProcessKill, kPowerCut };

struct SimDiskOptions {
  uint64_t capacity_bytes = uint64_t{1} << 30;
  // What direct transfers have to be a multiple of; 0: direct I/O is refused.
  uint32_t direct_alignment = 4096;
  bool has_links = true;  // a file may have several names
};

// Chances out of 10,000 operations of the kind.
struct SimDiskFaults {
  uint32_t read_error = 0;
  uint32_t write_error = 0;       // some of the sectors may have been written
  uint32_t flush_error = 0;       // of fdatasync and of a sync write
  uint32_t write_back_error = 0;  // of the last close of a file with dirty pages, see Closed
  uint32_t name_error = 0;        // of open, rename, unlink, directory sync
  uint32_t no_descriptor = 0;     // of open, and of directory sync, which opens the directory
  uint32_t short_transfer = 0;    // fewer bytes than asked for
  uint32_t stall = 0;             // an operation takes up to a second (SimRing looks here)
  // The medium lies: the write is reported as done, and flushed, and what it has overwritten is
  // still there; or its bytes are, too, in another place of this file or of any other.
  uint32_t lost_write = 0;
  uint32_t misdirected_write = 0;
};

class SimDisk {
 public:
  static constexpr size_t kSectorBytes = 512;
  using Sector = std::array<uint8_t, kSectorBytes>;
  struct Inode;
  using InodeRef = std::shared_ptr<Inode>;

  SimDisk(const SimDiskOptions& options, uint64_t seed);
  SimDisk(const SimDisk&) = delete;
  SimDisk& operator=(const SimDisk&) = delete;
  ~SimDisk();

  SimDiskFaults faults;
  // Told of the bytes of each write that was lost, and of the whole file, as it was, in which a
  // misdirected one has landed.
  std::function<void(std::string_view bytes)> on_media_fault;
  const SimDiskOptions& options() const { return options_; }
  Prng& prng() { return prng_; }

  // All return a count or -errno, as the opcodes of the same names.
  int32_t Open(const char* path, int flags, InodeRef& inode);
  int32_t Read(Inode& inode, bool direct, void* buffer, uint32_t length, uint64_t offset);
  // The bytes are readable at once, not durable.
  int32_t Write(Inode& inode, bool direct, const void* buffer, uint32_t length, uint64_t offset);
  // The flush that is part of a sync write of this range.
  int32_t SyncRange(Inode& inode, uint64_t offset, uint32_t length);
  int32_t SyncData(Inode& inode);
  // Nobody has the file open any more. What the page cache holds is written back by itself: where
  // that fails it is lost, and who opens the file again is not told.
  void Closed(Inode& inode);
  int32_t Truncate(Inode& inode, uint64_t size_bytes);
  int32_t Rename(const char* source, const char* target);
  int32_t Unlink(const char* path);
  int32_t Link(const char* source, const char* target);
  int32_t MakeDirectory(const char* path);
  int32_t SyncDirectory(const char* path);
  int32_t StatPath(const char* path, FileStat& stat);
  int32_t Stat(const Inode& inode, FileStat& stat);
  int32_t List(const char* path, std::vector<std::string>& names);
  int32_t Space(SpaceStat& space);
  // `owner` names the open file.
  int32_t Lock(Inode& inode, uint64_t owner);
  void Unlock(Inode& inode, uint64_t owner);

  // A write was on its way when its process or its machine died: any of its sectors may be there.
  void WriteSome(Inode& inode, bool direct, const void* buffer, uint32_t length, uint64_t offset);
  // After the processes on this disk are gone and hold no inode any more.
  void Crash(CrashKind kind);

  // Of this disk, which is fresh: what is on it, in its caches and on its platters, becomes a copy
  // of `other`'s. Tells the copy of each of its inodes, that of a file too that is open and has no
  // name any more.
  using Copies = std::map<const Inode*, InodeRef>;
  Copies CopyFrom(const SimDisk& other);

  // Another drive from now on, with what was on this: what direct transfers are multiples of.
  void SetDirectAlignment(uint32_t alignment) { options_.direct_alignment = alignment; }
  // Takes bytes away from whoever else uses the disk, as another program's file would.
  void SetBallast(uint64_t bytes) { ballast_bytes_ = bytes; }
  uint64_t used_bytes() const { return *used_sectors_ * kSectorBytes; }
  // Flips one bit of the file's durable bytes at `offset`.
  void FlipBit(const char* path, uint64_t offset, uint32_t bit);
  // The file as it can be read now; nullopt if there is none. For tests to look and to prepare.
  std::optional<std::string> Contents(const char* path);
  // Creates or replaces a file, durable with its name; directories on the way are made.
  void Put(const char* path, std::string_view contents);
  // Makes the directory and those above it, durably.
  void MakeDirectories(const char* path);

 private:
  struct NameChange {
    InodeRef directory;
    std::string name;
    InodeRef inode;  // nullptr: the name is removed
  };
  // Changes that a crash keeps or loses together.
  using MetaChange = std::vector<NameChange>;
  struct Place {
    InodeRef directory;  // nullptr: there is none
    std::string name;
    InodeRef inode;           // nullptr: no such name
    int32_t error = -ENOENT;  // if there is no such place at all
  };

  bool Fault(uint32_t chance) { return chance != 0 && prng_.Chance(chance, 10'000); }
  Place Find(std::string_view path);
  InodeRef NewInode(bool directory);
  const InodeRef& CopyOf(const InodeRef& original, Copies& copies);
  void Change(MetaChange change);
  static void ApplyDurably(const MetaChange& change);
  void CommitNames();
  bool MakeRoom(uint64_t sectors);
  void LoseWrite(Inode& inode, const void* buffer, uint32_t length, uint64_t offset);
  void Misdirect(const void* buffer, uint32_t length);
  static void ListFiles(const std::string& path, const Inode& directory,
                        std::vector<std::string>& paths);

  // A sector's bytes as they can be read, valid until it changes.
  static const uint8_t* Look(const Inode& inode, uint64_t sector, bool direct);
  void Store(Inode& inode, uint64_t sector, bool direct, const uint8_t* data);
  // `count` bytes, all of one sector.
  void StorePart(Inode& inode, uint64_t offset, bool direct, const uint8_t* source, uint64_t count);
  static uint64_t SectorsToAllocate(const Inode& inode, uint64_t first, uint64_t end);
  static void MakeMetadataDurable(Inode& inode);
  int32_t Flush(Inode& inode, uint64_t begin_sector, uint64_t end_sector);
  void CutPower(Inode& inode);
  void CutPowerBelow(Inode& directory);
  void EvictCleanPages(Inode& inode);
  void EvictBelow(Inode& directory);

  SimDiskOptions options_;
  Prng prng_;
  std::shared_ptr<uint64_t> used_sectors_;  // inodes give theirs back
  uint64_t ballast_bytes_ = 0;
  uint64_t next_inode_ = 1;
  struct RecentWrite {
    uint64_t inode_number;
    uint64_t offset;
  };
  std::deque<RecentWrite> recent_writes_;  // while writes may be misdirected
  InodeRef root_;
  std::vector<MetaChange> journal_;  // changes of names that no sync has made durable, in order
};

}  // namespace pakv
