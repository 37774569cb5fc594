#include "kv/log/files/file_io.h"

#include <absl/strings/cord.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <vector>

#include "runtime/base/seeded_bug.h"

namespace pakv {
namespace {

// One transfer is at most this long: the kernel's own bound is 2 GiB, and a shorter one lets
// others have the device in between.
constexpr uint64_t kTransferBytesMax = uint64_t{1} << 20;
// So many short transfers in a row that bring nothing are an error.
constexpr int kFruitlessMax = 100;

absl::StatusCode CodeOf(IoResult result) {
  switch (result.error()) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return absl::StatusCode::kResourceExhausted;
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::StatusCode::kPermissionDenied;
    case ENOENT:
      return absl::StatusCode::kNotFound;
    default:
      return absl::StatusCode::kInternal;
  }
}

// Names the part of a status that tells the system's error.
constexpr absl::string_view kErrnoUrl = "pakv/errno";

absl::Status StatusOf(const std::string& text, IoResult result) {
  absl::Status status(CodeOf(result), text);
  const std::string number = std::to_string(result.error());
  // From a view: clang 19 names the constructor from a std::string otherwise than GCC, which has
  // built the library.
  status.SetPayload(kErrnoUrl, absl::Cord(absl::string_view(number)));
  return status;
}

std::string Text(std::string_view operation, std::string_view path) {
  return "cannot " + std::string(operation) + " " + std::string(path);
}

}  // namespace

absl::Status IoError(std::string_view operation, std::string_view path, IoResult result) {
  return StatusOf(Text(operation, path) + ": " + result.text(), result);
}

absl::Status IoErrorAt(std::string_view operation, std::string_view path, uint64_t offset,
                       IoResult result) {
  return StatusOf(Text(operation, path) + " at " + std::to_string(offset) + ": " + result.text(),
                  result);
}

int ErrnoOf(const absl::Status& status) {
  const auto number = status.GetPayload(kErrnoUrl);
  int error = 0;
  if (!number) return error;
  const std::string text(*number);
  std::from_chars(text.data(), text.data() + text.size(), error);
  return error;
}

absl::Status Damaged(std::string_view path, uint64_t offset, std::string_view reason) {
  return absl::DataLossError(std::string(path) + ": damaged at offset " + std::to_string(offset) +
                             ": " + std::string(reason));
}

Task<absl::StatusOr<File>> OpenFile(Core& core, const std::string& path, int flags) {
  const IoResult opened = co_await File::Open(core.io(), path.c_str(), flags);
  if (!opened.ok()) co_return IoError("open", path, opened);
  co_return File(core.io(), Handle{opened.value()});
}

Task<absl::Status> WriteAll(File& file, Bytes bytes, uint64_t offset, uint32_t unit, bool sync,
                            const std::string& path) {
  int fruitless = 0;
  while (!bytes.empty()) {
    const uint64_t length = std::min<uint64_t>(bytes.size(), kTransferBytesMax);
    const IoResult result =
        co_await file.Write(bytes.data(), static_cast<uint32_t>(length), offset, sync);
    if (!result.ok()) co_return IoErrorAt("write", path, offset, result);
    const uint64_t whole = RoundDown(result.count(), unit);
    fruitless = whole == 0 ? fruitless + 1 : 0;
    if (fruitless == kFruitlessMax) co_return IoErrorAt("write", path, offset, IoResult(-EIO));
    bytes = bytes.subspan(whole);
    offset += whole;
  }
  co_return absl::OkStatus();
}

Task<absl::StatusOr<uint64_t>> ReadAll(File& file, uint8_t* buffer, uint64_t length,
                                       uint64_t offset, uint32_t unit, const std::string& path) {
  uint64_t done = 0;
  int fruitless = 0;
  while (done < length) {
    const uint64_t wanted = std::min(length - done, kTransferBytesMax);
    const IoResult result =
        co_await file.Read(buffer + done, static_cast<uint32_t>(wanted), offset + done);
    if (!result.ok()) co_return IoErrorAt("read", path, offset + done, result);
    if (result.count() == 0) break;
    const uint64_t whole = RoundDown(result.count(), unit);
    if (whole != result.count()) {
      // Between two units: the end of the file, or a short transfer?
      FileStat stat;
      const IoResult stated = co_await file.Stat(stat);
      if (!stated.ok()) co_return IoError("stat", path, stated);
      if (offset + done + result.count() >= stat.size_bytes) {
        done += result.count();
        break;
      }
    }
    fruitless = whole == 0 ? fruitless + 1 : 0;
    if (fruitless == kFruitlessMax) co_return IoErrorAt("read", path, offset, IoResult(-EIO));
    done += whole;
  }
  co_return std::min(done, length);
}

Task<absl::StatusOr<std::vector<uint8_t>>> ReadWholeFile(Core& core, const std::string& path,
                                                         uint64_t bytes_max) {
  absl::StatusOr<File> file = co_await OpenFile(core, path, O_RDONLY);
  if (!file.ok()) co_return file.status();
  FileStat stat;
  const IoResult stated = co_await file->Stat(stat);
  absl::Status status;
  std::vector<uint8_t> bytes;
  if (!stated.ok()) {
    status = IoError("stat", path, stated);
  } else if (stat.size_bytes > bytes_max) {
    status = Damaged(path, bytes_max, "the file is longer than it can be");
  } else {
    bytes.resize(stat.size_bytes);
    const absl::StatusOr<uint64_t> read =
        co_await ReadAll(*file, bytes.data(), bytes.size(), 0, 1, path);
    if (!read.ok()) {
      status = read.status();
    } else {
      bytes.resize(*read);
    }
  }
  const IoResult closed = co_await file->Close();
  if (status.ok() && !closed.ok()) status = IoError("close", path, closed);
  if (!status.ok()) co_return status;
  co_return std::move(bytes);
}

Task<absl::Status> WriteSynced(Core& core, const std::string& path, Bytes bytes) {
  absl::StatusOr<File> file = co_await OpenFile(core, path, O_RDWR | O_CREAT | O_TRUNC);
  if (!file.ok()) co_return file.status();
  absl::Status status = co_await WriteAll(*file, bytes, 0, 1, false, path);
  if (status.ok()) {
    const IoResult synced = co_await file->SyncData();
    if (!synced.ok()) status = IoError("sync", path, synced);
  }
  const IoResult closed = co_await file->Close();
  if (status.ok() && !closed.ok()) status = IoError("close", path, closed);
  co_return status;
}

Task<absl::Status> WriteWholeFile(Core& core, const std::string& directory, const std::string& name,
                                  Bytes bytes) {
  const std::string path = directory + "/" + name;
  const std::string tmp = path + ".tmp";
  absl::Status status = co_await WriteSynced(core, tmp, bytes);
  if (status.ok()) {
    const IoResult renamed = co_await RenameFile(core.io(), tmp.c_str(), path.c_str());
    if (!renamed.ok()) status = IoError("rename", tmp, renamed);
  }
  if (!status.ok()) co_return status;
  co_return co_await SyncNames(core, directory);
}

Task<absl::Status> SyncNames(Core& core, const std::string& path) {
  if (PAKV_BUG(kNoDirectorySync)) co_return absl::OkStatus();
  const IoResult synced = co_await SyncDirectory(core.io(), path.c_str());
  if (!synced.ok()) co_return IoError("sync directory", path, synced);
  co_return absl::OkStatus();
}

}  // namespace pakv
