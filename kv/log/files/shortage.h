// What the system has refused for now. Whether an error passes by itself, or has ended the log, is
// decided here and nowhere else, by this table:
//
//   errno             shortage      while it lasts, once what is ready is used up
//   ENOSPC, EDQUOT,   kSpace        writes are refused, disk full
//   EFBIG                           (the size that a file of this process may have: ulimit -f)
//   EMFILE, ENFILE    kDescriptors  writes are refused, out of file descriptors
//   ENOMEM, EINTR     kMemory       the same: the system does not get as far as opening a file
//   all others        kNone         EIO, EROFS, ENOENT ...: the log has failed, until restart
//
// What was admitted before anybody knew of it, and finds no segment, is refused the same way
// (kv/log/write/log_writer.h). All this only of steps that nobody relies on yet, so that they are
// simply done again, from their beginning:
//
//   a segment made ahead of its use    any step of it: the file is removed, another one is made
//   MANIFEST: zeros ahead              nothing has begun: the append is tried again; what waits
//                                      for it is refused
//   MANIFEST: a fresh file, until it is renamed    whatever the error, the present one goes on
//   MANIFEST: its new name, to last    if the directory could not even be opened (kDescriptors);
//                                      until it is, nothing is appended
//   a value's own file                 until its record is appended: the value is refused
//
// A write or a flush of a block, or of a sector of MANIFEST, that has failed has failed for good,
// whatever its errno: the kernel may have dropped what it could not write, and would report success
// the second time. A start does not wait for anything: it says what is short, and ends.
#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <string_view>

#include "runtime/base/clock.h"

namespace pakv {

enum class Shortage : uint8_t { kNone, kSpace, kDescriptors, kMemory };

// The same shortage is told again after this long, while it lasts.
inline constexpr uint64_t kShortageToldEveryNs = 60 * kNsPerSecond;
// What a file system needs beside a file itself: its own metadata, and other small files.
inline constexpr uint64_t kSpaceMarginBytes = uint64_t{256} << 10;

// Of a status that IoError or IoErrorAt has made (kv/log/files/file_io.h); kNone for any other.
Shortage ShortageOf(const absl::Status& status);

// What an operator does about it, for a line of the log: "raise the limit ...".
std::string_view RemedyOfShortage(const absl::Status& status);

// May something be appended? Refusals are for the reply; nothing was begun.
enum class Admission : uint8_t {
  kOk,
  kReadOnly,  // a write has failed: until restart
  // These resume by themselves.
  kDiskFull,
  kNoDescriptors,  // the system opens no further file, or has no memory for that
};

// Of a shortage that there is.
inline Admission RefusalFor(Shortage shortage) {
  return shortage == Shortage::kSpace ? Admission::kDiskFull : Admission::kNoDescriptors;
}

}  // namespace pakv
