// What the log's files have in common: whole transfers out of partial ones, files that appear
// whole or not at all, and errors that name operation, file and offset.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kv/log/format/format.h"
#include "runtime/core/core.h"
#include "runtime/io/file.h"
#include "runtime/task/task.h"

namespace pakv {

// "cannot write DIR/00000001.seg at 4096: No space left on device". kResourceExhausted for a full
// disk, kPermissionDenied, kNotFound, otherwise kInternal. ErrnoOf tells the system's error.
absl::Status IoError(std::string_view operation, std::string_view path, IoResult result);
absl::Status IoErrorAt(std::string_view operation, std::string_view path, uint64_t offset,
                       IoResult result);
// What the system has said, for a status that comes from these two as it is; else 0.
int ErrnoOf(const absl::Status& status);
// "PATH: damaged at OFFSET: REASON", kDataLoss.
absl::Status Damaged(std::string_view path, uint64_t offset, std::string_view reason);

// The text without the code; Abseil's own string_view is none of std's.
inline std::string MessageOf(const absl::Status& status) { return std::string(status.message()); }

// Opens `path`; the result is closed by the caller.
Task<absl::StatusOr<File>> OpenFile(Core& core, const std::string& path, int flags);

// What transfers of a file are multiples of: `unit` of direct I/O, 1 without it. Short transfers
// that end between two units go on from the last whole one.

// Writes all of `bytes` at `offset`, durable if `sync`. `path` is for the error.
Task<absl::Status> WriteAll(File& file, Bytes bytes, uint64_t offset, uint32_t unit, bool sync,
                            const std::string& path);
// Reads `length` bytes at `offset`, or up to the end of the file; how many were read.
Task<absl::StatusOr<uint64_t>> ReadAll(File& file, uint8_t* buffer, uint64_t length,
                                       uint64_t offset, uint32_t unit, const std::string& path);

// The whole file, through the page cache; kNotFound if there is none.
Task<absl::StatusOr<std::vector<uint8_t>>> ReadWholeFile(Core& core, const std::string& path,
                                                         uint64_t bytes_max);
// Creates or replaces the file and makes its bytes, but not its name, durable.
Task<absl::Status> WriteSynced(Core& core, const std::string& path, Bytes bytes);
// Writes `directory`/`name` whole or not at all: tmp, sync, rename, directory sync.
Task<absl::Status> WriteWholeFile(Core& core, const std::string& directory, const std::string& name,
                                  Bytes bytes);
// Makes the names in `path` durable. Each place where that is needed goes through here.
Task<absl::Status> SyncNames(Core& core, const std::string& path);

}  // namespace pakv
