// The operations that Linux 6.1's io_uring lacks, as plain system calls. Each may block for a
// moment: they belong to start and stop, or to a thread that may wait (runtime/core/space.h).
#pragma once

#include <linux/stat.h>

#include <cstdint>
#include <string>

#include "runtime/io/operation.h"

namespace pakv {

// Carries out a kTruncate, kList, kLock, kSpace, kResolve or kListen whose handle is a descriptor.
// Returns a count or -errno. Any thread.
int32_t RunSystemCall(const IoRequest& request);

// What a kStat asks statx for, and what it makes of the answer.
inline constexpr uint32_t kStatMask = STATX_SIZE | STATX_TYPE | STATX_DIOALIGN;
FileStat StatOf(const struct statx& attributes);

// Sets NODELAY and keepalive, where the socket's family has them. Best effort.
void SetSocketOptions(int socket, int family);
// The same for a socket just accepted, whose peer's address goes to `peer`.
void PrepareAcceptedSocket(int socket, std::string& peer);

}  // namespace pakv
