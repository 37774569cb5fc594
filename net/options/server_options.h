// What a server is told at its start. Plain data: whoever fills it has validated it, the server
// checks what it depends on.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "net/options/endpoint.h"
#include "net/options/limits.h"
#include "runtime/base/clock.h"

namespace pakv {

// What a connection beyond the limit meets.
enum class OverflowPolicy : uint8_t {
  kWait,    // accepted, served as soon as a place is free
  kReject,  // told so and closed
};

struct ServerOptions {
  std::vector<Endpoint> data_endpoints;    // at least one
  std::optional<Endpoint> admin_endpoint;  // nothing: no admin port
  // Nobody asked for this admin port: if it is taken the server warns and goes on without.
  bool admin_endpoint_is_default = true;

  uint32_t core_count = 1;  // threads, each with its ring: 1 to kCoresMax
  std::string directory = "./pakv-data";
  bool keeps_on_disk = true;   // false: engine `memory`
  uint64_t segment_bytes = 0;  // 0: the store decides by the size of the disk
  bool salvage = false;        // go on without damaged parts of the data
  bool accept_clock = false;   // start although the wall clock is far behind the data

  uint64_t memory_bytes_max = 0;  // index, cache, buffers and sessions; 0: no limit
  uint64_t cache_bytes_max = 0;   // values held in memory, all cores together; 0: those in flight
  uint32_t connection_count_max = 10240;
  OverflowPolicy overflow = OverflowPolicy::kWait;
  uint32_t key_bytes_max = 64 * 1024;      // inclusive
  uint32_t value_bytes_max = 1024 * 1024;  // inclusive
  // Longer values go to files, as StoreOptions has it.
  uint32_t inline_value_bytes_max = 1024 * 1024;

  uint64_t idle_timeout_ns = 0;                     // 0: off
  uint64_t request_timeout_ns = 30 * kNsPerSecond;  // 0: off
  uint64_t drain_timeout_ns = 10 * kNsPerSecond;    // 0: a stop waits for no client

  // Smaller in tests and simulations, so that their edges are reached early. The timeouts in it are
  // taken from above.
  SessionLimits session_limits;

  std::string port_file_path;  // empty: none
};

}  // namespace pakv
