// SessionState: what is told of a connection to those who list them. Of one moment on its core;
// views of what the session and its protocol have, so they are used at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace pakv {

struct SessionState {
  uint64_t age_ns = 0;
  uint64_t idle_ns = 0;         // since something was received, or the client took something
  int32_t handle = -1;          // of its socket, in its core's table
  size_t input_bytes = 0;       // received, not taken off
  size_t input_free_bytes = 0;  // that it has room for beside these
  size_t request_bytes = 0;     // of a request that is being parsed, or that waits
  size_t ready_bytes = 0;       // of replies, being sent or about to
  size_t ready_bytes_max = 0;   // that the buffers for these have room for
  size_t waiting_replies = 0;   // to commands that are under way, or behind one
  size_t waiting_bytes = 0;     // of such replies that are known
  size_t memory_bytes = 0;      // all of it, and of the session itself
  bool is_sending = false;
  bool is_ending = false;  // what is owed is sent, nothing more is taken

  // ---- The protocol's (Protocol::Describe) ----
  uint32_t version = 0;  // of RESP; 0: another protocol
  std::string_view name;
  std::string_view library_name;
  std::string_view library_version;
  uint32_t namespace_id = 0;
  std::string_view command;              // the last one; empty: none
  std::optional<size_t> queued_count;    // commands between MULTI and EXEC
  size_t queued_bytes = 0;               // that these and watches take
  bool is_exempt_from_eviction = false;  // asked for; nobody's connection is closed for memory
};

}  // namespace pakv
