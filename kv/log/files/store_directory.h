// A store's directory: who it belongs to (IDENTITY), who uses it now (LOCK), and the names in it.
// docs/format.md, "The directory". Nothing is touched before it is known to be a store's or empty.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kv/log/format/format.h"
#include "runtime/core/core.h"
#include "runtime/io/file.h"
#include "runtime/task/task.h"

namespace pakv {

// Random numbers that the store needs, from the system at start (simulated in a simulation).
struct StoreEntropy {
  std::array<uint8_t, 16> store_id{};
  uint64_t hash_seed = 0;
  uint64_t run = 0;  // of this start; not guessable by clients, so that no value imitates a block
};

struct DirectoryOptions {
  std::string path;
  EngineKind engine = EngineKind::kLog;
  StoreEntropy entropy;
};

// "00000007.seg"
std::string SegmentName(uint32_t segment);
// The number in a segment's name, 0 if it is not one.
uint32_t SegmentOfName(std::string_view name);

class StoreDirectory {
 public:
  // Opens or creates the directory and locks it; in one that is there nothing is changed. Errors:
  // kUnavailable (locked by another server), kFailedPrecondition (foreign, another engine, a newer
  // format, no directory), kDataLoss (IDENTITY damaged), kResourceExhausted (no space), kInternal
  // (I/O). Suspends.
  static Task<absl::StatusOr<std::unique_ptr<StoreDirectory>>> Open(Core& core,
                                                                    DirectoryOptions options);
  StoreDirectory(const StoreDirectory&) = delete;
  StoreDirectory& operator=(const StoreDirectory&) = delete;
  // Close() was awaited, or the core is gone.
  ~StoreDirectory() = default;

  // Makes a directory of an older format one of this format, durably; of this one: nothing. Before
  // anything else in it is written, so that no older pakvd takes that for its own. Suspends.
  Task<absl::Status> Upgrade(Core& core) const;

  // Lets go of the lock. Suspends.
  Task<void> Close();

  // All of these are constant, and may be read from any core.
  const std::string& path() const { return path_; }
  std::string PathOf(std::string_view name) const { return path_ + "/" + std::string(name); }
  const Identity& identity() const { return identity_; }
  // True if this start created the store.
  bool created() const { return created_; }
  // What blocks are padded to, and direct transfers are a multiple of.
  uint32_t alignment() const { return alignment_; }
  // False where the file system refuses direct I/O: then buffered writes and fdatasync.
  bool direct() const { return direct_; }
  // What transfers of segments are multiples of: alignment() or, without direct I/O, 1.
  uint32_t transfer_unit() const { return direct_ ? alignment_ : 1; }
  // To be added to the flags that segments are opened with.
  int direct_flag() const { return direct_ ? O_DIRECT : 0; }
  // Of the whole file system, at start.
  uint64_t disk_bytes() const { return disk_bytes_; }

 private:
  StoreDirectory() = default;
  Task<absl::Status> OpenAndLock(Core& core, const DirectoryOptions& options);
  Task<absl::Status> MakePath(Core& core);
  Task<absl::Status> SyncPath(Core& core);
  Task<absl::Status> ReadIdentity(Core& core, const DirectoryOptions& options);
  Task<absl::Status> CreateIdentity(Core& core, const DirectoryOptions& options);
  Task<absl::Status> WriteIdentity(Core& core) const;
  Task<absl::Status> ProbeDirectIo(Core& core);

  std::string path_;
  Identity identity_;
  uint32_t format_ = kFormatVersion;  // as it was found
  File lock_;
  size_t made_count_ = 0;  // directories that this start made: this one and those above it
  bool created_ = false;
  uint32_t alignment_ = kDirectAlignment;
  bool direct_ = true;
  uint64_t disk_bytes_ = 0;
};

// The segment size that fits a disk: disk / 2048 within 4 MiB and 64 MiB, a multiple of 1 MiB.
inline constexpr uint64_t kDefaultSegmentBytesMin = uint64_t{4} << 20;
uint64_t DefaultSegmentBytes(uint64_t disk_bytes);

}  // namespace pakv
