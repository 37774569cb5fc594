#include "runtime/io/file.h"

namespace pakv {

IoAwaiter File::Open(IoContext& io, const char* path, int flags, uint32_t mode) {
  return IoAwaiter(
      io, {.opcode = Opcode::kOpen, .mode = mode, .open_flags = flags | O_CLOEXEC, .path = path});
}

IoAwaiter File::Read(void* buffer, uint32_t length, uint64_t offset, int16_t buffer_index) {
  return IoAwaiter(*io_, {.opcode = Opcode::kRead,
                          .buffer_index = buffer_index,
                          .handle = handle_,
                          .length = length,
                          .offset = offset,
                          .buffer = buffer});
}

IoAwaiter File::Write(const void* buffer, uint32_t length, uint64_t offset, bool sync,
                      int16_t buffer_index) {
  return IoAwaiter(*io_, {.opcode = Opcode::kWrite,
                          .sync = sync,
                          .buffer_index = buffer_index,
                          .handle = handle_,
                          .length = length,
                          .offset = offset,
                          .const_buffer = buffer});
}

IoAwaiter File::SyncData() {
  return IoAwaiter(*io_, {.opcode = Opcode::kSyncData, .handle = handle_});
}

IoAwaiter File::Truncate(uint64_t size_bytes) {
  return IoAwaiter(*io_, {.opcode = Opcode::kTruncate, .handle = handle_, .offset = size_bytes});
}

IoAwaiter File::Lock() { return IoAwaiter(*io_, {.opcode = Opcode::kLock, .handle = handle_}); }

IoAwaiter File::Stat(FileStat& stat) {
  return IoAwaiter(*io_, {.opcode = Opcode::kStat, .handle = handle_, .stat = &stat});
}

IoAwaiter File::Close() {
  return IoAwaiter(*io_,
                   {.opcode = Opcode::kClose, .handle = std::exchange(handle_, Handle::kNone)});
}

IoAwaiter RenameFile(IoContext& io, const char* source, const char* target) {
  return IoAwaiter(io, {.opcode = Opcode::kRename, .path = source, .path2 = target});
}

IoAwaiter LinkFile(IoContext& io, const char* path, const char* other_path) {
  return IoAwaiter(io, {.opcode = Opcode::kLink, .path = path, .path2 = other_path});
}

IoAwaiter UnlinkFile(IoContext& io, const char* path) {
  return IoAwaiter(io, {.opcode = Opcode::kUnlink, .path = path});
}

IoAwaiter MakeDirectory(IoContext& io, const char* path, uint32_t mode) {
  return IoAwaiter(io, {.opcode = Opcode::kMakeDirectory, .mode = mode, .path = path});
}

IoAwaiter SyncDirectory(IoContext& io, const char* path) {
  return IoAwaiter(io, {.opcode = Opcode::kSyncDirectory, .path = path});
}

IoAwaiter ListDirectory(IoContext& io, const char* path, std::vector<std::string>& names) {
  return IoAwaiter(io, {.opcode = Opcode::kList, .path = path, .names = &names});
}

IoAwaiter StatPath(IoContext& io, const char* path, FileStat& stat) {
  return IoAwaiter(io, {.opcode = Opcode::kStat, .path = path, .stat = &stat});
}

IoAwaiter StatSpace(IoContext& io, const char* path, SpaceStat& space) {
  return IoAwaiter(io, {.opcode = Opcode::kSpace, .path = path, .space = &space});
}

}  // namespace pakv
