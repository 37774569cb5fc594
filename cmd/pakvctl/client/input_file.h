// InputFile: a file's or stdin's bytes, read as they come while the core does other things: what
// was sent goes out, and a server that goes is noticed, although the next byte is long in coming.
#pragma once

#include <cstdint>
#include <string>

#include "runtime/core/core.h"
#include "runtime/io/file.h"
#include "runtime/io/operation.h"
#include "runtime/task/stop.h"
#include "runtime/task/task.h"

namespace pakv {

class InputFile {
 public:
  // A read ends with -ECANCELED when `stop` is requested.
  InputFile(Core& core, StopToken stop) : core_(core), stop_(stop) {}
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  // An empty path: stdin. Returns what is wrong, or nothing. Once.
  Task<std::string> Open(std::string path);
  // The next bytes, at most `bytes_max`; 0: the end. Suspends.
  Task<IoResult> Read(char* buffer, uint32_t bytes_max);
  Task<void> Close();

  const std::string& name() const { return name_; }        // for messages
  uint64_t offset_bytes() const { return offset_bytes_; }  // read so far
  uint64_t total_bytes() const { return total_bytes_; }    // 0: not known

 private:
  Core& core_;
  const StopToken stop_;
  std::string name_;
  File file_;
  uint64_t offset_bytes_ = 0;
  uint64_t total_bytes_ = 0;
};

}  // namespace pakv
