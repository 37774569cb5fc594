// The bounds of sessions. At each there is back-pressure: a session reads no further.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "runtime/base/clock.h"

namespace pakv {

struct SessionLimits {
  // Of one session: bytes of replies not yet sent, above which no further request is started.
  size_t output_bytes_max = 1 << 20;
  // Of one session: requests without a reply.
  size_t in_flight_max = 1024;
  // Of one session: requests per pass, after which others have their turn.
  uint32_t turn_requests = 256;
  // Of one core: arguments of writes on their way, with the slots that they take.
  size_t core_write_bytes_max = 64 << 20;
  // Of one core: what transactions hold while they run: a large one keeps others of its kind
  // waiting, and no write of one key.
  size_t core_transaction_bytes_max = 64 << 20;
  // Of one core: expected replies of reads that are not answered at once.
  size_t core_read_bytes_max = 64 << 20;
  // Of one core: requests that are being received or run, of more than Session::kOwnBytesMax.
  size_t core_frame_bytes_max = 64 << 20;
  // Of one core: what came before it could be stopped, of which each session has more than it may.
  // Beyond it all receive one buffer at a time.
  size_t core_ahead_bytes_max = 16 << 20;

  // Of one core: what is gathered for replies that are sent piece by piece, and not yet sent.
  size_t core_unread_bytes_max = 256 << 20;
  // Of one core: commands that wait between MULTI and EXEC.
  size_t core_queued_bytes_max = 64 << 20;

  uint64_t idle_timeout_ns = 0;     // 0: off
  uint64_t request_timeout_ns = 0;  // 0: off
};

// A request may take this much longer per kRequestExtensionBytes received.
inline constexpr uint64_t kRequestExtensionNs = kNsPerSecond;
inline constexpr uint64_t kRequestExtensionBytes = 64 << 10;

// What a connection beyond the server's limit is told before it is closed. Which protocol it speaks
// is not known yet.
inline constexpr std::string_view kTooManyConnectionsLine =
    "-ERR max number of clients reached\r\n";

}  // namespace pakv
