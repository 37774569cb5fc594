// What to do about it: pakvd does not refuse to start without saying that.
#pragma once

#include <absl/status/status.h>

#include <string>

namespace pakv {

// Why the store in `directory` was not opened, with the remedy: for damage, and for what the system
// has refused. What says it already stays as it is.
absl::Status WithRemedy(const absl::Status& status, const std::string& directory);

}  // namespace pakv
