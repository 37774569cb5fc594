// LineReader: a file's or stdin's lines, read as they come while the core does other things: what
// was sent goes out although the next line is long in coming.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "runtime/core/core.h"
#include "runtime/io/file.h"
#include "runtime/task/task.h"

namespace pakv {

class LineReader {
 public:
  enum class Read : uint8_t { kLine, kEnd, kError };

  // A longer line is an error.
  LineReader(Core& core, size_t line_bytes_max) : core_(core), line_bytes_max_(line_bytes_max) {}
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  // An empty path: stdin. Returns what is wrong, or nothing. Once.
  Task<std::string> Open(std::string path);
  // The next line that is not blank. Suspends.
  Task<Read> Next();
  Task<void> Close();

  std::string_view line() const { return line_; }  // until the next Next
  uint64_t number() const { return number_; }      // of that line, from 1
  const std::string& error() const { return error_; }
  const std::string& name() const { return name_; }  // of the file, for messages
  uint64_t read_bytes() const { return offset_ - (buffer_.size() - begin_); }
  uint64_t total_bytes() const { return total_bytes_; }  // 0: not known

 private:
  Core& core_;
  const size_t line_bytes_max_;
  std::string name_;
  File file_;
  uint64_t offset_ = 0;  // read from the file so far
  uint64_t total_bytes_ = 0;
  std::string buffer_;
  size_t begin_ = 0;     // of what was not returned yet
  size_t searched_ = 0;  // up to here there is no line end
  bool at_end_ = false;
  std::string_view line_;
  uint64_t number_ = 0;
  std::string error_;
};

}  // namespace pakv
