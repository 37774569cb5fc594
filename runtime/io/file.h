// Files of one core: every call is one operation of its ring, awaited. Path arguments and buffers
// stay alive until the await has resumed; a temporary in the awaiting expression does.
#pragma once

#include <fcntl.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "runtime/io/io_context.h"

namespace pakv {

// An open file. Movable; Close() is awaited before it is destroyed.
class File {
 public:
  File() = default;
  File(IoContext& io, Handle handle) : io_(&io), handle_(handle) {}
  File(File&& other) noexcept
      : io_(other.io_), handle_(std::exchange(other.handle_, Handle::kNone)) {}
  File& operator=(File&& other) noexcept {
    io_ = other.io_;
    handle_ = std::exchange(other.handle_, Handle::kNone);
    return *this;
  }

  // `flags` as for open(2): O_RDWR | O_CREAT | O_DIRECT ...; O_CLOEXEC is added. The count of the
  // result is the handle: File(io, Handle{result.value()}).
  static IoAwaiter Open(IoContext& io, const char* path, int flags, uint32_t mode = 0640);

  bool valid() const { return handle_ != Handle::kNone; }
  Handle handle() const { return handle_; }

  // May transfer fewer bytes than asked for; 0 at the end of the file.
  IoAwaiter Read(void* buffer, uint32_t length, uint64_t offset, int16_t buffer_index = -1);
  // May transfer fewer. With `sync` the bytes transferred are on stable storage at completion.
  IoAwaiter Write(const void* buffer, uint32_t length, uint64_t offset, bool sync,
                  int16_t buffer_index = -1);
  IoAwaiter SyncData();
  IoAwaiter Truncate(uint64_t size_bytes);
  IoAwaiter Lock();
  IoAwaiter Stat(FileStat& stat);
  // The file is no longer valid, whatever the result.
  IoAwaiter Close();

 private:
  IoContext* io_ = nullptr;
  Handle handle_ = Handle::kNone;
};

// Names in the file system.
IoAwaiter RenameFile(IoContext& io, const char* source, const char* target);
IoAwaiter UnlinkFile(IoContext& io, const char* path);
// Another name for the file; -EEXIST if there is something of that name. Some file systems have no
// such thing (-EPERM, -EOPNOTSUPP), all have a most of them (-EMLINK).
IoAwaiter LinkFile(IoContext& io, const char* path, const char* other_path);
IoAwaiter MakeDirectory(IoContext& io, const char* path, uint32_t mode = 0750);
// Makes the names in the directory durable.
IoAwaiter SyncDirectory(IoContext& io, const char* path);
IoAwaiter ListDirectory(IoContext& io, const char* path, std::vector<std::string>& names);
IoAwaiter StatPath(IoContext& io, const char* path, FileStat& stat);
IoAwaiter StatSpace(IoContext& io, const char* path, SpaceStat& space);

}  // namespace pakv
