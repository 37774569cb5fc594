// The operations that Linux 6.1's io_uring lacks, as plain system calls. Each may block for a
// moment: they belong to start and stop.
#pragma once

#include <cstdint>
#include <string>

#include "runtime/io/operation.h"

namespace pakv {

// Carries out a kTruncate, kStat, kList, kLock, kSpace, kResolve or kListen whose handle is a
// descriptor. Returns a count or -errno.
int32_t RunSystemCall(const IoRequest& request);

// Sets NODELAY and keepalive, where the socket's family has them. Best effort.
void SetSocketOptions(int socket, int family);
// The same for a socket just accepted, whose peer's address goes to `peer`.
void PrepareAcceptedSocket(int socket, std::string& peer);

}  // namespace pakv
