// The file system that the data directory lies in, where that is not what a log expects: one that
// copies on write, or one that is no disk at all.
#pragma once

#include <string>
#include <string_view>

namespace pakv {

// On btrfs: files that are made in `directory` from now on are overwritten in place (chattr +C).
// The log overwrites zeros that it has put there before, so that a write needs no space and a full
// disk refuses writes at admission; copied on write each needs space anew, and a full disk makes
// them fail when it is too late: the store would go read-only until a restart. pakv checks its own
// sums, so that nothing is lost with btrfs'. Blocks briefly; a warning if it cannot be had. Nothing
// elsewhere.
void AvoidCopyOnWrite(const std::string& directory);

// "tmpfs" or "ramfs" if `directory` lies in memory: a flush has nothing to flush there, and what is
// on stable storage is gone with the machine's power. Empty: it does not, as far as the system
// tells; what an overlay or a network's server keeps its files in cannot be asked. Blocks briefly.
std::string_view MemoryFileSystem(const std::string& directory);

}  // namespace pakv
