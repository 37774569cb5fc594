// LogReader: reads single records back, each with one direct read that covers it. Nothing read is
// believed: checksum, namespace, key, LSN and the file that it refers to have to be those that the
// index expects.
#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <string_view>

#include "kv/log/files/store_directory.h"
#include "kv/log/format/format.h"
#include "kv/log/format/format_value_file.h"
#include "runtime/core/core.h"
#include "runtime/io/buffer_pool.h"
#include "runtime/io/file.h"
#include "runtime/task/sync.h"
#include "runtime/task/task.h"

namespace pakv {

// A record with the memory that it lies in.
class RecordInMemory {
 public:
  RecordInMemory(AlignedBuffer buffer, const RecordFields& fields)
      : buffer_(std::move(buffer)), fields_(fields) {}
  const RecordFields& fields() const { return fields_; }
  std::string_view value() const { return fields_.value; }

 private:
  AlignedBuffer buffer_;
  RecordFields fields_;  // views into the buffer
};

// One core's.
class LogReader {
 public:
  // `directory` outlives the reader. At most `open_segments_max` (at least 1) files are open; the
  // unused one that was not used for longest is closed for another, and while all are in use reads
  // of further segments wait, in the order in which they came. (One of whose descriptors is missing
  // to a log would be the end of all writes.)
  LogReader(Core& core, const StoreDirectory& directory, size_t open_segments_max);
  LogReader(const LogReader&) = delete;
  LogReader& operator=(const LogReader&) = delete;
  // Close was awaited, or the core is torn down.
  ~LogReader();

  // The record at `location`, which has to be this version of this key, and refer to this file; by
  // default, to none: it holds the value. `key` stays valid until the task has ended. kDataLoss:
  // something else lies there (file and offset in the message); other errors as the device gives
  // them. Several reads may be under way. Suspends.
  Task<absl::StatusOr<RecordInMemory>> Read(Location location, uint32_t namespace_id,
                                            std::string_view key, Lsn lsn, ValueFileHead file = {});
  // Closes the segment's file, if it is open: it goes. No read of it is under way. Suspends.
  Task<void> CloseSegment(uint32_t segment);
  // Closes all files; no read is under way. Suspends.
  Task<void> Close();

 private:
  struct OpenSegment : ListHook {
    explicit OpenSegment(ReadyQueue& ready) : opened(ready) {}
    uint32_t segment = 0;
    File file;
    IoResult result;       // of opening it
    Event opened;          // the attempt has ended
    bool opening = false;  // somebody is at it
    uint32_t users = 0;
  };
  // Is a user of the segment, which was counted before, while it lives.
  class Use;

  OpenSegment* TakePlace(uint32_t segment, File& leaving);
  Task<OpenSegment*> WaitForPlace(uint32_t segment, File& leaving);
  Task<IoResult> Open(OpenSegment& entry, File leaving);

  Core& core_;
  const StoreDirectory& directory_;
  const size_t open_segments_max_;
  absl::flat_hash_map<uint32_t, std::unique_ptr<OpenSegment>> segments_;
  IntrusiveList<OpenSegment> by_use_;  // the least recently used first
  uint32_t waiting_ = 0;               // for a place; the first of them has the turn
  Semaphore turn_;
  Event left_;  // a place has no user any more
};

}  // namespace pakv
