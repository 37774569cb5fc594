#include "kv/log/files/store_directory.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <utility>

#include "kv/log/files/file_io.h"
#include "runtime/base/check.h"
#include "runtime/base/coverage.h"
#include "runtime/base/log.h"
#include "runtime/core/space.h"

namespace pakv {
namespace {

constexpr std::string_view kIdentityName = "IDENTITY";
constexpr std::string_view kLockName = "LOCK";
// In the root of a file system that is mounted here.
constexpr std::string_view kLostAndFound = "lost+found";

std::string_view EngineName(EngineKind engine) {
  return engine == EngineKind::kLog ? "log" : "memory";
}

// "/a/b/" -> "/a", "b" -> ".", "/b" -> "/".
std::string ParentOf(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

enum class Content { kEmpty, kStore, kForeign };

Content ContentOf(const std::vector<std::string>& names) {
  if (std::find(names.begin(), names.end(), kIdentityName) != names.end()) return Content::kStore;
  const bool empty = std::all_of(names.begin(), names.end(), [](const std::string& name) {
    return name == kLockName || name.ends_with(".tmp");
  });
  return empty ? Content::kEmpty : Content::kForeign;
}

// The names in `path`, without a lost+found that is empty or not ours to read.
Task<IoResult> ListNames(Core& core, std::string path, std::vector<std::string>& names) {
  const IoResult listed = co_await ListDirectory(core.io(), path.c_str(), names);
  if (!listed.ok()) co_return listed;
  if (std::find(names.begin(), names.end(), kLostAndFound) == names.end()) co_return listed;
  path.append("/").append(kLostAndFound);
  std::vector<std::string> inside;
  const IoResult looked = co_await ListDirectory(core.io(), path.c_str(), inside);
  if (looked.value() == 0 || looked.error() == EACCES) std::erase(names, kLostAndFound);
  co_return listed;
}

absl::Status Foreign(const std::string& path) {
  return absl::FailedPreconditionError(
      path +
      ": not empty, and no pakv data directory (it has no IDENTITY); nothing in it was "
      "touched. Give --dir an empty or a new directory");
}

}  // namespace

std::string SegmentName(uint32_t segment) {
  std::string digits = std::to_string(segment);
  if (digits.size() < 8) digits.insert(0, 8 - digits.size(), '0');
  return digits + ".seg";
}

uint32_t SegmentOfName(std::string_view name) {
  if (!name.ends_with(".seg") || name.size() < 12) return 0;
  const std::string_view digits = name.substr(0, name.size() - 4);
  uint64_t number = 0;
  for (const char c : digits) {
    if (c < '0' || c > '9') return 0;
    number = number * 10 + static_cast<uint64_t>(c - '0');
    if (number > UINT32_MAX) return 0;
  }
  const auto segment = static_cast<uint32_t>(number);
  return SegmentName(segment) == name ? segment : 0;
}

uint64_t DefaultSegmentBytes(uint64_t disk_bytes) {
  const uint64_t mib = uint64_t{1} << 20;
  return std::clamp(disk_bytes / 2048 / mib * mib, kDefaultSegmentBytesMin, 64 * mib);
}

Task<absl::StatusOr<std::unique_ptr<StoreDirectory>>> StoreDirectory::Open(
    Core& core, DirectoryOptions options) {
  std::unique_ptr<StoreDirectory> directory(new StoreDirectory());
  directory->path_ = options.path;
  absl::Status status = co_await directory->OpenAndLock(core, options);
  if (status.ok()) status = co_await directory->ProbeDirectIo(core);
  if (!status.ok()) {
    co_await directory->Close();
    co_return status;
  }
  co_return std::move(directory);
}

Task<absl::Status> StoreDirectory::OpenAndLock(Core& core, const DirectoryOptions& options) {
  const absl::Status made = co_await MakePath(core);
  if (!made.ok()) co_return made;
  std::vector<std::string> names;
  IoResult listed = co_await ListNames(core, path_, names);
  if (!listed.ok()) co_return IoError("list directory", path_, listed);
  if (ContentOf(names) == Content::kForeign) co_return Foreign(path_);

  const std::string lock_path = PathOf(kLockName);
  absl::StatusOr<File> lock = co_await OpenFile(core, lock_path, O_RDWR | O_CREAT);
  if (!lock.ok()) co_return lock.status();
  lock_ = std::move(*lock);
  const IoResult locked = co_await lock_.Lock();
  if (locked.error() == EWOULDBLOCK) {
    co_return absl::UnavailableError(
        path_ +
        ": locked; another pakvd uses this directory. Stop it first, or give --dir "
        "another directory");
  }
  if (!locked.ok()) co_return IoError("lock", lock_path, locked);

  // Once more: before the lock was held another server may have come and gone.
  listed = co_await ListNames(core, path_, names);
  if (!listed.ok()) co_return IoError("list directory", path_, listed);
  switch (ContentOf(names)) {
    case Content::kStore:
      co_return co_await ReadIdentity(core, options);
    case Content::kForeign:
      co_return Foreign(path_);
    case Content::kEmpty:
      break;
  }
  co_return co_await CreateIdentity(core, options);
}

// The directory, and those above it that are missing.
Task<absl::Status> StoreDirectory::MakePath(Core& core) {
  std::vector<std::string> missing;
  std::string path = path_;
  IoResult made = co_await MakeDirectory(core.io(), path.c_str());
  while (made.error() == ENOENT && path != ParentOf(path)) {
    missing.push_back(path);
    path = ParentOf(path);
    made = co_await MakeDirectory(core.io(), path.c_str());
  }
  if (made.ok()) ++made_count_;
  while ((made.ok() || made.error() == EEXIST) && !missing.empty()) {
    path = std::move(missing.back());
    missing.pop_back();
    made = co_await MakeDirectory(core.io(), path.c_str());
    if (made.ok()) ++made_count_;
  }
  if (!made.ok() && made.error() != EEXIST) co_return IoError("create directory", path, made);
  co_return absl::OkStatus();
}

// The names of the directory and of those above it.
Task<absl::Status> StoreDirectory::SyncPath(Core& core) {
  std::string path = path_;
  for (size_t level = 0; path != ParentOf(path); ++level) {
    path = ParentOf(path);
    const absl::Status status = co_await SyncNames(core, path);
    // An earlier start that was killed may have made them all. But of those that are not known to
    // be ours, some cannot be synced: no right to read them, or no such thing on their file system.
    const bool ours = level == 0 || level < made_count_;
    if (!status.ok() && ours) co_return status;
  }
  co_return absl::OkStatus();
}

Task<absl::Status> StoreDirectory::ReadIdentity(Core& core, const DirectoryOptions& options) {
  const std::string path = PathOf(kIdentityName);
  const absl::StatusOr<std::vector<uint8_t>> bytes = co_await ReadWholeFile(core, path, 1 << 20);
  if (!bytes.ok()) co_return bytes.status();
  const DecodedIdentity decoded = DecodeIdentity(*bytes);
  switch (decoded.verdict) {
    case IdentityVerdict::kDamaged:
      co_return Damaged(path, 0,
                        "not an IDENTITY of pakv, or its checksum is wrong; --salvage cannot do "
                        "without it");
    case IdentityVerdict::kNewer:
      co_return absl::FailedPreconditionError(
          path + ": written by a newer pakvd (format " + std::to_string(decoded.format) +
          "; this one knows up to " + std::to_string(kFormatVersion) +
          "). Nothing was changed; open it with a pakvd at least as new");
    case IdentityVerdict::kGood:
      break;
  }
  identity_ = decoded.identity;
  if (identity_.engine != options.engine) {
    co_return absl::FailedPreconditionError(
        path_ + ": made by engine '" + std::string(EngineName(identity_.engine)) +
        "', opened with engine '" + std::string(EngineName(options.engine)) +
        "'. Start it with --engine " + std::string(EngineName(identity_.engine)) +
        ", or give --dir another directory");
  }
  format_ = decoded.format;
  co_return absl::OkStatus();
}

// What is there already means the same in both. A crash leaves the one IDENTITY or the other.
Task<absl::Status> StoreDirectory::Upgrade(Core& core) const {
  if (format_ == kFormatVersion) co_return absl::OkStatus();
  LogInfo("{}: format {} becomes {}", path_, format_, kFormatVersion);
  PAKV_COVERED(kFormatUpgraded);
  co_return co_await WriteIdentity(core);
}

Task<absl::Status> StoreDirectory::CreateIdentity(Core& core, const DirectoryOptions& options) {
  // The directory's own name first, also if it was there before us: nobody knows who made it
  // durable, and once IDENTITY stands this is not asked again.
  const absl::Status status = co_await SyncPath(core);
  if (!status.ok()) co_return status;
  identity_.engine = options.engine;
  identity_.store_id = options.entropy.store_id;
  identity_.hash_seed = options.entropy.hash_seed;
  created_ = true;
  co_return co_await WriteIdentity(core);
}

Task<absl::Status> StoreDirectory::WriteIdentity(Core& core) const {
  std::array<uint8_t, kIdentitySize> bytes;
  EncodeIdentity(bytes.data(), identity_);
  const std::string name(kIdentityName);
  co_return co_await WriteWholeFile(core, path_, name, bytes);
}

Task<absl::Status> StoreDirectory::ProbeDirectIo(Core& core) {
  const std::string path = PathOf(kIdentityName);
  SpaceStat space;
  const IoResult asked = co_await AskSpace(core, path_, space);
  if (!asked.ok()) co_return IoError("ask for the space of", path_, asked);
  disk_bytes_ = space.total_bytes;

  FileStat stat;
  const IoResult stated = co_await StatPath(core.io(), path.c_str(), stat);
  if (!stated.ok()) co_return IoError("stat", path, stated);
  direct_ = stat.direct_alignment != 0;
  if (direct_) {
    const IoResult opened = co_await File::Open(core.io(), path.c_str(), O_RDONLY | O_DIRECT);
    direct_ = opened.ok();
    // A file system that has no direct I/O says EINVAL. Anything else is this machine's trouble,
    // and no reason to go without from now on.
    if (!opened.ok() && opened.error() != EINVAL) co_return IoError("open", path, opened);
    if (opened.ok()) {
      File file(core.io(), Handle{opened.value()});
      const IoResult closed = co_await file.Close();
      if (!closed.ok()) co_return IoError("close", path, closed);
    }
  }
  if (direct_) {
    alignment_ = std::max<uint32_t>(stat.direct_alignment, kSectorSize);
    if (!std::has_single_bit(alignment_) || alignment_ > kDirectAlignment) {
      co_return absl::FailedPreconditionError(path_ + ": direct I/O wants multiples of " +
                                              std::to_string(alignment_) + " bytes; at most " +
                                              std::to_string(kDirectAlignment) +
                                              " are supported. Put it on another disk");
    }
  } else {
    alignment_ = kDirectAlignment;
    LogWarning("{}: this file system refuses direct I/O; buffered writes and fdatasync instead",
               path_);
  }
  co_return absl::OkStatus();
}

Task<void> StoreDirectory::Close() {
  if (!lock_.valid()) co_return;
  const IoResult closed = co_await lock_.Close();
  if (!closed.ok()) LogWarning("{}", MessageOf(IoError("close", PathOf(kLockName), closed)));
}

}  // namespace pakv
