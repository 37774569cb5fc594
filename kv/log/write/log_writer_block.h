// What LogWriter's parts know of a block, and nobody else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "kv/log/format/block_builder.h"
#include "kv/log/write/log_writer.h"
#include "runtime/base/intrusive_list.h"

namespace pakv {

struct LogWriter::Block {
  AlignedBuffer buffer;
  std::optional<BlockBuilder> builder;
  IntrusiveList<DurableEntry> entries;
  bool is_filling = false;   // by a group: what it is to hold is not all there
  size_t bytes_to_come = 0;  // of that
  // What has become of a group that was not all there yet: it is only filled to its end.
  std::optional<Settlement> given_up;
  bool frees_space = false;  // something in it does, or waits for its clock
  // Once sealed.
  uint64_t sequence = 0;
  uint64_t expiry_clock_ms = 0;
  uint32_t offset = 0;
  Bytes bytes;
};

}  // namespace pakv
