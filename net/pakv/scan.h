// PakvScan: one page of a scan, over as many steps of the store as it takes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kv/log/format/format.h"
#include "net/pakv/codec.h"
#include "net/session/buffers/output_buffer.h"
#include "net/session/session.h"
#include "runtime/task/task.h"

namespace pakv {

// The store's cursor in a request's fields, 0 (the start) if there is none; nothing if it is none
// that WriteReply has ever written.
std::optional<uint64_t> PakvScanCursor(const PakvFields& fields);

// A page ends at its limit of entries, at a bound of bytes, or at a bound of keys that were looked
// at in vain. Entries that cannot be told apart by a cursor are never divided, so it may exceed the
// limit by those. With values: what is read of a key is newer than its place in the scan; a key
// that is gone by then is left out.
class PakvScan {
 public:
  // Of scan's fields, whose cursor is one. The session outlives it.
  PakvScan(Session& session, const PakvFields& fields, size_t key_bytes_max,
           size_t value_bytes_max);

  // Collects the page. Suspends; returns early if the session is broken.
  Task<void> Run();
  void WriteReply(OutputBuffer& output, uint64_t id) const;

 private:
  struct Found {
    std::string key;
    Lsn lsn = kNoLsn;
    uint64_t expires_at_ms = kNoExpiry;
    std::string value;
    uint64_t total_bytes = 0;  // of a value in a file, in its place
  };
  struct Read;

  bool IsFull() const;
  Task<void> Add(std::vector<std::string> keys);
  Task<void> ReadValues(const std::vector<std::string>& keys);

  Session& session_;
  const uint32_t namespace_id_;
  const std::string prefix_;
  const bool with_values_;
  const bool in_pieces_;  // of values in files their length is told
  const uint64_t limit_;
  size_t step_keys_max_;
  uint64_t cursor_;
  std::vector<Found> page_;
  size_t page_bytes_ = 0;
  PakvStatus status_ = PakvStatus::kOk;
  std::string error_;
};

}  // namespace pakv
