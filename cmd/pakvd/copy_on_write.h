// File systems that copy on write, where a log wants to write in place.
#pragma once

#include <string>

namespace pakv {

// On btrfs: files that are made in `directory` from now on are overwritten in place (chattr +C).
// The log overwrites zeros that it has put there before, so that a write needs no space and a full
// disk refuses writes at admission; copied on write each needs space anew, and a full disk makes
// them fail when it is too late: the store would go read-only until a restart. pakv checks its own
// sums, so that nothing is lost with btrfs'. Blocks briefly; a warning if it cannot be had. Nothing
// elsewhere.
void AvoidCopyOnWrite(const std::string& directory);

}  // namespace pakv
