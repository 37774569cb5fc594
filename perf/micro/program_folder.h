// Where a micro-benchmark that writes files does so unless it is told otherwise: beside its
// program, which is below the build's folder, so that nothing is left in the checkout.
#pragma once

#include <filesystem>
#include <string>

namespace pakv {

inline std::string ProgramFolder() {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path().string();
}

}  // namespace pakv
