// How much room a file system has left. statvfs(3) has no operation of io_uring, and may wait for a
// disk or for a server: a serving core has it done by the blocking pool, and goes on even while
// that is full of such questions.
#pragma once

#include <string>

#include "runtime/core/core.h"
#include "runtime/io/operation.h"
#include "runtime/task/task.h"

namespace pakv {

// Of the file system that `path` lies in. `space` stays where it is until this has returned.
// Suspends.
Task<IoResult> AskSpace(Core& core, std::string path, SpaceStat& space);

}  // namespace pakv
